"""Refits of a chosen bilinear ridge: to resampled cells, for intervals, and to shuffled targets, for the null."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment

from scripts.cells import CellDataset, checked_arrays, drawn_again, shuffled
from scripts.errors import InputError
from scripts.models import BilinearForm, BilinearRidge, refit_with_errors
from scripts.parallel import side_by_side

NULLS = ("residuals", "targets")  # what is shuffled over the cells


def bootstrap(
    chosen: BilinearRidge,
    train: CellDataset,
    genes: list[str],
    read: Callable[[BilinearForm], tuple],
    n_bootstraps: int = 30,
) -> list[np.ndarray]:
    """What is read from fits to training cells, or where they are known whole donors, drawn again with replacement.

    Penalties and numbers of components are kept, components are computed again in each refit. The frequencies of the
    cells stay as they are: intervals do not include what another cell graph would change.

    Parameters
    ----------
    chosen : BilinearRidge
        Fitted.
    train : CellDataset
    genes : list of str
    read : function
        From a BilinearForm to a tuple of arrays of fixed shapes; the forms themselves are not kept.
    n_bootstraps : int
        At least 10.

    Returns
    -------
    list of (n_bootstraps, ...) float64, one for each array read
    """
    if n_bootstraps < 10:
        raise InputError(f"n_bootstraps={n_bootstraps} are too few for an interval: take at least 10")
    X, y = checked_arrays(train)

    def one(seed: int) -> tuple:
        rows = drawn_again(train, np.random.default_rng([1, seed]))
        return read(chosen.refit(X[rows], y[rows]).form(genes))

    return [np.array(values) for values in zip(*side_by_side(one, range(n_bootstraps)), strict=True)]


def normal_interval(
    estimate: np.ndarray, resampled: np.ndarray, coverage: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the interval around an estimate whose standard error is the spread over bootstraps.

    Student's t with as many degrees of freedom as bootstraps allow: a few dozen of them do not reach the outer
    percentiles. A ridge shrinks weights, so the interval is for the shrunken weight.

    estimate : (...); resampled : (n_bootstraps, ...). Returns low and high, (...).
    """
    quantile = stats.t.ppf((1 + coverage) / 2, len(resampled) - 1)
    reach = quantile * resampled.std(axis=0, ddof=1)
    return estimate - reach, estimate + reach


def shuffled_refits(
    chosen: BilinearRidge,
    train: CellDataset,
    genes: list[str],
    read: Callable,
    n_shuffles: int = 20,
    null: str = "residuals",
) -> list:
    """What is read from fits to targets shuffled over the training cells, or over those of each donor.

    The frequencies of a cell stay together.

    Parameters
    ----------
    read : function
        From a Refit to whatever is wanted of it.
    null : str
        "residuals": main effects are fitted alone, what they leave of the targets is shuffled and added to them again
        (Freedman & Lane, J. Bus. Econ. Stat. 1, 292, 1983), so that genes with main effects alone, to which the
        components turn, do not pass for pairs. "targets": the targets themselves are shuffled.

    Penalties are those chosen on the true targets. Chosen again on shuffled ones they would be the strongest tried,
    null weights would vanish, and every weight would seem significant just because some frequency can be predicted.
    """
    if null not in NULLS:
        raise InputError(f"null={null!r} is not known: choose {' or '.join(map(repr, NULLS))}")
    X, y = checked_arrays(train)
    explained = 0.0
    if null == "residuals":
        main = chosen.refit(X, y, pairs=False).form(genes)
        explained = main.constant + np.asarray(X @ main.main.T)
    left = y - explained

    def one(seed: int):
        order = shuffled(train, np.random.default_rng([2, seed]))
        return read(refit_with_errors(chosen, X, explained + left[order], genes))

    return side_by_side(one, range(n_shuffles))


def matched_loadings(form: BilinearForm, other: BilinearForm, listed: pd.DataFrame) -> np.ndarray:
    """Loadings of listed genes in the modules of another fit that are the partners of this one's, (n_listed,).

    Partners are assigned for the largest total |cosine|, among twice as many modules of the other fit, as modules of
    near-equal eigenvalues change places; the sign is turned to that of this fit. listed : as from `pole_loadings`.
    """
    n_modules = int(listed["module"].max())
    result = np.empty(len(listed))
    own, others = form.modules(n_modules)[1], other.modules(2 * n_modules)[1]
    for f, rows in listed.groupby("frequency").indices.items():
        cosines = own[f].T @ others[f]
        mine, partner = linear_sum_assignment(-np.abs(cosines))
        turned = np.zeros_like(own[f])  # where the other fit has fewer modules, the rest have no partner
        turned[:, mine] = others[f][:, partner] * np.sign(cosines[mine, partner])
        result[rows] = turned[listed["place"].to_numpy()[rows], listed["module"].to_numpy()[rows] - 1]
    return result


def loading_intervals(listed: pd.DataFrame, resampled: np.ndarray) -> pd.DataFrame:
    """95 % intervals of the loadings of the genes at the poles.

    listed : as from `pole_loadings`; resampled : (n_bootstraps, n_listed), their loadings in refits to resampled cells.

    Returns
    -------
    DataFrame
        frequency, module, gene, loading, low, high. Wide where a module does not come back in other cells.
    """
    low, high = normal_interval(listed["loading"].to_numpy(), resampled)
    return listed.drop(columns="place").assign(low=low, high=high)


def strongest_of_first_modules(intervals: pd.DataFrame, n_genes: int) -> pd.DataFrame:
    """Rows of the genes of largest absolute loading on the first modules; intervals : as from `loading_intervals`."""
    first = intervals[intervals["module"] == 1]
    rank = first["loading"].abs().groupby(first["frequency"]).rank(ascending=False)
    return first[rank <= n_genes].reset_index(drop=True)
