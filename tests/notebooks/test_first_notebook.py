"""The notebook this project grew from: its code cells, as they were written, still run against the names of today."""

import os
import re
import sys
from pathlib import Path

import plotly.io
import pytest
import requests
import torch
from scipy.sparse.linalg import eigsh

from scripts import REPOSITORY
from tests.notebooks import first_notebook_terms

TEXT = os.environ.get("BMLP_FIRST_NOTEBOOK")  # the notebook as text, `In [1]:` above each code cell
CELLS = r"""
# Allow Python to find the scripts module
import sys
import os
sys.path.append(os.path.dirname(os.getcwd()))  # go up one level to find scripts

import scanpy as sc
import numpy as np
import plotly.express as px
import pandas as pd
import einops
import umap

from scripts.datasets import myeloid_dev_freq
from scripts.bmlp import ScBMLPRegressor, Config
import torch
# %%
# d_hidden = 64
d_hidden = 128
n_epochs = 500
lr = 1e-4
# %%
DEVICE = "cpu"  # faster than mps...
# %%
k = 10
n_freq_comps = 5

adata, train_dataset, val_dataset, test_dataset = myeloid_dev_freq(
    device=DEVICE,
    k_neighbors=k,
    n_freq_comps=n_freq_comps,
)
# %%
n_cells, n_genes = adata.shape
n_freq_comps = adata.obsm["X_freq"].shape[1]  # Number of Laplacian eigenvectors used

print(f"Data dimensions: {n_cells} cells x {n_genes} genes")
print(f"Frequency components: {n_freq_comps}")
print(f"Frequency shape: {adata.obsm['X_freq'].shape}")
# %%
reducer = umap.UMAP(n_components=2, random_state=42)
freq_umap = reducer.fit_transform(adata.obsm["X_freq"])
# %%
# Visualize frequency components in their own UMAP space
for i in range(4):
    fig = px.scatter(
        x=freq_umap[:, 0],
        y=freq_umap[:, 1],
        color=adata.obsm["X_freq"][:,i],
        title=f"Frequency {i} (λ={adata.uns['freq_vals'][i]:.4f})",
        labels={"x": "UMAP1", "y": "UMAP2"},
        color_continuous_scale='RdBu_r',
        color_continuous_midpoint=0,
        width=600,
        height=600,
    )
    fig.update_traces(marker=dict(size=3))
    fig.show()
# %%
# Also show cell types for reference
fig = px.scatter(
    x=freq_umap[:, 0],
    y=freq_umap[:, 1],
    color=adata.obs["paul15_clusters"],
    title="Cell Types in Frequency UMAP Space",
    labels={"x": "UMAP1", "y": "UMAP2"},
    width=600,
    height=600,
)
fig.update_traces(marker=dict(size=3))
fig.show()
# %%
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
# %%
# Combine train and val losses into a single plot
loss_df = pd.DataFrame({
    'Epoch': list(range(len(train_losses))) + list(range(len(val_losses))),
    'Loss': train_losses + val_losses,
    'Type': ['Train'] * len(train_losses) + ['Validation'] * len(val_losses)
})

px.line(loss_df, x='Epoch', y='Loss', color='Type',
        title='Training and Validation Loss',
        labels={'Loss': 'Loss', 'Epoch': 'Epoch'}).show()
# %%
b = einops.einsum(model.w_p, model.w_l, model.w_r, "out hid, hid in1, hid in2 -> out in1 in2")
b = 0.5 * (b + b.mT)  # symmetrize

print(b.shape)
print(f"Number of transcriptional scales: {b.shape[0]}")
print(f"Number of genes: {b.shape[1]}")
# %%
def get_comps(adata, freq_idx):
    vals, vecs = torch.linalg.eigh(b[freq_idx])
    vals = vals.flip([0])
    vecs = vecs.flip([1])
    return vals, vecs


def plot_freq_scatter(adata, freq_idx):
    fig = px.scatter(
        x=freq_umap[:, 0],
        y=freq_umap[:, 1],
        color=adata.obsm["X_freq"][:,freq_idx],
        title=f"Frequency {freq_idx} (λ={adata.uns['freq_vals'][freq_idx]:.4f})",
        labels={"x": "UMAP1", "y": "UMAP2"},
        color_continuous_scale='RdBu_r',
        color_continuous_midpoint=0,
        width=600,
        height=600,
    )
    fig.update_traces(marker=dict(size=3))
    fig.show()


def print_marker_genes(adata, b, freq_idx, n_top_comps=1, n_top_genes=10):
    vals, vecs = get_comps(adata, freq_idx)
    for i in range(n_top_comps):  # top components
        top_idxs = vecs[:,i].topk(n_top_genes).indices
        top_genes = adata.var_names[top_idxs].tolist()
        bottom_idxs = (-vecs[:,i]).topk(n_top_genes).indices
        bottom_genes = adata.var_names[bottom_idxs].tolist()
        print(top_genes)
        print(bottom_genes)
    print()
# %%
for i in range(5):
    plot_freq_scatter(adata, i)
    print_marker_genes(adata, b, i)
# %%
def compare_approaches(adata, b, freq_idx, n_top_genes=25):
    # Approach 1: Bilinear weights (your current method)
    vals, vecs = get_comps(adata, freq_idx)
    bilinear_weights = vecs[:, 0]  # Top eigenvector
    bilinear_top_idx = bilinear_weights.topk(n_top_genes).indices
    bilinear_bottom_idx = (-bilinear_weights).topk(n_top_genes).indices
    bilinear_top_genes = adata.var_names[bilinear_top_idx].tolist()
    bilinear_bottom_genes = adata.var_names[bilinear_bottom_idx].tolist()

    # Approach 2: Simple correlation
    import numpy as np
    freq_values = adata.obsm["X_freq"][:, freq_idx]
    correlations = []
    for gene_idx in range(adata.n_vars):
        gene_expr = adata.X[:, gene_idx]
        corr = np.corrcoef(gene_expr, freq_values)[0, 1]
        correlations.append(abs(corr))  # Use absolute correlation

    corr_tensor = torch.tensor(correlations)
    corr_top_idx = corr_tensor.topk(n_top_genes).indices
    corr_genes = adata.var_names[corr_top_idx].tolist()

    # Compare both bilinear modules with correlation genes
    overlaps = []
    jaccards = []

    for module_name, bilinear_genes in [("positive", bilinear_top_genes), ("negative", bilinear_bottom_genes)]:
        overlap = set(bilinear_genes) & set(corr_genes)
        jaccard = len(overlap) / len(set(bilinear_genes) | set(corr_genes))
        overlaps.append((module_name, len(overlap), jaccard))
        jaccards.append(jaccard)

    # Take maximum Jaccard similarity
    max_jaccard = max(jaccards)
    best_module_idx = jaccards.index(max_jaccard)
    best_module_name = ["positive", "negative"][best_module_idx]
    best_bilinear_genes = [bilinear_top_genes, bilinear_bottom_genes][best_module_idx]
    best_overlap_count = overlaps[best_module_idx][1]

    print(f"Frequency {freq_idx}:")
    print(f"Positive module Jaccard: {jaccards[0]:.3f}")
    print(f"Negative module Jaccard: {jaccards[1]:.3f}")
    print(f"Best module: {best_module_name} (Jaccard: {max_jaccard:.3f})")
    print(f"Best bilinear genes: {best_bilinear_genes}")
    print(f"Correlation genes: {corr_genes}")
    print(f"Overlap: {best_overlap_count}/{n_top_genes} genes")
    print()

    return best_bilinear_genes, corr_genes, max_jaccard
# %%
# Run comparison for all frequencies
similarities = []
for i in range(n_freq_comps):
    _, _, jaccard = compare_approaches(adata, b, i)
    similarities.append(jaccard)

print(f"Average Jaccard similarity: {np.mean(similarities):.3f}")
print(f"Range: {min(similarities):.3f} - {max(similarities):.3f}")
# %%
px.line(x=adata.uns["freq_vals"], y=similarities, labels={"x": "frequency", "y": "Jaccard similarity"})
"""
ALL_CELLS = [cell.strip() for text in (CELLS, first_notebook_terms.CELLS) for cell in text.split("# %%\n")]


@pytest.fixture
def apart(monkeypatch):
    """Where the cells run: in the notebooks' folder, with no browser, out of reach of the web, on one core."""

    def refused(*args, **kwargs):
        raise requests.ConnectionError("no gene list leaves this test")

    def highest(matrix):
        """The last of the eigenvectors, as the cells read no other; all take seconds for each frequency."""
        values, vectors = eigsh(matrix.numpy(), 1, which="LA")
        return torch.from_numpy(values), torch.from_numpy(vectors)

    monkeypatch.setattr(plotly.io.renderers, "default", "json")
    monkeypatch.setattr(requests.Session, "request", refused)
    monkeypatch.setattr(torch.linalg, "eigh", highest)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(REPOSITORY / "notebooks")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine take five times as long
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.paul15
@pytest.mark.slow
@pytest.mark.usefixtures("apart", "paul15")
def test_cells_run_unmodified(capsys):
    names = {}
    for number, cell in enumerate(ALL_CELLS, 1):
        cell = cell.replace("n_epochs = 500", "n_epochs = 3")  # the one change
        exec(compile(cell, f"cell {number}", "exec"), names)
    assert names["b"].shape == (5, 3451, 3451)
    assert names["n_epochs"] == len(names["train_losses"]) == len(names["val_losses"]) == 3
    assert names["loss_df"]["Epoch"].tolist() == [0, 1, 2] * 2
    assert len(names["similarities"]) == 5 and all(0 <= similarity < 1 for similarity in names["similarities"])
    modules = [names["enrichment_results"][i][f"{pole}_genes"] for i in range(5) for pole in ("positive", "negative")]
    assert all(len(set(module)) == 50 and set(module) <= set(names["adata"].var_names) for module in modules)
    said = capsys.readouterr().out
    assert "Data dimensions: 2730 cells x 3451 genes" in said
    assert "Correlation genes: ['Car2', 'Ermap', 'Mt2', 'Blvrb'" in said
    assert said.count("Error in enrichment analysis for") == 10  # whatever the service would have answered
    assert "Analysis complete!" in said.splitlines()[-1]


@pytest.mark.skipif(not TEXT, reason="BMLP_FIRST_NOTEBOOK names no text of the first notebook")
def test_cells_are_those_of_the_first_notebook():
    lines = [line.rstrip() for line in Path(TEXT).read_text(encoding="utf-8").splitlines()]
    after = [part.strip() for part in re.split(r"^In \[.*\]:$", "\n".join(lines), flags=re.MULTILINE)[1:]]
    assert len(after) == len(ALL_CELLS)
    for cell, text in zip(ALL_CELLS, after, strict=True):  # what follows a cell is its output, or prose
        assert f"{text}\n".startswith(f"{cell}\n")
