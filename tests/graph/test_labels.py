import numpy as np
import pandas as pd

from scripts.graph import knn_graph, label_energy, label_separation

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
