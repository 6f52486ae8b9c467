"""Layouts that the map of the first page offers."""

import anndata as ad
import numpy as np

from scripts.story.index import _layouts


def test_layouts_of_the_file_are_offered_beside_that_of_the_frequencies():
    ours, own = np.array([[0.0, 1.0], [np.nan, np.nan]]), np.array([[2.0, 3.0], [np.inf, 5.0]])
    cells = ad.AnnData(np.ones((2, 2)), obsm={"X_umap_freq": ours, "X_umap": ours.copy()}, uns={"dataset": {}})
    assert list(_layouts(cells)) == ["UMAP of the frequencies"]  # obsm["X_umap"] is that of the run
    cells.obsm["X_umap"], cells.uns["dataset"]["layouts"] = own, np.array(["X_umap"])
    first, second = _layouts(cells).values()
    np.testing.assert_array_equal(first, ours)
    np.testing.assert_array_equal(second, [[2.0, 3.0], [np.nan, np.nan]])
