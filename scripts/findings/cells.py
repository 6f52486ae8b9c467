"""Sentences on cells, graph and labels."""

import numpy as np
import pandas as pd

from scripts.graph import near_equal_groups, suggest_n_comps


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
