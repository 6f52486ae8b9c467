"""How many published markers each method names."""

import numpy as np
import pandas as pd

from scripts.measures import average_precision, expected_average_precision


def marker_recovery(rankings: list[dict], genes: list[str], markers: pd.DataFrame, n_genes: int = 25) -> pd.DataFrame:
    """How many published markers, of any lineage, stand high in what each method names.

    Parameters
    ----------
    rankings : list of {(method, frequency): (n_named,) int}
        Of several splits, as from rankings.rankings.
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
