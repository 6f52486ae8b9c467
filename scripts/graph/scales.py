"""Which frequencies come back where the graph is built anew: one by one, and as spaces of the leading ones. Arrays."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from scripts.graph.spectrum import frequencies, part_of_cells

COMES_BACK = 0.9  # canonical correlation from which on a direction is there again: four fifths of its variance are
SMALL_PART = 0.01  # share of the cells below which a part of a graph is left out
SCALES = [
    "frequency",
    "eigenvalue",
    "participation",
    "depth_correlation",
    "alone",
    "alone_lowest",
    "together",
    "together_lowest",
    "canonical_correlations",
    "comes_back",
    "group",
]


def frequencies_in_parts(
    adjacency: csr_array, n_comps: int, normalized: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`frequencies` of a graph that may have fallen into parts: those that tell these apart are then the first ones.

    Where a bridge between cells thins out, the eigenvalue of what tells its ends apart goes to 0; without the bridge it
    is 0, and the scale is still there.

    Parameters
    ----------
    adjacency : (n_cells, n_cells) sparse array
        Symmetric, non-negative.
    n_comps : int
        How many eigenpairs at most; one that is constant over all cells is left out.
    normalized : bool
        Use the symmetric-normalised Laplacian.

    Returns
    -------
    rows : (n_kept,) int
        Cells without those of parts that hold less than 1 % of them, the largest part always.
    values : (n_found,) float64, ascending
    vectors : (n_kept, n_found) float64
    """
    part = part_of_cells(adjacency)
    sizes = np.bincount(part)
    kept = [number for number, size in enumerate(sizes) if number == 0 or size >= SMALL_PART * len(part)]
    rows = np.flatnonzero(np.isin(part, kept))
    adjacency, part = adjacency[rows][:, rows], part[rows]
    trivial = np.sqrt(adjacency.sum(axis=1)) if normalized else np.ones(len(rows))
    of_parts = [trivial, *(trivial * (part == number) for number in kept[1:])]
    values, vectors = [np.zeros(len(kept) - 1)], [np.linalg.qr(np.stack(of_parts, axis=1)).Q[:, 1:]]
    for number in kept:
        own = np.flatnonzero(part == number)
        if n_own := min(n_comps, len(own) - 2) * (len(own) > 2):
            of_part = np.zeros((len(rows), n_own))
            of_own, of_part[own] = frequencies(adjacency[own][:, own], n_own, normalized)
            values.append(of_own)
            vectors.append(of_part)
    all_values, all_vectors = np.concatenate(values), np.hstack(vectors)
    order = np.argsort(all_values, kind="stable")[:n_comps]
    return rows, all_values[order], all_vectors[:, order]


def best_partners(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|Correlation| of each frequency with the one of another graph that is most like it, over the cells of both.

    one, other : (n_cells, n_freq) and (n_cells, n_others). Returns (n_freq,); 0 for what does not vary, or has none.
    """
    units = []
    for vectors in (one, other):
        centred = vectors - vectors.mean(axis=0)
        size = np.linalg.norm(centred, axis=0)
        units.append(np.divide(centred, size, out=np.zeros_like(centred), where=size > 0))
    return np.abs(units[0].T @ units[1]).max(axis=1, initial=0)


def canonical_correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far the first k frequencies of two graphs span the same space, for each k, over the cells of both.

    They are the cosines of the principal angles between the spaces (Björck & Golub, Mathematics of Computation 27, 579,
    1973): rotations among the first k change nothing.

    Parameters
    ----------
    one, other : (n_cells, n_freq) and (n_cells, n_others)

    Returns
    -------
    (n_freq, n_freq) float64
        Row k - 1 holds those of the first k, the largest first, and NaN after the k-th; NaN alone where the other graph
        has fewer than k.
    """
    # the first k columns of Q span the first k frequencies, for all k at once
    Q, Q_other = (np.linalg.qr(vectors - vectors.mean(axis=0)).Q for vectors in (one, other))
    cosines = Q.T @ Q_other
    found = np.full((one.shape[1], one.shape[1]), np.nan)
    for k in range(1, min(cosines.shape) + 1):
        found[k - 1, :k] = np.linalg.svd(cosines[:k, :k], compute_uv=False)
    return np.minimum(found, 1)


def scale_table(
    values: np.ndarray,
    vectors: np.ndarray,
    rebuilt: Sequence[tuple[np.ndarray, np.ndarray]],
    participation: np.ndarray,
    depth: np.ndarray | None = None,
) -> pd.DataFrame:
    """How far each frequency, and the space of all up to it, comes back in graphs that were built anew.

    Parameters
    ----------
    values, vectors : (n_freq,) and (n_cells, n_freq)
        Of the graph of all cells.
    rebuilt : sequence of (rows, vectors)
        Of each other graph: which of the cells it has, and their frequencies, (n_rows, n_others).
    participation : (n_freq,)
        As from `participation`.
    depth : (n_cells,), optional
        Total counts.

    Returns
    -------
    DataFrame
        frequency; eigenvalue; participation; depth_correlation, |r| with the logarithm of depth, NaN where that is not
        known; alone, |r| with the best partner, and together, the smallest canonical correlation of all frequencies up
        to this one, each as the mean and the lowest over the other graphs; canonical_correlations, their means as text;
        comes_back, whether all up to this one are there again in every other graph; group, NaN after the last number
        that comes back.
    """
    alone = np.stack([best_partners(vectors[rows], new) for rows, new in rebuilt])
    canonical = np.stack([canonical_correlations(vectors[rows], new) for rows, new in rebuilt])
    together = canonical.diagonal(axis1=1, axis2=2)
    back = np.all(together >= COMES_BACK, axis=0)
    means = canonical.mean(axis=0)
    columns = {
        "frequency": np.arange(len(values)),
        "eigenvalue": values,
        "participation": participation,
        "depth_correlation": np.nan if depth is None else best_partners(vectors, np.log1p(depth)[:, None]),
        "alone": alone.mean(axis=0),
        "alone_lowest": alone.min(axis=0),
        "together": together.mean(axis=0),
        "together_lowest": together.min(axis=0),
        "canonical_correlations": [" ".join(f"{mean:.2f}" for mean in row[~np.isnan(row)]) for row in means],
        "comes_back": back,
        "group": np.where(back[::-1].cumsum()[::-1] > 0, back.cumsum() - back, np.nan),
    }
    return pd.DataFrame(columns)[SCALES]


def n_beyond_noise(table: pd.DataFrame, n_kept: int) -> int:
    """The largest number of leading frequencies, of those that are kept, that comes back, and not by depth or noise.

    table : as from `scale_table`, with structureless_lowest, together_lowest of cells without structure, and structure,
    "no" for a frequency that is shown to hold none beyond depth and noise; of an empty one, by which nothing was
    measured, it is the number kept. Returns 0 where there is no such number.
    """
    if table.empty:
        return n_kept
    beyond = table["comes_back"].astype(bool) & ~(table["structureless_lowest"] >= COMES_BACK)
    beyond &= (table["structure"] != "no").cummin()
    return int((np.flatnonzero(beyond[:n_kept]) + 1).max(initial=0))


def n_to_keep(comes_back: np.ndarray, n_kept: int) -> int:
    """How many frequencies to keep, so that no group is cut: 0 where none come back.

    From the number kept on, up to the first that comes back, and further as long as each one more does by itself;
    where none of these does, the largest that does.

    comes_back : (n_freq,) bool, whether all frequencies up to each one are there again.
    """
    numbers = np.flatnonzero(comes_back) + 1
    if not (numbers >= n_kept).any():
        return int(numbers.max(initial=0))
    n = int(numbers[numbers >= n_kept][0])
    while n < len(comes_back) and comes_back[n]:
        n += 1
    return n
