import numpy as np
import pytest

from scripts.cells import transductive_splits
from scripts.cells.splits import CellDataset
from scripts.errors import InputError
from scripts.measures import held_out_r2, r2
from scripts.models.kernel import KernelRidge
from scripts.models.polynomial import monomials
from scripts.models.programs import ProgramRidge, active_directions, smallest_correlation, terms_of
from tests import reference

GENES = [f"g{i}" for i in range(12)]
MIXED = np.random.default_rng(9).normal(size=(2, 12))  # what each of two programs does to the genes


def cells(n_cells=500, seed=0, noise=0.02):
    """Cells of two skewed programs that many genes follow; the targets are curves of them and their product."""
    random = np.random.default_rng(seed)
    programs = random.exponential(size=(n_cells, 2)) - 1
    x = programs @ MIXED + 0.1 * random.normal(size=(n_cells, 12))
    a, b = np.tanh(programs / 3).T
    y = np.stack([a + 3 * a**2, b - 3 * b**3, a * b], axis=1)
    return CellDataset(x, y + noise * random.normal(size=y.shape)), programs


@pytest.fixture(scope="module")
def model():
    found = ProgramRidge()
    found.fit(cells()[0], cells(150, 1)[0])
    return found


def test_planted_programs_are_found_one_by_one_and_the_frequencies_predicted(model):
    new, programs = cells(300, 2)
    X, y = new.arrays()
    assert model.n_programs == 2
    found = model.polynomial(GENES).coordinates(X)
    matched = np.corrcoef(programs.T, found.T)[:2, 2:]  # signed: the long tail is the positive end
    assert sorted(matched.argmax(axis=1)) == [0, 1] and matched.max(axis=1).min() > 0.95
    assert r2(y, model.predict(X)).min() > 0.9


def test_the_program_that_changes_the_frequencies_most_comes_first():
    train, programs = cells()
    for strong in (0, 1):
        a, b = programs[:, strong], programs[:, 1 - strong]
        y = np.stack([np.tanh(a), np.tanh(a) ** 2, np.tanh(b) + 4 * np.tanh(a)], axis=1)
        found = ProgramRidge(2)
        found.fit(CellDataset(train.x, y), CellDataset(train.x, y))
        t = found.polynomial(GENES).coordinates(train.arrays()[0])
        assert np.corrcoef(programs[:, strong], t[:, 0])[0, 1] > 0.9


def test_the_search_is_told_and_the_smallest_of_equals_taken(model):
    search = ProgramRidge().fit(cells()[0], cells(150, 1)[0])
    mean = search.groupby(["n_programs", "order", "frequency"])["val_mse"].min().groupby(["n_programs", "order"]).mean()
    assert mean[model.n_programs].min() < 1.2 * mean.min() and mean[1].min() > 2 * mean.min()
    assert model.subspace["correlation"][model.n_programs - 1] >= model.comes_back
    assert model.subspace["gradient_share"][:2].sum() > 0.9
    again = model.subspace["correlation"] >= model.comes_back
    assert not again.all() and set(search["n_programs"]) == set(model.subspace["n_programs"][again])


def test_where_no_subspace_comes_back_there_is_one_program():
    found = ProgramRidge(comes_back=1.1)
    assert set(found.fit(cells()[0], cells(150, 1)[0])["n_programs"]) == {1} and found.n_programs == 1


@pytest.mark.parametrize("order", ["curves", "products", "cubic"])
def test_terms_are_those_of_the_order(order):
    found = ProgramRidge(3, orders=(order,))
    found.fit(cells()[0], cells(150, 1)[0])
    form = found.polynomial(GENES)
    allowed = {
        "curves": lambda term: len(set(term)) == 1,
        "products": lambda term: len(set(term)) == 1 or len(term) == 2,
        "cubic": lambda term: True,
    }[order]
    expected = [allowed(term) for term in monomials(form.turn.shape[1])]
    np.testing.assert_array_equal(np.abs(form.weights).max(axis=0) > 1e-12, expected)
    np.testing.assert_array_equal(terms_of(order, form.turn.shape[1]), expected)


def test_a_product_is_missed_by_curves(model):
    curves = ProgramRidge(orders=("curves",))
    curves.fit(cells()[0], cells(150, 1)[0])
    X, y = cells(300, 2)[0].arrays()
    assert r2(y, curves.predict(X))[2] < r2(y, model.predict(X))[2] - 0.2


def test_active_directions_are_those_of_finite_differences():
    random = np.random.default_rng(0)
    z = random.normal(size=(80, 5)) * [1, 2, 0.5, 1, 1]
    y = np.stack([z[:, 0] ** 2, z[:, 1] * z[:, 2]], axis=1)
    kernel = KernelRidge("polynomial", reference.Plain, (1e-3,), (1.0,), 3)
    kernel.fit(CellDataset(z, y), CellDataset(z, y))
    values, directions = active_directions(kernel, z.std(axis=0))
    expected = reference.active_subspace(kernel.predict, z.astype(np.float32).astype(float), z.std(axis=0))
    np.testing.assert_allclose((directions * values) @ directions.T, expected, rtol=1e-4, atol=1e-4)
    assert (np.diff(values) <= 0).all()


def test_smallest_correlation_is_that_of_the_scores():
    random = np.random.default_rng(0)
    scores, _ = np.linalg.qr(random.normal(size=(200, 5)))
    first, second = (np.linalg.qr(random.normal(size=(5, 2)))[0] for _ in "ab")
    a, b = scores @ first, scores @ second
    explained = np.linalg.eigvalsh(a.T @ b @ b.T @ a)  # squared canonical correlations
    assert smallest_correlation(first, second) == pytest.approx(np.sqrt(explained[0]))


def test_targets_of_noise_take_one_program():
    random = np.random.default_rng(0)
    noise, val = (CellDataset(random.normal(size=(n, 12)), random.normal(size=(n, 2))) for n in (200, 100))
    found = ProgramRidge()
    found.fit(noise, val)
    assert found.n_programs == 1 and np.isfinite(found.predict(val.arrays()[0])).all()


def test_bad_input_is_named():
    train, val = cells()[0], cells(150, 1)[0]
    x, y = train.arrays()
    with pytest.raises(InputError, match="5 training cells are too few"):
        ProgramRidge().fit(CellDataset(x[:5], y[:5]), val)
    with pytest.raises(InputError, match="'squares'.*choose from curves, products, cubic"):
        ProgramRidge(orders=("squares",))
    with pytest.raises(InputError, match="max_programs=0"):
        ProgramRidge(0)


@pytest.mark.paul15
@pytest.mark.slow
def test_paul15_held_out_r2(paul15):
    """Where the bilinear ridge reaches .86, and the RBF kernel ridge .92 on the same splits."""
    found = {"cubic": [], "curves": []}
    for split in transductive_splits(paul15[0], 901, 5):
        (X, y), (_, y_train) = split.test.arrays(), split.train.arrays()
        for order, values in found.items():
            model = ProgramRidge(orders=(order,))
            model.fit(split.train, split.val)
            values.append(held_out_r2(y, model.predict(X), y_train).mean())
    assert np.mean(found["cubic"]) >= 0.915 and np.mean(found["curves"]) >= 0.89
