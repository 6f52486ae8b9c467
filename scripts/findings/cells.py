"""Sentences on cells, graph and labels."""

import numpy as np
import pandas as pd

from scripts.cells import MEASURES, as_labels, batch_columns, label_columns, labels_of, why_unmeasured
from scripts.evaluation import STRUCTURE, without_structure
from scripts.graph import COMES_BACK, NO_LABEL, label_separation, n_to_keep, near_equal_groups, suggest_n_comps
from scripts.sources import UNKNOWN, name_counts

SURE = 0.01  # p-value below which labels explain a frequency
FEW = 0.01  # share of the cells below which a frequency is said to live on a handful
FOLLOWS = 0.14  # share of what chance leaves from which on a batch is named: a large effect (Cohen 1988)


def facts_of_quality(quality: pd.DataFrame) -> pd.DataFrame:
    """Median and quantiles of each measure; quality : (n_cells, n_measures), as in uns["quality"]."""
    quantiles = {"lowest": 0, "1%": 0.01, "25%": 0.25, "median": 0.5, "75%": 0.75, "99%": 0.99, "highest": 1}
    rows = [
        {"measure": MEASURES[name]} | {words: quality[name].quantile(share) for words, share in quantiles.items()}
        for name in quality
    ]
    return pd.DataFrame(rows, columns=["measure", *quantiles])


def facts_of_limits(limits: pd.DataFrame, n_cells: int) -> pd.DataFrame:
    """How many cells lie beyond each limit, and whether they are left out; limits : as from cells.limits."""
    return pd.DataFrame(
        {
            "setting": limits["setting"],
            "measure": limits["measure"].map(MEASURES),
            "side": limits["side"],
            "limit": limits["limit"],
            "cells beyond": limits["cells"],
            "% of cells": 100 * limits["cells"] / n_cells,
            "left out": limits["left_out"].map({True: "yes", False: "no"}),
        }
    )


def about_quality(quality: pd.DataFrame) -> list[str]:
    """Which measures could not be had, and why; quality : (n_cells, n_measures)."""
    causes: dict[str, list[str]] = {}
    for name, words in MEASURES.items():
        if why := why_unmeasured(name, quality):
            causes.setdefault(why, []).append(words)
    return [f"Not measured, as {why}: {', '.join(names)}." for why, names in causes.items()]


def about_spectrum(freq_vals: np.ndarray) -> list[str]:
    """Range of the eigenvalues, the widest gap among them, and those that can mix; freq_vals : (n_freq,)."""
    sentences = [f"The eigenvalues run from {freq_vals[0]:.3g} to {freq_vals[-1]:.3g}."]
    if len(freq_vals) > 1:
        n = suggest_n_comps(freq_vals)
        ratio = freq_vals[n] / freq_vals[n - 1]
        sentences.append(
            f"The widest relative gap is after frequency {n - 1} (the next λ is {ratio:.1f} times as large): "
            f"the first {n} {'stands' if n == 1 else 'stand'} most clearly apart from the rest."
        )
    for group in near_equal_groups(freq_vals):
        sentences.append(
            f"Frequencies {', '.join(map(str, group))} have nearly equal eigenvalues and can mix: read them together."
        )
    return sentences


def about_cells_of_frequencies(participation: np.ndarray, n_cells: int) -> list[str]:
    """On how many cells the frequencies live, and which ones live on a handful alone.

    participation : (n_freq,), as from graph.participation.
    """
    lives = ", ".join(f"{n:,.0f}" for n in participation)
    sentences = [f"The frequencies live on about {lives} of {n_cells:,} cells."]
    for frequency in np.flatnonzero(participation < FEW * n_cells):
        sentences.append(
            f"Frequency {frequency} lives on {participation[frequency]:,.0f} cells alone "
            f"({participation[frequency] / n_cells:.1%}): it sets a handful of cells apart, and tells little of the "
            "tissue."
        )
    return sentences


def about_scales(table: pd.DataFrame, n_kept: int) -> list[str]:
    """Which frequencies come back alone, which only together, and how many to keep.

    table : as from evaluation.scales; n_kept : how many are kept now.
    """
    if table.empty:
        return [f"Whether the frequencies come back was not measured: {table.attrs.get('why', 'unknown')}."]
    sizes = table.groupby("group")["frequency"].transform("size")
    single, later = table[sizes == 1], table[table["group"].isna()]
    sentences = []
    if len(single):
        told, least = ", ".join(map(str, single["frequency"])), single["alone"].min()
        sentences.append(f"One by one come back: frequencies {told} (on average |correlation| ≥ {least:.2f}).")
    for _, group in table[sizes > 1].groupby("group"):
        last = group.iloc[-1]
        alone = ", ".join(f"{value:.2f}" for value in group["alone"])
        sentences.append(
            f"Frequencies {', '.join(map(str, group['frequency']))} come back only together (alone {alone}; all up to "
            f"{last['frequency']} {last['together']:.2f}): they change places or rotate into each other."
        )
    if 0 < len(later) < len(table):
        sentences.append(f"No more than the first {len(table) - len(later)} of {len(table)} frequencies come back.")
    return [*sentences, *_about_number(table, n_kept), *_about_floor(table)]


def about_scale_changes(table: pd.DataFrame, n_kept: int) -> list[str]:
    """With which changes of the graph the frequencies that are kept come back; table : as from scale_changes."""
    of_last = table[table["frequency"] == n_kept - 1]
    if of_last.empty:
        return []
    back = of_last["together"] >= COMES_BACK
    told = of_last["changed"] + [f" ({value:.2f})" for value in of_last["together"]]
    come, do_not = (", ".join(told[kind]) or "none" for kind in (back, ~back))
    return [
        f"The first {n_kept} frequencies, as many as are kept, come back with these changes (smallest canonical "
        f"correlation): {come}; they do not with: {do_not}."
    ]


def _about_number(table: pd.DataFrame, n_kept: int) -> list[str]:
    """How many frequencies to keep, and why."""
    n = n_to_keep(table["comes_back"].to_numpy(), n_kept)
    if n == 0:
        return [f"No number of leading frequencies comes back: the {n_kept} that are kept may be chance."]
    row = table.iloc[n - 1]
    why = f"the first {n} come back (canonical correlations ≥ {row['together']:.2f}, at the lowest "
    why += f"{row['together_lowest']:.2f})"
    if n == n_kept:
        return [f"The {n_kept} frequencies that are kept cut no group, as {why}: leave n_freq_comps at {n_kept}."]
    cut = n_kept > len(table) or not table["comes_back"].iloc[n_kept - 1]
    now = "do not" if cut else "do, too, and each one more up to there"
    return [f"Set n_freq_comps to {n} in notebook 01, as {why}; the {n_kept} that are kept now {now}."]


def _about_floor(table: pd.DataFrame) -> list[str]:
    """How far the frequencies of structureless cells come back; nothing where they are not known."""
    known = table[table["structureless_lowest"].notna()]
    if known.empty:
        return []
    back = known["structureless_lowest"] >= COMES_BACK
    last, others = known["frequency"][back].max(), known["structureless_together"][~back]
    said = f"frequencies up to {last} come back, by depth or shared noise" if back.any() else "none come back"
    beside = f" (where they do not, smallest canonical correlations reach {others.max():.2f})" if len(others) else ""
    return [f"Of the frequencies of cells of the same depths without structure, {said}{beside}."]


def alert_of_structure(scales: pd.DataFrame) -> list[str]:
    """The warning that frequencies may be depth and noise alone; none where all hold structure, or it is not known.

    scales : as from evaluation.scales.
    """
    known, lacking = scales["structure"].notna().sum(), without_structure(scales)
    if not lacking:
        return []
    if len(lacking) == known:
        return ["There is no structure beyond depth and noise in these cells: nothing that follows is a finding."]
    named = ", ".join(map(str, lacking))
    which, them = ("Frequency", "it") if len(lacking) == 1 else ("Frequencies", "them")
    return [f"{which} {named}: no structure beyond depth and noise is shown; nothing said of {them} is a finding."]


def about_structure(scales: pd.DataFrame) -> list[str]:
    """Which frequencies hold structure beyond depth and noise, and by how much; scales : as from evaluation.scales."""
    known = scales.dropna(subset="structure")
    if known.empty:
        return [
            "Whether the frequencies hold structure beyond depth and noise is not known: it takes counts, a graph that "
            "is built on them, and that n_rebuilt is not 0."
        ]
    told = ", ".join(f"{row.frequency}: {row.beyond_depth_r2:.2f}" for row in known.itertuples())
    sentences = alert_of_structure(scales) or [f"All {len(known)} frequencies hold structure beyond depth and noise."]
    return [
        *sentences,
        f"The share of each that counts it was not made from predict, and depth does not: {told}; {STRUCTURE} is asked "
        "for, and cells that differ in depth alone would have about 0.",
    ]


def figures_of_structure(scales: pd.DataFrame) -> dict[str, str]:
    """Key figure: how many frequencies hold structure beyond depth and noise; scales : as from evaluation.scales."""
    n_known = scales["structure"].notna().sum()
    told = f"{n_known - len(without_structure(scales))} of {n_known}" if n_known else "not known"
    return {"frequencies with structure beyond depth and noise": told}


def about_branches(table: pd.DataFrame, scales: pd.DataFrame) -> list[str]:
    """Which branches the frequencies that come back have, and what is at their ends.

    table, scales : as from datasets.add_branches and evaluation.scales.
    """
    if table.empty:
        return ["No branch is named: no number of the frequencies that are kept comes back, or only as depth does."]
    n = len(table) - 1
    if len(scales):
        which = "frequency 0, which comes back" if n == 1 else f"the first {n} frequencies, which come back"
    else:
        which = f"the {n} kept, of which it was not measured whether they come back"
    sentences = [f"{len(table)} branches span the space of {which}, and the constant."]
    named = table[table["name"] != NO_LABEL]
    sentences += [
        f"Branch {row.branch} lives on about {row.cells:,.0f} cells; of the {row.tip_cells:,} at its end, "
        f"{row.label_share:.0%} of those with a label are {row.name}."
        for row in named.itertuples()
    ]
    rest = table[table["name"] == NO_LABEL]
    if len(rest):
        told = ", ".join(f"{row.branch} ({row.cells:,.0f} cells)" for row in rest.itertuples())
        sentences.append(f"At the end of these branches no known label stands out: {told}.")
    return sentences


def about_known_labels(labels: pd.Series) -> list[str]:
    """Where the labels come from, and how many cells have one; labels : (n_cells,), as from `cells.labels_of`.

    Empty if no cell has a label.
    """
    n_cells, n_labelled, place = len(labels), int(labels.notna().sum()), f"obs[{labels.name!r}]"
    if not n_labelled:
        return []
    if pd.api.types.is_float_dtype(labels.dtype):
        kind = f"which is read as a number ({labels.min():.3g} to {labels.max():.3g})"
        sentences = [f"Labels are taken from {place}, {kind}."]
    else:
        n_types = labels.nunique()
        sentences = [f"Labels are taken from {place} ({n_types} {'type' if n_types == 1 else 'types'})."]
        if n_types == 1:
            sentences.append("All cells with a label have the same one, so no frequency can set labels apart.")
    if n_labelled < n_cells:
        sentences.append(
            f"{n_cells - n_labelled:,} of {n_cells:,} cells are not labelled: they are drawn as such and left out of "
            "all that is said of labels."
        )
    return sentences


def about_label_columns(adata) -> list[str]:
    """Where the labels come from, and which other columns of obs may hold some; adata : AnnData, as from `load`."""
    label = adata.uns["label"]
    others = [name for name in label_columns(adata.obs) if name != label]
    told = ", ".join(f"obs[{name!r}] ({adata.obs[name].nunique()})" for name in others)
    more = f"Other columns that may hold labels, with their number of values: {told}; the setting label names another."
    none = "No cell types are known, so nothing is said of any: the setting label names the column of obs with them."
    return [*(about_known_labels(labels_of(adata)) or [none]), *([more] if others else [])]


def is_explained(separation: pd.DataFrame, least: float = 0.5) -> pd.Series:
    """Whether labels explain more than a share of what chance leaves of each frequency, and that is significant.

    separation : as from graph.label_separation.
    """
    return (separation["beyond_chance"] > least) & (separation["p_value"] < SURE)


def runs(row) -> str:
    """Which labels a frequency tells apart; row : of graph.label_separation."""
    if not row.apart:
        return f"runs from {row.lowest} (low) to {row.highest} (high)"
    return f"sets {row.apart} apart from all others ({'high' if row.apart == row.highest else 'low'})"


def about_labels(separation: pd.DataFrame, label: str) -> list[str]:
    """One sentence for each frequency of which known labels explain more than half of what chance leaves."""
    return [
        f"Frequency {row.frequency} {runs(row)}: "
        f"{label} explains {row.variance_between_labels:.0%} of its variance (labels at random: "
        f"{row.expected_by_chance:.1%})."
        for row in separation[is_explained(separation)].itertuples()
    ]


def about_batches(adata) -> list[str]:
    """Which columns of obs are named like batches or other covariates, and which frequencies follow one.

    A frequency follows a column that explains more than `FOLLOWS` of what chance leaves of it; adata : AnnData with
    frequencies.
    """
    names = batch_columns(adata.obs, adata.uns["label"])
    if not names:
        return ["No column of obs is named like a batch and divides the cells into groups: none was looked into."]
    told = ", ".join(f"obs[{name!r}] ({adata.obs[name].nunique()} values)" for name in names)
    freqs = adata.obsm["X_freq"]
    of_batches = pd.concat(label_separation(freqs, as_labels(adata.obs[name])).assign(column=name) for name in names)
    of_labels = label_separation(freqs, labels_of(adata)).set_index("frequency")["variance_between_labels"]
    sentences = [f"Columns that are named like batches or other covariates: {told}."]
    for row in of_batches[is_explained(of_batches, least=FOLLOWS)].itertuples():
        beside = f"; by {adata.uns['label']} {of_labels[row.frequency]:.2f}" if len(of_labels) else ""
        sentences.append(
            f"Frequency {row.frequency} follows obs[{row.column!r}] (share of its variance "
            f"{row.variance_between_labels:.2f}, by chance {row.expected_by_chance:.2f}{beside}): it may be technical, "
            "or tell where cells come from rather than what they are."
        )
    if len(sentences) == 1 and len(of_batches):
        most = of_batches.sort_values("beyond_chance").iloc[-1]
        sentences.append(
            f"No frequency follows one of them: the most is frequency {most['frequency']} by obs[{most['column']!r}], "
            f"{most['variance_between_labels']:.2f} of its variance (by chance {most['expected_by_chance']:.2f})."
        )
    return sentences


def about_species(adata) -> list[str]:
    """Which species the genes are of, by their names; adata : AnnData, as from `load`."""
    counts, species, n_genes = name_counts(adata.var_names), adata.uns["dataset"]["species"], adata.n_vars
    human, mouse, upper = counts
    told = f"Names of genes: {human:,} of {n_genes:,} known as human, {mouse:,} as mouse"
    if species != UNKNOWN:
        return [f"{told}; the cells are taken for {species}."]
    return [
        f"{told}, {upper:,} more as human in upper case alone; the species is not recognised. Gene sets, which hold "
        "human symbols, are matched by the names alone, which is a guess."
    ]


def facts_of_cells(adata) -> pd.DataFrame:
    """How many cells, genes, frequencies, edges there are, and how the cells were normalised; adata : AnnData."""
    edges = adata.obsp["connectivities"]
    degrees = pd.Series(edges.getnnz(axis=1))
    facts = {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "species, by the names of the genes": adata.uns["dataset"]["species"],
        "normalisation": ", ".join(adata.uns["dataset"]["steps"]),
        "known labels": adata.uns["label"] or "none",
        "frequencies": adata.obsm["X_freq"].shape[1],
        "edges of the cell graph": edges.nnz // 2,
        "neighbours of a cell": f"{degrees.min()} to {degrees.max()}, median {degrees.median():.0f}",
        **{f"{name} cells": count for name, count in adata.obs["split"].value_counts(sort=False).items()},
    }
    return pd.Series(facts, name="value").to_frame()


def facts_of_graph(adata) -> pd.DataFrame:
    """What the cell graph was built on, its parts, and how exactly neighbours and frequencies were found."""
    graph = adata.uns["graph"]
    facts = {
        "built on": graph["built on"],
        "connected parts found (cells)": ", ".join(map(str, graph["parts"])),
        "recall of the neighbours": f"{graph['recall']:.1%}",
        "eigensolver": graph["solver"],
        "largest relative residual": f"{graph['residuals'].max():.1e}",
        "cells that each frequency lives on": ", ".join(f"{n:,.0f}" for n in graph["participation"]),
    }
    return pd.Series(facts, name="value").to_frame()
