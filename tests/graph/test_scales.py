import numpy as np
import pytest
from scipy.sparse import block_diag, csr_array

from scripts import graph
from scripts.graph import scales
from tests import reference


def ring(n_cells):
    """Cells on a ring: frequencies in pairs of equal eigenvalues, whose vectors may be rotated at will."""
    ones = np.ones(n_cells)
    return csr_array(np.roll(np.diag(ones), 1, axis=1) + np.roll(np.diag(ones), -1, axis=1))


@pytest.fixture
def two():
    """Six frequencies of 50 cells, and seven more or less like them."""
    random = np.random.default_rng(0)
    one = random.normal(size=(50, 6))
    return one, np.hstack([one, one[:, :1]]) + 0.5 * random.normal(size=(50, 7)) + 3


def test_canonical_correlations_and_partners_are_as_the_slow_formulas_have_them(two):
    one, other = two
    found = scales.canonical_correlations(one, other)
    for k in range(1, 7):
        np.testing.assert_allclose(
            found[k - 1, :k], reference.canonical_correlations(one[:, :k], other[:, :k]), atol=1e-8
        )
        assert np.isnan(found[k - 1, k:]).all()
    partners = np.abs(np.corrcoef(one.T, other.T)[:6, 6:]).max(axis=1)
    np.testing.assert_allclose(scales.best_partners(one, other), partners, atol=1e-12)


def test_rotations_among_the_leading_ones_change_nothing(two):
    one, other = two
    random = np.random.default_rng(1)
    turned, turned_too = (vectors.copy() for vectors in two)
    turned[:, :4] = one[:, :4] @ np.linalg.qr(random.normal(size=(4, 4))).Q
    turned_too[:, :4] = other[:, :4] @ random.normal(size=(4, 4))
    found, again = (scales.canonical_correlations(*pair) for pair in ((one, other), (turned, turned_too)))
    np.testing.assert_allclose(found[3:], again[3:], atol=1e-8)
    assert np.abs(found[:3] - again[:3])[np.tril_indices(3)].max() > 0.05


def test_where_another_graph_has_fewer_the_rest_does_not_come_back(two):
    one, _ = two
    found = scales.canonical_correlations(one, one[:, :2])
    np.testing.assert_allclose(found[1, :2], 1)
    assert np.isnan(found[2:]).all()
    table = scales.scale_table(np.arange(6.0), one, [(np.arange(50), one[:, :2])], np.ones(6))
    assert table["comes_back"].tolist() == [True, True, *[False] * 4]


def test_frequencies_that_rotate_into_each_other_are_one_group():
    values, vectors = graph.frequencies(ring(40), 5)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = vectors.copy()
    turned[:, :2], turned[:, 2:4] = vectors[:, :2] @ turn, vectors[:, 2:4] @ turn.T
    turned[:, 4] = np.random.default_rng(0).normal(size=40)
    every = np.arange(40)
    table = graph.scale_table(values, vectors, [(every, turned), (every, vectors)], np.ones(5), depth=np.exp(-every))
    assert table["comes_back"].tolist() == [False, True, False, True, False]
    assert table["group"].tolist()[:4] == [0, 0, 1, 1] and np.isnan(table["group"][4])
    np.testing.assert_allclose(table["alone_lowest"][:4], 0.8)
    np.testing.assert_allclose(table["alone"][:4], 0.9)
    assert table["canonical_correlations"][3] == "1.00 1.00 1.00 1.00"
    assert list(table) == graph.SCALES


@pytest.mark.parametrize(
    ("back", "n_kept", "n"),
    [
        ([1, 1, 1, 1, 0, 1, 0], 5, 6),  # five cut a group
        ([1, 1, 1, 1, 1, 1, 0, 1, 0], 5, 6),  # each one more comes back up to the sixth
        ([1, 0, 1, 0, 1, 0, 0], 4, 5),  # in pairs
        ([1, 1, 0, 0, 0], 4, 2),  # none from there on
        ([1, 1, 1], 2, 3),  # as far as was looked
        ([0, 0], 1, 0),
    ],
)
def test_as_many_are_kept_as_cut_no_group(back, n_kept, n):
    assert graph.n_to_keep(np.array(back, bool), n_kept) == n


def test_a_scale_whose_bridge_is_lost_is_still_there():
    apart = block_diag([np.ones((30, 30)) - np.eye(30), ring(20)], format="lil")
    rows, values, vectors = graph.frequencies_in_parts(csr_array(apart), 3)
    np.testing.assert_array_equal(rows, np.arange(50))
    assert values[0] == 0 and (values[1:] > 0).all()
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-8)
    apart[0, 30] = apart[30, 0] = 0.01
    bridged = graph.frequencies(csr_array(apart), 3)[1]
    np.testing.assert_allclose(scales.canonical_correlations(bridged, vectors)[2], 1, atol=0.01)
    assert scales.best_partners(bridged, vectors)[0] > 0.99


def test_frequencies_of_parts_are_eigenvectors_of_either_laplacian():
    apart = csr_array(block_diag([ring(20), ring(30), ring(25)]))
    for normalized in (False, True):
        _, values, vectors = graph.frequencies_in_parts(apart, 6, normalized)
        np.testing.assert_allclose(graph.laplacian(apart, normalized) @ vectors, vectors * values, atol=1e-3)
        expected = np.linalg.eigvalsh(graph.laplacian(apart, normalized).toarray())[1:7]
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_small_parts_are_left_out_and_a_connected_graph_is_taken_as_it_is():
    rows, values, vectors = graph.frequencies_in_parts(csr_array(block_diag([ring(3), ring(400)])), 2)
    np.testing.assert_array_equal(rows, np.arange(3, 403))
    expected = graph.frequencies(ring(400), 2)
    np.testing.assert_allclose(values, expected[0])
    np.testing.assert_allclose(vectors, expected[1])
