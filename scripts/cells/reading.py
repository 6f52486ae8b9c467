"""Files of cells as people have them: read by anndata's and scanpy's own readers, and checked before use."""

import gzip
import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse

from scripts.errors import InputError, one_line
from scripts.sources import file_kind

TRIPLET = "matrix.mtx"  # of 10x folders, maybe compressed and behind a prefix
NUMBERS = "biuf"  # numpy's kinds of real numbers


def read(file: Path) -> ad.AnnData:
    """Cells of a file or folder, with all matrices that may hold counts, and nothing that is not needed.

    Parameters
    ----------
    file : Path
        .h5ad, .h5ad.gz, .zarr, .loom, 10x .h5, or a folder of 10x with matrix.mtx.

    Returns
    -------
    AnnData
        X (n_cells, n_genes), or None where the file has none, and layers, and raw: values as stored, sparse ones by
        rows and of sound structure. obs holds the columns that are numbers, text or categories; var all columns.

    Raises
    ------
    InputError
        If the file is damaged, incomplete or of another kind.
    """
    kind = file_kind(file)
    if kind == "loom" and not importlib.util.find_spec("loompy"):
        raise InputError(f"{file}: .loom files need the package loompy: install it, or write the cells as .h5ad")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old formats and names made unique: known and harmless
            adata = READERS[kind](file)
            return _needed(adata, file)
    except InputError:
        raise
    except Exception as problem:  # whatever the reader stumbles over, the file is none that can be read
        raise InputError(
            f"{file} is damaged or not a {kind} file ({one_line(problem)[:200] or type(problem).__name__}): "
            "copy or write it again"
        ) from None


def _read_h5ad(file: Path) -> ad.AnnData:
    """Element by element, so that what is not needed cannot stop a run; files of anndata before 0.7 as a whole."""
    with h5py.File(file) as content:
        if not isinstance(content["obs"], h5py.Group):
            return ad.read_h5ad(file)
        obs, var = _frame(content["obs"]), _frame(content["var"])
        X = ad.io.read_elem(content["X"]) if "X" in content else None
        adata = ad.AnnData(X, obs, var)
        for name in content.get("layers", ()):
            if (layer := _or_none(content["layers"][name])) is not None:
                adata.layers[name] = layer
        if "raw" in content and (values := _or_none(content["raw/X"])) is not None:
            adata.raw = ad.AnnData(values, obs[[]], _frame(content["raw/var"]))
    return adata


def _frame(group: h5py.Group) -> pd.DataFrame:
    """A table of the file; where it cannot be read as a whole, the columns that can."""
    try:
        return ad.io.read_elem(group)
    except Exception:
        index = ad.io.read_elem(group[group.attrs["_index"]])
        columns = {name: _or_none(group[name]) for name in group.attrs["column-order"] if name in group}
        return pd.DataFrame({name: values for name, values in columns.items() if values is not None}, index=index)


def _or_none(element: h5py.Group | h5py.Dataset):
    try:
        return ad.io.read_elem(element)
    except Exception:  # of a kind that this anndata does not know: passed over, as it may not be needed
        return None


def _read_gz(file: Path) -> ad.AnnData:
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / "cells.h5ad"
        with gzip.open(file) as packed, unpacked.open("wb") as target:
            shutil.copyfileobj(packed, target)
        if file_kind(unpacked) != ".h5ad":
            raise InputError(f"{file} holds no .h5ad file: compress one that adata.write_h5ad() has written")
        return _read_h5ad(unpacked)


def _read_mtx(folder: Path) -> ad.AnnData:
    names = [path.name for path in sorted(folder.iterdir()) if path.name.removesuffix(".gz").endswith(TRIPLET)]
    if len(names) > 1 and TRIPLET + ".gz" not in names:
        raise InputError(
            f"{folder} holds {len(names)} matrices ({', '.join(names[:3])}): give each a folder of its own"
        )
    prefix = min(names, key=len).split(TRIPLET)[0]
    try:
        return sc.read_10x_mtx(folder, prefix=prefix, gex_only=False)
    except FileNotFoundError as problem:
        raise InputError(
            f"{folder}: {Path(problem.filename or '').name or one_line(problem)} is missing: 10x folders hold "
            "matrix.mtx.gz, features.tsv.gz and barcodes.tsv.gz, or matrix.mtx, genes.tsv and barcodes.tsv"
        ) from None


READERS: dict[str, Callable[[Path], ad.AnnData]] = {
    ".h5ad": _read_h5ad,
    ".h5ad.gz": _read_gz,
    ".zarr": ad.io.read_zarr,
    "loom": sc.read_loom,
    "10x .h5": lambda file: sc.read_10x_h5(file, gex_only=False),
    "10x matrix.mtx": _read_mtx,
}


def _needed(adata: ad.AnnData, file: Path) -> ad.AnnData:
    """Matrices, plain columns of obs, and var alone; names as text, those of cells unique."""
    var = _named(adata.var)
    found = ad.AnnData(_sound(adata.X, f"{file}: X"), plain(_named(adata.obs)), var)
    for name, values in adata.layers.items():
        found.layers[name] = _sound(values, f"{file}: layer {name}")
    if adata.raw is not None and adata.raw.X is not None:
        raw_var = _named(adata.raw.var)
        if var.index.is_unique:  # symbols are often kept beside X alone
            more = var[[name for name in var if name not in raw_var]]
            raw_var = raw_var.join(more.reindex(raw_var.index)) if raw_var.index.is_unique else raw_var
        found.raw = ad.AnnData(_sound(adata.raw.X, f"{file}: raw.X"), found.obs[[]], raw_var)
    found.obs_names_make_unique()
    return found


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its index as plain text, without a name, which could be that of a column."""
    return frame.set_axis(pd.Index(frame.index.astype(str).to_numpy(object), dtype=object), axis=0)


def _sound(values, name: str):
    """Values by rows, sparse ones with a checked structure, float16 as float32; wrong indices would crash Python."""
    if sparse.issparse(values):
        try:
            values.check_format(full_check=True)
        except ValueError as problem:
            raise InputError(
                f"{name} is no sound sparse matrix ({one_line(problem)}): write the file again from its source"
            ) from None
        values = sparse.csr_matrix(values)
        values.sum_duplicates()
    elif values is not None:
        values = np.asarray(values)
    return values.astype(np.float32) if values is not None and values.dtype == np.float16 else values


def plain(obs: pd.DataFrame) -> pd.DataFrame:
    """Columns that are numbers, text or categories, in numpy's own types, under keys that .h5ad files can hold."""
    columns: dict[str, object] = {}
    for place, key in enumerate(map(str, obs)):
        name, column = key.replace("/", "_"), _plain_column(obs.iloc[:, place])
        if column is not None and name not in columns and name != "_index" and name.strip(". "):
            columns[name] = column
    return pd.DataFrame(columns, index=obs.index)


def _plain_column(column: pd.Series) -> object | None:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        names = [str(name) for name in dtype.categories]
        return pd.Categorical.from_codes(column.cat.codes, names) if len(set(names)) == len(names) else None
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        if pd.api.types.is_complex_dtype(dtype):
            return None
        if column.isna().any():
            return column.to_numpy(float, na_value=np.nan)
        return column.to_numpy(getattr(dtype, "numpy_dtype", dtype))
    if pd.api.types.infer_dtype(column, skipna=True) != "string":
        return None
    missing = column.isna().to_numpy()
    text = column.astype(object).to_numpy()
    return pd.Categorical(np.where(missing, None, text)) if missing.any() else text
