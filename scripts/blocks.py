"""Cells of any form, dense, sparse or read by blocks: rows in part, sums, correlations of genes, genes standardised."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.utils import gen_batches
from sklearn.utils.extmath import randomized_svd

from scripts.errors import InputError, one_line
from scripts.parallel import in_files, in_order

BLOCK = 1000  # cells that are multiplied at a time: of single precision, a copy in double is made of no more
ROWS = 5000  # cells that are read from a file at a time
SUMMED = 10_000_000  # values that are summed at a time in double precision
SQUARED, N_SUMS = 4000, 16  # cells whose products of genes are multiplied at a time, and sums made side by side
N_VALUES, MAX_GENES = 10_000_000, 4_000  # cells times genes, at least, and genes, at most, for these sums to pay
RESOLVED = 1e-6  # square of a singular value, in units of the largest, that sums in float32 resolve
Matrix = np.ndarray | sparse.csr_array | sparse.csr_matrix  # (n_cells, n_genes), what functions of cells take
Lazy = Any  # (n_cells, n_genes), a dask array of blocks of rows, read or made when they are asked for: see `by_blocks`


def by_blocks(place: Any) -> Lazy:
    """Cells in a file, as a dask array of blocks of `ROWS` rows; nothing is read yet.

    place : of an open .h5ad or .zarr, dense or sparse by rows, or as anndata has it in backed mode; (n_cells, n_genes).
    Raises ValueError for sparse values by columns.
    """
    import anndata as ad  # takes a second to import: not for those who only want a sum

    place = getattr(place, "group", place)
    if place.attrs.get("encoding-type") == "csc_matrix":
        raise ValueError("sparse by columns, of which no rows can be read")
    return ad.experimental.read_elem_lazy(place, chunks=(ROWS, -1))


def memory_of(gigabytes: float) -> float:
    """Bytes that expression may take: so many GB, or for 0 half of what the machine has."""
    if gigabytes:
        return gigabytes * 1e9
    known = hasattr(os, "sysconf")  # not on Windows
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 if known else np.inf


def is_lazy(X: Any) -> bool:
    """Whether cells are a dask array, or some genes of one."""
    return hasattr(X.cells if isinstance(X, Weighted) else X, "dask")


def loaded(*arrays: Matrix | Lazy) -> tuple[Any, ...]:
    """The same in memory; of dask arrays with blocks in common, each is read once, one after the other.

    InputError if they cannot be read.
    """
    if not any(map(is_lazy, arrays)):
        return arrays
    from dask.base import compute

    try:
        return compute(*arrays, scheduler="synchronous")  # in this thread: blocks are no tasks of a cluster
    except OSError as problem:
        raise InputError(
            f"a block of the cells cannot be read ({one_line(problem)[:200]}): copy the file again"
        ) from None


def blocks(X: "Matrix | Lazy | Weighted", size: int = ROWS) -> Iterator[tuple[slice, Any]]:
    """All cells in blocks of at most so many, in memory, each with its rows; what is in a file is read once."""
    if isinstance(X, Weighted):
        yield from ((rows, X.weighted(cells)) for rows, cells in blocks(X.cells, size))
    elif is_lazy(X):
        yield from _blocks_of_file(X, size)
    else:
        yield from ((rows, X[rows]) for rows in in_parts(X.shape[0], size))


def _blocks_of_file(X: Lazy, size: int) -> Iterator[tuple[slice, Any]]:
    """`blocks`, which need not be those that are read."""
    done, held, ends = 0, None, np.cumsum(X.chunks[0])
    for start, end in zip(ends - X.chunks[0], ends, strict=True):
        read = loaded(X[start:end])[0]
        if held is not None:
            read = sparse.vstack([held, read], format="csr") if sparse.issparse(read) else np.concatenate([held, read])
        n_whole = len(X) - done if end == len(X) else read.shape[0] // size * size
        for rows in gen_batches(n_whole, size) if n_whole else ():
            yield slice(done + rows.start, done + rows.stop), read[rows]
        done, held = done + n_whole, read[n_whole:]


def rows_of(X: Matrix | Lazy, rows: np.ndarray) -> Any:
    """Some cells; rows : (n_rows,) int in ascending order, or (n_cells,) bool. A dask array keeps its blocks."""
    return _lazy_rows(X, rows) if is_lazy(X) else X[rows]


def _lazy_rows(X: Lazy, rows: np.ndarray) -> Lazy:
    rows, ends = np.flatnonzero(rows) if rows.dtype == bool else rows, np.cumsum(X.chunks[0])
    places = np.searchsorted(rows, [0, *ends])
    of_blocks = [part - start for part, start in zip(np.split(rows, places[1:-1]), ends - X.chunks[0], strict=True)]
    chunks = (tuple(map(int, np.diff(places))), X.chunks[1])
    return X.map_blocks(partial(_rows_of_block, of_blocks), chunks=chunks, dtype=X.dtype, meta=X._meta)


def _rows_of_block(of_blocks: list[np.ndarray], block: Matrix, block_info: Any = None) -> Matrix:
    return block[of_blocks[block_info[0]["chunk-location"][0]]]


def changed(X: Lazy, of_block: Callable[[Any], Any], dtype: Any = None) -> Lazy:
    """The cells with another value in the place of each, made of a block of rows when it is asked for.

    of_block : from a block to another of the same shape, and of the type `dtype`; the block is not to be changed.
    """
    return X.map_blocks(of_block, dtype=dtype or X.dtype, meta=X._meta.astype(dtype or X.dtype))


@dataclass(frozen=True)
class Filed:
    """Cells in files that several processes see; rows are taken from there, and no others are read.

    folder : of the files; shape : (n_cells, n_columns); dtype : of the values.
    """

    folder: Path
    shape: tuple[int, int]
    dtype: np.dtype

    @classmethod
    def of(cls, X: Matrix, folder: Path) -> Self:
        """Write cells into an empty folder; X : (n_cells, n_columns), sparse ones by rows."""
        names = ("values",) if isinstance(X, np.ndarray) else ("data", "indices", "indptr")
        for name in names:
            np.save(folder / f"{name}.npy", X if name == "values" else getattr(X, name))
        return cls(folder, X.shape, X.dtype)

    def __getitem__(self, rows: np.ndarray | slice) -> Matrix:
        # opened anew each time: what stays opened counts as memory that a worker holds
        found = {path.stem: np.load(path, mmap_mode="r") for path in self.folder.iterdir()}
        if "values" in found:
            return found["values"][rows]
        return sparse.csr_array((found["data"], found["indices"], found["indptr"]), self.shape)[rows]


@dataclass(frozen=True)
class Weighted:
    """Some genes of cells, each times a weight, made of rows when they are asked for: no copy of all cells is held.

    cells : (n_cells, n_genes), dense, sparse or lazy; genes : (n_chosen,) int; weights : (n_chosen,) float. Rows of
    lazy cells are lazy as well: `blocks` has them in memory.
    """

    cells: Matrix | Filed | Lazy
    genes: np.ndarray
    weights: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(n_cells, n_chosen)."""
        return self.cells.shape[0], len(self.genes)

    @property
    def dtype(self) -> np.dtype:
        """That of the cells."""
        return self.cells.dtype

    @cached_property
    def means(self) -> np.ndarray:
        """Mean of each gene, (n_chosen,) float64."""
        return gene_means(self.cells)[self.genes] * self.weights

    def __getitem__(self, rows: np.ndarray | slice) -> Any:
        return replace(self, cells=self.cells[rows]) if is_lazy(self) else self.weighted(self.cells[rows])

    def weighted(self, cells: Matrix) -> Matrix:
        """The chosen genes of cells in memory, (n_rows, n_chosen)."""
        chosen, weights = cells[:, self.genes], self.weights.astype(self.dtype)
        if isinstance(chosen, np.ndarray):
            chosen *= weights
            return chosen
        scaled = sparse.csr_array(chosen)
        scaled.data *= weights[scaled.indices]
        return scaled


@dataclass(frozen=True)
class Some:
    """Some cells, taken when they are worked on: where another process does the work, they alone go there.

    X : (n_cells, n_columns); rows : slice or (n_rows,) int.
    """

    X: Matrix | Weighted | Filed | Lazy
    rows: slice | np.ndarray

    def values(self) -> Any:
        """(n_rows, n_columns), as lazy as X."""
        return self.X[self.rows]

    def __reduce__(self):
        X = self.X
        if isinstance(X.cells if isinstance(X, Weighted) else X, Filed):
            return Some, (X, self.rows)
        alone = replace(X, cells=X.cells[self.rows]) if isinstance(X, Weighted) else X[self.rows]
        return Some, (alone, slice(None))


@contextmanager
def shared(X: Matrix | Weighted, n_items: int) -> Iterator[Matrix | Weighted | Filed]:
    """Within, cells as the tasks of n_items best read them: from files where the workers of a cluster see these."""
    with in_files(n_items) as folder:
        if folder is None or is_lazy(X):
            yield X
        elif isinstance(X, Weighted):
            yield replace(X, cells=Filed.of(X.cells, folder))
        else:
            yield Filed.of(X, folder)


def dense(X: Matrix) -> np.ndarray:
    """The same values as an array; an array is handed on as it is."""
    return X if isinstance(X, np.ndarray) else X.toarray()


def is_finite(X: Matrix | Lazy) -> bool:
    """Whether no value is NaN or infinite; X : (n_cells, n_columns), dense or sparse."""
    if is_lazy(X):
        return all(is_finite(block) for _, block in blocks(X))
    values = X if isinstance(X, np.ndarray) else X.data
    size = BLOCK if values.ndim > 1 else BLOCK * 1000
    return all(np.isfinite(values[some]).all() for some in in_parts(len(values), size))


def evenly(n: int, at_most: int) -> np.ndarray:
    """Rows of n, spread evenly from the first to the last: all, or at_most of them; (min(n, at_most),) int."""
    return np.linspace(0, n - 1, min(n, at_most)).astype(int)


def in_parts(n_cells: int, size: int = BLOCK) -> Iterator[slice]:
    """All cells, as slices of at most so many; one empty slice of none."""
    return gen_batches(n_cells, size) if n_cells else iter([slice(0, 0)])


def least(X: Matrix | Lazy) -> float:
    """The smallest value, that of places where nothing is stored included."""
    return min(block.min() for _, block in blocks(X)) if is_lazy(X) else X.min()


def n_stored(X: Matrix | Lazy) -> int:
    """How many values are stored of sparse cells, or the number of all of dense ones."""
    return int(_over_blocks(X, lambda block: block.size))


def gene_means(X: Matrix | Lazy) -> np.ndarray:
    """Mean of each gene, (n_genes,), summed in float64: scipy sums sparse float32 in float32."""
    return _over_blocks(X, _totals) / X.shape[0]


def _over_blocks(X: Matrix | Lazy, of: Callable[[Any], Any]) -> Any:
    """What a function gives of all cells at once, or the sum of what it gives of blocks, where they are lazy."""
    return sum(of(block) for _, block in blocks(X)) if is_lazy(X) else of(X)


def _totals(X: Matrix) -> np.ndarray:
    return X.sum(axis=0, dtype=np.float64) if isinstance(X, np.ndarray) else _sums(X, lambda values: values)


def _squares(X: Matrix) -> np.ndarray:
    return np.einsum("cg,cg->g", X, X, dtype=np.float64) if isinstance(X, np.ndarray) else _sums(X, np.square)


def _sums(X: Matrix, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Sum over the cells of a function of each stored value, (n_genes,) float64; no copy of all values is made."""
    by_rows, total = sparse.csr_array(X), np.zeros(X.shape[1])
    for some in in_parts(len(by_rows.data), SUMMED):
        values = by_rows.data[some].astype(np.float64)
        total += np.bincount(by_rows.indices[some], of(values), minlength=len(total))
    return total


def cells_with(X: Matrix | Lazy) -> np.ndarray:
    """In how many cells each gene is not 0, (n_genes,) int; sparse X by rows."""
    return _over_blocks(X, _n_with)


def _n_with(X: Matrix) -> np.ndarray:
    if isinstance(X, np.ndarray):
        return np.count_nonzero(X, axis=0)
    return _sums(X, lambda values: values != 0).astype(int)


def share_shown(X: Matrix) -> np.ndarray:
    """Share of the cells in which each gene is above its smallest value, (n_genes,): of scaled counts, not 0."""
    if isinstance(X, np.ndarray):
        return (X.min(axis=0) < X).mean(axis=0)
    return cells_with(sparse.csr_array(X)) / X.shape[0]


def variation(X: Matrix | Lazy) -> np.ndarray:
    """Sum of the squared deviations of each gene from its mean, (n_genes,) float64; 0 for constant genes."""
    return moments(X)[1]


def moments(X: Matrix | Lazy) -> tuple[np.ndarray, np.ndarray]:
    """`gene_means` and `variation`, for which lazy cells are read once."""
    total, squares = _over_blocks(X, lambda block: np.stack([_totals(block), _squares(block)]))
    mean = total / X.shape[0]
    varies = squares - X.shape[0] * mean**2
    return mean, np.where(varies > 1e-6 * squares, varies, 0)  # what rounding leaves of a constant gene is nothing


def along(X: Matrix | Lazy, weights: np.ndarray) -> np.ndarray:
    """Where the cells lie along some directions of gene space, X @ weights, (n_cells, n_axes).

    X : (n_cells, n_genes), dense or sparse; weights : (n_genes, n_axes).
    """
    return np.concatenate([np.asarray(block @ weights) for _, block in blocks(X, BLOCK)])


def cross_products(X: Matrix | Lazy, y: np.ndarray) -> np.ndarray:
    """Sums over the cells of each gene times each column of y, X^T y; y : (n_cells, k). Returns (n_genes, k)."""
    if sparse.issparse(X):  # also by columns, of which rows are slow to take
        return X.T @ y
    total = np.zeros((X.shape[1], y.shape[1]))
    for rows, block in blocks(X, BLOCK):
        total += block.T @ y[rows]
    return total


def scatter(X: Matrix | Weighted | Lazy) -> np.ndarray:
    """Sums over the cells of the products of all pairs of genes, each gene less its mean; (n_genes, n_genes) float64.

    X : (n_cells, n_genes), dense, sparse or lazy. Of float32, blocks of cells are multiplied in float32.
    """
    mean = (X.means if isinstance(X, Weighted) else gene_means(X)).astype(X.dtype)
    parts = list(gen_batches(X.shape[0], SQUARED * max(1, -(-X.shape[0] // (SQUARED * N_SUMS)))))
    total = np.zeros((X.shape[1], X.shape[1]))
    with shared(X, len(parts)) as cells:
        for part in in_order(partial(_products, mean), [Some(cells, rows) for rows in parts], here=is_lazy(X)):
            total += part
    return total


def _products(mean: np.ndarray, cells: Some) -> np.ndarray:
    total = np.zeros((len(mean), len(mean)))
    for _, block in blocks(cells.values(), SQUARED):
        centred = dense(block)
        centred = np.subtract(centred, mean, out=None if isinstance(block, np.ndarray) else centred)
        total += centred.T @ centred
    return total


def sums_pay(X: Matrix | Weighted | Lazy) -> bool:
    """Whether cells are so many, and genes so few, that axes are better found from `scatter` than from the cells."""
    return X.shape[1] <= MAX_GENES and (is_lazy(X) or X.shape[0] * X.shape[1] >= N_VALUES)


def leading_axes(products: np.ndarray, n_axes: int, random_state: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of centred cells, (n_axes,), the largest first, and axes of gene space, (n_genes, n_axes).

    products : (n_genes, n_genes), as from `scatter`, of weighted genes or not. As near as n_iter=8 of the cells' own
    decomposition: each step of a power of the products is two of the cells. What float32 does not resolve is 0.
    """
    _, squares, rows = randomized_svd(products, n_axes, n_iter=4, random_state=random_state)
    return np.where(squares > RESOLVED * squares[0], np.sqrt(squares), 0), rows.T


def correlations(X: Matrix | Lazy, y: np.ndarray) -> np.ndarray:
    """Pearson correlation of every gene with every frequency.

    X : (n_cells, n_genes), dense or sparse; y : (n_cells, n_freq). Returns (n_genes, n_freq); 0 for what does not vary.
    """
    y = y - y.mean(axis=0, dtype=np.float64)
    size = np.sqrt(variation(X))[:, None] * np.linalg.norm(y, axis=0)
    return np.divide(cross_products(X, y), size, out=np.zeros_like(size), where=size > 0)


@dataclass(frozen=True)
class Standard:
    """Mean and standard deviation of each gene over some cells, to standardise these or any others by.

    mean, deviation : (n_genes,) float64. The deviation of a gene that is constant in those cells is 1: in float32 it
    comes out near 1e-8, and the gene's values in other cells would be taken a hundred million times.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, X: Matrix | Lazy) -> Self:
        """Measure cells; X : (n_cells, n_genes), dense or sparse."""
        mean, varies = moments(X)
        deviation = np.sqrt(varies / X.shape[0])
        return cls(mean, np.where(deviation > 0, deviation, 1.0))

    def scaled(self, X: Matrix) -> Matrix:
        """Each gene to standard deviation 1, and to mean 0 if dense, in the precision of X; sparse stays sparse."""
        if isinstance(X, np.ndarray):
            found = X - self.mean.astype(X.dtype)
            found /= self.deviation.astype(X.dtype)
            return found
        return sparse.csr_array(X @ sparse.diags_array((1 / self.deviation).astype(X.dtype)))
