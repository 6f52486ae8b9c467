import numpy as np
import pytest
from scipy.sparse import csr_matrix

from scripts import blocks
from scripts.cells.splits import CellDataset, torch_splits
from scripts.measures import r2
from scripts.models import ridge
from scripts.models.components import Components, multiple_correlation, target_components
from scripts.models.ridge import BilinearRidge
from tests import reference

GENES = [f"g{i}" for i in range(12)]


def planted(n_cells=300, n_genes=12, seed=0, noise=0.05):
    """Cells whose two targets are made of genes and of products of genes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_cells, n_genes)) + 0.5
    y = np.stack([x[:, 0] * x[:, 1] + x[:, 5], x[:, 2] ** 2 - x[:, 3] * x[:, 4]], axis=1)
    return CellDataset(x, y + noise * random.normal(size=y.shape))


@pytest.fixture
def plain_components(monkeypatch):
    """All genes, centred, as the components, so that the formula can be compared directly."""

    def components(X, y, n_components):
        return Components(X.mean(axis=0).astype(np.float64), np.eye(X.shape[1]))

    monkeypatch.setattr(ridge, "target_components", components)


@pytest.mark.parametrize("n_cells", [40, 300])  # fewer and more cells than features: kernel form and normal equations
def test_fit_equals_the_reference(plain_components, n_cells):
    train, val = planted(n_cells), planted(80, seed=1)
    model = BilinearRidge(12, (12,), (1e-3,), (1e-2,), chunk=17)
    model.fit(train, val)
    X = train.arrays()[0]
    expected = reference.bilinear_ridge(X - X.mean(axis=0), train.arrays()[1], 1e-3, 1e-2)
    new = planted(50, seed=2).arrays()[0]
    np.testing.assert_allclose(model.predict(new), expected(new - X.mean(axis=0)), rtol=1e-4, atol=1e-4)


def test_form_is_the_prediction_exactly_and_reads_planted_pairs():
    model = BilinearRidge(12, (12,))
    model.fit(planted(2000), planted(500, seed=1))
    new = planted(200, seed=2)
    form = model.form(GENES)
    np.testing.assert_allclose(form.predict(new.arrays()[0]), model.predict(new.arrays()[0]), atol=1e-5)
    B = form.basis @ form.core[1] @ form.basis.T
    assert B[2, 2] == pytest.approx(1, abs=0.05) and 2 * B[3, 4] == pytest.approx(-1, abs=0.05)
    assert r2(new.arrays()[1], model.predict(new.arrays()[0])).min() > 0.98


def test_squares_only_has_a_diagonal_core_and_misses_products(plain_components):
    model = BilinearRidge(12, (12,), squares_only=True)
    model.fit(planted(1000), planted(300, seed=1))
    for B in (form := model.form(GENES)).basis @ form.core @ form.basis.T:
        np.testing.assert_allclose(B, np.diag(B.diagonal()), atol=1e-9)
    new = planted(300, seed=2)
    full = BilinearRidge(12, (12,))
    full.fit(planted(1000), planted(300, seed=1))
    X, y = new.arrays()
    assert r2(y, model.predict(X)).mean() < r2(y, full.predict(X)).mean() - 0.2


@pytest.mark.parametrize("form", [np.asarray, csr_matrix])
def test_components_of_many_cells_are_those_of_the_cells_themselves(monkeypatch, form):
    train = planted(600, 30)
    X, y = train.arrays()
    X *= np.linspace(3, 0.3, 30, dtype=np.float32)
    own = target_components(X, y, 8)
    monkeypatch.setattr(blocks, "N_VALUES", 0)
    monkeypatch.setattr(blocks, "SQUARED", 70)
    found = target_components(form(X), y, 8)
    np.testing.assert_allclose(found.mean, own.mean, atol=1e-6)
    np.testing.assert_allclose(found.axes, own.axes, atol=2e-3 * np.abs(own.axes).max())
    flat = np.hstack([X[:, :2], np.ones((600, 3), dtype=np.float32)])
    assert target_components(form(flat), y, 5).axes.shape == (5, 2)
    with pytest.raises(ValueError, match="no gene varies"):
        target_components(form(np.ones_like(X)), y, 5)


def test_sparse_cells_give_the_same_fit_and_two_fits_are_identical():
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 30)) * (random.random((400, 30)) < 0.3)
    y = np.stack([x[:, 0] * x[:, 1] + x[:, 2], x[:, 3]], axis=1)
    dense, sparse = CellDataset(x, y), CellDataset(csr_matrix(x), y)
    fits = [BilinearRidge(20, (10,)) for _ in range(3)]
    for model, cells in zip(fits, (dense, dense, sparse), strict=True):
        model.fit(cells, cells)
    genes = [f"g{i}" for i in range(30)]
    np.testing.assert_array_equal(fits[0].form(genes).modules(3)[1], fits[1].form(genes).modules(3)[1])
    np.testing.assert_allclose(fits[2].predict(csr_matrix(x)), fits[0].predict(x), atol=2e-2)


def test_penalties_are_chosen_on_validation_cells():
    random = np.random.default_rng(0)
    noise = CellDataset(random.normal(size=(200, 12)), random.normal(size=(200, 2)))
    model = BilinearRidge(12, (4, 8))
    search = model.fit(noise, planted(100, seed=1))
    assert (model.chosen["pair_components"] == 4).all()  # nothing to gain: the smallest
    assert model.chosen["pair_penalty"].min() >= 1e-3
    best = search.groupby("frequency")["val_mse"].min()
    assert (model.chosen["val_mse"] >= best - 1e-12).all()


def test_multiple_correlation_equals_the_reference():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 9)).astype(np.float32), random.normal(size=(60, 3))
    X[:, 1] += 2 * y[:, 0]
    X[:, 2] = 1.5
    expected = reference.multiple_correlation(X, y)
    np.testing.assert_allclose(multiple_correlation(X, y), expected, atol=1e-5)
    np.testing.assert_allclose(multiple_correlation(csr_matrix(X), y), expected, atol=1e-5)


def test_components_have_their_formula():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(200, 15)).astype(np.float32), random.normal(size=(200, 2))
    weighted = (X - X.mean(axis=0)) * np.sqrt(reference.multiple_correlation(X, y))
    s = np.linalg.svd(weighted, compute_uv=False)
    z = target_components(X, y, 5).coordinates(X)
    np.testing.assert_allclose(z.std(axis=0), (s[:5] / s[0]) ** 2, rtol=1e-3)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    assert np.abs(np.corrcoef(z.T) - np.eye(5)).max() < 1e-2


def test_few_cells_are_fitted_with_fewer_components_and_a_notice():
    model = BilinearRidge()
    random = np.random.default_rng(0)
    cells = CellDataset(random.normal(size=(30, 100)), random.normal(size=(30, 4)))
    with pytest.warns(UserWarning, match="30 training cells span no more than 29 components"):
        model.fit(cells, cells)
    assert np.isfinite(model.predict(cells.arrays()[0])).all()
    assert np.isfinite(model.form([str(i) for i in range(100)]).core).all()


def test_more_frequencies_than_components_is_no_problem():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    cells = CellDataset(x, x @ random.normal(size=(3, 8)))
    model = BilinearRidge()
    model.fit(cells, cells)
    assert r2(cells.arrays()[1], model.predict(x)).min() > 0.99
    assert model.form(list("abc")).modules(3)[0].shape == (8, 3)


def test_bad_input_is_named():
    good = planted(100)
    x, y = good.arrays()
    broken, holes = y.copy(), x.copy()
    broken[3, 0] = np.nan
    holes[4, 2] = np.inf
    for cells, message in [
        (CellDataset(x, broken), "NaN or infinite"),
        (CellDataset(holes, y), "NaN or infinite"),
        (CellDataset(x[:0], y[:0]), "no cells"),
        (CellDataset(x[:5], y[:5]), "5 training cells are too few"),
        (CellDataset(np.ones_like(x), y), "no gene varies"),
    ]:
        with pytest.raises(ValueError, match=message):
            BilinearRidge().fit(cells, good)


@pytest.mark.paul15
def test_paul15_facts_split(paul15):
    """The bound of the project: held-out R2 of the published split, where linear ridge reaches 0.84."""
    train, val, test = torch_splits(paul15[0])
    model = BilinearRidge()
    model.fit(train, val)
    X, y = test.arrays()
    assert r2(y, model.predict(X)).mean() >= 0.88
