import numpy as np
import pytest
from sklearn.linear_model import Ridge

from scripts import compare
from scripts.datasets import CellDataset
from scripts.modules import BilinearForm
from tests import reference

PUBLISHED_FREQUENCY_0 = (
    "Car2,Ermap,Mt2,Blvrb,Klf1,Car1,Mpo,Prtn3,Fam132a,Ctsg,Sphk1,Coro1a,Rhd,Pkm2,Cpox,Aqp1,Atp1b2,H2afy,Abcb4,Laptm5,"
    "Elane,Sh3bgrl3,Tnfaip2,Arhgdib,Mns1"
)


def test_correlations_equal_the_reference_and_constant_genes_have_none():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(50, 8)).astype(np.float32), random.normal(size=(50, 3))
    X[:, 2] = 1.5
    found = compare.correlations(X, y)
    np.testing.assert_allclose(found, reference.correlations(X, y), atol=1e-6)
    assert (found[2] == 0).all()


@pytest.mark.paul15
def test_paul15_correlated_genes_are_the_published_ones(paul15):
    adata = paul15[0]
    genes = list(adata.var_names)
    found = compare.correlations(adata.X, adata.obsm["X_freq"])
    assert ",".join(compare.top_genes(found[:, 0], genes, 25)) == PUBLISHED_FREQUENCY_0
    expected = reference.correlations(adata.X, adata.obsm["X_freq"])
    for frequency in range(5):
        assert compare.top_genes(found[:, frequency], genes, 25) == compare.top_genes(expected[:, frequency], genes, 25)


def test_overlap_statistics_equal_simulation():
    random = np.random.default_rng(0)
    draws = [set(random.choice(60, 10, replace=False)) for _ in range(8000)]
    shared = np.array([len(a & b) for a, b in zip(draws[::2], draws[1::2], strict=True)])
    assert compare.expected_jaccard(10, 10, 60) == pytest.approx((shared / (20 - shared)).mean(), abs=0.004)
    assert compare.overlap_p_value(4, 10, 10, 60) == pytest.approx((shared >= 4).mean(), abs=0.01)
    assert compare.jaccard(["a", "b"], ["b", "c"]) == pytest.approx(1 / 3)
    assert compare.jaccard([], []) == 0


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
    table = compare.compare_with_correlation(form, rival, np.array([0.1, 0.2]), n_genes=10)
    assert table["best_jaccard"].iloc[0] > 0.25 > table["best_jaccard"].iloc[1]
    assert table["p_value"].iloc[0] < 0.05 < table["p_value"].iloc[1]
    assert table["n_shared"].iloc[0] == len(table["shared_genes"].iloc[0].split())


def test_linear_rival_is_a_ridge_chosen_on_validation_cells_and_the_table_is_on_test_cells():
    random = np.random.default_rng(0)
    slope = random.normal(size=(30, 2))
    parts = []
    for n_cells in (80, 40, 40):
        x = random.normal(size=(n_cells, 30))
        parts.append(CellDataset(x, x @ slope + random.normal(size=(n_cells, 2))))
    train, val, test = parts
    ridge = compare.linear_ridge(train, val)
    scores = [
        compare.r2(val.y.numpy(), Ridge(alpha=a).fit(train.x, train.y).predict(val.x)).mean() for a in compare.PENALTIES
    ]
    assert ridge.alpha == compare.PENALTIES[int(np.argmax(scores))]
    table = compare.performance_table(
        {"linear ridge": ridge.predict, "mean": lambda X: np.zeros((len(X), 2))}, train, test
    )
    rows = table.set_index(["model", "frequency"])
    residual = test.y.numpy()[:, 1] - ridge.predict(test.x.numpy())[:, 1]
    assert rows.loc[("linear ridge", 1), "mae"] == pytest.approx(np.abs(residual).mean(), rel=1e-4)
    assert rows.loc[("linear ridge", 1), "r2"] > 0.8 > rows.loc[("mean", 1), "r2"]
