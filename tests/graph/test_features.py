import numpy as np
import pytest
from scipy import sparse

from scripts.graph import features, participation


def made_counts(n_cells=300, n_genes=1000, n_variable=20, seed=0):
    """Poisson counts, the first genes of which are far higher in one or the other half of the cells."""
    random = np.random.default_rng(seed)
    mean = np.tile(np.exp(random.normal(0, 1, n_genes)), (n_cells, 1))
    half = np.arange(n_cells)[:, None] < n_cells // 2
    mean[:, :n_variable] = np.where(half == (np.arange(n_variable) % 2 == 0), 7.5, 0.2)
    return random.poisson(mean).astype(np.float32)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csr_array])
@pytest.mark.parametrize("counts", [True, False])
def test_the_variable_genes_are_those_that_differ_between_cells(form, counts):
    X = made_counts()
    found = features.variable_genes(form(X if counts else np.log1p(X)), 40, counts)
    assert found.sum() == 40 and found[:20].mean() >= 0.9


def test_genes_of_a_few_cells_are_not_variable():
    X = made_counts()
    X[:, -2:] = 0
    X[:2, -1] = 50
    found = features.variable_genes(X, 1000, counts=True)
    assert found[:-2].all()
    assert not found[-2:].any()
    X[2, -1] = 50  # three cells, and one in a hundred
    assert features.detected_genes(X)[-1]


def test_genes_are_weighted_by_the_root_of_their_deviation_whatever_their_units():
    random = np.random.default_rng(1)
    logs = random.normal(size=(200, 6)) * [0.1, 1, 4, 2, 0, 1]
    genes = np.array([1, 1, 1, 0, 1, 0], bool)
    rows = np.arange(50, 200)
    spread = logs[rows].std(axis=0)
    expected = logs[:, genes] / np.sqrt(np.where(spread > 0, spread, np.inf))[genes]
    found = features.pareto_scaled(logs, genes, np.ones(6), rows)[:]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    unit = np.array([3.0, 0.5, 2, 1, 1, 1])
    np.testing.assert_allclose(features.pareto_scaled(logs / unit, genes, unit, rows)[:], expected, rtol=1e-5)
    of_sparse = features.pareto_scaled(sparse.csr_array(logs / unit), genes, unit, rows)[:]
    np.testing.assert_allclose(of_sparse.toarray(), expected, rtol=1e-5)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_components_are_those_of_the_cells_that_are_fitted(form):
    X = made_counts()
    rows = np.arange(0, 300, 2)
    _, s, Vt = np.linalg.svd(X[rows] - X[rows].mean(axis=0), full_matrices=False)
    found = features.components(form(X), 2, rows, random_state=0)
    expected = (X - X[rows].mean(axis=0)) @ Vt[:2].T
    assert found.dtype == np.float32
    for column in range(2 if s[1] > 1.05 * s[2] else 1):
        assert abs(np.corrcoef(found[:, column], expected[:, column])[0, 1]) > 0.99


def test_a_vector_lives_on_as_many_cells_as_it_is_spread_over():
    few, all_cells = np.zeros(100), np.ones(100)
    few[:7] = -2
    np.testing.assert_allclose(participation(np.stack([few, all_cells], axis=1)), [7, 100])
