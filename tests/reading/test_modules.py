import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts import datasets, findings, reading
from scripts.models import BilinearForm
from scripts.reading.modules import repeats
from tests import reference

PLACES = ["frequency", "module", "trusted"]


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


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_patterns_are_the_correlations_with_the_axes(kind, read, monkeypatch):
    form, adata = read
    monkeypatch.setattr("scripts.blocks.BLOCK", 7)
    X = adata.X + 3
    X[:, 5] = 2
    found = reading.patterns(form, kind(X), 4)
    assert found.shape == (3, 40, 4) and (found[:, 5] == 0).all()
    for f, loadings in enumerate(form.modules(4)[1]):
        for module, u in enumerate(loadings.T):
            np.testing.assert_allclose(found[f, :, module], reference.pattern(X.astype(float), u), atol=1e-5)


def test_random_axes_are_as_many_as_asked_and_prefer_no_direction(read):
    form, adata = read
    X = adata.X.copy()
    X[:, 0] *= 100  # the basis has one long direction
    found = reading.random_patterns(form, X, 400, 1)
    assert found.shape == (1, 40, 400)
    basis = np.linalg.qr(form.basis)[0]
    share = (found[0, 0] ** 2).mean()  # of the axes' variance that is the long gene's
    assert share == pytest.approx(1 / basis.shape[1], rel=0.25)
    np.testing.assert_array_equal(found, reading.random_patterns(form, X, 400, 1))


def judged_cells(read):
    form, adata = read
    trusted = pd.DataFrame([(f, m, m == 1) for f in range(3) for m in (1, 2)], columns=PLACES)
    return form.turned(adata.X, adata.obsm["X_freq"]), adata, trusted.assign(stability=0.8, stability_anew=0.7)


def test_what_axes_are_about_is_measured_in_held_out_cells_and_at_their_ends(read):
    form, adata, trusted = judged_cells(read)
    values, loadings = form.modules(2)
    axes = adata.X @ np.hstack(list(loadings))
    adata.obs["type"] = pd.Categorical(np.where(axes[:, 3] > np.quantile(axes[:, 3], 0.9), "tip", "body"))
    adata.uns["label"] = "type"
    table = reading.module_axes(form, adata, trusted, same_axis=0.999)
    test, y = (adata.obs["split"] == "test").to_numpy(), adata.obsm["X_freq"]
    for place, row in enumerate(table.itertuples()):
        axis, target = axes[test, place], y[test, row.frequency]
        assert row.axis_correlation == pytest.approx(np.corrcoef(axis, target)[0, 1], abs=1e-5)
        score = values[row.frequency, row.module - 1] * axis**2
        assert row.score_correlation == pytest.approx(np.corrcoef(score, target)[0, 1], abs=1e-5)
    assert table["positive_cells"].iloc[3] == "tip" and table["positive_cells_share"].iloc[3] == 1
    assert table["negative_cells"].iloc[3] == "no label stands out" and table["repeats"].isna().all()
    listed = reading.module_table(form, reading.patterns(form, adata.X, 2), 5, table)
    own = listed[(listed["frequency"] == 1) & (listed["module"] == 2)]
    assert set(own.loc[own["pole"] == "positive", "cells"]) == {"tip"}
    assert set(own.loc[own["pole"] == "negative", "cells"]) == {"no label stands out"}
    assert own["stability_anew"].eq(0.7).all() and not own["trusted"].any()
    adata.obsm["X_freq"][test, 0] = 1.0
    table = reading.module_axes(form, adata, trusted)
    assert table["axis_correlation"].isna().tolist() == [True, True, False, False, False, False]


def test_an_axis_is_named_once_by_the_first_trusted_module():
    trusted = pd.DataFrame({"frequency": [0, 0, 1, 1], "module": [1, 2, 1, 2], "trusted": [False, True, True, False]})
    similarity = np.eye(4)
    for a, b, value in ((0, 2, 0.95), (1, 3, 0.9), (0, 1, 0.89)):
        similarity[a, b] = similarity[b, a] = value
    found = repeats(similarity, trusted, 0.9)
    assert found[[0, 3]].tolist() == ["f1_m1", "f0_m2"] and pd.isna(found[[1, 2]]).all()
    assert pd.isna(repeats(similarity, trusted, 0.96)).all()
    every = repeats(np.ones((4, 4)), trusted, 0.9)
    assert every[[0, 2, 3]].tolist() == ["f0_m2"] * 3 and pd.isna(every[1])


def test_modules_of_the_same_axis_in_two_frequencies_are_one():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(40, 3)))[0]
    core = np.stack([np.diag([3.0, 1.0, 0.5]), np.diag([0.5, -3.0, 1.0])])  # the first of either is the other's last
    form = BilinearForm(basis, core, np.zeros((2, 40)), np.zeros(2), [f"g{i}" for i in range(40)])
    X = random.normal(size=(300, 40))
    adata = ad.AnnData(X, pd.DataFrame({"split": ["train"] * 200 + ["test"] * 100}, map(str, range(300))))
    adata.obsm["X_freq"], adata.uns["label"] = form.predict(X), ""
    trusted = pd.DataFrame([(f, m, f == 1) for f in (0, 1) for m in (1, 2, 3)], columns=PLACES)
    found = reading.module_axes(form, adata, trusted)["repeats"]
    assert found.tolist()[:3] == ["f1_m3", "f1_m1", "f1_m2"] and found[3:].isna().all()
