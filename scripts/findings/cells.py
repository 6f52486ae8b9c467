"""Sentences on cells, graph and labels."""

import numpy as np
import pandas as pd

from scripts.cells import MEASURES, why_unmeasured
from scripts.graph import near_equal_groups, suggest_n_comps


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


def about_labels(separation: pd.DataFrame, label: str) -> list[str]:
    """One sentence for each frequency that known labels explain to more than half."""
    return [
        f"Frequency {row.frequency} runs from {row.lowest} to {row.highest}: "
        f"{row.variance_between_labels:.0%} of its variance lies between the {label} "
        f"(random groups: {row.expected_by_chance:.1%})."
        for row in separation.itertuples()
        if row.variance_between_labels > 0.5
    ]


def facts_of_cells(adata) -> pd.DataFrame:
    """How many cells, genes, frequencies, edges there are, and how the cells were normalised; adata : AnnData."""
    edges = adata.obsp["connectivities"]
    degrees = pd.Series(edges.getnnz(axis=1))
    facts = {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
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
    }
    return pd.Series(facts, name="value").to_frame()
