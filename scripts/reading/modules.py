"""Modules and branches as lists of genes: poles, and tidy tables of them."""

import anndata as ad
import numpy as np
import pandas as pd

from scripts.blocks import correlations
from scripts.measures import ends, held_out_r2
from scripts.models import BilinearForm


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
