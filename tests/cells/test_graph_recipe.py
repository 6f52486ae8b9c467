"""Which genes make the graph of a file, and graphs and embeddings that come with it."""

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from scripts import graph
from scripts.cells import Preparation, describe, graph_features, inductive_splits, labels_of
from scripts.datasets import prepare
from scripts.errors import InputError
from scripts.sources import resolve
from tests.cells import cases


def connected():
    """The cells of `cases.base`, whose types pass into each other, so that their graph is one piece."""
    adata, random = cases.base(), np.random.default_rng(1)
    own = np.arange(cases.N_GENES) % cases.N_TYPES == (np.arange(cases.N_CELLS) % cases.N_TYPES)[:, None]
    adata.X = random.poisson(1 + 4 * own * random.uniform(0, 1, (cases.N_CELLS, 1))).astype(np.float32)
    return adata


def written(tmp_path, change=lambda adata: None):
    adata = connected()
    change(adata)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return resolve(str(tmp_path / "cells.h5ad"))


def add_embedding(adata):
    adata.obsm["X_scVI"] = np.random.default_rng(0).normal(size=(adata.n_obs, 4))
    adata.obsm["X_bad"] = np.full((adata.n_obs, 2), np.nan)
    knn = graph.knn_graph(adata.obsm["X_scVI"].astype(np.float32), 6, "euclidean")
    adata.obsp["connectivities"] = sparse.csr_matrix(knn + sparse.eye_array(adata.n_obs))


def rare_genes(adata, n_rare=600):
    """Cells with many genes of a few counts beside their own."""
    random = np.random.default_rng(0)
    noise = random.poisson(np.exp(random.uniform(np.log(0.002), np.log(0.05), n_rare)), (adata.n_obs, n_rare))
    return ad.AnnData(np.hstack([adata.X, noise]).astype(np.float32), adata.obs)


def test_the_graph_of_a_file_is_built_on_components_of_variable_genes_and_says_so(tmp_path):
    source = written(tmp_path)
    found = prepare(source, Preparation())
    assert found.uns["graph"]["built on"] == "59 components of 60 variable genes"
    assert prepare(source, Preparation(graph_genes=0)).uns["graph"]["built on"] == "all genes"
    told = prepare(source, Preparation(graph_genes=20, graph_components=0))
    assert told.uns["graph"]["built on"] == "20 variable genes"
    np.testing.assert_array_equal(told.layers["counts"].toarray(), connected().X)
    with pytest.raises(InputError, match=r"graph_components=60 is not possible: choose 0 \(all genes\) to 59"):
        prepare(source, Preparation(graph_components=60))


def test_rare_genes_do_not_drown_the_graph(tmp_path):
    rare_genes(connected()).write_h5ad(tmp_path / "rare.h5ad")
    source = resolve(str(tmp_path / "rare.h5ad"))
    shares = {}
    for name, settings in {"variable": Preparation(graph_genes=60), "all": Preparation(graph_genes=0)}.items():
        adata = prepare(source, settings)
        shares[name] = graph.label_separation(adata.obsm["X_freq"], labels_of(adata))["variance_between_labels"][:2]
    assert shares["variable"].min() > 0.8, shares
    assert shares["all"].min() < 0.5, shares


@pytest.mark.parametrize("case", [cases.log_normalised, cases.fractional, cases.scaled])
def test_values_that_are_no_counts_make_a_graph_too(tmp_path, case):
    adata = prepare(written(tmp_path, case), Preparation(graph_genes=30))
    assert labels_of(adata).nunique() == 3
    basis = adata.uns["graph"]["built on"]
    assert basis == "all genes" if case is cases.scaled else basis.endswith("variable genes")
    share = graph.label_separation(adata.obsm["X_freq"], labels_of(adata))["variance_between_labels"]
    assert share[0] > 0.5


def test_genes_and_components_of_a_held_out_protocol_know_the_training_cells_alone(tmp_path):
    adata, settings = prepare(written(tmp_path), Preparation(graph_genes=30)), Preparation(graph_genes=30)
    rows = np.arange(200)
    found = graph_features(adata, settings, fit_rows=rows)[0]
    other = adata.copy()
    other.X[300:] += 5
    other.layers["counts"][300:] *= 3
    again = graph_features(other, settings, fit_rows=rows)[0]
    np.testing.assert_allclose(again[:300], found[:300], atol=1e-4)
    (split,) = inductive_splits(adata, settings, 1)
    assert split.extension_r2[:2].min() > 0.5


def test_an_embedding_of_the_file_makes_the_graph(tmp_path):
    source = written(tmp_path, add_embedding)
    settings = Preparation(use_rep="X_scVI", k_neighbors=6, n_freq_comps=5, metric="euclidean")
    adata = prepare(source, settings)
    assert adata.uns["graph"]["built on"] == "obsm['X_scVI']"
    embedding = adata.obsm["X_scVI"].astype(np.float32)
    expected = graph.frequencies(graph.knn_graph(embedding, 6, "euclidean"), 5)[0]
    np.testing.assert_allclose(adata.uns["freq_vals"], expected)
    assert len(inductive_splits(adata, settings, 1)) == 1


def test_a_graph_of_the_file_is_taken_as_it_is(tmp_path):
    source = written(tmp_path, add_embedding)
    settings = Preparation(use_graph="connectivities")
    adata = prepare(source, settings)
    knn = graph.knn_graph(cases_embedding(), 6, "euclidean")
    np.testing.assert_allclose(adata.obsp["connectivities"].toarray(), knn.toarray())
    np.testing.assert_allclose(adata.uns["freq_vals"], graph.frequencies(knn, 5)[0])
    assert adata.uns["graph"]["built on"] == "obsp['connectivities']"
    assert inductive_splits(adata, settings, 1) == []


def cases_embedding():
    adata = connected()
    add_embedding(adata)
    return adata.obsm["X_scVI"].astype(np.float32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_rep": "X_pca"}, r"has no obsm\['X_pca'\]: it has \['X_bad', 'X_scVI'\]"),
        ({"use_graph": "nowhere"}, r"has no obsp\['nowhere'\]: it has \['connectivities'\]"),
        ({"use_rep": "X_bad"}, r"obsm\['X_bad'\] holds values that are no finite numbers"),
    ],
)
def test_what_is_not_there_or_not_finite_is_named(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        prepare(written(tmp_path, add_embedding), Preparation(**settings))
    with pytest.raises(InputError, match=r"krumsiek11 has no obs[mp]\['"):
        prepare(resolve("krumsiek11"), Preparation(**settings))


def apart(adata):
    """Two donors whose cells share no neighbour."""
    adata.obs["donor"] = np.where(np.arange(adata.n_obs) < 150, "d1", "d2")
    adata.obs["plate"] = np.where(np.arange(adata.n_obs) < 1, "p1", "p2")
    adata.X[:150, :30] *= 20
    adata.X[150:, 30:] *= 20


def test_parts_of_the_graph_are_named_by_label_and_batch(tmp_path):
    parts = (
        r"2 parts: 250 cells \(cell_type .*, donor d2 100%, .*\); 150 cells \(.*d1 100%, .*\); .*batch: a column of obs"
    )
    with pytest.raises(InputError, match=parts):
        prepare(written(tmp_path, apart), Preparation())


def test_batches_that_are_corrected_for_share_one_graph_and_their_types_are_found(tmp_path):
    adata = prepare(written(tmp_path, apart), Preparation(batch="donor"))
    assert adata.uns["graph"]["parts"].tolist() == [400]
    assert "Expression is corrected for obs['donor'] (2 batches) by ComBat" in describe(adata)
    types, batches = labels_of(adata), adata.obs["donor"]
    shares = [graph.label_separation(adata.obsm["X_freq"], of)["variance_between_labels"][0] for of in (types, batches)]
    assert shares[0] > 0.5 > 0.1 > shares[1]
    means = [adata.X[(batches == donor).to_numpy()].mean(axis=0) for donor in ("d1", "d2")]
    np.testing.assert_allclose(*means, atol=0.1)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("nowhere", "no column 'nowhere' in obs for the batches: it has cell_type, donor, plate"),
        ("plate", r"obs\['plate'\] names no batches"),
        ("total_counts", r"obs\['total_counts'\] names no batches"),
    ],
)
def test_a_column_that_names_no_batches_is_refused(tmp_path, batch, message):
    with pytest.raises(InputError, match=message):
        prepare(written(tmp_path, apart), Preparation(batch=batch))


@pytest.mark.paul15
@pytest.mark.slow
def test_rare_genes_leave_the_first_frequencies_of_paul15_as_published(tmp_path, paul15):
    clean = paul15[0]
    counts, random = clean.layers["counts"].toarray(), np.random.default_rng(0)
    size = counts.sum(axis=1) / np.median(counts.sum(axis=1))
    means = np.exp(random.uniform(np.log(0.0005), np.log(0.02), 15_000))
    rare = random.poisson(size[:, None] * means)
    ad.AnnData(sparse.csr_matrix(np.hstack([counts, rare]).astype(np.float32))).write_h5ad(tmp_path / "rare.h5ad")
    found = prepare(resolve(str(tmp_path / "rare.h5ad")), Preparation(n_freq_comps=5)).obsm["X_freq"]
    published = clean.obsm["X_freq"]
    recovered = 1 - ((published - found @ (found.T @ published)) ** 2).sum(axis=0)
    assert recovered[:3].min() >= 0.9, recovered
