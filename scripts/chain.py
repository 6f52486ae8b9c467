"""The chain of notebooks that fills a run folder: `python -m scripts.runs report`.

Slow imports stay inside the functions that need them: `--help` and error messages come at once.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from scripts.runs import ASIDE, Run

if TYPE_CHECKING:
    from jupyter_client.manager import KernelManager

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = REPOSITORY / "notebooks"
RESERVED = {"dataset": "--dataset", "run_dir": "--run"}  # parameters that the chain sets
EXPECTED_ERRORS = {"ValueError", "FileNotFoundError", "ConnectionError", "TimeoutError"}  # their message says enough
KERNEL_ENVIRONMENT = {
    "PLOTLY_RENDERER": "plotly_mimetype",  # figures as JSON, which the pages draw
    "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else each kernel warns on stderr about its debugger
}
DESCRIPTION = "Execute all notebooks on one data set and write HTML pages into reports/<run>/."
HELP = """\
examples:
  python -m scripts.runs report
  python -m scripts.runs report --dataset paul15 --run first
  python -m scripts.runs report --dataset my_cells.h5ad --params settings.yaml

settings.yaml holds parameters of the notebooks, one to a line, such as
  n_epochs: 100
  lr: 1.0e-3

exit status: 0 done; 1 a notebook failed; 2 a wrong option, setting or data set, nothing was started; 130 interrupted
"""


class NotebookFailed(Exception):
    """A notebook of the chain stopped; the message is one line."""


def plan(dataset: str, name: str | None, params: str | None, reports: str, folder: Path = NOTEBOOKS):
    """Check everything that can be checked before anything is made on disk.

    Parameters
    ----------
    dataset, name, params, reports : str
        The options of the command line.
    folder : Path
        Where the notebooks `NN_name.ipynb` are.

    Returns
    -------
    (Run, list of (Path, dict), str)
        The run, each notebook with its parameters, and the sentence on the data.

    Raises
    ------
    ValueError, OSError
        With one line: the data set, the run name or a setting is wrong.
    """
    import papermill

    from scripts.sources import resolve

    notebooks = sorted(Path(folder).resolve().glob("[0-9][0-9]_*.ipynb"))
    known = {notebook: papermill.inspect_notebook(notebook) for notebook in notebooks}
    given = _read_params(params, set().union(*known.values())) if params else {}
    steps = [
        (notebook, {key: _like_default(key, given[key], parameters[key]) for key in parameters if key in given})
        for notebook, parameters in known.items()
    ]
    if name is not None:
        _check_name(name)
    source = resolve(dataset)  # last: it may have to ask the web
    run = Run(Path(reports) / (name or source.name))
    fixed = {"dataset": source.source, "run_dir": str(run.folder.resolve())}
    for notebook, values in steps:
        values.update({key: fixed[key] for key in RESERVED if key in known[notebook]})
    return run, steps, source.reason


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError(f"run name {name!r}: use letters, digits, '.', '_' and '-', and no '.' at the start")


def _read_params(file: str, known: set[str]) -> dict:
    """Settings of a YAML file, their names checked against those of the notebooks."""
    try:
        params = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no YAML file: {_one_line(error)}") from error
    if not isinstance(params, dict):
        raise ValueError(f"{file}: expected lines such as 'n_epochs: 100'")
    for key in map(str, params):
        if key in RESERVED:
            raise ValueError(f"{file}: {key!r} is set by {RESERVED[key]}, not in this file")
        if key not in known:
            close = difflib.get_close_matches(key, known - set(RESERVED), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known - set(RESERVED)))}"
            raise ValueError(f"{file}: no notebook has a setting {key!r}; {hint}")
    return params


def _like_default(name: str, value: object, parameter: dict) -> object:
    """Value in the type of the notebook's default: YAML reads 1e-3 as text."""
    try:
        kind = type(ast.literal_eval(parameter["default"]))
    except (ValueError, SyntaxError):
        return value
    kind = float if kind is int and parameter["inferred_type_name"] == "float" else kind
    if value is None or kind not in (bool, int, float, str) or type(value) is kind:
        return value
    if kind in (int, float) and not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError):
            number = float(value)
            if kind is float or number.is_integer():
                return kind(number)
    expected = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[kind]
    raise ValueError(f"setting {name!r}: expected {expected}, found {value!r}")


def execute(run: Run, steps: list[tuple[Path, dict]]) -> None:
    """Execute the notebooks in order into the run folder; NotebookFailed names the first that stops."""
    os.environ.update(KERNEL_ENVIRONMENT)
    is_new = not run.folder.exists()
    run.start()
    try:
        with _kernel(steps[0][0].parent) as kernel:
            for number, (notebook, parameters) in enumerate(steps, 1):
                with _clock(f"[{number}/{len(steps)}] {notebook.stem}"):
                    _execute_one(run, notebook, parameters, kernel)
    except BaseException:
        for aside in run.folder.glob(ASIDE + "*"):  # a kernel that was killed could not clean up
            aside.unlink()
        if is_new and not run.notebooks():
            shutil.rmtree(run.folder)
        raise


@contextlib.contextmanager
def _kernel(folder: Path) -> Iterator[KernelManager]:
    """One Python process for all notebooks: what they import is imported once. It starts in folder."""
    from jupyter_client.manager import KernelManager

    kernel = KernelManager(kernel_name="python3")
    kernel.start_kernel(cwd=str(folder), extra_arguments=["--IPKernelApp.log_level=CRITICAL"])  # keeps the clock's line
    try:
        yield kernel
    finally:
        kernel.shutdown_kernel(now=True)


def _forget(kernel: KernelManager) -> None:
    """Delete all names of the last notebook, so that the next one cannot lean on them."""
    client = kernel.blocking_client()
    client.start_channels()
    client.wait_for_ready()
    client.execute_interactive("%reset -f", silent=True, store_history=False)
    client.stop_channels()


def _execute_one(run: Run, notebook: Path, parameters: dict, kernel: KernelManager) -> None:
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError

    try:  # no output path: papermill would leave a half-executed notebook there
        _forget(kernel)
        executed = papermill.execute_notebook(
            notebook,
            None,
            parameters,
            kernel_name="python3",
            cwd=notebook.parent,
            progress_bar=False,
            km=kernel,
        )
    except DeadKernelError as error:
        raise NotebookFailed(f"{notebook.stem}: Python died, perhaps for lack of memory") from error
    except papermill.PapermillExecutionError as error:
        if error.ename not in EXPECTED_ERRORS:
            print("", *error.traceback, sep="\n", file=sys.stderr)
        named = "" if error.ename in EXPECTED_ERRORS else f"{error.ename}: "
        raise NotebookFailed(f"{notebook.stem}: {named}{_one_line(error.evalue)}") from error
    run.write(notebook.name, lambda aside: nbformat.write(executed, aside))


@contextlib.contextmanager
def _clock(label: str) -> Iterator[None]:
    """Print `label ... 41 s` on stderr: each second on a terminal, once at the end in a log."""
    begin, done = time.monotonic(), threading.Event()

    def show(end: str = "") -> None:
        head = f"\r{label} ..." if sys.stderr.isatty() else ""
        print(f"{head} {time.monotonic() - begin:.0f} s", end=end, file=sys.stderr, flush=True)

    def tick() -> None:
        while not done.wait(1):
            show()

    print(f"{label} ...", end="", file=sys.stderr, flush=True)
    ticker = threading.Thread(target=tick, daemon=True)
    if sys.stderr.isatty():
        ticker.start()
    try:
        yield
    finally:
        done.set()
        if ticker.is_alive():
            ticker.join()
        show(end="\n")


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    begin = time.monotonic()
    status = 2
    try:
        run, steps, reason = plan(options.dataset, options.run, options.params, options.reports)
        status = 1
        print(reason, file=sys.stderr)
        execute(run, steps)
        with _clock("pages"):
            from scripts.pages import write_pages

            index = write_pages(run)
    except (NotebookFailed, ValueError, OSError) as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return status
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130
    minutes, seconds = divmod(round(time.monotonic() - begin), 60)
    print(f"{index} ({minutes} min {seconds} s)")
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m scripts.runs", description=DESCRIPTION, epilog=HELP, formatter_class=raw
    )
    commands = parser.add_subparsers(required=True, metavar="report")
    report = commands.add_parser(
        "report", help="execute the notebooks and write the pages", epilog=HELP, formatter_class=raw
    )
    report.add_argument(
        "--dataset", default="auto", help="name of a data set, or path of an .h5ad file (default: auto)"
    )
    report.add_argument("--run", help="name of the run folder (default: name of the data set)")
    report.add_argument("--params", metavar="FILE.yaml", help="settings that differ from the notebooks' defaults")
    report.add_argument("--reports", default="reports", help="folder of all runs (default: reports)")
    return parser
