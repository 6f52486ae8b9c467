from functools import partial

import numpy as np
import pytest
from scipy import sparse

from scripts.bmlp import Config, ScBMLPRegressor
from scripts.cells.splits import CellDataset
from scripts.evaluation import rivals
from scripts.models import BilinearRidge, GeneRidge, ProgramRidge, polynomial_ridge

N_GENES, N_FREQ = 25, 3
GENES = [f"g{i}" for i in range(N_GENES)]
READABLE = {
    "bilinear ridge": partial(BilinearRidge, 20, (6, 10)),
    "squares only": partial(BilinearRidge, 20, (6,), squares_only=True),
    "gene ridge": GeneRidge,
    "gradient descent": partial(ScBMLPRegressor, Config(N_GENES, 8, N_FREQ, n_epochs=30, input_components=10)),
    "gradient descent on all genes": partial(
        ScBMLPRegressor, Config(N_GENES, 8, N_FREQ, n_epochs=3, input_components=0, batch_size=32), "l1"
    ),
}
POLYNOMIAL = {f"polynomial ridge of order {order}": partial(polynomial_ridge, order) for order in (1, 2, 3)} | {
    "trilinear": partial(ScBMLPRegressor, Config(N_GENES, 8, N_FREQ, n_epochs=30, order=3, input_components=10)),
    "programs": ProgramRidge,
    "curves of programs": partial(ProgramRidge, 3, orders=("curves",)),
}
PREDICTING = {
    "mean": rivals.MeanOnly,
    "linear ridge": rivals.linear_ridge,
    "RBF": rivals.rbf_ridge,
    "polynomial ridge of order 4": partial(polynomial_ridge, 4),
}
EVERY = READABLE | POLYNOMIAL | PREDICTING
every_model = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())


def arrays(n_cells=200, seed=0):
    """Sparse expression and targets that are made of genes and their products."""
    random = np.random.default_rng(seed)
    x = (random.normal(size=(n_cells, N_GENES)) * (random.random((n_cells, N_GENES)) < 0.5)).astype(np.float32)
    y = np.stack([x[:, 0] + x[:, 1] * x[:, 2], x[:, 3] - x[:, 4], x[:, 5] ** 2 + x[:, 6]], axis=1)
    return x, y + 0.05 * random.normal(size=y.shape)


TRAIN, VAL, NEW = CellDataset(*arrays()), CellDataset(*arrays(80, 1)), arrays(40, 2)[0]


def fitted(make, train=TRAIN, val=VAL):
    model = make()
    model.fit(train, val)
    return model


@every_model
def test_predictions_are_finite_numbers_and_the_same_from_a_second_fit(make):
    model = fitted(make)
    predicted = model.predict(NEW)
    assert isinstance(predicted, np.ndarray) and predicted.shape == (40, N_FREQ)
    assert np.issubdtype(predicted.dtype, np.floating) and np.isfinite(predicted).all()
    model.fit(TRAIN, VAL)
    np.testing.assert_array_equal(model.predict(NEW), predicted)
    np.testing.assert_array_equal(fitted(make).predict(NEW), predicted)


@every_model
def test_sparse_cells_are_fitted_and_predicted_as_dense_ones(make):
    model = fitted(make)
    tolerance = 1e-2 * VAL.y.numpy().std()  # components of sparse cells come from another solver
    np.testing.assert_allclose(model.predict(sparse.csr_array(NEW)), model.predict(NEW), atol=1e-5)
    in_sparse = [CellDataset(sparse.csr_array(cells.x.numpy()), cells.y) for cells in (TRAIN, VAL)]
    np.testing.assert_allclose(fitted(make, *in_sparse).predict(NEW), model.predict(NEW), atol=tolerance)


@every_model
@pytest.mark.parametrize("form_of", [np.asarray, sparse.csr_array])
def test_cells_of_other_genes_are_refused(make, form_of):
    model = fitted(make)
    with pytest.raises(ValueError, match=rf"shape \(40, 24\), expected \(n_cells, {N_GENES}\)"):
        model.predict(form_of(NEW[:, 1:]))
    with pytest.raises(ValueError, match="validation cells have 24 genes"):
        fitted(make, val=CellDataset(VAL.x[:, 1:], VAL.y))


@every_model
def test_cells_that_nothing_can_be_fitted_to_are_refused_in_one_line(make):
    x, y = arrays()
    unknown, holes = y.copy(), x.copy()
    unknown[3, 0] = np.nan
    holes[4, 2] = np.inf
    for cells, message in [
        (CellDataset(x, unknown), "NaN or infinite"),
        (CellDataset(holes, y), "NaN or infinite"),
        (CellDataset(x[:0], y[:0]), "no cells"),
    ]:
        for pair in ((cells, VAL), (TRAIN, cells)):
            with pytest.raises(ValueError, match=message) as refusal:
                fitted(make, *pair)
            assert "\n" not in str(refusal.value)


@every_model
@pytest.mark.parametrize("constant", [[1], [0, 1, 2]])
def test_a_frequency_that_is_constant_in_training_or_validation_cells_is_predicted_without_harm_to_others(
    make, constant
):
    (x, y), (x_val, y_val) = arrays(), arrays(80, 1)
    flat, flat_val = y.copy(), y_val.copy()
    flat[:, constant], flat_val[:, constant] = 3.0, 3.0
    predicted = fitted(make, CellDataset(x, flat)).predict(NEW)
    np.testing.assert_allclose(predicted[:, constant], 3.0, atol=1e-3)
    assert np.isfinite(predicted).all()
    assert np.isfinite(fitted(make, val=CellDataset(x_val, flat_val)).predict(NEW)).all()


@every_model
def test_a_gene_that_no_training_cell_varies_in_changes_no_prediction(make):
    train, val, new = (cells.copy() for cells in (TRAIN.x.numpy(), VAL.x.numpy(), NEW))
    train[:, 9] = np.float32(0.1)
    val[:, 9] = new[:, 9] = np.float32(0.1)
    model = fitted(make, CellDataset(train, TRAIN.y), CellDataset(val, VAL.y))
    other = new.copy()
    other[:, 9] = 50.0
    if make is rivals.rbf_ridge:  # takes each cell to unit length
        assert np.isfinite(model.predict(other)).all()
    else:
        np.testing.assert_allclose(model.predict(other), model.predict(new), atol=1e-3)


@pytest.mark.parametrize("make", READABLE.values(), ids=READABLE.keys())
def test_form_predicts_what_the_model_predicts(make):
    model = fitted(make)
    form = model.form(GENES)
    assert form.genes == GENES and form.n_freq == N_FREQ
    np.testing.assert_allclose(form.basis.T @ form.basis, np.eye(form.basis.shape[1]), atol=1e-8)
    np.testing.assert_allclose(form.core, form.core.swapaxes(1, 2), atol=1e-8)
    np.testing.assert_allclose(form.predict(NEW), model.predict(NEW), atol=1e-4)


AS_POLYNOMIALS = POLYNOMIAL | {"gradient descent": READABLE["gradient descent"]}


@pytest.mark.parametrize("make", AS_POLYNOMIALS.values(), ids=AS_POLYNOMIALS.keys())
def test_polynomial_predicts_what_the_model_predicts_and_explains_it(make):
    model = fitted(make)
    form = model.polynomial(GENES)
    assert form.genes == GENES and form.n_freq == N_FREQ
    np.testing.assert_allclose(form.basis.T @ form.basis, np.eye(form.basis.shape[1]), atol=1e-8)
    np.testing.assert_allclose(form.predict(NEW), model.predict(NEW), atol=1e-4)
    explained = form.constant + form.contributions(NEW).sum(axis=2)
    np.testing.assert_allclose(explained, form.predict(NEW), atol=1e-9)
