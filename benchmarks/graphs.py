"""Which genes make a good cell graph: `python -m benchmarks.graphs cells.h5ad ...`, files of counts.

For each recipe: the parts of the graph, the share of each frequency's variance that lies between known labels, and how
well two halves of the counts, split binomially, give the same frequencies.
"""

import sys
import tempfile
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scripts import cells, datasets, graph, sources

RECIPES = {
    "all genes scaled": {"graph_genes": 0},
    "50 components of all genes scaled": {"graph_genes": 0, "graph_components": 50},
    "20 components of variable genes": {"graph_components": 20},
    "50 components of variable genes": {"graph_components": 50},
    "300 components of variable genes": {},
    "variable genes": {"graph_components": 0},
}


def halves(adata: ad.AnnData) -> list[ad.AnnData]:
    """The same cells twice, each count of a molecule in one of the two."""
    counts = sparse.csr_matrix(adata.layers["counts"])
    one = counts.copy()
    one.data = np.random.default_rng(0).binomial(counts.data.astype(int), 0.5).astype(np.float32)
    return [ad.AnnData(half, adata.obs[[]]) for half in (one, sparse.csr_matrix(counts - one))]


def agreement(one: ad.AnnData, other: ad.AnnData) -> np.ndarray:
    """R2 of each frequency of one in the span of the other's, over the cells of both, and the other way round."""
    shared = one.obs_names.intersection(other.obs_names)
    a, b = (adata[shared].obsm["X_freq"] - adata[shared].obsm["X_freq"].mean(axis=0) for adata in (one, other))
    r2 = [1 - ((y - x @ np.linalg.lstsq(x, y)[0]) ** 2).sum(axis=0) / (y**2).sum(axis=0) for x, y in ((a, b), (b, a))]
    return np.mean(r2, axis=0)


def measured(file: str, recipe: dict[str, int], folder: Path) -> dict[str, str]:
    """One recipe on one file."""
    settings = cells.Preparation(**recipe, n_freq_comps=5, unconnected="largest")
    adata = datasets.prepare(sources.resolve(file), settings)
    split = []
    for number, half in enumerate(halves(adata)):
        half.write_h5ad(folder / f"half{number}.h5ad")
        split.append(datasets.prepare(sources.resolve(str(folder / f"half{number}.h5ad")), settings))
    between = graph.label_separation(adata.obsm["X_freq"], cells.labels_of(adata))
    found = {"between labels": between.get("variance_between_labels", []), "halves agree": agreement(*split)}
    shown = {name: " ".join(f"{value:.2f}" for value in values) for name, values in found.items()}
    return {"parts": " ".join(map(str, adata.uns["graph"]["parts"])), **shown}


def main() -> None:
    """Print one table for each file."""
    if len(sys.argv) < 2:
        sys.exit("error: name files of counts: python -m benchmarks.graphs cells.h5ad ...")
    with tempfile.TemporaryDirectory() as folder:
        for file in sys.argv[1:]:
            rows = {name: measured(file, recipe, Path(folder)) for name, recipe in RECIPES.items()}
            print(f"{file}\n{pd.DataFrame(rows).T.to_string()}\n", flush=True)


if __name__ == "__main__":
    main()
