"""Which gene sets hold more of the named genes than chance gives: over-representation, folded and summed up."""

import shlex

import gseapy
import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from scripts.enrichment.gene_lists import GeneLists
from scripts.enrichment.sets import TestedSets, code

LIST = ["frequency", "source", "pole"]
COLUMNS = [*LIST, "library", "term", "overlap", "set_size", "p_value", "adjusted_p", "odds_ratio", "genes"]


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
        **names_of(found["Term"], tested),
        **found["Overlap"].str.split("/", expand=True).set_axis(["overlap", "set_size"], axis=1),
        "p_value": p_values,
        "adjusted_p": adjusted[: len(p_values)],
        "odds_ratio": found["Odds Ratio"],
        "genes": [
            shlex.join(sorted((gene_of[c] for c in hits.split(";")), key=lambda gene: rank[gene]))
            for hits in found["Genes"]
        ],
    }
    return pd.DataFrame(columns)


def names_of(numbers: pd.Series, tested: TestedSets) -> dict[str, list[str]]:
    """Columns library and term of gene sets, by their numbers as gseapy hands them back, (n_sets,) str."""
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


def terms_by_source(summary: pd.DataFrame) -> pd.DataFrame:
    """One row for each frequency and pole, one column for each source: how many terms after folding, and the first.

    summary : as from summarise, of all lists.
    """
    text = summary["after_folding"].astype(str) + ": " + summary["top_term"]
    cells = summary.assign(cell=text.where(summary["significant_terms"] > 0, "none")).set_index(LIST)["cell"]
    return cells.unstack("source").reindex(columns=summary["source"].unique()).fillna("not tested")
