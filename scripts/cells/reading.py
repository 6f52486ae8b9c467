"""Files of cells as people have them, read by anndata's and scanpy's own readers and checked; and as a run has them."""

import contextlib
import gzip
import importlib.util
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse

from scripts.blocks import Lazy, Matrix, by_blocks, changed, in_parts, is_lazy, loaded, rows_of
from scripts.errors import InputError, one_line
from scripts.sources import file_kind

TRIPLET = "matrix.mtx"  # of 10x folders, maybe compressed and behind a prefix
LAYERS = ("counts", "raw_counts")  # that may hold counts, after X and before raw.X
LOGS = "logs"  # layer of the values before genes are scaled, where they are
PART = 10_000_000  # values that are scaled at a time
HELD = 16  # bytes that a value takes: as count, logarithm and scaled, and its place
NUMBERS = "biuf"  # numpy's kinds of real numbers
UNREAD = "bmlp_unread"  # key of uns: {"layer x": why it could not be read}
LAYOUTS = ("X_umap", "X_tsne", "X_draw_graph_fa")  # keys of obsm under which scanpy keeps places of cells to be drawn
ASIDE = "_in_file"  # behind the names of what a file holds where a run writes itself
OWN = {  # what a run writes in the parts that files come with; in obs beside frequencies and measures of quality
    "obs": ("split", "cell_group"),
    "obsm": ("X_freq", "X_freq_further", "X_covariates", "X_branches", "X_umap_freq", "X_axes", "X_modules"),
    "obsp": ("connectivities",),
}


def read(file: Path, taken: Sequence[str] = (), layer: str = "", memory: float = np.inf) -> ad.AnnData:
    """Cells of a file or folder, with all matrices that may hold counts, and nothing that is not needed.

    Parameters
    ----------
    file : Path
        .h5ad, .h5ad.gz, .zarr, .loom, 10x .h5, or a folder of 10x with matrix.mtx.
    taken : list of str
        What else is wanted, as "obsm/X_pca" or "obsp/connectivities".
    layer : str
        That holds the counts, "raw" for raw.X; empty where that is not known.
    memory : float
        Bytes that expression may take: matrices of an .h5ad or a .zarr that would take more are lazy.

    Returns
    -------
    AnnData
        X (n_cells, n_genes), or None where the file has none, and layers, and raw: values as stored, sparse ones by
        rows and of sound structure; where one is too large, all are lazy, and those alone that are sparse by rows. obs
        holds the columns that are numbers, text or categories; var all columns. obsm and obsp hold what `taken` names,
        and obsm any of `LAYOUTS`. uns[UNREAD] names what is damaged and left out, and says why: layers, raw.X, columns,
        layouts.

    Raises
    ------
    InputError
        If the file is damaged in what every run needs (X and names), incomplete or of another kind.
    """
    kind = file_kind(file)
    if kind == "loom" and not importlib.util.find_spec("loompy"):
        raise InputError(f"{file}: .loom files need the package loompy: install it, or write the cells as .h5ad")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old formats and names made unique: known and harmless
            is_large = kind in (".h5ad", ".zarr") and _n_values(file, layer) * HELD > memory
            adata = _read_lazily(file, taken) if is_large else READERS[kind](file, taken)
            return needed(adata, file, taken)
    except (InputError, MemoryError):
        raise
    except Exception as problem:  # whatever the reader stumbles over, the file is none that can be read
        raise InputError(f"{file} is damaged or not a {kind} file ({_why(problem)}): copy or write it again") from None


def _why(problem: Exception) -> str:
    """What a reader says, and of which element."""
    said = one_line(problem)[:200] or type(problem).__name__
    keys = re.findall("key '(.*?)' of", " ".join(getattr(problem, "__notes__", [])))
    return f"{said}, in {one_line(keys[0])}" if keys else said


def _read_h5ad(file: Path, taken: Sequence[str]) -> ad.AnnData:
    """Element by element, so that what is not needed cannot stop a run; files of anndata before 0.7 as a whole."""
    with h5py.File(file) as content:
        if not isinstance(content["obs"], h5py.Group):
            return ad.read_h5ad(file)
        X = ad.io.read_elem(content["X"]) if "X" in content else None
        return _elements(file, content, taken, X, ad.io.read_elem, {})


def _read_lazily(file: Path, taken: Sequence[str]) -> ad.AnnData:
    """All but the matrices, which are read by blocks when they are asked for; others than sparse ones are not."""
    with _opened(file) as content:
        X, unread = None, {}
        if "X" in content:
            with _noted("X", unread):
                X = _sparse_by_blocks(content["X"])
        return _elements(file, content, taken, X, _sparse_by_blocks, unread)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Any]:
    if file.is_dir():
        import zarr  # takes seconds: imported where it is wanted

        yield zarr.open_group(file, mode="r")
    else:
        with h5py.File(file) as content:
            yield content


def _sparse_by_blocks(place: Any) -> Lazy:
    if place.attrs.get("encoding-type") != "csr_matrix":
        raise ValueError("too large for memory_gb, and no csr_matrix, which is read by blocks: write it as one")
    return by_blocks(place)


def _n_values(file: Path, layer: str) -> int:
    """Stored values of the largest matrix that may hold the counts; 0 where one is not sparse by rows."""
    with _opened(file) as content:
        known = [f"layers/{name}" for name in ([layer] if layer else LAYERS)]
        names = [*known, *(["X", "raw/X"] if not layer else ["raw/X"] if layer == "raw" else [])]
        places = [content[name] for name in names if name in content]
        if any(place.attrs.get("encoding-type") != "csr_matrix" for place in places):
            return 0
        return max((place["data"].shape[0] for place in places), default=0)


def _elements(
    file: Path,
    content: Any,
    taken: Sequence[str],
    X: Matrix | Lazy | None,
    read_matrix: Callable[[Any], Any],
    unread: dict[str, str],
) -> ad.AnnData:
    """Cells of an opened file with X; other matrices as a function reads them, and in uns why some could not be."""
    obs, var = _frame(content["obs"], "obs", unread), _frame(content["var"], "var", unread)
    adata = ad.AnnData(X, obs, var)
    for name in content.get("layers", ()):
        with _noted(f"layer {name}", unread):
            adata.layers[name] = read_matrix(content["layers"][name])
    if "raw" in content and content["raw"].attrs.get("encoding-type") != "null":
        with _noted("raw.X", unread):
            raw_var = _frame(content["raw/var"], "raw.var", unread)
            adata.raw = ad.AnnData(read_matrix(content["raw/X"]), obs[[]], raw_var)
    for place in taken:
        part, key = place.split("/", 1)
        if key in content.get(part, ()):
            getattr(adata, part)[key] = ad.io.read_elem(content[part][key])
        else:
            raise InputError(f"{file} has no {part}[{key!r}]: it has {sorted(content.get(part, ())) or 'none'}")
    for key in set(LAYOUTS) & set(content.get("obsm", ())) - set(adata.obsm):
        with _noted(f"obsm {key}", unread):
            adata.obsm[key] = ad.io.read_elem(content["obsm"][key])
    adata.uns[UNREAD] = unread
    return adata


def _frame(group: Any, place: str, unread: dict[str, str]) -> pd.DataFrame:
    """A table of the file; where it cannot be read as a whole, the columns that can."""
    try:
        return ad.io.read_elem(group)
    except MemoryError:
        raise
    except Exception:  # whatever stops the whole, single columns may be read
        frame = pd.DataFrame(index=ad.io.read_elem(group[group.attrs["_index"]]))
        for name in group.attrs["column-order"]:
            with _noted(f"{place} column {name}", unread):
                frame[name] = ad.io.read_elem(group[name])
        return frame


@contextlib.contextmanager
def _noted(place: str, unread: dict[str, str]) -> Iterator[None]:
    """Pass over an element that cannot be read, as it may not be needed, and note why.

    Nothing is noted of elements of a kind that this anndata does not know: they are not damaged.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as problem:  # whatever the reader stumbles over
        if type(problem).__name__ != "IORegistryError":  # which anndata does not make public
            unread[one_line(place)] = one_line(problem)[:200] or type(problem).__name__


def _read_gz(file: Path, taken: Sequence[str]) -> ad.AnnData:
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / "cells.h5ad"
        with gzip.open(file) as packed, unpacked.open("wb") as target:
            shutil.copyfileobj(packed, target)
        if file_kind(unpacked) != ".h5ad":
            raise InputError(f"{file} holds no .h5ad file: compress one that adata.write_h5ad() has written")
        return _read_h5ad(unpacked, taken)


def _read_mtx(folder: Path, taken: Sequence[str]) -> ad.AnnData:
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


READERS: dict[str, Callable[[Path, Sequence[str]], ad.AnnData]] = {
    ".h5ad": _read_h5ad,
    ".h5ad.gz": _read_gz,
    ".zarr": lambda folder, taken: ad.io.read_zarr(folder),
    "loom": lambda file, taken: sc.read_loom(file),
    "10x .h5": lambda file, taken: sc.read_10x_h5(file, gex_only=False),
    "10x matrix.mtx": _read_mtx,
}


def needed(adata: ad.AnnData, file: Path | str, taken: Sequence[str] = ()) -> ad.AnnData:
    """Matrices, plain columns of obs, var and layouts alone; names as text, those of cells unique.

    file : for messages; taken : as in `read`.
    """
    var, unread = _named(adata.var), dict(adata.uns.get(UNREAD, {}))
    try:
        X = _sound(adata.X, f"{file}: X")
    except ValueError as problem:
        raise InputError(f"{file}: X is {problem}: write the file again from its source") from None
    found = ad.AnnData(X, plain(_named(adata.obs)), var)
    for name, values in adata.layers.items():
        with _noted(f"layer {name}", unread):
            found.layers[name] = _sound(values, f"{file}: layer {name}")
    if adata.raw is not None and adata.raw.X is not None:
        raw_var = _named(adata.raw.var)
        if var.index.is_unique:  # symbols are often kept beside X alone
            more = var[[name for name in var if name not in raw_var]]
            raw_var = raw_var.join(more.reindex(raw_var.index)) if raw_var.index.is_unique else raw_var
        with _noted("raw.X", unread):
            found.raw = ad.AnnData(_sound(adata.raw.X, f"{file}: raw.X"), found.obs[[]], raw_var)
    for place in [*taken, *(f"obsm/{key}" for key in LAYOUTS)]:
        part, key = place.split("/", 1)
        if key in getattr(adata, part):  # if not, whoever wants it will say so
            getattr(found, part)[key] = getattr(adata, part)[key]
    found.obs_names_make_unique()
    found.uns[UNREAD] = unread
    return found


def set_aside(adata: ad.AnnData, part: str, names: Iterable[str]) -> dict[str, str]:
    """Rename what a part of the cells (obs, var, obsm, obsp) holds under some names, in place: {name: new name}."""
    held = getattr(adata, part)
    aside = {name: _free(f"{name}{ASIDE}", held) for name in names if name in held}
    if isinstance(held, pd.DataFrame):
        setattr(adata, part, held.rename(columns=aside))
    else:
        for name, other in aside.items():
            held[other] = held.pop(name)
    return aside


def keep_layouts(adata: ad.AnnData, used: str = "") -> list[str]:
    """Keep of `LAYOUTS` those that can be drawn, in place: two columns of numbers, NaN for cells without a place.

    used : key of obsm that stays in any case. Returns the keys of those that are kept.
    """
    kept = []
    for key in [key for key in LAYOUTS if key in adata.obsm]:
        xy = np.asarray(adata.obsm[key])
        if xy.dtype.kind in NUMBERS and xy.ndim == 2 and xy.shape[1] == 2 and np.isfinite(xy).all(axis=1).any():
            kept.append(key)
        elif key != used:
            del adata.obsm[key]
    return kept


def own_layouts(adata: ad.AnnData) -> dict[str, np.ndarray]:
    """Layouts that the file of the cells came with, by their keys in obsm, (n_cells, 2); NaN for cells without a place.

    adata : AnnData, as from `load` or `stored`.
    """
    found = {key: np.asarray(adata.obsm[key], dtype=float) for key in adata.uns["dataset"].get("layouts", ())}
    return {key: np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, np.nan) for key, xy in found.items()}


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def name_in_file(part: str, key: str) -> str:
    """Where the cells of a run have what the file held in a part under some name."""
    return f"{key}{ASIDE}" if key in OWN[part] else key


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its index as plain text, without a name, which could be that of a column."""
    return frame.set_axis(pd.Index(frame.index.astype(str).to_numpy(object), dtype=object), axis=0)


def _sound(values, place: str):
    """Values by rows, sparse ones with a checked structure, float16 as float32; wrong indices would crash Python.

    ValueError with the end of a sentence where the structure is wrong; of lazy values, InputError when they are read.
    """
    if values is None:
        return None
    if is_lazy(values):
        return changed(values, partial(_sound_block, place), np.float32 if values.dtype == np.float16 else None)
    if sparse.issparse(values):
        try:
            values.check_format(full_check=True)
        except ValueError as problem:
            raise ValueError(f"no sound sparse matrix ({one_line(problem)})") from None
        values = sparse.csr_matrix(values)
        values.sum_duplicates()
    else:
        values = np.asarray(values)
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _sound_block(place: str, block: sparse.csr_matrix) -> sparse.csr_matrix:
    try:
        return _sound(block, place)
    except ValueError as problem:
        raise InputError(f"{place} is {problem}: write the file again from its source") from None


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


def stored(adata: ad.AnnData) -> ad.AnnData:
    """The cells as a file of a run holds them: expression before genes were scaled, which `scaled` gives back.

    adata : AnnData, as from `load`, or as this gives it. Returns another AnnData of the same parts: X (n_cells,
    n_genes) float32, sparse by rows where nothing is negative.
    """
    layers = dict(adata.layers)
    X = compact(layers.pop(LOGS, adata.X))
    parts = {name: dict(getattr(adata, name)) for name in ("obsm", "varm", "obsp", "varp")}
    return ad.AnnData(X, adata.obs, adata.var, uns=adata.uns, layers=layers, **parts)


def scaled(adata: ad.AnnData) -> ad.AnnData:
    """The cells as the model sees them, to the last bit: genes scaled as they were when the cells were loaded.

    adata : AnnData, as from `stored`, or as this gives it; changed in place. By the means and deviations of var, as
    cells may have been left out since. Returns adata, as from `load`.
    """
    if "sparse" not in adata.uns["dataset"]:
        raise InputError("the cells are of an earlier version, which stored them scaled: run 01_data.ipynb again")
    logs = adata.layers.get(LOGS, adata.X)
    X = logs.toarray() if sparse.issparse(logs) and not adata.uns["dataset"]["sparse"] else _with_own_values(logs)
    if "scale" in adata.uns["dataset"]["steps"]:
        adata.layers[LOGS] = logs
        mean, deviation = adata.var["mean"].to_numpy(), adata.var["std"].to_numpy()
        divisor = np.where(deviation > 0, deviation, np.inf)  # a gene that is constant is 0
        if is_lazy(X):
            X = changed(X, lambda block: _divided(_with_own_values(block), divisor))
        elif isinstance(X, np.ndarray):
            X -= mean
            X /= divisor
        else:
            _divided(X, divisor)
    adata.X = X
    return adata


def _divided(X: sparse.csr_matrix, divisor: np.ndarray) -> sparse.csr_matrix:
    """The same object, each gene divided by a number, in place."""
    for some in in_parts(len(X.data), PART):
        X.data[some] /= divisor[X.indices[some]]
    return X


def some_cells(adata: ad.AnnData, rows: np.ndarray, in_memory: bool = False) -> ad.AnnData:
    """Some cells as an object of their own, as lazy as it was, or in memory.

    rows : (n_cells,) bool, or (n_rows,) int in ascending order.
    """
    if not is_lazy(adata.X):
        return adata[rows].copy()
    parts = {name: dict(getattr(adata, name)) for name in ("obsm", "varm", "obsp", "varp")}
    found = ad.AnnData(None, adata.obs, adata.var, uns=adata.uns, **parts)[rows].copy()
    matrices = [rows_of(X, rows) for X in (adata.X, *adata.layers.values())]
    found.X, *layers = loaded(*matrices) if in_memory else matrices
    for name, layer in zip(adata.layers, layers, strict=True):
        found.layers[name] = layer
    return found


def with_values(X: sparse.csr_matrix, values: np.ndarray) -> sparse.csr_matrix:
    """Other values, (n_stored,), at the places of a matrix, whose arrays of places both then share."""
    found = sparse.csr_matrix(X.shape, dtype=values.dtype)
    found.data, found.indices, found.indptr = values, X.indices, X.indptr
    return found


def _with_own_values(X: Matrix) -> Matrix:
    """A copy whose values may be changed; lazy ones never are."""
    return with_values(X, np.array(X.data)) if sparse.issparse(X) else X.copy()


def compact(X: Matrix) -> Matrix:
    """The same values, sparse by rows where none is negative; as they are elsewhere."""
    return X if sparse.issparse(X) or is_lazy(X) or X.min(initial=0) < 0 else sparse.csr_matrix(X)
