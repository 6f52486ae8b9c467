"""The command line: `python -m scripts`."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from scripts.errors import InputError, NotebookFailed, one_line
from scripts.parallel import undisturbed

if TYPE_CHECKING:
    from scripts.report import Run

HELP = """
Along which directions do the cells of a tissue vary, and which genes tell its branches apart?

\b
examples:
  python -m scripts report
  python -m scripts report --dataset paul15 --run first
  python -m scripts report --dataset my_cells.h5ad --params settings.yaml
  python -m scripts settings > settings.yaml
  python -m scripts score --run reports/first new_cells.h5ad
  python -m scripts sweep tried.yaml --dataset my_cells.h5ad
  python -m scripts compare reports/first reports/second

\b
settings.yaml holds parameters of the notebooks, one to a line, such as
  n_epochs: 100
  lr: 1.0e-3
tried.yaml holds lists of them, such as
  k_neighbors: [5, 10, 20]

\b
exit status: 0 done; 1 a notebook failed, or the disk is full;
2 a wrong option, setting, data set or folder: nothing was changed; 130 interrupted
"""
Outcome = tuple[str, int]  # what is printed, and the exit status
DATASET = typer.Option(help="Name of a data set, or path of a file or folder of cells.")
REPORTS = typer.Option(help="Folder of all runs.")
SINGLE = typer.Option("--single-file", help="Write <run>.html, too: the whole report in one file, to pass on.")
FORCE = typer.Option("--force", help="Compute everything again, also what has not changed.")
SCHEDULER = typer.Option(help="Address of a Dask scheduler (tcp://host:8786) whose workers share the work, or local.")
app = typer.Typer(help=HELP, pretty_exceptions_enable=False, context_settings={"help_option_names": ["--help", "-h"]})


def _command(work: Callable[..., str]) -> Callable[..., str]:
    """Enter a function that returns what is printed as a command of its name.

    How it ends is told by its `Outcome`, and not by what it raises: typer would keep the words of an interrupt.
    """

    @app.command(work.__name__)
    @functools.wraps(work)
    def ended(**options: object) -> Outcome:
        try:
            return work(**options), 0
        except InputError as error:
            return one_line(error), 2
        except KeyboardInterrupt as error:
            return one_line(error) or "interrupted", 130
        except NotebookFailed as error:
            return one_line(error), 1
        except BrokenPipeError:
            return "", 1
        except Exception as error:  # a fault of the program: one line here, the rest for whoever mends it
            with tempfile.NamedTemporaryFile("w", prefix="bmlp-", suffix=".log", delete=False) as log:
                traceback.print_exc(file=log)
            return f"{type(error).__name__}: {one_line(error)} (traceback in {log.name})", 1

    return work


@_command
def report(
    dataset: Annotated[str, DATASET] = "auto",
    run: Annotated[str | None, typer.Option(help="Name of the run folder; that of the data set if not given.")] = None,
    params: Annotated[
        str | None, typer.Option(metavar="FILE.yaml", help="Settings that differ from the notebooks' defaults.")
    ] = None,
    reports: Annotated[str, REPORTS] = "reports",
    force: Annotated[bool, FORCE] = False,
    single_file: Annotated[bool, SINGLE] = False,
    scheduler: Annotated[str | None, SCHEDULER] = None,
) -> str:
    """Execute the notebooks and write the pages."""
    from scripts.console import say
    from scripts.parallel import cluster
    from scripts.report import Run, chain

    begin = time.monotonic()
    chosen = chain.plan(dataset, run, params, reports)
    say(f"{one_line(chosen.reason)}\n")
    try:
        tell = functools.partial(_tell, single_file=single_file)
        with cluster(scheduler, chain.version):
            index = chain.execute(chosen, tell, force)
        if single_file and not index.with_name(f"{chosen.folder.name}.html").exists():  # of a run that was whole
            Run(index.parent).enter_pages(tell(Run(index.parent)))
    except (NotebookFailed, KeyboardInterrupt) as error:
        left = chain.unfinished(chosen)
        cause = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise type(error)(f"{cause}; {left}" if left else cause) from None
    return f"{_shown(index)} ({_duration(begin)})"


@_command
def sweep(
    tried: Annotated[
        str,
        typer.Argument(
            metavar="FILE.yaml",
            help="Lists of values of settings, such as k_neighbors: [5, 10, 20]; the others are those of all runs.",
        ),
    ],
    dataset: Annotated[str, DATASET] = "auto",
    run: Annotated[
        str | None, typer.Option(help="Name of the folder of these runs; that of the file if not given.")
    ] = None,
    reports: Annotated[str, REPORTS] = "reports",
    force: Annotated[bool, FORCE] = False,
    scheduler: Annotated[str | None, SCHEDULER] = None,
) -> str:
    """Make a run for each combination of settings, and compare them.

    Started again, it goes on where it stopped: runs and notebooks that have not changed are taken over.
    """
    from scripts import runs
    from scripts.parallel import cluster
    from scripts.report import chain

    begin = time.monotonic()
    planned = runs.plan_sweep(tried, dataset, run, reports)
    with cluster(scheduler, chain.version):
        done = runs.execute_sweep(planned, force)
    return f"{_compared(done, done[0].parent)} ({_duration(begin)})" if len(done) > 1 else _shown(done[0])


@_command
def compare(
    folders: Annotated[
        list[str], typer.Argument(metavar="RUN RUN ...", help="Run folders; the others are held against the first.")
    ],
    out: Annotated[
        str | None,
        typer.Option(help="Folder for compare.csv and compare.html; that of the first run's folder if not given."),
    ] = None,
) -> str:
    """Compare runs: settings, R2, frequencies, modules, programs, terms."""
    return _compared([Path(folder) for folder in folders], Path(out) if out else Path(folders[0]).resolve().parent)


@_command
def pages(
    folder: Annotated[str, typer.Argument(help="Run folder, such as reports/paul15.")],
    single_file: Annotated[bool, SINGLE] = False,
) -> str:
    """Write the pages of a run folder, also one filled in JupyterLab."""
    from scripts.report import Run
    from scripts.report import pages as of_run

    run = Run(folder)
    run.need("params.yaml")  # or it is no run
    of_run.write_pages(run)
    run.enter_pages(_tell(run, single_file))
    return one_line(run.path("index.html"))


def _tell(run: Run, single_file: bool = False) -> list[str]:
    """Write the story of a run, whose other pages are there; returns the names of its files.

    The one page of the whole is written where it is asked for, or was written before: none of a former state is left.
    What this imports takes a moment.
    """
    from scripts import story

    names = story.write(run)
    return [*names, story.write_single(run)] if single_file or run.names(story.single_file(run)) else names


@_command
def settings() -> str:
    """List all settings with their defaults and meanings: a table on a terminal, else YAML."""
    from scripts.console import heading, is_terminal, text_table
    from scripts.report import chain
    from scripts.report import settings as schema

    if not is_terminal(sys.stdout):
        return schema.described(chain.notebooks())
    tables = []
    for notebook in chain.notebooks():
        known = schema.listed(notebook)
        tables += [heading(notebook.stem), text_table(["setting", "default", "meaning"], known)]
    return "\n".join(tables)


@_command
def score(
    cells: Annotated[str, typer.Argument(help="File or folder of cells, or name of a data set.")],
    run: Annotated[str, typer.Option(help="Run folder, such as reports/paul15.")],
    layer: Annotated[str, typer.Option(help="Layer that holds the counts, or raw; as for a run if not given.")] = "",
    out: Annotated[
        str | None,
        typer.Option(help="Table (.csv) or cells x scores (.h5ad); <name of the cells>.scores.csv if not given."),
    ] = None,
) -> str:
    """Give frequencies, axes and scores of other cells by the model of a run."""
    from scripts import reading, sources
    from scripts.cells import read
    from scripts.report import Run, write_cells, write_table

    source = sources.resolve(cells)
    written = Path(out or f"{source.name}.scores.csv")
    if written.suffix not in (".csv", ".h5ad") or written.resolve() in {file.resolve() for file in source.files}:
        raise InputError(f"--out {written} is not possible: name another file that ends on .csv or .h5ad")
    made_by = Run(run)
    whole = "model_with_pairs.safetensors"  # which there is once 04_interpret has been run
    model = reading.Scorer.load(made_by.need(whole if made_by.path(whole).exists() else "model.safetensors"))
    made = made_by.settings().get("notebooks", {})
    n_modules = made.get("04_interpret", {}).get("n_modules", reading.N_MODULES)
    adata = source.read() if source.read else read(Path(source.source))
    scores = reading.score(adata, model, n_modules, layer, source.name)
    is_marked = made.get("01_data", {}).get("csv_safe", False)
    writers = {
        ".csv": lambda path: write_table(scores.reset_index(names="cell"), path, is_marked),
        ".h5ad": lambda path: write_cells(reading.as_cells(scores, adata.obs), path),
    }
    Run(written.parent).write(written.name, writers[written.suffix])
    said = scores.attrs["said"]
    if batch := made.get("01_data", {}).get("batch"):
        said = [*said, f"The cells of the run were corrected for their batches ({batch}), these were not."]
    if columns := made.get("01_data", {}).get("regress"):
        told = f"The model is of what {', '.join(columns)} leave of expression and frequencies"
        said = [*said, f"{told}: of these cells nothing was taken out, and their scores may follow the same again."]
    return "\n".join(map(one_line, [*said, written]))


def _shown(path: Path) -> str:
    return one_line(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path)


def _duration(begin: float) -> str:
    minutes, seconds = divmod(round(time.monotonic() - begin), 60)
    return f"{minutes} min {seconds} s"


def _compared(folders: list[Path], out: Path) -> str:
    """Compare runs, write what is found into a folder, and return it as text, with the page's path at its end."""
    from scripts import runs

    found = runs.compare(folders)
    return f"{runs.as_text(found)}\n\n{_shown(runs.write(found, out))}"


def _ignore(*_: object) -> None:
    """Stands for SIG_IGN, which kernels would inherit: they could not be interrupted."""


def _stop(*_: object) -> None:
    """End a run as Ctrl-C does, also in the background, where shells have Ctrl-C ignored."""
    if signal.getsignal(signal.SIGINT) is _ignore:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _stop)
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, _ignore)
    try:
        outcome = typer.main.get_command(app).main(arguments, standalone_mode=False)
    except TyperException as error:  # a wrong option
        outcome = f"{one_line(error.format_message())} (--help lists what there is)", 2
    if isinstance(outcome, int):  # of --help, which has said all
        return outcome
    said, status = outcome
    with undisturbed() as signals:
        with contextlib.suppress(BrokenPipeError):  # whoever has closed the output wants to hear nothing
            if said:
                print(f"error: {said}" if status else said, file=sys.stderr if status else sys.stdout, flush=True)
        signals.clear()  # all is done
    return status


if __name__ == "__main__":
    sys.exit(main())
