"""All that a ridge needs to know of the cells: moments of their features, summed over chunks of cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scripts.models.kernel import solve_kernel


@dataclass
class Moments:
    """Moments of p features, of which the first are main effects and the others products.

    Attributes
    ----------
    gram : (p, p) float64
        Covariances of the features.
    cross : (p, n_freq) float64
        Theirs with the targets.
    mean : (p,) float64
    features : (n_cells, p) float64 or None
        Centred; kept only where cells are fewer than features and the kernel form is cheaper.
    y : (n_cells, n_freq) float64
        Centred targets.
    n_main : int
    """

    gram: np.ndarray
    cross: np.ndarray
    mean: np.ndarray
    features: np.ndarray | None
    y: np.ndarray
    n_main: int

    @classmethod
    def of(cls, blocks: Iterator[np.ndarray], y: np.ndarray, n_main: int) -> Moments:
        """Accumulate; blocks of (n_chunk, p) features, y (n_cells, n_freq) centred."""
        start, gram, cross, total, kept = 0, np.zeros(()), np.zeros(()), np.zeros(()), []
        for block in blocks:
            gram = gram + block.T @ block
            cross = cross + block.T @ y[start : start + len(block)]
            total = total + block.sum(axis=0)
            start += len(block)
            if len(y) < block.shape[1]:
                kept.append(block)
        mean = total / len(y)
        features = np.concatenate(kept) - mean if kept else None
        return cls(gram / len(y) - np.outer(mean, mean), cross / len(y), mean, features, y, n_main)

    def solve(self, used: int, main_penalty: float, pair_penalties: tuple[float, ...]) -> list[np.ndarray]:
        """Weights of the first `used` features, (used, n_freq), for each penalty of the pairs.

        Penalties are in units of the total variance of the features they are for.
        """
        variance, n_main = self.gram.diagonal()[:used], self.n_main
        if self.features is not None and len(self.y) < used:
            each = [penalty_of_each(variance, n_main, main_penalty, pair) for pair in pair_penalties]
            return [_solve_by_kernel(self.features[:, :used], self.y, penalty) for penalty in each]
        # main effects eliminated, the rest diagonalised once for all penalties of the pairs
        main = main_penalty * variance[:n_main].sum() * np.eye(n_main)
        across, cross = self.gram[:n_main, n_main:used], self.cross[:used]
        eliminated = np.linalg.solve(self.gram[:n_main, :n_main] + main, np.hstack([across, cross[:n_main]]))
        slope, start = np.split(eliminated, [used - n_main], axis=1)
        values, vectors = np.linalg.eigh(self.gram[n_main:used, n_main:used] - across.T @ slope)
        rotated = vectors.T @ (cross[n_main:] - across.T @ start)
        total = variance[n_main:].sum()
        pairs = [vectors @ (rotated / (values[:, None] + penalty * total)) for penalty in pair_penalties]
        return [np.vstack([start - slope @ weights, weights]) for weights in pairs]


def _solve_by_kernel(features: np.ndarray, y: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """`Moments.solve` by the kernel (z . z') / main + (z . z')^2 / pair between cells, centred.

    features : (n_cells, used); penalty : (used,), of each feature.
    """
    scaled = features / penalty
    return scaled.T @ solve_kernel(scaled @ features.T, len(y), y)


def penalty_of_each(variance: np.ndarray, n_main: int, main: float, pair: float) -> np.ndarray:
    """Penalty of each feature, (p,): `main` and `pair` times the total variance of the features they are for.

    variance : (p,), of main effects first.
    """
    totals = main * variance[:n_main].sum(), pair * variance[n_main:].sum()
    return np.repeat(totals, [n_main, len(variance) - n_main])
