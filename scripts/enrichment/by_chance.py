"""How often random gene lists have a term."""

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom, rankdata

from scripts.enrichment.gene_lists import GeneLists
from scripts.enrichment.sets import TestedSets

N_BINS = 10  # of mean expression, equally many genes in each


def p_values(drawn: np.ndarray, tested: TestedSets) -> np.ndarray:
    """Hypergeometric p-values of many lists at once, (n_sets, n_lists); drawn : (n_background, n_lists) of 0 and 1."""
    overlap = tested.membership @ drawn
    sets, lists = np.nonzero(overlap)
    cases = np.stack([overlap[sets, lists], tested.membership.sum(axis=1)[sets], drawn.sum(axis=0)[lists]])
    distinct, which = np.unique(cases, axis=1, return_inverse=True)  # few, and the test of each is slow
    result = np.ones_like(overlap)
    result[sets, lists] = hypergeom.sf(distinct[0] - 1, len(tested.background), distinct[1], distinct[2])[which.ravel()]
    return result


def mean_expression(adata) -> np.ndarray:
    """Mean expression of every gene before scaling, (n_genes,), as far as it is known.

    adata : AnnData; scanpy keeps the means that it scaled by, or chose variable genes by, in var.
    """
    kept = next((column for column in ("means", "mean") if column in adata.var), None)
    return adata.var[kept].to_numpy() if kept else np.asarray(adata.X.mean(axis=0)).ravel()


def random_lists(
    gene_lists: GeneLists, tested: TestedSets, expression: np.ndarray, n_lists: int, seed: int = 0
) -> np.ndarray:
    """Random stand-ins for the lists, in turn: as many genes, each from the same tenth of mean expression.

    expression : (n_measured,), of tested.measured. Returns (n_background, n_lists) of 0 and 1.
    """
    random = np.random.default_rng(seed)
    level = np.zeros(len(tested.background))
    np.maximum.at(level, [tested.position[gene] for gene in tested.measured], expression - expression.min())
    bins = (rankdata(level, "ordinal") - 1).astype(int) * N_BINS // len(level)
    pools = [np.flatnonzero(bins == number) for number in range(N_BINS)]
    lists = [
        np.bincount(bins[[*{tested.position[gene] for gene in genes}]], minlength=N_BINS)
        for genes in gene_lists.values()
    ]
    drawn = np.zeros((len(level), n_lists))
    for column in range(n_lists):
        for pool, n_genes in zip(pools, lists[column % len(lists)], strict=True):
            drawn[random.choice(pool, n_genes, replace=False), column] = 1
    return drawn


def chance(
    gene_lists: GeneLists,
    tested: TestedSets,
    expression: np.ndarray,
    n_lists: int = 200,
    fdr: float = 0.05,
    seed: int = 0,
) -> pd.Series:
    """How many terms random lists have; see random_lists. All 0 where there is no list or no gene set."""
    n_terms = np.zeros(0, dtype=int)
    if gene_lists and tested.names:
        drawn = random_lists(gene_lists, tested, expression, n_lists, seed)
        n_terms = (false_discovery_control(p_values(drawn, tested), axis=0) < fdr).sum(axis=0)
    counts = {
        "random lists": len(n_terms),
        "with a term": (n_terms > 0).sum(),
        "terms of all": n_terms.sum(),
        "most terms of a list": n_terms.max(initial=0),
    }
    return pd.Series(counts, name="number")
