"""Covariates taken out of expression and frequencies, on cells of three types and of very different depths."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from scripts import graph
from scripts.cells import COUNTS, COVARIATES, Preparation, describe, labels_of, loading, splits, with_counts
from scripts.datasets import add_frequencies, prepare
from scripts.errors import InputError
from scripts.evaluation import covariates
from scripts.regression import explained_by_chance, features, regress_out
from scripts.sources import resolve
from tests import reference
from tests.cells import cases

SETTINGS = Preparation(n_freq_comps=4, unconnected="largest")
OF_DEPTH = Preparation(n_freq_comps=4, unconnected="largest", regress=["total_counts"])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Cells whose types pass into each other; beside these, they differ in depth alone."""
    adata, random = cases.base(), np.random.default_rng(0)
    own = np.arange(cases.N_GENES) % cases.N_TYPES == (np.arange(cases.N_CELLS) % cases.N_TYPES)[:, None]
    depth = 0.5 * random.lognormal(0, 1, (cases.N_CELLS, 1))
    adata.X = random.poisson(depth * (1 + 4 * own * random.uniform(0, 1, (cases.N_CELLS, 1)))).astype(np.float32)
    adata.obs["donor"] = pd.Categorical(np.where(np.arange(cases.N_CELLS) % 2, "d1", "d2"))
    adata.obs["cell"] = [f"of {name}" for name in adata.obs_names]
    adata.obs["same"], adata.obs["age"] = "same", np.where(np.arange(cases.N_CELLS) < 9, np.nan, depth.ravel())
    adata.obs["clone"] = [f"c{i // 5}" for i in range(cases.N_CELLS)]
    path = tmp_path_factory.mktemp("regress") / "cells.h5ad"
    adata.write_h5ad(path)
    return resolve(str(path))


@pytest.fixture(scope="module")
def plain(source):
    return prepare(source, SETTINGS)


@pytest.fixture(scope="module")
def regressed(source):
    return prepare(source, OF_DEPTH)


def explained(adata):
    """R2 of the frequencies from depth, and the share between types, each (n_freq,)."""
    table = covariates.variance_explained(adata.obsm["X_freq"], covariates.known_covariates(adata))
    by_type = graph.label_separation(adata.obsm["X_freq"], labels_of(adata))["variance_between_labels"]
    return table[table["covariate"] == "total counts"]["r2"].to_numpy(), by_type.to_numpy()


@pytest.mark.parametrize("fit_rows", [slice(None), np.arange(3, 80)])
def test_what_covariates_explain_is_taken_out_as_least_squares_have_it(fit_rows):
    random = np.random.default_rng(0)
    known = random.normal(size=(120, 3))
    known = np.hstack([known, known[:, :1] - known[:, 1:2], np.ones((120, 1))])  # some say the same as others
    values = random.normal(size=(120, 700)) + known @ random.normal(size=(5, 700)) + 3
    expected = reference.regressed(values, known, fit_rows)
    found = regress_out(values, known, fit_rows)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(regress_out(values.astype(np.float32), known, fit_rows), expected, atol=1e-4)
    np.testing.assert_allclose(found[fit_rows].mean(axis=0), values[fit_rows].mean(axis=0))
    twice = regress_out(regress_out(values, known), known, fit_rows)  # the same, but for the mean
    np.testing.assert_allclose(twice - twice.mean(axis=0), found - found.mean(axis=0), atol=1e-9)


def test_values_that_know_nothing_of_covariates_lose_what_chance_takes():
    random = np.random.default_rng(0)
    number, group = pd.Series(random.normal(size=200)), pd.Series(pd.Categorical(random.integers(0, 9, 200)))
    known = np.hstack([features(number), features(group)])
    values = random.normal(size=(200, 2000))
    share = 1 - (regress_out(values, known).var(axis=0) / values.var(axis=0)).mean()
    assert abs(share - explained_by_chance(known)) < 0.003


def test_a_frequency_that_follows_depth_is_gone_and_the_types_are_kept(plain, regressed):
    (depth, types), (depth_left, types_left) = explained(plain), explained(regressed)
    assert depth.max() > 0.5 and depth_left.max() < 0.05
    assert np.sort(types)[-2:].min() > 0.7 and np.sort(types_left)[-2:].min() > 0.7
    of_genes = covariates.variance_explained(regressed.X, covariates.known_covariates(regressed))
    assert of_genes[of_genes["covariate"] == "total counts"]["r2"].max() < 0.05
    np.testing.assert_allclose(regressed.X.std(axis=0, ddof=1), 1, rtol=1e-4)


def test_how_much_is_taken_out_is_said(source, regressed):
    share_of_expression, shares = regressed.uns["dataset"]["said"][-2:]
    assert "Expression is regressed on 'total_counts' of obs: " in share_of_expression
    assert shares.startswith("So are the frequencies, from 0 on: ") and "(1.5% would be by chance)" in shares
    assert shares.rstrip(".") in describe(regressed)
    of_donors = prepare(source, Preparation(n_freq_comps=2, unconnected="largest", regress=["donor", "total_counts"]))
    assert of_donors.obsm[COVARIATES].shape == (of_donors.n_obs, 2 + 7)
    means = pd.DataFrame(of_donors.obsm["X_freq"]).groupby(of_donors.obs["donor"].to_numpy(), observed=True).mean()
    np.testing.assert_allclose(means, 0, atol=1e-12)


def test_cells_held_out_from_the_graph_are_regressed_by_coefficients_of_training_cells(plain, regressed):
    split = splits.inductive_split(regressed, OF_DEPTH, 0)
    train, _, test = splits.split_rows(regressed.n_obs, 0)
    known = regressed.obsm[COVARIATES]
    logs = plain.X * plain.var["std"].to_numpy() + plain.var["mean"].to_numpy()  # nothing was taken out of these
    by_training = reference.regressed(logs, known, train)
    mean, deviation = by_training[train].mean(axis=0), by_training[train].std(axis=0)
    assert len(split.test) == len(test)
    np.testing.assert_allclose(split.test.arrays()[0], (by_training[test] - mean) / deviation, atol=1e-3)
    X_train, y_train = split.train.arrays()
    assert len(y_train) == len(train)
    np.testing.assert_allclose(regress_out(y_train, known[train]), y_train, atol=1e-6)
    assert split.extension_r2[0] > 0.5


def test_other_counts_are_regressed_by_the_depth_that_they_give(regressed):
    counts = regressed.layers[COUNTS].copy()
    counts.data = np.random.default_rng(0).binomial(counts.data.astype(int), 0.5).astype(float)
    half = add_frequencies(with_counts(regressed, counts, OF_DEPTH), OF_DEPTH)
    known = {("depth", "total counts"): half.obs[["total_counts"]]}
    np.testing.assert_array_equal(half.obs["total_counts"], half.layers[COUNTS].sum(axis=1).A1)
    assert covariates.variance_explained(half.obsm["X_freq"], known)["r2"].max() < 0.05


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["nowhere"], "no column 'nowhere' in obs to regress on: it has cell_type, donor, "),
        (["total_counts", "same"], r"obs\['same'\] is the same in all cells: take it out of the setting regress"),
        (["cell"], r"obs\['cell'\] has 400 values of a single cell: join them, or take it out"),
        (["age"], r"obs\['age'\] has no value in 9 cells: fill it in, or take it out"),
        (["clone"], "regress names columns of 80 features .*, of which 400 cells bear 40: name fewer columns"),
        (["pct_counts_mt"], "regress needs mitochondrial share .*, which cannot be measured, as no gene's name begins"),
    ],
)
def test_columns_that_cannot_be_regressed_on_are_one_line(source, columns, message):
    with pytest.raises(InputError, match=message):
        loading.load(source, Preparation(regress=columns, drop_empty=False, drop_identical=False))


def test_expression_that_stays_sparse_is_not_regressed(tmp_path, monkeypatch):
    adata = cases.base()
    adata.X = csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    monkeypatch.setattr(loading, "MAX_CORRECTED", 0)
    with pytest.raises(InputError, match="400 cells x 60 genes are too many to be regressed on covariates: leave out"):
        loading.load(resolve(str(tmp_path / "cells.h5ad")), OF_DEPTH)


def test_without_counts_a_measure_is_what_the_file_says_it_is(tmp_path):
    adata, path = cases.base(), tmp_path / "logs.h5ad"
    totals = adata.X.sum(axis=1)
    adata.X = cases.logged(adata.X)
    adata.write_h5ad(path)
    with pytest.raises(InputError, match="regress needs total counts, which cannot be measured, as the values are no"):
        loading.load(resolve(str(path)), OF_DEPTH)
    adata.obs["total_counts"] = totals
    adata.write_h5ad(path)
    assert loading.load(resolve(str(path)), OF_DEPTH).obsm[COVARIATES].shape == (400, 7)
