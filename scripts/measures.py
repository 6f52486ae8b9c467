"""Measures: of predictions against the truth, of gene lists against each other, of rankings against what is known."""

from collections.abc import Iterable

import numpy as np
from scipy import stats

from scripts.errors import InputError

LEAST_VARIANCE = 0.05  # of held-out or of training cells, in units of the other, from which on R2 means something


def r2(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Coefficient of determination of each frequency, NaN where it is the same in all cells.

    y, predicted : (n_cells, n_freq). Returns (n_freq,).
    """
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    varies = total > 1e-12 * (y**2).sum(axis=0)  # what rounding leaves of a constant is nothing
    return 1 - ((y - predicted) ** 2).sum(axis=0) / np.where(varies, total, np.nan)


def held_out_r2(y: np.ndarray, predicted: np.ndarray, y_train: np.ndarray) -> np.ndarray:
    """`r2`, but NaN for a frequency along which the held-out cells hardly vary, or the training cells.

    They hold next to none of the few cells that such a frequency sets apart: R2 would divide by next to nothing, and
    one split outweigh all others in a mean; or there is next to nothing to learn it from. y, predicted : (n_cells,
    n_freq) or (n_cells,); y_train : of the training cells.
    """
    return np.where(_unjudged(y, y_train), np.nan, r2(y, predicted))


def _unjudged(y: np.ndarray, y_train: np.ndarray) -> np.ndarray:
    held_out, training = y.var(axis=0), y_train.var(axis=0)
    return (held_out < LEAST_VARIANCE * training) | (training < LEAST_VARIANCE * held_out)


def held_out_correlation(y: np.ndarray, scores: np.ndarray, y_train: np.ndarray) -> np.ndarray:
    """Correlation of each frequency with its score, (n_freq,), 0 for a constant score, NaN as in `held_out_r2`.

    y, scores : (n_cells, n_freq); y_train : of the training cells.
    """
    y, scores = y - y.mean(axis=0), scores - scores.mean(axis=0, dtype=np.float64)
    size = np.linalg.norm(y, axis=0) * np.linalg.norm(scores, axis=0)
    correlation = np.divide((y * scores).sum(axis=0), size, out=np.zeros_like(size), where=size > 0)
    return np.where(_unjudged(y, y_train), np.nan, correlation)


def aligned_r2(y: np.ndarray, found: np.ndarray) -> np.ndarray:
    """R2 of each frequency after the best linear map from found ones: near-equal frequencies rotate into each other.

    y : (n_cells, n_freq); found : (n_cells, n_found). Returns (n_freq,).
    """
    y, found = y - y.mean(axis=0), found - found.mean(axis=0)
    rotation, *_ = np.linalg.lstsq(found, y, rcond=None)
    return r2(y, found @ rotation)


def strongest(weights: np.ndarray, n: int | None = None) -> np.ndarray:
    """Places of the n largest absolute weights, or of all, the largest first; weights : (n_weights,)."""
    return np.argsort(-np.abs(weights), kind="stable")[:n]


def ends(weights: np.ndarray, n: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Places of the n largest and of the n smallest weights, or of all, the outermost first; weights : (n_weights,)."""
    return _smallest(-weights, n), len(weights) - 1 - _smallest(weights[::-1], n)


def _smallest(keys: np.ndarray, n: int | None) -> np.ndarray:
    """Places of the n smallest, the smallest first, those of equal ones in order; few are sorted where n is small."""
    if n is None or not 0 < n < len(keys):
        return np.argsort(keys, kind="stable")[:n]
    some = np.flatnonzero(keys <= np.partition(keys, n - 1)[n - 1])
    return some[np.argsort(keys[some], kind="stable")][:n]


def jaccard(a: Iterable, b: Iterable) -> float:
    """Shared genes over all genes of two lists or sets; 0 for two empty ones."""
    a, b = set(a), set(b)
    return len(a & b) / len(a | b) if a or b else 0.0


def expected_jaccard(n_a: int, n_b: int, n_genes: int) -> float:
    """Mean Jaccard of two random lists of n_a and n_b out of n_genes genes (hypergeometric overlap)."""
    overlap = np.arange(min(n_a, n_b) + 1)
    chance = stats.hypergeom(n_genes, n_a, n_b).pmf(overlap)
    return float((chance * overlap / (n_a + n_b - overlap)).sum())


def overlap_p_value(n_shared: int, n_a: int, n_b: int, n_genes: int) -> float:
    """Probability that two random lists of n_a and n_b out of n_genes genes share n_shared genes or more."""
    return float(stats.hypergeom(n_genes, n_a, n_b).sf(n_shared - 1))


def rank_biased_overlap(a: np.ndarray, b: np.ndarray, p: float = 0.98) -> float:
    """Extrapolated rank-biased overlap of two rankings of the same genes (Webber et al., ACM TOIS 28, 20, 2010).

    1 for the same ranking; near 0 where the first ranks share nothing.

    a, b : (n_genes,) rank of each gene, from 0, without ties; p : how slowly the weight of a depth falls: the first
    1 / (1 - p) ranks hold most of it.
    """
    if not 0 < p < 1:
        raise InputError(f"p={p} is not possible: choose a number between 0 and 1")
    depth = np.arange(1, len(a) + 1)
    shared = np.cumsum(np.bincount(np.maximum(a, b), minlength=len(a)))
    weights = (1 - p) * p ** (depth - 1)
    return float((weights * shared / depth).sum() + shared[-1] / depth[-1] * p ** len(a))


def average_precision(hits: np.ndarray, n_markers: int) -> float:
    """Mean, over the markers that can be reached, of the precision at each rank that holds one; 0 for those not named.

    hits : (n_named,) bool, in the order of the ranking; n_markers : markers among all genes.
    """
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / min(n_markers, len(hits)))


def average_precision_of_ranks(at_least: np.ndarray) -> float:
    """Area under the precision-recall curve of a ranking, a step at each true one.

    at_least : (n_true,), how many of all score at least as much as each true one: of millions no order is needed.
    """
    n_true = np.searchsorted(np.sort(at_least), at_least, side="right")  # of them that score as much
    return float((n_true / np.maximum(at_least, n_true)).mean())


def expected_average_precision(n_named: int, n_true: int, n: int) -> float:
    """Average precision of a random order of n genes or pairs, of which n_named are named, on average; exact.

    With all of them named it is a little more than the share of true ones: each rank k = 1 .. n_named is as likely to
    hold a true one, and the precision there is (1 + (k - 1) q) / k, q the share of true ones among the other n - 1.
    """
    rank = np.arange(1, n_named + 1)
    given_hit = (1 + (rank - 1) * (n_true - 1) / max(n - 1, 1)) / rank
    return float((n_true / n * given_hit).sum() / min(n_true, n_named))
