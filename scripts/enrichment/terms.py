"""Which gene sets hold more of the named genes than chance gives: over-representation, put together and summed up."""

import shlex

import gseapy
import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from scripts.enrichment.gene_lists import GeneLists
from scripts.enrichment.sets import TestedSets, code
from scripts.measures import jaccard

LIST = ["frequency", "source", "pole"]
COLUMNS = [*LIST, "library", "term", "overlap", "set_size", "p_value", "adjusted_p", "odds_ratio", "genes"]


def over_representation(gene_lists: GeneLists, tested: TestedSets) -> pd.DataFrame:
    """Which gene sets hold more genes of a list than chance gives, beside the background genes that the library knows.

    Parameters
    ----------
    gene_lists : {(frequency, source, pole): genes}
        Genes outside the background are left out.
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
    genes = tested.inside(genes)
    gene_of = {code(tested.position[gene]): gene for gene in reversed(genes)}
    # gseapy leaves out sets that share no gene with the list, and raises where there is no other
    near = np.flatnonzero(tested.membership[:, sorted({tested.position[gene] for gene in genes})].sum(axis=1))
    of_library: dict[str, list[str]] = {}
    for number in map(str, near):
        of_library.setdefault(tested.names[int(number)][0], []).append(number)
    if not of_library:
        return pd.DataFrame()
    results = []
    for library, numbers in of_library.items():
        background = [code(place) for place in tested.known[library]]
        drawn = list(gene_of.keys() & set(background))
        sets = {number: tested.codes[number] for number in numbers}
        results.append(gseapy.enrich(drawn, gene_sets=sets, background=background, outdir=None).results)
    found = pd.concat(results, ignore_index=True)
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


def with_axis_correlation(table: pd.DataFrame, correlations: pd.Series) -> pd.DataFrame:
    """The column `axis_correlation`: of a module's axis with its frequency; NaN for lists that are of no module.

    correlations : as from gene_lists.axis_correlations.
    """
    number = pd.to_numeric(table["source"].str.extract(r"^module (\d+)", expand=False))
    keys = pd.MultiIndex.from_arrays([table["frequency"], number])
    return table.assign(axis_correlation=correlations.reindex(keys).to_numpy(dtype=float))


def kind_of(sources: pd.Series) -> pd.Series:
    """What the lists of a source are: "module", "module pattern", "main effects", "correlation" or another name."""
    return sources.str.replace(r" \d+", "", regex=True)


def with_findings(table: pd.DataFrame, fdr: float = 0.05, at: float = 0.5) -> pd.DataFrame:
    """Terms that stand for the same genes are one finding: the column `finding` names the most significant of them.

    A term's genes are those that it shares with the list in which it is the most significant. Over all lists of a kind,
    from the most significant term down, each joins the first finding whose genes have with its own a Jaccard similarity
    of `at` or more, or begins one. That gene sets which share genes are one theme is the idea of Enrichment Map (Merico
    et al., PLoS ONE 5, e13984, 2010), which holds whole sets against each other; here it is what a list has of them.

    table : as from over_representation; rows of p_value >= fdr, which cannot be significant, are their own finding.
    """
    finding = table["term"].astype(object)
    for _, rows in table[table["p_value"] < fdr].groupby(kind_of(table["source"])):
        rows = rows.sort_values("p_value", kind="stable")
        best, leads = {}, []
        for term, genes in zip(rows["term"], map(shlex.split, rows["genes"]), strict=True):
            if term not in best:
                best[term] = next((lead for lead, theirs in leads if jaccard(genes, theirs) >= at), term)
                if best[term] == term:
                    leads.append((term, genes))
        finding[rows.index] = rows["term"].map(best)
    return table.assign(finding=finding)


def n_findings(table: pd.DataFrame, gene_lists: GeneLists, fdr: float = 0.05) -> int:
    """Distinct findings over some lists, all of them of one kind; table : as from with_findings."""
    chosen = pd.MultiIndex.from_frame(table[LIST]).isin([*gene_lists]) & (table["adjusted_p"] < fdr)
    return table.loc[chosen, "finding"].nunique()


def best_of_findings(table: pd.DataFrame) -> pd.DataFrame:
    """The most significant term of each finding in each list; table : as from with_findings, in order."""
    return table.drop_duplicates([*LIST, "finding"])


def summarise(table: pd.DataFrame, gene_lists: GeneLists, tested: TestedSets, fdr: float = 0.05) -> pd.DataFrame:
    """One row for each gene list: its genes, its significant terms, its distinct findings, and the best term.

    table : as from with_findings. Genes outside the background do not count. No rows where no gene set was tested:
    nothing was found out then.
    """
    significant = table[table["adjusted_p"] < fdr]
    n_terms = significant.groupby(LIST).size()
    n_distinct = significant.groupby(LIST)["finding"].nunique()
    top = table.drop_duplicates(LIST).set_index(LIST)  # the table is in order of significance
    rows = [
        (
            *key,
            len(tested.inside(genes)),
            n_terms.get(key, 0),
            n_distinct.get(key, 0),
            top["term"].get(key, ""),
            top["adjusted_p"].get(key, np.nan),
        )
        for key, genes in (gene_lists.items() if tested.names else ())
    ]
    return pd.DataFrame(rows, columns=[*LIST, "genes", "significant_terms", "findings", "top_term", "top_adjusted_p"])


def term_table(table: pd.DataFrame, fdr: float = 0.05, n_terms: int = 5) -> pd.DataFrame:
    """The first findings of each list, by their best term, with the genes that they share with it.

    table : as from with_findings. `more_terms` counts the further significant terms of the same finding.
    """
    significant = table[table["adjusted_p"] < fdr]
    n_of_finding = significant.groupby([*LIST, "finding"])["term"].transform("size")
    kept = best_of_findings(significant.assign(more_terms=n_of_finding - 1)).groupby(LIST).head(n_terms)
    columns = [*LIST, "term", "adjusted_p", "overlap", "set_size", "genes", "more_terms", "library"]
    return kept[columns].reset_index(drop=True)


def terms_by_source(summary: pd.DataFrame) -> pd.DataFrame:
    """One row for each frequency and pole, one column for each source: how many distinct findings, and the best term.

    summary : as from summarise, of all lists.
    """
    text = summary["findings"].astype(str) + ": " + summary["top_term"]
    cells = summary.assign(cell=text.where(summary["significant_terms"] > 0, "none")).set_index(LIST)["cell"]
    return cells.unstack("source").reindex(columns=summary["source"].unique()).fillna("not tested")
