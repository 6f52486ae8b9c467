"""Ridge between cells instead of between features: as many unknowns as cells, however many features there are."""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from itertools import repeat
from math import comb

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.special import binom
from sklearn.metrics.pairwise import euclidean_distances

from scripts.blocks import Matrix, Standard, dense, evenly, in_parts, variation
from scripts.cells import CellDataset
from scripts.errors import InputError
from scripts.models.components import Components, target_components
from scripts.models.contract import arrays_to_fit, check_genes
from scripts.models.form import BilinearForm
from scripts.models.polynomial import PolynomialForm, monomials, orderings
from scripts.parallel import few_threads

KERNELS = ("linear", "polynomial", "rbf")
MAX_CELLS = 5_000  # training and validation cells, at most: all pairs of them are compared
N_TRIED = 2_000  # of them that rates and penalties are tried on, where all pairs of cells are compared for each
N_PREDICTED = 2_000  # cells that are compared with those at a time
N_COMPONENTS = 20  # that the polynomial kernels compare cells by
POLYNOMIAL_RATES = (0.3, 1.0, 3.0, 10.0)
POLYNOMIAL_PENALTIES = tuple(np.logspace(-5, -1, 5))


def solve_kernel(kernel: np.ndarray, penalty: float, y: np.ndarray) -> np.ndarray:
    """Dual weights (K + penalty I)^-1 y of kernel ridge regression.

    Parameters
    ----------
    kernel : (n, n)
        K, symmetric; overwritten, as it can be as large as memory allows.
    penalty : float
        At least so large that the sum is positive definite.
    y : (n,) or (n, n_freq)

    Returns
    -------
    (n,) or (n, n_freq), in the precision of the kernel and y

    Raises
    ------
    numpy.linalg.LinAlgError
        If the sum is not positive definite.
    """
    kernel[np.diag_indices(len(kernel))] += penalty
    # the kernel is symmetric: transposed, it is in the order that LAPACK wants
    factor = cho_factor(kernel.T, lower=True, overwrite_a=True, check_finite=False)
    return cho_solve(factor, y, check_finite=False)


@dataclass
class KernelRidge:
    """Kernel ridge, its penalty and kernel chosen on validation cells, by the error in units of each target's variance.

    A frequency whose validation cells are predicted worse than by the mean of the training cells is predicted by it.

    Attributes
    ----------
    kernel : {"linear", "polynomial", "rbf"}
        z . z', (1 + rate z . z')^order or exp(-rate |z - z'|^2) of the features z of two cells.
    features : function
        From the training cells (X, y) to something, such as `Components`, whose `coordinates` are any cells' features.
    penalties : tuple of float
        In units of the mean of the kernel of a cell with itself.
    rates : tuple of float
        In units of 1 / the mean of z . z, or of 1 / the median squared distance; nothing to the linear kernel.
    order : int
        Of the polynomial kernel.
    rate, penalty : float
        The chosen ones, once fitted; the rate as it stands in the formula.
    """

    kernel: str
    features: Callable
    penalties: tuple[float, ...]
    rates: tuple[float, ...] = (1.0,)
    order: int = 1

    def __post_init__(self):
        if self.kernel not in KERNELS:
            raise InputError(f"kernel={self.kernel!r} is not known: choose one of {', '.join(KERNELS)}")

    def fit(self, train: CellDataset, val: CellDataset) -> None:
        """Fit on at most 5,000 training cells, and choose on at most as many others."""
        (X, y), (X_val, y_val) = _some_arrays(train, val)
        with few_threads(len(train)):
            self._n_genes = X.shape[1]
            self._components = self.features(X, y)
            self.search(self._components.coordinates(X), y, self._components.coordinates(X_val), y_val)

    def search(self, z: np.ndarray, y: np.ndarray, z_val: np.ndarray, y_val: np.ndarray) -> None:
        """Fit to features; z, z_val : (n_cells, n_features); y, y_val : (n_cells, n_freq).

        Where each rate and penalty takes a factorisation of all pairs of cells, they are chosen on 2,000 of the cells.
        """
        targets = Standard.of(y)
        self._cells, self._mean = z, targets.mean
        standard, held_out_y = targets.scaled(y).astype(np.float32), targets.scaled(y_val)
        error_of_mean, tried = (held_out_y**2).mean(axis=0), []
        by_products = self._n_products(z.shape[1]) < len(z)
        some = slice(None) if by_products else evenly(len(z), N_TRIED)
        fits = self._by_products if by_products else self._by_cells
        for rate, penalty, predicted, weights in fits(z[some], standard[some], z_val):
            error = ((held_out_y - predicted) ** 2).mean(axis=0)
            learnt = error < error_of_mean
            tried.append((np.minimum(error, error_of_mean).mean(), rate, penalty, learnt, weights))
        _, self.rate, self.penalty, self._learnt, weights = min(tried, key=lambda fit: fit[0])
        if len(weights) < len(z):
            own = self._kernel(self._compare(z, z), self.rate)
            weights = solve_kernel(own, self.penalty * _size(own), standard)
        self._weights = np.where(self._learnt, targets.deviation, 0.0) * weights

    def _by_cells(self, z: np.ndarray, y: np.ndarray, z_val: np.ndarray) -> Iterator[tuple]:
        """Each rate and penalty, what it predicts of validation cells, and its dual weights, by the kernel."""
        among = self._compare(z, z)
        for rate in (among.dtype.type(rate / self._unit(among)) for rate in self.rates):
            own = self._kernel(among, rate)
            weights = [solve_kernel(own.copy(), penalty * _size(own), y) for penalty in self.penalties]
            del own  # as large as memory allows
            predicted = np.split(self._sums(z_val, z, rate, np.hstack(weights)), len(weights), axis=1)
            yield from zip(repeat(rate), self.penalties, predicted, weights)

    def _by_products(self, z: np.ndarray, y: np.ndarray, z_val: np.ndarray) -> Iterator[tuple]:
        """The same by the products of features that the kernel stands for, where these are fewer than the cells.

        They are formed once: rate and penalty only weight them. With w = (F^T F + penalty I)^-1 F^T y, the dual weights
        are (y - F w) / penalty.
        """
        terms = self._terms(z.shape[1])
        products, held_out = _products(z, terms), _products(z_val, terms)
        gram, cross, squares = products.T @ products, products.T @ y, (products**2).mean(axis=0)
        degree = np.array([len(term) if self.kernel == "polynomial" else 0 for term in terms])  # linear has no rate
        count = np.array([orderings(term) for term in terms]) * binom(self.order, degree)
        unit = 1.0 if self.kernel == "linear" else (z**2).sum(axis=1).mean() or 1.0
        for rate in (rate / unit for rate in self.rates):
            weight = np.sqrt(count * rate**degree)
            for penalty in self.penalties:
                ridge = penalty * (squares @ weight**2 or 1.0)
                w = weight[:, None] * solve_kernel(weight[:, None] * gram * weight, ridge, weight[:, None] * cross)
                yield rate, penalty, held_out @ w, (y - products @ w) / ridge

    def _n_products(self, n_features: int) -> float:
        if self.kernel == "rbf":
            return np.inf
        return n_features if self.kernel == "linear" else comb(n_features + self.order, self.order)

    def _terms(self, n_features: int) -> list[tuple[int, ...]]:
        """Features that are multiplied in each product; of a polynomial kernel the first is a constant."""
        return monomials(n_features, 1) if self.kernel == "linear" else [(), *monomials(n_features, self.order)]

    def refit(self, z: np.ndarray, y: np.ndarray) -> "KernelRidge":
        """A fit to other cells' features and targets with the rate and penalty that this one has chosen."""
        model, targets = copy(self), Standard.of(y)
        own = self._kernel(self._compare(z, z), self.rate)
        weights = solve_kernel(own, self.penalty * _size(own), targets.scaled(y))
        model._cells, model._mean = z, targets.mean
        model._weights = np.where(self._learnt, targets.deviation, 0.0) * weights
        return model

    def _compare(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return euclidean_distances(a, b, squared=True).astype(np.float32) if self.kernel == "rbf" else a @ b.T

    def _unit(self, among: np.ndarray) -> float:
        """What rates are in units of, inverted; 1 where most cells are alike."""
        return (np.median(among[:500, :500]) if self.kernel == "rbf" else among.diagonal().mean()) or 1.0

    def _kernel(self, compared: np.ndarray, rate: float) -> np.ndarray:
        if self.kernel == "linear":
            return compared
        found = compared * (-rate if self.kernel == "rbf" else rate)
        if self.kernel == "rbf":
            return np.exp(found, out=found)
        found += 1
        once = found.copy() if self.order > 1 else found
        for _ in range(self.order - 1):  # numpy's power of an array takes ten times as long
            found *= once
        return found

    def _sums(self, z: np.ndarray, cells: np.ndarray, rate: float, weights: np.ndarray) -> np.ndarray:
        """Sums over some cells of their kernel with each z times their weights, by blocks of z."""
        blocks = in_parts(len(z), N_PREDICTED)
        return np.concatenate([self._kernel(self._compare(z[block], cells), rate) @ weights for block in blocks])

    def predict(self, X: Matrix) -> np.ndarray:
        """(n_cells, n_genes) -> (n_cells, n_freq)."""
        check_genes(X, self._n_genes)
        blocks = in_parts(X.shape[0], N_PREDICTED)
        z = (self._components.coordinates(X[block]) for block in blocks)
        if self.kernel == "linear":  # one weight a feature: no comparison with every training cell
            weights = self._cells.T @ self._weights
            return self._mean + np.concatenate([each @ weights for each in z])
        return self._mean + np.concatenate([self._sums(each, self._cells, self.rate, self._weights) for each in z])

    def gradients(self) -> np.ndarray:
        """Slopes of the prediction by each feature at the training cells, (n_freq, n_cells, n_features).

        Of the polynomial kernel.
        """
        z = self._cells
        slopes = self.order * self.rate * (1 + self.rate * (z @ z.T)) ** (self.order - 1)
        return np.stack([(slopes * weights) @ z for weights in self._weights.T])

    def polynomial(self, genes: list[str]) -> PolynomialForm:
        """What a polynomial kernel of components fitted, as the object that axes are read from; up to third order.

        genes : names of all genes.
        """
        if self.kernel != "polynomial" or self.order > 3 or not isinstance(self._components, Components):
            raise InputError(
                f"a {self.kernel} kernel of order {self.order} cannot be read as a polynomial: fit one of order 1 to 3"
            )
        axes, offset = self._components.axes, self._components.offset
        factor = np.column_stack([np.ones(len(self._cells)), self.rate * self._cells])
        factors = [factor] * self.order
        return PolynomialForm.from_products(axes, offset, factors, self._weights.T, self._mean, genes=genes)


def polynomial_ridge(order: int = 3) -> KernelRidge:
    """Ridge on all products of up to `order` of 20 target components, by the polynomial kernel."""

    def components(X: Matrix, y: np.ndarray) -> Components:
        return target_components(X, y, min(N_COMPONENTS, X.shape[1], X.shape[0] - 1))

    return KernelRidge("polynomial", components, POLYNOMIAL_PENALTIES, POLYNOMIAL_RATES, order)


def _products(z: np.ndarray, terms: list[tuple[int, ...]]) -> np.ndarray:
    """Products of some features, (n_cells, n_terms) float64; terms : each after that of all its features but the last.

    z : (n_cells, n_features).
    """
    found, place = np.ones((len(z), len(terms)), order="F"), {term: t for t, term in enumerate(terms)}
    for term, t in place.items():
        if term:
            found[:, t] = z[:, term[-1]] * (found[:, place[term[:-1]]] if len(term) > 1 else 1)
    return found


def _size(kernel: np.ndarray) -> float:
    """Mean of the kernel of a cell with itself; 1 where all cells are alike."""
    return kernel.diagonal().mean() or 1.0


@dataclass
class GeneRidge:
    """y_f(x) = c_f + w_f . x + x^T B_f x with a ridge on every gene and every pair of genes alike.

    By the kernel (z . z') / main + (z . z')^2 / pair on genes z of standard deviation 1, without components: it sees
    pairs of genes that components hide, of any number of genes.

    Attributes
    ----------
    main_penalties, pair_penalties : tuple of float
        Tried penalties, in units of the total variance of the genes and of their products; for each frequency those of
        the smallest error in validation cells are taken. A pair penalty of infinity leaves the pairs out: the linear
        model.
    chosen : DataFrame
        One row a frequency, once fitted: main_penalty, pair_penalty, val_mse (of targets of variance 1).
    """

    main_penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1)
    pair_penalties: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    chosen: pd.DataFrame = field(init=False)

    def fit(self, train: CellDataset, val: CellDataset) -> pd.DataFrame:
        """Fit on at most 5,000 training cells; the penalties are chosen on at most as many validation cells.

        Parameters
        ----------
        train, val : CellDataset
            x (n_cells, n_genes), dense or sparse, and y (n_cells, n_freq).

        Returns
        -------
        DataFrame
            The search: main_penalty, pair_penalty, frequency, val_mse.
        """
        (X, y), (X_val, y_val) = _some_arrays(train, val)
        X = dense(X).astype(np.float64)
        genes, self._targets = Standard.of(X), Standard.of(y)
        self._mean, self._inverse_sd = genes.mean, (variation(X) > 0) / genes.deviation
        self._cells = self._standard(X)
        with few_threads(len(y)):
            return self._search(self._targets.scaled(y), X_val, self._targets.scaled(y_val))

    def _standard(self, X: Matrix) -> np.ndarray:
        return (dense(X) - self._mean) * self._inverse_sd

    def _search(self, y: np.ndarray, X_val: np.ndarray, y_val: np.ndarray) -> pd.DataFrame:
        own, across = self._cells @ self._cells.T, self._standard(X_val) @ self._cells.T
        mean_squares = (own**2).mean(axis=0)
        kernels = [(own, across), (own**2, across**2)]
        own, across = zip(*(_centred(*kernel) for kernel in kernels), strict=True)
        variances = [np.trace(kernel) / len(y) or 1.0 for kernel in own]
        tried, found, rows = [], [], []
        for main in self.main_penalties:
            for pair in self.pair_penalties:
                shares = 1 / (main * variances[0]), 1 / (pair * variances[1])
                dual = solve_kernel(shares[0] * own[0] + shares[1] * own[1], len(y), y)
                predicted = (shares[0] * across[0] + shares[1] * across[1]) @ dual
                rows += [(main, pair, f, error) for f, error in enumerate(((y_val - predicted) ** 2).mean(axis=0))]
                tried.append(shares)
                found.append(dual)
        search = pd.DataFrame(rows, columns=["main_penalty", "pair_penalty", "frequency", "val_mse"])
        n_freq = y.shape[1]
        best = search["val_mse"].to_numpy().reshape(-1, n_freq).argmin(axis=0)
        self.chosen = search.iloc[best * n_freq + np.arange(n_freq)].set_index("frequency")
        dual = np.stack([found[i][:, f] for f, i in enumerate(best)], axis=1)
        self._linear, self._squared = (dual * share * self._targets.deviation for share in np.array(tried)[best].T)
        self._constant = self._targets.mean - mean_squares @ self._squared
        return search

    def predict(self, X: Matrix) -> np.ndarray:
        """Predicted frequencies; X : (n_cells, n_genes), dense or sparse. Returns (n_cells, n_freq) float64."""
        check_genes(X, len(self._mean))
        compared = (self._standard(X[cells]) @ self._cells.T for cells in in_parts(X.shape[0], N_PREDICTED))
        return np.concatenate([self._constant + k @ self._linear + k**2 @ self._squared for k in compared])

    def form(self, genes: list[str]) -> BilinearForm:
        """What was fitted, as the object that modules, pairs and scores are read from.

        B_f = Z^T diag(a_f) Z of the training cells and their dual weights, exact in a basis of as many columns as there
        are cells, or genes if these are fewer: thousands, so it takes seconds to minutes to read.
        """
        rows = self._cells * self._inverse_sd  # (z . z_c)^2 = (rows_c . (x - mean))^2
        basis, triangle = (np.eye(rows.shape[1]), rows.T) if len(rows) > rows.shape[1] else np.linalg.qr(rows.T)
        core = np.stack([(triangle * dual) @ triangle.T for dual in self._squared.T])
        linear, bent = self._linear.T @ rows, (self._squared * (rows @ self._mean)[:, None]).T @ rows
        constant = self._constant - linear @ self._mean + bent @ self._mean
        return BilinearForm(basis, (core + core.swapaxes(1, 2)) / 2, linear - 2 * bent, constant, genes)


def _some_arrays(train: CellDataset, val: CellDataset) -> tuple[tuple[Matrix, np.ndarray], tuple[Matrix, np.ndarray]]:
    """`arrays_to_fit` of as many of the cells as are compared."""
    return arrays_to_fit(*(cells.some(evenly(len(cells), MAX_CELLS)) for cells in (train, val)))


def _centred(own: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernels of features less their mean over the training cells; own : (n, n), across : (n_other, n)."""
    mean = own.mean(axis=0)
    own_centred = own - mean - mean[:, None] + mean.mean()
    return own_centred, across - mean - across.mean(axis=1, keepdims=True) + mean.mean()
