"""Of many cells, all but the graph is fitted to and judged on a sample, which has the frequencies of all."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from scripts import evaluation, graph
from scripts.cells import Preparation, load, n_of_graph, run_split, scaled, stored, with_counts_alone
from scripts.datasets import FURTHER, add_frequencies, further, judged, rebuilt_graphs, scale_table
from scripts.errors import InputError
from tests.cells.test_graph_recipe import connected, written

N_JUDGED = 150
SETTINGS = Preparation(n_freq_comps=3, max_judged_cells=N_JUDGED, unconnected="largest")


@pytest.fixture
def every(tmp_path):
    return add_frequencies(load(written(tmp_path), SETTINGS), SETTINGS)


def test_a_sample_has_the_frequencies_of_the_graph_of_all_cells(every):
    some = judged(every, SETTINGS)
    assert some.n_obs == N_JUDGED and n_of_graph(some) == every.n_obs
    np.testing.assert_array_equal(some.obsm["X_freq"], every[some.obs_names].obsm["X_freq"])
    np.testing.assert_array_equal(some.uns["freq_vals"], every.uns["freq_vals"])
    exact = graph.frequencies(sparse.csr_array(every.obsp["connectivities"]), 8)[1]
    np.testing.assert_allclose(
        further(some, SETTINGS, 8), exact[every.obs_names.get_indexer(some.obs_names)], atol=1e-6
    )


def test_a_sample_has_a_graph_of_its_own_by_the_same_recipe(every):
    some = judged(every, SETTINGS)
    edges = some.obsp["connectivities"]
    assert edges.shape == (N_JUDGED, N_JUDGED) and edges.getnnz(axis=1).min() >= SETTINGS.k_neighbors


def test_the_split_is_that_of_the_sample_and_all_cells_know_it(every):
    some = judged(every, SETTINGS)
    assert every.obs["split"].notna().sum() == N_JUDGED
    assert (every.obs["split"].dropna() == some.obs["split"]).all()
    assert len(run_split(some).train) == int(0.7 * N_JUDGED)


def test_what_was_done_is_said_to_readers_of_all_cells_and_of_the_sample(every):
    some = judged(every, SETTINGS)
    for cells in (every, some):
        assert f"of all {every.n_obs:,} cells" in cells.uns["dataset"]["said"][-1]
        assert f"judged on {N_JUDGED} of them" in cells.uns["dataset"]["said"][-1]


@pytest.mark.parametrize("n_judged", [0, 10_000])
def test_of_few_cells_or_where_all_are_wanted_none_is_left_out(every, n_judged):
    settings = Preparation(n_freq_comps=3, max_judged_cells=n_judged)
    assert judged(every, settings) is every and every.obs["split"].notna().all()


def test_graphs_built_anew_have_no_more_cells_than_are_judged(every):
    assert max(len(rows) for rows, _ in rebuilt_graphs(every, SETTINGS, 2, 3)) <= N_JUDGED
    table = scale_table(judged(every, SETTINGS), SETTINGS, 2)
    np.testing.assert_allclose(table["eigenvalue"], graph.frequencies(every.obsp["connectivities"], 10)[0], rtol=1e-6)


def test_a_sample_knows_as_many_frequencies_as_are_looked_for_where_no_number_is_set(tmp_path):
    settings = replace(SETTINGS, n_freq_comps=0)
    some = judged(add_frequencies(load(written(tmp_path), settings), settings), settings)
    n_kept = some.obsm["X_freq"].shape[1]
    assert some.obsm[FURTHER].shape[1] == max(10, n_kept + 5)
    assert len(scale_table(some, replace(settings, n_freq_comps=n_kept), 2)) == max(10, n_kept + 5)
    with pytest.raises(InputError, match="did not converge"):
        further(some, settings, n_kept + 9)


def test_scales_of_a_sample_are_those_of_all_cells(every):
    some = judged(every, SETTINGS)
    scales = evaluation.scales(some, SETTINGS, 2)
    changes = evaluation.scale_changes(some, SETTINGS, scales)
    assert scales["beyond_depth_r2"].head(3).notna().all()
    assert changes["together"].between(0, 1).any()


def test_the_sample_comes_back_from_its_file_as_it_was(every, tmp_path):
    some = judged(every, SETTINGS)
    again = scaled(stored(some))
    np.testing.assert_allclose(again.X, some.X, atol=1e-5)
    assert FURTHER in again.obsm


def test_all_cells_are_stored_with_their_counts(every):
    judged(every, SETTINGS)
    found = with_counts_alone(every)
    np.testing.assert_array_equal(found.X.toarray(), connected().X[: every.n_obs])
    assert {"X_freq", FURTHER} <= set(found.obsm) and "connectivities" in found.obsp and not found.layers
