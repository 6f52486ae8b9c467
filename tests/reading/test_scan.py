import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats
from sklearn.metrics import average_precision_score

from scripts.cells.planted import NULLS, with_pairs, without_pairs
from scripts.evaluation.recovery import pair_power, scan_recovery
from scripts.findings import about_pair_scan
from scripts.graph.edges import knn_graph
from scripts.models.components import target_components
from scripts.reading import scan as scanning
from scripts.reading.scan import (
    COLUMNS,
    condition,
    is_confirmed,
    largest_of_surrogates,
    scan_pairs,
    scan_table,
)
from scripts.reading.stability import replication_rates
from tests import reference


def counts_of(seed: int, n_cells: int, n_genes: int) -> np.ndarray:
    """Skewed counts of genes in three programs."""
    random = np.random.default_rng(seed)
    programs = random.normal(size=(n_cells, 3)) @ random.normal(size=(3, n_genes)) * 0.4
    return random.poisson(np.exp(programs + random.normal(size=n_genes)) * random.gamma(4, 0.25, (n_cells, 1)))


def cells(seed: int, n_cells: int = 400, n_genes: int = 60):
    X = np.log1p(counts_of(seed, n_cells, n_genes)).astype(np.float32)
    X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)
    random = np.random.default_rng([seed, 1])
    y = random.normal(size=(n_cells, 2)) + X[:, [0, 5]] + 0.5 * np.tanh(X[:, [7, 8]])
    return X, y


def everything(X, y, **settings):
    """T of all pairs, (freq, genes, genes), by the scan: all pairs are kept."""
    found = scan_pairs(condition(X, y, **settings), 10**6)
    T = np.full((y.shape[1], X.shape[1], X.shape[1]), np.nan)
    table = found.strongest
    T[table["frequency"], table["i"], table["j"]] = table["t"]
    return T, found


def upper(T):
    return T[:, *np.triu_indices(T.shape[1], 1)]


@pytest.mark.parametrize("covariates", [None, np.random.default_rng(5).normal(size=(400, 3))])
def test_scan_is_the_formula(covariates):
    X, y = cells(0)
    T, found = everything(X, y, covariates=covariates)
    beside = np.empty((400, 0)) if covariates is None else covariates
    z = target_components(X, y, 20).coordinates(X)
    taken = np.hstack([z[:, :3], beside])
    E = reference.left_by(taken, X.astype(np.float64))
    products = np.stack([z[:, i] * z[:, j] for i in range(3) for j in range(i, 3)], axis=1)
    linear = np.hstack([z, beside])
    programs = np.hstack([linear, products])
    left = reference.left_by(programs, y)
    t = [[abs(np.corrcoef(left[:, f], X[:, g])[0, 1]) for g in range(60)] for f in range(2)]
    picked = [g for f in range(2) if max(t[f]) * np.sqrt(400) > scanning.OWN_T for g in [int(np.argmax(t[f]))]]
    own = X[:, sorted(set(picked))].astype(np.float64)
    fit = y - reference.left_by(np.hstack([linear, own]), y)
    fit -= fit.mean(axis=0)
    expected = reference.pair_statistics(y, np.hstack([programs, own, own**2, fit**2, fit**3]), E[:, :25])
    np.testing.assert_allclose(upper(T[:, :25, :25]), upper(expected), atol=2e-4)
    assert found.n_tests == 2 * 60 * 59 / 2


def test_blocks_of_any_size_and_sparse_cells_give_the_same(monkeypatch):
    X, y = cells(1)
    whole, found = everything(X, y, n_components=3)  # those that other solvers give alike
    monkeypatch.setattr(scanning, "MIN_BLOCK", 7)
    monkeypatch.setattr(scanning, "MAX_BLOCK", 7)
    for again in (X, sparse.csr_matrix(X), sparse.csc_array(X)):
        T, other = everything(again, y, n_components=3)
        np.testing.assert_allclose(upper(T), upper(whole), atol=1e-3)
        assert other.n_tests == found.n_tests and np.abs(other.counts - found.counts).sum() < 0.1 * found.n_tests


def test_strongest_are_the_largest_of_each_frequency_in_order(monkeypatch):
    X, y = cells(2)
    T, _ = everything(X, y)
    strongest = scan_pairs(condition(X, y), 25).strongest
    monkeypatch.setattr(scanning, "_left_beside", lambda y, columns: y)
    screened, _ = everything(X, y)
    for f, listed in strongest.groupby("frequency"):
        assert listed["rank"].tolist() == list(range(1, 26)) and (listed["i"] < listed["j"]).all()
        assert (np.diff(listed["t"].abs()) <= 0).all()
        np.testing.assert_allclose(listed["t"], T[f, listed["i"], listed["j"]], rtol=1e-5)
        kept = np.sort(np.abs(screened[f, listed["i"], listed["j"]]))[::-1]
        np.testing.assert_allclose(kept, np.sort(np.abs(upper(screened)[f]))[:-26:-1], rtol=1e-6)


def test_adjusted_p_are_bonferroni_and_benjamini_hochberg_over_all_pairs_and_frequencies():
    X, y = cells(3)
    y[:, 0] += 1.5 * X[:, 20] * X[:, 30]
    _, found = everything(X, y)
    table = scan_table(found, [f"g{i}" for i in range(60)])
    assert table.columns.tolist() == COLUMNS and table["confirmed"].isna().all()
    p = 2 * stats.norm.sf(np.abs(found.strongest["t"]))
    np.testing.assert_allclose(table["p_value"], p)
    np.testing.assert_allclose(table["adjusted_p"], np.minimum(1, p * found.n_tests))
    exact = reference.benjamini_hochberg(p)
    assert (table["fdr"] >= exact * (1 - 1e-3)).all()
    np.testing.assert_allclose(table["fdr"], exact, rtol=0.02)
    assert (table["called"] == (table["t"].abs() >= found.threshold)).all() and table["called"].any()


def test_a_planted_pair_is_called_confirmed_and_replicated():
    X, y = cells(4, n_cells=1200)
    y[:, 1] += X[:, 20] * X[:, 30]
    first, other = condition(X[:600], y[:600]), condition(X[600:], y[600:])
    found = scan_pairs(first, 50)
    table = scan_table(found, [f"g{i}" for i in range(60)], other.statistics(found.strongest))
    called = table[table["called"]]
    assert called[["frequency", "gene_i", "gene_j"]].iloc[0].tolist() == [1, "g20", "g30"]
    assert called["t"].iloc[0] > 0 and bool(called["confirmed"].iloc[0])
    assert 0 < table["confirmed"].mean() < 0.5
    rates = replication_rates(found.strongest[table["called"]], first, other)
    assert rates["pairs"].tolist() == ["found", "random, of like expression", "random, of like correlation"]
    assert rates["replicated"].iloc[0] > 0.5 > rates["replicated"].iloc[1:].max()
    nothing = replication_rates(found.strongest.iloc[:0], first, other)
    assert nothing["n_pairs"].tolist() == [0, 0, 0] and nothing["replicated"].isna().all()


def test_confirmed_is_the_same_sign_and_p_below_5_percent():
    assert is_confirmed(np.array([7.0, -7, 7, 7, 7]), np.array([2.0, -2, -2, 1.9, np.nan])).tolist() == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("null", NULLS)
def test_nulls_are_what_they_say(null):
    X, y = cells(5)
    counts = counts_of(5, 400, 60)
    graph = knn_graph(X, 10)
    made, targets = without_pairs(null, X, y, graph, counts, 1)
    again = without_pairs(null, X, y, graph, counts, 1)[1]
    np.testing.assert_array_equal(targets, again)
    assert len(made) == len(targets) and targets.shape[1] == 2 and np.isfinite(targets).all()
    assert not np.allclose(targets, without_pairs(null, X, y, graph, counts, 2)[1])


def test_nulls_have_no_pair_in_19_of_20_runs():
    n_found = 0
    for seed in range(20):
        counts = counts_of(seed, 400, 120)
        X = np.log1p(counts).astype(np.float32)
        X = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)
        y = cells(seed, 400, 120)[1]
        made, targets = without_pairs(NULLS[seed % len(NULLS)], X, y, knn_graph(X, 10), counts, seed)
        found = scan_pairs(condition(made, targets), 10)
        n_found += found.largest >= found.threshold
    assert n_found <= 1


def test_surrogates_of_a_pair_have_none():
    X, y = cells(6, 600)
    y[:, 0] += 2 * X[:, 20] * X[:, 30]
    given = condition(X, y)
    found, largest = scan_pairs(given, 1), largest_of_surrogates(given, knn_graph(X, 10), 5)
    assert found.largest > found.threshold > largest.max() > 2
    np.testing.assert_array_equal(largest, largest_of_surrogates(given, knn_graph(X, 10), 5))


def test_small_effects_of_two_genes_that_no_cell_shows_together_are_no_pair(monkeypatch):
    X, _ = cells(13, 1000)
    random = np.random.default_rng(0)
    y, shown = random.normal(size=(1000, 1)), random.permutation(1000)[:100].reshape(2, 50)
    for gene, rows in zip((20, 30), shown, strict=True):
        X[:, gene], X[rows, gene] = 0, random.uniform(2, 3, 50)
        y[rows] += 0.53 - y[rows].mean()  # t = 3.7: not picked as an effect of its own
    given = condition(X, y, n_components=3)
    found = scan_pairs(given, 10**6)
    pair = found.strongest[(found.strongest["i"] == 20) & (found.strongest["j"] == 30)]
    assert pair["t"].abs().item() < 2 and found.largest < found.threshold
    monkeypatch.setattr(scanning, "_left_beside", lambda y, columns: y)
    screened = scan_pairs(given, 1)
    assert screened.strongest[["i", "j"]].to_numpy().tolist() == [[20, 30]] and screened.largest > screened.threshold


def test_counts_of_a_scan_are_those_of_the_statistics_that_are_kept():
    X, y = cells(14)
    found = scan_pairs(condition(X, y), 10**6)
    assert found.n_tests == len(found.strongest)
    for f, kept in found.strongest.groupby("frequency"):
        assert found.at_least(np.array([2.0]), f)[0] == (kept["t"].abs() >= 2).sum()


def test_what_covariates_say_is_no_pair():
    X, _ = cells(7, 1000)
    random = np.random.default_rng(0)
    batch = random.integers(2, size=(1000, 1)).astype(float)
    X[:, 30] = np.where(batch[:, 0] == 1, X[:, 20], X[:, 30])  # co-expressed in one batch alone
    y = 2 * batch + random.normal(size=(1000, 1))
    unaware, aware = (scan_pairs(condition(X, y, covariates), 1) for covariates in (None, batch))
    assert unaware.strongest[["i", "j"]].to_numpy().tolist() == [[20, 30]] and unaware.largest > unaware.threshold
    assert aware.largest < 5


def test_a_curve_of_one_index_is_no_pair(monkeypatch):
    X, _ = cells(7, 1000)
    random = np.random.default_rng(0)
    y = np.exp(0.6 * X[:, [10, 20, 30, 40]].sum(axis=1, keepdims=True) / 2) + 0.3 * random.normal(size=(1000, 1))
    found = scan_pairs(condition(X, y), 1)
    assert found.largest < found.threshold
    monkeypatch.setattr(scanning, "_curves", lambda y, linear: np.empty((len(y), 0)))
    assert scan_pairs(condition(X, y), 1).largest > found.threshold


def test_constant_genes_are_left_out():
    X, y = cells(8)
    expected = scan_pairs(condition(X, y, n_components=3), 10)
    X = np.insert(X, [3, 40], 2.5, axis=1)
    given = condition(X, y, n_components=3)
    found = scan_pairs(given, 10)
    assert given.tested.tolist() == [g for g in range(62) if g not in (3, 41)]
    assert found.n_tests == expected.n_tests
    np.testing.assert_allclose(found.strongest["t"], expected.strongest["t"], atol=1e-3)
    assert np.isnan(given.statistics(pd.DataFrame({"frequency": [0], "i": [3], "j": [5]}))).all()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("n_cells", "n_genes"), [(13, 12), (40, 2), (30, 200), (200, 11)])
def test_tiny_data_and_constant_frequencies_stop_nothing(n_cells, n_genes):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(n_cells, n_genes)).astype(np.float32), random.normal(size=(n_cells, 3))
    y[:, 1] = 1.0
    found = scan_pairs(condition(X, y))
    genes = [str(i) for i in range(n_genes)]
    table = scan_table(found, genes)
    assert not table["called"].any() and table["t"].notna().all()
    assert set(table.loc[table["t"] != 0, "frequency"]) <= {0, 2}
    assert not largest_of_surrogates(condition(X, y), knn_graph(X, min(10, n_cells - 1)), 1).any() or n_cells > 12


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("n_cells", "n_genes"), [(1, 30), (2, 30), (40, 1)])
def test_where_held_out_cells_cannot_tell_nothing_is_confirmed(n_cells, n_genes, kind):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, n_genes)).astype(np.float32), random.normal(size=(60, 2))
    first, other = condition(kind(X), y), condition(kind(X[:n_cells]), y[:n_cells])
    found = scan_pairs(first, 5)
    table = scan_table(found, [str(i) for i in range(n_genes)], other.statistics(found.strongest))
    assert len(table) == (10 if n_genes > 1 else 0) and not table["confirmed"].any()
    rates = replication_rates(found.strongest, first, other)
    assert rates["n_pairs"].tolist() == [0, 0, 0] and rates["replicated"].isna().all()
    assert len(pair_power(kind(X), y, shares=(0.01,))) == (2 if n_genes > 1 else 0)


def test_a_gene_of_its_own_effect_is_in_no_pair():
    X, y = cells(9, 600)
    y[:, 0] += np.abs(X[:, 25]) + X[:, 25] ** 2
    found = scan_pairs(condition(X, y), 10**6)
    assert found.largest < found.threshold and (found.strongest["i"] < found.strongest["j"]).all()


def test_planted_pairs_make_the_share_of_variance_that_is_asked():
    X, y = cells(10, 2000)
    targets, pairs = with_pairs(X, y, 4, 0.05, 3)
    assert pairs.shape == (2, 4, 2) and (pairs[..., 0] < pairs[..., 1]).all()
    assert all(len(np.unique(own)) == 8 for own in pairs)
    for f in range(2):
        products = X[:, pairs[f, :, 0]] * X[:, pairs[f, :, 1]]
        t = np.corrcoef(products.T, targets[:, f])[-1, :-1]
        assert (np.abs(t) > 0.1).all()
    with pytest.raises(ValueError, match="40 pairs of 0.05 of the variance each cannot be made"):
        with_pairs(X, y, 40, 0.05)


def test_power_grows_with_the_share_and_calls_are_planted():
    X, y = cells(11, 1500, 100)
    table = pair_power(X, y, shares=(0.002, 0.05), n_pairs=5)
    assert table.columns.tolist() == ["share", "frequency", "auprc", "n_called", "precision", "recall"]
    weak, strong = (table[table["share"] == share] for share in (0.002, 0.05))
    assert (strong["auprc"] > 0.7).all() and weak["auprc"].mean() < strong["auprc"].mean()
    assert (strong["recall"] > 0).all() and strong["precision"].mean() >= 0.9


def test_recovery_is_average_precision_among_all_pairs():
    X, y = cells(12)
    targets, pairs = with_pairs(X, y, 3, 0.02, 0)
    given = condition(X, targets)
    T, found = everything(X, targets)
    table = scan_recovery(found, given, pairs)
    i, j = np.triu_indices(60, 1)
    for f in range(2):
        true = np.isin(i * 60 + j, pairs[f] @ [60, 1])
        expected = average_precision_score(true, np.abs(T[f, i, j]))
        np.testing.assert_allclose(table["auprc"].iloc[f], expected, rtol=0.1)


@pytest.mark.slow
def test_memory_is_that_of_blocks():
    random = np.random.default_rng(0)
    X, y = sparse.random(400, 8000, 0.05, "csr", np.float32, random_state=0), random.normal(size=(400, 1))
    tracemalloc.start()
    scan_pairs(condition(X, y))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2e8  # 8,000 x 8,000 values of float32 would be 2.6e8


def test_of_many_genes_those_that_most_cells_show_are_scanned_and_the_page_says_so(monkeypatch):
    random = np.random.default_rng(0)
    X = random.poisson(np.linspace(0.05, 2, 60), size=(400, 60)).astype(np.float32)
    y = random.normal(size=(400, 1))
    monkeypatch.setattr(scanning, "MOST_GENES", 20)
    cells = condition(X - X.mean(axis=0), y)
    found = scan_pairs(cells)
    most_shown = np.sort(np.argsort(-(X > 0).sum(axis=0), kind="stable")[:20])
    assert np.array_equal(cells.scanned, most_shown) and (found.n_scanned, found.n_genes) == (20, 60)
    assert found.n_tests == 20 * 19 // 2 and set(found.strongest[["i", "j"]].to_numpy().ravel()) == set(most_shown)
    rates = replication_rates(found.strongest[:5], cells, cells)
    said = about_pair_scan(found, np.empty(0), pd.DataFrame({"share": []}), rates)[0]
    assert said.startswith(
        "190 products are tested, of all pairs of the 20 of 60 genes that most cells show with each "
    )
    sparse_cells = condition(sparse.csr_array(X), y)
    assert np.array_equal(sparse_cells.scanned, most_shown)
