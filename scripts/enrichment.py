"""Which gene sets the named genes stand for: over-representation, ranked enrichment, and what chance gives."""

import contextlib
import io
import os
from concurrent.futures import ThreadPoolExecutor

import gseapy
import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom, rankdata

from scripts.genelists import GeneLists
from scripts.symbols import TestedSets, code

LIST = ["frequency", "source", "pole"]
COLUMNS = [*LIST, "library", "term", "overlap", "set_size", "p_value", "adjusted_p", "odds_ratio", "genes"]
RANKED_COLUMNS = ["frequency", "library", "term", "set_size", "nes", "fdr", "leading_genes"]
N_BINS = 10  # of mean expression, equally many genes in each


def over_representation(gene_lists: GeneLists, tested: TestedSets) -> pd.DataFrame:
    """Which gene sets hold more genes of a list than chance gives, with the measured genes as the background.

    Parameters
    ----------
    gene_lists : {(frequency, source, pole): genes}
    tested : TestedSets

    Returns
    -------
    DataFrame
        One row for each list and each gene set that shares a gene with it: hypergeometric p-value (gseapy), and its
        Benjamini-Hochberg adjustment over all tested sets of all libraries, those that share no gene (p = 1) included.
    """
    tables = [_test(genes, tested).assign(**dict(zip(LIST, key, strict=True))) for key, genes in gene_lists.items()]
    table = pd.concat([table for table in tables if len(table)] or [pd.DataFrame(columns=COLUMNS)])
    numbers = dict.fromkeys(["frequency", "overlap", "set_size"], int) | {"p_value": float, "adjusted_p": float}
    return table[COLUMNS].astype(numbers).sort_values([*LIST, "p_value"], kind="stable", ignore_index=True)


def _test(genes: list[str], tested: TestedSets) -> pd.DataFrame:
    """One list against all sets."""
    gene_of = {code(tested.position[gene]): gene for gene in reversed(genes)}
    places = sorted({tested.position[gene] for gene in genes})
    # gseapy leaves out sets that share no gene with the list, and raises where there is no other
    near = np.flatnonzero(tested.membership[:, places].sum(axis=1))
    if not len(near):
        return pd.DataFrame()
    sets = {str(number): tested.codes[str(number)] for number in near}
    background = [code(place) for place in range(len(tested.background))]
    found = gseapy.enrich(list(gene_of), gene_sets=sets, background=background, outdir=None).results
    p_values = found["P-value"].to_numpy()
    adjusted = false_discovery_control(np.concatenate([p_values, np.ones(len(tested.names) - len(p_values))]))
    rank = {gene: number for number, gene in enumerate(genes)}
    columns = {
        **_names(found["Term"], tested),
        **found["Overlap"].str.split("/", expand=True).set_axis(["overlap", "set_size"], axis=1),
        "p_value": p_values,
        "adjusted_p": adjusted[: len(p_values)],
        "odds_ratio": found["Odds Ratio"],
        "genes": [" ".join(sorted((gene_of[c] for c in hits.split(";")), key=rank.get)) for hits in found["Genes"]],
    }
    return pd.DataFrame(columns)


def _names(numbers: pd.Series, tested: TestedSets) -> dict[str, list[str]]:
    names = [tested.names[int(number)] for number in numbers]
    return {"library": [library for library, _ in names], "term": [term for _, term in names]}


def fold(table: pd.DataFrame, tested: TestedSets, fdr: float = 0.05, at: float = 0.5) -> pd.DataFrame:
    """Fold terms that say the same: the column `folded_into` names the more significant term of the same list, or "".

    Two terms say the same if the mean of their Jaccard similarity and their overlap coefficient, of their genes within
    the background, is `at` or more (the combined coefficient of Merico et al., PLoS ONE 5, e13984, 2010; they cut at
    0.375). From the most significant term down, each is folded into the first kept one that says the same.

    table : as from over_representation; rows of p_value >= fdr, which cannot be significant, are left unfolded.
    """
    into = pd.Series("", index=table.index, dtype=object)
    number = {name: row for row, name in enumerate(tested.names)}
    for _, rows in table[table["p_value"] < fdr].groupby(LIST):
        rows = rows.sort_values("p_value", kind="stable")
        members = tested.membership[[number[name] for name in zip(rows["library"], rows["term"], strict=True)]]
        shared, sizes = (members @ members.T).toarray(), members.sum(axis=1)
        jaccard = shared / (sizes[:, None] + sizes - shared)
        alike = (jaccard + shared / np.minimum(sizes[:, None], sizes)) / 2 >= at
        kept = []
        for row in range(len(rows)):
            same = next((other for other in kept if alike[row, other]), None)
            if same is None:
                kept.append(row)
            else:
                into[rows.index[row]] = rows["term"].iloc[same]
    return table.assign(folded_into=into)


def summarise(table: pd.DataFrame, gene_lists: GeneLists, tested: TestedSets, fdr: float = 0.05) -> pd.DataFrame:
    """One row for each gene list: its size, its significant terms, those left after folding, and the most significant.

    table : as from fold. No rows where no gene set was tested: nothing was found out then.
    """
    significant = table[table["adjusted_p"] < fdr]
    n_terms = significant.groupby(LIST).size()
    n_kept = significant[significant["folded_into"] == ""].groupby(LIST).size()
    top = table.drop_duplicates(LIST).set_index(LIST)  # the table is in order of significance
    rows = [
        (
            *key,
            len(genes),
            n_terms.get(key, 0),
            n_kept.get(key, 0),
            top["term"].get(key, ""),
            top["adjusted_p"].get(key, np.nan),
        )
        for key, genes in (gene_lists.items() if tested.names else ())
    ]
    return pd.DataFrame(
        rows, columns=[*LIST, "genes", "significant_terms", "after_folding", "top_term", "top_adjusted_p"]
    )


def term_table(table: pd.DataFrame, fdr: float = 0.05, n_terms: int = 5) -> pd.DataFrame:
    """The first significant terms of each list after folding, with the genes that they share with it.

    table : as from fold. `folded` counts the significant terms folded into each.
    """
    significant = table[table["adjusted_p"] < fdr]
    folded = significant[significant["folded_into"] != ""].groupby([*LIST, "folded_into"]).size()
    kept = significant[significant["folded_into"] == ""].groupby(LIST).head(n_terms)
    keys = zip(*(kept[column] for column in [*LIST, "term"]), strict=True)
    columns = [*LIST, "term", "adjusted_p", "overlap", "set_size", "genes", "folded", "library"]
    return kept.assign(folded=[folded.get(key, 0) for key in keys])[columns].reset_index(drop=True)


def side_by_side(summary: pd.DataFrame) -> pd.DataFrame:
    """One row for each frequency and pole, one column for each source: how many terms after folding, and the first.

    summary : as from summarise, of all lists.
    """
    text = summary["after_folding"].astype(str) + ": " + summary["top_term"]
    cells = summary.assign(cell=text.where(summary["significant_terms"] > 0, "none")).set_index(LIST)["cell"]
    return cells.unstack("source").reindex(columns=summary["source"].unique()).fillna("not tested")


def ranked(
    weights: np.ndarray,
    genes: list[str],
    tested: TestedSets,
    min_size: int = 40,
    permutation_num: int = 75,
    seed: int = 0,
) -> pd.DataFrame:
    """Gene sets that gather at either end of a full ranking of the genes (gseapy.prerank), the surest first.

    Parameters
    ----------
    weights : (n_genes, n_freq)
        Loadings that rank the genes, for each frequency.
    genes : list of str
    tested : TestedSets
    min_size : int
        Smaller sets are not tested: a running sum over a few genes says little, and time grows with the sets.
    permutation_num : int
        Random sets for each gene set; the false discovery rate pools those of all sets.
    seed : int

    Returns
    -------
    DataFrame
        Normalised enrichment score (nes, positive: towards the positive pole), false discovery rate over all sets of
        the frequency, and the genes that make up the score.
    """
    sets = {number: members for number, members in tested.codes.items() if len(members) >= min_size}
    options = {"min_size": min_size, "max_size": len(genes), "permutation_num": permutation_num, "seed": seed}
    rows_of = {code(tested.position[gene]): row for row, gene in reversed([*enumerate(genes)])}
    gene_of = {name: genes[row] for name, row in rows_of.items()}

    def table(frequency: int) -> pd.DataFrame:
        weight = weights[:, frequency]
        found = _prerank(pd.Series(weight[[*rows_of.values()]], index=[*rows_of]), sets, options)
        columns = {
            "frequency": frequency,
            **_names(found["Term"], tested),
            "set_size": [len(sets[number]) for number in found["Term"]],
            "nes": found["NES"].astype(float),
            "fdr": found["FDR q-val"].astype(float),
            "leading_genes": [" ".join(map(gene_of.get, names.split(";"))) for names in found["Lead_genes"]],
        }
        return pd.DataFrame(columns).sort_values("fdr", kind="stable")

    frequencies = np.flatnonzero(weights.any(axis=0)) if sets else ()  # weights of 0 rank nothing
    # gseapy logs that some genes rank alike, and its own threads gain less than one for each frequency
    with contextlib.redirect_stderr(io.StringIO()), ThreadPoolExecutor(os.cpu_count()) as pool:
        tables = list(pool.map(table, frequencies))
    return pd.concat(tables or [pd.DataFrame(columns=RANKED_COLUMNS)], ignore_index=True)


def _prerank(ranking: pd.Series, sets: dict[str, list[str]], options: dict) -> pd.DataFrame:
    # a set whose genes all weigh 0 would have no score, at which gseapy breaks down
    ranking = ranking.mask(ranking == 0, 1e-9 * ranking.abs().max())
    return gseapy.prerank(ranking, sets, threads=1, outdir=None, no_plot=True, **options).res2d


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
