"""Where each rival is ahead of the bilinear panel, and whether by more than the spread."""

import numpy as np
import pandas as pd

from scripts.rankings import BILINEAR, METHODS, PANEL, RANDOM

RIVALS = tuple(method for method in METHODS if method not in (*BILINEAR, RANDOM))


def where_rivals_win(
    panels: pd.DataFrame, stability: pd.DataFrame, recovered: pd.DataFrame, n_genes: int
) -> pd.DataFrame:
    """By how much each rival leads the bilinear panel, in all that they are judged by.

    Parameters
    ----------
    panels : as from `panel_table`
    stability : as from `panel_stability`
    recovered : as from `marker_recovery`; may be empty
    n_genes : int
        Size of the panels.

    Returns
    -------
    DataFrame
        measure ("R²", "stability" or "markers"), method, frequency (-1: mean over all), lead, spread (standard
        deviation of the lead over splits; of stability, what both methods' over pairs of subsamples add up to), won
        (lead > spread). Spread is NaN, and nothing won, where fewer than two splits judge.
    """
    of_size = panels[panels["n_genes"] == n_genes]
    r2, precision = (_by_split(of_size, "r2"), _by_split(recovered, "average_precision"))
    rows = [("R²", *row) for row in _leads(r2.groupby("split").mean(), -1)]
    for f, of_frequency in r2.groupby("frequency"):
        rows += [("R²", *row) for row in _leads(of_frequency, f)]
    means = stability.groupby("method")[["jaccard", "jaccard_sd"]].mean()
    for rival in (rival for rival in RIVALS if rival in means.index):
        lead = means.loc[rival, "jaccard"] - means.loc[PANEL, "jaccard"]
        rows.append(("stability", rival, -1, lead, np.hypot(*means.loc[[rival, PANEL], "jaccard_sd"])))
    rows += [("markers", *row) for row in _leads(precision.groupby("split").mean(), -1)]
    table = pd.DataFrame(rows, columns=["measure", "method", "frequency", "lead", "spread"])
    return table.assign(won=table["lead"] > table["spread"])


def _by_split(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """A row for each split and frequency, a column for each method."""
    return table.pivot(index=["split", "frequency"], columns="method", values=value)


def _leads(by_split: pd.DataFrame, frequency: int) -> list[tuple[str, int, float, float]]:
    """Method, frequency, mean lead of each rival and its standard deviation; by_split : a row for each split."""
    rivals = [rival for rival in RIVALS if rival in by_split]
    leads = [by_split[rival] - by_split[PANEL] for rival in rivals]
    return [(rival, frequency, lead.mean(), lead.std()) for rival, lead in zip(rivals, leads, strict=True)]
