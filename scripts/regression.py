"""Covariates of cells as columns of numbers, and what they explain of other values taken out, by least squares."""

import numpy as np
import pandas as pd
from sklearn.preprocessing import SplineTransformer
from sklearn.utils import gen_batches

N_KNOTS = 5  # of the cubic splines of a number
MAX_GROUPS = 100  # of a covariate; cells of the smaller ones are taken together
BLOCK = 500  # columns that are worked on at a time
RANK = 1e-8  # singular value, in units of the largest, below which columns say the same


def features(column: pd.Series) -> np.ndarray:
    """Splines of the ranks of a number, or a column for each group, (n_cells, n_features); 0 where it is not known."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        largest = column.value_counts().index[:MAX_GROUPS]
        return pd.get_dummies(column.cat.set_categories(largest), dtype=float).to_numpy()
    ranks = column.rank(pct=True).fillna(0.5).to_numpy()[:, None]
    return SplineTransformer(N_KNOTS).fit_transform(ranks) * column.notna().to_numpy()[:, None]


def regress_out(values: np.ndarray, covariates: np.ndarray, fit_rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """Values without what covariates explain of them: residuals of ordinary least squares with an intercept.

    The means stay as they are, so that each value is what it would be in a cell of mean covariates.

    Parameters
    ----------
    values : (n_cells, n_columns)
    covariates : (n_cells, n_features)
        Features that say the same as others do no harm.
    fit_rows : (n_fit,) int or slice
        Cells from which coefficients and means are taken.

    Returns
    -------
    (n_cells, n_columns), in the precision of the values.
    """
    centred = covariates - covariates[fit_rows].mean(axis=0)
    solve = np.linalg.pinv(centred[fit_rows], rcond=RANK)
    found = np.empty_like(values)
    for columns in gen_batches(values.shape[1], BLOCK):
        found[:, columns] = values[:, columns] - centred @ (solve @ values[fit_rows, columns])
    return found


def explained_by_chance(covariates: np.ndarray) -> float:
    """Share of the variance of values that know nothing of them, which `regress_out` takes out on average."""
    n_cells = len(covariates)
    return np.linalg.matrix_rank(covariates - covariates.mean(axis=0), rtol=RANK) / (n_cells - 1)
