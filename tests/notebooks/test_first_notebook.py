"""The notebook this project grew from: its cells, as they were written, still run against the names of today."""

import plotly.io
import pytest

CELLS = """
import scanpy as sc
import numpy as np
import plotly.express as px
import pandas as pd
import einops
import umap

from scripts.datasets import myeloid_dev_freq
from scripts.bmlp import Config, ScBMLPRegressor
import torch

d_hidden = 128
n_epochs = 3
lr = 1e-4
DEVICE = "cpu"  # faster than mps...
k = 10
n_freq_comps = 5

adata, train_dataset, val_dataset, test_dataset = myeloid_dev_freq(
    device=DEVICE,
    k_neighbors=k,
    n_freq_comps=n_freq_comps,
)
n_cells, n_genes = adata.shape
n_freq_comps = adata.obsm["X_freq"].shape[1]  # Number of Laplacian eigenvectors used
freq_umap = adata.obsm["X_freq"][:, :2]

fig = px.scatter(
    x=freq_umap[:, 0],
    y=freq_umap[:, 1],
    color=adata.obs["paul15_clusters"],
    title="Cell Types in Frequency UMAP Space",
)
fig.show()

cfg = Config(
    d_input=n_genes,
    d_hidden=d_hidden,
    d_output=n_freq_comps,
    n_epochs=n_epochs,
    lr=lr,
    device=DEVICE,
    batch_size=32,
)
model = ScBMLPRegressor(cfg, loss_fn="l1")
train_losses, val_losses = model.fit(train_dataset, val_dataset)

loss_df = pd.DataFrame({
    'Epoch': list(range(len(train_losses))) + list(range(len(val_losses))),
    'Loss': train_losses + val_losses,
    'Type': ['Train'] * len(train_losses) + ['Validation'] * len(val_losses)
})

b = einops.einsum(model.w_p, model.w_l, model.w_r, "out hid, hid in1, hid in2 -> out in1 in2")
b = 0.5 * (b + b.mT)  # symmetrize

def get_comps(adata, freq_idx):
    vals, vecs = torch.linalg.eigh(b[freq_idx])
    vals = vals.flip([0])
    vecs = vecs.flip([1])
    return vals, vecs

def compare_approaches(adata, b, freq_idx, n_top_genes=25):
    vals, vecs = get_comps(adata, freq_idx)
    bilinear_weights = vecs[:, 0]  # Top eigenvector
    bilinear_top_idx = bilinear_weights.topk(n_top_genes).indices
    bilinear_top_genes = adata.var_names[bilinear_top_idx].tolist()
    freq_values = adata.obsm["X_freq"][:, freq_idx]
    correlations = []
    for gene_idx in range(adata.n_vars):
        gene_expr = adata.X[:, gene_idx]
        corr = np.corrcoef(gene_expr, freq_values)[0, 1]
        correlations.append(abs(corr))  # Use absolute correlation
    corr_tensor = torch.tensor(correlations)
    corr_top_idx = corr_tensor.topk(n_top_genes).indices
    corr_genes = adata.var_names[corr_top_idx].tolist()
    return bilinear_top_genes, corr_genes

modules, corr_genes = compare_approaches(adata, b, 0)
"""


@pytest.mark.paul15
def test_cells_run_unmodified(paul15, monkeypatch):
    monkeypatch.setattr(plotly.io.renderers, "default", "json")  # fig.show() opens no browser
    names = {}
    exec(compile(CELLS, "cells", "exec"), names)
    assert names["b"].shape == (5, 3451, 3451)
    assert len(names["train_losses"]) == len(names["val_losses"]) == 3
    assert len(names["loss_df"]) == 6
    assert len(names["modules"]) == len(set(names["modules"])) == 25
    assert names["corr_genes"][:3] == ["Car2", "Ermap", "Mt2"]
