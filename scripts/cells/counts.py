"""Where a file keeps its counts, and what its values are if they are none."""

import anndata as ad
import numpy as np
from scipy import sparse
from sklearn.utils import gen_batches

from scripts.blocks import Matrix, dense, evenly
from scripts.cells.reading import NUMBERS, UNREAD
from scripts.errors import InputError

LAYERS = ("counts", "raw_counts")  # looked into after X and before raw.X
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
    if adata.X is None:
        told = f"{name} has no X, and no counts in another place: name a layer (it has {_there(adata)})"
        raise InputError("; ".join([told, *(sentence.rstrip(".") for sentence in left_out)]))
    check(adata.X, f"{name}: X")
    return _at(adata, "X"), "X", left_out


def _values(adata: ad.AnnData, place: str) -> Matrix | None:
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


def _stored(values: Matrix) -> np.ndarray:
    return np.asarray(values.data if sparse.issparse(values) else values)


def check(values: Matrix, name: str) -> None:
    """InputError naming the true cause if values are no real numbers, not finite, or all the same."""
    stored = _stored(values)
    if stored.dtype.kind not in NUMBERS:
        kind = "complex numbers" if stored.dtype.kind == "c" else f"values of type {stored.dtype}"
        raise InputError(f"{name} holds {kind}: write it again with counts or expression as real numbers")
    for what, wrong in (("NaN", np.isnan(stored)), ("infinite", np.isinf(stored))):
        if wrong.any():
            raise InputError(f"{name} holds {wrong.sum():,} {what} values: remove or impute them first")
    if values.shape[0] and values.shape[1] and not stored.any():
        raise InputError(f"{name} holds only zeros: name the layer that holds the counts (layer: counts)")


def are_counts(values: Matrix) -> bool:
    """Whether values are non-negative and (nearly) whole numbers, and not all zero."""
    stored = _stored(values)
    if stored.dtype.kind not in NUMBERS or not stored.any():
        return False
    if stored.dtype.kind in "bu":
        return True
    return bool(stored.min() >= 0 and np.isfinite(stored.max()) and _are_whole(stored.ravel()))


def _are_whole(values: np.ndarray) -> bool:
    """Whether all values, (n,), are whole numbers, nearly; looked at in parts, as two more of them all are held."""
    return all(np.abs(values[some] - np.rint(values[some])).max() <= WHOLE for some in gen_batches(len(values), PART))


def steps_for(values: Matrix, name: str) -> tuple[tuple[str, ...], list[str]]:
    """Steps of normalisation that values still need, and a sentence where they are no counts.

    values : finite real numbers, as `check` lets pass; name : what they are called in the sentence.
    """
    stored = _stored(values)
    if are_counts(values):
        return STEPS, []
    if stored.min() < 0:
        return ("scale",), [f"{name} holds negative values: taken as scaled already, neither normalised nor logged."]
    if log_base(values):
        return ("scale",), [
            f"{name} holds normalised logarithms of counts: used as they are, neither normalised nor logged again."
        ]
    return STEPS, [
        f"{name} holds fractional values: normalised and logged as counts are "
        "(normalize_total: false and log1p: false leave them as they are)."
    ]


def log_base(values: Matrix) -> float | None:
    """Base, e, 2 or 10, to which non-negative values are log(1 + x) of normalised counts; None if they are not.

    They are small, and base^value - 1 has either the same total in all cells, or, where genes were left out since, is
    in each cell a whole multiple of its smallest value, that of a single count.
    """
    if _stored(values).max() > MAX_LOG:
        return None
    logs = dense(values[evenly(values.shape[0], SAMPLE)]).astype(float)
    counts = {base: base ** logs[logs.any(axis=1)] - 1 for base in (np.e, 2.0, 10.0)}
    totals = {base: rows.sum(axis=1) for base, rows in counts.items()}
    spread, best = min((total.std() / total.mean(), base) for base, total in totals.items())
    return best if spread <= CONSTANT else next((base for base, rows in counts.items() if _are_multiples(rows)), None)


def _are_multiples(rows: np.ndarray) -> bool:
    multiples = rows / np.where(rows > 0, rows, np.inf).min(axis=1, keepdims=True)
    whole = np.abs(multiples - np.rint(multiples)) <= 1e-2 * np.maximum(multiples, 1)
    return bool(np.median(np.where(rows > 0, whole, True).all(axis=1)) == 1 and (multiples > 1.5).any())
