"""The chain of notebooks that fills a run folder: `python -m scripts.runs report`.

Slow imports stay inside the functions that need them: `--help` and error messages come at once.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import yaml

from scripts.runs import ASIDE, REPOSITORY, Run

if TYPE_CHECKING:
    from scripts.kernels import Kernel

NOTEBOOKS = REPOSITORY / "notebooks"
INDEPENDENT = "independent"  # metadata of a notebook that reads no file of the run
RESERVED = {"dataset": "--dataset", "run_dir": "--run"}  # parameters that the chain sets
EXPECTED_ERRORS = {"ValueError", "FileNotFoundError", "ConnectionError", "TimeoutError"}  # their message says enough
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


def execute(run: Run, steps: list[tuple[Path, dict]], kernel: Kernel | None = None) -> None:
    """Execute the notebooks in order into the run folder; NotebookFailed names the first that stops.

    Notebooks that are marked as independent are executed beside the others, in a second kernel. A kernel that has been
    started before is used, and stopped at the end.
    """
    from scripts.kernels import Kernel

    jobs = [
        _Job(f"[{number}/{len(steps)}] {path.stem}", path, values) for number, (path, values) in enumerate(steps, 1)
    ]
    beside = [job for job in jobs if _is_independent(job.notebook)]
    in_order = [job for job in jobs if job not in beside]
    if not in_order:
        beside, in_order = [], jobs
    is_new = not run.folder.exists()
    run.start()
    try:
        with kernel or Kernel(steps[0][0].parent) as kernel:
            if beside:
                _execute_both(run, in_order, beside, kernel)
            else:
                _execute_in_order(run, in_order, kernel)
    except BaseException:  # the kernels are stopped by now, and write no more
        for aside in run.folder.glob(ASIDE + "*"):  # a kernel that was killed could not clean up
            aside.unlink()
        if is_new and not any(run.path(job.notebook.name).exists() for job in in_order):
            shutil.rmtree(run.folder)
        raise


class _Job(NamedTuple):
    label: str
    notebook: Path
    parameters: dict


def _is_independent(notebook: Path) -> bool:
    import nbformat

    return nbformat.read(notebook, as_version=4).metadata.get(INDEPENDENT) is True


def _execute_both(run: Run, in_order: list[_Job], beside: list[_Job], kernel: Kernel) -> None:
    """Execute `in_order` in the kernel, and at the same time `beside` in a second one."""
    from scripts.kernels import Kernel

    with Kernel(beside[0].notebook.parent, threads=1) as second, ThreadPoolExecutor(1) as pool:
        others = pool.submit(_execute_in_order, run, beside, second, is_beside=True)
        try:
            for job in in_order:
                _execute_in_order(run, [job], kernel)
                if others.done():
                    others.result()  # raises if one has failed
            others.result()
        except BaseException:
            second.kill()  # else the end of this block would wait for its notebook
            raise


def _execute_in_order(run: Run, jobs: list[_Job], kernel: Kernel, is_beside: bool = False) -> None:
    for job in jobs:
        with _clock(job.label, is_beside):
            _execute_one(run, job.notebook, job.parameters, kernel)


def _execute_one(run: Run, notebook: Path, parameters: dict, kernel: Kernel) -> None:
    import nbformat
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError

    try:
        executed = kernel.execute(notebook, parameters)
    except DeadKernelError as error:
        raise NotebookFailed(f"{notebook.stem}: Python died, perhaps for lack of memory") from error
    except PapermillExecutionError as error:
        if error.ename not in EXPECTED_ERRORS:
            _say("\n".join(["", *error.traceback, ""]))
        named = "" if error.ename in EXPECTED_ERRORS else f"{error.ename}: "
        raise NotebookFailed(f"{notebook.stem}: {named}{_one_line(error.evalue)}") from error
    run.write(notebook.name, lambda aside: nbformat.write(executed, aside))


@contextlib.contextmanager
def _clock(label: str, is_beside: bool = False) -> Iterator[None]:
    """Print `label ... 41 s` on stderr at the end; on a terminal each second too, unless it is beside another line."""
    begin, done, on_terminal = time.monotonic(), threading.Event(), sys.stderr.isatty()

    def show(end: str = "") -> None:
        erase = "\r\x1b[K" if on_terminal else ""  # of the running line, which may be that of another notebook
        _say(f"{erase}{label} ... {time.monotonic() - begin:.0f} s{end}")

    def tick() -> None:
        show()
        while not done.wait(1):
            show()

    ticker = threading.Thread(target=tick, daemon=True)
    if on_terminal and not is_beside:
        ticker.start()
    try:
        yield
    finally:
        done.set()
        if ticker.is_alive():
            ticker.join()
        show(end="\n")


def _say(text: str) -> None:
    """Write on stderr whole: lines of two threads do not mix."""
    sys.stderr.write(text)
    sys.stderr.flush()


def _one_line(error: object) -> str:
    return " ".join(str(error).split())


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    begin = time.monotonic()
    status = 1
    try:
        from scripts.kernels import SLOW_MODULES, Kernel

        with Kernel(NOTEBOOKS) as kernel, ThreadPoolExecutor(1) as aside:
            kernel.preload(SLOW_MODULES)  # before the plan, which has slow imports of its own
            status = 2
            run, steps, reason = plan(options.dataset, options.run, options.params, options.reports)
            status = 1
            _say(f"{reason}\n")
            aside.submit(importlib.import_module, "scripts.pages")  # takes a moment, which the notebooks leave
            execute(run, steps, kernel)
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
