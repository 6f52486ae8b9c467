import shlex

import numpy as np
import pandas as pd
import pytest
from sklearn.kernel_ridge import KernelRidge

from scripts import figures, findings, measures, rankings, sources
from scripts.cells.splits import ALL_CELLS, CellDataset, Split
from scripts.evaluation import markers, panels, wins
from scripts.models.ridge import BilinearRidge
from tests.rankings.cases import GENES, make_model, planted_cells, ranked


@pytest.fixture(scope="module")
def planted():
    return ranked(planted_cells())


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
    assert panels.panel_r2(split, expression, genes, [0], 400)[0] == pytest.approx(expected, abs=1e-3)
    assert panels.panel_r2(split, expression, genes, [0], 100)[0] == pytest.approx(expected, abs=0.02)
    constant = Split(ALL_CELLS, 0, *(CellDataset(np.ones_like(c.x), c.y) for c in (split.train, split.val, split.test)))
    assert abs(panels.panel_r2(constant, rankings.Expression.of(constant.train.arrays()[0]), genes, [0])[0]) < 0.1


def test_table_lead_and_sentences_say_what_was_measured(planted):
    split, found = planted
    table = panels.panel_table([(split, found)], GENES, (2, 10))
    methods = [method for method in rankings.METHODS if method not in rankings.PACKAGES]
    assert len(table) == 2 * len(methods)
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
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert titles == list(rankings.GROUPS) and not figure.layout.shapes
    assert {trace.legend for trace in figure.data} == {"legend", "legend2", "legend3"}
    axes = {name: {trace.xaxis for trace in figure.data if trace.name == name} for name in methods}
    everywhere = {name for name in methods if len(axes[name]) == 3}
    assert everywhere == {rankings.PANEL, rankings.RANDOM} and all(len(of) in (1, 3) for of in axes.values())
    floors = figures.panel_curves(panels.panel_summary(table), 1, 0.3).layout.shapes
    assert len(floors) == 3 and all(floor.y0 == floor.y1 == 0.3 for floor in floors)
    dots = figures.method_dots(table, "r2", "title", "axis", chance=0.1)
    assert [trace.name for trace in dots.data] == ["frequency 0", "mean"]


def test_stability_is_high_for_strong_genes_and_low_for_random_ones(planted):
    table = panels.panel_stability(planted_cells(), planted[0], make_model, 10, 3).set_index("method")
    assert table.loc[rankings.CORRELATION, "jaccard"] > 0.8 > table.loc[rankings.RANDOM, "jaccard"]
    assert "random genes" in findings.about_panel_stability(table.reset_index(), "80% subsamples", 10)[0]


def test_one_regressor_for_all_frequencies_is_as_one_for_each(planted):
    split, random = planted[0], np.random.default_rng(0)
    parts = [
        CellDataset(c.x, np.column_stack([c.y, random.normal(size=len(c))]))
        for c in (split.train, split.val, split.test)
    ]
    two = Split(ALL_CELLS, 0, *parts)
    expression = rankings.Expression.of(two.train.arrays()[0])
    each = [panels.panel_r2(two, expression, np.array([0, 10]), [f])[0] for f in (0, 1)]
    np.testing.assert_allclose(panels.panel_r2(two, expression, np.array([0, 10]), [0, 1]), each, atol=1e-9)
    assert each[0] > 0.5 > each[1]


def judged(of_rival):
    """Panels, stability and markers of a rival beside the bilinear panel, in three splits and two frequencies."""
    rows = [
        (split, method, f, 25, 0.5 + (value + 0.01 * split if method == rankings.PCA else 0))
        for split in range(3)
        for f, value in enumerate(of_rival)
        for method in (rankings.PANEL, rankings.PCA, rankings.RANDOM)
    ]
    table = pd.DataFrame(rows, columns=["split", "method", "frequency", "n_genes", "r2"])
    stability = pd.DataFrame(
        [(rankings.PANEL, 0, 0.5, 0.03), (rankings.PCA, 0, 0.56, 0.04), (rankings.RANDOM, 0, 0.0, 0.0)],
        columns=["method", "frequency", "jaccard", "jaccard_sd"],
    )
    return table, stability, table.rename(columns={"r2": "average_precision"})


def test_a_win_is_told_only_where_it_exceeds_the_spread():
    table, stability, recovered = judged((0.1, -0.3))
    leads = wins.where_rivals_win(table, stability, recovered, 25)
    assert set(leads["method"]) == {rankings.PCA}
    r2 = leads[leads["measure"] == "R²"].set_index("frequency")
    assert r2["lead"].to_dict() == pytest.approx({-1: -0.09, 0: 0.11, 1: -0.29})
    assert r2["spread"].to_list() == pytest.approx([0.01] * 3) and r2["won"].to_dict() == {-1: False, 0: True, 1: False}
    stable = leads.set_index("measure").loc["stability"]
    assert stable["lead"] == pytest.approx(0.06) and stable["spread"] == pytest.approx(0.05) and stable["won"]
    seconds = pd.Series({**dict.fromkeys(rankings.BILINEAR, 0.5), rankings.PCA: 2.0})
    told = " ".join(findings.about_rivals_won(leads, seconds, 25))
    assert "bilinear panel: none; behind: PCA -0.090 ± 0.010; within the spread: none" in told
    assert "rivals win at 0 PCA +0.110 ± 0.010." in told and "Ahead of the bilinear panel: PCA +0.060" in told
    assert "0.5 to 0.5, with the model's fit; PCA 2." in told
    level = wins.where_rivals_win(*judged((-0.01, -0.01)), 25)
    assert not level.loc[level["measure"] != "stability", "won"].any()
    assert "no rival wins at any" in " ".join(findings.about_rivals_won(level, seconds, 25))
    nothing = markers.marker_recovery([], [], pd.DataFrame({"gene": [], "lineage": []}))
    one = wins.where_rivals_win(table[table["split"] == 0], stability, nothing, 25)
    assert not one.loc[one["measure"] == "R²", "won"].any() and "markers" not in set(one["measure"])
    assert "fewer than two splits" in " ".join(findings.about_rivals_won(one, seconds, 25))


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
    splits = [
        (split, rankings.Ranking({key: order for key, order in found.orders.items() if key[0] in wanted}))
        for split, found in splits
    ]
    table = panels.panel_table(splits, list(adata.var_names), (25,))
    assert panels.panel_lead(table, rankings.PANEL, rankings.CORRELATION, 25).mean() >= 0.04
    assert panels.panel_lead(table, rankings.PANEL, rankings.LINEAR, 25).mean() > 0
