import numpy as np
import pytest

from scripts.cells.splits import CellDataset
from scripts.errors import InputError
from scripts.evaluation import rivals
from scripts.models.kernel import KernelRidge, polynomial_ridge, solve_kernel
from tests import reference


@pytest.mark.parametrize("shape", [(30,), (30, 2)])
def test_solution_is_that_of_the_penalised_system(shape):
    random = np.random.default_rng(0)
    features, y = random.normal(size=(30, 8)), random.normal(size=shape)
    kernel = features @ features.T
    np.testing.assert_allclose((kernel + 0.3 * np.eye(30)) @ solve_kernel(kernel.copy(), 0.3, y), y, atol=1e-10)
    ridge = np.linalg.solve(features.T @ features + 0.3 * np.eye(8), features.T @ y)
    np.testing.assert_allclose(features.T @ solve_kernel(kernel.copy(), 0.3, y), ridge, atol=1e-10)


def test_a_penalty_too_small_is_an_error():
    with pytest.raises(np.linalg.LinAlgError):
        solve_kernel(np.ones((4, 4)), -0.5, np.ones(4))


def cells(n_cells=60, seed=0):
    """Features of cells, and two targets, the second a product of three of them."""
    random = np.random.default_rng(seed)
    z = random.normal(size=(n_cells, 4))
    return z, np.stack([z[:, 0] - z[:, 1], z[:, 1] * z[:, 2] * z[:, 3]], axis=1)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_polynomial_kernel_is_the_ridge_on_all_products(order):
    (z, y), new = cells(), cells(seed=1)[0]
    model = KernelRidge("polynomial", reference.Plain, (1e-2,), (2.0,), order)
    model.fit(CellDataset(z, y), CellDataset(z, y))
    z = z.astype(np.float32)
    expected = reference.polynomial_ridge(z, y, order, 2.0, 1e-2)
    np.testing.assert_allclose(model.predict(new), expected(new), atol=1e-4)
    again = model.refit(*cells(40, seed=2))
    assert (again.rate, again.penalty) == (model.rate, model.penalty)
    np.testing.assert_allclose(model.refit(z, y).predict(new), model.predict(new), atol=2e-4)
    assert np.abs(again.predict(new) - model.predict(new)).max() > 1e-3


@pytest.mark.parametrize(("kernel", "order"), [("linear", 1), ("polynomial", 1), ("polynomial", 2), ("polynomial", 3)])
def test_fits_by_products_are_those_by_the_kernel_of_cells(kernel, order):
    z, y = cells()
    model = KernelRidge(kernel, reference.Plain, (1e-3, 1e-1), (0.5, 2.0), order)
    pairs = list(zip(model._by_products(z, y, z[:9]), model._by_cells(z, y, z[:9]), strict=True))
    assert len(pairs) == 4
    for one, other in pairs:
        assert one[1] == other[1] and (kernel == "linear" or one[0] == pytest.approx(other[0]))
        np.testing.assert_allclose(one[2], other[2], rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(one[3], other[3], rtol=1e-6, atol=1e-9)


def test_cells_are_predicted_in_parts(monkeypatch):
    (z, y), new = cells(), cells(100, seed=1)[0]
    for make in (rivals.rbf_ridge, rivals.linear_ridge, polynomial_ridge):
        model = make()
        model.fit(CellDataset(z, y), CellDataset(z, y))
        whole = model.predict(new)
        monkeypatch.setattr("scripts.models.kernel.N_PREDICTED", 7)
        np.testing.assert_allclose(model.predict(new), whole, rtol=1e-5, atol=1e-6)
        monkeypatch.undo()


def test_gradients_are_finite_differences():
    z, y = cells()
    model = KernelRidge("polynomial", reference.Plain, (1e-2,), (2.0,), 3)
    model.fit(CellDataset(z, y), CellDataset(z, y))
    expected = reference.gradients(model.predict, z.astype(np.float32).astype(float))
    np.testing.assert_allclose(model.gradients(), expected, atol=1e-4)


def test_a_product_of_three_genes_takes_the_third_order():
    train, val, (new, y) = CellDataset(*cells(600)), CellDataset(*cells(200, 1)), cells(200, 2)
    errors = []
    for order in (2, 3):
        model = polynomial_ridge(order)
        model.fit(train, val)
        errors.append(((model.predict(new) - y) ** 2).mean(axis=0) / y.var(axis=0))
    assert errors[0][1] > 0.8 and errors[1][1] < 0.1 and errors[0][0] < 0.05


def test_kernels_that_are_not_known_or_cannot_be_read_are_named():
    with pytest.raises(InputError, match="kernel='cosine' is not known: choose one of linear, polynomial, rbf"):
        KernelRidge("cosine", reference.Plain, (1.0,))
    for model in (polynomial_ridge(4), rivals.rbf_ridge()):
        model.fit(CellDataset(*cells()), CellDataset(*cells()))
        with pytest.raises(InputError, match="cannot be read as a polynomial: fit one of order 1 to 3"):
            model.polynomial(list("abcd"))
