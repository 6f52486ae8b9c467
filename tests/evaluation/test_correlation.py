import shlex

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from scripts import measures
from scripts.evaluation import correlation
from scripts.models.form import BilinearForm
from tests import reference

PUBLISHED_FREQUENCY_0 = (
    "Car2,Ermap,Mt2,Blvrb,Klf1,Car1,Mpo,Prtn3,Fam132a,Ctsg,Sphk1,Coro1a,Rhd,Pkm2,Cpox,Aqp1,Atp1b2,H2afy,Abcb4,Laptm5,"
    "Elane,Sh3bgrl3,Tnfaip2,Arhgdib,Mns1"
)
ODD = [
    "Il-2 receptor alpha",
    "HLA-DRB1 ",
    "1-Mar",
    "nan",
    "A;B",
    "Gene, with comma",
    "it's",
    "<b>MT-CO1</b>",
    "123",
    "$x$",
]


def test_correlations_equal_the_reference_and_constant_genes_have_none():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(50, 8)).astype(np.float32), random.normal(size=(50, 3))
    X[:, 2] = 1.5
    found = correlation.correlations(X, y)
    np.testing.assert_allclose(found, reference.correlations(X, y), atol=1e-6)
    assert (found[2] == 0).all()


@pytest.mark.paul15
def test_paul15_correlated_genes_are_the_published_ones(paul15):
    adata = paul15[0]
    genes = list(adata.var_names)
    found = correlation.correlations(adata.X, adata.obsm["X_freq"])
    assert ",".join(genes[i] for i in measures.strongest(found[:, 0], 25)) == PUBLISHED_FREQUENCY_0
    expected = reference.correlations(adata.X, adata.obsm["X_freq"])
    for frequency in range(5):
        top, expected_top = (measures.strongest(of[:, frequency], 25) for of in (found, expected))
        np.testing.assert_array_equal(top, expected_top)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_markers_of_groups_equal_scipy_and_take_neither_depth_nor_one_cell_for_a_marker(form):
    random = np.random.default_rng(0)
    depth = random.uniform(1, 10, size=400)
    is_in = np.column_stack([np.argsort(np.argsort(depth)) < 40, np.arange(400) % 20 == 0])  # the shallowest; any cells
    X = random.poisson(1, size=(400, 5)).astype(np.float32)
    X[:, 1] = 12 - depth + random.normal(scale=0.5, size=400)  # follows depth alone
    X[:, 2] = is_in[:, 1] * 2 + random.normal(size=400)
    X[:, 3], X[:, 4] = np.eye(400)[20], 0  # one cell of the second group; none
    found = correlation.group_markers(form(X), is_in, list("abcde"), depth).set_index(["group", "gene"])
    for group, gene in [(0, 0), (1, 0), (0, 1), (1, 2)]:
        row, inside = found.loc[(group, "abcde"[gene])], is_in[:, group]
        expected = stats.ttest_ind(X[inside, gene], X[~inside, gene], equal_var=False)
        interval = expected.confidence_interval(0.95)
        unit = X[:, gene].std(dtype=float)
        shown = [row["difference"], row["ci_low"], row["ci_high"]]
        middle = X[inside, gene].mean(dtype=float) - X[~inside, gene].mean(dtype=float)
        np.testing.assert_allclose(shown, np.array([middle, *interval]) / unit, atol=1e-5)
    assert found.loc[(1, "c"), "p_value"] < 1e-6 and found.loc[(1, "c"), "given_depth"] > 0.3
    assert found.loc[(0, "b"), "ci_low"] > 0.5 and found.loc[(0, "b"), "p_value"] > 0.01
    assert found.loc[(1, "d"), "difference"] > 0.9 and found.loc[(1, "d"), "ci_low"] < 0
    assert np.isnan(found.loc[(1, "e"), "difference"]) and found.loc[(1, "e"), "p_value"] == 1


def test_overlap_statistics_equal_simulation():
    random = np.random.default_rng(0)
    draws = [set(random.choice(60, 10, replace=False)) for _ in range(8000)]
    shared = np.array([len(a & b) for a, b in zip(draws[::2], draws[1::2], strict=True)])
    assert measures.expected_jaccard(10, 10, 60) == pytest.approx((shared / (20 - shared)).mean(), abs=0.004)
    assert measures.overlap_p_value(4, 10, 10, 60) == pytest.approx((shared >= 4).mean(), abs=0.01)
    assert measures.jaccard(["a", "b"], ["b", "c"]) == pytest.approx(1 / 3)
    assert measures.jaccard([], []) == 0


def test_comparison_finds_a_module_that_is_the_correlation_and_one_that_is_not():
    random = np.random.default_rng(0)
    genes = [f"g{i}" for i in range(100)]
    same, other = np.linalg.qr(random.normal(size=(100, 2)))[0].T
    core = np.array([np.diag([2.0, 0.0]), np.diag([0.0, -2.0])])
    form = BilinearForm(np.stack([same, other], axis=1), core, np.zeros((2, 100)), np.zeros(2), genes)
    rival = np.zeros((100, 2))
    top = np.argsort(-np.abs(form.modules(1)[1][0, :, 0]))
    rival[top[:20], 0] = np.abs(form.modules(1)[1][0, top[:20], 0])
    rival[:, 1] = random.normal(size=100)
    first = form.modules(1)[1][:, :, 0].T
    table = correlation.compare_with_correlation(first, rival, genes, np.array([0.1, 0.2]), n_genes=10)
    assert table["best_jaccard"].iloc[0] > 0.25 > table["best_jaccard"].iloc[1]
    assert table["p_value"].iloc[0] < 0.05 < table["p_value"].iloc[1]
    assert table["n_shared"].iloc[0] == len(table["shared_genes"].iloc[0].split())


def test_lists_of_oddly_named_genes_can_be_split_again(tmp_path):
    random = np.random.default_rng(0)
    pattern, rival = random.normal(size=(2, len(ODD), 1))
    columns = ["bilinear_genes", "correlated_genes", "shared_genes"]
    table = correlation.compare_with_correlation(pattern, rival, ODD, np.ones(1), n_genes=len(ODD))
    table.to_csv(tmp_path / "table.csv", index=False)
    read = pd.read_csv(tmp_path / "table.csv", keep_default_na=False, na_values=[""]).iloc[0]
    own, others, shared = (shlex.split(read[column]) for column in columns)
    assert own and set(own) in ({g for g, w in zip(ODD, pattern[:, 0], strict=True) if w * s > 0} for s in (1, -1))
    assert sorted(others) == sorted(ODD) and shared == own


def test_rank_biased_overlap_equals_the_sum_over_depths():
    random = np.random.default_rng(0)
    a, b, p = random.permutation(30), random.permutation(30), 0.9
    first, second = np.argsort(a), np.argsort(b)
    agreement = [len(set(first[:d]) & set(second[:d])) / d for d in range(1, 31)]
    expected = agreement[-1] * p**30 + (1 - p) / p * sum(x * p**d for d, x in enumerate(agreement, start=1))
    assert measures.rank_biased_overlap(a, b, p) == pytest.approx(expected)
    assert measures.rank_biased_overlap(a, a, p) == pytest.approx(1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        measures.rank_biased_overlap(a, b, 1.0)


def test_ranking_overlap_sees_the_module_that_is_the_correlation():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.normal(size=(200, 2)))[0]
    rival = np.stack([basis[:, 0], random.normal(size=200)], axis=1)
    table = correlation.ranking_overlap(basis, rival, p=0.95)
    assert table["rbo"].iloc[0] == pytest.approx(1) and table["rbo_p_value"].iloc[0] < 0.01
    assert table["rbo_p_value"].iloc[1] > 0.01 and table["rbo"].iloc[1] < 0.4


def test_driver_intervals_and_p_values_equal_scipy_and_hold_their_level():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 400)), random.normal(size=(60, 1))
    X[:, 0] += 3 * y[:, 0]
    table = correlation.driver_table(X, y, [f"g{i}" for i in range(400)])
    first = table.iloc[0]
    interval = stats.pearsonr(X[:, 0], y[:, 0]).confidence_interval(0.95)
    assert first["gene"] == "g0" and first["q_value"] < 1e-6
    assert (first["ci_low"], first["ci_high"]) == pytest.approx((interval.low, interval.high), abs=1e-6)
    np.testing.assert_allclose(table["given_depth"], table["correlation"])  # all cells are one stratum
    null = table.iloc[1:]
    assert 0.02 < (null["p_value"] < 0.05).mean() < 0.09 and (null["q_value"] >= null["p_value"]).all()
    assert ((null["ci_low"] < 0) & (null["ci_high"] > 0)).mean() == pytest.approx(
        (null["p_value"] > 0.05).mean(), abs=0.01
    )
    with pytest.raises(ValueError, match="too few"):
        correlation.driver_table(np.zeros((3, 2)), np.zeros((3, 1)), ["a", "b"])


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_the_null_of_drivers_is_that_of_permutations_within_depth(form):
    random = np.random.default_rng(0)
    depth, y = random.permutation(80), random.normal(size=(80, 2))
    X = random.poisson(1 + depth[:, None] / 40, size=(80, 3)).astype(float)
    X[:, 2] = 1.5  # constant
    partial, z = correlation.given_depth(form(X), y, depth)
    stratum = depth // 20  # of 20 cells
    draws = []
    for _ in range(4000):
        rows = np.arange(80)
        for s in range(4):
            rows[stratum == s] = random.permutation(rows[stratum == s])
        draws.append(X[rows].T @ y)
    expected = (X.T @ y - np.mean(draws, axis=0))[:2] / np.std(draws, axis=0)[:2]
    np.testing.assert_allclose(z[:2], expected, atol=0.1)
    within = [values - np.eye(4)[stratum] @ np.linalg.lstsq(np.eye(4)[stratum], values)[0] for values in (X, y)]
    np.testing.assert_allclose(partial[:2], np.corrcoef(*within, rowvar=False)[:2, 3:], atol=1e-12)
    assert (partial[2] == 0).all() and (z[2] == 0).all()


@pytest.mark.paul15
def test_genes_shuffled_before_normalising_are_drivers_at_the_nominal_rate_alone(paul15):
    adata = paul15[0]
    table = correlation.shuffled_drivers(adata, 2000)
    passed = (table["p_value"] < 0.05).groupby(table["frequency"]).mean()
    assert passed.between(0.03, 0.07).all(), passed
    assert (table["q_value"] < 0.05).groupby(table["frequency"]).mean().max() < 0.01
    plain = 2 * stats.norm.sf(np.arctanh(table["correlation"].abs()) * np.sqrt(adata.n_obs - 3))
    assert (plain < 0.05).reshape(-1, 2000).mean(axis=1)[:2].min() > 0.6  # what depth alone gives

    genes = list(adata.var_names)
    true = correlation.driver_table(adata.X, adata.obsm["X_freq"], genes, correlation.depth_of(adata))
    true = true[true["q_value"] < 0.05]
    assert (true.groupby("frequency").size() > 700).all()
    assert len(set(PUBLISHED_FREQUENCY_0.split(",")) & set(true.loc[true["frequency"] == 0, "gene"])) == 25
