"""Panels: how well the few genes that a method names predict a frequency, and whether other cells give them again."""

import shlex
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations, product

import anndata as ad
import numpy as np
import pandas as pd

from scripts.blocks import evenly
from scripts.cells import Split, subsamples, transductive_splits
from scripts.evaluation.performance import refit
from scripts.measures import held_out_r2, jaccard
from scripts.models import Model, solve_kernel
from scripts.parallel import side_by_side
from scripts.rankings import BILINEAR, Expression, Ranking, TrainingCells, quiet, rank_genes

SIZES = (5, 10, 25, 50, 100)  # genes of a panel
N_CENTRES = 200  # training cells that carry the kernel, see `panel_r2`
N_ROUND = 20  # centres drawn at a time
N_TRAINING = 20_000  # training cells, at most, that the regressor is fitted to
WIDTHS = (0.2, 1.0)  # of the kernel: gamma in units of 1 / median squared distance
PENALTIES = (0.03, 0.1, 0.3)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances, (n_a, n_b) float32: half the time of float64; a : (n_a, n_chosen), b : (n_b, n_chosen)."""
    found = a @ b.T
    found *= -2
    found += (a**2).sum(axis=1)[:, None]
    found += (b**2).sum(axis=1)
    return np.maximum(found, 0, out=found)


def _spread(cells: np.ndarray, n_centres: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells that lie far from each other: drawn in rounds, in proportion to the distance from those drawn.

    As k-means|| seeds its centres (Bahmani et al., VLDB 5, 622, 2012). Evenly drawn ones would leave out rare programs,
    which some panels consist of. cells : (n_cells, n_chosen). Returns their indices, (n_centres,), and their squared
    distances from all cells, (n_centres, n_cells).
    """
    if n_centres >= len(cells):
        return np.arange(len(cells)), _squared_distances(cells, cells)
    random = np.random.default_rng(0)
    nearest = np.sqrt(_squared_distances(cells, cells.mean(axis=0, keepdims=True))).ravel().astype(np.float64)
    chosen, distances = [], []
    while len(chosen) < n_centres and (apart := np.flatnonzero(nearest > 1e-2)).size:
        n_drawn = min(N_ROUND, n_centres - len(chosen), apart.size)
        share = nearest[apart] / nearest[apart].sum()
        drawn = random.choice(apart, n_drawn, replace=False, p=share)
        chosen.extend(drawn.tolist())
        distances.append(_squared_distances(cells[drawn], cells))
        nearest = np.minimum(nearest, np.sqrt(distances[-1].min(axis=0)))
        nearest[drawn] = 0
    if not chosen:  # all cells are alike
        return np.array([0]), _squared_distances(cells[:1], cells)
    return np.array(chosen), np.vstack(distances)


def _kernel(squared: np.ndarray, rate: float) -> np.ndarray:
    """exp(-rate squared) as float64, taken in float32."""
    found = squared * np.float32(-rate)
    return np.exp(found, out=found).astype(np.float64)


def panel_r2(
    split: Split, expression: Expression, genes: np.ndarray, frequencies: list[int], n_centres: int = N_CENTRES
) -> np.ndarray:
    """R2, on test cells, of each frequency predicted from a few genes by a regressor that favours no method.

    Ridge with a Gaussian kernel, width and penalty chosen on the validation cells. The kernel is carried by some of the
    training cells, and fitted to all of them (subset of regressors; Rasmussen & Williams, Gaussian Processes for
    Machine Learning, 2006, section 8.3.1).

    Parameters
    ----------
    split : Split
    expression : Expression
        Of the split's training cells.
    genes : (n_chosen,) int
    frequencies : list of int
    n_centres : int
        Cells that carry the kernel; as many as training cells or more: all, the plain kernel ridge.

    Returns
    -------
    (n_frequencies,) float64
    """
    parts = [part.arrays() for part in (split.train, split.val, split.test)]
    cells, cells_val, cells_test = (expression.columns(X, genes) for X, _ in parts)
    y_train, y_val, y_test = (targets[:, frequencies] for _, targets in parts)
    rows = evenly(len(y_train), N_TRAINING)
    cells, y = cells[rows], y_train[rows]
    chosen, distances = _spread(cells, n_centres)
    among = distances[:, chosen]
    distances_val, distances_test = (_squared_distances(cells[chosen], others) for others in (cells_val, cells_test))
    typical = np.median(distances[:, :: max(1, len(y) // 200)]) or 1.0
    mean, scale = y.mean(axis=0), np.where(y.std(axis=0) > 0, y.std(axis=0), 1.0)
    tiny = 1e-7 * len(y)  # cells that are alike would make the matrix singular
    errors, predicted = [], []
    for rate in np.array(WIDTHS) / typical:
        squared = distances, distances_val, distances_test, among
        own, val, test, penalised = (_kernel(each, rate) for each in squared)
        gram, cross = own @ own.T, own @ ((y - mean) / scale)
        for penalty in PENALTIES:
            weights = scale * solve_kernel(gram + penalty * penalised, tiny, cross)
            errors.append(((y_val - mean - val.T @ weights) ** 2).mean(axis=0))
            predicted.append(mean + test.T @ weights)
    best = np.argmin(errors, axis=0)
    return held_out_r2(y_test, np.take_along_axis(np.array(predicted), best[None, None], axis=0)[0], y_train)


def panel_splits(
    adata: ad.AnnData,
    make: Callable[[], Model],
    n_splits: int,
    n_genes: int,
    random_state: int = 0,
    packages: tuple[str, ...] = (),
) -> list[tuple[Split, Ranking]]:
    """Several splits of the cells, each with what every method names from its training cells.

    make : gives a new model; n_genes : genes that each method names; packages : as of `rankings.rank_genes`. What the
    bilinear methods take holds the model's fit. Number 0 is the run's own split.
    """
    names = list(adata.var_names)

    splits = transductive_splits(adata, random_state, n_splits)

    def one(number: int) -> Ranking:
        split = splits[number]
        start = time.thread_time()
        model = make()
        model.fit(split.train, split.val)
        form, fitted = model.form(names), time.thread_time() - start
        found = rank_genes(form, TrainingCells.of(adata, split), n_genes, random_state + split.number, packages)
        found.seconds.update({method: found.seconds[method] + fitted for method in BILINEAR})
        return found

    with quiet() if packages else nullcontext():
        return list(zip(splits, side_by_side(one, range(len(splits))), strict=True))


def panel_seconds(splits: list[tuple[Split, Ranking]]) -> pd.Series:
    """Seconds of a core that each method takes for a split, mean over those in which it ranks; index method."""
    return pd.DataFrame([ranking.seconds for _, ranking in splits]).mean()


def panel_table(
    splits: list[tuple[Split, Ranking]], genes: list[str], sizes: tuple[int, ...] = SIZES, n_centres: int = N_CENTRES
) -> pd.DataFrame:
    """Held-out R2 of panels of several sizes.

    Parameters
    ----------
    splits : as from `panel_splits`
    genes : list of str
        Names of all genes.
    sizes : tuple of int
        Genes of a panel; a method that names fewer gives what it has.
    n_centres : int
        See `panel_r2`.

    Returns
    -------
    DataFrame
        split, method, frequency, n_genes, r2, genes (their names, in order).
    """
    rows = [row for split, ranking in splits for row in _panel_rows(split, ranking, genes, sizes, n_centres)]
    return pd.DataFrame(rows, columns=["split", "method", "frequency", "n_genes", "r2", "genes"])


def _panel_rows(
    split: Split, ranking: Ranking, genes: list[str], sizes: tuple[int, ...], n_centres: int
) -> list[tuple]:
    """Rows of `panel_table` of one split, whose cells are in memory meanwhile."""
    expression = Expression.of(split.train.arrays()[0])
    train = split.train.some(evenly(len(split.train), N_TRAINING)).copied()
    held = replace(split, train=train, val=split.val.copied(), test=split.test.copied())
    asked: dict[tuple, list[int]] = {}  # a method of one list is fitted once for all frequencies
    for ((method, frequency), order), size in product(ranking.orders.items(), sizes):
        asked.setdefault((method, size, tuple(order[:size])), []).append(frequency)

    def one(item: tuple) -> list[tuple]:
        (method, size, panel), frequencies = item
        named = shlex.join(genes[gene] for gene in panel)
        scores = panel_r2(held, expression, np.array(panel, dtype=int), frequencies, n_centres)
        return [(split.number, method, f, size, r2, named) for f, r2 in zip(frequencies, scores, strict=True)]

    return [row for found in side_by_side(one, asked.items()) for row in found]


def panel_summary(panels: pd.DataFrame) -> pd.DataFrame:
    """Mean over frequencies of each split, then mean and standard deviation over splits: method, n_genes, mean, sd."""
    by_split = panels.groupby(["method", "n_genes", "split"], sort=False)["r2"].mean()
    table = by_split.groupby(["method", "n_genes"], sort=False).agg(mean="mean", sd="std")
    return table.fillna({"sd": 0.0}).reset_index()


def panel_lead(panels: pd.DataFrame, method: str, rival: str, n_genes: int) -> pd.Series:
    """By how much R2 a method's panels beat a rival's, mean over frequencies; index split, of those that judge."""
    of_size = panels[panels["n_genes"] == n_genes]
    table = of_size.groupby(["split", "method"])["r2"].mean().unstack("method")
    return (table[method] - table[rival]).dropna()


def panel_stability(
    adata: ad.AnnData,
    split: Split,
    make: Callable[[], Model],
    n_genes: int,
    n_subsamples: int,
    packages: tuple[str, ...] = (),
) -> pd.DataFrame:
    """How many of each method's genes 80 % subsamples of the training cells, or other donors, give again.

    Parameters
    ----------
    adata : AnnData
        Cells that the split is of.
    split : Split
    make : function
        Gives a new model.
    n_genes, n_subsamples : int
        Genes of a panel; subsamples, at least 2.
    packages : as of `rankings.rank_genes`; one that fails in a subsample is left out.

    Returns
    -------
    DataFrame
        method, frequency, jaccard (mean over pairs of subsamples), jaccard_sd. Random genes are drawn anew each time.
    """
    fit, cells = refit(make, split, list(adata.var_names)), TrainingCells.of(adata, split)
    samples = subsamples(split.train, n_subsamples)

    def one(number: int) -> dict:
        rows = samples[number]
        return rank_genes(fit(rows), cells.some(rows), n_genes, number, packages).orders

    with quiet() if packages else nullcontext():
        found = side_by_side(one, list(range(len(samples))))
    rows = []
    for method, frequency in (key for key in found[0] if all(key in orders for orders in found)):
        named = [orders[method, frequency].tolist() for orders in found]
        shared = [jaccard(a, b) for a, b in combinations(named, 2)]
        rows.append((method, frequency, np.mean(shared), np.std(shared)))
    return pd.DataFrame(rows, columns=["method", "frequency", "jaccard", "jaccard_sd"])
