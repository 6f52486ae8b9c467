"""Which cells are drawn, and where."""

import anndata as ad
import numpy as np


def sample_cells(adata: ad.AnnData, max_cells: int, random_state: int = 0) -> ad.AnnData:
    """All cells, or a random sample of max_cells of them in their order, without the expression."""
    rows = np.arange(adata.n_obs)
    if adata.n_obs > max_cells:
        rows = np.sort(np.random.default_rng(random_state).choice(rows, max_cells, replace=False))
    return ad.AnnData(obs=adata.obs.iloc[rows], obsm={"X_freq": adata.obsm["X_freq"][rows]})


def add_layout(adata: ad.AnnData, sample: ad.AnnData) -> None:
    """obsm["X_umap_freq"] of a sample for all cells, (n_cells, 2), in place; NaN for cells that are not in the sample.

    The same is obsm["X_umap"], where scanpy's `umap` looks, but where the graph was built on the file's own.
    """
    layout = np.full((adata.n_obs, 2), np.nan)
    layout[adata.obs_names.get_indexer(sample.obs_names)] = sample.obsm["X_umap_freq"]
    adata.obsm["X_umap_freq"] = layout
    if adata.uns["graph"]["built on"] != "obsm['X_umap']":
        adata.obsm["X_umap"] = layout


def lay_out(adata: ad.AnnData, max_cells: int, n_neighbors: int = 15, random_state: int = 0) -> ad.AnnData:
    """Cells, or a sample of max_cells of them, with a UMAP of their frequencies in obsm["X_umap_freq"]."""
    import scanpy as sc

    drawn = sample_cells(adata, max_cells, random_state)
    # Fuzzy weights: Gaussian ones are not finite where cells are equal, and 0 between a far group and all others.
    search = {"method": "umap", "transformer": "sklearn"}  # exact
    sc.pp.neighbors(drawn, n_neighbors, use_rep="X_freq", key_added="freq_space", **search)
    sc.tl.umap(drawn, neighbors_key="freq_space", key_added="X_umap_freq", random_state=random_state, maxiter=200)
    return drawn
