import numpy as np
import pytest

from scripts import graph
from tests import reference


def test_graph_and_frequencies_equal_the_reference(pbmc):
    values, vectors, adjacency = reference.frequencies(pbmc.X, k=10, n_comps=5)
    np.testing.assert_array_equal(pbmc.obsp["connectivities"].toarray(), adjacency)
    np.testing.assert_allclose(pbmc.uns["freq_vals"], values, atol=1e-8)
    cosines = np.abs((pbmc.obsm["X_freq"] * vectors).sum(axis=0))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


@pytest.mark.paul15
def test_paul15_frequencies_equal_the_reference(paul15):
    adata = paul15[0]
    values, vectors, _ = reference.frequencies(adata.X, k=10, n_comps=5)
    np.testing.assert_allclose(adata.uns["freq_vals"], values, atol=1e-5)
    assert np.abs((adata.obsm["X_freq"] * vectors).sum(axis=0)).min() >= 0.999999


def test_frequencies_are_unit_vectors_and_the_same_each_time(pbmc):
    values, vectors = graph.frequencies(pbmc.obsp["connectivities"], 5)
    np.testing.assert_array_equal(vectors, pbmc.obsm["X_freq"])
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-8)
    assert ((vectors**3).sum(axis=0) > 0).all()
    assert (np.diff(values) >= 0).all()


def test_dirichlet_energy_of_a_frequency_is_its_eigenvalue(pbmc):
    energy = graph.dirichlet_energy(pbmc.obsm["X_freq"], pbmc.obsp["connectivities"])
    np.testing.assert_allclose(energy, pbmc.uns["freq_vals"], rtol=1e-6)


def test_bad_input_is_named():
    X = np.random.default_rng(0).normal(size=(12, 3))
    for k in (0, 12, 20):
        with pytest.raises(ValueError, match=f"k_neighbors={k} is not possible with 12 cells"):
            graph.knn_graph(X, k)
    adjacency = graph.knn_graph(X, 6)
    for n_comps in (0, 11):
        with pytest.raises(ValueError, match=f"n_freq_comps={n_comps} is not possible"):
            graph.frequencies(adjacency, n_comps)
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        graph.knn_graph(X, 3)
