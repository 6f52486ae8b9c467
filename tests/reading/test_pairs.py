import tracemalloc

import numpy as np
import pandas as pd
import pytest

from scripts.cells.splits import CellDataset, checked_arrays
from scripts.figures.reading import eigenvalue_spectrum, pair_network
from scripts.findings.reading import about_tested_pairs
from scripts.models.form import BilinearForm
from scripts.models.ridge import BilinearRidge, refit_with_errors
from scripts.reading.modules import module_table, pole_loadings
from scripts.reading.pairs import (
    COLUMNS,
    is_significant,
    pair_null,
    pair_table,
    pair_weights,
    resample,
    strongest_pairs,
)
from scripts.reading.resampling import bootstrap, loading_intervals, matched_loadings, normal_interval, shuffled_refits
from scripts.reading.stability import agreement_table
from tests import reference

GENES = [f"g{i}" for i in range(40)]


def cells(seed: int, main: float = 1.0, pair: float = 0.0, n_cells: int = 400):
    """Co-expressed genes, half of them skewed; two targets of main effects of three genes each and of one pair."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n_cells, 40)) + random.normal(size=(n_cells, 5))[:, np.arange(40) % 5]
    X[:, 20:] = np.exp(X[:, 20:] / 3)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = random.normal(size=(n_cells, 2))
    y += main * np.stack([X[:, 0] + X[:, 21] - X[:, 32], X[:, 2] + X[:, 23] - X[:, 34]], axis=1)
    y += pair * np.stack([X[:, 3] * X[:, 9], X[:, 6] * X[:, 12]], axis=1)
    n_train = n_cells * 3 // 4
    return CellDataset(X[:n_train], y[:n_train]), CellDataset(X[n_train:], y[n_train:])


def fitted(train, val, n_pair: int = 10) -> BilinearRidge:
    model = BilinearRidge(main_components=40, pair_components=(n_pair,))
    model.fit(train, val)
    return model


def found_pairs(train, val, n_pair: int = 10, n_shuffles: int = 30, n_bootstraps: int = 10) -> pd.DataFrame:
    model = fitted(train, val, n_pair)
    form = model.form(GENES)
    pairs = strongest_pairs(form, 20)
    weights, _ = resample(model, train, form, pairs, pole_loadings(form, 1, 5), n_bootstraps)
    return pair_table(pairs, weights, pair_null(model, train, GENES, pairs, n_shuffles))


def test_strongest_pairs_are_those_of_the_dense_matrix(weights, monkeypatch):
    monkeypatch.setattr("scripts.reading.pairs.BLOCK_VALUES", 200)  # several blocks
    form = BilinearForm.from_factors(*weights, genes=GENES)
    pairs = strongest_pairs(form, 30)
    for frequency, B in enumerate(reference.interaction_matrices(*weights)):
        i, j = np.triu_indices(40, 1)
        order = np.argsort(-np.abs(B[i, j]))[:30]
        listed = pairs[pairs["frequency"] == frequency]
        assert list(zip(listed["i"], listed["j"], strict=True)) == list(zip(i[order], j[order], strict=True))
        np.testing.assert_allclose(listed["weight"], 2 * B[i, j][order], rtol=1e-8)
        assert listed["gene_i"].tolist() == [GENES[a] for a in i[order]]
    np.testing.assert_allclose(pair_weights(form, pairs), pairs["weight"], rtol=1e-8)


def test_all_pairs_are_listed_where_there_are_few(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    assert len(strongest_pairs(form, 10_000)) == 3 * 40 * 39 // 2


@pytest.mark.slow
def test_many_genes_need_little_memory():
    random = np.random.default_rng(0)
    basis, _ = np.linalg.qr(random.normal(size=(30_000, 64)))
    core = random.normal(size=(1, 64, 64))
    names = [f"g{i}" for i in range(30_000)]
    form = BilinearForm(basis, core + core.swapaxes(1, 2), np.zeros((1, 30_000)), np.zeros(1), names)
    tracemalloc.start()
    pairs = strongest_pairs(form, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3e8  # 30,000 x 30,000 weights would be 7.2e9
    np.testing.assert_allclose(pair_weights(form, pairs), pairs["weight"])


@pytest.mark.parametrize("squares_only", [False, True])
def test_refit_to_the_same_cells_is_the_same_fit(squares_only):
    train, val = cells(0, pair=0.5)
    model = BilinearRidge(main_components=20, pair_components=(8,), squares_only=squares_only, chunk=70)
    model.fit(train, val)
    form, again = model.form(GENES), model.refit(*checked_arrays(train)).form(GENES)
    for X in (train.x.numpy(), val.x.numpy()):
        np.testing.assert_allclose(again.predict(X), form.predict(X), rtol=1e-6, atol=1e-8)
    main = model.refit(*checked_arrays(train), pairs=False).form(GENES)
    np.testing.assert_array_equal(main.core, 0)


@pytest.mark.slow
def test_standard_errors_are_the_spread_over_new_targets():
    train, val = cells(0, pair=0.5)
    model = fitted(train, val)
    X, y = checked_arrays(train)
    fit = refit_with_errors(model, X, y, GENES)
    pairs = strongest_pairs(fit.form, 10)
    random, truth = np.random.default_rng(0), fit.form.predict(X)
    again = [model.refit(X, truth + random.normal(size=y.shape)).form(GENES) for _ in range(60)]
    spread = np.std([pair_weights(form, pairs) for form in again], axis=0)
    expected = fit.standard_errors(*(pairs[name].to_numpy() for name in ("frequency", "i", "j")))
    assert 0.7 < np.median(expected / spread) < 1.3


@pytest.mark.slow
def test_planted_pairs_are_found():
    table = found_pairs(*cells(1, pair=1.0, n_cells=1600), n_pair=40)
    assert table.columns.tolist() == COLUMNS
    assert table["gene_i"].map(type).eq(str).all() and table["gene_j"].map(type).eq(str).all()
    assert ((table["low"] < table["weight"]) & (table["weight"] < table["high"])).all()
    for frequency, planted in enumerate([("g3", "g9"), ("g6", "g12")]):
        listed = table[table["frequency"] == frequency].set_index(["gene_i", "gene_j"])
        assert listed.loc[planted, "rank"] <= 3  # genes that are expressed with the two stand in for them
        assert listed.loc[planted, "low"] > 0 and listed.loc[planted, "adjusted_p"] <= 0.05
    assert "strongest is g6 x g12" in about_tested_pairs(table)[1]


def with_a_finding(seeds, make) -> int:
    return sum(is_significant(found_pairs(*make(seed))).any() for seed in seeds)


def shuffled(seed: int):
    parts = cells(seed, pair=1.0)
    random = np.random.default_rng(seed)
    return [CellDataset(part.x, part.y[random.permutation(len(part))]) for part in parts]


@pytest.mark.slow
def test_shuffled_targets_have_no_significant_pair_in_19_of_20_runs():
    assert with_a_finding(range(20), shuffled) <= 1


@pytest.mark.slow
def test_genes_with_main_effects_alone_do_not_pass_for_pairs():
    assert with_a_finding(range(20), lambda seed: cells(seed, main=1.0)) <= 2


def test_settings_that_cannot_work_are_named():
    train, val = cells(0)
    model = fitted(train, val)
    pairs = strongest_pairs(model.form(GENES), 3)
    with pytest.raises(ValueError, match="n_shuffles=10 .* at least 19"):
        pair_null(model, train, GENES, pairs, n_shuffles=10)
    with pytest.raises(ValueError, match="null='cells' is not known: choose 'residuals' or 'targets'"):
        shuffled_refits(model, train, GENES, len, 20, "cells")
    with pytest.raises(ValueError, match="n_bootstraps=2 .* at least 10"):
        bootstrap(model, train, GENES, len, 2)


def test_intervals_are_as_wide_as_the_spread():
    random = np.random.default_rng(0)
    low, high = normal_interval(np.zeros(2), random.normal(size=(2000, 2)) * [1, 10])
    np.testing.assert_allclose(high, [1.96, 19.6], rtol=0.05)
    np.testing.assert_allclose(low, -high)


def test_loadings_listed_are_those_of_the_module_table(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    listed = pole_loadings(form, 2, 5)
    pd.testing.assert_frame_equal(
        listed[["frequency", "module", "gene", "loading"]],
        module_table(form, 2, 5)[["frequency", "module", "gene", "loading"]],
    )


def test_modules_are_matched_whatever_their_order_and_sign(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    listed = pole_loadings(form, 2, 5)
    np.testing.assert_allclose(matched_loadings(form, form, listed), listed["loading"])
    values, vectors = np.linalg.eigh(form.core)
    order = np.argsort(-np.abs(values), axis=1)
    first, second = order[:, :1], order[:, 1:2]
    values_of_first = np.take_along_axis(values, first, axis=1)
    np.put_along_axis(values, first, 0.99 * np.take_along_axis(values, second, axis=1), axis=1)  # now the second
    turned = (vectors * values[:, None, :]) @ vectors.swapaxes(1, 2)
    other = BilinearForm(-form.basis, turned, form.main, form.constant, GENES)
    assert (np.abs(values_of_first) > 0).all()
    np.testing.assert_allclose(matched_loadings(form, other, listed), listed["loading"], atol=1e-8)


def test_loading_intervals_hold_the_loadings_and_narrow_with_more_cells():
    widths = []
    for n_cells in (400, 3200):
        train, val = cells(0, pair=1.0, n_cells=n_cells)
        model = fitted(train, val)
        form = model.form(GENES)
        listed = pole_loadings(form, 1, 3)
        _, loadings = resample(model, train, form, strongest_pairs(form, 3), listed, 20)
        table = loading_intervals(listed, loadings)
        assert table.columns.tolist() == ["frequency", "module", "gene", "loading", "low", "high"]
        assert ((table["low"] < table["loading"]) & (table["loading"] < table["high"])).all()
        widths.append((table["high"] - table["low"]).mean())
    assert widths[1] < 0.6 * widths[0]


def table_of(adjusted_p: float) -> pd.DataFrame:
    rows = [(0, 1, "<b>a</b>", "b", -2.0, -3.0, -1.0, 0.01, adjusted_p), (0, 2, "b", "c", 1.0, 0.5, 1.5, 0.01, 0.9)]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_network_draws_significant_pairs_with_escaped_names():
    figure = pair_network(table_of(0.01))
    assert figure.layout.annotations[0].text == "Frequency 0: 1 significant"
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [(line.line.color, line.line.dash) for line in lines] == [("#2166ac", "solid")]
    assert "&lt;b&gt;a" in lines[0].text and "<b>" not in figure.to_json().replace("\\u003c", "<")
    none = pair_network(table_of(0.5))
    assert none.layout.annotations[0].text == "Frequency 0: none significant"
    assert len([trace for trace in none.data if trace.mode == "lines"]) == 2


def test_sentences_say_when_nothing_is_significant():
    assert about_tested_pairs(table_of(0.01))[0].startswith("Frequency 0: 1 of the 2 strongest pairs is significant")
    assert "none of the 2 strongest pairs is significant" in about_tested_pairs(table_of(0.5))[0]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("constant", [[0], [0, 1, 2]])
def test_a_frequency_without_interactions_has_no_pairs_and_stops_nothing(constant):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 12)).astype(np.float32), random.normal(size=(60, 3))
    y[:, constant] = 1.0
    train, genes = CellDataset(x, y), [f"g{i}" for i in range(12)]
    model = fitted(train, train)
    form = model.form(genes)
    pairs, poles = strongest_pairs(form, 5), pole_loadings(form, 3, 5)
    weights, loadings = resample(model, train, form, pairs, poles, 10)
    null = pair_null(model, train, genes, pairs, 19)
    table = pair_table(pairs, weights, null)
    assert set(table["frequency"]) == {0, 1, 2} - set(constant) and table["adjusted_p"].between(0, 1).all()
    lacking = pair_table(pairs, weights, null, [0, 1, 2])
    assert lacking["adjusted_p"].isna().all() and not is_significant(lacking, 1.0).any()
    assert all("are not tested" in sentence for sentence in about_tested_pairs(lacking))
    assert len(about_tested_pairs(table)) == 3 - len(constant) and pair_network(table).data is not None
    assert np.isfinite(loading_intervals(poles, loadings)[["low", "high"]]).all(axis=None)
    agreement = agreement_table([form, form])
    assert agreement["first_module_jaccard"].isna().tolist() == [f in constant for f in range(3)]
    assert np.isfinite(eigenvalue_spectrum(form.eigenvalues()).data[0].y).all()
