import numpy as np
import pandas as pd
import pytest

from scripts import graph
from scripts.graph.branches import NO_LABEL, branch_table, branches, kurtosis_rotation
from tests import reference


@pytest.fixture(scope="module")
def star():
    """Four arms of cells that meet in the middle: frequencies, and the arm of each cell."""
    random = np.random.default_rng(0)
    arm, way = np.repeat(np.arange(4), [150, 120, 90, 60]), random.random(420)
    places = np.zeros((420, 4))
    places[np.arange(420), arm] = way
    edges = graph.knn_graph(places + 0.02 * random.normal(size=places.shape), 10, "euclidean")
    return graph.frequencies(edges, 5)[1], arm


def test_a_star_of_arms_has_a_branch_for_each(star):
    vectors, arm = star
    found = branches(vectors, 3)
    table = branch_table(found, pd.Series(pd.Categorical(np.array(list("abcd"))[arm])))
    assert sorted(table["name"]) == list("abcd") and (table["label_share"] > 0.95).all()
    assert (np.diff(table["cells"]) <= 0).all()
    ends = [np.flatnonzero(arm == number) for number in range(4)]
    means = np.array([found.coordinates[rows].mean(axis=0) for rows in ends])
    assert ((means > 0.02).sum(axis=1) == 1).all() and ((means > 0.02).sum(axis=0) == 1).all()


def test_branches_are_a_rotation_of_the_frequencies_and_the_constant(star):
    vectors, _ = star
    found = branches(vectors, 3)
    beside = np.column_stack([np.full(420, 420**-0.5), vectors[:, :3]])
    turn = beside.T @ found.coordinates
    np.testing.assert_allclose(turn @ turn.T, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(beside @ turn, found.coordinates, atol=1e-8)
    np.testing.assert_allclose(found.constant + vectors @ found.weights, found.coordinates, atol=1e-8)
    assert found.weights.shape == (5, 4) and (found.weights[3:] == 0).all()
    assert ((found.coordinates**3).sum(axis=0) > 0).all()
    np.testing.assert_allclose(np.abs(reference.varimax(beside).T @ found.coordinates).max(axis=0), 1, atol=1e-6)


def test_only_the_space_of_the_frequencies_matters(star):
    vectors, _ = star
    mixed = vectors[:, :3] @ np.random.default_rng(0).normal(size=(3, 3)) + [1, 2, 3]
    found, again = branches(vectors, 3), branches(mixed, 3)
    np.testing.assert_allclose(again.coordinates, found.coordinates, atol=1e-5)
    np.testing.assert_allclose(again.constant + mixed @ again.weights, again.coordinates, atol=1e-8)


def test_without_frequencies_there_is_no_branch(star):
    vectors, arm = star
    found = branches(vectors, 0)
    assert found.coordinates.shape == (420, 0) and branch_table(found, pd.Series(arm)).empty


def test_labels_at_random_name_no_branch(star):
    found = branches(star[0], 3)
    for seed in range(20):
        labels = np.random.default_rng(seed).choice(list("abcdefgh"), 420)
        table = branch_table(found, pd.Series(pd.Categorical(labels)))
        assert (table["name"] == NO_LABEL).all() and table["label_share"].isna().all()


def test_neither_missing_labels_nor_numbers_name_a_branch(star):
    vectors, arm = star
    found = branches(vectors, 3)
    nothing = pd.Series(pd.Categorical([None] * 420, []))
    for labels in (nothing, pd.Series(arm.astype(float)), pd.Series(pd.Categorical(["all"] * 420))):
        assert (branch_table(found, labels)["name"] == NO_LABEL).all()
    half = pd.Series(pd.Categorical(np.where(np.arange(420) % 2, np.array(list("abcd"))[arm], None)))
    assert sorted(branch_table(found, half)["name"]) == list("abcd")


@pytest.mark.parametrize(
    ("together", "floor", "structure", "n_kept", "n"),
    [
        ([0.99, 0.5, 0.95, 0.96, 0.2], [np.nan] * 5, [None] * 5, 4, 4),
        ([0.99, 0.5, 0.95, 0.96, 0.2], [np.nan] * 5, ["yes"] * 5, 2, 1),
        ([0.99, 0.5, 0.95, 0.2, 0.2], [0.95, 0.1, 0.1, 0.1, 0.1], ["yes"] * 5, 5, 3),
        ([0.99, 0.5, 0.4, 0.2, 0.2], [0.95, 0.1, 0.1, 0.1, 0.1], ["yes"] * 5, 5, 0),  # depth alone
        ([0.99, 0.5, 0.95, 0.96, 0.2], [np.nan] * 5, ["yes", "yes", "yes", "no", None], 5, 3),
        ([0.99, 0.5, 0.95, 0.96, 0.2], [np.nan] * 5, ["no", "yes", "yes", "yes", None], 5, 0),
    ],
)
def test_frequencies_that_come_back_beyond_noise_have_branches(together, floor, structure, n_kept, n):
    table = pd.DataFrame({"comes_back": np.array(together) >= 0.9, "structureless_lowest": floor})
    table["structure"] = structure
    assert graph.n_beyond_noise(table, n_kept) == n
    assert graph.n_beyond_noise(table.iloc[:0], n_kept) == n_kept


def test_rotation_reaches_the_largest_fourth_moment_and_finds_sources():
    random = np.random.default_rng(0)
    sources = random.laplace(size=(2000, 2)) / np.sqrt(2)
    angles = np.linspace(0, np.pi, 721)
    turns = np.array([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    scores = sources @ turns[200]
    rotation = kurtosis_rotation(scores)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(2), atol=1e-10)
    largest = max(((scores @ turn) ** 4).sum() for turn in turns)
    assert ((scores @ rotation) ** 4).sum() >= largest * (1 - 1e-4)
    assert np.abs(np.corrcoef((scores @ rotation).T, sources.T)[:2, 2:]).max(axis=1).min() > 0.99
