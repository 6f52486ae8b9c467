"""Published lineage markers of mouse myeloid progenitors, and how many of them each method names."""

from pathlib import Path

import numpy as np
import pandas as pd

TABLE = Path(__file__).resolve().parents[1] / "data" / "markers_myeloid.csv"
MIN_MARKERS = 20  # measured markers below which the cells are taken for another tissue or species


def load_markers(genes: list[str], path: Path = TABLE) -> pd.DataFrame:
    """Markers that were measured: lineage, gene, source; empty for data sets that hold too few of them.

    Raises
    ------
    ValueError
        If the table lacks one of these columns.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := {"lineage", "gene", "source"} - set(table.columns):
        raise ValueError(f"{path} lacks the column {missing.pop()!r}: take the one that comes with the program")
    measured = table[table["gene"].isin(genes)].reset_index(drop=True)
    return measured if len(measured) >= MIN_MARKERS else measured.iloc[:0]


def average_precision(hits: np.ndarray, n_markers: int) -> float:
    """Mean, over the markers that can be reached, of the precision at each rank that holds one; 0 for those not named.

    hits : (n_named,) bool, in the order of the ranking; n_markers : markers among all genes.
    """
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / min(n_markers, len(hits)))


def expected_average_precision(n_named: int, n_markers: int, n_genes: int) -> float:
    """What a random order of n_genes genes, of which n_named are named, gives on average (exact)."""
    rank = np.arange(1, n_named + 1)
    given_hit = (1 + (rank - 1) * (n_markers - 1) / (n_genes - 1)) / rank
    return float((n_markers / n_genes * given_hit).sum() / min(n_markers, n_named))


def recovery(rankings: list[dict], genes: list[str], markers: pd.DataFrame, n_genes: int = 25) -> pd.DataFrame:
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


def recovery_summary(table: pd.DataFrame) -> pd.DataFrame:
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
