"""Modules, branches and interactions as lists of genes: poles, the largest weights, and tidy tables of them."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd

from scripts.blocks import correlations
from scripts.measures import ends, held_out_r2
from scripts.models import BilinearForm

BLOCK_VALUES = 2_000_000  # weights of pairs held at a time: 16 MB


def poles(loading: np.ndarray, n_genes: int) -> dict[str, np.ndarray]:
    """Places of the genes of largest positive and of largest negative loading, strongest first.

    loading : (n_all_genes,). Returns {"positive": ..., "negative": ...}, at most n_genes each; no gene is in both.
    """
    high, low = ends(loading, n_genes)
    return {"positive": high[loading[high] > 0], "negative": low[loading[low] < 0]}


def module_table(
    form: BilinearForm, n_modules: int, n_genes: int, stability: pd.DataFrame | None = None, hidden: str = ""
) -> pd.DataFrame:
    """Tidy table of the leading modules: one row for each gene of each pole.

    Parameters
    ----------
    form : BilinearForm
    n_modules, n_genes : int
        Modules of each frequency, and genes of each pole.
    stability : DataFrame
        frequency, module, stability and trusted, as from stability.trusted_modules; modules that it does not name have
        no stability and are not trusted.
    hidden : str
        Regular expression of genes to leave out of the poles, such as "^(Rp[ls]|mt-)"; the model keeps them.

    Returns
    -------
    DataFrame
        frequency, module, eigenvalue, pole, rank, gene, loading, stability, trusted; module and rank count from 1.
    """
    values, loadings = form.modules(n_modules)
    shown = _shown(form.genes, hidden)
    known = {}
    if stability is not None:
        known = stability.set_index(["frequency", "module"])[["stability", "trusted"]].T.to_dict("list")
    rows = []
    for frequency in range(form.n_freq):
        for module, value in enumerate(values[frequency], start=1):
            loading = loadings[frequency, :, module - 1]
            stable, trusted = known.get((frequency, module), (np.nan, False))
            for pole, places in poles(loading * shown, n_genes).items():
                rows += [
                    (frequency, module, value, pole, rank, form.genes[i], loading[i], float(stable), bool(trusted))
                    for rank, i in enumerate(places, start=1)
                ]
    columns = ["frequency", "module", "eigenvalue", "pole", "rank", "gene", "loading", "stability", "trusted"]
    return pd.DataFrame(rows, columns=columns)


def _shown(genes: list[str], hidden: str) -> np.ndarray:
    """Genes whose names do not match a regular expression, (n_genes,) bool; all, if it is empty."""
    return ~pd.Series(genes).str.contains(hidden).to_numpy() if hidden else np.ones(len(genes), dtype=bool)


def main_effect_table(form: BilinearForm, n_genes: int, hidden: str = "") -> pd.DataFrame:
    """Genes of the largest positive and negative main effects: frequency, pole, rank (from 1), gene, effect.

    n_genes : of each pole; hidden : as in `module_table`.
    """
    shown = _shown(form.genes, hidden)
    rows = [
        (frequency, pole, rank, form.genes[i], effects[i])
        for frequency, effects in enumerate(form.main)
        for pole, places in poles(effects * shown, n_genes).items()
        for rank, i in enumerate(places, start=1)
    ]
    return pd.DataFrame(rows, columns=["frequency", "pole", "rank", "gene", "effect"])


def pole_loadings(form: BilinearForm, n_modules: int = 5, n_genes: int = 50) -> pd.DataFrame:
    """Genes of both poles of the leading modules, those that modules.module_table names.

    Returns
    -------
    DataFrame
        frequency, module (from 1), gene, place (among all genes), loading; the positive pole first.
    """
    _, loadings = form.modules(n_modules)
    rows = []
    for f, of_frequency in enumerate(loadings):
        for module, loading in enumerate(of_frequency.T, start=1):
            places = np.concatenate(list(poles(loading, n_genes).values()))
            rows += [(f, module, form.genes[i], i, loading[i]) for i in places]
    return pd.DataFrame(rows, columns=["frequency", "module", "gene", "place", "loading"])


def branch_genes(form: BilinearForm, adata: ad.AnnData, n_genes: int, hidden: str = "") -> pd.DataFrame:
    """How well each branch is predicted, and which genes rise with its prediction.

    A branch is a sum of frequencies, so the form of its prediction is that sum of forms. Genes are read by their
    pattern, the correlation with the prediction over the training cells: weights say what the model uses, patterns what
    the cells do (Haufe et al., NeuroImage 87, 96, 2014).

    Parameters
    ----------
    form : BilinearForm
        Of the frequencies.
    adata : AnnData
        With branches, as from datasets.add_branches, a split, and X as the model sees it.
    n_genes : int
        Of each branch, those of the largest positive pattern.
    hidden : str
        As in `module_table`.

    Returns
    -------
    DataFrame
        branch, name, r2 (of held-out cells), rank (from 1), gene, pattern; empty where there are no branches.
    """
    columns = ["branch", "name", "r2", "rank", "gene", "pattern"]
    if "branches" not in adata.uns:
        return pd.DataFrame(columns=columns)
    known, truth = adata.uns["branches"], adata.obsm["X_branches"]
    of_branches = form.combined(known["weights"].T, known["constant"])
    train, test = (np.flatnonzero(adata.obs["split"] == part) for part in ("train", "test"))
    r2 = held_out_r2(truth[test], of_branches.predict(adata.X[test]), truth[train])
    patterns = correlations(adata.X[train], of_branches.predict(adata.X[train]))
    shown = _shown(form.genes, hidden)
    rows = [
        (branch, name, r2[branch], rank, form.genes[i], patterns[i, branch])
        for branch, name in enumerate(known["name"])
        for rank, i in enumerate(poles(patterns[:, branch] * shown, n_genes)["positive"], start=1)
    ]
    return pd.DataFrame(rows, columns=columns)


def strongest_pairs(form: BilinearForm, n_pairs: int = 50) -> pd.DataFrame:
    """The gene pairs of largest |2 B_f[i, j]| of each frequency, i < j, exact: what the model says, without a test.

    Weights are computed in blocks from the factors; no genes x genes matrix is kept.

    Returns
    -------
    DataFrame
        frequency, rank (from 1), gene_i, gene_j, weight; at most n_pairs rows a frequency.
    """
    tables = []
    for frequency in range(form.n_freq):
        i, j, weight = _strongest(form, frequency, n_pairs)
        genes = {"gene_i": [form.genes[a] for a in i], "gene_j": [form.genes[b] for b in j]}
        rank = np.arange(1, len(weight) + 1)
        tables.append(pd.DataFrame({"frequency": frequency, "rank": rank, **genes, "weight": weight}))
    return pd.concat(tables, ignore_index=True)


def with_weights(pairs: pd.DataFrame, form: BilinearForm) -> pd.DataFrame:
    """Pairs of `scan_table` with `weight`: of the product in the form, where it is a term of its own; else NaN."""
    terms = np.argwhere(form.pair_weights)
    held = {(f, *np.take(form.genes, form.pairs[k])): form.pair_weights[f, k] for f, k in terms}
    keys = zip(pairs["frequency"], pairs["gene_i"], pairs["gene_j"], strict=True)
    return pairs.assign(weight=np.array([held.get(key, np.nan) for key in keys], dtype=float))


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

    _visit_pairs(form, frequency, 0.0, visit)
    i, j = np.minimum(*best[:2]), np.maximum(*best[:2])
    order = np.lexsort((j, i, -np.abs(best[2])))
    return i[order], j[order], best[2][order]


def _visit_pairs(form: BilinearForm, frequency: int, floor: float, visit: Callable) -> None:
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
