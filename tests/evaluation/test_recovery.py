import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score

from scripts import figures, findings
from scripts.cells.planted import BRANCHES, Planting, _counts, plant
from scripts.cells.splits import CellDataset
from scripts.evaluation.recovery import (
    BILINEAR,
    COMPONENTS,
    CORRELATION,
    KRUMSIEK_REGULATORS,
    LINEAR,
    PAIR_GENES,
    PAIRS,
    PANEL,
    PRODUCTS,
    PROGRAM_GENES,
    SILENT_PAIRS,
    all_pair_weights,
    krumsiek_edges,
    krumsiek_recovery,
    planted_sweep,
    product_correlations,
    seen_by_components,
    strongest_pair,
)
from scripts.measures import expected_average_precision
from scripts.models.kernel import GeneRidge
from scripts.reading import strongest_pairs


@pytest.fixture(scope="module")
def swept():
    """Recovery at the default noise, with no interaction and with nothing else, over three seeds."""
    return planted_sweep(Planting(), [0.0, 1.0], n_seeds=3)


def _mean(table, interaction, task):
    own = table[(table["interaction"] == interaction) & (table["task"] == task)]
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
    np.testing.assert_allclose(all_pair_weights(form, np.array([[1.0, 0.0]])), B)
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
    X, y = random.normal(size=(200, 4)), random.normal(size=(200, 1))
    X -= X.mean(axis=0)
    expected = [abs(np.corrcoef(X[:, i] * X[:, j], y[:, 0])[0, 1]) for i, j in zip(*np.triu_indices(4, 1), strict=True)]
    np.testing.assert_allclose(product_correlations(X, y), expected)
    np.testing.assert_allclose(strongest_pair(np.array([1.0, 5.0, 2.0, 0.0, 3.0, 4.0]), 4), [5, 3, 5, 4])
    true = np.arange(30) < 5
    drawn = np.mean([average_precision_score(true, random.random(30)) for _ in range(600)])
    assert expected_average_precision(30, 5, 30) == pytest.approx(drawn, abs=0.02)
    assert expected_average_precision(1, 1, 1) == 1


@pytest.mark.slow
def test_bilinear_finds_the_planted_pairs_where_correlation_is_at_chance(swept):
    for task in (PAIRS, SILENT_PAIRS):
        found, chance = _mean(swept, 1.0, task)
        assert found[BILINEAR] >= 0.9, task
        assert abs(found[CORRELATION] - chance) <= 0.05 and abs(found[LINEAR] - chance) <= 0.05, task
        assert abs(found[COMPONENTS] - chance) <= 0.05, task  # components hide these pairs
        assert found[PRODUCTS] >= 0.9, task  # the simple rival that looks at products finds them too
    genes, chance = _mean(swept, 1.0, PAIR_GENES)
    assert genes[BILINEAR] >= 0.9 and abs(genes[CORRELATION] - chance) <= 0.05
    predicted, _ = _mean(swept, 1.0, PANEL)
    assert predicted[BILINEAR] > 0.1 > predicted[CORRELATION]


def test_bilinear_and_correlation_are_equal_where_single_genes_carry_all(swept):
    genes, _ = _mean(swept, 0.0, PROGRAM_GENES)
    assert min(genes[BILINEAR], genes[CORRELATION]) > 0.95
    for task in (PAIRS, SILENT_PAIRS, PAIR_GENES):
        found, chance = _mean(swept, 0.0, task)
        assert abs(found[BILINEAR] - chance) <= 0.1 and abs(found[CORRELATION] - chance) <= 0.1


def test_sentences_say_what_the_table_says_and_figures_show_it(swept):
    found, chance = _mean(swept, 1.0, PAIRS)
    said = findings.about_pairs(swept)
    assert f"AUPRC of {found[BILINEAR]:.3f}" in said[0] and f"chance {chance:.3f}" in said[0]
    assert any(s.endswith("the bilinear model is not, at an interaction of 1.") for s in said)
    assert any("both are at chance at an interaction of 0." in s for s in said)
    worse = swept.assign(value=swept["value"].where(swept["method"] != BILINEAR, 0.0))
    assert not [s for s in findings.about_pairs(worse) if "the bilinear model is not," in s]
    assert "behind by more than 0.05 at an interaction of 1" in findings.about_products(worse)[0]
    cells = plant(Planting(n_cells=300))
    seen = seen_by_components(cells)
    assert seen.set_index("genes").loc["pair", "share_in_components"] < 0.05 < seen["if_random"].iloc[0]
    assert findings.about_components(swept, seen)[0].startswith("Components hide the pairs")
    assert findings.about_components(worse, seen)[0].startswith("Components do not hide the pairs")
    assert "find as much as correlation at an interaction of 0 " in " ".join(findings.about_genes(swept))
    assert len(findings.about_named_pairs(swept)) == 2
    assert findings.planted_key_figure(swept).startswith(f"{found[BILINEAR]:.2f} ")
    figure = figures.recovery_curves(swept, [PAIRS, SILENT_PAIRS, PAIR_GENES, PROGRAM_GENES])
    curve = next(trace for trace in figure.data if trace.name == BILINEAR)
    np.testing.assert_allclose(curve.y[-1], found[BILINEAR])
    assert len(figures.pair_cells(cells).data) == 3


def test_edges_of_the_published_network_and_who_finds_them():
    genes = list(KRUMSIEK_REGULATORS)
    edges = krumsiek_edges(genes)
    assert edges.sum() == 20 and len(edges) == 55
    named = {frozenset((genes[i], genes[j])) for i, j in np.stack(np.triu_indices(11, 1), axis=1)[edges]}
    assert {"Gata1", "Pu.1"} in named and {"EKLF", "Fli1"} in named and {"Gata2", "cJun"} not in named
    table = krumsiek_recovery(n_seeds=1)
    assert table["value"].between(0, 1).all() and set(table["measure"]) == {"AUPRC", "AUROC"}
    mean = table[table["measure"] == "AUROC"].set_index("method")["value"]
    place = int((mean > mean[BILINEAR]).sum()) + 1
    said = findings.about_network(table)
    assert f"AUROC: {BILINEAR} {mean[BILINEAR]:.2f}, place {place} of 6" in said[1]
    assert len(figures.network_bars(table).data) == 2
