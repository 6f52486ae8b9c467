"""Lowest eigenpairs of a graph Laplacian, the trivial one left out. Knows arrays only.

Every solver takes (L, n_comps, trivial, max_residual): L (n_cells, n_cells) symmetric, of a connected graph; trivial
(n_cells,), its eigenvector of eigenvalue 0, of unit length. It returns values (n_comps,), ascending, and unit vectors
(n_cells, n_comps), all NaN if it gave up; the start is the same each time. Whether the residual was reached is for the
caller to check.
"""

import warnings
from collections.abc import Callable

import numpy as np
from scipy.sparse import csgraph, csr_array, eye_array
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh, splu
from scipy.sparse.linalg import lobpcg as scipy_lobpcg
from threadpoolctl import threadpool_limits

SHIFT = -1e-3  # a little below 0, so that L - shift is definite and can be factorised
N_PRODUCTS = 5000  # with L, about, after which Lanczos iteration gives up: noise alone takes 3,000
N_BASIS, TOLERANCE = 80, 1e-10  # vectors that it keeps, and its relative residual
CHEBYSHEV_STEPS = 30
CHEBYSHEV_RANGE = (0.007, 2.0)  # eigenvalues of D^-1 L lie in 0 .. 2; those near 0 are left to the eigensolver
N_SMOOTH = 2  # times that the first vectors are smoothed: the steps between groups would take more iterations to go
N_SPARE = 3  # vectors iterated beyond those wanted: the last ones of a block converge slowly
N_GROUPS = 5_000  # groups of cells, at most, that the first vectors are computed on


def residuals(L: csr_array, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Relative residual of each eigenpair, |L v - lambda v| / lambda, (n_comps,)."""
    return np.linalg.norm(L @ vectors - vectors * values, axis=0) / values


def band_widths(L: csr_array) -> np.ndarray:
    """How far before the diagonal each row of L begins, in the order of reverse Cuthill-McKee, (n_cells,) int.

    Their sum bounds the entries of a factor, that of their squares the products that it takes (George & Liu, Computer
    Solution of Large Sparse Positive Definite Systems, 1981). Cells along a few lines have a narrow band.
    """
    order = csgraph.reverse_cuthill_mckee(L, symmetric_mode=True)
    place = np.argsort(order)
    ordered = L[order]
    return np.arange(len(order)) - np.minimum.reduceat(place[ordered.indices], ordered.indptr[:-1])


def lanczos(L: csr_array, n_comps: int, trivial: np.ndarray, max_residual: float) -> tuple[np.ndarray, np.ndarray]:
    """Restarted Lanczos iteration on L alone: exact, and few products where the lowest eigenvalues are not near 0."""
    n_cells, n_basis = len(trivial), min(max(N_BASIS, 5 * n_comps), len(trivial))
    top = 2 * L.diagonal().max()  # no eigenvalue is larger: there the trivial vector is out of the way

    def product(x: np.ndarray) -> np.ndarray:
        return L @ x + top * (trivial @ x) * trivial

    start = np.random.default_rng(0).standard_normal(n_cells)
    try:
        with threadpool_limits(1, "blas"):  # threads of few vectors only wait for each other
            values, vectors = eigsh(
                LinearOperator(L.shape, product, dtype=np.float64),
                k=n_comps,
                which="SA",
                ncv=n_basis,
                v0=start,
                tol=TOLERANCE,
                maxiter=max(1, N_PRODUCTS // (n_basis - n_comps)),
            )
    except ArpackNoConvergence:
        return np.full(n_comps, np.nan), np.full((n_cells, n_comps), np.nan)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def shift_invert(L: csr_array, n_comps: int, trivial: np.ndarray, max_residual: float) -> tuple[np.ndarray, np.ndarray]:
    """Lanczos on a factorised L - shift: exact, but of a broad band the factors grow with the square of the cells."""
    start = np.random.default_rng(0).standard_normal(len(trivial))
    shifted = (L - SHIFT * eye_array(len(trivial))).tocsc()
    # an order for symmetric matrices, which a definite one can keep: half the factors, a third of the time
    factors = splu(shifted, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True})
    solve = LinearOperator(L.shape, factors.solve, dtype=np.float64)
    values, vectors = eigsh(L, k=n_comps + 1, sigma=SHIFT, OPinv=solve, v0=start)
    order = np.argsort(values)[1:]
    return values[order], vectors[:, order]


def lobpcg(L: csr_array, n_comps: int, trivial: np.ndarray, max_residual: float) -> tuple[np.ndarray, np.ndarray]:
    """Locally optimal block preconditioned conjugate gradients (Knyazev 2001), the trivial vector projected out."""
    n_cells = len(trivial)
    order = csgraph.reverse_cuthill_mckee(L, symmetric_mode=True)  # neighbours close in memory: a quarter faster
    L, trivial = L[order], trivial[order]
    L.indices = np.argsort(order).astype(L.indices.dtype)[L.indices]
    vectors = _vectors_of_groups(L, min(n_comps + N_SPARE, n_cells // 5), trivial)
    solve_roughly = _chebyshev(L, vectors.shape[1])
    for _ in range(N_SMOOTH):
        vectors -= solve_roughly(L @ vectors)
    preconditioner = LinearOperator(L.shape, matvec=solve_roughly, matmat=solve_roughly, dtype=L.dtype)
    for n_steps in (3, *[2] * 20):  # scipy stops only when the whole block has converged: look every few steps instead
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged yet is expected; the residual is checked
            values, vectors = scipy_lobpcg(
                L, vectors, M=preconditioner, Y=trivial[:, None], largest=False, maxiter=n_steps, tol=1e-12
            )
        ascending = np.argsort(values)
        values, vectors = values[ascending], vectors[:, ascending]
        if residuals(L, values[:n_comps], vectors[:, :n_comps]).max() <= max_residual / 2:
            break
    result = np.empty((n_cells, n_comps))
    result[order] = vectors[:, :n_comps]
    return values[:n_comps], result / np.linalg.norm(result, axis=0)


def _vectors_of_groups(L: csr_array, n_vectors: int, trivial: np.ndarray) -> np.ndarray:
    """First vectors for an iteration: lowest eigenvectors of L restricted to vectors of one height a group of cells.

    A group is the cells whose best of a random ranking, among all within some steps, is the same cell (aggregation as
    in algebraic multigrid; Vanek, Mandel & Brezina 1996). Returns (n_cells, n_vectors).
    """
    n_cells = len(trivial)
    random = np.random.default_rng(0)
    best = random.permutation(n_cells).astype(np.int32)
    leaders = np.arange(n_cells)
    while len(leaders) > N_GROUPS:
        further = np.maximum(best, np.maximum.reduceat(best[L.indices], L.indptr[:-1]))
        fewer = np.unique(further)
        if len(fewer) < 5 * n_vectors:
            break
        best, leaders = further, fewer
    if not 5 * n_vectors <= len(leaders) <= 4 * N_GROUPS:
        return random.standard_normal((n_cells, n_vectors))
    group = np.searchsorted(leaders, best)
    height = trivial / np.sqrt(np.bincount(group, trivial**2))[group]
    groups = csr_array((height, group, np.arange(n_cells + 1)), shape=(n_cells, len(leaders)))
    alone = groups.T @ trivial  # the trivial vector, as the groups see it: of unit length too
    return groups @ shift_invert(csr_array(groups.T @ L @ groups), n_vectors, alone, 0)[1]


def _chebyshev(L: csr_array, n_vectors: int) -> Callable[[np.ndarray], np.ndarray]:
    """Rough solver of L x = b for up to n_vectors of b at once: Chebyshev iteration on D^-1 L.

    Saad, Iterative Methods for Sparse Linear Systems, 2003, algorithm 12.1. In float32 and on all cores, by torch: this
    is where the time goes, and a preconditioner need not be precise.
    """
    import torch

    low, high = CHEBYSHEV_RANGE
    centre, radius = (high + low) / 2, (high - low) / 2
    inverse_degree = (1 / L.diagonal()).astype(np.float32)
    scaled = (L.astype(np.float32) * inverse_degree[:, None]).tocsr()
    starts, columns, values = (torch.from_numpy(part) for part in (scaled.indptr, scaled.indices, scaled.data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its sparse matrices beta; the residual is checked afterwards
        matrix = torch.sparse_csr_tensor(starts, columns, values, scaled.shape)
    memory = torch.empty(3, L.shape[0] * n_vectors)  # asked for once: asking at each call takes longer than two steps

    def solve(b: np.ndarray) -> np.ndarray:
        columns = torch.from_numpy(b).reshape(len(b), -1)
        residual, step, x = (part[: columns.numel()].view(columns.shape) for part in memory)
        torch.mul(columns, torch.from_numpy(inverse_degree)[:, None], out=residual)
        torch.div(residual, centre, out=step)
        x.copy_(step)
        rho = radius / centre
        for _ in range(CHEBYSHEV_STEPS - 1):
            torch.addmm(residual, matrix, step, alpha=-1, out=residual)
            rho_next = 1 / (2 * centre / radius - rho)
            step.mul_(rho_next * rho).add_(residual, alpha=2 * rho_next / radius)
            x += step
            rho = rho_next
        return x.double().numpy().reshape(b.shape)

    return solve
