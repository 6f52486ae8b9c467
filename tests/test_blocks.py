import numpy as np
import pytest
from scipy import sparse

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


def test_rows_are_spread_evenly_and_none_comes_twice():
    np.testing.assert_array_equal(evenly(5, 10), np.arange(5))
    np.testing.assert_array_equal(evenly(101, 5), [0, 25, 50, 75, 100])
    assert len(evenly(0, 5)) == 0
