"""How often chance finds a term: random lists, the check of the test, and random directions, the null of modules."""

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom, rankdata

from scripts.blocks import Matrix, evenly
from scripts.enrichment.gene_lists import MAX_CELLS, GeneLists, axis_lists
from scripts.enrichment.sets import TestedSets
from scripts.enrichment.terms import LIST, n_findings, over_representation, with_findings

DIRECTIONS = "random directions"
N_BINS = 10  # of mean expression, equally many genes in each


def p_values(drawn: np.ndarray, tested: TestedSets) -> np.ndarray:
    """Hypergeometric p-values of many lists at once, (n_sets, n_lists); drawn : (n_background, n_lists) of 0 and 1."""
    overlap, n_known = tested.membership @ drawn, tested.knowledge @ drawn
    n_background, set_size = tested.knowledge.sum(axis=1), tested.membership.sum(axis=1)
    sets, lists = np.nonzero(overlap)
    cases = np.stack([overlap[sets, lists], n_background[sets], set_size[sets], n_known[sets, lists]])
    distinct, which = np.unique(cases, axis=1, return_inverse=True)  # few, and the test of each is slow
    result = np.ones_like(overlap)
    result[sets, lists] = hypergeom.sf(distinct[0] - 1, *distinct[1:])[which.ravel()]
    return result


def mean_expression(adata) -> np.ndarray:
    """Mean expression of every gene before scaling, (n_genes,), as far as it is known.

    adata : AnnData; scanpy keeps the means that it scaled by, or chose variable genes by, in var.
    """
    kept = next((column for column in ("means", "mean") if column in adata.var), None)
    return adata.var[kept].to_numpy() if kept else np.asarray(adata.X.mean(axis=0)).ravel()


def random_lists(
    gene_lists: GeneLists, tested: TestedSets, expression: np.ndarray | None, n_lists: int, seed: int = 0
) -> np.ndarray:
    """Random stand-ins for the lists, in turn: as many genes of the background, each as likely as any other.

    expression : (n_measured,), of the genes of tested.symbol: if given, each gene comes from the same tenth of it.
    Returns (n_background, n_lists) of 0 and 1.
    """
    random = np.random.default_rng(seed)
    level = np.zeros(len(tested.background))
    bins = np.zeros(len(level), dtype=int)
    if expression is not None:
        of_gene = dict(zip(tested.symbol, expression - expression.min(), strict=True))
        np.maximum.at(level, [*tested.position.values()], [of_gene[gene] for gene in tested.position])
        bins = (rankdata(level, "ordinal") - 1).astype(int) * N_BINS // len(level)
    pools = [np.flatnonzero(bins == number) for number in range(N_BINS)]
    lists = [
        np.bincount(bins[[*{tested.position[gene] for gene in tested.inside(genes)}]], minlength=N_BINS)
        for genes in gene_lists.values()
    ]
    drawn = np.zeros((len(level), n_lists))
    for column in range(n_lists):
        for pool, n_genes in zip(pools, lists[column % len(lists)], strict=True):
            drawn[random.choice(pool, n_genes, replace=False), column] = 1
    return drawn


def direction_lists(
    X: Matrix, genes: list[str], n_directions: int, n_genes: int, share: float = 0.1, seed: int = 0
) -> GeneLists:
    """Genes that mark the cells at either end of random directions in gene space, as those of modules are read.

    A direction is what the genes have in common with a random signal of the cells, X^T z: it has the covariance of the
    genes themselves, as the pattern of any axis (Haufe et al., NeuroImage 87, 96, 2014), and no frequency is asked.
    Genes that go together share terms, whatever made them a list: drawn one by one, as random lists are, they do not.

    X : (n_cells, n_genes), at most 20,000 cells of which are looked at; genes : their names; share : of the cells that
    are an end. The source of a list is "direction 1" etc., its frequency 0.
    """
    X = X[evenly(X.shape[0], MAX_CELLS)]
    signal = np.random.default_rng(seed).normal(size=(X.shape[0], n_directions)).astype(X.dtype)
    axes = np.asarray(X @ (X.T @ (signal - signal.mean(axis=0))))
    return axis_lists(X, axes, genes, n_genes, share, "direction")


def counted(table: pd.DataFrame, of_methods: dict[str, GeneLists], fdr: float = 0.05) -> pd.DataFrame:
    """How many lists of each method have a term, and how many distinct findings they have together.

    table : as from terms.with_findings. Returns one row a method: lists, with_a_term, share, findings.
    """
    significant = table[table["adjusted_p"] < fdr]
    with_a_term = {*significant[LIST].itertuples(index=False, name=None)}
    rows = {
        name: (len(lists), len(with_a_term & {*lists}), n_findings(table, lists, fdr))
        for name, lists in of_methods.items()
    }
    counts = pd.DataFrame.from_dict(rows, orient="index", columns=["lists", "with_a_term", "findings"])
    counts.insert(2, "share", counts["with_a_term"] / counts["lists"].where(counts["lists"] > 0))
    return counts.astype({"findings": float}).rename_axis("method")


def counted_by_chance(
    directions: GeneLists, tested: TestedSets, n_modules: int, fdr: float = 0.05, fold_at: float = 0.5
) -> pd.DataFrame:
    """The same of random directions, one row; findings are those of as many directions as there are modules.

    directions : as from direction_lists, dealt out in groups of n_modules. Returns `counted`, findings the mean over
    the groups, and low and high, between which nine of ten groups lie.
    """
    table = with_findings(over_representation(directions, tested), fdr, fold_at)
    keys, size = [*directions], 2 * max(1, n_modules)
    groups = [dict.fromkeys(keys[start : start + size], []) for start in range(0, len(keys) - size + 1, size)]
    groups = groups or [directions]  # fewer directions than modules
    n_distinct = [n_findings(table, group, fdr) if n_modules else 0 for group in groups]
    low, high = np.quantile(n_distinct, [0.05, 0.95])
    return counted(table, {DIRECTIONS: directions}, fdr).assign(findings=np.mean(n_distinct), low=low, high=high)


def chance(
    gene_lists: GeneLists,
    tested: TestedSets,
    expression: np.ndarray | None = None,
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
