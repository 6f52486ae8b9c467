"""Sentences for the reports, each filled from measured values; what the data does not support is not said."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from scripts.graph import dirichlet_energy, near_equal_groups, suggest_n_comps


def label_separation(freqs: np.ndarray, labels: pd.Series) -> pd.DataFrame:
    """Which known labels each frequency sets apart.

    Parameters
    ----------
    freqs : (n_cells, n_freq)
    labels : (n_cells,)

    Returns
    -------
    DataFrame
        One row a frequency: the share of its variance that lies between labels (eta squared), the share that as many
        random groups of these sizes give, and the labels of the lowest and of the highest mean.
    """
    codes, names = pd.factorize(labels)
    sizes = np.bincount(codes)
    rows = []
    for frequency, values in enumerate(freqs.T):
        means = np.bincount(codes, values) / sizes
        share = (sizes * (means - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum()
        rows.append(
            (frequency, share, (len(names) - 1) / (len(values) - 1), names[means.argmin()], names[means.argmax()])
        )
    columns = ["frequency", "variance_between_labels", "expected_by_chance", "lowest", "highest"]
    return pd.DataFrame(rows, columns=columns)


def label_energy(labels: pd.Series, adjacency: csr_array) -> pd.DataFrame:
    """How fast each label varies over the cell graph, slowest first.

    labels : (n_cells,); adjacency : (n_cells, n_cells). Energies are those of each label's indicator less its mean; at
    random places it would have, on average, the mean degree of the graph times n / (n - 1).
    """
    indicators = pd.get_dummies(labels, dtype=float)
    indicators = indicators.loc[:, (indicators.sum() > 0) & (indicators.sum() < len(labels))]
    adjacency = csr_array(adjacency)
    energies = dirichlet_energy(indicators.to_numpy() - indicators.to_numpy().mean(axis=0), adjacency)
    n_cells = len(labels)
    columns = {
        "label": indicators.columns.astype(str),
        "cells": indicators.sum().astype(int).to_numpy(),
        "dirichlet_energy": energies,
        "at_random_places": adjacency.sum() / n_cells * n_cells / (n_cells - 1),
    }
    return pd.DataFrame(columns).sort_values("dirichlet_energy", ignore_index=True)


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


def about_labels(separation: pd.DataFrame, label: str) -> list[str]:
    """One sentence for each frequency that known labels explain to more than half."""
    return [
        f"Frequency {row.frequency} runs from {row.lowest} to {row.highest}: "
        f"{row.variance_between_labels:.0%} of its variance lies between the {label} "
        f"(random groups: {row.expected_by_chance:.1%})."
        for row in separation.itertuples()
        if row.variance_between_labels > 0.5
    ]


def about_prediction(performance: pd.DataFrame) -> list[str]:
    """What the held-out cells say of the chosen model and of the linear rival, for each way to hold cells out.

    performance : columns protocol, split, model, frequency, r2, mae, train_mae, chosen; "linear ridge" is the rival.
    """
    sentences = []
    for protocol, table in performance.groupby("protocol", sort=False):
        by_split = table.pivot_table(index="split", columns="model", values="r2")
        name = table.loc[table["chosen"], "model"].iloc[0]
        bilinear, linear = by_split[name], by_split["linear ridge"]
        verdict = "better than" if bilinear.mean() > linear.mean() else "no better than"
        spread = f" (±{bilinear.std():.3f} over {len(by_split)} splits)" if len(by_split) > 1 else " (one split)"
        sentences.append(
            f"With {protocol}, the {name} model reaches a mean R² of {bilinear.mean():.2f}{spread} on held-out cells, "
            f"{verdict} a linear ridge on the same cells ({linear.mean():.2f}); predicting the mean gives 0. "
            f"It is ahead of the ridge in {(bilinear > linear).sum()} of {len(by_split)} splits."
        )
        sentences += about_unjudged(table[table["chosen"]])
        errors = table[table["chosen"]][["mae", "train_mae"]].mean()
        if errors["mae"] > 2 * errors["train_mae"]:
            sentences.append(
                f"It overfits: its mean absolute error is {errors['mae']:.4f} on held-out cells and "
                f"{errors['train_mae']:.4f} on the cells it was trained on. Read its modules with that in mind."
            )
    return sentences


def about_unjudged(scores: pd.DataFrame) -> list[str]:
    """Where held-out cells cannot tell; scores : columns split, frequency, r2 of one model, see metrics.held_out_r2."""
    n_splits = scores["split"].nunique()
    unjudged = scores[scores["r2"].isna()].groupby("frequency")["split"].nunique()
    return [
        f"Frequency {frequency} is not judged in {count} of {n_splits} splits: the held-out cells hardly vary along it."
        for frequency, count in unjudged.items()
    ]


def about_trusted(trusted: pd.DataFrame) -> list[str]:
    """Which modules are worth reading; as from stability.trusted_modules."""
    sentences = []
    for frequency, table in trusted.groupby("frequency"):
        kept = table.loc[table["trusted"], "module"].tolist()
        if kept:
            named = f"module{'s' if len(kept) > 1 else ''} {', '.join(map(str, kept))}"
            sentences.append(
                f"Frequency {frequency}: {named} can be trusted; prediction needs {table['needed'].sum()}."
            )
        elif not table["needed"].any():
            sentences.append(f"Frequency {frequency}: main effects alone predict as well; no module is worth reading.")
        else:
            sentences.append(
                f"Frequency {frequency}: prediction needs {table['needed'].sum()} of the modules, but none comes back "
                "in other cells as it is; read them together, with caution."
            )
    return sentences


def about_stability(subsamples: pd.DataFrame) -> list[str]:
    """How much of the first modules comes back in other cells; as from stability.agreement_table."""
    mean = subsamples["first_module_jaccard"].mean()
    weakest = subsamples.loc[subsamples["first_module_jaccard"].idxmin()]
    return [
        f"Fits to different 80% subsamples of the training cells share a mean Jaccard of {mean:.2f} of the genes at "
        f"the poles of their first modules; least for frequency {weakest['frequency']:.0f} "
        f"({weakest['first_module_jaccard']:.2f})."
    ]


def about_comparison(comparison: pd.DataFrame) -> list[str]:
    """Whether the modules differ from the most correlated genes, beside what chance gives."""
    mean, chance = comparison["best_jaccard"].mean(), comparison["expected_jaccard"].mean()
    n_shared = int((comparison["p_value"] < 0.05).sum())
    sentences = [
        f"The better pole of the first module shares a mean Jaccard of {mean:.3f} with the most correlated genes "
        f"(range {comparison['best_jaccard'].min():.3f} to {comparison['best_jaccard'].max():.3f}; random genes "
        f"{chance:.3f}). The overlap is more than chance (p < 0.05) for {n_shared} of {len(comparison)} frequencies.",
    ]
    if "rbo" in comparison:
        sentences.append(
            f"Ranked over all genes, first module and correlation have a mean rank-biased overlap of "
            f"{comparison['rbo'].mean():.3f} (permuted rankings: {comparison['expected_rbo'].mean():.3f}), more than "
            f"chance for {(comparison['rbo_p_value'] < 0.05).sum()} of {len(comparison)} frequencies."
        )
    return [*sentences, "A low overlap says that the lists differ, not that either is better."]


def about_enrichment(summary: pd.DataFrame, rival: pd.DataFrame, fdr: float) -> list[str]:
    """How many gene lists have a significant term, the modules' beside the rival's; both as enrichment.summarise."""
    if summary.empty:
        return ["No module was tested for gene-set terms: none is trusted, or no gene-set library could be had."]
    n_found, n_rival = ((table["significant_terms"] > 0).sum() for table in (summary, rival))
    lead = n_found * len(rival) - n_rival * len(summary)  # of shares: there can be more modules than frequencies
    verdict = "more than" if lead > 0 else "as many as" if lead == 0 else "fewer than"
    sentences = [
        f"{n_found} of {len(summary)} module poles have a gene-set term at FDR {fdr} with the measured genes as the "
        f"background, in proportion {verdict} the poles of the plain correlation ({n_rival} of {len(rival)})."
    ]
    found = summary[summary["significant_terms"] > 0]
    found = found.assign(source=found.get("source", "module 1"))
    sentences += [
        f"Frequency {row.frequency}, {row.source}, {row.pole} pole: {row.top_term} (adjusted p "
        f"{row.top_adjusted_p:.1e}, {row.significant_terms} significant terms)."
        for row in found.itertuples()
    ]
    return sentences


def bullets(sentences: list[str]) -> str:
    """Sentences as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
