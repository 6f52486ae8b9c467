"""Which programs together tell which branches apart: products of two and of three, tested on cells of their own."""

from collections.abc import Collection
from itertools import product

import anndata as ad
import numpy as np
import pandas as pd
from scipy import stats
from sklearn.linear_model import RidgeCV

from scripts.blocks import Matrix, evenly
from scripts.cells import Preparation
from scripts.errors import InputError
from scripts.evaluation import count_halves, structureless_cells
from scripts.models import monomials
from scripts.programs.divisions import Programs, divided, fit_programs

LEVEL = 0.05  # of the p-values adjusted over all terms of an order; and of p in the other half
CELLS_PER_FEATURE = 3  # of the cells tested, at least: HC3 errors of fewer are wide beyond use
SAME = 0.7  # correlation from which on programs of two halves are the same
MAX_NULL = 1_000  # cells, at most, that linear targets are made from
REAL, LINEAR, STRUCTURELESS = "these cells", "linear targets", "structureless cells"
NULLS, COUNT_HALVES = (LINEAR, STRUCTURELESS), "halves of the counts"
TERMS = ["frequency", "order", "programs", "weight", "se", "t", "p", "adjusted_p", "called"]
TERMS += ["other_weight", "other_p", "replicated"]
COUNTS = ["cells", "division", "half", "order", "n_terms", "n_called", "called_replicated", "others_replicated"]


def hc3(X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of ordinary least squares and their HC3 standard errors, (n_features, n_targets) each.

    Var(b) = X^+ diag(e_i^2 / (1 - h_i)^2) X^+^T, h the leverage (MacKinnon and White, J. Econometrics 29, 305, 1985).
    X : (n_cells, n_features), with its column of ones; y : (n_cells, n_targets).
    """
    solve = np.linalg.pinv(X, rcond=1e-10)
    weights = solve @ y
    free = np.maximum(1 - (X * solve.T).sum(axis=1), 1e-6)
    return weights, np.sqrt(solve**2 @ ((y - X @ weights) / free[:, None]) ** 2)


def design(t: np.ndarray, linear: np.ndarray) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """Columns that a frequency is regressed on: components, and all terms of the programs up to the third order.

    t : (n_cells, n_programs); linear : (n_cells, n_components). Returns (n_cells, n_features), the terms at last, and
    the programs of each term.
    """
    terms = monomials(t.shape[1])
    columns = np.hstack([linear, np.stack([t[:, term].prod(axis=1) for term in terms], axis=1)])
    return columns, terms


def tested_terms(programs: Programs, rows: np.ndarray) -> pd.DataFrame:
    """Every product of two and of three different programs, for every frequency, given all other terms.

    One regression of a frequency on components and all terms up to the third order, in which a product is what is left
    of it beside all else: linear parts, curves of one program, and curves of one that bend along another.

    rows : cells to use. Returns frequency, order, programs (their numbers from 1, with a space between), weight, se, t,
    p; no rows where cells are fewer than `CELLS_PER_FEATURE` times the columns.
    """
    columns, terms = design(programs.t[rows], programs.linear[rows])
    if len(rows) < CELLS_PER_FEATURE * (1 + columns.shape[1]):
        return pd.DataFrame(columns=TERMS[:7])
    mean, scale = columns.mean(axis=0), np.where(columns.std(axis=0) > 0, columns.std(axis=0), 1)
    X = np.hstack([np.ones((len(rows), 1)), (columns - mean) / scale])
    weights, errors = hc3(X, programs.y[rows])
    freedom = len(rows) - X.shape[1]
    found = []
    for place, term in zip(range(X.shape[1] - len(terms), X.shape[1]), terms, strict=True):
        if len(set(term)) == len(term) > 1:
            for f, (weight, se) in enumerate(zip(weights[place], errors[place], strict=True)):
                t = weight / se if se > 0 else 0.0
                unit = scale[place - 1]
                names = " ".join(str(number + 1) for number in term)
                found.append((f, len(term), names, weight / unit, se / unit, t, 2 * stats.t.sf(abs(t), freedom)))
    return pd.DataFrame(found, columns=TERMS[:7])


def term_table(
    programs: Programs | None, anew: Programs | None = None, without_structure: Collection[int] = ()
) -> pd.DataFrame:
    """Terms tested on the half that the programs have not met, and again on the half that they were fitted to.

    Parameters
    ----------
    programs : Programs or None
    anew : Programs, optional
        The same, measured anew, as from `Programs.measured`: terms are then tested again there, on the same cells.
    without_structure : collection of int
        Frequencies that may be depth and noise alone: none of their terms is called.

    Returns
    -------
    DataFrame
        As from `tested_terms`, and adjusted_p, over all terms of an order and all frequencies (Bonferroni); called,
        where it is below `LEVEL`; other_weight and other_p, of the same terms in the other half; replicated, where the
        sign is the same there and p below `LEVEL`. No rows where there are too few cells or programs.
    """
    if programs is None:
        return pd.DataFrame(columns=TERMS)
    table = tested_terms(programs, programs.other)
    again = tested_terms(programs, programs.half) if anew is None else tested_terms(anew, anew.other)
    if table.empty or again.empty:
        return pd.DataFrame(columns=TERMS)
    table["adjusted_p"] = np.minimum(1, table["p"] * table.groupby("order")["p"].transform("size"))
    table["called"] = (table["adjusted_p"] < LEVEL) & ~table["frequency"].isin(without_structure)
    table["other_weight"], table["other_p"] = again["weight"], again["p"]
    table["replicated"] = (np.sign(table["t"]) == np.sign(again["t"])) & (again["p"] < LEVEL)
    return table


def program_terms(
    adata: ad.AnnData,
    programs: Programs | None,
    settings: Preparation,
    n_divisions: int = 5,
    without_structure: Collection[int] = (),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Which products of programs tell frequencies apart, how often that comes back, and what nulls give.

    Parameters
    ----------
    adata : AnnData
        As from `cells.scaled`.
    programs : Programs or None
        Of the run's division, as from `fit_programs`; None where cells are too few.
    settings : Preparation
        The recipe of the graph, which structureless cells go through.
    n_divisions : int
        Ways to divide the cells in halves, the run's among them; programs are fitted to either half in turn.
    without_structure : collection of int
        As in `term_table`.

    Returns
    -------
    terms : DataFrame
        As from `term_table`, with called_again: with which share of the other halves the product of the same programs
        (correlation of at least `SAME` over all cells) is called with the same sign; NaN where there are none.
    counts : DataFrame
        cells, division, half (1 or 2, that programs were fitted to), order, n_terms, n_called, called_replicated and
        others_replicated (shares); cells says whether they are those of the run, or of a null, or those of the run with
        either half of their counts: terms called in one, frequencies and expression, are sought in the same cells by
        the expression of the other. Nulls and counts are divided as the run is.
    """
    y, genes = adata.obsm["X_freq"], list(adata.var_names)
    terms = term_table(programs, without_structure=without_structure)
    if programs is None:
        return terms.assign(called_again=np.nan), pd.DataFrame(columns=COUNTS)
    ways = list(product(range(n_divisions), (1, 2)))
    others = [fit_programs(adata.X, y, divided(adata, *way), genes) for way in ways[1:]]
    tables = [term_table(other, without_structure=without_structure) for other in others]
    found = [_counted(table, REAL, *way) for way, table in zip(ways, [terms, *tables], strict=True)]
    again = [
        _again(terms, programs, table, other) for table, other in zip(tables, others, strict=True) if other is not None
    ]
    terms["called_again"] = np.mean(again, axis=0) if again else np.nan
    return terms, pd.concat([*found, *_beside(adata, programs, settings)], ignore_index=True)


def _beside(adata: ad.AnnData, programs: Programs, settings: Preparation) -> list[pd.DataFrame]:
    """Counts of nulls and of halves of the counts, in the run's division; those that can be had."""
    genes = list(adata.var_names)
    null = linear_targets(adata.X, programs, settings.random_state)
    fitted = fit_programs(adata.X, null, (programs.half, programs.other), genes)
    found = [_counted(term_table(fitted), LINEAR)]
    try:
        none = structureless_cells(adata, settings)
        own = next(halves := count_halves(adata, settings, settings.random_state))
    except InputError:  # no counts, or a graph that is not made from them
        return found
    fitted = fit_programs(none.X, none.obsm["X_freq"], divided(none, 0), genes)
    found.append(_counted(term_table(fitted), STRUCTURELESS))
    fitted = fit_programs(own.X, own.obsm["X_freq"], divided(own, 0), genes)
    del none, own
    if fitted is not None:
        found.append(_counted(term_table(fitted, fitted.measured(next(halves).X)), COUNT_HALVES))
    return found


def linear_targets(X: Matrix, programs: Programs, random_state: int = 0) -> np.ndarray:
    """Frequencies without any curve or product: what all genes predict linearly, and Gaussian noise.

    A ridge on all genes is fitted to one half, its penalty chosen by leaving one cell out; the noise has the variance
    of its residuals in the other half. X : (n_cells, n_genes), dense or sparse. Returns (n_cells, n_freq).
    """
    rows = programs.half[evenly(len(programs.half), MAX_NULL)]
    penalties = X.shape[1] * np.logspace(-2, 2, 9)
    fit = RidgeCV(penalties, alpha_per_target=True).fit(X[rows], programs.y[rows])
    predicted = fit.predict(X).reshape(programs.y.shape)
    deviation = (programs.y - predicted)[programs.other].std(axis=0)
    return predicted + deviation * np.random.default_rng(random_state).normal(size=predicted.shape)


def _counted(table: pd.DataFrame, cells: str, division: int = 0, half: int = 1) -> pd.DataFrame:
    """How many terms of each order are called, and which share of them and of the others replicates."""
    found = []
    for order, of_order in table.groupby("order"):
        called = of_order["called"].to_numpy(bool)
        replicated = of_order["replicated"].to_numpy(float)
        shares = [replicated[rows].mean() if rows.any() else np.nan for rows in (called, ~called)]
        found.append((cells, division, half, order, len(of_order), called.sum(), *shares))
    return pd.DataFrame(found, columns=COUNTS)


def _again(terms: pd.DataFrame, programs: Programs, table: pd.DataFrame, others: Programs) -> np.ndarray:
    """Which terms another division calls with the same sign, by products of the same programs, (n_terms,) bool."""
    n = programs.t.shape[1]
    correlation = np.corrcoef(programs.t.T, others.t.T)[:n, n:]
    best = np.abs(correlation).argmax(axis=1)
    size = correlation[np.arange(n), best]
    called = table[table["called"].astype(bool)]
    signs = {(f, names): np.sign(weight) for f, names, weight in called[["frequency", "programs", "weight"]].values}
    found = []
    for f, names, weight in terms[["frequency", "programs", "weight"]].values:
        places = [int(name) - 1 for name in names.split()]
        other = " ".join(str(number) for number in sorted(best[places] + 1))
        sign = np.sign(weight) * np.sign(size[places]).prod()
        same = np.abs(size[places]).min() >= SAME
        found.append(bool(same and signs.get((f, other), 0) == sign))
    return np.array(found)
