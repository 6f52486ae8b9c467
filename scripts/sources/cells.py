"""Where cells come from: named data sets, found and read; and files, found and told apart.

What takes seconds to import (h5py, anndata, scanpy), the functions that read import themselves.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.errors import InputError, MissingError, OfflineError, one_line
from scripts.sources import download

if TYPE_CHECKING:
    import anndata as ad

PAUL15_ADDRESS = "https://falexwolf.de/data/paul15.h5"  # the one scanpy.datasets.paul15 uses
PAUL15_SHAPE = (2730, 3451)
PAUL15_COUNTS = 6_083_492
PAUL15_GENES_SHA256 = "6889b079e9e6f61ce3c051b1f85ef8f309e3e3b323cf44e1adee33931027b2b8"


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes
    ----------
    name : short name, also the default name of a run
    source : what to pass on as the data set's name: a known name, or the absolute path of a file
    reason : one line for the reader: which data set this is and why
    steps : normalisation steps that the values as they are still need
    label : column of obs that holds the known cell types, if there is one
    read : reads the data set; None: `source` is a file or folder of cells
    files : what is read; none for data sets that come inside a package
    """

    name: str
    source: str
    reason: str
    read: Callable[[], ad.AnnData] | None = None
    steps: tuple[str, ...] = ("normalize_total", "log1p", "scale")
    label: str | None = None
    files: tuple[Path, ...] = ()


def resolve(dataset: str) -> Source:
    """Find a data set by name, or a file by path.

    Parameters
    ----------
    dataset : str
        "auto" (paul15 where it can be had, else pbmc68k_reduced), "paul15", "pbmc68k_reduced", "krumsiek11",
        or the path of a file or folder of cells.

    Returns
    -------
    Source

    Raises
    ------
    FileNotFoundError, ValueError, ConnectionError
        With one line that names the data set and says what to do.
    """
    if dataset == "auto":
        try:
            return replace(_paul15("the default"), source="auto")
        except (ConnectionError, ValueError) as problem:
            cause = str(problem).split(": ")[0]  # without the remedy
            source = _pbmc68k_reduced(
                f"bundled with scanpy; taken because the default, paul15, cannot be had ({cause})"
            )
            return replace(source, source="auto")
    if dataset == "paul15":
        return _paul15("as named")
    if dataset == "pbmc68k_reduced":
        return _pbmc68k_reduced("bundled with scanpy, as named")
    if dataset == "krumsiek11":
        return _krumsiek11("bundled with scanpy, as named")
    return _file(Path(dataset).expanduser())


def _paul15(why: str) -> Source:
    """paul15 from BMLP_DATA_DIR, then data/, then scanpy's address."""
    shared = os.environ.get("BMLP_DATA_DIR")
    places = [("BMLP_DATA_DIR", Path(shared))] if shared else []
    for name, folder in [*places, ("data/", download.DATA_FOLDER)]:
        for file in (folder / "paul15.h5ad", folder / "paul15" / "paul15.h5"):
            if file.exists():
                return _paul15_source(file, f"{why}; found in {name}")
    target = download.DATA_FOLDER / "paul15" / "paul15.h5"
    try:
        download.fetch(PAUL15_ADDRESS, target)
    except ConnectionError as problem:
        raise OfflineError(
            f"{problem}: check the network, put paul15.h5ad into data/ or the folder BMLP_DATA_DIR names, "
            "or choose DATASET=pbmc68k_reduced"
        ) from None
    try:
        _read_paul15(target)
    except ValueError:
        target.unlink()  # a wrong download must not be taken for the data set next time
        raise
    return _paul15_source(target, f"{why}; downloaded from {PAUL15_ADDRESS}")


def _paul15_source(file: Path, reason: str) -> Source:
    return Source("paul15", "paul15", reason, lambda: _read_paul15(file), label="paul15_clusters", files=(file,))


def _read_paul15(file: Path) -> ad.AnnData:
    if file.suffix == ".h5ad":
        adata = _read_h5ad(file)
    else:
        import scanpy as sc

        sc.settings.datasetdir = file.parents[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scanpy's reader warns of names it makes unique itself
            try:
                adata = sc.datasets.paul15()
            except (OSError, KeyError) as problem:
                raise InputError(f"{file} is damaged ({problem}): delete it and start again") from None
    genes = hashlib.sha256("\n".join(adata.var_names).encode()).hexdigest()
    counts = float(adata.X.sum(dtype="float64"))
    if adata.shape != PAUL15_SHAPE or genes != PAUL15_GENES_SHA256 or counts != PAUL15_COUNTS:
        raise InputError(
            f"{file} does not hold paul15 as published ({adata.n_obs} x {adata.n_vars} with {counts:.0f} counts, "
            f"expected {PAUL15_SHAPE[0]} x {PAUL15_SHAPE[1]} with {PAUL15_COUNTS}): delete it and start again"
        )
    return adata


def _pbmc68k_reduced(reason: str) -> Source:
    # its X is log-normalised, scaled and clipped already; scaling again makes up for the clipping
    return Source("pbmc68k_reduced", "pbmc68k_reduced", reason, _bundled("pbmc68k_reduced"), ("scale",), "bulk_labels")


def _krumsiek11(reason: str) -> Source:
    return Source("krumsiek11", "krumsiek11", reason, _bundled("krumsiek11"), ("scale",), "cell_type")


def _bundled(name: str) -> Callable[[], ad.AnnData]:
    def read() -> ad.AnnData:
        import scanpy as sc

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old file formats and names made unique: known and harmless
            adata = getattr(sc.datasets, name)()
            adata.obs_names_make_unique()
        # what scanpy computed for its own examples would be mistaken for this run's, but for the layout of the cells
        adata.obsm = {key: xy for key, xy in adata.obsm.items() if key == "X_umap"}
        for part in (adata.varm, adata.obsp, adata.uns):
            part.clear()
        adata.raw = None
        return adata

    return read


def _file(file: Path) -> Source:
    if not file.exists():
        known = "auto, paul15, pbmc68k_reduced, krumsiek11"
        raise MissingError(f"{file}: no such file, and no data set of that name ({known}); check the path")
    file_kind(file)
    file = Path(os.path.abspath(file))  # a link keeps the name that the user sees
    name = file.name.removesuffix(".gz")
    name = name if file.is_dir() and file.suffix != ".zarr" else Path(name).stem
    return Source(name, str(file), "the file as named", files=(file,))


def file_kind(file: Path) -> str:
    """How a file or folder of cells is to be read, judged by what it holds.

    Returns
    -------
    str
        ".h5ad", ".h5ad.gz", ".zarr", "loom", "10x .h5" or "10x matrix.mtx".

    Raises
    ------
    InputError
        If it is none of these, or cannot be opened.
    """
    try:
        kind = _folder_kind(file) if file.is_dir() else _hdf5_kind(file)
    except Exception as problem:  # h5py raises errors of many types where a file is damaged
        raise InputError(
            f"{file} is damaged or not an .h5ad file ({one_line(problem)[:200]}): copy or write it again"
        ) from None
    if not kind:
        empty = file.is_file() and file.stat().st_size == 0
        raise InputError(
            f"{file} is not an .h5ad file{' but empty' if empty else ''}, and no .h5ad.gz, .zarr, .loom, 10x .h5 or "
            "10x folder with matrix.mtx either: write one with adata.write_h5ad()"
        )
    return kind


def _folder_kind(folder: Path) -> str:
    names = {path.name for path in folder.iterdir()}
    if names & {".zgroup", "zarr.json"}:
        return ".zarr"
    return "10x matrix.mtx" if any(name.removesuffix(".gz").endswith("matrix.mtx") for name in names) else ""


def _hdf5_kind(file: Path) -> str:
    import h5py

    if not file.is_file():
        return ""
    with file.open("rb") as start:
        if start.read(2) == b"\x1f\x8b":
            return ".h5ad.gz"
    if not h5py.is_hdf5(file):
        return ""
    with h5py.File(file) as content:
        if {"obs", "var"} <= set(content):
            return ".h5ad"
        if {"matrix", "row_attrs", "col_attrs"} <= set(content):
            return "loom"
        groups = [set(group) for group in content.values() if isinstance(group, h5py.Group)]
        return "10x .h5" if any({"barcodes", "data", "indices", "indptr"} <= group for group in groups) else ""


def _read_h5ad(file: Path) -> ad.AnnData:
    import anndata as ad

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names made unique: done right below
            adata = ad.read_h5ad(file)
            adata.obs_names_make_unique()
            adata.var_names_make_unique()
    except Exception as problem:  # whatever the reader stumbles over, the file is none that can be read
        raise InputError(f"{file} is damaged or not an .h5ad file ({one_line(problem)[:200]})") from None
    return adata
