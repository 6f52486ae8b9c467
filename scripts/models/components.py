"""Components: the few directions of gene space in which the models are fitted."""

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches
from sklearn.utils.extmath import randomized_svd

from scripts.blocks import Matrix, gene_means, leading_axes, scatter, sums_pay, variation
from scripts.errors import InputError

TILT = 2.0  # power of a component's relative standard deviation that its own is set to
RANK = 1e-6  # singular value, in units of the largest, of directions in which cells vary
FEW_CELLS, PART = 800, 4000  # up to which components come from their products; genes that are multiplied at a time
WEIGHT_POWER = 0.5  # power of a gene's multiple correlation that it is weighted by


@dataclass(frozen=True)
class Components:
    """Coordinates z = (x - mean) axes of a cell.

    Attributes
    ----------
    mean : (n_genes,) float64
    axes : (n_genes, r) float64
    """

    mean: np.ndarray
    axes: np.ndarray

    @property
    def offset(self) -> np.ndarray:
        """Coordinates of the mean cell before centring, (r,)."""
        return self.mean @ self.axes

    def coordinates(self, X: Matrix) -> np.ndarray:
        """X : (n_cells, n_genes), dense or sparse. Returns (n_cells, r) float64."""
        return np.asarray(X @ self.axes.astype(np.float32), dtype=np.float64) - self.offset


def target_components(X: Matrix, y: np.ndarray, n_components: int, tilt: float = TILT) -> Components:
    """Principal components of the cells, of genes weighted by what they have to do with the targets.

    A gene's weight is its multiple correlation with all targets to the power of 1/2, a soft form of the screening of
    supervised principal components (Bair et al., JASA 101, 119, 2006). Coordinate i has the standard deviation
    (s_i / s_1)^tilt, s_i the i-th singular value, so that a ridge trusts the leading ones, which other cells would give
    again, more than the rest. The sign of each axis makes its third moment positive.

    Parameters
    ----------
    X : (n_cells, n_genes) array or sparse matrix
        Training cells.
    y : (n_cells, n_targets)
    n_components : int
        At most min(n_cells - 1, n_genes); fewer where the cells vary in fewer directions.
    tilt : float

    Raises
    ------
    InputError
        If the cells do not vary at all.
    """
    n_cells = X.shape[0]
    mean = gene_means(X)
    weight = multiple_correlation(X, y) ** WEIGHT_POWER
    if not weight.any():  # the targets are constant, and as good as any
        weight = np.ones_like(weight)
    if sums_pay(X):
        s, axes = leading_axes(weight[:, None] * scatter(X) * weight, n_components)
    elif sparse.issparse(X):
        pca = PCA(n_components, svd_solver="arpack", random_state=0).fit(X @ sparse.diags_array(weight.astype(X.dtype)))
        s, axes = pca.singular_values_, pca.components_.T
    else:
        weighted = X - mean.astype(X.dtype)
        weighted *= weight.astype(X.dtype)  # in place: another copy would take as long as the product
        s, axes = _axes(weighted, n_components)
    kept = s > RANK * s[0]
    if not kept.any():
        raise InputError("no gene varies over the training cells: there is nothing to predict from")
    s, axes = s[kept], axes[:, kept].astype(np.float64)
    axes = axes * np.where((axes * axes * axes).sum(axis=0) < 0, -1.0, 1.0)  # numpy's cube is slow
    return Components(mean, weight[:, None] * axes * (np.sqrt(n_cells) / s * (s / s[0]) ** tilt))


def _axes(weighted: np.ndarray, n_components: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values, (n_components,), the largest first, and axes of gene space, (n_genes, n_components).

    Of few cells exactly, from the products of all pairs of them: less work than that of some 20 passes.
    """
    n_cells, n_genes = weighted.shape
    if n_cells > FEW_CELLS or 2 * n_cells > n_genes:
        _, s, rows = randomized_svd(weighted, n_components, n_iter=8, random_state=0)
        return s, rows.T
    parts = (weighted[:, genes].astype(np.float64) for genes in gen_batches(n_genes, PART))
    products = sum(part @ part.T for part in parts)
    squares, cells = linalg.eigh(products, subset_by_index=(n_cells - n_components, n_cells - 1))
    s, cells = np.sqrt(squares[::-1].clip(0)), cells[:, ::-1]
    cells = np.divide(cells, s, out=np.zeros_like(cells), where=s > 0)
    return s, weighted.T @ cells.astype(weighted.dtype)


def multiple_correlation(X: Matrix, y: np.ndarray) -> np.ndarray:
    """Correlation of every gene with the best linear combination of all targets, (n_genes,); 0 for constant genes.

    X : (n_cells, n_genes); y : (n_cells, n_targets).
    """
    directions, sizes, _ = np.linalg.svd(y - y.mean(axis=0), full_matrices=False)
    directions = directions[:, sizes > 1e-9 * max(sizes[0], np.finfo(float).tiny)]
    explained = np.asarray((X.T @ directions.astype(np.float32)).astype(np.float64) ** 2).sum(axis=1)
    total = variation(X)
    return np.sqrt(np.clip(np.divide(explained, total, out=np.zeros_like(total), where=total > 0), 0, 1))
