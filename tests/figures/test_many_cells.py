"""Figures of more cells than are drawn one by one: some of them, or means of all."""

import json

import numpy as np
import pandas as pd
import pytest

from scripts import figures
from scripts.figures import layout
from scripts.programs import Response
from scripts.report import page_figures
from tests.figures.test_figures import pole_of

MAX_BYTES = 3.2e6  # of a figure of labels, or of two frequencies, as a notebook stores it
FEW = 20  # cells that are drawn one by one where a test says so


def made(n_cells, n_freq=2):
    """Places, frequencies and labels, one cell in ten without any; the first type is of one cell."""
    random = np.random.default_rng(0)
    labels = pd.Series(random.choice(["b", "c", "d"], n_cells), [f"AAACATACAACCAC-{cell}" for cell in range(n_cells)])
    labels[random.random(n_cells) < 0.1] = np.nan
    labels.iloc[1] = "a"
    return random.normal(size=(n_cells, 2)), random.normal(size=(n_cells, n_freq)), labels


def number_of(labels):
    return pd.Series(np.arange(len(labels), dtype=float), labels.index, name="number").where(labels.notna())


def all_of(n_cells):
    """Every figure that draws cells one by one, where there are not too many."""
    xy, v, labels = made(n_cells)
    own = np.where(np.arange(n_cells)[:, None] % 7 == 3, np.nan, -xy)
    branches = pd.DataFrame({"branch": [0, 1], "name": ["a", "b"]})
    return {
        "frequencies": figures.frequency_scatter(xy, v, np.ones(2), labels),
        "own": figures.own_layout_scatter({"X_tsne": own}, v, np.ones(2), labels),
        "scores": figures.score_scatter(xy, v, np.ones(2), pd.concat([pole_of("a"), pole_of("b", frequency=1)])),
        "labels": figures.label_scatter(xy, labels, "Types"),
        "numbers": figures.label_scatter(xy, number_of(labels), "Numbers"),
        "branches": figures.branch_scatter(xy, v, branches, labels.index),
        "predicted": figures.predicted_against_true(v, v, np.ones(2)),
        "response": figures.response_surface(Response(0, ("p", "q"), pd.DataFrame(np.ones((2, 2))), xy, v[:, 0])),
    }


def marked(figure):
    """{cell: its place} of all cells of a figure that a page can mark."""
    pairs = [(trace.meta["cells"], trace.x, trace.y) for trace in figure.data if trace.meta]
    assert all(len(cells) == len(x) == len(y) for cells, x, y in pairs)
    return {int(cell): place for cells, x, y in pairs for cell, *place in zip(cells, x, y, strict=True)}


def told(figure):
    """The title as pages tell it."""
    return page_figures.plain_title(json.loads(figure.to_json())["layout"])


def test_as_many_cells_as_can_be_are_drawn_as_if_there_were_no_limit(monkeypatch):
    monkeypatch.setattr(layout, "MAX_POINTS", 100)
    at_limit = all_of(100)
    monkeypatch.setattr(layout, "MAX_POINTS", 10**9)
    without = {name: figure.to_json() for name, figure in all_of(100).items()}
    assert {name: figure.to_json() for name, figure in at_limit.items()} == without
    for name, figure in at_limit.items():
        assert "heatmap" not in {trace.type for trace in figure.data}, name
        assert figure.layout.title.subtitle.text is None, name


def test_of_more_cells_the_same_are_drawn_in_all_figures_and_their_titles_say_so(monkeypatch):
    monkeypatch.setattr(layout, "MAX_POINTS", FEW)
    drawn = all_of(101)
    expected = {int(cell): list(made(101)[0][cell]) for cell in layout.drawn_cells(101)}
    assert len(expected) == FEW and {0, 100} <= set(expected) and np.diff(sorted(expected)).max() <= 6
    for name in ("labels", "numbers", "branches"):
        assert marked(drawn[name]) == expected, name
        assert told(drawn[name]).endswith(". 20 of 101 cells drawn")
    for name in ("predicted", "response"):
        points = list(drawn[name].select_traces({"mode": "markers"}))
        assert {len(trace.x) for trace in points} == {len(trace.y) for trace in points} == {FEW}
        assert told(drawn[name]).endswith(". 20 of 101 cells drawn")


def test_what_is_told_of_a_cell_is_its_own(monkeypatch):
    monkeypatch.setattr(layout, "MAX_POINTS", FEW)
    drawn, (_, _, labels) = all_of(101), made(101)
    names = np.array([f"cell {name}" for name in labels.index])
    for trace in drawn["labels"].data:
        cells = trace.meta["cells"]
        assert list(trace.hovertext) == list(names[cells])
        assert set(labels.iloc[cells].fillna("not labelled")) == {trace.name}
    coloured, rest = drawn["numbers"].data
    assert list(coloured.marker.color) == list(coloured.meta["cells"])
    assert list(coloured.hovertext) == list(names[coloured.meta["cells"]])
    assert labels.iloc[rest.meta["cells"]].isna().all() and len(rest.x)


def test_colours_and_written_names_are_those_of_all_cells(monkeypatch):
    xy, _, labels = made(101)
    whole = figures.label_scatter(xy, labels, "")
    monkeypatch.setattr(layout, "MAX_POINTS", FEW)
    some = figures.label_scatter(xy, labels, "")
    colours = {trace.name: trace.marker.color for trace in whole.data}
    assert {trace.name for trace in some.data} == colours.keys() - {"a"}  # of one cell, which is not drawn
    assert all(trace.marker.color == colours[trace.name] for trace in some.data)
    assert some.layout.annotations == whole.layout.annotations


@pytest.mark.parametrize("name", ["frequencies", "own", "scores"])
def test_frequencies_of_more_cells_are_means_of_all_over_small_bins(monkeypatch, name):
    monkeypatch.setattr(layout, "MAX_POINTS", FEW)
    monkeypatch.setattr(layout, "BINS", 4)
    xy, v, _ = made(101)
    placed = np.arange(101) % 7 != 3 if name == "own" else np.full(101, True)
    xy, v = (-xy if name == "own" else xy)[placed], v[placed]
    figure = all_of(101)[name]
    low, width = xy.min(axis=0), np.ptp(xy, axis=0) / 4
    place = np.minimum(((xy - low) / width).astype(int), 3)
    for f, panel in enumerate(figure.data):
        assert panel.type == "heatmap" and panel.coloraxis == "coloraxis" and not panel.hoverongaps
        full = np.quantile(np.abs(v[:, f]), 0.98)
        for row in range(4):
            for column in range(4):
                inside = v[(place == [column, row]).all(axis=1), f]
                mean = inside.mean() if len(inside) else np.nan
                np.testing.assert_allclose(panel.customdata[row, column], mean, rtol=1e-5)
                np.testing.assert_allclose(panel.z[row, column], mean / full, rtol=1e-5)
        np.testing.assert_allclose(panel.x, low[0] + width[0] * (np.arange(4) + 0.5))
        np.testing.assert_allclose(panel.y, low[1] + width[1] * (np.arange(4) + 0.5))
    assert np.isnan(figure.data[0].z).any() and "%{customdata" in figure.data[0].hovertemplate
    assert f". {placed.sum()} cells: mean of those in each of " in told(figure)


def test_pages_of_very_many_cells_stay_small():
    xy, v, labels = made(200_000)
    by_label = [figures.label_scatter(xy, values, "Cells") for values in (labels, number_of(labels))]
    assert {told(figure) for figure in by_label} == {"Cells. 50,000 of 200,000 cells drawn"}
    for figure in [*by_label, figures.frequency_scatter(xy, v, np.ones(2), labels)]:
        assert len(json.dumps(json.loads(figure.to_json()))) < MAX_BYTES


def test_sixty_thousand_cells():
    """With the limit as it is."""
    xy, v, labels = made(60_000)
    types, numbers = (figures.label_scatter(xy, values, "") for values in (labels, number_of(labels)))
    assert marked(types).keys() == marked(numbers).keys() and len(marked(types)) == 50_000
    figure = figures.frequency_scatter(xy, v, np.ones(2), labels)
    assert told(figure) == "Frequencies over the cells. 60,000 cells: mean of those in each of 300 × 300 bins"
    assert figure.data[0].z.shape == (300, 300) and page_figures.thumbnail([json.loads(figure.to_json())])
    assert [trace.type for trace in figures.frequency_scatter(xy[1:50_001], v[1:50_001], np.ones(2)).data] == [
        "scattergl"
    ] * 2
