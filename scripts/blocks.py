"""Sums over cells of any source: arrays and sparse matrices."""

import numpy as np
from scipy import sparse

Matrix = np.ndarray | sparse.csr_array | sparse.csr_matrix  # (n_cells, n_genes), what functions of cells take


def dense(X: Matrix) -> np.ndarray:
    """The same values as an array; an array is handed on as it is."""
    return X if isinstance(X, np.ndarray) else X.toarray()


def gene_means(X: np.ndarray | sparse.spmatrix) -> np.ndarray:
    """Mean of each gene, (n_genes,), summed in float64: scipy's own mean of sparse float32 is not."""
    return np.asarray(X.sum(axis=0, dtype=np.float64)).ravel() / X.shape[0]


def variation(X: np.ndarray | sparse.spmatrix) -> np.ndarray:
    """Sum of the squared deviations of each gene from its mean, (n_genes,) float64; 0 for constant genes."""
    mean = gene_means(X)
    if sparse.issparse(X):
        squares = X.multiply(X).sum(axis=0, dtype=np.float64)
    else:
        squares = np.einsum("cg,cg->g", X, X, dtype=np.float64)
    squares = np.asarray(squares, dtype=np.float64).ravel()
    total = squares - X.shape[0] * mean**2
    return np.where(total > 1e-6 * squares, total, 0)  # what rounding leaves of a constant gene is nothing
