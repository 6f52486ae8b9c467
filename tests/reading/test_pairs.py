import tracemalloc

import numpy as np
import pandas as pd
import pytest

from scripts.cells.splits import CellDataset, checked_arrays
from scripts.figures import style
from scripts.figures.reading import eigenvalue_spectrum, pair_network
from scripts.findings.reading import about_pair_scan, about_tested_pairs, figures_of_reading
from scripts.models.form import BilinearForm
from scripts.models.ridge import BilinearRidge
from scripts.reading.modules import module_table, patterns, strongest_pairs
from scripts.reading.resampling import loading_intervals, matched_loadings, normal_interval, resampled_loadings
from scripts.reading.scan import COLUMNS, condition, scan_pairs, scan_table
from scripts.reading.stability import agreement_table, replication_rates
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


def test_strongest_pairs_are_those_of_the_dense_matrix(weights, monkeypatch):
    monkeypatch.setattr("scripts.reading.modules.BLOCK_VALUES", 200)  # several blocks
    form = BilinearForm.from_factors(*weights, genes=GENES)
    pairs = strongest_pairs(form, 30)
    for frequency, B in enumerate(reference.interaction_matrices(*weights)):
        i, j = np.triu_indices(40, 1)
        order = np.argsort(-np.abs(B[i, j]))[:30]
        listed = pairs[pairs["frequency"] == frequency]
        assert listed["gene_i"].tolist() == [GENES[a] for a in i[order]]
        assert listed["gene_j"].tolist() == [GENES[b] for b in j[order]]
        np.testing.assert_allclose(listed["weight"], 2 * B[i, j][order], rtol=1e-8)


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
    i, j = (pairs[gene].str[1:].astype(int) for gene in ("gene_i", "gene_j"))
    expected = 2 * np.einsum("pr,rs,ps->p", basis[i], form.core[0], basis[j])
    np.testing.assert_allclose(expected, pairs["weight"])


@pytest.mark.parametrize("squares_only", [False, True])
def test_refit_to_the_same_cells_is_the_same_fit(squares_only):
    train, val = cells(0, pair=0.5)
    model = BilinearRidge(main_components=20, pair_components=(8,), squares_only=squares_only, chunk=70)
    model.fit(train, val)
    form, again = model.form(GENES), model.refit(*checked_arrays(train)).form(GENES)
    for X in (train.x.numpy(), val.x.numpy()):
        np.testing.assert_allclose(again.predict(X), form.predict(X), rtol=1e-6, atol=1e-8)


def poles_of(form, n_modules, n_genes):
    return module_table(form, form.modules(n_modules)[1], n_genes)


def read(seed: int, pair: float, lacking=()):
    """Pairs as notebook 04 reads them: (scan, table, training cells, held-out cells)."""
    train, held_out = (condition(*part.arrays()) for part in cells(seed, pair=pair, n_cells=1600))
    found = scan_pairs(train)
    return found, scan_table(found, GENES, held_out.statistics(found.strongest), lacking), train, held_out


def test_planted_pairs_are_called_and_confirmed_and_the_page_says_so():
    found, table, train, held_out = read(1, pair=1.0)
    assert table.columns.tolist() == COLUMNS
    assert table["gene_i"].map(type).eq(str).all() and table["gene_j"].map(type).eq(str).all()
    for frequency, planted in enumerate([["g3", "g9"], ["g6", "g12"]]):
        first = table[table["frequency"] == frequency].iloc[0]
        assert first[["gene_i", "gene_j"]].tolist() == planted and first["called"] and first["confirmed"]
    said = about_tested_pairs(table)
    assert "the strongest is g6 x g12 (T " in said[1] and said[1].endswith("both high, higher frequency 1.")
    rates = replication_rates(found.strongest[table["called"]], train, held_out)
    power = pd.DataFrame({"share": [0.01, 0.01], "recall": [0.5, 0.7], "precision": [1.0, np.nan], "n_called": [3, 0]})
    about = about_pair_scan(found, np.array([4.1, 3.9]), power, rates)
    assert f"{2 * 40 * 39 // 2:,} products are tested" in about[0]
    assert about[1] == "The largest |T| of 2 surrogates, without any pair, is 3.90 to 4.10."
    assert "1.0% of a frequency's variance each, 60% are called; of what is called then, 100% is planted" in about[2]
    assert about[3].startswith(f"Of the {table['called'].sum()} pairs looked for in the held-out cells, ")
    assert len(about_pair_scan(found, np.empty(0), power.iloc[:0], rates.assign(n_pairs=0))) == 1
    trusted = pd.DataFrame({"trusted": [True, False, True], "repeats": [np.nan, np.nan, "f0_m1"]})
    assert figures_of_reading(trusted, table, found.n_tests) == {
        "trusted modules": "1 distinct axis (2 of 3 modules)",
        "gene pairs called": f"{table['called'].sum()} of 1,560 tested",
    }


def test_genes_with_main_effects_alone_do_not_pass_for_pairs():
    tables = [read(seed, pair=0.0)[1] for seed in range(10)]
    assert sum(table["called"].any() for table in tables) <= 1
    quiet = next(table for table in tables if not table["called"].any())
    (said,) = about_tested_pairs(quiet)
    assert said.startswith(
        "No pair of genes is seen to say more of frequencies 0, 1 than programs and single genes (largest"
    )
    assert f"{quiet['t'].abs().max():.2f}" in said


def test_pairs_of_frequencies_without_structure_are_not_tested():
    _, table, _, _ = read(1, pair=1.0, lacking=[0])
    untested = table["frequency"] == 0
    assert table.loc[untested, ["p_value", "adjusted_p", "fdr"]].isna().all(axis=None)
    assert not table.loc[untested, "called"].any() and table.loc[~untested, "called"].any()
    assert about_tested_pairs(table)[0].startswith("Frequency 0: its pairs are not tested")
    assert pair_network(table).layout.annotations[0].text == "Frequency 0: none called"


def test_too_few_bootstraps_are_named():
    train, val = cells(0)
    model = fitted(train, val)
    form = model.form(GENES)
    with pytest.raises(ValueError, match="n_bootstraps=2 .* at least 10"):
        resampled_loadings(model, train, form, poles_of(form, 1, 3), 2)


def test_intervals_are_as_wide_as_the_spread():
    random = np.random.default_rng(0)
    low, high = normal_interval(np.zeros(2), random.normal(size=(2000, 2)) * [1, 10])
    np.testing.assert_allclose(high, [1.96, 19.6], rtol=0.05)
    np.testing.assert_allclose(low, -high)


def test_modules_are_matched_whatever_their_order_and_sign(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    listed = poles_of(form, 2, 5)
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
        listed = poles_of(form, 1, 3)
        table = loading_intervals(listed, resampled_loadings(model, train, form, listed, 20))
        assert table.columns.tolist() == ["frequency", "module", "gene", "loading", "low", "high"]
        assert ((table["low"] < table["loading"]) & (table["loading"] < table["high"])).all()
        widths.append((table["high"] - table["low"]).mean())
    assert widths[1] < 0.6 * widths[0]


def table_of(adjusted_p: float) -> pd.DataFrame:
    called = adjusted_p <= 0.05
    rows = [
        (0, 1, "<b>a</b>", "b", -7.0, 1e-12, adjusted_p, 0.01, called, called),
        (0, 2, "b", "c", 3.0, 0.003, 0.9, 0.9, False, False),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_network_draws_called_pairs_with_escaped_names():
    figure = pair_network(table_of(0.01))
    assert figure.layout.annotations[0].text == "Frequency 0: 1 called"
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [(line.line.color, line.line.dash) for line in lines] == [(style.LOW, "solid")]
    assert "&lt;b&gt;a" in lines[0].text and "T -7" in lines[0].text and "adjusted p 0.01" in lines[0].text
    assert "<b>" not in figure.to_json().replace("\\u003c", "<")
    none = pair_network(table_of(0.5))
    assert none.layout.annotations[0].text == "Frequency 0: none called"
    assert [trace.line.dash for trace in none.data if trace.mode == "lines"] == ["dot", "dot"]


def test_sentences_say_what_is_called_and_when_nothing_is():
    assert about_tested_pairs(table_of(0.01)) == [
        "Frequency 0: 1 pair of genes called, 1 confirmed in held-out cells; the strongest is <b>a</b> x b (T -7.0, "
        "adjusted p 0.01): both high, lower frequency 0."
    ]
    (none,) = about_tested_pairs(table_of(0.5))
    assert none.startswith("No pair of genes is seen to say more of frequency 0 than") and "(largest |T| 7.00)" in none
    assert about_tested_pairs(table_of(0.5).iloc[:0]) == ["No pair of genes can be tested: fewer than two genes vary."]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("constant", [[0], [0, 1, 2]])
def test_a_frequency_without_interactions_has_no_pairs_and_stops_nothing(constant):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 12)).astype(np.float32), random.normal(size=(60, 3))
    y[:, constant] = 1.0
    train, genes = CellDataset(x, y), [f"g{i}" for i in range(12)]
    model = fitted(train, train)
    form = model.form(genes)
    pairs, poles = strongest_pairs(form, 5), poles_of(form, 3, 5)
    loadings = resampled_loadings(model, train, form, poles, 10)
    assert set(pairs["frequency"]) == {0, 1, 2} - set(constant)
    tested = scan_table(scan_pairs(condition(x, y)), genes)
    assert not tested["called"].any() and about_tested_pairs(tested) and pair_network(tested).data is not None
    assert np.isfinite(loading_intervals(poles, loadings)[["low", "high"]]).all(axis=None)
    agreement = agreement_table([form, form], [patterns(form, x)] * 2)
    assert agreement["first_module_jaccard"].isna().tolist() == [f in constant for f in range(3)]
    assert np.isfinite(eigenvalue_spectrum(form.eigenvalues()).data[0].y).all()
