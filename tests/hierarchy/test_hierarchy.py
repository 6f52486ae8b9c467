from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.cluster.hierarchy import fcluster, linkage

from scripts import cells, figures, findings, hierarchy
from scripts.hierarchy import CellSpaces, HierarchySettings, partitions
from scripts.models import BilinearForm
from tests.chain_runs import HOSTILE

SMALL = HierarchySettings(cluster_numbers=[2, 4, 8], n_groups=8)
QUICK = replace(SMALL, n_repeats=3)


def nested_groups(n_cells=640, seed=0):
    """Cells in 8 Gaussians, two and two close together, and again, in 3 dimensions: a tree; and their groups."""
    random = np.random.default_rng(seed)
    groups = np.arange(n_cells) % 8
    bits = (groups[:, None] >> np.array([2, 1, 0])) & 1
    return (2 * bits - 1) * np.array([16.0, 4.0, 1.0]) + 0.1 * random.normal(size=(n_cells, 3)), groups


def of_points(points, labels=None, n_genes=300, seed=0):
    """Cells whose frequencies are some points, as their first genes are with noise; and a form that has these genes."""
    random = np.random.default_rng(seed)
    n_cells, n_freq = points.shape
    frequencies = (points - points.mean(axis=0)) / np.linalg.norm(points - points.mean(axis=0))
    X = random.normal(size=(n_cells, n_genes))
    X[:, :n_freq] = frequencies / frequencies.std(axis=0) + 0.1 * X[:, :n_freq]
    split = np.where(np.arange(n_cells) // 8 % 10 < 7, "train", "test")
    obs = pd.DataFrame({"split": split}, index=[f"c{i}" for i in range(n_cells)])
    if labels is not None:
        obs["type"] = pd.Categorical(labels)
    adata = ad.AnnData(X.astype(np.float32), obs, pd.DataFrame(index=[f"g{i}" for i in range(n_genes)]))
    adata.obsm["X_freq"] = frequencies
    adata.uns |= {"label": "" if labels is None else "type", "freq_vals": np.arange(1.0, n_freq + 1)}
    basis = np.linalg.qr(random.normal(size=(n_genes, 6)))[0]
    core = random.normal(size=(n_freq, 6, 6))
    main = np.eye(n_freq, n_genes)
    form = BilinearForm(basis, core + core.swapaxes(1, 2), main, np.zeros(n_freq), list(adata.var_names))
    return adata, form


def all_of(adata, form, settings=SMALL):
    """Whatever the notebook computes."""
    spaces = hierarchy.cell_spaces(adata, form, settings)
    clusters = hierarchy.clusters_of(spaces, settings)
    agreement = hierarchy.agreement_with_spaces(clusters), hierarchy.agreement_with_labels(clusters, spaces)
    return spaces, hierarchy.nestedness_table(clusters), *agreement, hierarchy.cell_tree(adata, spaces, settings)


@pytest.fixture(scope="module")
def planted():
    points, groups = nested_groups()
    return *all_of(*of_points(points, [f"type {group}" for group in groups])), groups


def test_a_planted_tree_is_nested_and_its_levels_are_found(planted):
    spaces, nested, agreement, labelled, _, groups = planted
    frequencies = nested[nested["space"] == hierarchy.FREQUENCIES]
    assert frequencies["n_clusters"].tolist() == [4, 8] and frequencies["n_coarse"].tolist() == [2, 4]
    assert (frequencies["value"] > 0.9).all() and hierarchy.is_nested(frequencies).all()
    found = labelled[(labelled["space"] == hierarchy.FREQUENCIES) & (labelled["measure"] == "ARI")]
    found = found[found["method"] == hierarchy.WARD]
    assert dict(zip(found["n_clusters"], found["value"], strict=True))[8] == 1
    assert found["value"].idxmax() == found.index[found["n_clusters"] == 8][0]
    said = " ".join(findings.about_hierarchy(nested, agreement, labelled))
    assert "by frequencies hierarchical? Nested as it must be: on 2 of 2 steps" in said
    assert "frequencies 1.00 (at 8)" in said


def test_the_tree_parts_the_planted_groups_one_after_the_other_and_names_their_genes(planted):
    spaces, *_, tree, groups = planted
    splits = tree.splits
    assert splits["group"].tolist()[0] == hierarchy.ALL and len(splits) == 7
    assert pd.crosstab(tree.groups, groups).astype(bool).to_numpy().sum() == 8
    assert (splits["frequency_share"] > 0.99).all()
    assert splits["frequency"].tolist() == [0, 1, 1, 2, 2, 2, 2]
    for row in splits.itertuples():
        named = f"{row.higher_in_first} {row.higher_in_second}".split()
        assert f"g{row.frequency}" in named and len(named) == 5
    assert (splits["accuracy"] > 0.95).all() and (splits["random_accuracy"] < 0.8).all()
    assert splits["labels_first"].iloc[0].count("25%") == 3
    held_out = splits[["n_held_out_first", "n_held_out_second"]].sum(axis=1)
    assert held_out.iloc[0] == 192
    said = " ".join(findings.about_cell_tree(tree))
    assert "7 splits give 8 groups; 7 splits can be judged" in said and "in 7 of 7" in said


def test_a_single_gaussian_is_not_called_hierarchical():
    nothing = pd.Series(pd.Categorical([None] * 300, []), name="")
    n_nested = 0
    for seed in range(5):
        points = np.random.default_rng(seed).normal(size=(300, 3)) * [3.0, 2.0, 1.0]
        spaces = CellSpaces(np.arange(300), {hierarchy.FREQUENCIES: points}, {}, [2, 4, 8], nothing, 300)
        clusters = hierarchy.clusters_of(spaces, SMALL)
        nested = hierarchy.nestedness_table(clusters)
        n_nested += hierarchy.is_nested(nested).sum()
        (said,) = findings.about_hierarchy(nested, hierarchy.agreement_with_spaces(clusters), nested.iloc[:0])
        assert "by frequencies hierarchical? Not shown: on 0 of 2" in said or "In part: on 1 of 2" in said
    assert n_nested <= 2  # of 10 steps, each by chance in one of 20


def test_nestedness_is_what_counting_gives():
    random = np.random.default_rng(0)
    for _ in range(10):
        fine, coarse = random.integers(0, 6, 50), random.integers(0, 3, 50)
        most = 0
        for cluster in set(fine.tolist()):
            inside = [b for a, b in zip(fine, coarse, strict=True) if a == cluster]
            most += max(inside.count(each) for each in inside)
        assert hierarchy.nestedness(fine, coarse) == pytest.approx(most / 50)
    assert hierarchy.nestedness(np.arange(6), np.arange(6) // 2) == 1
    assert hierarchy.nestedness(np.arange(6) // 2, np.arange(6)) == 0.5


def test_the_adjusted_rand_index_is_that_of_pairs_of_cells(planted):
    """Hubert and Arabie's index, counted over pairs."""
    spaces, _, _, labelled, _, groups = planted
    found = fcluster(linkage(spaces.coordinates[hierarchy.FREQUENCIES], "ward"), 4, "maxclust")
    upper = np.triu_indices(len(groups), 1)
    same = [(each[:, None] == each[None, :])[upper] for each in (found, groups)]
    both, a, b = (same[0] & same[1]).sum(), same[0].sum(), same[1].sum()
    expected = a * b / len(upper[0])
    index = (both - expected) / ((a + b) / 2 - expected)
    place = ["measure", "method", "space", "n_clusters"]
    assert labelled.set_index(place)["value"]["ARI", hierarchy.WARD, "frequencies", 4] == pytest.approx(index)


def test_leiden_finds_planted_groups_the_same_each_time(planted):
    spaces, *_, groups = planted
    points = spaces.coordinates[hierarchy.FREQUENCIES]
    found, again = (partitions.leiden_clusters(points, [2, 8]) for _ in range(2))
    assert pd.crosstab(found[8], groups).astype(bool).to_numpy().sum() == 8
    assert all(np.array_equal(found[number], again[number]) for number in found)
    assert len(np.unique(partitions.leiden_clusters(points[:3], [2])[2])) <= 3


def test_a_frequency_that_divides_one_cluster_is_told_from_one_that_knows_none():
    random = np.random.default_rng(0)
    first = np.repeat([-1.0, 1.0], [300, 100]) + 0.05 * random.normal(size=400)
    divides = np.where(np.arange(400) >= 300, np.where(np.arange(400) % 2, 1.0, -1.0), 0.01 * random.normal(size=400))
    table = hierarchy.divided_by_further(np.column_stack([first, divides]), 19)
    assert table["frequency"].tolist() == [1] and table["chance"].item() == pytest.approx(0.25)
    assert table["value"].item() > 0.99
    table = hierarchy.divided_by_further(np.column_stack([first, random.normal(size=400)]), 19)
    assert table["value"].item() == pytest.approx(table["chance"].item(), abs=0.06)
    assert hierarchy.divided_by_further(first[:, None], 19).empty


def test_clusters_of_two_spaces_are_the_same_where_they_should_be(planted):
    spaces, _, agreement, *_ = planted
    ward = agreement[(agreement["method"] == hierarchy.WARD) & (agreement["against"] == hierarchy.FREQUENCIES)]
    by_space = ward[ward["n_clusters"] == 8].set_index("space")["value"]
    assert by_space["frequencies / √λ"] == 1 and by_space[hierarchy.AXES] < 0.9
    k_means = agreement[agreement["method"] == hierarchy.K_MEANS]
    own = k_means[k_means["space"] == hierarchy.FREQUENCIES]
    assert (own["value"] > 0.6).all() and (k_means["chance"] == 0).all()
    assert {"module axes of frequency 0", "module axes of frequencies 0 to 1"} <= set(ward["space"])


def test_two_runs_are_identical():
    points, groups = nested_groups(160)
    results = [all_of(*of_points(points, groups.astype(str)), QUICK) for _ in range(2)]
    for first, second in zip(*(result[1:4] for result in results), strict=True):
        pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(results[0][-1].splits, results[1][-1].splits)


@pytest.mark.parametrize("labels", [None, ["one"] * 40, [np.nan] * 39 + ["one"], np.linspace(0, 1, 40)])
def test_40_cells_without_labels_or_with_one(labels):
    points, _ = nested_groups(40)
    adata, form = of_points(points, None)
    if labels is not None:
        adata.obs["type"] = pd.Categorical(labels) if isinstance(labels, list) else labels
        adata.uns["label"] = "type"
    spaces, nested, agreement, labelled, tree = all_of(adata, form, QUICK)
    assert not spaces.has_labels and labelled.empty
    assert spaces.numbers == [2, 4, 8]
    assert len(tree.splits) == 3 and (tree.splits[["labels_first", "labels_second"]] == "").all(axis=None)
    assert figures.cluster_agreement_lines(labelled, "title") is None
    assert figures.nestedness_dots(nested) and figures.cell_tree_boxes(tree.splits)
    findings.about_hierarchy(nested, agreement, labelled)
    hierarchy.add_groups(adata, spaces, tree)
    assert adata.obs["cell_group"].notna().all()


def test_too_few_cells_say_so():
    points, _ = nested_groups(14)
    adata, form = of_points(points, None)
    spaces, nested, agreement, labelled, tree = all_of(adata, form, QUICK)
    assert spaces.numbers == [2] and nested.empty and tree.splits.empty
    assert "nothing is nested" in findings.about_cell_spaces(spaces)[1]
    assert "too few" in findings.about_hierarchy(nested, agreement, labelled)[0]
    assert "too few" in findings.about_cell_tree(tree)[0]
    assert figures.nestedness_dots(nested) is None and figures.cell_tree_boxes(tree.splits) is None
    findings.figures_of_hierarchy(nested, tree)


def test_of_many_cells_a_sample_is_clustered_and_the_page_says_so():
    points, _ = nested_groups(640)
    adata, form = of_points(points, None)
    settings = replace(QUICK, max_tree_cells=200)
    spaces, *_, tree = all_of(adata, form, settings)
    assert len(spaces.rows) == 200 and "200 cells of 640, spread evenly" in findings.about_cell_spaces(spaces)[0]
    hierarchy.add_groups(adata, spaces, tree)
    assert adata.obs["cell_group"].notna().sum() == 200


def test_few_cells_that_come_off_are_no_group():
    random = np.random.default_rng(0)
    points = random.normal(size=(300, 2)) * 0.1
    points[:150, 0] += 5
    points[:3] += 100
    adata, form = of_points(points)
    spaces = hierarchy.cell_spaces(adata, form, QUICK)
    tree = hierarchy.cell_tree(adata, spaces, replace(QUICK, n_groups=2))
    assert tree.splits[["n_cells", "n_first", "n_second"]].to_numpy().tolist() == [[297, 150, 147]]
    assert all(group is None for group in tree.groups[:3]) and set(tree.groups[3:]) == {"1", "2"}


def test_the_gaussian_has_the_covariance_of_the_cells():
    points = np.random.default_rng(0).normal(size=(4000, 3)) @ np.array([[2, 1, 0], [0, 1, 0], [0, 0, 0.1]])
    drawn = partitions.gaussian_like(points)(np.random.default_rng(1))
    assert drawn.shape == points.shape
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(points.T), atol=0.3)


def test_hostile_names_are_escaped():
    points, groups = nested_groups(160)
    names = [HOSTILE[kind] for kind in ("script", "image", "bold", "TeX", "Markdown link", "entity", "link", "address")]
    adata, form = of_points(points, [names[group] for group in groups])
    adata.var_names = [f"<b>{name}</b>" for name in adata.var_names]
    form.genes = list(adata.var_names)
    spaces, nested, agreement, labelled, tree = all_of(adata, form, QUICK)
    drawn = figures.cell_tree_boxes(tree.splits).to_json()
    assert "<script" not in drawn and "<img" not in drawn and "<a href" not in drawn and "<b>" not in drawn
    assert "%{y}" not in drawn and "$x$" not in drawn
    assert "<b>" not in findings.table(tree.splits).data.replace("&lt;b&gt;", "")


def test_sparse_cells_give_the_groups_of_dense_ones():
    points, _ = nested_groups(160)
    adata, form = of_points(points)
    found = [all_of(adata, form, QUICK)]
    adata.X = sparse.csr_matrix(adata.X)
    found.append(all_of(adata, form, QUICK))
    assert list(found[0][-1].groups) == list(found[1][-1].groups)
    pd.testing.assert_frame_equal(found[0][-1].splits, found[1][-1].splits)
    for name, points in found[0][0].coordinates.items():
        assert found[1][0].coordinates[name].shape == points.shape


def test_one_frequency_or_more_than_clusters_can_be_told_are_not_taken_for_levels():
    random = np.random.default_rng(0)
    adata, form = of_points(random.normal(size=(60, 1)))
    spaces, nested, *_, tree = all_of(adata, form, QUICK)
    assert not spaces.cumulative and len(nested) and len(tree.splits)
    assert hierarchy.divided_by_further(spaces.coordinates[hierarchy.FREQUENCIES], 3).empty
    many = hierarchy.divided_by_further(random.normal(size=(60, 40)), 3)
    assert many["n_clusters"].tolist() == list(range(2, 13))
    assert hierarchy.divided_by_further(np.eye(60)[:, :3], 3)["value"].notna().all()


def test_groups_of_a_run_are_not_taken_for_known_types():
    obs = pd.DataFrame({"cell_group": pd.Categorical(list("aabb") * 5), "kind": pd.Categorical(list("abab") * 5)})
    assert cells.label_columns(obs) == ["kind"]
    assert cells.label_columns(obs.rename(columns={"cell_group": "cell_group_in_file"})) == ["kind"]
