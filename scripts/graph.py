"""Cell graph, Laplacian and frequencies. Knows arrays only."""

import numpy as np
from scipy.sparse import coo_array, csgraph, csr_array, diags_array

from scripts.eigensolvers import lobpcg, residuals, shift_invert
from scripts.memory import freed_memory_kept
from scripts.neighbors import Neighbors, nearest_neighbors

MAX_RESIDUAL = 1e-3  # |L v - lambda v| / lambda that every frequency must keep
N_DIRECT = 30_000  # cells up to which the Laplacian is factorised; the factors grow with the square of the cells
NEAR_EQUAL = 0.02  # relative gap below which neighbouring eigenvalues can rotate into each other


def knn_graph(
    X: np.ndarray,
    k: int,
    metric: str = "cosine",
    weights: str = "unweighted",
    random_state: int = 0,
) -> csr_array:
    """Symmetric k-nearest-neighbour graph.

    Parameters
    ----------
    X : (n_cells, n_features) array or sparse matrix
        Cells, one a row: all genes, or components.
    k : int
        Neighbours of each cell, the cell itself not counted.
    metric : {"cosine", "euclidean"}
        Distance between cells.
    weights : {"unweighted", "gaussian", "fuzzy"}
        See `adjacency`.
    random_state : int
        Seed of the approximate search above 50,000 cells.

    Returns
    -------
    (n_cells, n_cells) csr_array, symmetric, with an empty diagonal.

    Raises
    ------
    ValueError
        See `neighbors.nearest_neighbors`.
    """
    return adjacency(nearest_neighbors(X, k, metric, random_state=random_state), weights)


def adjacency(neighbors: Neighbors, weights: str = "unweighted") -> csr_array:
    """Symmetric graph of given neighbours, (n_cells, n_cells).

    weights : "unweighted", A = (N + N^T > 0); "gaussian", exp(-d_ij^2 / (s_i s_j)) on the same edges, s_i the distance
    of the k-th neighbour (Zelnik-Manor & Perona 2004); "fuzzy", UMAP's fuzzy union (McInnes et al. 2018) as scanpy's.
    """
    n_cells, k = neighbors.indices.shape
    rows, columns = np.repeat(np.arange(n_cells), k), neighbors.indices.ravel().astype(np.int32)
    if weights == "unweighted":
        values = np.ones(rows.size)
    elif weights == "gaussian":
        scale = np.maximum(neighbors.distances[:, -1], np.finfo(np.float32).tiny).astype(np.float64)
        values = np.exp(-(neighbors.distances.ravel().astype(np.float64) ** 2) / (scale[rows] * scale[columns]))
        values = np.maximum(values, 1e-12)  # an edge stays an edge
    elif weights == "fuzzy":
        return _fuzzy_union(neighbors)
    else:
        raise ValueError(f"weights={weights!r} is not known: choose 'unweighted', 'gaussian' or 'fuzzy'")
    row_starts = np.arange(0, n_cells * k + 1, k, dtype=np.int32)
    directed = csr_array((values, columns, row_starts), shape=(n_cells, n_cells))
    directed.sort_indices()  # merging sorted rows takes half the time
    return directed.maximum(directed.T.tocsr())


def _fuzzy_union(neighbors: Neighbors) -> csr_array:
    from umap.umap_ import fuzzy_simplicial_set  # compiles for seconds: imported where it is wanted

    n_cells, k = neighbors.indices.shape
    # UMAP counts the cell itself as its first neighbour
    indices = np.column_stack([np.arange(n_cells), neighbors.indices])
    distances = np.column_stack([np.zeros(n_cells), neighbors.distances]).astype(np.float32)
    no_data = coo_array((n_cells, 1))
    union, *_ = fuzzy_simplicial_set(no_data, k + 1, 0, "euclidean", knn_indices=indices, knn_dists=distances)
    union = csr_array(union)
    union.setdiag(0)
    union.eliminate_zeros()
    return union.astype(np.float64)


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


def part_sizes(adjacency: csr_array) -> list[int]:
    """Cells of each connected part of the graph, the largest first."""
    _, part = csgraph.connected_components(adjacency, directed=False)
    return sorted(np.bincount(part).tolist(), reverse=True)


def largest_part(adjacency: csr_array) -> np.ndarray:
    """Cells of the largest connected part of the graph.

    adjacency : (n_cells, n_cells) symmetric. Returns (n_cells,) bool.
    """
    _, part = csgraph.connected_components(adjacency, directed=False)
    return part == np.bincount(part).argmax()


def solver_for(n_cells: int) -> str:
    """Which eigensolver `frequencies` uses first: "shift-invert" or "lobpcg"."""
    return "shift-invert" if n_cells <= N_DIRECT else "lobpcg"


@freed_memory_kept()
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
    ValueError
        If the graph falls into parts (each has a trivial eigenvector of its own), has too few cells, or if the residual
        of a frequency stays above 0.001 with both solvers.
    """
    n_cells = adjacency.shape[0]
    if not 1 <= n_comps <= n_cells - 2:
        raise ValueError(f"n_freq_comps={n_comps} is not possible with {n_cells} cells: choose 1 to {n_cells - 2}")
    reached = csgraph.breadth_first_order(adjacency, 0, return_predecessors=False)  # a fifth of the time of all parts
    if len(reached) < n_cells:
        sizes = part_sizes(adjacency)
        shown = ", ".join(map(str, sizes[:10])) + (", ..." if len(sizes) > 10 else "")
        raise ValueError(
            f"the cell graph falls into {len(sizes)} parts of {shown} cells: raise k_neighbors, "
            "or set unconnected='largest' to keep the largest part"
        )
    L = laplacian(adjacency, normalized)
    root_degree = np.sqrt(adjacency.sum(axis=1)) if normalized else np.ones(n_cells)
    trivial = root_degree / np.linalg.norm(root_degree)
    solvers = [shift_invert, lobpcg] if solver_for(n_cells) == "shift-invert" else [lobpcg, shift_invert]
    for solve in solvers:
        values, vectors = solve(L, n_comps, trivial, MAX_RESIDUAL)
        worst = residuals(L, values, vectors).max()
        if worst <= MAX_RESIDUAL:
            return values, vectors * np.where((vectors**3).sum(axis=0) < 0, -1.0, 1.0)
    raise ValueError(
        f"the frequencies did not converge: largest relative residual {worst:.1e}, allowed {MAX_RESIDUAL:.0e}"
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
