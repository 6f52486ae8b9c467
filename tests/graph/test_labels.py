import numpy as np
import pandas as pd
import pytest
from scipy.stats import f_oneway, pearsonr

from scripts.graph import dirichlet_energy, knn_graph, label_energy, label_separation

X = np.random.default_rng(0).normal(size=(60, 5))
LABELS = pd.Series(pd.Categorical(np.where(X[:, 0] > 0, "a", "b")))


def test_cells_without_a_label_are_left_out_of_all_shares():
    labels, known = LABELS.where(np.arange(60) % 3 > 0), np.arange(60) % 3 > 0
    pd.testing.assert_frame_equal(label_separation(X, labels), label_separation(X[known], LABELS[known]))
    graph = knn_graph(X, 5)
    energy = label_energy(labels, graph)
    pd.testing.assert_frame_equal(energy, label_energy(LABELS[known], graph[known][:, known]))
    assert energy["cells"].sum() == known.sum() == 40


def test_where_no_cell_has_a_label_the_tables_are_empty():
    labels = pd.Series(pd.Categorical([None] * 60, ["a"]))
    assert label_separation(X, labels).empty and label_energy(labels, knn_graph(X, 5)).empty


def test_labels_at_random_explain_nothing_beyond_chance_however_many_they_are():
    random = np.random.default_rng(1)
    freqs = random.normal(size=(400, 20))
    for n_labels in (2, 20, 150):
        table = label_separation(
            freqs, pd.Series(np.resize(np.arange(n_labels), 400)[random.permutation(400)].astype(str))
        )
        np.testing.assert_allclose(table["expected_by_chance"], (n_labels - 1) / 399)
        assert abs((table["variance_between_labels"] - table["expected_by_chance"]).mean()) < 0.02
        assert abs(table["beyond_chance"].mean()) < 0.03 and table["p_value"].between(0.001, 0.999).all()


def test_shares_and_p_values_are_those_of_the_analysis_of_variance():
    labels = pd.Series(np.resize(["a", "b", "c", "d"], 60))
    found = label_separation(X, labels)
    test = f_oneway(*(X[labels == name] for name in "abcd"))
    np.testing.assert_allclose(found["p_value"], test.pvalue, rtol=1e-8)
    residual = sum(((X[labels == name] - X[labels == name].mean(axis=0)) ** 2).sum(axis=0) for name in "abcd")
    total = ((X - X.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(found["variance_between_labels"], 1 - residual / total)
    np.testing.assert_allclose(found["beyond_chance"], 1 - (residual / 56) / (total / 59))


def test_numbers_are_read_as_numbers():
    numbers = pd.Series(np.where(np.arange(60) < 50, -X[:, 0], np.nan), name="depth")
    found = label_separation(X, numbers)
    expected = [pearsonr(X[:50, f], numbers[:50]) for f in range(5)]
    np.testing.assert_allclose(found["variance_between_labels"], [r.statistic**2 for r in expected])
    np.testing.assert_allclose(found["p_value"], [r.pvalue for r in expected], atol=1e-12)
    assert found.loc[0, ["lowest", "highest"]].tolist() == ["high depth", "low depth"]
    graph = knn_graph(X, 5)
    (energy,) = label_energy(numbers, graph)["dirichlet_energy"]
    assert energy == pytest.approx(dirichlet_energy(X[:50, :1] - X[:50, :1].mean(), graph[:50][:, :50])[0])
    constant = pd.Series(np.ones(60), name="depth")
    assert label_separation(X, constant).empty and label_energy(constant, graph).empty


def test_the_energy_of_a_group_is_that_of_its_indicator():
    labels, graph = pd.Series(np.resize(["a", "b", "c"], 60)), knn_graph(X, 5)
    energy = label_energy(labels, graph).set_index("label")["dirichlet_energy"]
    indicators = pd.get_dummies(labels, dtype=float)
    expected = dirichlet_energy((indicators - indicators.mean()).to_numpy(), graph)
    np.testing.assert_allclose(energy[list("abc")], expected)


@pytest.mark.parametrize(
    "labels", [["a"] * 60, [f"b{cell}" for cell in range(60)], [f"b{cell % 40}" for cell in range(60)]]
)
def test_nothing_is_said_of_one_label_or_of_nearly_as_many_as_cells(labels):
    assert label_separation(X, pd.Series(labels)).empty


def test_a_label_that_explains_nearly_all_is_set_apart():
    labels = pd.Series(pd.Categorical(np.repeat(["a", "b", "c"], 30)))
    line = np.repeat([0.0, 1.0, 2.0], 30)
    apart = np.repeat([1.0, 1.1, 9.0], 30)
    noise = np.random.default_rng(0).normal(size=(90, 1)) * 0.01
    found = label_separation(np.column_stack([line, apart, -apart]) + noise, labels)
    assert found["apart"].tolist() == ["", "c", "c"]
    two = labels.where(labels != "c").cat.remove_unused_categories()
    assert label_separation(line[:, None] + noise, two)["apart"].tolist() == [""]
