"""How many published markers each method names."""

import numpy as np
import pandas as pd

from scripts.cells import Split
from scripts.measures import average_precision, expected_average_precision, strongest
from scripts.models import multiple_correlation
from scripts.rankings import Ranking

TOGETHER = "all frequencies together"  # the rival of one line, see with_rival


def with_rival(splits: list[tuple[Split, Ranking]], n_genes: int) -> list[dict]:
    """What each method names in each split, and beside it the genes most correlated with all frequencies together.

    That rival needs no model and no choice of a frequency: the multiple correlation of a gene with all of them, in the
    training cells. splits : as from panels.panel_splits. Its frequency is -1.
    """
    return [
        ranking.orders | {(TOGETHER, -1): strongest(multiple_correlation(*split.train.arrays()), n_genes)}
        for split, ranking in splits
    ]


def marker_recovery(rankings: list[dict], genes: list[str], markers: pd.DataFrame, n_genes: int = 25) -> pd.DataFrame:
    """How many published markers, of any lineage, stand high in what each method names.

    Parameters
    ----------
    rankings : list of {(method, frequency): (n_named,) int}
        Of several splits, as from with_rival.
    genes : list of str
        Names of all genes.
    markers : as from `load_markers`
    n_genes : int
        Genes for the precision.

    Returns
    -------
    DataFrame
        split (position in the list), method, frequency, precision, average_precision (of all named genes),
        expected_precision, expected_average_precision (random order), lineages (number of them among the n_genes).
    """
    columns = ["split", "method", "frequency", "precision", "average_precision"]
    columns += ["expected_precision", "expected_average_precision", "lineages"]
    lineage_of = dict(zip(markers["gene"], markers["lineage"], strict=True))
    if not lineage_of:
        return pd.DataFrame(columns=columns)
    is_marker = np.isin(genes, list(lineage_of))
    n_markers, rows = int(is_marker.sum()), []
    for split, found in enumerate(rankings):
        for (method, frequency), order in found.items():
            named = [genes[i] for i in order[:n_genes]]
            scores = is_marker[order[:n_genes]].mean(), average_precision(is_marker[order], n_markers)
            chance = n_markers / len(genes), expected_average_precision(len(order), n_markers, len(genes))
            lineages = len({lineage_of[gene] for gene in named if gene in lineage_of})
            rows.append((split, method, frequency, *scores, *chance, lineages))
    return pd.DataFrame(rows, columns=columns)


def marker_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean of each method over frequencies and splits, and standard deviation over splits, best first."""
    measures = ["precision", "average_precision", "lineages"]
    by_split = table.groupby(["method", "split"])[
        [*measures, "expected_precision", "expected_average_precision"]
    ].mean()
    by_method = by_split.groupby("method")
    summary = by_method.mean()
    for measure in measures:
        summary[f"{measure}_sd"] = by_method[measure].std().fillna(0.0)
    return summary.sort_values("average_precision", ascending=False)


def marker_intervals(
    rankings: list[dict], genes: list[str], markers: pd.DataFrame, n_draws: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """How much the average precision of each method depends on which markers are asked for.

    Average precision is a mean over markers, of the precision at the rank that holds each, 0 for those not named; the
    markers are drawn anew, with replacement (percentile bootstrap, Efron & Tibshirani, 1993).

    rankings, genes, markers : as of marker_recovery. Returns one row a method: low and high, the 95% interval, and
    lead, lead_low and lead_high, by how much TOGETHER is ahead of it, for the same drawn markers.
    """
    place = {gene: number for number, gene in enumerate(markers["gene"])}
    marker_at = np.array([place.get(gene, -1) for gene in genes])
    parts: dict[str, list[np.ndarray]] = {}
    for found in rankings:
        for (method, _), order in found.items():
            held = marker_at[order]
            ranks = np.flatnonzero(held >= 0)
            precision = np.zeros(len(place))
            precision[held[ranks]] = np.arange(1, len(ranks) + 1) / (ranks + 1)
            parts.setdefault(method, []).append(precision * len(place) / min(len(place), len(order)))
    if not place or TOGETHER not in parts:
        return pd.DataFrame(columns=["low", "high", "lead", "lead_low", "lead_high"])
    of_method = pd.DataFrame({method: np.mean(found, axis=0) for method, found in parts.items()})
    share = np.random.default_rng(seed).multinomial(len(place), np.full(len(place), 1 / len(place)), n_draws)
    drawn = pd.DataFrame(share / len(place) @ of_method.to_numpy(), columns=of_method.columns)
    leads = -drawn.sub(drawn[TOGETHER], axis=0)
    return pd.DataFrame(
        {
            "low": drawn.quantile(0.025),
            "high": drawn.quantile(0.975),
            "lead": of_method[TOGETHER].mean() - of_method.mean(),
            "lead_low": leads.quantile(0.025),
            "lead_high": leads.quantile(0.975),
        }
    )
