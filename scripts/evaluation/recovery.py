"""Whether the scan finds pairs that were planted into the cells it is about: its power there."""

import numpy as np
import pandas as pd
from scipy import sparse

from scripts.blocks import share_shown
from scripts.cells import with_pairs
from scripts.measures import average_precision_of_ranks
from scripts.reading import ConditionedCells, PairScan, condition, scan_pairs

RECOVERY = ["frequency", "auprc", "n_called", "precision", "recall"]  # columns


def scan_recovery(found: PairScan, cells: ConditionedCells, pairs: np.ndarray) -> pd.DataFrame:
    """How well a scan finds planted pairs among all pairs; pairs : (n_freq, n_pairs, 2) int, planted in each frequency.

    Returns
    -------
    DataFrame
        frequency, auprc (average precision among all pairs of the frequency), n_called (pairs past the threshold),
        precision (share of them that are planted, NaN where none is), recall (share of the planted that are called).
        A pair that shares a gene with a planted one counts as false.
    """
    rows = []
    for frequency, planted in enumerate(pairs):
        places = pd.DataFrame({"frequency": frequency, "i": planted.min(axis=1), "j": planted.max(axis=1)})
        t = np.nan_to_num(np.abs(cells.statistics(places)))
        n_called = int(found.at_least(np.array([found.threshold]), frequency)[0])
        n_true = int((t >= found.threshold).sum())
        auprc = average_precision_of_ranks(found.at_least(t, frequency))
        rows.append((frequency, auprc, n_called, n_true / n_called if n_called else np.nan, n_true / len(t)))
    return pd.DataFrame(rows, columns=RECOVERY)


def pair_power(
    X: np.ndarray | sparse.csr_array,
    y: np.ndarray,
    covariates: np.ndarray | None = None,
    shares: tuple[float, ...] = (0.005, 0.01, 0.02),
    n_pairs: int = 10,
    random_state: int = 0,
    least_cells: float = 0.25,
) -> pd.DataFrame:
    """How well the scan would have found pairs of these genes in these cells, had there been any.

    Pairs of genes are planted into the frequencies as they are (`cells.with_pairs`), and all pairs are scanned.

    Parameters
    ----------
    X : (n_cells, n_genes) float32, dense or sparse; y : (n_cells, n_freq)
    covariates : (n_cells, n_features), optional
    shares : tuple of float
        Of a frequency's variance that each pair makes up; each takes as long as the scan.
    n_pairs : int
        Planted in each frequency; fewer where there are not so many genes, none where there are not two.
    random_state : int
    least_cells : float
        Share of the cells that show a gene of a pair: of genes that few cells show, few pairs are found.

    Returns
    -------
    DataFrame
        share, and the columns of `scan_recovery`; no rows where nothing can be planted.
    """
    n_pairs = min(n_pairs, int((share_shown(X) >= least_cells).sum()) // 2)
    columns, rows = ["share", *RECOVERY], []
    for share in shares if n_pairs else ():
        targets, pairs = with_pairs(X, y, n_pairs, share, random_state, least_cells)
        cells = condition(X, targets, covariates)
        rows.append(scan_recovery(scan_pairs(cells), cells, pairs).assign(share=share)[columns])
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
