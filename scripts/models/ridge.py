"""The bilinear model in closed form: a ridge on components and their products, and on products of given gene pairs."""

import warnings
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np
import pandas as pd
from scipy import sparse

from scripts.blocks import Matrix, Standard, dense
from scripts.cells import MIN_TRAINING, CellDataset
from scripts.errors import InputError
from scripts.models.components import Components, target_components
from scripts.models.contract import arrays_to_fit, check_genes
from scripts.models.form import BilinearForm
from scripts.models.moments import Moments
from scripts.parallel import few_threads

N_CHOICE = 5_000  # validation cells, at most, that the penalties are chosen on
PRODUCT_PENALTIES = tuple(np.logspace(-3, 1, 9))  # of products of two genes, of variance 1
MAX_PRODUCTS, CELLS_EACH = 50, 20  # of each frequency, at most; training cells for each, at least


@dataclass
class BilinearRidge:
    """y_f(x) = c_f + w_f . x + x^T B_f x with separate ridge penalties on w_f and B_f, chosen on validation cells.

    Attributes
    ----------
    main_components : int
        Components that the main effects use.
    pair_components : tuple of int
        Leading components whose products are used; the smallest number within one standard error of the best is taken.
    main_penalties, pair_penalties : tuple of float
        Tried penalties, in units of the features' total variance. For each frequency, the strongest penalty of the
        pairs within half a standard error of the best is taken: pairs are then found again in other cells.
    squares_only : bool
        Leave out the products of different components: a diagonal core, as a rival.
    chunk : int
        Cells whose features are held in memory at a time.
    components : Components
        Of the training cells, once fitted.
    chosen : DataFrame
        One row a frequency: pair_components, main_penalty, pair_penalty, val_mse (of targets of variance 1).
    """

    main_components: int = 50
    pair_components: tuple[int, ...] = (12, 16, 20)
    main_penalties: tuple[float, ...] = tuple(np.logspace(-6, -2, 5))
    pair_penalties: tuple[float, ...] = tuple(np.logspace(-6, -1, 11))
    squares_only: bool = False
    chunk: int = 20_000
    components: Components = field(init=False)
    chosen: pd.DataFrame = field(init=False)

    def fit(self, train: CellDataset, val: CellDataset) -> pd.DataFrame:
        """Fit on training cells, with penalties and size chosen on validation cells.

        Parameters
        ----------
        train, val : CellDataset
            x (n_cells, n_genes), dense or sparse, and y (n_cells, n_freq).

        Returns
        -------
        DataFrame
            The search: pair_components, main_penalty, pair_penalty, frequency, val_mse.

        Raises
        ------
        InputError
            If values are not finite, or there are too few cells.
        """
        (X, y), (X_val, y_val) = arrays_to_fit(train, val)
        with few_threads(len(y)):
            return self._fit(X, y, X_val, y_val)

    def _fit(self, X, y, X_val, y_val) -> pd.DataFrame:
        n_components = self._possible_components(X)
        self.components = target_components(X, y, n_components)
        targets = Standard.of(y)
        self._mean, self._scale = targets.mean, targets.deviation
        n_main = self.components.axes.shape[1]
        sizes = sorted({min(r, n_main) for r in self.pair_components})
        moments = Moments.of(self._features(X, sizes[-1]), (y - self._mean) / self._scale, n_main)
        rows = np.linspace(0, len(y_val) - 1, min(len(y_val), N_CHOICE)).astype(int)
        held_out = np.concatenate(list(self._features(X_val[rows], sizes[-1]))) - moments.mean
        y_held_out = (y_val[rows] - self._mean) / self._scale
        tried, weights, errors = [], [], []
        for r, main_penalty in product(sizes, self.main_penalties):
            used = n_main + len(pair_indices(r, self.squares_only)[0])  # products of the first r components come first
            tried += [(r, main_penalty, pair_penalty) for pair_penalty in self.pair_penalties]
            weights += (solved := moments.solve(used, main_penalty, self.pair_penalties))
            errors += [(y_held_out - held_out[:, :used] @ W) ** 2 for W in solved]
        best = _choose(np.array(tried), np.array(errors))
        self._n_pair = int(tried[best[0]][0])
        used = len(weights[best[0]])
        self._weights = np.stack([weights[i][:, f] for f, i in enumerate(best)], axis=1)
        self._feature_mean = moments.mean[:used]
        search = pd.DataFrame(
            [
                (*setting, f, e)
                for setting, error in zip(tried, errors, strict=True)
                for f, e in enumerate(error.mean(0))
            ],
            columns=["pair_components", "main_penalty", "pair_penalty", "frequency", "val_mse"],
        )
        n_freq = y.shape[1]
        self.chosen = search.iloc[[i * n_freq + f for f, i in enumerate(best)]].set_index("frequency")
        return search

    def _possible_components(self, X: Matrix) -> int:
        n_cells, n_genes = X.shape
        possible = min(self.main_components, n_genes, n_cells - 1)
        if n_cells < MIN_TRAINING:
            raise InputError(f"{n_cells} training cells are too few to fit a model: at least {MIN_TRAINING} are needed")
        if possible < min(self.main_components, n_genes):
            warnings.warn(
                f"{n_cells} training cells span no more than {possible} components: "
                f"{possible} are used instead of {self.main_components}",
                stacklevel=3,
            )
        return possible

    def _features(self, X: Matrix, n_pair: int) -> Iterator[np.ndarray]:
        """Components and their products, chunk by chunk, (n_chunk, n_main + n_pairs)."""
        for start in range(0, X.shape[0], self.chunk):
            z = self.components.coordinates(X[start : start + self.chunk])
            yield np.concatenate([z, products(z[:, :n_pair], self.squares_only)], axis=1)

    def predict(self, X: Matrix) -> np.ndarray:
        """Predicted frequencies; X : (n_cells, n_genes), dense or sparse. Returns (n_cells, n_freq) float64."""
        check_genes(X, len(self.components.mean))
        X = sparse.csr_array(X) if sparse.issparse(X) else np.asarray(X)
        standard = [(block - self._feature_mean) @ self._weights for block in self._features(X, self._n_pair)]
        return self._mean + self._scale * np.concatenate(standard)

    def refit(self, X: Matrix, y: np.ndarray) -> "BilinearRidge":
        """A fit to other cells or targets with the penalties and numbers of components that this one has chosen.

        Components are computed again: they depend on the cells and on the targets, so intervals must include how
        much they vary. Penalties are kept: a new choice would let the size of all weights jump from fit to
        fit.

        Parameters
        ----------
        X : (n_cells, n_genes) array or sparse matrix; y : (n_cells, n_freq)
            As from `checked_arrays`.
        """
        model = copy(self)
        model.components = target_components(X, y, min(self.main_components, X.shape[1], X.shape[0] - 1))
        targets = Standard.of(y)
        model._mean, model._scale = targets.mean, targets.deviation
        n_main = model.components.axes.shape[1]
        model._n_pair = min(self._n_pair, n_main)
        moments = Moments.of(model._features(X, model._n_pair), (y - model._mean) / model._scale, n_main)
        model._feature_mean, model._weights = moments.mean, np.empty_like(moments.cross)
        for f, (main, pair) in enumerate(self._penalties()):
            model._weights[:, f] = moments.solve(len(moments.gram), main, (pair,))[0][:, f]
        return model

    def _penalties(self) -> np.ndarray:
        """The chosen ones, (n_freq, 2): of main effects and of pairs."""
        return self.chosen[["main_penalty", "pair_penalty"]].to_numpy()

    def form(self, genes: list[str]) -> BilinearForm:
        """What was fitted, as the object that modules, pairs and scores are read from; genes : names of all genes."""
        axes, offset = self.components.axes, self.components.offset
        r, n_main = self._n_pair, axes.shape[1]
        weights = self._weights * self._scale
        linear, core = weights[:n_main].T.copy(), symmetric(weights[n_main:], r, self.squares_only)
        # with z = q - offset: linear . z + z^T S z, written out in q = x axes
        constant = self._mean - self._feature_mean @ weights - linear @ offset + offset[:r] @ core @ offset[:r]
        linear[:, :r] -= 2 * core @ offset[:r]
        basis, triangle = np.linalg.qr(axes[:, :r])
        return BilinearForm(basis, triangle @ core @ triangle.T, linear @ axes.T, constant, genes)


def pair_indices(r: int, squares_only: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Pairs i >= j of r components, those of the leading components first; or only each with itself."""
    return (np.arange(r), np.arange(r)) if squares_only else np.tril_indices(r)


def products(z: np.ndarray, squares_only: bool = False) -> np.ndarray:
    """Products of all pairs of components, (n_cells, r (r + 1) / 2), in the order of `pair_indices`.

    Products of two different ones carry a factor of sqrt(2), so that two cells' products have the scalar product
    (z . z')^2. z : (n_cells, r).
    """
    i, j = pair_indices(z.shape[1], squares_only)
    return z[:, i] * z[:, j] * np.where(i == j, 1, np.sqrt(2))


def symmetric(weights: np.ndarray, r: int, squares_only: bool = False) -> np.ndarray:
    """Matrices S_f with z^T S_f z = products(z) @ weights; weights : (n_products, n_freq). Returns (n_freq, r, r)."""
    i, j = pair_indices(r, squares_only)
    core = np.zeros((weights.shape[1], r, r))
    core[:, i, j] = weights.T * np.where(i == j, 0.5, np.sqrt(0.5))
    return core + core.swapaxes(1, 2)


def _choose(tried: np.ndarray, errors: np.ndarray) -> list[int]:
    """Which setting to take for each frequency; tried : (n_settings, 3); errors : (n_settings, n_cells, n_freq)."""
    mse = errors.mean(axis=1)
    standard_error = errors.std(axis=1) / np.sqrt(errors.shape[1])
    size, main, pair = tried.T
    by_size = {r: mse[size == r].min(axis=0).mean() for r in np.unique(size)}
    best = min(by_size, key=lambda r: by_size[r])
    best_of_each = [np.flatnonzero(size == best)[column.argmin()] for column in mse[size == best].T]
    per_cell = np.mean([errors[i, :, f] for f, i in enumerate(best_of_each)], axis=0)
    limit = by_size[best] + per_cell.std() / np.sqrt(len(per_cell))
    allowed = size == min(r for r in by_size if by_size[r] <= limit)
    chosen = []
    for f in range(mse.shape[1]):
        best = np.where(allowed, mse[:, f], np.inf).argmin()
        close = allowed & (mse[:, f] <= mse[best, f] + standard_error[best, f] / 2)
        strongest = close & (pair == pair[close].max())
        chosen.append(int(np.where(strongest, mse[:, f], np.inf).argmin()))
    return chosen


def fit_products(form: BilinearForm, pairs: pd.DataFrame, train: CellDataset, val: CellDataset) -> BilinearForm:
    """The form with products of given pairs of genes as terms of their own, where validation cells gain by them.

    What the form leaves of each frequency is fitted by a ridge on products of its pairs, each gene less its mean. The
    penalty is chosen on validation cells, and so is whether a frequency takes any of them.

    Parameters
    ----------
    form : BilinearForm
        Fitted to the training cells.
    pairs : DataFrame
        frequency, i, j (places of genes), the most important first; found in training cells alone. Of each frequency
        the first 50 are taken at most, and one for 20 training cells.
    train, val : CellDataset

    Returns
    -------
    BilinearForm
        The same one where nothing is gained.
    """
    (X, y), (X_val, y_val) = arrays_to_fit(train, val)
    left, left_val = y - form.predict(X), y_val - form.predict(X_val)
    most, terms = min(MAX_PRODUCTS, len(y) // CELLS_EACH), []
    main, constant = form.main.copy(), form.constant.copy()
    for f, listed in pairs.groupby("frequency"):
        i, j = places = listed[["i", "j"]].to_numpy()[:most].T
        first, second = (Standard.of(dense(X[:, genes]).astype(np.float64)).mean for genes in places)
        known, held_out = ((dense(Z[:, i]) - first) * (dense(Z[:, j]) - second) for Z in (X, X_val))
        weights = _weights_of_products(known, left[:, f], held_out, left_val[:, f])
        # w ((x_i - m_i) (x_j - m_j) - mean), written out in x
        np.add.at(main[f], places, -weights * np.stack([second, first]))
        constant[f] += weights @ (first * second - known.mean(axis=0))
        terms += [(f, *pair, weight) for *pair, weight in zip(i, j, weights, strict=True) if weight]
    if not terms:
        return form
    frequency, i, j, weight = map(np.array, zip(*terms, strict=True))
    held, place = np.unique(np.stack([i, j], axis=1), axis=0, return_inverse=True)
    weights = np.zeros((form.n_freq, len(held)))
    weights[frequency, place.ravel()] = weight
    return replace(form, main=main, constant=constant).with_products(held, weights)


def _weights_of_products(known: np.ndarray, left: np.ndarray, held_out: np.ndarray, left_val: np.ndarray) -> np.ndarray:
    """Weights of products, (n_products,), that predict validation cells best; all 0 where none does better.

    known, held_out : (n_cells, n_products); left, left_val : (n_cells,), what is to be predicted.
    """
    products = Standard.of(known)
    p, p_val = products.scaled(known), products.scaled(held_out)
    gram, cross, one = p.T @ p / len(p), p.T @ left / len(p), np.eye(p.shape[1])
    tried = [np.zeros(len(cross)), *(np.linalg.solve(gram + penalty * one, cross) for penalty in PRODUCT_PENALTIES)]
    errors = [((left_val - p_val @ weights) ** 2).mean() for weights in tried]
    return tried[int(np.argmin(errors))] / products.deviation
