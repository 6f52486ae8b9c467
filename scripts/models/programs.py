"""Programs: few axes of gene space along which the frequencies change, and a ridge on curves and products of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from scripts.blocks import Matrix, Standard, evenly
from scripts.cells import MIN_TRAINING, CellDataset, subsamples
from scripts.errors import InputError
from scripts.graph import kurtosis_rotation
from scripts.models.components import target_components
from scripts.models.contract import arrays_to_fit, check_genes
from scripts.models.kernel import N_COMPONENTS, KernelRidge, polynomial_ridge
from scripts.models.polynomial import PolynomialForm, monomials
from scripts.parallel import few_threads

ORDERS = ("curves", "products", "cubic")
BOUND = 3.0  # standard deviations that no program exceeds
N_SUBSAMPLES = 3  # of 80 % of the cells, each of which gives the subspace again
MAX_SUBSPACE = 2_000  # training cells, at most, that the subspace is found from: all pairs of them are compared
SEARCHED = ["n_programs", "order", "penalty", "frequency"]
MAX_CELLS = 100_000  # training cells, at most, that rotation and weights are fitted to
MAX_VALIDATION = 5_000  # validation cells, at most, that all is chosen on


@dataclass(frozen=True)
class _Regression:
    """Weights of all monomials of some programs, and how well they do in each validation cell.

    turn : (n_components, n_programs); weights : (n_freq, n_monomials); constant : (n_freq,); error : (n_cells,).
    """

    turn: np.ndarray
    order: str
    weights: np.ndarray
    constant: np.ndarray
    error: np.ndarray
    search: pd.DataFrame


@dataclass
class ProgramRidge:
    """Frequencies as polynomials of a few programs: y_f(x) = c_f + a_f . t + t^T S_f t + T_f(t, t, t).

    A program is t = 3 tanh(s / 3) of an index s = (x - mean) . u of standard deviation 1. The indices span the active
    subspace of a cubic kernel ridge: the leading eigenvectors of sum_f E[grad y_f grad y_f^T] over the training cells
    (Xia et al., J. R. Stat. Soc. B 64, 363, 2002; Constantine et al., SIAM J. Sci. Comput. 36, A1500, 2014). In it they
    are turned to the largest kurtosis of the cells' scores, as in independent component analysis: the subspace alone
    says nothing of axes. The first changes the frequencies most; + is the end of the longer tail.

    Attributes
    ----------
    max_programs : int
    comes_back : float
        Numbers of programs are tried whose subspace 80 % of the cells give again: in every direction its canonical
        correlation with that of all cells is at least this, on average over subsamples. Below the root of one half a
        direction would be nearer to what lies outside. Of them, the smallest is taken whose error in validation cells
        is that of the best, within a standard error of the difference.
    orders : tuple of {"curves", "products", "cubic"}
        Tried kinds of terms: powers of one program up to the third; with products of two; all of up to three factors.
        One is taken for all frequencies, by the error in validation cells.
    penalties : tuple of float
        Tried penalties on the weights of terms of standard deviation 1; chosen for each frequency.
    n_programs : int
        Once fitted.
    order : str
        The chosen kind of terms, once fitted.
    subspace : DataFrame
        Once fitted, one row for each number of programs that was possible: n_programs; gradient_share, that of the
        squared gradients along the last one; correlation, the smallest of any direction, as above.
    """

    max_programs: int = 8
    comes_back: float = 0.5**0.5
    orders: tuple[str, ...] = ORDERS
    penalties: tuple[float, ...] = tuple(np.logspace(-5, -1, 5))
    n_programs: int = field(init=False)
    order: str = field(init=False)
    subspace: pd.DataFrame = field(init=False)

    def __post_init__(self):
        if unknown := set(self.orders) - set(ORDERS):
            raise InputError(f"orders={self.orders} is not known ({unknown}): choose from {', '.join(ORDERS)}")
        if not self.max_programs >= 1:
            raise InputError(f"max_programs={self.max_programs} is not possible: it must be at least 1")

    def fit(self, train: CellDataset, val: CellDataset) -> pd.DataFrame:
        """Fit on training cells, with the penalties and the kind of terms chosen on validation cells.

        Parameters
        ----------
        train, val : CellDataset
            x (n_cells, n_genes), dense or sparse, and y (n_cells, n_freq).

        Returns
        -------
        DataFrame
            The search: n_programs, order, penalty, frequency, val_mse (of targets of variance 1).

        Raises
        ------
        InputError
            If values are not finite, or there are too few cells.
        """
        (X, y), (X_val, y_val) = arrays_to_fit(train, val)
        if len(y) < MIN_TRAINING:
            raise InputError(f"{len(y)} training cells are too few to fit a model: at least {MIN_TRAINING} are needed")
        with few_threads(len(y)):
            return self._fit(X, y, X_val, y_val)

    def _fit(self, X, y, X_val, y_val) -> pd.DataFrame:
        targets = Standard.of(y)
        self._y_mean, self._y_scale = targets.mean, targets.deviation
        components = target_components(X, y, min(N_COMPONENTS, X.shape[1], X.shape[0] - 1))
        rows, val_rows = evenly(len(y), MAX_CELLS), evenly(len(y_val), MAX_VALIDATION)
        z, z_val = components.coordinates(X)[rows], components.coordinates(X_val[val_rows])
        y, y_val = targets.scaled(y)[rows], targets.scaled(y_val)[val_rows]
        deviation = Standard.of(z).deviation
        energy, directions = self._active_subspace(z, y, z_val, y_val, deviation)
        scores, scores_val, tried = z / deviation, z_val / deviation, []
        for k in self._sizes():
            turn = turned(energy[:k], directions[:, :k], scores)
            tried += self._regressions(turn, bounded(scores @ turn), y, bounded(scores_val @ turn), y_val)
        best = _simplest(tried)
        self.n_programs, self.order = best.turn.shape[1], best.order
        turn = best.turn / deviation[:, None]
        self._axes, self._offset = components.axes @ turn, components.offset @ turn
        self._weights = best.weights * self._y_scale[:, None]
        self._constant = self._y_mean + self._y_scale * best.constant
        return pd.concat([regression.search for regression in tried], ignore_index=True)

    def _active_subspace(self, z, y, z_val, y_val, deviation) -> tuple[np.ndarray, np.ndarray]:
        """`active_directions` of a cubic kernel ridge; keeps how far they come back."""
        some = evenly(len(y), MAX_SUBSPACE)
        z, y, model = z[some], y[some], polynomial_ridge(3)
        model.search(z, y, z_val, y_val)
        self._kernel = model
        energy, directions = active_directions(model, deviation)
        some = subsamples(CellDataset(z, y), N_SUBSAMPLES)
        again = [active_directions(model.refit(z[rows], y[rows]), deviation)[1] for rows in some]
        sizes = np.arange(1, 1 + min(self.max_programs, len(deviation)))
        smallest = [[smallest_correlation(directions[:, :k], other[:, :k]) for k in sizes] for other in again]
        share = energy / (energy.sum() or 1.0)
        self.subspace = pd.DataFrame(
            {"n_programs": sizes, "gradient_share": share[: len(sizes)], "correlation": np.mean(smallest, axis=0)}
        )
        return energy, directions

    def again(self, X: Matrix, y: np.ndarray) -> np.ndarray:
        """Programs of other cells or targets: as many, and by the same kernel, as this model has chosen.

        X : (n_cells, n_genes), dense or sparse; y : (n_cells, n_freq). Returns t, (n_cells, n_programs).
        """
        with few_threads(len(y)):
            z = target_components(X, y, min(N_COMPONENTS, X.shape[1], X.shape[0] - 1)).coordinates(X)
            some, deviation = evenly(len(y), MAX_SUBSPACE), Standard.of(z).deviation
            model = self._kernel.refit(z[some], Standard.of(y).scaled(y)[some])
            energy, directions = active_directions(model, deviation)
            k, scores = min(self.n_programs, len(deviation)), z / deviation
            return bounded(scores @ turned(energy[:k], directions[:, :k], scores))

    def _sizes(self) -> list[int]:
        """Numbers of programs whose subspace comes back; where none does, one."""
        again = self.subspace["correlation"] >= self.comes_back
        return self.subspace["n_programs"][again].tolist() or [1]

    def _regressions(self, turn, t, y, t_val, y_val) -> list[_Regression]:
        """Ridges on terms of the programs t, (n_cells, n_programs), one for each kind of terms."""
        terms, scale = PolynomialFeatures(3, include_bias=False), StandardScaler()
        features, held_out = scale.fit_transform(terms.fit_transform(t)), scale.transform(terms.transform(t_val))
        found = []
        for order in self.orders:
            kept = terms_of(order, t.shape[1])
            fits = [
                Ridge(penalty * len(y), fit_intercept=False).fit(features[:, kept], y).coef_.reshape(y.shape[1], -1)
                for penalty in self.penalties
            ]
            errors = np.array([(y_val - held_out[:, kept] @ fit.T) ** 2 for fit in fits])
            best = errors.mean(axis=1).argmin(axis=0)
            each = range(y.shape[1])
            weights = np.zeros((y.shape[1], len(kept)))
            weights[:, kept] = [fits[best[f]][f] for f in each]
            weights /= scale.scale_
            error = np.mean([errors[best[f], :, f] for f in each], axis=0)
            keys = pd.MultiIndex.from_product([[t.shape[1]], [order], self.penalties, each], names=SEARCHED)
            search = pd.DataFrame({"val_mse": errors.mean(axis=1).ravel()}, index=keys).reset_index()
            found.append(_Regression(turn, order, weights, -weights @ scale.mean_, error, search))
        return found

    def predict(self, X: Matrix) -> np.ndarray:
        """Predicted frequencies; X : (n_cells, n_genes), dense or sparse. Returns (n_cells, n_freq) float64."""
        check_genes(X, len(self._axes))
        return self.polynomial([str(i) for i in range(len(self._axes))]).predict(X)

    def polynomial(self, genes: list[str]) -> PolynomialForm:
        """What was fitted, as the object that programs are read from; genes : names of all genes."""
        return PolynomialForm.from_monomials(
            self._axes, self._offset, self._weights, self._constant, BOUND, genes=genes
        )


def active_directions(model: KernelRidge, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of sum_f E[grad y_f grad y_f^T], the largest first, and its eigenvectors, columns.

    Of a fitted polynomial kernel, in units of each feature's standard deviation: features that are uncorrelated are
    then alike in all directions, and angles between directions are correlations of the cells' scores.
    """
    slopes = model.gradients() * deviation
    energy = sum(slope.T @ slope for slope in slopes) / slopes.shape[1]
    values, vectors = np.linalg.eigh(energy)
    return values[::-1], vectors[:, ::-1]


def turned(energy: np.ndarray, directions: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Directions turned to the largest kurtosis of the scores, that of most energy first, + at the longer tail.

    energy : (k,); directions : (n_components, k), orthonormal; scores : (n_cells, n_components) of standard deviation
    1. Returns (n_components, k).
    """
    rotation = kurtosis_rotation(scores @ directions)
    turn = directions @ rotation[:, np.argsort(-energy @ rotation**2)]
    return turn * np.where(((scores @ turn) ** 3).sum(axis=0) < 0, -1.0, 1.0)


def smallest_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Smallest canonical correlation of the scores of two subspaces; their orthonormal directions, (n, k) each."""
    return float(np.linalg.svd(first.T @ second, compute_uv=False)[-1])


def bounded(indices: np.ndarray) -> np.ndarray:
    """Programs of the cells, within three standard deviations; a monotone curve near the index itself around 0."""
    return BOUND * np.tanh(indices / BOUND)


def terms_of(order: str, n_programs: int) -> np.ndarray:
    """Which of the `monomials` of the programs are terms of an order, (n_monomials,) bool."""
    sizes = np.array([(len(term), len(set(term))) for term in monomials(n_programs)])
    most_programs = ORDERS.index(order) + 1
    most_factors = np.where(sizes[:, 1] == 1, 3, most_programs)
    return (sizes[:, 1] <= most_programs) & (sizes[:, 0] <= most_factors)


def _simplest(tried: list[_Regression]) -> _Regression:
    """Of the fewest programs that are no worse than the best, the best.

    No worse: the difference in validation cells is within its standard error, cell by cell.
    """
    best, close = min(tried, key=_mean_error), []
    for regression in tried:
        more = regression.error - best.error
        if more.mean() <= more.std() / np.sqrt(len(more)):
            close.append(regression)
    fewest = min(regression.turn.shape[1] for regression in close)
    return min((regression for regression in close if regression.turn.shape[1] == fewest), key=_mean_error)


def _mean_error(regression: _Regression) -> float:
    return float(regression.error.mean())
