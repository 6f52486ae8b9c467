"""Batches: what is taken out of the expression, and donors that are held out, drawn and shuffled as wholes."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts import evaluation, findings, graph, reading
from scripts.cells import CellDataset, Preparation, describe, labels_of
from scripts.cells.splits import (
    donors_of,
    drawn_again,
    inductive_splits,
    run_split,
    split_rows,
    subsamples,
    transductive_splits,
)
from scripts.datasets import prepare
from scripts.models import BilinearRidge
from scripts.sources import resolve
from tests.cells.test_graph_recipe import written

DONORS = ["ann", "bob", "cleo"]


def of_donors(adata):
    adata.obs["donor"] = np.random.default_rng(3).choice(DONORS, adata.n_obs)
    adata.obs["side"] = np.where(np.arange(adata.n_obs) % 2, "l", "r")


@pytest.fixture(scope="module")
def donated(tmp_path_factory):
    return prepare(written(tmp_path_factory.mktemp("donors"), of_donors), Preparation(batch="donor"))


def test_each_donor_is_held_out_once(donated):
    splits = transductive_splits(donated, random_state=1, n_splits=5)
    assert sorted(split.held_out for split in splits) == DONORS
    sizes = donated.obs["donor"].value_counts()
    for split in splits:
        assert len(split.test) == sizes[split.held_out] and len(set(split.test.donors)) == 1
        assert not set(split.test.donors) & {*split.train.donors, *split.val.donors}
        assert set(split.train.donors) == set(split.val.donors) and len(split.train) > 4 * len(split.val)
    assert [split.held_out for split in transductive_splits(donated, 2, 2)] == [s.held_out for s in splits[1:]]


def test_the_runs_own_split_is_the_first_and_says_whom_it_holds_out(donated):
    own, first = run_split(donated), transductive_splits(donated, 0, 1)[0]
    assert own.held_out == first.held_out and own.refits == first.refits == "without some donors"
    np.testing.assert_array_equal(own.test.arrays()[0], first.test.arrays()[0])
    np.testing.assert_array_equal(own.train.donors, first.train.donors)
    said = f"Whole groups of obs['donor'] are held out, others in each split: test cells are those of {own.held_out}"
    assert said in describe(donated)


def test_the_graph_of_training_cells_has_not_met_the_donor_either(donated):
    splits = inductive_splits(donated, Preparation(batch="donor"), 5)
    assert sorted(split.held_out for split in splits) == DONORS
    assert all(len(set(split.train.donors)) == 2 for split in splits)


def test_of_many_donors_a_fifth_is_held_out_at_a_time():
    donors = np.repeat(np.arange(12), 20)
    tests = [split_rows(240, number, donors)[2] for number in range(6)]
    np.testing.assert_array_equal(np.sort(np.concatenate(tests[:5])), np.arange(240))
    np.testing.assert_array_equal(tests[5], tests[0])
    assert {len(set(donors[rows])) for rows in tests} == {2, 3}


def test_two_batches_are_corrected_for_and_not_held_out(tmp_path):
    adata = prepare(written(tmp_path, of_donors), Preparation(batch="side"))
    assert donors_of(adata) is None and run_split(adata).held_out == "" and run_split(adata).train.donors is None
    assert "Whole groups" not in describe(adata)
    assert reading.patterns_of_donors(BilinearRidge, adata) == {}


def test_subsets_leave_donors_out_and_draws_keep_them_whole():
    donors = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    cells = CellDataset(np.zeros((9, 2)), np.zeros((9, 1)), donors=donors)
    subsets = subsamples(cells, 6)
    assert sorted(sorted(set(donors[rows])) for rows in subsets) == [[0, 1], [0, 2], [1, 2]]
    assert len(subsamples(cells, 2)) == 2
    random = np.random.default_rng(0)
    for _ in range(5):
        rows = drawn_again(cells, random)
        counts = np.bincount(rows, minlength=9)
        assert sum(counts[donors == donor][0] for donor in range(3)) == 3
        assert all(len(set(counts[donors == donor])) == 1 for donor in range(3))


def test_modules_are_looked_for_in_each_donor_alone_and_what_is_found_is_said(donated):
    patterns = reading.patterns_of_donors(BilinearRidge, donated)
    assert list(patterns) == DONORS
    first = patterns["ann"]
    recurrence = reading.recurrence(first, patterns)
    assert recurrence.groupby("donor")["jaccard"].mean()["ann"] == pytest.approx(1)
    assert len(recurrence) == 3 * first.shape[0] * first.shape[2] and recurrence["jaccard"].between(0, 1).all()
    splits = transductive_splits(donated, 0, 5)
    performance = evaluation.performance_over_splits(splits, {"bilinear": BilinearRidge}).assign(chosen=True)
    assert set(performance["held_out"]) == set(DONORS)
    sentences = findings.about_donors(performance, recurrence)
    assert all(f"{donor}: " in sentences[0] for donor in DONORS)
    backs = recurrence[(recurrence["module"] == 1) & (recurrence["frequency"] == 0)]["jaccard"] >= 0.5
    assert f"frequency 0 comes back in {backs.sum()} of 3 donors alone" in sentences[1]
    assert findings.about_donors(performance.assign(held_out=""), recurrence.iloc[:0]) == []


def between(counts, groups):
    """Variance of log-normalised values between groups of cells."""
    logs = np.log1p(counts / counts.sum(axis=1, keepdims=True) * np.median(counts.sum(axis=1)))
    by_group = pd.DataFrame(logs).groupby(np.asarray(groups, dtype=str))
    distances = ((by_group.mean() - logs.mean(axis=0)) ** 2).sum(axis=1)
    return float(distances.to_numpy() @ by_group.size().to_numpy()) / len(logs)


def effect_of(share, counts, types, is_second, random):
    """Counts drawn again with a factor for each gene in some cells, of a share of the variance between types."""
    genes, low, high = random.normal(size=counts.shape[1]), 0.0, 2.0
    by_chance, wanted = between(random.poisson(counts), is_second), share * between(counts, types)
    while high - low > 0.01:
        middle = (low + high) / 2
        drawn = random.poisson(counts * np.where(is_second[:, None], np.exp(middle * genes), 1))
        low, high = (middle, high) if between(drawn, is_second) - by_chance < wanted else (low, middle)
    return drawn


@pytest.mark.slow
def test_a_batch_effect_is_said_and_with_the_setting_frequency_0_follows_biology(tmp_path, paul15):
    cells, random = resolve("paul15").read(), np.random.default_rng(0)
    counts, types, is_second = (
        np.asarray(cells.X, float),
        cells.obs["paul15_clusters"],
        random.random(cells.n_obs) < 0.5,
    )
    obs = pd.DataFrame({"cell_type": types, "donor": np.where(is_second, "d2", "d1")}, index=cells.obs_names)
    shares, said = {}, {}
    drawn = {0: random.poisson(counts), 1: effect_of(1 / 3, counts, types, is_second, random)}
    for name, effect, batch in [("sound", 0, ""), ("as it is", 1, ""), ("corrected", 1, "donor")]:
        made = ad.AnnData(sparse.csr_matrix(drawn[effect].astype(np.float32)), obs, pd.DataFrame(index=cells.var_names))
        made.write_h5ad(tmp_path / "made.h5ad")
        found = prepare(resolve(str(tmp_path / "made.h5ad")), Preparation(batch=batch))
        shares[name] = graph.label_separation(found.obsm["X_freq"], labels_of(found))["variance_between_labels"][0]
        said[name] = " ".join(findings.about_batches(found))
    assert "Frequency 0 follows obs['donor']" in said["as it is"]
    assert "No frequency follows" in said["sound"] and "No frequency follows" in said["corrected"]
    assert shares["corrected"] >= 0.8 * shares["sound"] > 2 * shares["as it is"]


def test_donors_are_named_by_their_column_whatever_its_type(tmp_path):
    def numbered(adata):
        adata.obs["plate"] = pd.Series(np.arange(adata.n_obs) % 4, adata.obs_names)

    adata = prepare(written(tmp_path, numbered), Preparation(batch="plate"))
    assert sorted(split.held_out for split in transductive_splits(adata, 0, 4)) == ["0", "1", "2", "3"]
