"""Layouts that the map of the first page offers."""

import numpy as np

from scripts.story.index import _layouts


def test_the_layout_of_the_file_is_offered_where_the_run_kept_it():
    ours, own = np.array([[0.0, 1.0], [np.nan, np.nan]]), np.array([[2.0, 3.0, 9.0], [4.0, 5.0, 9.0]])
    assert list(_layouts({"X_umap_freq": ours})) == list(_layouts({"X_umap_freq": ours, "X_umap": ours.copy()}))
    first, second = _layouts({"X_umap_freq": ours, "X_umap": own}).values()
    np.testing.assert_array_equal(first, ours)
    np.testing.assert_array_equal(second, own[:, :2])
