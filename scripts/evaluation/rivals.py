"""What a sceptic would fit instead of the bilinear model: the mean, a linear ridge, and a black box."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from scripts.blocks import Matrix, dense
from scripts.cells import CellDataset
from scripts.models import (
    BilinearRidge,
    KernelRidge,
    Model,
    Predictor,
    ProgramRidge,
    arrays_to_fit,
    check_genes,
    polynomial_ridge,
)

MEAN, LINEAR, SQUARES, BILINEAR, DESCENT, PROGRAMS, BLACK_BOX = (
    "mean only",
    "linear ridge",
    "squares only",
    "bilinear",
    "bilinear, gradient descent",
    "programs",
    "RBF kernel ridge",
)
ORDERS = {f"polynomial kernel, order {order}": order for order in (1, 2, 3, 4)}
LINEAR_PENALTIES = tuple(np.logspace(-1.5, 1, 6))  # these span little to nearly all shrinkage
RBF_PENALTIES = (1e-2, 1e-1, 1.0)
RBF_WIDTHS = (0.5, 2.0, 8.0)  # gamma in units of 1 / median squared distance
RBF_COMPONENTS = 20


def models_to_compare(
    bilinear: Callable[[], Model], descent: Callable[[], Model]
) -> dict[str, Callable[[], Predictor]]:
    """Every model of the report's table by its name, simple ones first; bilinear, descent : give new models."""
    squares = partial(BilinearRidge, squares_only=True)
    models: dict[str, Callable[[], Predictor]] = {MEAN: MeanOnly, LINEAR: linear_ridge, SQUARES: squares}
    models |= {BILINEAR: bilinear, DESCENT: descent, PROGRAMS: ProgramRidge}
    models |= {name: partial(polynomial_ridge, order) for name, order in ORDERS.items()}
    return models | {BLACK_BOX: rbf_ridge}


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
class _Centred:
    """Genes less their mean."""

    mean: np.ndarray

    def coordinates(self, X: Matrix) -> np.ndarray:
        return dense(X) - self.mean


@dataclass
class _OfUnitLength:
    """Principal components of cells of unit length."""

    pca: PCA

    def coordinates(self, X: Matrix) -> np.ndarray:
        return self.pca.transform(normalize(X)).astype(np.float64)


def linear_ridge() -> KernelRidge:
    """Ridge on all genes, by the kernel x . x', its penalty chosen on the validation cells."""

    def features(X: Matrix, y: np.ndarray) -> _Centred:
        return _Centred(np.asarray(X.mean(axis=0)).ravel())

    return KernelRidge("linear", features, LINEAR_PENALTIES)


def rbf_ridge() -> KernelRidge:
    """RBF kernel ridge on 20 principal components of cells of unit length: a black box that cannot be read."""

    def features(X: Matrix, y: np.ndarray) -> _OfUnitLength:
        n_components = min(RBF_COMPONENTS, *(size - 1 for size in X.shape))
        solver = "arpack" if sparse.issparse(X) else "auto"
        return _OfUnitLength(PCA(n_components, svd_solver=solver, random_state=0).fit(normalize(X)))

    return KernelRidge("rbf", features, RBF_PENALTIES, RBF_WIDTHS)
