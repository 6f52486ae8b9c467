"""Modules as lists of genes: poles, and tidy tables of them."""

import numpy as np
import pandas as pd

from scripts.models import BilinearForm


def poles(loading: np.ndarray, genes: list[str], n_genes: int) -> dict[str, list[str]]:
    """The genes of largest positive and of largest negative loading, strongest first.

    loading : (n_genes,). Returns {"positive": [...], "negative": [...]}, n_genes each; a gene never stands in both.
    """
    order = np.argsort(-loading, kind="stable")
    positive = [genes[i] for i in order[:n_genes] if loading[i] > 0]
    negative = [genes[i] for i in order[::-1][:n_genes] if loading[i] < 0]
    return {"positive": positive, "negative": negative}


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
    index = {gene: i for i, gene in enumerate(form.genes)}
    shown = ~pd.Series(form.genes).str.contains(hidden).to_numpy() if hidden else np.ones(len(index), dtype=bool)
    known = {}
    if stability is not None:
        known = stability.set_index(["frequency", "module"])[["stability", "trusted"]].T.to_dict("list")
    rows = []
    for frequency in range(form.n_freq):
        for module, value in enumerate(values[frequency], start=1):
            loading = loadings[frequency, :, module - 1]
            stable, trusted = known.get((frequency, module), (np.nan, False))
            for pole, names in poles(loading * shown, form.genes, n_genes).items():
                rows += [
                    (frequency, module, value, pole, rank, gene, loading[index[gene]], float(stable), bool(trusted))
                    for rank, gene in enumerate(names, start=1)
                ]
    columns = ["frequency", "module", "eigenvalue", "pole", "rank", "gene", "loading", "stability", "trusted"]
    return pd.DataFrame(rows, columns=columns)


def main_effect_table(form: BilinearForm, n_genes: int, hidden: str = "") -> pd.DataFrame:
    """Genes of the largest positive and negative main effects: frequency, pole, rank (from 1), gene, effect.

    n_genes : of each pole; hidden : as in `module_table`.
    """
    index = {gene: i for i, gene in enumerate(form.genes)}
    shown = ~pd.Series(form.genes).str.contains(hidden).to_numpy() if hidden else np.ones(len(index), dtype=bool)
    rows = [
        (frequency, pole, rank, gene, effects[index[gene]])
        for frequency, effects in enumerate(form.main)
        for pole, names in poles(effects * shown, form.genes, n_genes).items()
        for rank, gene in enumerate(names, start=1)
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
            order = np.argsort(-loading, kind="stable")
            ends = [i for i in order[:n_genes] if loading[i] > 0] + [i for i in order[::-1][:n_genes] if loading[i] < 0]
            rows += [(f, module, form.genes[i], i, loading[i]) for i in ends]
    return pd.DataFrame(rows, columns=["frequency", "module", "gene", "place", "loading"])
