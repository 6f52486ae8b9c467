"""Multiscale Laplacian score: how far a walk on the cell graph must go to leave a gene's pattern."""

import numpy as np
from scipy import sparse
from scipy.special import ive

TIMES = (1.0, 4.0, 16.0, 64.0)  # steps of the walk: from a cell's neighbours to a branch of the tissue
N_BLOCK = 250  # genes at a time


def laplacian_scores(adjacency: sparse.csr_array, X: np.ndarray, times: tuple[float, ...] = TIMES) -> np.ndarray:
    """Multiscale Laplacian score of each gene (Hoekzema et al., Entropy 24, 1116, 2022); low is coherent.

    The Laplacian score (He, Cai & Niyogi, NeurIPS 18, 2005) of the graph whose edges are the transitions of a random
    walk in continuous time t, P_t = exp(-t (I - D^-1 A)):

        score_t(x) = x' D (I - P_t) x / x' D x,   x freed from its mean, cells weighted by their degree.

    All times are read from the same Chebyshev moments of D^-1/2 A D^-1/2, since exp(-t (1 - a)) is
    sum_k c_k exp(-t) I_k(t) T_k(a), c_0 = 1 and c_k = 2, I_k the modified Bessel functions; two follow from each
    product with the matrix, as T_2k = 2 T_k^2 - 1.

    Parameters
    ----------
    adjacency : (n_cells, n_cells)
        Symmetric, non-negative; cells without an edge do not count.
    X : (n_cells, n_genes) float32
    times : tuple of float
        In steps of the walk.

    Returns
    -------
    (n_times, n_genes) float64, from 0 to 1; 1 for constant genes.
    """
    degree = adjacency.sum(axis=1)
    root = np.sqrt(degree)
    inverse = sparse.diags_array(np.divide(1, root, out=np.zeros_like(root), where=root > 0))
    walk = sparse.csr_array(inverse @ adjacency @ inverse).astype(np.float32)
    share = degree / max(degree.sum(), 1)
    order = np.arange(2 * int(np.ceil(np.sqrt(5 * max(times)))) + 2)  # what is left out is below exp(-10)
    weights = np.where(order > 0, 2, 1) * ive(order, np.array(times)[:, None])
    blocks = [X[:, start : start + N_BLOCK] for start in range(0, X.shape[1], N_BLOCK)]
    scores = []
    for block in blocks:
        signal = root[:, None] * (block - share @ block)
        moments = _moments(walk, signal.astype(np.float32), len(order))
        kept = weights @ moments
        scores.append(1 - np.divide(kept, moments[0], out=np.zeros_like(kept), where=moments[0] > 0))
    return np.hstack(scores)


def _moments(walk: sparse.csr_array, signal: np.ndarray, n_moments: int) -> np.ndarray:
    """S' T_k(walk) s of each signal, k = 0 .. n_moments - 1, an even number; (n_moments, n_signals) float64."""
    before, now = signal, walk @ signal
    moments = [_products(signal, signal), _products(signal, now)]
    for _ in range(n_moments // 2 - 1):
        after = 2 * (walk @ now) - before
        moments += [2 * _products(now, now) - moments[0], 2 * _products(now, after) - moments[1]]
        before, now = now, after
    return np.array(moments)


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("cg,cg->g", a, b, dtype=np.float64)
