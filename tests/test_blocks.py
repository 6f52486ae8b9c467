import numpy as np
import pytest
from scipy import sparse

from scripts import blocks
from scripts.blocks import Standard, dense, evenly
from scripts.cells import splits


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.csr_matrix])
def test_genes_are_standardised_by_some_cells_alone(form):
    X = np.random.default_rng(0).poisson(1.0, (200, 6)).astype(np.float32)
    fitted = X[:150].astype(np.float64)
    found = Standard.of(form(X[:150])).scaled(form(X))
    mean = 0 if sparse.issparse(found) else fitted.mean(axis=0)
    assert found.dtype == np.float32 and sparse.issparse(found) == sparse.issparse(form(X))
    np.testing.assert_allclose(dense(found), (X - mean) / fitted.std(axis=0), atol=1e-5)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("measure", [Standard.of, splits._standard])
def test_a_gene_that_some_cells_do_not_vary_in_does_not_explode_in_others(measure, form):
    X = np.full((1000, 2), 0.1, dtype=np.float32)
    X[900:, 0] = 3.0
    assert 0 < X[:900].std(axis=0)[0] < 1e-6  # the trap: not 0
    standard = measure(form(X[:900]))
    np.testing.assert_array_equal(standard.deviation, 1)
    assert np.abs(dense(standard.scaled(form(X)))).max() <= 3


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_products_of_genes_are_summed_in_parts(monkeypatch, form):
    X = np.random.default_rng(0).poisson(1.0, (203, 6)).astype(np.float32) + np.arange(6, dtype=np.float32)
    monkeypatch.setattr(blocks, "SQUARED", 50)
    centred = X - X.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(blocks.scatter(form(X)), centred.T @ centred, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_seen_in_any_part(monkeypatch, form, bad):
    monkeypatch.setattr(blocks, "BLOCK", 3)
    X = np.ones((10, 2), dtype=np.float32)
    assert blocks.is_finite(form(X)) and blocks.is_finite(form(X[:0]))
    X[9, 1] = bad
    assert not blocks.is_finite(form(X))


def test_rows_are_spread_evenly_and_none_comes_twice():
    np.testing.assert_array_equal(evenly(5, 10), np.arange(5))
    np.testing.assert_array_equal(evenly(101, 5), [0, 25, 50, 75, 100])
    assert len(evenly(0, 5)) == 0
