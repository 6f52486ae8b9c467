"""From a data set's name or a file to training data: normalised cells with frequencies, splits and torch data sets."""

import anndata as ad
from scipy import sparse

from scripts import graph
from scripts.cells import CellDataset, Preparation, add_split, graph_features, leave_out, load, torch_splits
from scripts.errors import InputError
from scripts.sources import Source, resolve


def add_frequencies(adata: ad.AnnData, settings: Preparation) -> ad.AnnData:
    """Cell graph and frequencies of all cells, in scanpy's places.

    Returns
    -------
    AnnData
        With obsp["connectivities"] (n_cells, n_cells), obsm["X_freq"] (n_cells, n_freq), uns["freq_vals"] (n_freq,);
        fewer cells than given if the graph fell into parts and settings.unconnected is "largest".
    """
    for name, known in (("unconnected", ("error", "largest")), ("laplacian", ("unnormalized", "normalized"))):
        if getattr(settings, name) not in known:
            raise InputError(f"{name}={getattr(settings, name)!r} is not known: choose {' or '.join(map(repr, known))}")
    X, basis = graph_features(adata.X, settings)
    found = graph.nearest_neighbors(X, settings.k_neighbors, settings.metric, random_state=settings.random_state)
    adjacency = graph.adjacency(found, settings.graph_weights)
    part_sizes = graph.part_sizes(adjacency)
    if settings.unconnected == "largest":
        keep = graph.largest_part(adjacency)
        adata = leave_out(adata, {"outside the largest part of the graph": ~keep})
        adjacency = adjacency[keep][:, keep]
    normalized = settings.laplacian == "normalized"
    values, vectors = graph.frequencies(adjacency, settings.n_freq_comps, normalized)
    adata.obsp["connectivities"] = sparse.csr_matrix(adjacency)
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "params": {"n_neighbors": settings.k_neighbors, "metric": settings.metric, "method": settings.graph_weights},
    }
    adata.obsm["X_freq"] = vectors
    adata.uns["freq_vals"] = values
    adata.uns["graph"] = {
        "built on": basis,
        "parts": part_sizes,
        "recall": found.recall,
        "solver": graph.solver_for(adata.n_obs),
        "residuals": graph.residuals(graph.laplacian(adjacency, normalized), values, vectors),
    }
    return adata


def prepare(source: Source, settings: Preparation) -> ad.AnnData:
    """Everything notebook 01 does: load, frequencies, split."""
    return add_split(add_frequencies(load(source, settings), settings), settings.random_state)


def myeloid_dev_freq(
    device: str = "cpu", k_neighbors: int = 10, n_freq_comps: int = 5, random_state: int = 0
) -> tuple[ad.AnnData, CellDataset, CellDataset, CellDataset]:
    """Paul et al. 2015 myeloid progenitors with frequencies, split for training: (adata, train, val, test)."""
    settings = Preparation(k_neighbors=k_neighbors, n_freq_comps=n_freq_comps, random_state=random_state)
    adata = prepare(resolve("paul15"), settings)
    return adata, *torch_splits(adata, device)
