"""Laplacian of a cell graph, its lowest eigenpairs, the frequencies, and random signals of a given spectrum. Arrays."""

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.sparse import csgraph, csr_array, diags_array

from scripts.errors import InputError
from scripts.graph.eigensolvers import band_widths, lanczos, lobpcg, residuals, shift_invert

MAX_RESIDUAL = 1e-3  # |L v - lambda v| / lambda that every frequency must keep
NARROW = 400  # root mean square width of the band up to which factors are cheaper than iterations
BROAD = 0.05  # mean width, of the cells, from which on Lanczos iteration needs few products
N_LANCZOS = 30_000  # cells up to which it is tried first; beyond, a preconditioner is always cheaper
N_FACTORISED = 10_000  # cells up to which factors are a last resort whatever the band: a minute; their time is cubic
NEAR_EQUAL = 0.02  # relative gap below which neighbouring eigenvalues can rotate into each other
N_STEPS = 300  # of the Lanczos iteration: bands of the spectrum that a signal is taken apart into


def laplacian(adjacency: csr_array, normalized: bool = False) -> csr_array:
    """Graph Laplacian, L = D - A, or its symmetric normalisation D^-1/2 L D^-1/2.

    adjacency : (n_cells, n_cells) symmetric, non-negative. Returns (n_cells, n_cells).
    """
    A = csr_array(adjacency, dtype=np.float64)
    degree = A.sum(axis=1)
    L = (diags_array(degree) - A).tocsr()
    if not normalized:
        return L
    scale = diags_array(1 / np.sqrt(degree))
    return (scale @ L @ scale).tocsr()


def part_of_cells(adjacency: csr_array) -> np.ndarray:
    """Which connected part of the graph each cell lies in, (n_cells,) int; 0 is the largest, 1 the next."""
    _, part = csgraph.connected_components(adjacency, directed=False)
    place = np.empty(part.max() + 1, int)
    place[np.argsort(-np.bincount(part), kind="stable")] = np.arange(len(place))
    return place[part]


def largest_part(adjacency: csr_array) -> np.ndarray:
    """Cells of the largest connected part of the graph.

    adjacency : (n_cells, n_cells) symmetric. Returns (n_cells,) bool.
    """
    return part_of_cells(adjacency) == 0


def participation(vectors: np.ndarray) -> np.ndarray:
    """On how many cells each vector lives: (sum v^2)^2 / sum v^4, from 1 to n_cells (Bell & Dean 1970); (n_comps,)."""
    return (vectors**2).sum(axis=0) ** 2 / (vectors**4).sum(axis=0)


def solver_for(L: csr_array) -> str:
    """Which eigensolver is tried first: "shift-invert", "lanczos" or "lobpcg", by the band of L, (n_cells, n_cells)."""
    widths = band_widths(L).astype(np.float64)
    n_cells = len(widths)
    if (widths**2).sum() <= NARROW**2 * min(n_cells, N_LANCZOS):
        return "shift-invert"
    return "lanczos" if n_cells <= N_LANCZOS and widths.mean() >= BROAD * n_cells else "lobpcg"


def frequencies(adjacency: csr_array, n_comps: int, normalized: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Lowest non-trivial eigenpairs of the Laplacian: the scales along which the cells vary, coarse to fine.

    Parameters
    ----------
    adjacency : (n_cells, n_cells) sparse array
        Symmetric, non-negative, connected.
    n_comps : int
        How many eigenpairs; the trivial one is left out.
    normalized : bool
        Use the symmetric-normalised Laplacian.

    Returns
    -------
    values : (n_comps,) float64, ascending
    vectors : (n_cells, n_comps) float64
        Of unit length; the sign is fixed so that the third moment of each is positive.

    Raises
    ------
    InputError
        If the graph falls into parts (each has a trivial eigenvector of its own), has too few cells, or if the residual
        of a frequency stays above 0.001 with every solver.
    """
    return frequencies_by(adjacency, n_comps, normalized)[:2]


def frequencies_by(adjacency: csr_array, n_comps: int, normalized: bool = False) -> tuple[np.ndarray, np.ndarray, str]:
    """`frequencies`, and the name of the eigensolver that found them."""
    n_cells = adjacency.shape[0]
    if not 1 <= n_comps <= n_cells - 2:
        raise InputError(f"n_freq_comps={n_comps} is not possible with {n_cells} cells: choose 1 to {n_cells - 2}")
    _refuse_parts(adjacency)
    L = laplacian(adjacency, normalized)
    root_degree = np.sqrt(adjacency.sum(axis=1)) if normalized else np.ones(n_cells)
    trivial = root_degree / np.linalg.norm(root_degree)
    solvers = {"lanczos": lanczos, "lobpcg": lobpcg, "shift-invert": shift_invert}
    first = solver_for(L)
    if first != "shift-invert" and n_cells > N_FACTORISED:
        del solvers["shift-invert"]
    reached = []
    for name in sorted(solvers, key=lambda name: name != first):
        values, vectors = solvers[name](L, n_comps, trivial, MAX_RESIDUAL)
        reached.append(residuals(L, values, vectors).max())
        if reached[-1] <= MAX_RESIDUAL:
            return values, vectors * np.where((vectors**3).sum(axis=0) < 0, -1.0, 1.0), name
    raise InputError(
        f"the frequencies did not converge: largest relative residual {np.nanmin(reached):.1e}, "
        f"allowed {MAX_RESIDUAL:.0e}: raise k_neighbors, or set fewer n_freq_comps"
    )


def _refuse_parts(adjacency: csr_array) -> None:
    """Raise InputError, with the sizes of the parts, for a graph that is not connected."""
    reached = csgraph.breadth_first_order(adjacency, 0, return_predecessors=False)  # a fifth of the time of all parts
    if len(reached) < adjacency.shape[0]:
        sizes = np.bincount(part_of_cells(adjacency))
        shown = ", ".join(map(str, sizes[:10])) + (", ..." if len(sizes) > 10 else "")
        raise InputError(
            f"the cell graph falls into {len(sizes)} parts of {shown} cells: raise k_neighbors, "
            "or set unconnected='largest' to keep the largest part"
        )


def extend(edges: csr_array, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Frequencies of new cells from their neighbours: v(x) = sum_j a_xj v_j / (degree_x - lambda).

    What L v = lambda v asks of a cell whose neighbours' values are known.

    Parameters
    ----------
    edges : (n_new, n_cells) sparse array
        From `neighbors.entered_neighbors`; every new cell has an edge.
    values, vectors : (n_freq,) and (n_cells, n_freq)
        Of the unnormalised Laplacian of the cells' own graph.

    Returns
    -------
    (n_new, n_freq) float64
    """
    degree = edges.sum(axis=1)[:, None]
    # near a pole, lambda close to the degree, the formula would blow up: there the neighbours' mean is taken
    denominator = np.where(degree - values > degree / 2, degree - values, degree)
    return (edges @ vectors) / denominator


def near_equal_groups(values: np.ndarray) -> list[list[int]]:
    """Frequencies whose eigenvalues nearly agree and whose vectors can therefore rotate into each other.

    values : (n_comps,) ascending. Returns the groups of two and more, as lists of indices.
    """
    breaks = np.flatnonzero(np.diff(values) > NEAR_EQUAL * values[1:]) + 1
    return [group.tolist() for group in np.split(np.arange(len(values)), breaks) if len(group) > 1]


def suggest_n_comps(values: np.ndarray) -> int:
    """How many frequencies to keep: up to the largest relative gap to the next eigenvalue.

    values : (n_comps,) ascending, at least 2.
    """
    return int(np.argmax(values[1:] / values[:-1])) + 1


def dirichlet_energy(signal: np.ndarray, adjacency: csr_array) -> np.ndarray:
    """How fast each signal changes along the edges of the cell graph (Rayleigh quotient of L = D - A).

    signal : (n_cells, n_signals); adjacency : (n_cells, n_cells) symmetric, non-negative. Returns (n_signals,).
    """
    adjacency = csr_array(adjacency)
    degree = adjacency.sum(axis=1)
    flow = degree[:, None] * signal - adjacency @ signal
    return (signal * flow).sum(axis=0) / (signal**2).sum(axis=0)


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
