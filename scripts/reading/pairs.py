"""Gene pairs: the strongest of each frequency, with bootstrap intervals and a null of shuffled targets.

A pair's weight is 2 B_f[i, j]. Weights are computed in blocks from the factors; no genes x genes matrix is kept.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scripts.cells import checked_arrays
from scripts.errors import InputError
from scripts.models import BilinearForm, BilinearRidge, Refit, refit_with_errors
from scripts.reading.resampling import bootstrap, matched_loadings, normal_interval, shuffled_refits

BLOCK_VALUES = 2_000_000  # weights held at a time: 16 MB
FDR = 0.05
COLUMNS = ["frequency", "rank", "gene_i", "gene_j", "weight", "low", "high", "p_value", "adjusted_p"]


def _scan(form: BilinearForm, frequency: int, floor: float, visit: Callable) -> None:
    """Show all pairs whose |weight| can exceed a floor, in blocks: visit(genes_i, genes_j, weights) -> new floor.

    With a_i the i-th row of V E |D|^(1/2), where S_f = E D E^T, |B_f[i, j]| <= |a_i| |a_j|: with the genes in the order
    of |a_i|, most blocks cannot reach the floor and are not computed.
    """
    values, vectors = form.eigenpairs(frequency)
    rows = form.basis @ (vectors * np.sqrt(np.abs(values)))
    size = np.linalg.norm(rows, axis=1)
    order = np.argsort(-size, kind="stable")
    rows, size = rows[order], size[order]
    start, n_values = 0, BLOCK_VALUES // 40  # the first block only finds a floor
    while start < len(size) - 1:
        in_reach = 2 * size[start] * size >= floor * (1 - 1e-9)  # a bound that rounding must not undercut
        end = int(in_reach.sum())
        if end <= start + 1:
            return
        stop = min(start + max(1, n_values // (end - start)), end)
        weights = np.triu(2 * (rows[start:stop] * np.sign(values)) @ rows[start:end].T, k=1)
        floor = visit(order[start:stop], order[start:end], weights)
        start, n_values = stop, BLOCK_VALUES


def strongest_pairs(form: BilinearForm, n_pairs: int = 50) -> pd.DataFrame:
    """The gene pairs of largest |2 B_f[i, j]| of each frequency, i < j, exact.

    Returns
    -------
    DataFrame
        frequency, rank (from 1), i, j (places of the genes), gene_i, gene_j, weight; at most n_pairs rows a frequency.
    """
    tables = []
    for frequency in range(form.n_freq):
        i, j, weight = _strongest(form, frequency, n_pairs)
        columns = {"frequency": frequency, "rank": np.arange(1, len(weight) + 1), "i": i, "j": j}
        names = {"gene_i": [form.genes[a] for a in i], "gene_j": [form.genes[b] for b in j]}
        tables.append(pd.DataFrame({**columns, **names, "weight": weight}))
    return pd.concat(tables, ignore_index=True)


def _strongest(form: BilinearForm, frequency: int, n_pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    best = (np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty(0))

    def visit(genes_i: np.ndarray, genes_j: np.ndarray, weights: np.ndarray) -> float:
        nonlocal best
        floor = np.abs(best[2]).min() if len(best[2]) == n_pairs else 0.0
        a, b = np.nonzero(np.abs(weights) > floor)
        found = (genes_i[a], genes_j[b], weights[a, b])
        best = tuple(np.concatenate(parts) for parts in zip(best, found, strict=True))
        if len(best[2]) > n_pairs:
            kept = np.argpartition(-np.abs(best[2]), n_pairs - 1)[:n_pairs]
            best = tuple(part[kept] for part in best)
        return np.abs(best[2]).min() if len(best[2]) == n_pairs else 0.0

    _scan(form, frequency, 0.0, visit)
    i, j = np.minimum(*best[:2]), np.maximum(*best[:2])
    order = np.lexsort((j, i, -np.abs(best[2])))
    return i[order], j[order], best[2][order]


def pair_weights(form: BilinearForm, pairs: pd.DataFrame) -> np.ndarray:
    """Weights of given pairs in another fit, (n_pairs,); pairs : columns frequency, i, j."""
    f, i, j = (pairs[name].to_numpy() for name in ("frequency", "i", "j"))
    return 2 * np.einsum("pr,prs,ps->p", form.basis[i], form.core[f], form.basis[j])


@dataclass(frozen=True)
class PairNull:
    """The strongest pairs' statistics, |weight| / standard error, and those of the strongest pairs of shuffled targets.

    Attributes
    ----------
    frequency : (n_pairs,) int
    statistic : (n_pairs,) float64
    shuffled : (n_shuffles, n_pairs) float64
        Of as many strongest pairs of each frequency, picked anew in each shuffle.
    """

    frequency: np.ndarray
    statistic: np.ndarray
    shuffled: np.ndarray

    def p_values(self) -> np.ndarray:
        """Share of all shuffles' strongest pairs of its frequency that have at least a pair's statistic, (n_pairs,)."""
        p = np.empty(len(self.statistic))
        for f in np.unique(self.frequency):
            pooled = np.sort(self.shuffled[:, self.frequency == f], axis=None)
            below = np.searchsorted(pooled, self.statistic[self.frequency == f])
            p[self.frequency == f] = (1 + len(pooled) - below) / (1 + len(pooled))
        return p

    def adjusted_p(self) -> np.ndarray:
        """Share of shuffles whose largest statistic of all, over all frequencies, is at least a pair's, (n_pairs,).

        Frequencies are put on one scale by the mean over shuffles of their largest statistics.
        """
        largest = np.empty_like(self.shuffled)
        for f in np.unique(self.frequency):
            largest[:, self.frequency == f] = self.shuffled[:, self.frequency == f].max(axis=1, keepdims=True)
        scale = largest.mean(axis=0)
        joint = (largest / scale).max(axis=1, initial=0.0)
        return (1 + (joint[:, None] >= self.statistic / scale).sum(axis=0)) / (1 + len(joint))


def pair_null(
    chosen: BilinearRidge, train, genes: list[str], pairs: pd.DataFrame, n_shuffles: int = 30, null: str = "residuals"
) -> PairNull:
    """Refits to shuffled targets, and the statistics of their strongest pairs, picked as those of the true fit are.

    The statistic is |weight| / standard error, not |weight|: the noise of weights differs between pairs and between
    fits, and permutation tests of such a ratio hold under unequal noise (DiCiccio & Romano, JASA 112, 1211, 2017).

    Parameters
    ----------
    chosen : BilinearRidge
        Fitted; its penalties are kept.
    train : CellDataset
    genes : list of str
    pairs : DataFrame
        As from `strongest_pairs` of the fit to the true targets.
    n_shuffles : int
        At least 19, or no adjusted p could reach 0.05.
    null : str
        What is shuffled, "residuals" or "targets": see `resampling.shuffled_refits`.
    """
    if n_shuffles < 19:
        raise InputError(f"n_shuffles={n_shuffles} cannot give an adjusted p of 0.05: take at least 19")
    if pairs.empty:
        return PairNull(np.empty(0, int), np.empty(0), np.empty((n_shuffles, 0)))
    keys = ["frequency", "rank"]
    places = pd.MultiIndex.from_frame(pairs[keys])
    n_pairs = int(pairs["rank"].max())

    def read(fit: Refit) -> np.ndarray:
        own = strongest_pairs(fit.form, n_pairs).set_index(keys)
        return _statistic(fit, own.reset_index()).set_axis(own.index).reindex(places, fill_value=0.0).to_numpy()

    statistic = _statistic(refit_with_errors(chosen, *checked_arrays(train), genes), pairs).to_numpy()
    shuffled = shuffled_refits(chosen, train, genes, read, n_shuffles, null)
    return PairNull(pairs["frequency"].to_numpy(), statistic, np.array(shuffled))


def _statistic(fit: Refit, pairs: pd.DataFrame) -> pd.Series:
    places = (pairs[name].to_numpy() for name in ("frequency", "i", "j"))
    return pairs["weight"].abs() / fit.standard_errors(*places)


def pair_table(
    pairs: pd.DataFrame, resampled: np.ndarray, null: PairNull, without_structure: Collection[int] = ()
) -> pd.DataFrame:
    """Tidy table of pairs, as saved in pairs.csv.

    Parameters
    ----------
    pairs : DataFrame
        As from `strongest_pairs`.
    resampled : (n_bootstraps, n_pairs)
        Their weights in refits to resampled cells.
    null : PairNull
    without_structure : collection of int
        Frequencies that may be depth and noise alone: their pairs are not tested, both p-values are NaN.

    Returns
    -------
    DataFrame
        frequency, rank, gene_i, gene_j, weight, low and high (95 % interval), p_value (for a pair that is one of the
        strongest of its frequency) and adjusted_p (for all listed pairs together). The latter controls the family-wise
        error over all pairs and frequencies, hence also the false discovery rate, however much pairs depend on each
        other, where the frequency has no interactions at all. Neither tells a pair from pairs of genes that are
        expressed with its two and stand in for them: read pairs as groups of genes.
    """
    low, high = normal_interval(pairs["weight"].to_numpy(), resampled)
    found = pairs.assign(low=low, high=high, p_value=null.p_values(), adjusted_p=null.adjusted_p())[COLUMNS]
    found.loc[found["frequency"].isin(without_structure), ["p_value", "adjusted_p"]] = np.nan
    return found


def resample(
    chosen: BilinearRidge,
    train,
    form: BilinearForm,
    pairs: pd.DataFrame,
    listed: pd.DataFrame,
    n_bootstraps: int = 30,
) -> list[np.ndarray]:
    """Weights of pairs and loadings of genes at the poles, in the same refits to resampled cells.

    Parameters
    ----------
    chosen : BilinearRidge
        Fitted to the cells of train; form : what it fitted.
    train : CellDataset
    pairs : DataFrame
        As from `strongest_pairs`.
    listed : DataFrame
        As from `resampling.pole_loadings`.

    Returns
    -------
    (n_bootstraps, n_pairs) for `pair_table`, and (n_bootstraps, n_listed) for `resampling.loading_intervals`
    """
    return bootstrap(
        chosen,
        train,
        form.genes,
        lambda other: (pair_weights(other, pairs), matched_loadings(form, other, listed)),
        n_bootstraps,
    )


def is_significant(table: pd.DataFrame, fdr: float = FDR) -> pd.Series:
    """Pairs that chance does not give and whose sign is sure: adjusted_p <= fdr, and 0 outside the interval."""
    return (table["adjusted_p"] <= fdr) & ((table["low"] > 0) | (table["high"] < 0))
