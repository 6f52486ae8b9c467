"""Planted truth and known networks: what is made is as said, and what is told is what was measured."""

from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score

from scripts import figures, findings, truth
from scripts.cells.planted import BRANCHES, Planting, _counts, plant, with_pairs
from scripts.cells.splits import CellDataset
from scripts.measures import average_precision_of_ranks, expected_average_precision
from scripts.models.kernel import GeneRidge
from scripts.reading import condition, scan_pairs, strongest_pairs
from scripts.truth.networks import krumsiek_edges, networks
from scripts.truth.scores import first_pairs, fitted_forms, pair_weights, product_correlations, ranked_pairs


@pytest.fixture(scope="module")
def swept():
    """Recovery at the default noise, with no interaction and with nothing else, over two seeds."""
    return truth.made_sweep(Planting(n_cells=2000, n_noise=60), [0.0, 1.0], n_seeds=2)


@pytest.fixture(scope="module")
def network():
    """The networks, on one split of their cells."""
    return truth.network_recovery(n_seeds=1)


def _mean(table, interaction, task):
    own = table[(table["interaction"] == interaction) & (table["task"] == task)]
    own = own[own["measure"].isin([truth.AUPRC, truth.R2])]
    return own.groupby("method")["value"].mean(), own["chance"].mean()


def test_counts_are_negative_binomial_with_dropout():
    settings = Planting(library_sd=0.0, dispersion=0.5, dropout=0.2)
    counts = _counts(np.zeros((20_000, 4)), settings, np.random.default_rng(0))
    mean = counts.mean(axis=0) / 0.8
    second = (counts.astype(float) ** 2).mean(axis=0) / 0.8
    np.testing.assert_allclose(second - mean**2, mean + 0.5 * mean**2, rtol=0.1)
    assert (counts.mean(axis=0) < 20).all() and ((counts == 0).mean(axis=0) > 0.2).all()


def test_pairs_differ_between_the_branches_only_in_their_product():
    cells = plant(Planting(n_cells=1500, n_pairs=6, n_noise=10))
    (i, j), branch = cells.pairs.T, cells.branch
    product = {name: (cells.X[branch == name][:, i] * cells.X[branch == name][:, j]).mean() for name in BRANCHES}
    assert product["A1"] > 0.3 and product["A2"] < -0.3
    assert max(abs(product[name]) for name in ("trunk", "A", "B")) < 0.1
    alone = [cells.X[branch == name][:, cells.role == "pair"].mean(axis=0) for name in ("A1", "A2")]
    assert np.abs(alone[0] - alone[1]).mean() < 0.1
    program = [cells.X[branch == name][:, cells.split_program].mean() for name in ("A1", "A2")]
    assert abs(program[0] - program[1]) < 0.1  # nothing is left in single genes
    assert cells.X.shape == (1500, 5 * 6 + 2 * 6 + 10) == cells.counts.shape and len(cells.genes) == 52
    assert len(set(cells.genes)) == 52 and cells.y.shape == (1500, 3)


def test_planted_cells_are_the_same_each_time_and_strength_is_as_asked():
    settings = Planting(n_cells=300, n_pairs=3, n_noise=5, interaction=0.0)
    one, two = plant(settings), plant(settings)
    np.testing.assert_array_equal(one.counts, two.counts)
    np.testing.assert_allclose(one.y, two.y)
    first = one.counts[one.branch == "A1"][:, one.role == "program A1"].mean()
    assert first > 1.5 * one.counts[one.branch == "A2"][:, one.role == "program A1"].mean()


@pytest.mark.parametrize(
    "wrong", [{"interaction": 1.5}, {"dropout": 1.0}, {"n_pairs": 0}, {"fold": 0.0}, {"library_sd": -1.0}]
)
def test_impossible_settings_are_named_in_one_line(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}=.* is not possible") as problem:
        Planting(**wrong)
    assert "\n" not in str(problem.value)


def test_ridge_on_all_genes_equals_a_ridge_on_all_products():
    random = np.random.default_rng(0)
    X = random.normal(size=(120, 6)).astype(np.float32) * [1, 2, 3, 1, 1, 1] + 1
    y = np.stack([X[:, 0] * X[:, 1], X[:, 2] + random.normal(size=120)], axis=1)
    cells = CellDataset(X[:80], y[:80]), CellDataset(X[80:], y[80:])
    model = GeneRidge((1e-2,), (1e-3,))
    model.fit(*cells)
    (X_fit, y_fit), (X_new, _) = (part.arrays() for part in cells)
    z = (X_fit - X_fit.mean(axis=0, dtype=float)) / X_fit.std(axis=0, dtype=float)
    z_new = (X_new - X_fit.mean(axis=0, dtype=float)) / X_fit.std(axis=0, dtype=float)
    i, j = np.tril_indices(6)
    root = np.where(i == j, 1, np.sqrt(2))
    products, products_new = z[:, i] * z[:, j] * root, z_new[:, i] * z_new[:, j] * root
    weight = [1e-2 * z.var(axis=0).sum(), 1e-3 * products.var(axis=0).sum()]
    features, new = (
        np.hstack([linear / np.sqrt(weight[0]), pairs / np.sqrt(weight[1])])
        for linear, pairs in ((z, products), (z_new, products_new))
    )
    expected = Ridge(alpha=len(z)).fit(features, y_fit).predict(new)
    np.testing.assert_allclose(model.predict(X_new), expected, atol=1e-5)
    form = model.form(list("abcdef"))
    np.testing.assert_allclose(form.predict(X_new.astype(float)), expected, atol=1e-5)
    B = 2 * np.abs(form.core[0][np.triu_indices(6, 1)])
    weights = pair_weights(form, np.array([1.0, 0.0]))
    np.testing.assert_allclose(weights[np.triu_indices(6, 1)], B, rtol=1e-4, atol=1e-6)
    assert B.argmax() == 0


def test_ridge_on_all_genes_is_read_in_as_many_directions_as_cells():
    random = np.random.default_rng(0)
    X = (random.normal(size=(300, 2500)) + 1).astype(np.float32)
    X[:, 7] = 3.0  # a gene that is the same in all cells
    y = np.stack([(X[:, 0] - 1) * (X[:, 1] - 1), X[:, 2]], axis=1)
    known, held_out = CellDataset(X[:200], y[:200]), CellDataset(X[200:], y[200:])
    model = GeneRidge()
    model.fit(known, held_out)
    form = model.form([str(i) for i in range(2500)])
    assert form.basis.shape == (2500, 200)
    np.testing.assert_allclose(form.predict(X[200:].astype(float)), model.predict(X[200:]), atol=1e-6)
    first = strongest_pairs(form, 1).query("frequency == 0").iloc[0]
    assert (first["gene_i"], first["gene_j"]) == ("0", "1")
    np.testing.assert_allclose(model.predict(sparse.csr_array(X[200:])), model.predict(X[200:]), atol=1e-8)


def test_ridge_on_all_genes_of_nothing_predicts_the_mean():
    cells = CellDataset(np.zeros((5, 30), np.float32), np.arange(5.0)[:, None])
    model = GeneRidge()
    model.fit(cells, cells)
    np.testing.assert_allclose(model.predict(cells.x.numpy()), 2.0)


def test_scores_of_pairs_and_chance_equal_the_obvious():
    random = np.random.default_rng(0)
    X, target = random.normal(size=(200, 5)), random.normal(size=200)
    X -= X.mean(axis=0)
    pairs = list(combinations(range(5), 2))
    found, expected = product_correlations(X, target), {}
    for i, j in pairs:
        expected[i, j] = abs(np.corrcoef(X[:, i] * X[:, j], target)[0, 1])
        assert found[i, j] == found[j, i] == pytest.approx(expected[i, j])
    np.fill_diagonal(found, -1)
    assert [tuple(pair) for pair in first_pairs(found, 3)] == sorted(pairs, key=expected.get, reverse=True)[:3]
    true = np.arange(30) < 5
    for scores in (random.random(30), random.integers(0, 4, 30), np.zeros(30)):  # ties, too
        at_least = (scores >= scores[true][:, None]).sum(axis=1)
        assert average_precision_of_ranks(at_least) == pytest.approx(average_precision_score(true, scores))
    drawn = np.mean([average_precision_score(true, random.random(30)) for _ in range(600)])
    assert expected_average_precision(30, 5, 30) == pytest.approx(drawn, abs=0.02)
    assert expected_average_precision(1, 1, 1) == 1


def test_every_method_is_judged_among_all_pairs():
    random = np.random.default_rng(1)
    X = random.normal(size=(600, 40)).astype(np.float32)
    y, pairs = with_pairs(X, random.normal(size=(600, 2)), 3, 0.2, 0, 0.0)
    train, val = CellDataset(X[:400], y[:400]), CellDataset(X[400:], y[400:])
    found = dict(ranked_pairs(fitted_forms(train, val), train, np.array([1.0, 0.0]), pairs[0], 3))
    assert list(found) == [truth.SCAN, *truth.MODELS, *truth.RIVALS]
    i, j = np.triu_indices(40, 1)
    true = np.isin(i * 40 + j, pairs[0] @ [40, 1])
    X_train, y_train = train.arrays()
    scores = product_correlations(X_train - X_train.mean(axis=0), y_train[:, 0])[i, j]
    assert found[truth.PRODUCTS].auprc == pytest.approx(average_precision_score(true, scores))
    assert {tuple(pair) for pair in found[truth.PRODUCTS].first} == {tuple(pair) for pair in pairs[0]}
    scan = scan_pairs(condition(X_train, y_train[:, :1]))
    assert found[truth.SCAN].called[truth.CALLED] == (scan.strongest["t"].abs() >= scan.threshold).sum()
    assert found[truth.SCAN].auprc > 0.9 and found[truth.SCAN].called[truth.RECALL] > 0
    assert not found[truth.PRODUCTS].called


@pytest.mark.slow
def test_pairs_are_found_where_correlation_is_at_chance(swept):
    found, chance = _mean(swept, 1.0, truth.PAIRS)
    assert min(found[[truth.SCAN, truth.ALL_GENES, truth.PRODUCTS]]) >= 0.9
    assert abs(found[truth.CORRELATION] - chance) <= 0.05
    assert abs(found[truth.COMPONENTS] - chance) <= 0.05 and abs(found[truth.DESCENT] - chance) <= 0.05
    predicted, _ = _mean(swept, 1.0, truth.PANEL)
    assert predicted[truth.SCAN] > 0.1 > predicted[truth.CORRELATION]
    called = swept[(swept["measure"] == truth.PRECISION) & (swept["interaction"] == 1)]
    assert (called["value"] >= 0.85).all()


@pytest.mark.slow
def test_main_effects_and_correlation_are_equal_where_single_genes_carry_all(swept):
    genes, _ = _mean(swept, 0.0, truth.PROGRAM_GENES)
    assert min(genes[truth.ALL_GENES], genes[truth.COMPONENTS], genes[truth.CORRELATION]) > 0.95
    found, chance = _mean(swept, 0.0, truth.PAIRS)
    assert abs(found[truth.SCAN] - chance) <= 0.1 and abs(found[truth.CORRELATION] - chance) <= 0.1


@pytest.mark.slow
def test_sentences_say_what_the_table_says_and_figures_show_it(swept, network):
    found, chance = _mean(swept, 1.0, truth.PAIRS)
    said = findings.about_pairs(swept, "interaction")
    assert f"mean AUPRC of {found[truth.SCAN]:.3f}" in said[1] and f"chance {chance:.2g}" in said[1]
    assert f"best simple rival, {truth.PRODUCTS} ({found[truth.PRODUCTS]:.3f})" in said[1]
    worse = swept.assign(value=swept["value"].where(swept["method"] != truth.SCAN, 0.0))
    assert f"behind the best simple rival, {truth.PRODUCTS}" in findings.about_pairs(worse, "interaction")[1]
    assert "It calls no pair." in findings.about_pairs(worse, "interaction")[1]
    seen = truth.seen_by_components(plant(Planting(n_cells=300)))
    assert seen.set_index("genes").loc["pair", "share_in_components"] < 0.05 < seen["if_random"].iloc[0]
    assert findings.about_components(swept, seen)[0].startswith("Components hide the pairs")
    blind = swept.assign(value=0.0)
    assert findings.about_components(blind, seen)[0].startswith("Components do not hide the pairs")
    assert "no better or worse than correlation" in findings.about_genes(swept)[0]
    assert len(findings.about_named_pairs(swept)) == 2
    lines = findings.planted_key_figures(swept, swept.assign(share=swept["interaction"]), network)
    assert lines["pairs planted in made cells, found (AUPRC)"].startswith(
        f"{found[truth.SCAN]:.2f} ({truth.PRODUCTS}: "
    )
    assert set(lines) >= {"pairs that are edges, krumsiek11", "pairs that are edges, SERGIO"}
    figure = figures.recovery_curves(swept, [truth.PAIRS, truth.PANEL])
    curve = next(trace for trace in figure.data if trace.name == truth.SCAN)
    np.testing.assert_allclose(curve.y[-1], found[truth.SCAN])
    assert len(figures.pair_cells(plant(Planting(n_cells=300))).data) == 3


@pytest.mark.slow
def test_the_scan_finds_pairs_among_real_genes_where_plain_products_do_not():
    """Products of genes follow those of programs there, and plain correlation names these."""
    table = truth.real_sweep([0.05], 10, 1)
    assert table.columns.tolist() == truth.COLUMNS
    mean = table[table["measure"] == truth.AUPRC].set_index("method")["value"]
    assert mean[truth.SCAN] > 0.05 and mean[[*truth.RIVALS]].max() < 0.01
    assert "ahead of the best simple rival" in findings.about_pairs(table, "share")[0]


def test_third_order_finds_triples_that_second_order_does_not():
    table = truth.triple_sweep(1).set_index("method")["value"]
    assert table[truth.THIRD] >= 0.8 and table[truth.SECOND] < 0.1
    assert "ahead of second order" in findings.about_triples(truth.triple_sweep(1))[0]


def test_edges_are_those_of_the_networks():
    edges = krumsiek_edges()
    named = {frozenset((edges.index[i], edges.columns[j])) for i, j in np.argwhere(edges.to_numpy())}
    assert len(named) == 20 and edges.shape == (11, 11)
    assert {"Gata1", "Pu.1"} in named and {"EKLF", "Fli1"} in named and {"Gata2", "cJun"} not in named
    known = list(networks())
    assert [source.name for source, _ in known] == ["krumsiek11", *(f"SERGIO, network {n}" for n in range(3))]
    for source, edges in known:
        adata = source.read()
        assert set(edges.index) == set(edges.columns) == set(adata.var_names)
        assert edges.equals(edges.T) and not np.diag(edges).any()
        assert adata.n_obs >= 640


@pytest.mark.slow
def test_cells_follow_the_networks_that_they_were_simulated_from():
    """Genes that regulate each other go together more than others do."""
    for source, edges in networks():
        adata = source.read()
        together = np.abs(np.corrcoef(np.log1p(adata.X.T)))
        upper = np.triu_indices(len(edges), 1)
        true = edges.loc[adata.var_names, adata.var_names].to_numpy()[upper]
        assert average_precision_score(true, together[upper]) > 1.15 * expected_average_precision(
            len(true), int(true.sum()), len(true)
        ), source.name


@pytest.mark.slow
def test_a_pair_is_not_an_edge_and_the_page_says_by_how_much(network):
    assert network[network["measure"] == truth.AUPRC]["value"].between(0, 1).all()
    said = findings.about_network(network)
    assert len(said) == 2 and said[0].startswith("krumsiek11: a pair is not an edge. Of the scan's ")
    scan = network[(network["method"] == truth.SCAN) & network["data"].str.startswith("SERGIO")]
    values = scan.pivot(index="data", columns="measure", values="value")
    n = values[truth.CALLED].sum()
    assert n > 0 and f"Of the scan's {n:.0f} pairs called, " in said[1]
    share = (values[truth.CALLED] * values[truth.PRECISION].fillna(0)).sum() / n
    assert f"called, {share:.0%} are edges" in said[1]
    none = network.assign(value=network["value"].where(network["measure"] != truth.CALLED, 0))
    assert f"Of the scan's {truth.N_STRONGEST} strongest pairs, as none is called, " in findings.about_network(none)[1]
    table = findings.network_table(network)
    assert set(table["network"]) == {"krumsiek11", "SERGIO"} and len(figures.network_bars(network).data) == 4
