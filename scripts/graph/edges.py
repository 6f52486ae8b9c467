"""Symmetric graphs of nearest neighbours. Arrays only."""

import numpy as np
from scipy.sparse import coo_array, csr_array

from scripts.blocks import Matrix
from scripts.errors import InputError
from scripts.graph.neighbors import Neighbors, nearest_neighbors


def knn_graph(
    X: Matrix,
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
        Seed of the approximate search, see `neighbors.nearest_neighbors`.

    Returns
    -------
    (n_cells, n_cells) csr_array, symmetric, with an empty diagonal.

    Raises
    ------
    InputError
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
        raise InputError(f"weights={weights!r} is not known: choose 'unweighted', 'gaussian' or 'fuzzy'")
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
