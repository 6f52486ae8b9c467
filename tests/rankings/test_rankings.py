import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import mutual_info_score

from scripts import rankings
from scripts.blocks import correlations
from scripts.rankings import greedy
from scripts.rankings.components import by_components, principal_components
from scripts.rankings.training import LIMIT
from tests import reference
from tests.rankings.cases import planted_cells, ranked

OWN = [method for method in rankings.METHODS if method not in rankings.PACKAGES]


@pytest.fixture(scope="module")
def planted():
    return ranked(planted_cells())


def test_greedy_takes_the_largest_gain_each_time():
    random = np.random.default_rng(0)
    X, targets = random.normal(size=(80, 12)), random.normal(size=(80, 2))
    X, targets, chosen = X - X.mean(axis=0), targets - targets.mean(axis=0), []
    for _ in range(5):
        left = [
            np.linalg.lstsq(X[:, [*chosen, g]], targets, rcond=None)[1].sum() if g not in chosen else np.inf
            for g in range(12)
        ]
        chosen.append(int(np.argmin(left)))
    assert greedy(X.T @ X, X.T @ targets, 5).tolist() == chosen
    alike = np.column_stack([X[:, 0], X[:, 0], np.zeros(80)])  # the same gene twice, and a constant one
    assert greedy(alike.T @ alike, alike.T @ targets, 3).tolist() == [0]


def test_greedy_panels_name_each_program_and_correlation_repeats_one(planted):
    found = planted[1].orders
    assert 10 in found[rankings.PANEL, 0][:3] and 10 in found[rankings.LINEAR, 0][:3]
    assert set(found[rankings.CORRELATION, 0][:10]) == set(range(10))
    assert all(len(set(order.tolist())) == len(order) == 25 for order in found.values())
    assert list(dict.fromkeys(method for method, _ in found)) == OWN
    assert set(planted[1].seconds) == set(OWN) - {rankings.RANDOM} and not planted[1].left_out


def test_mutual_information_equals_that_of_the_binned_values():
    random = np.random.default_rng(0)
    y = random.normal(size=(400, 2))
    X = np.stack([y[:, 0] ** 2, random.normal(size=400), random.poisson(0.5, 400)], axis=1)
    found = rankings.mutual_information(X, y, n_bins=4)
    for (gene, frequency), value in np.ndenumerate(found):
        bins = [np.searchsorted(np.quantile(v, [0.25, 0.5, 0.75]), v) for v in (X[:, gene], y[:, frequency])]
        bias = (len(set(bins[0])) - 1) * 3 / 800
        assert value == pytest.approx(mutual_info_score(*bins) - bias, abs=1e-5)
    assert found[0, 0] > 0.3 > 0.05 > np.abs(found[1:]).max()


def test_expression_is_standardised_limited_and_the_same_for_sparse_cells():
    X = np.random.default_rng(0).poisson(0.3, size=(300, 5)).astype(np.float32)
    X[0, 1], X[:, 4] = 1000, 2
    found = rankings.Expression.of(X).columns(X, np.arange(5))
    np.testing.assert_allclose(found[:, 0], (X[:, 0] - X[:, 0].mean()) / X[:, 0].std(), atol=1e-5)
    assert found.max() == LIMIT and (found[:, 4] == 0).all()
    in_sparse = sparse.csr_array(X)
    np.testing.assert_allclose(rankings.Expression.of(in_sparse).columns(in_sparse, np.arange(5)), found, atol=1e-5)


def test_correlation_of_products_equals_that_of_residuals_pair_by_pair():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 6))
    X[:, 1] += X[:, 0]  # correlated genes
    X[:, 2] = np.exp(X[:, 2])  # a skewed one
    X[:, 5] = X[:, 4]  # twice the same: their product is not asked
    y = np.stack([X[:, 0] * X[:, 2] + X[:, 3] + random.normal(size=300), random.normal(size=300)], axis=1)
    X, y = X - X.mean(axis=0), y - y.mean(axis=0)
    found = rankings.product_correlations(X, y)
    np.testing.assert_allclose(found, reference.product_correlations(X, y), atol=1e-6)
    assert set(np.argsort(-found[:, 0])[:2]) == {0, 2} and found[0, 0] > 0.5 > found[:, 1].max()
    constant = np.column_stack([X[:, 0], np.zeros(300)])
    assert not rankings.product_correlations(constant, y).any()


def test_components_weigh_loadings_by_what_they_say_of_the_frequency():
    random = np.random.default_rng(0)
    programs = random.normal(size=(400, 2)) * [3, 2]
    X = np.hstack([programs[:, [0]] + 0.5 * random.normal(size=(400, 5)), random.normal(size=(400, 20))])
    X[:, 5:8] += programs[:, [1]]
    scores, loadings = principal_components(X)
    found = by_components(scores, loadings, programs)
    expected = [
        [
            np.sqrt(sum((np.corrcoef(z, v)[0, 1] * load) ** 2 for z, load in zip(scores.T, of_gene, strict=True)))
            for v in programs.T
        ]
        for of_gene in loadings
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert set(np.argsort(-found[:, 0])[:5]) == set(range(5)) and set(np.argsort(-found[:, 1])[:3]) == {5, 6, 7}
    of_sparse = np.abs(correlations(principal_components(sparse.csr_array(X))[0], scores))
    assert of_sparse.diagonal()[:2].min() > 0.999


@pytest.mark.parametrize("parts", [1, 2])
def test_laplacian_score_equals_the_formula_with_the_whole_transition_matrix(parts):
    random = np.random.default_rng(0)
    near = random.random((60, 60)) < 0.1
    if parts == 2:
        near[:20, 20:] = near[20:, :20] = False
    near[59] = near[:, 59] = False  # a cell without neighbours
    A = np.triu(near, 1).astype(float) * random.random((60, 60))
    A = A + A.T
    X = random.normal(size=(60, 4)).astype(np.float32)
    X[:, 1] = np.linalg.eigh(np.diag(A.sum(axis=1)) - A)[1][:, 3]
    X[:, 3] = 2
    found = rankings.laplacian_scores(sparse.csr_array(A), X, (0.5, 3.0, 40.0))
    expected = reference.multiscale_laplacian_scores(A, X, (0.5, 3.0, 40.0))
    np.testing.assert_allclose(found[:, :3], expected[:, :3], atol=1e-4)
    assert (found[:, 3] > 0.99).all() and (np.diff(found[:, [0, 2]], axis=0) > 0).all()


def test_one_list_is_the_same_for_all_frequencies_and_names_what_is_smooth_on_the_graph(planted):
    adata = planted_cells()
    adata.obsm["X_freq"] = np.column_stack([adata.obsm["X_freq"], adata.X[:, 20]])
    _, found = ranked(adata)
    smooth = found.orders[rankings.LAPLACIAN, 0]
    assert set(smooth[:11]) == set(range(11)) and (smooth == found.orders[rankings.LAPLACIAN, 1]).all()
    assert found.orders[rankings.CORRELATION, 1][0] == 20


def test_edges_and_counts_of_training_cells_are_their_own(planted):
    adata, split = planted_cells(), planted[0]
    known = rankings.TrainingCells.of(adata, split)
    some = known.some(np.arange(0, len(known.y), 3))
    rows = split.train_rows[::3]
    assert (some.adjacency.toarray() == adata.obsp["connectivities"].toarray()[np.ix_(rows, rows)]).all()
    assert (some.counts.toarray() == adata.layers["counts"].toarray()[rows]).all()
    np.testing.assert_array_equal(some.X, adata.X[rows])
