"""Genes chosen one after the other, so that together they rebuild what is asked for."""

import numpy as np

from scripts.blocks import Matrix
from scripts.models import BilinearForm

N_DIRECTIONS = 20  # leading modules that the bilinear panel rebuilds


def greedy(gram: np.ndarray, cross: np.ndarray, n_genes: int) -> np.ndarray:
    """Genes whose linear combinations rebuild the targets best, chosen one after the other.

    Simultaneous orthogonal matching pursuit (Tropp et al., Signal Processing 86, 572, 2006), with the exact gain of
    each gene: what chosen genes say already counts no more, so that no program is named twice. All that it needs to
    know of the cells are scalar products: the choice is the order of pivots of a Cholesky factor of the genes' own.

    Parameters
    ----------
    gram : (n_candidates, n_candidates) float64
        Scalar products of the candidate genes' expression, centred.
    cross : (n_candidates, n_targets) float64
        Theirs with the targets, whose variances say how much each matters.
    n_genes : int

    Returns
    -------
    (n_genes,) int, indices of candidates in the order of choice; fewer where no further one adds anything.
    """
    start, left = gram.diagonal(), cross.copy()
    norm, free, chosen = start.copy(), start > 0, []
    factor = np.zeros((min(n_genes, len(gram)), len(gram)))
    for number, row in enumerate(factor):
        free &= norm > 1e-3 * start
        if not free.any():
            break
        gain = np.divide((left**2).sum(axis=1), norm, out=np.full(len(norm), -1.0), where=free)
        chosen.append(best := int(gain.argmax()))
        free[best] = False
        size = np.sqrt(norm[best])
        row[:] = (gram[best] - factor[:number, best] @ factor[:number]) / size
        left -= np.outer(row, left[best] / size)
        norm = np.clip(norm - row**2, 0, None)
    return np.array(chosen, dtype=int)


def form_targets(form: BilinearForm, X: Matrix, frequency: int) -> np.ndarray:
    """What a panel must rebuild so that the form can be evaluated: main effects w . x and the modules' u . x.

    Each is scaled to the standard deviation of what it adds to the prediction: w . x itself, or lambda (u . x)^2.
    X : (n_cells, n_genes). Returns (n_cells, 1 + n_modules) float64.
    """
    values, vectors = (leading[..., :N_DIRECTIONS] for leading in form.eigenpairs(frequency))
    directions = np.column_stack([form.main[frequency], form.basis @ vectors])
    scores = np.asarray(X @ directions.astype(X.dtype), dtype=np.float64)
    scores -= scores.mean(axis=0)
    size = scores.std(axis=0)
    added = np.concatenate([size[:1], np.abs(values) * (scores[:, 1:] ** 2).std(axis=0)])
    return scores * np.divide(added, size, out=np.zeros_like(size), where=size > 0)
