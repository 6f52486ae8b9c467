"""The chain of notebooks that fills a run folder.

A run is built aside, in a folder beside the finished one, and takes its place when it is done: the finished run is
whole at every moment. Notebooks whose recipe has not changed are taken over from the finished or an unfinished run;
those that read no file of a run from any run before, as they are kept beside the runs.

Slow imports stay inside the functions that need them: `--help` and error messages come at once.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.console import Progress
from scripts.errors import InputError, MissingError, NotebookFailed, OfflineError, one_line
from scripts.parallel import undisturbed
from scripts.report import files, ledger
from scripts.report.ledger import Ledger, Step
from scripts.report.run import ASIDE, MAKERS, RECORDED, SHARED, Run, holding
from scripts.report.settings import NOTEBOOKS, check_name, checked, from_file, parameters

if TYPE_CHECKING:
    from scripts.report.kernel import Kernel
    from scripts.sources import Source

KEPT = ".appendices"  # folder beside the runs: independent notebooks as executed, one folder for each recipe
Found = tuple[Path, Ledger, dict]  # a folder, its ledger and its record
Line = Callable[[], AbstractContextManager[Callable[[], None]]]  # shows a notebook from its beginning, see `Progress`
EXPECTED = {error.__name__ for error in (InputError, MissingError, OfflineError)}  # their message says enough


@dataclass(frozen=True)
class Plan:
    """A run that has been checked, as far as that can be done before it is made.

    Attributes
    ----------
    folder : Path
        Of the finished run, which need not exist.
    steps : list of Step
    reason : str
        The sentence on the data set.
    """

    folder: Path
    steps: list[Step]
    reason: str

    @property
    def aside(self) -> Path:
        """Folder that the run is built in."""
        return self.folder.parent / f".{self.folder.name}.unfinished"

    @property
    def former(self) -> Path:
        """Folder of the run that has just been replaced."""
        return self.folder.parent / f".{self.folder.name}.former"

    def kept(self, step: Step) -> Path:
        """Folder that an independent notebook is kept in, for all runs."""
        return self.folder.parent / KEPT / f"{step.stem}-{step.recipe.id}"


def version() -> str:
    """Checksum of the program that notebooks run and of its libraries, alike where results are."""
    return ledger.code_checksum(Path("no notebook"))


def notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks of a chain in order, appendices last."""
    folder = folder.resolve()
    return [*sorted(folder.glob("[0-9][0-9]_*.ipynb")), *sorted(folder.glob("appendix_*.ipynb"))]


def plan(
    dataset: str | Source, name: str | None, params: str | dict[str, Any] | None, reports: str, folder: Path = NOTEBOOKS
) -> Plan:
    """Check everything that can be checked before anything is made on disk.

    Parameters
    ----------
    dataset, name, params, reports : str
        The options of the command line; dataset may also be one that was found, params the settings themselves.
    folder : Path
        Of the notebooks.

    Raises
    ------
    InputError
        With one line: the data set, the run's name or folder, or a setting is wrong.
    """
    from scripts.sources import resolve

    found = notebooks(folder)
    given = from_file(params, found) if isinstance(params, str) and params else dict(params or {})
    for notebook in found:
        checked(notebook, given)
    if name is not None:
        check_name(name)
    source = resolve(dataset) if isinstance(dataset, str) else dataset  # last: it may have to ask the web
    check_name(name or source.name)
    target = Path(reports).expanduser().resolve() / (name or source.name)
    files = tuple(str(path) for path in source.files)
    _check_folder(target, files)
    steps = []
    for notebook in found:
        settings = checked(notebook, given | {"dataset": source.source})
        settings.pop("run_dir", None)
        steps.append(Step(notebook, settings, files if "dataset" in parameters(notebook) else ()))
    return Plan(target, steps, source.reason)


def _check_folder(folder: Path, files: tuple[str, ...]) -> None:
    """InputError for a folder that must not be replaced."""
    other = "choose another --run or --reports"
    if folder.is_symlink():
        raise InputError(f"{folder} is a link, whose target is not for this program to replace: {other}")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: {other}")
    parent = next(parent for parent in folder.parents if parent.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(
            f"{folder} cannot be written ({parent} is {'read-only' if parent.is_dir() else 'a file'}): {other}"
        )
    if folder.is_dir() and any(folder.iterdir()) and not ledger.is_made_here(folder):
        raise InputError(f"{folder} holds files, but no run of this program (no {ledger.NAME}): {other}")
    for file in files:
        if Path(file).is_relative_to(folder):
            raise InputError(f"{file} lies in {folder}, which the run would replace: move it, or choose another --run")


def execute(
    chosen: Plan, tell: Callable[[Run], Iterable[str]], force: bool = False, others: Iterable[Path] = ()
) -> Path:
    """Build the run aside, take over what has not changed, write its pages, and put it in its place.

    Parameters
    ----------
    chosen : Plan
    tell : callable
        Writes what the run has found, `index.html` among it, and returns the names of the files.
    force : bool
        Compute everything again.
    others : iterable of Path
        Folders of finished runs, too, that notebooks may be taken over from.

    Returns
    -------
    Path
        `index.html` of the finished run.

    Raises
    ------
    NotebookFailed, InputError
        The finished run is as it was; `unfinished` says where the other one is.
    """
    with holding(chosen.folder):
        _recover(chosen)
        shutil.rmtree(chosen.aside / SHARED, ignore_errors=True)  # of a run that was killed
        if not force and not chosen.aside.exists() and _is_whole(chosen):
            return chosen.folder / "index.html"
        folders = (chosen.aside, chosen.folder, *others)
        found = [] if force else [(path, *known) for path in folders if (known := _known(path))]
        if chosen.aside not in [folder for folder, *_ in found]:
            _delete(chosen.aside)
        try:
            with Progress() as progress:
                _build(chosen, found, force, progress)
                with progress.line("pages"):
                    from scripts.report import pages

                    run = Run(chosen.aside)
                    pages.write_pages(run)
                    run.enter_pages(tell(run))
            with undisturbed() as signals:
                _put_in_place(chosen)
                signals.clear()  # of a run that is done
        except BaseException as error:
            _leave(chosen)
            if isinstance(error, OSError) and files.is_full(error):
                error = files.not_written(chosen.aside, error)
            if isinstance(error, InputError):
                raise NotebookFailed(one_line(error)) from error
            raise
        finally:
            for lock in chosen.folder.parent.glob(f".{chosen.aside.name}.*.lock"):  # of a notebook that was killed
                lock.unlink(missing_ok=True)
    return chosen.folder / "index.html"


def _is_whole(chosen: Plan) -> bool:
    """Whether the finished run is what the plan would make, to the last page."""
    known = (_known(chosen.folder) or (Ledger(), {}))[0]
    pages = [f"{step.stem}.html" for step in chosen.steps] + ["index.html"]
    return (
        known.pages == ledger.code_checksum()
        and set(known.notebooks) == {step.stem for step in chosen.steps}
        and all(known.holds(step, chosen.folder, known) for step in chosen.steps)
        and all((chosen.folder / page).is_file() for page in pages)
    )


def _build(chosen: Plan, found: list[Found], force: bool, progress: Progress) -> None:
    """Fill the folder aside: take over what holds in the folders found, or is kept; execute the rest."""
    run, now, record = Run(chosen.aside), Ledger(), {}
    if not chosen.aside.exists():
        run.start(now, record)
    missing = []
    for step in chosen.steps:
        is_found = any(_take_over(step, other, run, now, record) for other in found)
        if is_found or (not force and _take_kept(chosen, step, run, now, record)):
            _name_folder(run, f"{step.stem}.ipynb", now)
        else:
            missing.append(step)
    run.start(now, record)
    if missing:
        folders = [chosen.folder, *(folder for folder, *_ in found)]
        lines = {
            step.stem: partial(
                progress.line, f"[{number}/{len(chosen.steps)}] {step.stem}", step.n_cells, step.seconds(folders)
            )
            for number, step in enumerate(chosen.steps, 1)
            if step in missing
        }
        _execute_all(run, missing, lines)
    for step in chosen.steps:
        if step.is_independent:
            _keep(chosen, step, is_new=step in missing)


def _known(folder: Path) -> tuple[Ledger, dict] | None:
    """Ledger and record of a folder; None where none can be read: all is computed again then."""
    if ledger.is_made_here(folder):
        with contextlib.suppress(InputError):
            return Ledger.load(folder), Run(folder).settings()
    return None


def _take_over(step: Step, found: Found, run: Run, now: Ledger, record: dict) -> bool:
    """Link the files of a notebook from a folder where they hold, and enter them; whether they do."""
    folder, known, recorded = found
    if not known.holds(step, folder, now):
        return False
    for name in known.files_of(step.stem) if folder != run.folder else []:
        (run.folder / name).unlink(missing_ok=True)
        try:
            os.link(folder / name, run.folder / name)  # files are replaced, never changed
        except OSError:
            shutil.copy2(folder / name, run.folder / name)
    now.files |= {name: known.files[name] for name in known.files_of(step.stem)}
    now.notebooks[step.stem] = known.notebooks[step.stem]
    for part in RECORDED:
        kept = {stem: entry for stem, entry in recorded.get(part, {}).items() if stem == step.stem}
        record.setdefault(part, {}).update(kept)
    return True


def _take_kept(chosen: Plan, step: Step, run: Run, now: Ledger, record: dict) -> bool:
    """Take over an independent notebook as another run has executed it; whether there is one."""
    folder = chosen.kept(step)
    with contextlib.suppress(InputError, OSError), holding(folder.parent, timeout=60):
        known = _known(folder)
        return known is not None and _take_over(step, (folder, *known), run, now, record)
    return False


def _keep(chosen: Plan, step: Step, is_new: bool = True) -> None:
    """Keep an independent notebook for other runs, in place of those of other code; where it cannot be, it is not.

    is_new : whether it has just been executed; else it is kept if it is not yet, as after a run that was killed here.
    """
    folder, known = chosen.kept(step), _known(chosen.aside)
    with contextlib.suppress(InputError, OSError), holding(folder.parent, timeout=60):
        kept, now, record = Run(folder.parent / f"{ASIDE}{step.stem}"), Ledger(), {}
        _delete(kept.folder)  # of a run that was killed here
        if folder.exists() and not is_new:
            return
        kept.start(now, record)
        if known and _take_over(step, (chosen.aside, *known), kept, now, record):
            kept.start(now, record)
            for other in folder.parent.glob(f"{step.stem}-*"):
                entry = (_known(other) or (Ledger(), {}))[0].notebooks.get(step.stem)
                if other == folder or entry is None or entry.code != step.recipe.code:
                    _delete(other)
            os.rename(kept.folder, folder)
        else:  # the code was changed under it
            _delete(kept.folder)


def _name_folder(run: Run, name: str, now: Ledger) -> None:
    """Let a notebook that was taken over name the folder of this run, and no other run's."""
    import nbformat

    executed, folder = nbformat.read(run.path(name), as_version=4), run.folder.parent / run.name
    if executed.metadata.papermill.parameters["run_dir"] != str(folder):
        files.name_folder(executed, folder)
        run.write(name, lambda aside: nbformat.write(executed, aside))
        now.files[name] = now.files[name] | {"sha256": ledger.checksum(run.path(name))}


def _execute_all(run: Run, missing: list[Step], lines: Mapping[str, Line]) -> None:
    """Execute notebooks in order; those that are independent beside the others, in a second kernel.

    lines : by notebook, what shows how far it is.

    The notebooks are executed in threads, and this one does nothing but wait for them or for a signal: one that came
    while modules are imported would leave Python's lock on imports locked, and all threads waiting.
    """
    from scripts.report.kernel import SLOW_MODULES, Kernel

    beside = [step for step in missing if step.is_independent]
    in_order = [step for step in missing if step not in beside]
    if not in_order:
        beside, in_order = [], missing
    start = partial(Kernel, missing[0].notebook.parent, run.folder)
    stopping, failed = threading.Event(), None
    with undisturbed() as signals, contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, run.folder / SHARED, ignore_errors=True)
        kernels = [stack.enter_context(start())]
        kernels[0].preload(SLOW_MODULES)
        if beside:
            kernels.append(stack.enter_context(start(threads=1)))
        with ThreadPoolExecutor(3) as threads:
            threads.submit(importlib.import_module, "scripts.report.pages")  # takes a moment, which notebooks leave
            running = {
                threads.submit(_execute_in_order, run, part, lines, kernel, stopping)
                for part, kernel in zip([in_order, beside], kernels, strict=False)
            }
            while running and not signals:
                done, running = wait(running, timeout=0.2, return_when=FIRST_EXCEPTION)
                failed = failed or next((task for task in done if task.exception()), None)
                if failed:  # the notebook that is being executed in order is not in vain
                    stopping.set()
                for kernel in kernels[1:] if failed else []:
                    kernel.kill()
            for kernel in kernels if signals else []:
                kernel.kill()  # its notebook fails within a second or so
        if failed:
            failed.result()


def _execute_in_order(
    run: Run, steps: list[Step], lines: Mapping[str, Line], kernel: Kernel, stopping: threading.Event
) -> None:
    for step in steps:
        if not stopping.is_set():
            with lines[step.stem]() as advance:
                _execute_one(run, step, kernel, advance)


def _execute_one(run: Run, step: Step, kernel: Kernel, advance: Callable[[], None]) -> None:
    import nbformat
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError

    try:
        executed = kernel.execute(step.notebook, step.settings | {"run_dir": str(run.folder)}, advance)
    except DeadKernelError as error:
        raise NotebookFailed(f"{step.stem}: Python died, perhaps for lack of memory") from error
    except PapermillExecutionError as error:
        if error.ename in EXPECTED:
            raise NotebookFailed(f"{step.stem}: {one_line(error.evalue)}") from None
        log = _log(run, "\n".join(error.traceback))
        raise NotebookFailed(f"{step.stem}: {error.ename}: {one_line(error.evalue)} (traceback in {log})") from None
    files.name_folder(executed, run.folder.parent / run.name)
    run.write(f"{step.stem}.ipynb", lambda aside: nbformat.write(executed, aside))
    run.enter(step.stem, f"{step.stem}.ipynb", step.recipe)


def _log(run: Run, text: str) -> Path:
    """Keep a traceback beside the run folders, without the colours of a terminal."""
    name = run.folder.name.lstrip(".").removesuffix(".unfinished")
    path = run.folder.parent / f"{name}.log"
    path.write_text(re.sub(r"\x1b\[[0-9;]*m", "", text) + "\n", encoding="utf-8")
    return path


def _put_in_place(chosen: Plan) -> None:
    """Let the folder aside take the place of the finished run; files that are not the program's move along."""
    if chosen.folder.exists():
        os.rename(chosen.folder, chosen.former)
    os.rename(chosen.aside, chosen.folder)
    _recover(chosen)
    (chosen.folder.parent / f"{chosen.folder.name}.log").unlink(missing_ok=True)


def _recover(chosen: Plan) -> None:
    """Finish, or undo, a replacement that was killed half-way."""
    if not chosen.former.exists():
        return
    if not chosen.folder.exists():
        os.rename(chosen.former, chosen.folder)
        return
    known = _known(chosen.former)
    makers = {step.stem for step in chosen.steps}
    of_program = makers | {ledger.PAGES}
    made = {name for name, entry in known[0].files.items() if entry["maker"] in of_program} if known else set(MAKERS)
    made |= {f"{stem}.ipynb" for stem in makers} | {ledger.NAME, "params.yaml", "index.html"}
    for path in chosen.former.iterdir():
        is_page = path.suffix == ".html" and f"{path.stem}.ipynb" in made
        if path.name not in made and not is_page and not (chosen.folder / path.name).exists():
            os.rename(path, chosen.folder / path.name)
    _delete(chosen.former)


def _delete(folder: Path) -> None:
    """Delete a folder of this program's, and no other; never what a link points to."""
    is_begun = folder.is_dir() and not folder.is_symlink() and all(p.name.startswith(ASIDE) for p in folder.iterdir())
    if is_begun or ledger.is_made_here(folder):
        shutil.rmtree(folder)
    elif folder.is_symlink() or folder.exists():
        raise InputError(f"{folder} is in the way, and was not made by this program: move it")


def _leave(chosen: Plan) -> None:
    """After a failure: keep what was done, if a notebook was; the kernels are stopped by now, and write no more."""
    done, finished = ((_known(folder) or (Ledger(), {}))[0] for folder in (chosen.aside, chosen.folder))
    stems = done.notebooks.keys() - {step.stem for step in chosen.steps if chosen.kept(step).exists()}
    if not any(f"{stem}.ipynb" in done.files and finished.id_of(stem) != done.id_of(stem) for stem in stems):
        _delete(chosen.aside)


def unfinished(chosen: Plan) -> str:
    """What to say of an unfinished run; empty where nothing of it is left."""
    kept = f"{chosen.folder} is as it was; " if chosen.folder.exists() else ""
    if not chosen.aside.exists():
        return kept.removesuffix("; ")
    return f"{kept}what is done lies in {chosen.aside}: start again to go on from there"
