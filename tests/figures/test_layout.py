"""Where the cells are drawn."""

import anndata as ad
import numpy as np
import pytest

from scripts import figures


def cells_at(frequencies):
    adata = ad.AnnData(np.zeros((len(frequencies), 1), dtype=np.float32))
    adata.obsm["X_freq"] = frequencies.astype(np.float32)
    return adata


def share_filled(xy):
    """How much of the map's width and height the middle nine tenths of the cells take."""
    low, high = np.quantile(xy, [0.05, 0.95], axis=0)
    return (high - low) / np.ptp(xy, axis=0)


@pytest.mark.parametrize("n_equal", [8, 60])
def test_equal_cells_have_a_place_and_hold_to_their_neighbours(n_equal):
    """Fewer and more of them than there are neighbours."""
    frequencies = np.random.default_rng(0).normal(size=(150, 3))
    frequencies[:n_equal] = frequencies[0]
    drawn = figures.lay_out(cells_at(frequencies), 1000)
    weights = drawn.obsp["freq_space_connectivities"]
    assert np.isfinite(weights.data).all() and weights.sum(axis=1).min() > 1
    assert np.isfinite(drawn.obsm["X_umap_freq"]).all() and (share_filled(drawn.obsm["X_umap_freq"]) > 0.4).all()


def test_a_far_group_leaves_the_others_room():
    """As a few cells at the end of a late frequency are, which is near 0 in all others."""
    random = np.random.default_rng(0)
    frequencies = 1e-3 * random.normal(size=(150, 3))
    frequencies[:20] += [0, 0, 50]
    drawn = figures.lay_out(cells_at(frequencies), 1000)
    xy = drawn.obsm["X_umap_freq"]
    assert drawn.obsp["freq_space_connectivities"].sum(axis=1).min() > 1
    assert np.isfinite(xy).all() and (np.ptp(xy[20:], axis=0) > 0.3 * np.ptp(xy, axis=0)).all()
