"""Cell graph, Laplacian and frequencies. Knows arrays only."""

import numpy as np
from scipy.sparse import coo_array, csgraph, csr_array
from scipy.sparse.linalg import eigsh
from sklearn.neighbors import NearestNeighbors

# L is positive semi-definite: with a shift a little below 0, L - shift is definite and can be factorised.
SHIFT = -1e-3


def knn_graph(X: np.ndarray, k: int, metric: str = "cosine") -> csr_array:
    """Symmetric, unweighted k-nearest-neighbour graph, A = (N + N^T > 0).

    Parameters
    ----------
    X : (n_cells, n_features) array
        Cells, one a row.
    k : int
        Neighbours of each cell, the cell itself not counted.
    metric : {"cosine", "euclidean"}
        Distance between cells.

    Returns
    -------
    (n_cells, n_cells) csr_array of 0 and 1, symmetric, with an empty diagonal.

    Raises
    ------
    ValueError
        If k does not lie in 1 .. n_cells - 1, or X holds values that are not finite.
    """
    n_cells = X.shape[0]
    if not 1 <= k < n_cells:
        raise ValueError(f"k_neighbors={k} is not possible with {n_cells} cells: choose 1 to {n_cells - 1}")
    if not np.isfinite(X).all():
        raise ValueError("the expression matrix holds NaN or infinite values: remove or impute them first")
    neighbours = (
        NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(X).kneighbors(return_distance=False)
    )
    rows = np.repeat(np.arange(n_cells), k)
    directed = coo_array((np.ones(rows.size), (rows, neighbours.ravel())), shape=(n_cells, n_cells)).tocsr()
    return directed.maximum(directed.T).tocsr()


def laplacian(adjacency: csr_array) -> csr_array:
    """Unnormalised graph Laplacian, L = D - A.

    adjacency : (n_cells, n_cells) symmetric, non-negative. Returns (n_cells, n_cells).
    """
    return csr_array(csgraph.laplacian(adjacency))


def largest_part(adjacency: csr_array) -> np.ndarray:
    """Cells of the largest connected part of the graph.

    adjacency : (n_cells, n_cells) symmetric. Returns (n_cells,) bool.
    """
    _, part = csgraph.connected_components(adjacency, directed=False)
    return part == np.bincount(part).argmax()


def frequencies(adjacency: csr_array, n_comps: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest non-trivial eigenpairs of the Laplacian: the scales along which the cells vary, coarse to fine.

    Parameters
    ----------
    adjacency : (n_cells, n_cells) sparse array
        Symmetric, non-negative, connected.
    n_comps : int
        How many eigenpairs; the constant one is left out.

    Returns
    -------
    values : (n_comps,) float64, ascending
    vectors : (n_cells, n_comps) float64
        Of unit length; the sign is fixed so that the third moment of each is positive.

    Raises
    ------
    ValueError
        If the graph falls into parts (each part has a trivial eigenvector of its own) or has too few cells.
    """
    n_cells = adjacency.shape[0]
    if not 1 <= n_comps <= n_cells - 2:
        raise ValueError(f"n_freq_comps={n_comps} is not possible with {n_cells} cells: choose 1 to {n_cells - 2}")
    n_parts, part = csgraph.connected_components(adjacency, directed=False)
    if n_parts > 1:
        sizes = sorted(np.bincount(part).tolist(), reverse=True)
        shown = ", ".join(map(str, sizes[:10])) + (", ..." if n_parts > 10 else "")
        raise ValueError(
            f"the cell graph falls into {n_parts} parts of {shown} cells: raise k_neighbors, "
            "or set unconnected='largest' to keep the largest part"
        )
    start = np.random.default_rng(0).standard_normal(n_cells)
    values, vectors = eigsh(laplacian(adjacency).tocsc(), k=n_comps + 1, sigma=SHIFT, v0=start)
    order = np.argsort(values)[1:]
    vectors = vectors[:, order]
    return values[order], vectors * np.where((vectors**3).sum(axis=0) < 0, -1.0, 1.0)


def dirichlet_energy(signal: np.ndarray, adjacency: csr_array) -> np.ndarray:
    """How fast each signal changes along the edges of the cell graph (Rayleigh quotient of L = D - A).

    signal : (n_cells, n_signals); adjacency : (n_cells, n_cells) symmetric, non-negative. Returns (n_signals,).
    """
    adjacency = csr_array(adjacency)
    degree = adjacency.sum(axis=1)
    flow = degree[:, None] * signal - adjacency @ signal
    return (signal * flow).sum(axis=0) / (signal**2).sum(axis=0)
