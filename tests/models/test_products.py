"""Products of two genes that the model holds as terms of its own: found by the scan, fitted, judged and told."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts import evaluation, findings
from scripts.cells import CellDataset, Split
from scripts.cells.planted import with_pairs
from scripts.measures import r2
from scripts.models import BilinearForm, BilinearRidge, fit_products
from scripts.reading import condition, scan_pairs, scan_table, with_weights

GENES = [f"g{i}" for i in range(300)]
LISTED = pd.DataFrame({"frequency": [0, 1, 1], "i": [2, 5, 5], "j": [3, 40, 41]})


def made(weights, n_cells=900, sign=1.0, seed=0):
    """Cells of 40 genes that are not centred, and a form's frequencies with products of two genes added."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_cells, 40)) + np.linspace(0, 2, 40)
    form = BilinearForm.from_factors(*weights, genes=GENES[:40])
    centred = X - np.linspace(0, 2, 40)
    added = np.stack([sign * centred[:, 2] * centred[:, 3], 3 * centred[:, 5] * centred[:, 39], np.zeros(n_cells)], 1)
    return form, CellDataset(X, form.predict(X) + added + random.normal(size=(n_cells, 3)))


@pytest.fixture
def listed():
    return LISTED.assign(j=[3, 39, 38])


def test_products_are_held_where_validation_cells_gain(weights, listed):
    form, train = made(weights)
    held = fit_products(form, listed, train, made(weights, 300, sign=-1.0, seed=1)[1])
    assert {tuple(pair) for pair in held.pairs} == {(5, 39), (5, 38)}  # frequency 0 loses by its product
    assert not held.pair_weights[[0, 2]].any()
    by_pair = dict(zip(map(tuple, held.pairs), held.pair_weights[1], strict=True))
    assert by_pair[5, 39] == pytest.approx(3, abs=0.15) and by_pair[5, 38] == pytest.approx(0, abs=0.15)
    X, y = made(weights, 300, seed=2)[1].arrays()
    assert ((y - held.predict(X))[:, 1] ** 2).mean() < 1.2 < ((y - form.predict(X))[:, 1] ** 2).mean()
    np.testing.assert_array_equal(held.predict(X)[:, [0, 2]].round(6), form.predict(X)[:, [0, 2]].round(6))
    assert fit_products(form, listed[:1], train, made(weights, 300, sign=-1.0, seed=1)[1]) is form
    assert fit_products(form, listed[:0], train, train) is form


def test_sparse_cells_give_the_same(weights, listed):
    form, train = made(weights)
    val = made(weights, 300, seed=1)[1]
    thin = [CellDataset(sparse.csr_array(cells.x.numpy()), cells.y) for cells in (train, val)]
    one, other = fit_products(form, listed, train, val), fit_products(form, listed, *thin)
    np.testing.assert_array_equal(one.pairs, other.pairs)
    np.testing.assert_allclose(one.pair_weights, other.pair_weights, rtol=1e-5)
    np.testing.assert_allclose(one.predict(val.x.numpy()), other.predict(val.x.numpy()), rtol=1e-5)


@pytest.fixture(scope="module")
def found():
    """Pairs planted into cells of 300 genes, and what the scan of the training cells, and a model of them, find."""
    random = np.random.default_rng(0)
    programs = random.normal(size=(2400, 3)) @ random.normal(size=(3, 300)) * 0.4
    X = np.log1p(random.poisson(np.exp(programs + random.normal(size=300)))).astype(np.float32)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y, pairs = with_pairs(X, programs[:, :2] + 0.2 * random.normal(size=(2400, 2)), n_pairs=3, share=0.03)
    parts = np.split(random.permutation(2400), [1600, 2000])
    split = Split("", 0, *(CellDataset(X[rows], y[rows]) for rows in parts))
    model = BilinearRidge()
    model.fit(split.train, split.val)
    form = model.form(GENES)
    X_train, y_train = split.train.arrays()
    scanned = scan_pairs(condition(X_train, y_train))
    tested = scan_table(scanned, GENES)
    return (
        split,
        form,
        scanned,
        tested,
        pairs,
        fit_products(form, scanned.strongest[tested["called"]], split.train, split.val),
    )


def test_planted_pairs_enter_the_model_with_their_weights(found):
    split, form, _, tested, pairs, held = found
    X, y = split.test.arrays()
    assert (r2(y, held.predict(X)) > r2(y, form.predict(X)) + 0.05).all()
    X_train = split.train.arrays()[0]
    for f, planted in enumerate(pairs):
        i, j = planted.T
        expected = np.sqrt(0.03) / (X_train[:, i] * X_train[:, j]).std(axis=0)
        known = {tuple(pair): weight for pair, weight in zip(held.pairs, held.pair_weights[f], strict=True) if weight}
        assert set(known) <= set(map(tuple, planted)) and len(known) >= 2
        back = np.array([abs(known.get(tuple(pair), np.nan)) for pair in planted]) / expected
        assert np.nanmin(back) > 0.7 and np.nanmax(back) < 1.1  # a ridge holds them back
    table = with_weights(tested, held)
    assert (table["weight"].notna() == table["called"]).all() and table["called"].sum() == 5
    assert (np.sign(table["weight"]) == np.sign(table["t"]))[table["called"]].all()
    assert with_weights(tested, form)["weight"].isna().all()


def test_sentences_say_what_held_products_add(found):
    split, form, _, tested, _, held = found
    gained = evaluation.gain_of_products(form, held, split)
    X, y = split.test.arrays()
    said = findings.about_products_held(tested["called"].sum(), gained)
    assert len(said) == 2 and "with 2 of the called pairs" in said[0]
    assert f"{r2(y, held.predict(X))[1]:.3f} instead of {r2(y, form.predict(X))[1]:.3f} in test cells." in said[1]
    none = evaluation.gain_of_products(form, form, split)
    assert "Of 2 called pairs, none raises" in findings.about_products_held(2, none)[0]
    assert findings.about_products_held(0, none)[0].startswith("No pair was called: the model holds no product")
