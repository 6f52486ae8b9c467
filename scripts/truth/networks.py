"""A pair is not an edge: who finds the edges of networks that cells were simulated from."""

from collections.abc import Iterator
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from scripts.cells import Preparation, torch_splits
from scripts.datasets import prepare
from scripts.measures import expected_average_precision, strongest
from scripts.reading import condition, scan_pairs
from scripts.sources import DATA_FOLDER, Source, resolve
from scripts.truth.scores import AUPRC, CALLED, PRECISION, SCAN, fitted_forms, pair_scores

SERGIO_FILE = DATA_FOLDER / "sergio.h5ad"  # made by benchmarks/sergio_cells.py
KRUMSIEK = "krumsiek11"
EDGES, STRONGEST = "edges of the network", "precision of the strongest"
N_STRONGEST = 10  # pairs
N_FREQ = 5
# Regulators of each gene in the Boolean rules of Krumsiek et al., PLoS ONE 6, e22649 (2011), Table 1; its effect on
# itself is left out, as a pair has two genes
KRUMSIEK_REGULATORS = {
    "Gata2": ("Gata1", "Fog1", "Pu.1"),
    "Gata1": ("Gata2", "Fli1", "Pu.1"),
    "Fog1": ("Gata1",),
    "EKLF": ("Gata1", "Fli1"),
    "Fli1": ("Gata1", "EKLF"),
    "SCL": ("Gata1", "Pu.1"),
    "Cebpa": ("Gata1", "Fog1", "SCL"),
    "Pu.1": ("Cebpa", "Gata1", "Gata2"),
    "cJun": ("Pu.1", "Gfi1"),
    "EgrNab": ("Pu.1", "cJun", "Gfi1"),
    "Gfi1": ("Cebpa", "EgrNab"),
}


def krumsiek_edges() -> pd.DataFrame:
    """Which pairs of genes are an edge of the published network, direction left out; genes x genes, bool."""
    genes = list(KRUMSIEK_REGULATORS)
    regulates = np.array([[gene in KRUMSIEK_REGULATORS[other] for other in genes] for gene in genes])
    return pd.DataFrame(regulates | regulates.T, genes, genes)


def networks() -> Iterator[tuple[Source, pd.DataFrame]]:
    """Cells of each network, and which pairs of their genes are an edge, genes x genes, bool, symmetric."""
    yield resolve(KRUMSIEK), krumsiek_edges()
    made = ad.read_h5ad(SERGIO_FILE)
    for name, counts in made.layers.items():
        cells = ad.AnnData(np.asarray(counts, np.float32), obs=made.obs, var=made.var)
        regulates = made.varp[name].toarray() > 0
        edges = pd.DataFrame(regulates | regulates.T, made.var_names, made.var_names)
        yield Source(f"SERGIO, {name}", name, "simulated", partial(ad.AnnData.copy, cells)), edges


def network_recovery(n_seeds: int = 3) -> pd.DataFrame:
    """How often pairs of highest score, and pairs that the scan calls, are edges; n_seeds : divisions of the cells.

    Returns
    -------
    DataFrame
        data (the network), seed, task, method, measure (`AUPRC`, "precision of the strongest" ten pairs, and of the
        scan `CALLED` and `PRECISION`), value, chance. Of several frequencies, a pair's score is the root of the sum of
        squares, and the scan's the largest |T|.
    """
    rows = [
        (source.name, seed, EDGES, *row)
        for source, edges in networks()
        for seed in range(n_seeds)
        for row in _one_network(source, edges, seed)
    ]
    return pd.DataFrame(rows, columns=["data", "seed", "task", "method", "measure", "value", "chance"])


def _one_network(source: Source, edges: pd.DataFrame, seed: int) -> Iterator[tuple]:
    """(method, measure, value, chance) of each method."""
    adata = prepare(source, Preparation(n_freq_comps=N_FREQ, random_state=seed))
    train, val, _ = torch_splits(adata)
    X, y = train.arrays()
    upper = np.triu_indices(adata.n_vars, 1)
    true, n = edges.loc[adata.var_names, adata.var_names].to_numpy()[upper], len(upper[0])
    share, chance = true.mean(), expected_average_precision(n, int(true.sum()), n)
    t, threshold = _scanned(X, y, upper)
    called = t >= threshold
    yield SCAN, CALLED, int(called.sum()), np.nan
    yield SCAN, PRECISION, true[called].mean() if called.any() else np.nan, share
    for method, score in {SCAN: t, **_scores(train, val, upper)}.items():
        yield method, AUPRC, float(average_precision_score(true, score)), chance
        yield method, STRONGEST, true[strongest(score, N_STRONGEST)].mean(), share


def _scanned(X: np.ndarray, y: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, float]:
    """Largest |T| of each pair over frequencies, (n_pairs,), 0 where it is not tested; and that which is called."""
    cells, (i, j) = condition(X, y), pairs
    t = [cells.statistics(pd.DataFrame({"frequency": f, "i": i, "j": j})) for f in range(y.shape[1])]
    return np.nan_to_num(np.abs(t)).max(axis=0), scan_pairs(cells, 1).threshold


def _scores(train, val, pairs: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
    """Score of each pair by every other method, (n_pairs,)."""
    X, y = train.arrays()
    forms, squares = fitted_forms(train, val), {}
    for mix in np.diag(1 / y.std(axis=0)):
        for method, score in pair_scores(forms, X, y @ mix, mix):
            squares[method] = squares.get(method, 0) + score[pairs].astype(np.float64) ** 2
    return {method: np.sqrt(score) for method, score in squares.items()}
