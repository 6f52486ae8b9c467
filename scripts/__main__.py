"""The command line: `python -m scripts`."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from scripts.errors import InputError, NotebookFailed, one_line
from scripts.parallel import undisturbed

if TYPE_CHECKING:
    from scripts.report import Run

HELP = """\
examples:
  python -m scripts report
  python -m scripts report --dataset paul15 --run first
  python -m scripts report --dataset my_cells.h5ad --params settings.yaml
  python -m scripts settings > settings.yaml
  python -m scripts score --run reports/first new_cells.h5ad

settings.yaml holds parameters of the notebooks, one to a line, such as
  n_epochs: 100
  lr: 1.0e-3

exit status: 0 done; 1 a notebook failed, or the disk is full; 2 a wrong option, setting, data set or folder: nothing
was changed; 130 interrupted
"""


def report(options: argparse.Namespace) -> str:
    """Execute the notebooks and write the pages; returns the line for the user."""
    from scripts.report import chain

    begin = time.monotonic()
    chosen = chain.plan(options.dataset, options.run, options.params, options.reports)
    chain.say(f"{one_line(chosen.reason)}\n")
    try:
        index = chain.execute(chosen, _tell, options.force)
    except (NotebookFailed, KeyboardInterrupt) as error:
        left = chain.unfinished(chosen)
        cause = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise type(error)(f"{cause}; {left}" if left else cause) from None
    minutes, seconds = divmod(round(time.monotonic() - begin), 60)
    shown = os.path.relpath(index) if index.is_relative_to(Path.cwd()) else index
    return f"{one_line(shown)} ({minutes} min {seconds} s)"


def pages(options: argparse.Namespace) -> str:
    """Write the pages of a run folder, whoever filled it."""
    from scripts.report import Run
    from scripts.report import pages as of_run

    run = Run(options.folder)
    run.need("params.yaml")  # or it is no run
    of_run.write_pages(run)
    run.enter_pages(_tell(run))
    return one_line(run.path("index.html"))


def _tell(run: Run) -> list[str]:
    """Write the story of a run; returns the names of its files. What it imports takes a moment."""
    from scripts import story

    return story.write(run)


def settings(options: argparse.Namespace) -> str:
    """All settings with defaults and meanings, as YAML."""
    from scripts.report import chain
    from scripts.report import settings as schema

    return schema.described(chain.notebooks())


def score(options: argparse.Namespace) -> str:
    """Frequencies, axes and scores of cells by the model of a run; returns sentences on them and the file's path."""
    from scripts import cells, reading, report, sources

    source = sources.resolve(options.cells)
    out = Path(options.out or f"{source.name}.scores.csv")
    if out.suffix not in (".csv", ".h5ad") or out.resolve() in {file.resolve() for file in source.files}:
        raise InputError(f"--out {out} is not possible: name another file that ends on .csv or .h5ad")
    run = report.Run(options.run)
    whole = "model_with_pairs.safetensors"  # which there is once 04_interpret has been run
    model = reading.Scorer.load(run.need(whole if run.path(whole).exists() else "model.safetensors"))
    made = run.settings().get("notebooks", {})
    n_modules = made.get("04_interpret", {}).get("n_modules", reading.N_MODULES)
    adata = source.read() if source.read else cells.read(Path(source.source))
    scores = reading.score(adata, model, n_modules, options.layer, source.name)
    is_marked = made.get("01_data", {}).get("csv_safe", False)
    writers = {
        ".csv": lambda path: report.write_table(scores.reset_index(names="cell"), path, is_marked),
        ".h5ad": lambda path: report.write_cells(reading.as_cells(scores, adata.obs), path),
    }
    report.Run(out.parent).write(out.name, writers[out.suffix])
    said = scores.attrs["said"]
    if batch := made.get("01_data", {}).get("batch"):
        said = [*said, f"The cells of the run were corrected for their batches ({batch}), these were not."]
    if columns := made.get("01_data", {}).get("regress"):
        told = f"The model is of what {', '.join(columns)} leave of expression and frequencies"
        said = [*said, f"{told}: of these cells nothing was taken out, and their scores may follow the same again."]
    return "\n".join(map(one_line, [*said, out]))


class _Parser(argparse.ArgumentParser):
    """Names in its messages are those of the user's files, perhaps."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        super().error(one_line(message))


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    description = "Along which directions do the cells of a tissue vary, and which genes tell its branches apart?"
    parser = _Parser("python -m scripts", description=description, epilog=HELP, formatter_class=raw)
    commands = parser.add_subparsers(required=True, metavar="report | pages | settings | score")
    found = commands.add_parser(
        "report", help="execute the notebooks and write the pages", epilog=HELP, formatter_class=raw
    )
    found.add_argument("--dataset", default="auto", help="name of a data set, or path of an .h5ad file (default: auto)")
    found.add_argument("--run", help="name of the run folder (default: name of the data set)")
    found.add_argument("--params", metavar="FILE.yaml", help="settings that differ from the notebooks' defaults")
    found.add_argument("--reports", default="reports", help="folder of all runs (default: reports)")
    found.add_argument("--force", action="store_true", help="compute everything again, also what has not changed")
    found.set_defaults(command=report)
    found = commands.add_parser("pages", help="write the pages of a run folder, also one filled in JupyterLab")
    found.add_argument("folder", help="run folder, such as reports/paul15")
    found.set_defaults(command=pages)
    found = commands.add_parser("settings", help="list all settings with their defaults and meanings")
    found.set_defaults(command=settings)
    found = commands.add_parser("score", help="frequencies, axes and scores of other cells by the model of a run")
    found.add_argument("cells", help="file or folder of cells, or name of a data set")
    found.add_argument("--run", required=True, help="run folder, such as reports/paul15")
    found.add_argument("--layer", default="", help="layer that holds the counts, or raw (default: as for a run)")
    found.add_argument("--out", help="table (.csv) or cells x scores (.h5ad); default: <name of the cells>.scores.csv")
    found.set_defaults(command=score)
    return parser


def _ignore(*_: object) -> None:
    """Stands for SIG_IGN, which kernels would inherit: they could not be interrupted."""


def _stop(*_: object) -> None:
    """End a run as Ctrl-C does, also in the background, where shells have Ctrl-C ignored."""
    if signal.getsignal(signal.SIGINT) is _ignore:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _stop)
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, _ignore)
    try:
        said, status = options.command(options), 0
    except InputError as error:
        said, status = one_line(error), 2
    except KeyboardInterrupt as error:
        said, status = one_line(error) or "interrupted", 130
    except NotebookFailed as error:
        said, status = one_line(error), 1
    except BrokenPipeError:
        return 1
    except Exception as error:  # a fault of the program: one line here, the rest for whoever mends it
        with tempfile.NamedTemporaryFile("w", prefix="bmlp-", suffix=".log", delete=False) as log:
            traceback.print_exc(file=log)
        said, status = f"{type(error).__name__}: {one_line(error)} (traceback in {log.name})", 1
    with undisturbed() as signals:
        with contextlib.suppress(BrokenPipeError):  # whoever has closed the output wants to hear nothing
            print(f"error: {said}" if status else said, file=sys.stderr if status else sys.stdout, flush=True)
        signals.clear()  # all is done
    return status


if __name__ == "__main__":
    sys.exit(main())
