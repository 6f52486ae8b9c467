import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scripts import datasets, findings, reading
from scripts.models import BilinearForm


@pytest.fixture
def read(weights):
    """A form of three frequencies, and 200 cells that have exactly these, with their branches."""
    genes = [f"g{i}" for i in range(40)]
    form = BilinearForm.from_factors(*weights, 0.3, 0.2, genes=genes)
    X = np.random.default_rng(1).normal(size=(200, 40)).astype(np.float32)
    adata = ad.AnnData(
        X, pd.DataFrame({"split": np.resize(["train", "train", "val", "test"], 200)}, map(str, range(200)))
    )
    adata.var_names, adata.obsm["X_freq"], adata.uns["label"] = genes, form.predict(X), ""
    datasets.add_branches(adata, pd.DataFrame())
    return form, adata


def test_genes_of_a_branch_are_those_that_rise_with_its_prediction(read):
    form, adata = read
    table = reading.branch_genes(form, adata, 5)
    assert table.groupby("branch").size().tolist() == [5] * 4
    np.testing.assert_allclose(table["r2"], 1)
    train = (adata.obs["split"] == "train").to_numpy()
    for branch, of_branch in table.groupby("branch"):
        expected = np.corrcoef(adata.X[train].T, adata.obsm["X_branches"][train, branch])[-1, :-1]
        order = np.argsort(-expected)[:5]
        assert of_branch["gene"].tolist() == [f"g{i}" for i in order]
        np.testing.assert_allclose(of_branch["pattern"], expected[order], atol=1e-5)
    assert not reading.branch_genes(form, adata, 5, "^g1")["gene"].str.startswith("g1").any()
    said = findings.about_branch_genes(table)
    assert said[0].startswith("Branch 0 (no label stands out): held-out R² 1.00; with its prediction rise g")


def test_without_branches_there_are_no_genes_of_them(read):
    form, adata = read
    del adata.uns["branches"]
    assert reading.branch_genes(form, adata, 5).empty


def test_branches_that_held_out_cells_do_not_show_are_not_judged(read):
    form, adata = read
    test = (adata.obs["split"] == "test").to_numpy()
    adata.obsm["X_branches"][test] = 0
    table = reading.branch_genes(form, adata, 5)
    assert (
        table["r2"].isna().all()
        and len(table.pivot(index=["branch", "name", "r2"], columns="rank", values="gene")) == 4
    )
    assert "R² not judged" in findings.about_branch_genes(table)[0]
