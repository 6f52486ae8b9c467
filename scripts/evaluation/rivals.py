"""What a sceptic would fit instead of the bilinear model: the mean, a linear ridge, and a black box."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.preprocessing import normalize

from scripts.blocks import Matrix, Standard, dense
from scripts.cells import CellDataset
from scripts.models import BilinearRidge, Model, Predictor, arrays_to_fit, check_genes, solve_kernel
from scripts.parallel import few_threads

MEAN, LINEAR, SQUARES, BILINEAR, DESCENT, BLACK_BOX = (
    "mean only",
    "linear ridge",
    "squares only",
    "bilinear",
    "bilinear, gradient descent",
    "RBF kernel ridge",
)
MAX_KERNEL_CELLS = 5_000  # training cells, at most, of a model that compares all pairs of them
LINEAR_PENALTIES = tuple(np.logspace(-1.5, 1, 6))  # these span little to nearly all shrinkage
RBF_PENALTIES = (1e-2, 1e-1, 1.0)
RBF_WIDTHS = (0.5, 2.0, 8.0)  # gamma in units of 1 / median squared distance
RBF_COMPONENTS = 20


def models_to_compare(
    bilinear: Callable[[], Model], descent: Callable[[], Model]
) -> dict[str, Callable[[], Predictor]]:
    """Every model of the report's table by its name, simple ones first; bilinear, descent : give new models."""
    squares = partial(BilinearRidge, squares_only=True)
    names = (MEAN, LINEAR, SQUARES, BILINEAR, DESCENT, BLACK_BOX)
    return dict(zip(names, (MeanOnly, linear_ridge, squares, bilinear, descent, rbf_ridge), strict=True))


class MeanOnly:
    """Predicts the mean of the training cells."""

    def fit(self, train: CellDataset, val: CellDataset) -> None:
        """Keep the mean."""
        (X, y), _ = arrays_to_fit(train, val)
        self._n_genes, self._mean = X.shape[1], y.mean(axis=0)

    def predict(self, X: Matrix) -> np.ndarray:
        """(n_cells, n_genes) -> (n_cells, n_freq)."""
        check_genes(X, self._n_genes)
        return np.tile(self._mean, (X.shape[0], 1))


@dataclass
class KernelModel:
    """Kernel ridge, its penalty and kernel chosen on validation cells, by the error in units of each target's variance.

    A frequency whose validation cells are predicted worse than by the mean of the training cells is predicted by it.

    Attributes
    ----------
    features : function
        From the training cells X to a function that gives any cells' features.
    compare : function
        Of two sets of features: what the kernels are made from, (n, m) float32, such as squared distances.
    kernels : function
        From the training cells compared with each other to functions that turn such numbers into a kernel.
    penalties : tuple of float
        In units of the mean of the kernel of a cell with itself.
    """

    features: Callable
    compare: Callable
    kernels: Callable
    penalties: tuple[float, ...]

    def fit(self, train: CellDataset, val: CellDataset) -> None:
        """Fit on at most 5,000 training cells."""
        (X, y), (X_val, y_val) = arrays_to_fit(train, val)
        with few_threads(len(y)):
            self._fit(X, y, X_val, y_val)

    def _fit(self, X, y, X_val, y_val) -> None:
        self._n_genes = X.shape[1]
        rows = np.linspace(0, len(y) - 1, min(len(y), MAX_KERNEL_CELLS)).astype(int)
        self._features = self.features(X[rows])
        self._cells, y = self._features(X[rows]), y[rows]
        targets = Standard.of(y)
        self._mean, standard, held_out_y = targets.mean, targets.scaled(y).astype(np.float32), targets.scaled(y_val)
        error_of_mean = (held_out_y**2).mean(axis=0)
        among, across = self.compare(self._cells, self._cells), self.compare(self._features(X_val), self._cells)
        tried = []
        for kernel in self.kernels(among):
            own, held_out = kernel(among), kernel(across)
            unit = own.diagonal().mean() or 1.0  # 0 where all cells are alike
            for penalty in self.penalties:
                weights = solve_kernel(own.copy(), penalty * unit, standard)
                error = ((held_out_y - held_out @ weights) ** 2).mean(axis=0)
                kept = np.where(error < error_of_mean, targets.deviation, 0.0)
                tried.append((np.minimum(error, error_of_mean).mean(), kernel, kept * weights))
        _, self._kernel, self._weights = min(tried, key=lambda fit: fit[0])

    def predict(self, X: Matrix) -> np.ndarray:
        """(n_cells, n_genes) -> (n_cells, n_freq)."""
        check_genes(X, self._n_genes)
        return self._predict(X)

    def _predict(self, X: Matrix) -> np.ndarray:
        return self._mean + self._kernel(self.compare(self._features(X), self._cells)) @ self._weights


class _LinearModel(KernelModel):
    def _predict(self, X: Matrix) -> np.ndarray:
        """The same from one weight a gene: no comparison with every training cell."""
        return self._mean + self._features(X) @ (self._cells.T @ self._weights)


def linear_ridge() -> KernelModel:
    """Ridge on all genes, by the kernel x . x', its penalty chosen on the validation cells."""

    def features(X: Matrix) -> Callable:
        mean = np.asarray(X.mean(axis=0)).ravel()
        return lambda X: dense(X) - mean

    return _LinearModel(features, lambda a, b: a @ b.T, lambda among: [lambda products: products], LINEAR_PENALTIES)


def rbf_ridge() -> KernelModel:
    """RBF kernel ridge on 20 principal components of cells of unit length: a black box that cannot be read."""

    def features(X: Matrix) -> Callable:
        n_components = min(RBF_COMPONENTS, *(size - 1 for size in X.shape))
        pca = PCA(n_components, svd_solver="arpack" if sparse.issparse(X) else "auto", random_state=0).fit(normalize(X))
        return lambda X: pca.transform(normalize(X)).astype(np.float64)

    def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return euclidean_distances(a, b, squared=True).astype(np.float32)

    def kernels(among: np.ndarray) -> list[Callable]:
        typical = np.median(among[:500, :500]) or 1.0  # 0 where most cells are alike
        rates = [np.float32(width / typical) for width in RBF_WIDTHS]
        return [lambda squared, rate=rate: np.exp(-rate * squared) for rate in rates]

    return KernelModel(features, squared_distances, kernels, RBF_PENALTIES)
