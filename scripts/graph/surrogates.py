"""Signals that are as smooth on the cell graph as given ones, but otherwise random."""

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.sparse import csr_array

from scripts.graph.spectrum import laplacian

N_STEPS = 300  # of the Lanczos iteration: bands of the spectrum that a signal is taken apart into


def spectral_surrogates(
    adjacency: csr_array, signals: np.ndarray, n_surrogates: int, random_state: int = 0
) -> np.ndarray:
    """Each signal with the signs of its graph-Fourier coefficients drawn at random.

    All eigenvectors would take n_cells^3. Lanczos iteration from the signal itself gives up to 300 orthonormal Ritz
    vectors that hold all of it, one for each band of the spectrum, or one for each eigenvector if these are fewer
    (Golub & Meurant, Matrices, Moments and Quadrature, 2010): their signs are drawn. The size of the signal and how it
    divides over the bands stay as they are; within a band eigenvectors keep their signs to each other.

    Parameters
    ----------
    adjacency : (n_cells, n_cells) symmetric, non-negative
    signals : (n_cells, n_signals)
    n_surrogates : int
    random_state : int

    Returns
    -------
    (n_surrogates, n_cells, n_signals) float64
    """
    L, random = laplacian(adjacency), np.random.default_rng(random_state)
    found = np.zeros((n_surrogates, *signals.shape))
    for f, signal in enumerate(np.asarray(signals, dtype=np.float64).T):
        if signal.any():
            parts = _ritz_parts(L, signal)
            found[:, :, f] = random.choice([-1.0, 1.0], (n_surrogates, len(parts))) @ parts
    return found


def _ritz_parts(L: csr_array, signal: np.ndarray) -> np.ndarray:
    """Orthogonal parts that add up to the signal, one for each Ritz value; (n_parts, n_cells)."""
    basis = np.empty((min(N_STEPS, len(signal)), len(signal)))
    diagonal, beside = [], []
    following = signal / np.linalg.norm(signal)
    for step in range(len(basis)):
        basis[step] = following
        following = L @ following
        diagonal.append(following @ basis[step])
        for _ in range(2):  # once is not enough to stay orthogonal
            following -= (basis[: step + 1] @ following) @ basis[: step + 1]
        beside.append(np.linalg.norm(following))
        if beside[-1] < 1e-8 * max(diagonal):
            break
        following /= beside[-1]
    _, vectors = eigh_tridiagonal(diagonal, beside[:-1])
    return (np.linalg.norm(signal) * vectors[0][:, None] * vectors.T) @ basis[: len(diagonal)]
