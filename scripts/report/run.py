"""Run folders: one folder holds all that a run made, and `Run` is the only way its files are read and written."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import filelock
import yaml

from scripts.errors import InputError, MissingError
from scripts.report import files, ledger
from scripts.report.ledger import Entry, Ledger
from scripts.report.settings import checked, stored

if TYPE_CHECKING:
    import anndata
    import pandas as pd

MAKERS = {  # file of a run folder -> the notebook that makes it
    "params.yaml": "01_data",
    "cells.h5ad": "01_data",
    "all_cells.h5ad": "01_data",
    "scales.csv": "02_visualize",
    "scale_changes.csv": "02_visualize",
    "branches.csv": "02_visualize",
    "model.safetensors": "03_train",
    "history.csv": "03_train",
    "performance.csv": "03_train",
    "noise.csv": "03_train",
    "truncation.csv": "03_train",
    "stability.csv": "03_train",
    "agreement.csv": "03_train",
    "recurrence.csv": "03_train",
    "modules.csv": "04_interpret",
    "pairs.csv": "04_interpret",
    "model_with_pairs.safetensors": "04_interpret",
    "main_effects.csv": "04_interpret",
    "branch_genes.csv": "04_interpret",
    "comparison.csv": "05_compare",
    "covariates.csv": "05_compare",
    "panels.csv": "05_compare",
    "drivers.csv": "05_compare",
    "pole_stability.csv": "05_compare",
    "enrichment.csv": "06_go_terms",
    "programs.csv": "07_programs",
    "program_enrichment.csv": "07_programs",
    "program_terms.csv": "07_programs",
    "program_counts.csv": "07_programs",
    "program_shares.csv": "07_programs",
    "program_scores.csv": "07_programs",
    "model_of_programs.safetensors": "07_programs",
    "hierarchy.csv": "08_hierarchy",
    "cell_groups.csv": "08_hierarchy",
    "classes.csv": "09_classes",
    "class_modules.csv": "09_classes",
    "planted.csv": "appendix_planted_truth",
}
RECORDED = ("notebooks", "key_figures", "alerts")  # parts of params.yaml, by notebook
ASIDE = ".aside-"  # prefix of a file that is being written
SHARED = f"{ASIDE}shared"  # folder of a run that is being made, for what the workers of a cluster read
NOTHING = "<p>Nothing to list.</p>"  # what a notebook shows in place of a table without rows
IN_CHAIN = "BMLP_IN_CHAIN"  # environment variable that the chain gives to its kernels
T = TypeVar("T")


def open_run(notebook: str, names: MutableMapping[str, Any]) -> Run:
    """The run that a notebook belongs to, its parameters checked: its first line.

    Parameters
    ----------
    notebook : str
        Such as "03_train".
    names : dict
        `globals()` of the notebook. Its parameters are put back in the types that they should have.

    Raises
    ------
    InputError
        If a parameter is wrong, or the run is being made by another process.
    """
    settings = checked(stored(notebook), names)
    names.update(settings)
    run = Run(settings["run_dir"], notebook, settings)
    if not os.environ.get(IN_CHAIN):
        with holding(run.folder):  # by nobody else
            pass
    return run


class Run:
    """The folder of one run.

    Parameters
    ----------
    folder : str or Path
        `reports/<run>`; it need not exist before the first write.
    notebook : str
        Which notebook writes; empty for reading alone.
    settings : dict
        All parameters of that notebook.
    """

    def __init__(self, folder: str | Path, notebook: str = "", settings: dict | None = None):
        self.folder, self.notebook = Path(folder), notebook
        self.parameters = {name: value for name, value in (settings or {}).items() if name != "run_dir"}
        self._reads: dict[str, str] = {}
        self._outside: dict[str, list] = {}

    def path(self, name: str) -> Path:
        """Path of a file of the run, whether it exists or not."""
        return self.folder / name

    def need(self, name: str) -> Path:
        """Path of a file of the run, which is as its notebook made it, from what is there now.

        Raises
        ------
        MissingError, InputError
            Naming the notebook to run: the file is missing, was changed, or is older than what it was made from.
        """
        path, known = self.path(name), Ledger.load(self.folder)
        maker = known.files.get(name, {}).get("maker") or MAKERS.get(name, "01_data")
        if not path.is_file():
            raise MissingError(f"{path} is missing; run {maker}.ipynb first")
        if name not in known.files:
            raise InputError(f"{path} is not of this run (ledger.json does not name it); run {maker}.ipynb again")
        if ledger.checksum(path) != known.files[name]["sha256"]:
            raise InputError(f"{path} is damaged or was changed by another program; run {maker}.ipynb again")
        if name != "params.yaml":  # which every notebook writes to
            self._depend(known, name, path)
        return path

    def _depend(self, known: Ledger, name: str, path: Path) -> None:
        """Note the notebooks that a file was made by, and refuse it where one of them is out of date."""
        maker, parts = known.files[name]["maker"], known.files[name]["parts"]
        for stem in parts:
            if stem != maker and self.notebook and stem >= self.notebook:
                continue  # what this notebook or a later one has added to the file is not read by this one
            if stem in known.notebooks and (older := known.stale(stem)):
                raise InputError(f"{path} is older than what {older}.ipynb made since; run {stem}.ipynb again")
            if (current := known.id_of(stem)) is not None:
                self._reads[stem] = current

    def uses(self, paths: Iterable[str | Path]) -> None:
        """Note files from outside that the notebook reads: where they change, it has to be run again."""
        self._outside |= {str(Path(path).resolve()): ledger.outside(Path(path)) for path in paths}

    def take(self, kind: type[T], notebook: str = "", **more: object) -> T:
        """A dataclass filled by name from the parameters of this notebook, or from those recorded of another one.

        more : values of fields that are no parameters.
        """
        values = self.of(notebook) if notebook else self.parameters
        declared: Any = kind  # a dataclass, which no type variable can say
        names = {entry.name for entry in dataclasses.fields(declared) if entry.init}
        return kind(**({name: value for name, value in values.items() if name in names} | more))

    def of(self, notebook: str) -> dict:
        """Settings and facts that another notebook has recorded."""
        try:
            return self.settings()["notebooks"][notebook]
        except KeyError:
            raise MissingError(f"{self.folder} holds nothing of {notebook}.ipynb; run it first") from None

    @property
    def data(self) -> str:
        """One line on the cells of this run."""
        return str(self.of("01_data").get("data", ""))

    def settings(self) -> dict:
        """Content of `params.yaml`: `versions`; by notebook, settings in `notebooks`, `key_figures`, `alerts`."""
        path = self.need("params.yaml")
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            raise InputError(_damaged(path)) from None
        if not isinstance(settings, dict):
            raise InputError(_damaged(path))
        return settings

    def load_cells(self) -> anndata.AnnData:
        """Read `cells.h5ad`."""
        import anndata

        path = self.need("cells.h5ad")
        try:
            return anndata.read_h5ad(path)
        except MemoryError:  # which says nothing of the file
            raise
        except Exception:  # whatever the reader stumbles over, the file is not what 01_data wrote
            raise InputError(_damaged(path)) from None

    def load_table(self, name: str) -> pd.DataFrame:
        """Read a table of the run as its notebook had it."""
        path, is_marked = self.need(name), _is_marked(self.settings())
        try:
            return files.read_table(path, is_marked)
        except ValueError:
            raise InputError(_damaged(path)) from None

    def save(
        self,
        cells: anndata.AnnData | None = None,
        all_cells: anndata.AnnData | None = None,
        model: Any = None,
        model_with_pairs: Any = None,
        model_of_programs: Any = None,
        facts: dict | None = None,
        key_figures: dict[str, object] | None = None,
        alerts: Sequence[str] = (),
        **results: pd.DataFrame,
    ) -> None:
        """Write what the notebook made, and record its settings, versions and what it was made from.

        Parameters
        ----------
        cells : AnnData, optional
            For `cells.h5ad`; versions and all settings of the run go into its uns["bmlp"], as YAML.
        all_cells : AnnData, optional
            For `all_cells.h5ad`, likewise, where `cells` are a sample of them.
        model : optional
            For `model.safetensors`, written by its own `save(path)`.
        model_with_pairs : optional
            For `model_with_pairs.safetensors`, likewise.
        model_of_programs : optional
            For `model_of_programs.safetensors`, likewise.
        facts : dict, optional
            Recorded beside the settings.
        key_figures : {label: text}, optional
            For `index.html`.
        alerts : sequence of str
            What stands first on `index.html`.
        **results : DataFrame
            Written as CSV, without index, by their names; for spreadsheets, too, where 01_data was run with csv_safe.
        """
        writers: dict[str, Callable[[Path], object]] = {}
        stored_cells = {"cells.h5ad": cells, "all_cells.h5ad": all_cells}
        for name, some in stored_cells.items():
            if some is not None:
                writers[name] = partial(files.write_cells, some)
        models = {"model": model, "model_with_pairs": model_with_pairs, "model_of_programs": model_of_programs}
        for name, form in models.items():
            if form is not None:
                writers[f"{name}.safetensors"] = form.save
        with self._changing() as (known, record):
            for name, table in results.items():
                writers[f"{name}.csv"] = partial(files.write_table, table, is_marked=_is_marked(record))
            entry = Entry(
                ledger.code_checksum(stored(self.notebook)),
                _plain(self.parameters),
                dict(sorted(self._reads.items())),
                self._outside,
            )
            known.notebooks[self.notebook] = entry
            self._record(record, facts or {}, key_figures or {}, alerts)
            about = {"versions": _yaml(record["versions"]), "settings": _yaml(record["notebooks"])}
            for some in stored_cells.values():
                if some is not None:
                    some.uns["bmlp"] = some.uns.get("bmlp", {}) | about
            for name, writer in writers.items():
                self.write(name, writer)
                parts = known.files.get(name, {}).get("parts", {}) if MAKERS.get(name) != self.notebook else {}
                maker = MAKERS.get(name, self.notebook) if parts else self.notebook
                known.files[name] = {"sha256": "", "maker": maker, "parts": parts | {self.notebook: entry.id}}
                known.files[name]["sha256"] = ledger.checksum(self.path(name))

    def _record(self, record: dict, facts: dict, key_figures: dict[str, object], alerts: Sequence[str]) -> None:
        """Enter this notebook into the record, in place; arguments as for `save`."""
        record["versions"] = ledger.versions()
        settings = facts | self.parameters | facts  # facts first, and they prevail
        record.setdefault("notebooks", {})[self.notebook] = _plain(settings)
        record.setdefault("key_figures", {})[self.notebook] = _plain(key_figures)
        record.setdefault("alerts", {})[self.notebook] = list(alerts)

    def write(self, name: str, writer: Callable[[Path], object]) -> Path:
        """Write a file whole or not at all.

        Parameters
        ----------
        name : str
            File name inside the run folder.
        writer : callable
            Called with a path aside; the file it writes there then takes the place of `name`. If it raises, the old
            file stays as it was.
        """
        aside, path = self.path(ASIDE + name), self.path(name)  # the suffix is kept: some writers choose by it
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            writer(aside)
            aside.chmod(0o644)  # some writers make files that only their owner may read
            os.replace(aside, path)
        except Exception as error:
            if isinstance(error, OSError) or files.is_full(error):
                raise files.not_written(path, error) from error
            raise
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
        return path

    def write_text(self, name: str, text: str) -> Path:
        """`write` a text."""
        return self.write(name, lambda aside: aside.write_text(text, encoding="utf-8"))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[tuple[Ledger, dict]]:
        """Ledger and record of the run to be changed, one at a time: notebooks of two kernels may save at once."""
        with holding(self.folder, "ledger", timeout=60):
            try:
                known = Ledger.load(self.folder)
                record = self.settings() if self.path("params.yaml").exists() else {}
            except InputError:
                if self.notebook != MAKERS["params.yaml"]:
                    raise
                known, record = Ledger(), {}  # which all else follows from, begins anew, as the error asks for
            yield known, record
            self._write_records(known, record)

    def _write_records(self, known: Ledger, record: dict) -> None:
        for part in RECORDED:
            record[part] = dict(sorted(record.get(part, {}).items()))  # in order, whichever was done first
        path = self.write_text("params.yaml", _yaml(record))
        known.files["params.yaml"] = {"sha256": ledger.checksum(path), "maker": "01_data", "parts": {}}
        self.write_text(ledger.NAME, known.text())

    def start(self, known: Ledger, record: dict) -> None:
        """Make the folder hold what a ledger names, and nothing else; record : content of `params.yaml`."""
        self.write_text(ledger.NAME, known.text())  # first: it marks the folder as this program's, whatever comes
        for path in self.folder.iterdir():
            if path.name not in {*known.files, ledger.NAME} and not path.is_dir():
                path.unlink()
        self._write_records(known, {"versions": ledger.versions(), **record})

    def enter(self, notebook: str, name: str, entry: Entry) -> None:
        """Enter an executed notebook; entry : what to say of one that has saved nothing itself."""
        with self._changing() as (known, _):
            known.notebooks.setdefault(notebook, entry)
            parts = {notebook: known.notebooks[notebook].id}
            known.files[name] = {"sha256": ledger.checksum(self.path(name)), "maker": notebook, "parts": parts}

    def names(self, name: str) -> bool:
        """Whether the ledger of the run names a file."""
        return name in Ledger.load(self.folder).files

    def enter_pages(self, names: Iterable[str] = ()) -> None:
        """Enter that pages were written of what is there; names : of the files that were written with them."""
        with self._changing() as (known, _):
            known.pages = ledger.code_checksum()
            known.files = {name: entry for name, entry in known.files.items() if entry["maker"] != ledger.PAGES}
            for name in names:
                entry = {"sha256": ledger.checksum(self.path(name)), "maker": ledger.PAGES, "parts": {}}
                known.files[name] = entry

    @property
    def name(self) -> str:
        """Name of the run, also while it is built aside."""
        name = self.folder.resolve().name
        return name[1:].removesuffix(".unfinished") if name.startswith(".") else name

    def notebooks(self) -> list[Path]:
        """Executed notebooks of the run, in order, appendices last."""
        return [*sorted(self.folder.glob("[0-9][0-9]_*.ipynb")), *sorted(self.folder.glob("appendix_*.ipynb"))]


@contextlib.contextmanager
def holding(folder: Path, what: str = "run", timeout: float = 0) -> Iterator[None]:
    """Hold a run folder: by the chain for the whole run, by a notebook while it saves. The lock lies in the parent.

    InputError, saying who holds it, where another process does for longer than `timeout` seconds.
    """
    folder = folder.resolve()
    path = folder.parent / f".{folder.name}.{what}.lock"
    new = [parent for parent in path.parents if not parent.exists()]
    lock = filelock.FileLock(path, timeout=timeout)
    while not lock.is_locked:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except FileNotFoundError:
            continue  # another process has just let go, and taken its empty folder away
        except filelock.Timeout:
            holder = ""
            with contextlib.suppress(OSError):
                holder = path.read_text(encoding="utf-8").strip()
            raise InputError(
                f"{folder} is being written by {holder or 'another process'}: wait for it, or choose another --run"
            ) from None
        except OSError as error:
            raise InputError(f"{folder} cannot be written ({files.cause(error)}): choose another folder") from None
    try:
        with contextlib.suppress(OSError):  # on a full disk it is held without a name
            path.write_text(f"process {os.getpid()}\n", encoding="utf-8")
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: filelock looks whether its file is still there
        lock.release()
        for parent in new:
            with contextlib.suppress(OSError):
                parent.rmdir()  # if nothing has come into it


def _is_marked(record: dict) -> bool:
    """Whether texts in the tables of a run are marked, see `files`; record : content of `params.yaml`."""
    return record.get("notebooks", {}).get("01_data", {}).get("csv_safe", False)


def _yaml(record: dict) -> str:
    return yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=120)


def _damaged(path: Path) -> str:
    return f"{path} is damaged or of another format; run {MAKERS.get(path.name, '01_data')}.ipynb again"


def _plain(value: Any) -> Any:
    """Value in the types that YAML and JSON know."""
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(entry) for entry in value]
    return value if value is None or type(value) in (bool, int, float, str) else str(value)
