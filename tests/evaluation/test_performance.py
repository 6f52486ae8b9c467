from dataclasses import replace
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.linear_model import Ridge

from scripts import datasets, figures, findings, measures, sources
from scripts.blocks import Standard
from scripts.cells import splits
from scripts.cells.loading import Preparation
from scripts.cells.splits import CellDataset
from scripts.evaluation import performance, rivals
from scripts.models.ridge import BilinearRidge

SPLIT_OF_RARE = Preparation(graph_components=20, unconnected="largest")


def test_run_split_and_split_zero_are_the_same_cells(pbmc):
    one, other = splits.run_split(pbmc), splits.transductive_split(pbmc, 0, 0)
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(one, name).arrays()[0], getattr(other, name).arrays()[0])


def test_inductive_split_never_looks_at_held_out_cells(pbmc):
    split = splits.inductive_split(pbmc, Preparation(), 0)
    changed = pbmc.copy()
    held_out = (changed.obs["split"] != "train").to_numpy()
    changed.X[held_out] = np.random.default_rng(0).normal(size=(held_out.sum(), pbmc.n_vars))
    again = splits.inductive_split(changed, Preparation(), 0)
    for one, other in zip(split.train.arrays(), again.train.arrays(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert (
        split.extension_r2.shape == (pbmc.obsm["X_freq"].shape[1],)
        and split.extension_r2[0] > 0.8 > again.extension_r2[0]
    )


def test_inductive_splits_are_for_plain_graphs(pbmc):
    settings = Preparation(n_freq_comps=3)
    assert len(splits.inductive_splits(pbmc, settings, 2)) == 2
    assert splits.inductive_splits(pbmc, replace(settings, laplacian="normalized"), 2) == []
    assert performance.performance_over_splits([], {}).empty


@pytest.mark.paul15
def test_held_out_cells_survive_genes_of_one_or_two_cells(paul15):
    random = np.random.default_rng(0)
    adata = paul15[0][random.choice(paul15[0].n_obs, 700, replace=False), :1000].copy()
    rare = np.zeros((700, 150), dtype=np.float32)
    for gene in rare.T:
        shown = random.choice(700, random.integers(1, 3), replace=False)
        gene[shown] = 10.0 ** random.integers(-6, 5, len(shown))
    kinds = {"linear": rivals.linear_ridge, "bilinear": BilinearRidge, "black box": rivals.rbf_ridge}
    scores = []
    for X in (adata.X, np.hstack([adata.X, Standard.of(rare).scaled(rare)])):
        cells = datasets.add_frequencies(ad.AnnData(X, uns=dict(adata.uns)), SPLIT_OF_RARE)
        found = splits.inductive_splits(cells, SPLIT_OF_RARE, 3)
        table = performance.performance_over_splits(found, kinds)
        scores.append(table.groupby("model")["r2"].mean())
    assert (scores[0] > 0.5).all()
    assert (scores[1] > scores[0] - 0.05).all()


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_held_out_values_stay_within_what_training_cells_can_have(form):
    random = np.random.default_rng(0)
    X = random.normal(size=(50, 3)).astype(np.float32)
    found = splits._within(form(X * [1, 100, 1e-3]), 7.0)
    np.testing.assert_allclose(found if form is np.asarray else found.toarray(), np.clip(X * [1, 100, 1e-3], -7, 7))


def test_inductive_splits_of_too_few_cells_are_left_out():
    X = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    cells = ad.AnnData(X, uns={"dataset": {"steps": []}})
    settings = Preparation(k_neighbors=16, n_freq_comps=2)
    assert splits.inductive_splits(datasets.add_frequencies(cells, settings), settings, 2) == []


def test_performance_is_on_test_cells_in_tidy_rows():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 8))
    cells = CellDataset(x, np.stack([x[:, 0], x[:, 1] * x[:, 2]], axis=1))
    split = splits.Split("p", 3, *(CellDataset(x[a:b], cells.y[a:b]) for a, b in [(0, 120), (120, 160), (160, 200)]))
    models = rivals.models_to_compare(partial(BilinearRidge, 8, (8,)), partial(BilinearRidge, 8, (8,)))
    table = performance.performance(split, models)
    assert table["model"].drop_duplicates().tolist() == list(models) and set(table["split"]) == {3}
    score = table.set_index(["model", "frequency"])["r2"]
    assert abs(score["mean only", 0]) < 0.1
    assert score["linear ridge", 0] > 0.9 > 0.2 > score["linear ridge", 1]
    assert score["bilinear", 1] > 0.9 > score["squares only", 1]


def test_linear_rival_is_a_ridge_chosen_on_validation_cells():
    random = np.random.default_rng(0)
    slope = random.normal(size=(30, 2))
    parts = []
    for n_cells in (80, 40, 40):
        x = random.normal(size=(n_cells, 30)) + 1
        parts.append(CellDataset(x, x @ slope + random.normal(size=(n_cells, 2))))
    train, val, test = parts
    model = rivals.linear_ridge()
    model.fit(train, val)
    y, y_val = train.arrays()[1], val.arrays()[1]
    scale, mean, X = y.std(axis=0), y.mean(axis=0), train.arrays()[0]
    unit = ((X - X.mean(axis=0)) ** 2).sum(axis=1).mean()
    fits = [Ridge(alpha=a * unit).fit(X, (y - mean) / scale) for a in rivals.LINEAR_PENALTIES]
    scores = [measures.r2(y_val, mean + scale * fit.predict(val.arrays()[0])).mean() for fit in fits]
    best = fits[int(np.argmax(scores))]
    np.testing.assert_allclose(
        model.predict(test.arrays()[0]), mean + scale * best.predict(test.arrays()[0]), atol=1e-3
    )


def test_black_box_learns_what_no_bilinear_form_can():
    random = np.random.default_rng(0)
    angle = random.uniform(0, 2 * np.pi, size=(600, 1))
    x = np.hstack([np.cos(angle), np.sin(angle), 0.05 * random.normal(size=(600, 1))])
    y = np.hstack([np.sin(5 * angle), np.cos(4 * angle)])
    parts = [CellDataset(x[a:b], y[a:b]) for a, b in [(0, 400), (400, 500), (500, 600)]]
    black_box, bilinear = rivals.rbf_ridge(), BilinearRidge(3, (3,))
    black_box.fit(*parts[:2])
    bilinear.fit(*parts[:2])
    X, truth = parts[2].arrays()
    assert measures.r2(truth, black_box.predict(X)).mean() > measures.r2(truth, bilinear.predict(X)).mean() + 0.2


def test_truncation_ends_at_the_full_model():
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 8))
    y = np.stack([x[:, 0] * x[:, 1] + x[:, 2] ** 2, x[:, 3]], axis=1)
    parts = [CellDataset(x[a:b], y[a:b]) for a, b in [(0, 200), (200, 250), (250, 300)]]
    split = splits.Split("p", 0, *parts)
    model = BilinearRidge(8, (8,))
    model.fit(split.train, split.val)
    curve = performance.truncation_curve(model.form([str(i) for i in range(8)]), split, max_modules=8)
    last = curve[curve["n_modules"] == 8]["test_r2"].to_numpy()
    np.testing.assert_allclose(last, measures.r2(y[250:], model.predict(x[250:])), atol=1e-4)
    assert curve[(curve["frequency"] == 0) & (curve["n_modules"] == 0)]["test_r2"].iloc[0] < 0.5 < last[0]


def test_held_out_cells_that_hardly_vary_do_not_judge():
    random = np.random.default_rng(0)
    y_train, y = random.normal(size=(300, 2)), random.normal(size=(40, 2))
    y[:, 0] *= 0.01  # none of the cells that this frequency sets apart
    predicted = y + 0.1 * random.normal(size=y.shape)
    judged = measures.held_out_r2(y, predicted, y_train)
    assert np.isnan(judged[0]) and measures.r2(y, predicted)[0] < -10
    np.testing.assert_array_equal(judged[1], measures.r2(y, predicted)[1])
    assert np.isnan(measures.held_out_r2(y[:, 0], predicted[:, 0], y_train[:, 0]))
    cells = [CellDataset(values, values) for values in (y_train, random.normal(size=(40, 2)), y)]
    split = splits.Split(splits.ALL_CELLS, 0, *cells)
    table = performance.performance(split, {"ridge": rivals.linear_ridge, "mean": rivals.MeanOnly})
    assert table["r2"].isna().tolist() == [True, False] * 2 and table["mae"].notna().all()
    by_model = performance.over_splits(table, "r2")
    assert by_model.index.tolist() == ["ridge", "mean"] and by_model["mean"].columns.tolist() == [0, 1]
    assert performance.inductive_table(table, [])["ridge"].isna().tolist() == [True, False]


def test_training_cells_that_hardly_vary_do_not_judge():
    y = np.random.default_rng(0).normal(size=(40, 2))
    judged = measures.held_out_r2(y, y, np.array([0.01, 1.0]) * y)
    assert np.isnan(judged[0]) and judged[1] == 1
    assert np.isnan(measures.r2(np.full((5, 1), 0.1), np.zeros((5, 1)))).all()


def test_a_kernel_ridge_predicts_the_mean_where_validation_cells_know_no_better():
    random = np.random.default_rng(0)
    x, parts = random.normal(size=(300, 10)), []
    y = np.stack([x[:, 0], random.normal(size=300)], axis=1)  # the second has nothing to do with the genes
    parts = [CellDataset(x[a:b], y[a:b]) for a, b in [(0, 100), (100, 200), (200, 300)]]
    for make in (rivals.rbf_ridge, rivals.linear_ridge):
        model = make()
        model.fit(*parts[:2])
        first, second = measures.r2(parts[2].arrays()[1], model.predict(parts[2].arrays()[0]))
        assert first > 0.5 and abs(second) < 0.1


def test_aligned_r2_forgives_rotations_alone():
    y = np.linalg.qr(np.random.default_rng(0).normal(size=(50, 2)))[0]
    turned = y @ np.array([[0.6, -0.8], [0.8, 0.6]]) + 3
    np.testing.assert_allclose(measures.aligned_r2(y, turned), 1)
    assert measures.r2(y, turned).max() < 0


def cells_of_counts(counts):
    adata = ad.AnnData(counts.astype(np.float32), layers={"counts": csr_matrix(counts)})
    dataset = {"name": "made", "steps": ["normalize_total", "log1p", "scale"], "left_out": np.array([], dtype=str)}
    adata.uns |= {"dataset": dataset, "label": ""}
    return adata


def test_counts_that_are_split_tell_structure_from_noise():
    random = np.random.default_rng(0)
    mixed = random.dirichlet(np.ones(3), 300) @ random.dirichlet(np.ones(60), 3)  # each cell's shares of the genes
    settings = Preparation(k_neighbors=20, n_freq_comps=2)
    models = {"linear": rivals.linear_ridge}
    same, other = {}, {}
    for name, shares in (("structure", mixed), ("none", mixed[:1].repeat(300, axis=0))):
        cells = cells_of_counts(random.poisson(2000 * shares))
        table = performance.count_splitting(cells, settings, models)
        same[name], other[name] = table[["same_half_r2", "other_half_r2"]].mean()
        assert table["frequency"].tolist() == [0, 1] and cells.layers["counts"].sum() == cells.X.sum()
    assert same["structure"] > other["structure"] > 0.7
    assert same["none"] > 0.5 and other["none"] < 0.05  # what shared noise lifts
    with pytest.raises(ValueError, match="use_graph"):
        performance.count_splitting(cells, replace(settings, use_graph="connectivities"), models)


def test_structureless_cells_keep_their_depths_and_the_mean_profile_alone():
    random = np.random.default_rng(0)
    profiles = np.repeat(random.dirichlet(np.ones(20), 2), 400, axis=0)  # two kinds of cells
    counts = random.poisson(random.integers(50, 500, 800)[:, None] * profiles)
    drawn = performance.structureless(csr_matrix(counts))
    np.testing.assert_array_equal(drawn.sum(axis=1), counts.sum(axis=1, keepdims=True))
    depth, share = counts.sum(axis=1, keepdims=True), counts.sum(axis=0) / counts.sum()
    deviations = (drawn.toarray() - depth * share) / np.sqrt(depth * share * (1 - share))  # of a multinomial
    assert abs(deviations.mean(axis=0)).max() < 5 / np.sqrt(800) and abs(deviations.std(axis=0) - 1).max() < 0.15
    of_kinds = deviations[:400].mean(axis=0) - deviations[400:].mean(axis=0)
    assert abs(of_kinds).max() < 5 * np.sqrt(2 / 400)


def test_the_floor_of_noise_stands_beside_what_was_judged():
    random = np.random.default_rng(0)
    mixed = random.dirichlet(np.ones(3), 300) @ random.dirichlet(np.ones(60), 3)
    settings = Preparation(k_neighbors=20, n_freq_comps=2)
    cells = datasets.add_frequencies(cells_of_counts(random.poisson(2000 * mixed)), settings)
    judged = performance.performance_over_splits(
        splits.transductive_splits(cells, 0, 2), {"linear": rivals.linear_ridge, "mean": rivals.MeanOnly}
    )
    table = performance.noise_table(cells, settings, {"linear": rivals.linear_ridge}, judged)
    own = judged[(judged["split"] == 0) & (judged["model"] == "linear")]
    np.testing.assert_array_equal(table["r2"], own["r2"])
    mean = table[performance.NOISE].mean()
    assert mean["r2"] > mean["other_half_r2"] > mean["structureless_r2"] > 0.4
    told = findings.about_noise(table)
    floor = f"linear {mean['structureless_r2']:.2f} and {mean['other_half_r2']:.2f}"
    assert floor in findings.about_floor(table)[0]
    dots = figures.performance_dots(judged, table).data
    drawn = {trace.name: list(trace.x) for trace in dots if trace.name.startswith("mean, ")}
    np.testing.assert_allclose(drawn["mean, cells without structure"], mean["structureless_r2"])
    np.testing.assert_allclose(drawn["mean, other half of the counts"], mean["other_half_r2"])
    assert f"reaches {mean['other_half_r2']:.2f} from the other half" in told[0] and len(told) == 1
    nothing = performance.noise_table(cells, replace(settings, use_rep="X_pca"), {}, judged)
    assert nothing.empty and nothing.attrs["why"] in findings.about_noise(nothing)[0]
    assert "not known" in findings.about_floor(nothing)[0]
    assert len(figures.performance_dots(judged, nothing).data) == len(dots) - 2
    for factor in (1e-7, 1e12):  # whole numbers, or nearly, that are no counts of molecules
        odd = cells.copy()
        odd.layers["counts"] = cells.layers["counts"] * factor
        nothing = performance.noise_table(odd, settings, {}, judged)
        assert nothing.empty and "counts" in nothing.attrs["why"]


def test_scales_that_come_back_stand_beside_those_of_structureless_cells():
    random = np.random.default_rng(0)
    place = np.where(random.random(300) < 0.9, random.integers(3, size=300), 2 * random.random(300))
    shares = np.stack([np.interp(place, np.arange(3), kind) for kind in random.dirichlet(np.ones(60), 3).T], axis=1)
    settings = Preparation(k_neighbors=15, n_freq_comps=2, unconnected="largest")
    cells = datasets.add_frequencies(cells_of_counts(random.poisson(2000 * shares)), settings)
    table = performance.scales(cells, settings, 3)
    assert table["comes_back"][1] and table["depth_correlation"].notna().all()
    assert (table["structureless_lowest"] < 0.9).all()
    assert table["structure"][:2].tolist() == ["yes", "yes"] and table["structure"][2:].isna().all()
    assert performance.without_structure(table) == [] == findings.alert_of_structure(table)
    assert "All 2 frequencies hold structure" in findings.about_structure(table)[0]
    del cells.layers["counts"]
    without = performance.scales(cells, settings, 3)
    assert without["structureless_together"].isna().all() and without["depth_correlation"].isna().all()
    assert without["structure"].isna().all() and performance.without_structure(without) == []
    assert "is not known" in findings.about_structure(without)[0] and findings.alert_of_structure(without) == []
    assert performance.scales(cells, settings, 0).attrs["why"] == "n_rebuilt is 0"


def made_file(path, seed, n_cells=400, n_genes=300, spread=0.0):
    """File of cells that differ in depth, and with a spread in their profiles as well: along one curve."""
    random = np.random.default_rng(seed)
    profile, depth = random.lognormal(0, 1.2, n_genes), random.lognormal(7, 0.5, n_cells).astype(int)
    along = np.sin(3 * random.random(n_cells))[:, None] * random.normal(0, spread, n_genes)
    shares = profile * np.exp(along)
    counts = np.stack([random.multinomial(n, own / own.sum()) for n, own in zip(depth, shares, strict=True)])
    ad.AnnData(csr_matrix(counts.astype(np.float32))).write_h5ad(path)
    return sources.resolve(str(path))


def test_nothing_is_called_structure_in_cells_that_differ_in_depth_alone(tmp_path):
    settings = Preparation(n_freq_comps=5, unconnected="largest")
    found = []
    for seed in range(6):
        cells = datasets.prepare(made_file(tmp_path / f"{seed}.h5ad", seed, spread=0.5 * (seed == 5)), settings)
        assert cells.obsm["X_freq"].shape[1] == 5
        found.append(performance.beyond_depth(cells, settings, 12))
    assert np.max(found[:5]) < performance.STRUCTURE / 2 < 0.4 < found[5].max()


def test_where_there_is_no_structure_the_first_alert_says_so_and_nothing_is_trusted(tmp_path):
    settings = Preparation(n_freq_comps=5, unconnected="largest")
    cells = datasets.prepare(made_file(tmp_path / "none.h5ad", 0), settings)
    table = performance.scales(cells, settings, 2)
    assert performance.without_structure(table) == [0, 1, 2, 3, 4]
    (alert,) = findings.alert_of_structure(table)
    assert alert.startswith("There is no structure beyond depth and noise in these cells")
    assert findings.about_structure(table)[0] == alert
    assert findings.figures_of_structure(table) == {"frequencies with structure beyond depth and noise": "0 of 5"}
    table.loc[1, "structure"] = "yes"
    assert findings.alert_of_structure(table)[0].startswith("Frequencies 0, 2, 3, 4: no structure beyond depth")


def test_scales_come_back_from_other_graphs_and_halves_where_there_is_structure():
    random = np.random.default_rng(0)
    place = np.where(random.random(300) < 0.9, random.integers(3, size=300), 2 * random.random(300))
    shares = np.stack([np.interp(place, np.arange(3), kind) for kind in random.dirichlet(np.ones(60), 3).T], axis=1)
    settings = Preparation(k_neighbors=15, n_freq_comps=2, unconnected="largest")
    cells = datasets.add_frequencies(cells_of_counts(random.poisson(2000 * shares)), settings)
    found = performance.scale_changes(cells, settings, pd.DataFrame(index=range(4)))
    table = found.pivot(index="changed", columns="frequency", values="together")
    others = [f"k_neighbors {k}" for k in (10, 20, 30)]
    assert set(table.index) == {
        *others,
        "k_neighbors 5",
        "k_neighbors 7",
        "on 50 components of all genes",
        performance.HALVES,
    }
    assert (table.loc[[*others, performance.HALVES], 1] > 0.9).all() and table.loc[performance.HALVES, 3] < 0.9
    said = findings.about_scale_changes(found, 2)
    assert "k_neighbors 20" in said[0].split("do not")[0]
    none = datasets.add_frequencies(cells_of_counts(random.poisson(2000 * shares[:1].repeat(300, axis=0))), settings)
    without = performance.scale_changes(none, settings, pd.DataFrame(index=range(2)))
    assert (without.loc[without["changed"] == performance.HALVES, "together"] < 0.6).all()
    assert performance.scale_changes(cells, settings, pd.DataFrame()).empty
    assert findings.about_scale_changes(found.iloc[:0], 2) == []
