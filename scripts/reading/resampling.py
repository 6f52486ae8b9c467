"""Refits of a chosen bilinear ridge to resampled cells, for intervals of loadings."""

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import linear_sum_assignment

from scripts.cells import CellDataset, checked_arrays, drawn_again
from scripts.errors import InputError
from scripts.models import BilinearForm, BilinearRidge
from scripts.parallel import side_by_side


def resampled_loadings(
    chosen: BilinearRidge, train: CellDataset, form: BilinearForm, listed: pd.DataFrame, n_bootstraps: int = 30
) -> np.ndarray:
    """Loadings in fits to training cells, or where they are known whole donors, drawn again with replacement.

    Penalties and numbers of components are kept, components are computed again in each refit. The frequencies of the
    cells stay as they are: intervals do not include what another cell graph would change.

    Parameters
    ----------
    chosen : BilinearRidge
        Fitted to the cells of train; form : what it fitted.
    train : CellDataset
    listed : DataFrame
        Of form, as from modules.module_table.
    n_bootstraps : int
        At least 10.

    Returns
    -------
    (n_bootstraps, n_listed) for `loading_intervals`
    """
    if n_bootstraps < 10:
        raise InputError(f"n_bootstraps={n_bootstraps} are too few for an interval: take at least 10")

    def one(seed: int) -> np.ndarray:
        again = train.some(drawn_again(train, np.random.default_rng([1, seed])))
        return matched_loadings(form, chosen.refit(*checked_arrays(again)).form(form.genes), listed)

    return np.array(side_by_side(one, range(n_bootstraps)))


def normal_interval(
    estimate: np.ndarray, resampled: np.ndarray, coverage: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the interval around an estimate whose standard error is the spread over bootstraps.

    Student's t with as many degrees of freedom as bootstraps allow: a few dozen of them do not reach the outer
    percentiles. A ridge shrinks weights, so the interval is for what is shrunken.

    estimate : (...); resampled : (n_bootstraps, ...). Returns low and high, (...).
    """
    quantile = stats.t.ppf((1 + coverage) / 2, len(resampled) - 1)
    reach = quantile * resampled.std(axis=0, ddof=1)
    return estimate - reach, estimate + reach


def matched_loadings(form: BilinearForm, other: BilinearForm, listed: pd.DataFrame) -> np.ndarray:
    """Loadings of listed genes in the modules of another fit that are the partners of this one's, (n_listed,).

    Partners are assigned for the largest total |cosine|, among twice as many modules of the other fit, as modules of
    near-equal eigenvalues change places; the sign is turned to that of this fit. listed : as from modules.module_table.
    """
    n_modules = int(listed["module"].max())
    result, place = np.empty(len(listed)), pd.Index(form.genes).get_indexer(listed["gene"])
    own, others = form.modules(n_modules)[1], other.modules(2 * n_modules)[1]
    for f, rows in listed.groupby("frequency").indices.items():
        cosines = own[f].T @ others[f]
        mine, partner = linear_sum_assignment(-np.abs(cosines))
        turned = np.zeros_like(own[f])  # where the other fit has fewer modules, the rest have no partner
        turned[:, mine] = others[f][:, partner] * np.sign(cosines[mine, partner])
        result[rows] = turned[place[rows], listed["module"].to_numpy()[rows] - 1]
    return result


def loading_intervals(listed: pd.DataFrame, resampled: np.ndarray) -> pd.DataFrame:
    """95 % intervals of the loadings of the genes at the poles.

    listed : as from modules.module_table; resampled : (n_bootstraps, n_listed), as from `resampled_loadings`.

    Returns
    -------
    DataFrame
        frequency, module, gene, loading, low, high. Wide where a module does not come back in other cells.
    """
    low, high = normal_interval(listed["loading"].to_numpy(), resampled)
    return listed[["frequency", "module", "gene", "loading"]].assign(low=low, high=high)


def strongest_of_first_modules(intervals: pd.DataFrame, n_genes: int) -> pd.DataFrame:
    """Rows of the genes of largest absolute loading on the first modules; intervals : as from `loading_intervals`."""
    first = intervals[intervals["module"] == 1]
    rank = first["loading"].abs().groupby(first["frequency"]).rank(ascending=False)
    return first[rank <= n_genes].reset_index(drop=True)
