import shlex

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import mutual_info_score

from scripts import figures, findings, measures, sources
from scripts.cells.splits import ALL_CELLS, CellDataset, Split
from scripts.evaluation import markers, panels, rankings
from scripts.models.ridge import BilinearRidge

GENES = [f"g{i}" for i in range(60)]


def planted_split():
    """Ten genes repeat one program, g10 is another of its own; the rest is noise."""
    random = np.random.default_rng(0)
    program = random.normal(size=(600, 2))
    X = random.normal(size=(600, 60))
    X[:, :10] = program[:, :1] + 0.1 * random.normal(size=(600, 10))
    X[:, 10] = program[:, 1] + 0.3 * random.normal(size=600)
    y = (program[:, 0] + 0.6 * program[:, 1] + 0.3 * program[:, 0] * program[:, 1])[:, None]
    parts = [CellDataset(X[rows].astype(np.float32), y[rows]) for rows in np.split(np.arange(600), [400, 500])]
    return Split(ALL_CELLS, 0, *parts)


@pytest.fixture(scope="module")
def planted():
    split = planted_split()
    model = BilinearRidge(main_components=20, pair_components=(6,))
    model.fit(split.train, split.val)
    return split, rankings.rank_genes(model.form(GENES), split.train, 25)


def test_greedy_takes_the_largest_gain_each_time():
    random = np.random.default_rng(0)
    X, targets = random.normal(size=(80, 12)), random.normal(size=(80, 2))
    X, targets, chosen = X - X.mean(axis=0), targets - targets.mean(axis=0), []
    for _ in range(5):
        left = [
            np.linalg.lstsq(X[:, [*chosen, g]], targets, rcond=None)[1].sum() if g not in chosen else np.inf
            for g in range(12)
        ]
        chosen.append(int(np.argmin(left)))
    assert rankings.greedy(X.T @ X, X.T @ targets, 5).tolist() == chosen
    alike = np.column_stack([X[:, 0], X[:, 0], np.zeros(80)])  # the same gene twice, and a constant one
    assert rankings.greedy(alike.T @ alike, alike.T @ targets, 3).tolist() == [0]


def test_greedy_panels_name_each_program_and_correlation_repeats_one(planted):
    found = planted[1]
    assert 10 in found[rankings.PANEL, 0][:3] and 10 in found[rankings.LINEAR, 0][:3]
    assert set(found[rankings.CORRELATION, 0][:10]) == set(range(10))
    assert all(len(set(order.tolist())) == len(order) == 25 for order in found.values())
    assert list(dict.fromkeys(method for method, _ in found)) == list(rankings.METHODS)


def test_mutual_information_equals_that_of_the_binned_values():
    random = np.random.default_rng(0)
    y = random.normal(size=(400, 2))
    X = np.stack([y[:, 0] ** 2, random.normal(size=400), random.poisson(0.5, 400)], axis=1)
    found = rankings.mutual_information(X, y, n_bins=4)
    for (gene, frequency), value in np.ndenumerate(found):
        bins = [np.searchsorted(np.quantile(v, [0.25, 0.5, 0.75]), v) for v in (X[:, gene], y[:, frequency])]
        bias = (len(set(bins[0])) - 1) * 3 / 800
        assert value == pytest.approx(mutual_info_score(*bins) - bias, abs=1e-5)
    assert found[0, 0] > 0.3 > 0.05 > np.abs(found[1:]).max()


def test_expression_is_standardised_limited_and_the_same_for_sparse_cells():
    X = np.random.default_rng(0).poisson(0.3, size=(300, 5)).astype(np.float32)
    X[0, 1], X[:, 4] = 1000, 2
    found = rankings.Expression.of(X).columns(X, np.arange(5))
    np.testing.assert_allclose(found[:, 0], (X[:, 0] - X[:, 0].mean()) / X[:, 0].std(), atol=1e-5)
    assert found.max() == rankings.LIMIT and (found[:, 4] == 0).all()
    in_sparse = sparse.csr_array(X)
    np.testing.assert_allclose(rankings.Expression.of(in_sparse).columns(in_sparse, np.arange(5)), found, atol=1e-5)


def test_regressor_with_all_cells_as_centres_is_kernel_ridge(planted, monkeypatch):
    split, genes = planted[0], np.array([0, 10, 20])
    expression = rankings.Expression.of(split.train.arrays()[0])
    monkeypatch.setattr(panels, "WIDTHS", (1.0,))
    monkeypatch.setattr(panels, "PENALTIES", (0.1,))
    cells = [expression.columns(part.arrays()[0], genes).astype(float) for part in (split.train, split.test)]
    every = ((cells[0][::2, None] - cells[0]) ** 2).sum(axis=2)
    y, y_test = (part.arrays()[1][:, 0] for part in (split.train, split.test))
    ridge = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / np.median(every)).fit(cells[0], y - y.mean())
    expected = measures.r2(y_test, y.mean() + ridge.predict(cells[1]))
    assert panels.panel_r2(split, expression, genes, 0, 400) == pytest.approx(expected, abs=1e-3)
    assert panels.panel_r2(split, expression, genes, 0, 100) == pytest.approx(expected, abs=0.02)
    constant = Split(ALL_CELLS, 0, *(CellDataset(np.ones_like(c.x), c.y) for c in (split.train, split.val, split.test)))
    assert abs(panels.panel_r2(constant, rankings.Expression.of(constant.train.arrays()[0]), genes, 0)) < 0.1


def test_table_lead_and_sentences_say_what_was_measured(planted):
    split, found = planted
    table = panels.panel_table([(split, found)], GENES, (2, 10))
    assert len(table) == 2 * len(rankings.METHODS)
    assert table["genes"].str.split().str.len().tolist() == table["n_genes"].tolist()
    odd = panels.panel_table([(split, found)], [f"{gene} 'of, 1;" for gene in GENES], (2, 10))
    assert odd["genes"].map(lambda cell: len(shlex.split(cell))).tolist() == table["n_genes"].tolist()
    lead = panels.panel_lead(table, rankings.PANEL, rankings.CORRELATION, 2)
    assert lead.loc[0] > 0.1
    sentences = findings.about_panels(table, 2)
    assert f"beats correlation: difference of R² {lead.loc[0]:+.3f}, ahead in 1 of 1" in sentences[1]
    swapped = table.replace({"method": {rankings.PANEL: rankings.CORRELATION, rankings.CORRELATION: rankings.PANEL}})
    assert "is beaten by correlation" in findings.about_panels(swapped, 2)[1]
    figure = figures.panel_curves(panels.panel_summary(table), 1)
    assert [trace.name for trace in figure.data][-1] == rankings.RANDOM and len(figure.data) == len(rankings.METHODS)
    assert not figure.layout.shapes
    (floor,) = figures.panel_curves(panels.panel_summary(table), 1, 0.3).layout.shapes
    assert floor.y0 == floor.y1 == 0.3
    dots = figures.method_dots(table, "r2", "title", "axis", chance=0.1)
    assert [trace.name for trace in dots.data] == ["frequency 0", "mean"]


def test_stability_is_high_for_strong_genes_and_low_for_random_ones(planted):
    split = planted[0]
    make = lambda: BilinearRidge(main_components=20, pair_components=(6,))  # noqa: E731
    table = panels.panel_stability(split, make, GENES, 10, 3).set_index("method")
    assert table.loc[rankings.CORRELATION, "jaccard"] > 0.8 > table.loc[rankings.RANDOM, "jaccard"]
    assert "random genes" in findings.about_panel_stability(table.reset_index(), "80% subsamples", 10)[0]


def test_average_precision_and_its_chance_equal_simulation():
    assert measures.average_precision(np.array([True, False, True, False]), 2) == pytest.approx((1 + 2 / 3) / 2)
    random = np.random.default_rng(0)
    labels = np.arange(50) < 8
    simulated = [measures.average_precision(random.permutation(labels)[:20], 8) for _ in range(4000)]
    assert measures.expected_average_precision(20, 8, 50) == pytest.approx(np.mean(simulated), abs=0.005)


def test_marker_table_is_sound_and_recovery_finds_the_method_that_names_them():
    table = pd.read_csv(sources.markers.TABLE)
    assert table["gene"].is_unique and table.notna().all(axis=None) and 40 <= len(table) <= 60
    assert table["source"].str.contains(r"\d{4}").all()
    genes = [*table["gene"], *(f"other{i}" for i in range(1000))]
    measured = sources.load_markers(genes)
    orders = {("good", 0): np.arange(30), ("bad", 0): np.arange(500, 530)}
    summary = markers.marker_summary(markers.marker_recovery([orders], genes, measured, 10))
    assert summary.loc["good", "precision"] == 1 and summary.loc["good", "average_precision"] == 1
    assert summary.loc["bad", "average_precision"] == 0 and summary.index[0] == "good"
    assert "good is best" in findings.about_markers(summary, len(measured), 10)[0]
    none = sources.load_markers(["GENE1", "GENE2"])
    assert none.empty
    empty = markers.marker_summary(markers.marker_recovery([orders], genes, none))
    assert "too few" in findings.about_markers(empty, 0)[0]


def test_intervals_over_markers_hold_the_average_precision_and_tell_the_rival_apart():
    table = pd.read_csv(sources.markers.TABLE)
    genes = [*table["gene"], *(f"other{i}" for i in range(1000))]
    measured = sources.load_markers(genes)
    half = np.random.default_rng(0).permutation(np.r_[np.arange(20), 200:240])
    orders = {("half", 0): half, (markers.TOGETHER, -1): np.arange(40)}
    found = markers.marker_intervals([orders], genes, measured)
    summary = markers.marker_summary(markers.marker_recovery([orders], genes, measured, 10))
    for method, value in summary["average_precision"].items():
        low, high = found.loc[method, ["low", "high"]]
        assert low <= value <= high
        assert found.loc[method, "lead"] == pytest.approx(1 - value)
    assert found.loc["half", "lead_low"] > 0 and found.loc["half", "high"] - found.loc["half", "low"] > 0.02
    assert "is ahead of the best" in findings.about_marker_rival(summary, found)[0]
    swapped = found.assign(lead_low=-0.1)
    assert "is not clearly apart from" in findings.about_marker_rival(summary, swapped)[0]
    assert markers.marker_intervals([{("half", 0): half}], genes, measured).empty
    n_own = table["source"].str.startswith("Paul et al. 2015").sum()
    assert f"{n_own} of these {len(table)} markers cite" in findings.about_marker_sources(measured, "paul15")[0]
    assert findings.about_marker_sources(measured, "pbmc68k") == []
    none = measured.iloc[:0]
    nothing = markers.marker_intervals([orders], genes, none)
    assert nothing.empty and findings.about_marker_rival(summary, nothing) == []
    assert findings.about_marker_sources(none, "paul15") == []


def test_marker_table_without_a_column_is_refused(tmp_path):
    path = tmp_path / "markers.csv"
    path.write_text("lineage,gene\n")
    with pytest.raises(ValueError, match="lacks the column 'source'"):
        sources.load_markers([], path)


@pytest.mark.paul15
def test_paul15_bilinear_panel_beats_correlation(paul15):
    adata = paul15[0]
    splits = panels.panel_splits(adata, BilinearRidge, 2, 25)
    wanted = (rankings.PANEL, rankings.CORRELATION, rankings.LINEAR)
    splits = [(split, {key: found[key] for key in found if key[0] in wanted}) for split, found in splits]
    table = panels.panel_table(splits, list(adata.var_names), (25,))
    assert panels.panel_lead(table, rankings.PANEL, rankings.CORRELATION, 25).mean() >= 0.04
    assert panels.panel_lead(table, rankings.PANEL, rankings.LINEAR, 25).mean() > 0
