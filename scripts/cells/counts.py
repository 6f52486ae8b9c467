"""Where a file keeps its counts, what its values are if they are none, and how they are normalised."""

from collections.abc import Iterator
from functools import partial

import anndata as ad
import numpy as np
import scanpy as sc
from scipy import sparse
from sklearn.utils import gen_batches

from scripts.blocks import Lazy, Matrix, blocks, changed, dense, evenly, gene_means, is_lazy, loaded, moments, rows_of
from scripts.cells.reading import LAYERS, LOGS, NUMBERS, UNREAD, scaled, with_values
from scripts.errors import InputError

COUNTS = "counts"  # layer of the values before normalisation, where they are counts
WHOLE = 1e-3  # largest distance of a count from a whole number
MAX_LOG = 20.0  # logarithms of counts are smaller
PART = 10_000_000  # values that are looked at at a time
SAMPLE = 500  # cells that are looked at for signs of a logarithm
CONSTANT = 0.05  # standard deviation of the cells' totals over their mean, up to which they are the same
STEPS = ("normalize_total", "log1p", "scale")


def choose(adata: ad.AnnData, layer: str, name: str) -> tuple[ad.AnnData, str, list[str]]:
    """The matrix to go on with: the layer named, else the first of X, LAYERS and raw.X that holds counts, else X.

    Parameters
    ----------
    adata : AnnData
        As from `reading.read`; X may be None.
    layer : str
        "raw" for raw.X (unless a layer has that name), the name of a layer, or empty.
    name : str
        Of the file, for messages.

    Returns
    -------
    AnnData, str, list of str
        Cells with that matrix as X and its own var, what it is called, and sentences on it where it is not X, and on
        what could not be read and was not asked for.

    Raises
    ------
    InputError
        If there is no such layer, it could not be read, or there are neither X nor counts.
    """
    unread: dict[str, str] = adata.uns.get(UNREAD, {})
    left_out = [f"{place} could not be read ({why}) and is left out." for place, why in unread.items()]
    places = ["X", *(f"layer {known}" for known in LAYERS), "raw.X"]
    if layer:
        wanted = "raw.X" if layer == "raw" and "raw" not in adata.layers else f"layer {layer}"
        if wanted in unread:
            raise InputError(
                f"{name}: {wanted} could not be read ({unread[wanted]}): write the file again from its source, or name "
                "another layer"
            )
        if (values := _values(adata, wanted)) is None:
            raise InputError(f"{name} has no layer {layer!r}: it has {_there(adata)}")
        check(values, f"{name}: {wanted}")
        return _at(adata, wanted), wanted, left_out
    holding = [place for place in places if (values := _values(adata, place)) is not None and are_counts(values)]
    if holding and holding[0] != "X":
        found = f"The counts were found in {holding[0]}, as X holds none."
        return _at(adata, holding[0]), holding[0], [found, *left_out]
    if adata.X is None and "X" in unread:
        raise InputError(f"{name}: X could not be read ({unread['X']}), and no other place holds counts: name a layer")
    if adata.X is None:
        told = f"{name} has no X, and no counts in another place: name a layer (it has {_there(adata)})"
        raise InputError("; ".join([told, *(sentence.rstrip(".") for sentence in left_out)]))
    check(adata.X, f"{name}: X")
    return _at(adata, "X"), "X", left_out


def _values(adata: ad.AnnData, place: str) -> Matrix | Lazy | None:
    if place == "X":
        return adata.X
    if place == "raw.X":
        return adata.raw.X if adata.raw is not None else None
    return adata.layers.get(place.removeprefix("layer "))


def _at(adata: ad.AnnData, place: str) -> ad.AnnData:
    var = adata.raw.var if place == "raw.X" else adata.var
    return ad.AnnData(_values(adata, place), adata.obs.copy(), var.copy(), obsm=adata.obsm, obsp=adata.obsp)


def _there(adata: ad.AnnData) -> str:
    names = [*sorted(adata.layers), *(["raw"] if adata.raw is not None else [])]
    return str(names or "none")


def _stored(values: Matrix | Lazy) -> Iterator[np.ndarray]:
    """Values as they are stored: all at once, or those of one block after the other."""
    for block in (block for _, block in blocks(values)) if is_lazy(values) else [values]:
        yield np.asarray(block.data if sparse.issparse(block) else block)


def check(values: Matrix | Lazy, name: str) -> None:
    """InputError naming the true cause if values are no real numbers, not finite, or all the same."""
    if values.dtype.kind not in NUMBERS:
        kind = "complex numbers" if values.dtype.kind == "c" else f"values of type {values.dtype}"
        raise InputError(f"{name} holds {kind}: write it again with counts or expression as real numbers")
    n_wrong, shown = {"NaN": 0, "infinite": 0}, False
    for stored in _stored(values):
        n_wrong["NaN"] += np.isnan(stored).sum()
        n_wrong["infinite"] += np.isinf(stored).sum()
        shown |= stored.any()
    for what, n in n_wrong.items():
        if n:
            raise InputError(f"{name} holds {n:,} {what} values: remove or impute them first")
    if values.shape[0] and values.shape[1] and not shown:
        raise InputError(f"{name} holds only zeros: name the layer that holds the counts (layer: counts)")


def are_counts(values: Matrix | Lazy) -> bool:
    """Whether values are non-negative and (nearly) whole numbers, and not all zero."""
    if values.dtype.kind not in NUMBERS:
        return False
    shown = False
    for stored in _stored(values):
        if stored.any():
            shown = True
            if values.dtype.kind not in "bu" and not _are_counts(stored):
                return False
    return shown


def _are_counts(stored: np.ndarray) -> bool:
    return bool(stored.min() >= 0 and np.isfinite(stored.max()) and _are_whole(stored.ravel()))


def _are_whole(values: np.ndarray) -> bool:
    """Whether all values, (n,), are whole numbers, nearly; looked at in parts, as two more of them all are held."""
    return all(np.abs(values[some] - np.rint(values[some])).max() <= WHOLE for some in gen_batches(len(values), PART))


def steps_for(values: Matrix | Lazy, name: str) -> tuple[tuple[str, ...], list[str]]:
    """Steps of normalisation that values still need, and a sentence where they are no counts.

    values : finite real numbers, as `check` lets pass; name : what they are called in the sentence.
    """
    if are_counts(values):
        return STEPS, []
    if min(stored.min(initial=0) for stored in _stored(values)) < 0:
        return ("scale",), [f"{name} holds negative values: taken as scaled already, neither normalised nor logged."]
    if log_base(values):
        return ("scale",), [
            f"{name} holds normalised logarithms of counts: used as they are, neither normalised nor logged again."
        ]
    return STEPS, [
        f"{name} holds fractional values: normalised and logged as counts are "
        "(normalize_total: false and log1p: false leave them as they are)."
    ]


def log_base(values: Matrix | Lazy) -> float | None:
    """Base, e, 2 or 10, to which non-negative values are log(1 + x) of normalised counts; None if they are not.

    They are small, and base^value - 1 has either the same total in all cells, or, where genes were left out since, is
    in each cell a whole multiple of its smallest value, that of a single count.
    """
    if max(stored.max(initial=0) for stored in _stored(values)) > MAX_LOG:
        return None
    logs = dense(loaded(rows_of(values, evenly(values.shape[0], SAMPLE)))[0]).astype(float)
    counts = {base: base ** logs[logs.any(axis=1)] - 1 for base in (np.e, 2.0, 10.0)}
    totals = {base: rows.sum(axis=1) for base, rows in counts.items()}
    spread, best = min((total.std() / total.mean(), base) for base, total in totals.items())
    return best if spread <= CONSTANT else next((base for base, rows in counts.items() if _are_multiples(rows)), None)


def _are_multiples(rows: np.ndarray) -> bool:
    multiples = rows / np.where(rows > 0, rows, np.inf).min(axis=1, keepdims=True)
    whole = np.abs(multiples - np.rint(multiples)) <= 1e-2 * np.maximum(multiples, 1)
    return bool(np.median(np.where(rows > 0, whole, True).all(axis=1)) == 1 and (multiples > 1.5).any())


def normalize_total(adata: ad.AnnData) -> None:
    """Scale each cell to the median total, in place, as scanpy does; var gets the means of genes, "normalized_mean"."""
    if is_lazy(adata.X):
        totals = np.concatenate([_totals(block) for _, block in blocks(adata.X)])
        n_shown = np.count_nonzero(totals)
        adata.X = changed(adata.X, partial(_normalised, np.median(totals)))
    else:
        sc.pp.normalize_total(adata)
        n_shown = np.count_nonzero(adata.X.sum(axis=1))  # others, without counts, add nothing to the mean
    adata.var["normalized_mean"] = gene_means(adata.X) * (adata.n_obs / max(n_shown, 1))


def _normalised(total: float, block: sparse.csr_matrix) -> sparse.csr_matrix:
    factors = _totals(block) / total
    return with_values(block, block.data / np.repeat(np.where(factors == 0, 1, factors), np.diff(block.indptr)))


def _totals(block: sparse.csr_matrix) -> np.ndarray:
    """Total of each cell, (n_rows,), summed in double precision, as scanpy does it."""
    rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    return np.bincount(rows, block.data, minlength=block.shape[0]).astype(block.dtype)


def log1p(adata: ad.AnnData) -> None:
    """Logarithm of 1 + x, in place, as scanpy takes it."""
    if is_lazy(adata.X):
        adata.X = changed(adata.X, lambda block: with_values(block, np.log1p(block.data)))
        adata.uns["log1p"] = {"base": None}  # scanpy's note
    else:
        sc.pp.log1p(adata)


def scale_sparse(adata: ad.AnnData) -> None:
    """Genes to standard deviation 1, as `scaled` does it, in place; means and deviations in var, as scanpy's scale.

    One array says where the values of counts, logarithms and scaled genes stand: of a million cells, gigabytes.
    """
    logs = adata.X if is_lazy(adata.X) else sparse.csr_matrix(adata.X)
    counts = adata.layers.get(COUNTS)
    if counts is not None and not is_lazy(logs) and np.array_equal(counts.indices, logs.indices):
        logs = with_values(counts, logs.data)
    adata.var["mean"], total = moments(logs)
    varies = total > np.finfo(np.float32).tiny
    adata.var["std"] = np.sqrt(total / (adata.n_obs - 1)) * varies
    adata.layers[LOGS] = adata.X = logs
    scaled(adata)
