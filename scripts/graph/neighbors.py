"""Nearest neighbours of cells: exact up to some 50,000 cells, approximate with a measured recall above. Arrays only."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from sklearn.utils import gen_batches

from scripts.blocks import Matrix, dense
from scripts.errors import InputError
from scripts.parallel import side_by_side

N_EXACT = 50_000  # cells up to which all distances are compared
MIN_RECALL = 0.98  # of an approximate search, which looks further until it is reached, or reports less
LOWER_RECALL = 0.95  # that is enough where the other takes more than N_CHEAP lists for a cell
N_CHEAP = 32
N_SUMMED = 16  # features that are summed before a cell may be ruled out: as many as one instruction takes
N_SEARCHED = (10, 11, 12, 13, 14, 16, 20, 24, 32, 48, 64, 96, 128)  # lists searched for a cell, until that recall
N_LISTS_OF_LISTS = 4  # searched for the lists of a cell, at least
N_RECALL_CELLS = 300  # cells whose true neighbours are looked up to measure the recall


@dataclass(frozen=True)
class Neighbors:
    """The k nearest other cells of every cell, nearest first.

    Attributes
    ----------
    indices : (n_cells, k) int
    distances : (n_cells, k) float
        Euclidean; for the cosine metric, between cells scaled to unit length, where d^2 / 2 is the cosine distance.
    recall : float
        Share of the true neighbours found, measured on a sample of cells; 1.0 for an exact search.
    """

    indices: np.ndarray
    distances: np.ndarray
    recall: float


def as_points(X: Matrix, metric: str) -> np.ndarray | sparse.csr_array:
    """Cells as points whose Euclidean order is that of the metric, checked.

    X : (n_cells, n_features), dense or sparse; metric : "cosine" or "euclidean".

    Raises
    ------
    InputError
        For an unknown metric, values that are not finite, and cells without direction under the cosine metric.
    """
    if metric not in ("cosine", "euclidean"):
        raise InputError(f"metric={metric!r} is not known: choose 'cosine' or 'euclidean'")
    X = sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X)
    if not np.isfinite(X.data if sparse.issparse(X) else X).all():
        raise InputError("the expression matrix holds NaN or infinite values: remove or impute them first")
    if metric == "euclidean":
        return X
    squares = (X * X).sum(axis=1)
    if not squares.all():
        n_zero = int((squares == 0).sum())
        raise InputError(
            f"{n_zero} cells are zero everywhere and have no cosine: remove them, or use metric='euclidean'"
        )
    return normalize(X)


def nearest_neighbors(
    X: Matrix, k: int, metric: str = "cosine", n_exact: int = N_EXACT, random_state: int = 0
) -> Neighbors:
    """The k nearest other cells of every cell; the same result each time.

    Parameters
    ----------
    X : (n_cells, n_features) array or sparse matrix
    k : int
        Neighbours of each cell, the cell itself not counted.
    metric : {"cosine", "euclidean"}
    n_exact : int
        Cells up to which the search is exact. Above, dense features are needed, best some 50 components.
    random_state : int
        Seed of the approximate search and of the cells its recall is measured on.

    Raises
    ------
    InputError
        If k does not lie in 1 .. n_cells - 1, X is unfit (see `as_points`), or more than k cells are identical (they
        would be each other's only neighbours).
    """
    n_cells = X.shape[0]
    if not 1 <= k < n_cells:
        raise InputError(f"k_neighbors={k} is not possible with {n_cells} cells: choose 1 to {n_cells - 1}")
    points = as_points(X, metric)
    if n_cells <= n_exact:
        distances, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors()
        found = Neighbors(indices, distances, 1.0)
    else:
        if sparse.issparse(points):
            raise InputError(f"{n_cells} cells are too many for an exact search: reduce them to components first")
        found = _approximate(points.astype(np.float32), k, random_state)
    _refuse_identical_cells(points, found.indices)
    return found


def _refuse_identical_cells(points: np.ndarray | sparse.csr_array, indices: np.ndarray) -> None:
    """Raise InputError where the furthest neighbour, hence each nearer one, is the same point as the cell itself."""
    n_identical = 0
    for rows in gen_batches(len(indices), 10_000):
        difference = abs(points[rows] - points[indices[rows, -1]]).max(axis=1)
        n_identical += int((dense(difference) <= 1e-7).sum())
    if n_identical:
        raise InputError(
            f"{n_identical} cells are identical to all of their {indices.shape[1]} nearest neighbours and would fall "
            "apart from the rest: remove duplicated cells, or raise k_neighbors"
        )


def _approximate(points: np.ndarray, k: int, random_state: int) -> Neighbors:
    """Inverted lists of a k-means (faiss), more of them searched for a sample of cells until the recall is reached.

    Then for all cells. Lists are poor where distances do not fall off with the components; a lower recall is enough
    there.
    """
    import faiss

    n_cells = len(points)
    sample = np.sort(np.random.default_rng(random_state).choice(n_cells, min(N_RECALL_CELLS, n_cells), replace=False))
    exact = NearestNeighbors(algorithm="brute").fit(points)
    true, _ = _neighbors_of(exact.kneighbors(points[sample], k + 1), sample)
    points = _padded(points)
    index, lists_of_lists = _inverted_lists(points, random_state)
    to_centroids, lists = lists_of_lists.search(points, 16)
    own_list = lists[:, 0].copy()
    index.add_core(n_cells, faiss.swig_ptr(points), None, faiss.swig_ptr(own_list))

    def search(rows: np.ndarray, to_centroids: np.ndarray, lists: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        index.nprobe = lists.shape[1]
        return _neighbors_of(index.search_preassigned(points[rows], k + 1, lists, to_centroids), rows)

    for n_searched in N_SEARCHED:
        lists_of_lists.nprobe = max(N_LISTS_OF_LISTS, n_searched // 4)  # fewer would hold too few lists
        found, _ = search(sample, *lists_of_lists.search(points[sample], n_searched))
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)]))
        if recall >= (MIN_RECALL if n_searched <= N_CHEAP else LOWER_RECALL):
            break
    if n_searched > lists.shape[1]:
        to_centroids, lists = lists_of_lists.search(points, n_searched)
    indices, distances = np.empty((n_cells, k), np.int64), np.empty((n_cells, k), np.float32)
    # cells of one list are searched together: their lists are then still in the processor's cache
    order = np.argsort(own_list)
    parts = [order[some] for some in gen_batches(n_cells, 20_000)]
    to_centroids, lists = to_centroids[:, :n_searched], lists[:, :n_searched]
    found = side_by_side(lambda rows: search(rows, to_centroids[rows], lists[rows]), parts)  # faiss uses one core here
    for rows, nearest in zip(parts, found, strict=True):
        indices[rows], distances[rows] = nearest
    distances = np.sqrt(np.maximum(distances, 0))  # faiss gives squares
    if len(lost := np.flatnonzero((indices < 0).any(axis=1))):  # cells far out, with too few others in their lists
        found = exact.kneighbors(points[lost, : exact.n_features_in_], k + 1)
        indices[lost], distances[lost] = _neighbors_of(found, lost)
    return Neighbors(indices, distances, recall)


def _padded(points: np.ndarray) -> np.ndarray:
    """Points with features of zeros up to a multiple of the features that are summed at a time."""
    n_cells, n_features = points.shape
    padded = np.zeros((n_cells, -(-n_features // N_SUMMED) * N_SUMMED), np.float32)
    padded[:, :n_features] = points
    return padded


def _inverted_lists(points: np.ndarray, random_state: int):
    """Empty index (faiss) of lists around the centroids of a k-means, and the index of these lists.

    Distances are summed over a few leading features first, and over more of them only where a cell can still be among
    the nearest (faiss's "panorama"): components fall off, so most cells are ruled out early. The lists nearest to a
    cell are themselves looked up in lists of lists: comparing with all of them would take the longer the more cells.
    """
    import faiss

    n_cells, n_features = points.shape
    n_lists = 2 * int(np.sqrt(n_cells))
    clustering = faiss.Clustering(n_features, n_lists)
    clustering.niter, clustering.seed, clustering.max_points_per_centroid = 3, random_state + 1, 39
    clustering.min_points_per_centroid = 1  # the default only prints a warning
    clustering.train(points, faiss.IndexFlatL2(n_features))
    centroids = faiss.vector_to_array(clustering.centroids).reshape(n_lists, n_features)
    nearest_list = faiss.IndexIVFFlat(faiss.IndexFlatL2(n_features), n_features, int(np.sqrt(n_lists)))
    nearest_list.cp.min_points_per_centroid = 1
    nearest_list.train(centroids)
    nearest_list.add(centroids)
    nearest_list.nprobe = N_LISTS_OF_LISTS
    index = faiss.IndexIVFFlatPanorama(nearest_list, n_features, n_lists, n_features // N_SUMMED)
    index.is_trained = True
    return index, nearest_list


def _neighbors_of(result: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours of some cells and their distances, (n_rows, k) each, from a search for k + 1, the cells among them."""
    distances, found = result
    keep = _without_self(found, rows)
    return found[keep].reshape(len(rows), -1), distances[keep].reshape(len(rows), -1)


def _without_self(found: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mask of k of the k + 1 found neighbours: not the cell itself, by its number, or else not the furthest."""
    keep = found != rows[:, None]
    keep[keep.all(axis=1), -1] = False  # identical cells may push a cell off its own list
    return keep


def entered_neighbors(
    X_new: Matrix, X: Matrix, neighbors: Neighbors, metric: str = "cosine", chunk: int = 1000
) -> sparse.csr_array:
    """Edges from new cells to those of a graph: their k nearest, and the cells whose neighbourhood they enter.

    X_new : (n_new, n_features); X : (n_cells, n_features), the cells whose `neighbors` are given. Returns
    (n_new, n_cells) of 0 and 1, what `A = (N + N^T > 0)` would hold for each new cell alone.
    """
    points, new = as_points(X, metric), as_points(X_new, metric)
    k = neighbors.indices.shape[1]
    reach = neighbors.distances[:, -1] ** 2
    norms = (points * points).sum(axis=1)
    blocks = []
    for rows in gen_batches(new.shape[0], chunk):
        part = new[rows]
        squares = (part * part).sum(axis=1)[:, None] + norms - 2 * dense(part @ points.T)
        edges = squares <= reach
        nearest = np.argpartition(squares, k - 1, axis=1)[:, :k]
        np.put_along_axis(edges, nearest, True, axis=1)
        blocks.append(sparse.csr_array(edges, dtype=np.float64))
    return sparse.vstack(blocks, format="csr")
