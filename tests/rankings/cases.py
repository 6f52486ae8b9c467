"""Cells in which it is known which genes a method should name."""

import anndata as ad
import numpy as np
from scipy import sparse

from scripts import cells, graph
from scripts.models.ridge import BilinearRidge
from scripts.rankings import TrainingCells, rank_genes

GENES = [f"g{i}" for i in range(60)]


def planted_cells() -> ad.AnnData:
    """Ten genes repeat one program, g10 is another of its own; the rest is noise. With counts and a graph."""
    random = np.random.default_rng(0)
    program = random.normal(size=(600, 2))
    X = random.normal(size=(600, 60))
    X[:, :10] = program[:, :1] + 0.1 * random.normal(size=(600, 10))
    X[:, 10] = program[:, 1] + 0.3 * random.normal(size=600)
    y = (program[:, 0] + 0.6 * program[:, 1] + 0.3 * program[:, 0] * program[:, 1])[:, None]
    adata = ad.AnnData(X.astype(np.float32), obsm={"X_freq": y}, uns={"dataset": {}})
    adata.var_names = GENES
    adata.layers["counts"] = sparse.csr_matrix(random.poisson(3 * np.exp(0.5 * X)), dtype=np.float32)
    adata.obsp["connectivities"] = sparse.csr_matrix(graph.knn_graph(program, 10, "euclidean"))
    return adata


def fitted(adata: ad.AnnData):
    """A split of the cells, and the form of a model fitted to it."""
    split, model = cells.transductive_splits(adata, 0, 1)[0], make_model()
    model.fit(split.train, split.val)
    return split, model.form(list(adata.var_names))


def make_model() -> BilinearRidge:
    return BilinearRidge(main_components=20, pair_components=(6,))


def ranked(adata: ad.AnnData, packages: tuple[str, ...] = ()):
    """A split, and what each method names from it."""
    split, form = fitted(adata)
    return split, rank_genes(form, TrainingCells.of(adata, split), 25, packages=packages)
