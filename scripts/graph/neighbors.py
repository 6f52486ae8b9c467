"""Nearest neighbours of cells: exact up to some 10,000 cells, approximate with a measured recall above. Arrays only."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from sklearn.utils import gen_batches

from scripts.blocks import Matrix, Some, dense, evenly, shared
from scripts.errors import InputError
from scripts.parallel import in_files, in_order

N_EXACT = 10_000  # cells up to which all distances are compared: about a second
N_EXACT_GENES = 50_000  # where there are no components to make lists of, and cells up to which CLOSE_RECALL is wanted
MANY_FEATURES = 300  # from which on features are genes rather than components
CLOSE_RECALL = 0.99  # of an approximate search of few cells, which looks further until it is reached
MIN_RECALL = 0.98  # of many cells
LOWER_RECALL = 0.95  # that is enough where the others take comparing a cell with more than N_CHEAP others
N_CHEAP = 30_000
N_COMPARED = 150_000  # others that a cell is compared with at most, some 0.25 ms; the recall that this gives is told
N_SUMMED = range(16, 21)  # features that are summed before a cell may be ruled out: at least what one instruction takes
N_PADDED = 128  # cells that a list is padded to a multiple of: faiss would take 1024, and some four times the memory
N_SEARCHED = (10, 11, 12, 13, 14, 16, 20, 24, 32)  # lists searched for a cell, until that recall
# of coded lists, the share
SHARE_SEARCHED = (0.02, 0.04, 0.06, 0.07, 0.08, 0.09, 0.1, 0.115, 0.13, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6, 0.8, 1)
N_CODED_FOR = 6  # cells near by their codes whose distances are computed, for each that is wanted
N_LISTS_OF_LISTS = 4  # searched for the lists of a cell, at least
N_RECALL_CELLS = 300  # cells whose true neighbours are looked up to measure the recall
N_TRAINING = 20_000  # cells that the codes are made for
N_PART, MIN_PART, N_PARTS = 20_000, 2_000, 20  # cells searched for at a time, at most and at least; and parts of them
FEW_NEW = 1_000  # new cells that are compared with all others whatever their number


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
    lists : Lists or None
        That were searched, and can be for other cells; None for an exact search.
    """

    indices: np.ndarray
    distances: np.ndarray
    recall: float
    lists: "Lists | None" = field(default=None, repr=False, compare=False)


def as_points(X: Matrix, metric: str, overwrite: bool = False) -> np.ndarray | sparse.csr_array:
    """Cells as points whose Euclidean order is that of the metric, checked.

    X : (n_cells, n_features), dense or sparse; metric : "cosine" or "euclidean"; overwrite : X may be overwritten.

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
    squares = (X * X).sum(axis=1) if sparse.issparse(X) else np.einsum("cf,cf->c", X, X)
    if not squares.all():
        n_zero = int((squares == 0).sum())
        raise InputError(
            f"{n_zero} cells are zero everywhere and have no cosine: remove them, or use metric='euclidean'"
        )
    return normalize(X, copy=not overwrite)


def nearest_neighbors(
    X: Matrix,
    k: int,
    metric: str = "cosine",
    n_exact: int | None = None,
    random_state: int = 0,
    overwrite: bool = False,
) -> Neighbors:
    """The k nearest other cells of every cell; the same result each time.

    Parameters
    ----------
    X : (n_cells, n_features) array or sparse matrix
    k : int
        Neighbours of each cell, the cell itself not counted.
    metric : {"cosine", "euclidean"}
    n_exact : int, optional
        Cells up to which the search is exact: `N_EXACT`, or `N_EXACT_GENES` of a sparse matrix or of many features, if
        none is given. Above, dense features are needed, best some 50 components.
    random_state : int
        Seed of the approximate search and of the cells its recall is measured on.
    overwrite : bool
        X may be overwritten, which saves a copy of it.

    Raises
    ------
    InputError
        If k does not lie in 1 .. n_cells - 1, X is unfit (see `as_points`), or more than k cells are identical (they
        would be each other's only neighbours).
    """
    n_cells = X.shape[0]
    if not 1 <= k < n_cells:
        raise InputError(f"k_neighbors={k} is not possible with {n_cells} cells: choose 1 to {n_cells - 1}")
    points = as_points(X, metric, overwrite)
    if n_exact is None:
        n_exact = N_EXACT_GENES if sparse.issparse(points) or points.shape[1] > MANY_FEATURES else N_EXACT
    if n_cells <= n_exact:
        distances, indices = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors()
        found = Neighbors(indices, distances, 1.0)
    else:
        if sparse.issparse(points):
            raise InputError(f"{n_cells} cells are too many for an exact search: reduce them to components first")
        points = points.astype(np.float32, copy=False)
        found = _approximate(points, k, random_state)
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


class Lists:
    """Cells in lists around the centroids of a k-means (faiss), of which some are searched for a cell.

    Where components fall off, distances are summed over a few leading features first, and over more of them only where
    a cell can still be among the nearest (faiss's "panorama"): most cells are ruled out early. The lists nearest to a
    cell are themselves looked up in lists of lists: comparing with all of them would take the longer the more cells.

    Where noise is the same in all components, no cell is ruled out early, and more lists have to be searched. There the
    lists are fewer and longer, and coded: each feature in four bits, by which candidates are found a tenth as dear,
    whose distances are then computed (product quantisation of single features, with faiss's "fast scan").

    points : (n_cells, n_features) float32; centroids : (n_lists, n_features) float32; coded : bool; n_searched : int,
    lists searched for a cell.
    """

    def __init__(self, points: np.ndarray, centroids: np.ndarray, coded: bool, n_searched: int = 1):
        self.points = points if coded else _padded(points)
        self.centroids, self.coded, self.n_searched = centroids, coded, n_searched
        self._lists: Any
        self._nearest_list: Any
        self._lists, self._nearest_list = (_coded if coded else _panorama)(self.points, centroids)
        self._lists.add(self.points)

    @property
    def n_compared(self) -> float:
        """Cells that one is compared with, about: what the search costs."""
        return self.n_searched * len(self.points) / len(self.centroids)

    def of(self, points: np.ndarray) -> "Lists":
        """The same lists, of other cells; points : (n_other, n_features)."""
        return Lists(_like(points, self.points), self.centroids, self.coded, self.n_searched)

    def search(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances and numbers of the k nearest found, (n_points, k) each; inf and -1 where fewer were."""
        self._lists.nprobe = self.n_searched
        points = _like(points, self.points)
        if not self.coded:  # fewer lists of lists would hold too few lists
            self._nearest_list.nprobe = max(N_LISTS_OF_LISTS, self.n_searched // 4)
        # cells of one list are searched together: their lists are then still in the processor's cache
        order = np.argsort(self._nearest_list.search(points, 1)[1][:, 0], kind="stable")
        n_at_a_time = int(np.clip(-(-len(points) // N_PARTS), MIN_PART, N_PART))
        parts = [order[some] for some in gen_batches(len(points), n_at_a_time)]
        squares, indices = np.empty((len(points), k), np.float32), np.empty((len(points), k), np.int64)
        with shared(points, len(parts)) as cells, self._search(k, len(parts)) as search:
            found = in_order(search, [Some(cells, rows) for rows in parts])  # faiss uses one core here
            for rows, (part_squares, part) in zip(parts, found, strict=True):
                squares[rows], indices[rows] = np.where(part < 0, np.inf, part_squares), part
        return np.maximum(squares, 0), indices

    @contextmanager
    def _search(self, k: int, n_items: int) -> Iterator["_Search"]:
        """A search that the tasks of n_items make, by files where the workers of a cluster see these."""
        import faiss

        with in_files(n_items) as folder, shared(self.points, n_items if self.coded else 0) as points:
            file = str(folder / "lists") if folder else None
            if file:
                faiss.write_index(self._lists, file)
            yield _Search(self._lists, points if self.coded else None, k, file)

    def nearest(self, points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """`search`, by all distances for cells far out, with fewer than k others in their lists."""
        import faiss

        squares, indices = self.search(points, k)
        if len(lost := np.flatnonzero((indices < 0).any(axis=1))):
            all_squares, indices[lost] = faiss.knn(_like(points[lost], self.points), self.points, k)
            squares[lost] = np.maximum(all_squares, 0)
        return squares, indices


@dataclass(frozen=True)
class _Search:
    """A search of lists for the k nearest of some cells, which another process can make as well.

    lists : index of faiss; points : of all cells, (n_cells, n_features), where lists hold but codes; k : int; file : of
    the lists, if there is one.
    """

    lists: Any
    points: Any
    k: int
    file: str | None = None

    def __call__(self, cells: Some) -> tuple[np.ndarray, np.ndarray]:
        import faiss

        index = self.lists
        if self.points is not None:
            points = self.points[:]
            index = faiss.IndexRefineFlat(self.lists, faiss.swig_ptr(points))
            index.k_factor = max(1, min(N_CODED_FOR, len(points) / self.k))
        return index.search(cells.values(), self.k)

    def __reduce__(self):
        import faiss

        return _unpacked, (self.file or faiss.serialize_index(self.lists), self.points, self.k)


def _unpacked(packed: str | np.ndarray, points: Any, k: int) -> _Search:
    import faiss

    lists = faiss.read_index(packed) if isinstance(packed, str) else faiss.deserialize_index(packed)
    return _Search(lists, points, k)


def _approximate(points: np.ndarray, k: int, random_state: int) -> Neighbors:
    """Neighbours by lists, more of them searched for a sample of cells until the recall is reached; then for all."""
    n_cells = len(points)
    sample = np.sort(np.random.default_rng(random_state).choice(n_cells, min(N_RECALL_CELLS, n_cells), replace=False))
    exact = NearestNeighbors(algorithm="brute").fit(points)
    true, _ = _neighbors_of(exact.kneighbors(points[sample], k + 1), sample)
    lists, recall = _lists_that_reach(points, sample, true, random_state)
    indices, squares = _neighbors_of(lists.nearest(points, k + 1), np.arange(n_cells))
    return Neighbors(indices, np.sqrt(squares), recall, lists)


def _lists_that_reach(
    points: np.ndarray, sample: np.ndarray, true: np.ndarray, random_state: int
) -> tuple[Lists, float]:
    """Lists, and how many of them are searched, by what finds the true neighbours of a sample, and their recall.

    sample : (n_sample,) int; true : (n_sample, k) int. What more lists would cost is known from the cells in them
    before all cells are searched: more than `N_COMPARED` cells are not, and the recall is then lower than wanted.
    """
    n_cells, k = len(points), true.shape[1]
    recall = 0.0
    for coded in (False, True):
        n_lists = int((1 if coded else 2) * np.sqrt(n_cells))
        lists = Lists(points, _centroids(points, n_lists, random_state), coded)
        steps = [max(1, int(share * n_lists)) for share in SHARE_SEARCHED] if coded else N_SEARCHED
        for n_searched in steps:
            before, lists.n_searched = lists.n_searched, n_searched
            if coded and lists.n_compared > N_COMPARED and before > 1:
                lists.n_searched = before
                break
            found, _ = _neighbors_of(lists.search(points[sample], k + 1), sample)
            recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)]))
            wanted = CLOSE_RECALL if n_cells <= N_EXACT_GENES else MIN_RECALL
            if recall >= (LOWER_RECALL if coded and lists.n_compared > N_CHEAP else wanted):
                return lists, recall
    return lists, recall


def _centroids(points: np.ndarray, n_lists: int, random_state: int) -> np.ndarray:
    """Centroids of a short k-means, (n_lists, n_features) float32."""
    import faiss

    clustering = faiss.Clustering(points.shape[1], n_lists)
    clustering.niter, clustering.seed, clustering.max_points_per_centroid = 3, random_state + 1, 39
    clustering.min_points_per_centroid = 1  # the default only prints a warning
    clustering.train(points, faiss.IndexFlatL2(points.shape[1]))
    return faiss.vector_to_array(clustering.centroids).reshape(n_lists, -1)


def _panorama(points: np.ndarray, centroids: np.ndarray):
    """Empty lists (faiss) whose distances are summed in steps, and the index of the lists; points : as `_padded`."""
    import faiss

    n_features, centroids = points.shape[1], _like(centroids, points)
    nearest_list = faiss.IndexIVFFlat(faiss.IndexFlatL2(n_features), n_features, int(np.sqrt(len(centroids))))
    nearest_list.cp.min_points_per_centroid = 1
    nearest_list.train(centroids)
    nearest_list.add(centroids)
    nearest_list.nprobe = N_LISTS_OF_LISTS
    index = faiss.IndexIVFFlatPanorama(
        nearest_list, n_features, len(centroids), n_features // _n_summed(n_features), faiss.METRIC_L2, True, N_PADDED
    )
    index.is_trained = True
    return index, nearest_list


def _coded(points: np.ndarray, centroids: np.ndarray):
    """Empty lists (faiss) of codes of four bits a feature, made for some of the points, and the index of the lists."""
    import faiss

    n_features = points.shape[1]
    nearest_list = faiss.IndexFlatL2(n_features)
    nearest_list.add(centroids)
    index = faiss.IndexIVFPQFastScan(nearest_list, n_features, len(centroids), n_features, 4)
    index.by_residual = False  # one table of distances for a cell, and not one for each of its lists
    index.pq.cp.min_points_per_centroid = 1
    index.train(points[evenly(len(points), N_TRAINING)])
    return index, nearest_list


def _padded(points: np.ndarray) -> np.ndarray:
    """Points with features of zeros up to a multiple of the features that are summed at a time: a copy, if need be."""
    n_cells, n_features = points.shape
    n_summed = _n_summed(n_features)
    if n_features % n_summed == 0:
        return points
    padded = np.zeros((n_cells, -(-n_features // n_summed) * n_summed), np.float32)
    padded[:, :n_features] = points
    return padded


def _n_summed(n_features: int) -> int:
    return next((n for n in N_SUMMED if n_features % n == 0), N_SUMMED[0])


def _like(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Points as float32 with features of zeros where others have been padded."""
    n_more = others.shape[1] - points.shape[1]
    points = np.asarray(points, np.float32)
    return np.pad(points, ((0, 0), (0, n_more))) if n_more else points


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
    (n_new, n_cells) of 0 and 1, what `A = (N + N^T > 0)` would hold for each new cell alone; with about the recall of
    the neighbours, where many new cells come to cells that were searched by lists.
    """
    new = as_points(X_new, metric)
    if neighbors.lists is not None and new.shape[0] > FEW_NEW:
        return _entered_by_lists(new, neighbors, neighbors.lists)
    points = as_points(X, metric)
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


def _entered_by_lists(new: np.ndarray, neighbors: Neighbors, lists: Lists) -> sparse.csr_array:
    """`entered_neighbors` by the lists: new cells ask for cells, and cells ask lists of the new ones.

    A cell within whose reach all the new cells lie that it found asks for more.
    """
    n_new, (n_cells, k) = len(new), neighbors.indices.shape
    reach = neighbors.distances[:, -1] ** 2
    rows, columns = [np.repeat(np.arange(n_new), k)], [lists.nearest(new, k)[1].ravel()]
    new_lists, asking, n_asked = lists.of(new), np.arange(n_cells), min(k, n_new)
    while len(asking):
        squares, found = new_lists.search(lists.points[asking], n_asked)
        within = squares <= reach[asking, None]
        rows.append(found[within])
        columns.append(np.repeat(asking, within.sum(axis=1)))
        asking = asking[within[:, -1]] if n_asked < n_new else asking[:0]
        n_asked = min(4 * n_asked, n_new)
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    edges = sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n_new, n_cells))
    edges.sum_duplicates()
    edges.data[:] = 1
    return edges
