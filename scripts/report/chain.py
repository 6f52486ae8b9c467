"""The chain of notebooks that fills a run folder.

Slow imports stay inside the functions that need them: `--help` and error messages come at once.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scripts import REPOSITORY
from scripts.report.run import ASIDE, Run, one_line
from scripts.report.settings import RESERVED, check_name, like_default, read_params

if TYPE_CHECKING:
    from scripts.report.kernel import Kernel

NOTEBOOKS = REPOSITORY / "notebooks"
INDEPENDENT = "independent"  # metadata of a notebook that reads no file of the run
EXPECTED_ERRORS = {"ValueError", "FileNotFoundError", "ConnectionError", "TimeoutError"}  # their message says enough


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
    given = read_params(params, set().union(*known.values())) if params else {}
    steps = [
        (notebook, {key: like_default(key, given[key], parameters[key]) for key in parameters if key in given})
        for notebook, parameters in known.items()
    ]
    if name is not None:
        check_name(name)
    source = resolve(dataset)  # last: it may have to ask the web
    run = Run(Path(reports) / (name or source.name))
    fixed = {"dataset": source.source, "run_dir": str(run.folder.resolve())}
    for notebook, values in steps:
        values.update({key: fixed[key] for key in RESERVED if key in known[notebook]})
    return run, steps, source.reason


def execute(run: Run, steps: list[tuple[Path, dict]], kernel: Kernel | None = None) -> None:
    """Execute the notebooks in order into the run folder; NotebookFailed names the first that stops.

    Notebooks that are marked as independent are executed beside the others, in a second kernel. A kernel that has been
    started before is used, and stopped at the end.
    """
    from scripts.report.kernel import Kernel

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
    from scripts.report.kernel import Kernel

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
        with clock(job.label, is_beside):
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
            say("\n".join(["", *error.traceback, ""]))
        named = "" if error.ename in EXPECTED_ERRORS else f"{error.ename}: "
        raise NotebookFailed(f"{notebook.stem}: {named}{one_line(error.evalue)}") from error
    run.write(notebook.name, lambda aside: nbformat.write(executed, aside))


@contextlib.contextmanager
def clock(label: str, is_beside: bool = False) -> Iterator[None]:
    """Print `label ... 41 s` on stderr at the end; on a terminal each second too, unless it is beside another line."""
    begin, done, on_terminal = time.monotonic(), threading.Event(), sys.stderr.isatty()

    def show(end: str = "") -> None:
        erase = "\r\x1b[K" if on_terminal else ""  # of the running line, which may be that of another notebook
        say(f"{erase}{label} ... {time.monotonic() - begin:.0f} s{end}")

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


def say(text: str) -> None:
    """Write on stderr whole: lines of two threads do not mix."""
    sys.stderr.write(text)
    sys.stderr.flush()
