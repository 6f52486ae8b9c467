"""Figures in other forms: sketches for the index, and words."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import plotly.express as px
import pytest

from scripts.report import page_figures, thumbnails

LINE = {"type": "scatter", "mode": "lines", "x": [0, 1, 2], "y": [1, 10, 100]}


def marks(figure):
    svg = ElementTree.fromstring(thumbnails.sketch(figure))
    assert svg.get("aria-hidden") == "true" and not "".join(svg.itertext()).strip()
    return list(svg)


def numbers(text):
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


def test_typed_arrays_are_read():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    typed = {"dtype": "f4", "bdata": base64.b64encode(array.tobytes()).decode(), "shape": "2, 3"}
    np.testing.assert_array_equal(thumbnails.values(typed), array)
    assert thumbnails.values(None).shape == (0,) and list(thumbnails.values(["a"])) == ["a"]


def test_a_line_fills_the_sketch_on_the_scale_of_its_axis():
    (line,) = marks({"data": [LINE], "layout": {"yaxis": {"type": "log"}}})
    assert line.get("points") == "8,112 80,60 152,8"


def test_points_stay_inside_are_few_and_keep_their_colours():
    random = np.random.default_rng(0)
    trace = {"type": "scattergl", "mode": "markers", "x": list(random.normal(size=5000)), "y": list(range(5000))}
    trace["marker"] = {"color": list(random.normal(size=5000)), "coloraxis": "coloraxis"}
    layout = {"coloraxis": {"colorscale": [[0, "#0000ff"], [1, "rgb(255, 0, 0)"]], "cmin": -1, "cmax": 1}}
    figure = {"data": [trace], "layout": layout}
    found = marks(figure)
    assert 2 <= len(found) <= thumbnails.SHADES and len(thumbnails.sketch(figure)) < 8000
    places = np.array([numbers(step) for mark in found for step in re.findall(r"M[^h]+", mark.get("d"))])
    assert len(places) <= 1.1 * thumbnails.MAX_POINTS
    assert (places >= 0).all() and (places <= [thumbnails.WIDTH, thumbnails.HEIGHT]).all()
    assert {mark.get("stroke") for mark in found} >= {"rgb(0,0,255)", "rgb(255,0,0)"}


def test_bars_start_at_zero_and_run_from_top_to_bottom_where_the_axis_is_reversed():
    figure = px.bar(x=[4, 2], y=["large", "small"]).update_layout(yaxis={"autorange": "reversed"}).to_plotly_json()
    large, small = marks(figure)
    assert float(large.get("x")) == float(small.get("x")) == thumbnails.EDGE
    assert float(large.get("width")) == pytest.approx(2 * float(small.get("width")), abs=0.2)
    assert float(large.get("y")) < float(small.get("y"))


def test_a_heatmap_is_cells_with_its_first_row_at_the_bottom():
    found = marks(
        {"data": [{"type": "heatmap", "z": [[0, 0], [1, 1]], "colorscale": [[0, "#000000"], [1, "#ffffff"]]}]}
    )
    tops = {mark.get("fill"): numbers(mark.get("d"))[1] for mark in found}
    assert tops == {"rgb(0,0,0)": 60, "rgb(255,255,255)": 8}
    large = {"data": [{"type": "heatmap", "z": np.random.default_rng(0).random((200, 300)).tolist()}]}
    assert len(thumbnails.sketch(large)) < 10_000


@pytest.mark.parametrize(
    "data", [[], [{"type": "pie"}], [{"type": "scatter", "x": [], "y": []}], [{"type": "heatmap"}]]
)
def test_what_cannot_be_drawn_has_no_sketch(data):
    assert thumbnails.sketch({"data": data}) == ""


def test_missing_numbers_and_single_points_do_not_stop_a_sketch():
    gaps = {"type": "scatter", "mode": "markers", "x": [1, None, 3], "y": [float("nan"), 2, 3]}
    assert len(marks({"data": [gaps, LINE]})) == 2
    assert marks({"data": [{"type": "scatter", "x": [1], "y": [1]}]})


def test_only_the_first_panel_is_drawn():
    figure = {"data": [LINE, LINE | {"xaxis": "x2", "yaxis": "y2"}]}
    assert len(marks(figure)) == 1


@pytest.mark.parametrize("evil", ['red" onload="x', "url(http://a.example)", "<script>"])
def test_colours_from_data_cannot_leave_their_attribute(evil):
    traces = [LINE | {"line": {"color": evil}}, {"type": "bar", "x": [1], "y": [1], "marker": {"color": [evil]}}]
    scale = {"type": "scatter", "mode": "markers", "x": [1], "y": [1], "marker": {"color": evil}}
    assert evil not in thumbnails.sketch({"data": [*traces, scale], "layout": {"colorway": [evil]}})


def test_words_name_title_kind_panels_axes_and_series():
    layout = {"title": {"text": "Loss of <b>&lt;gene&gt;</b>", "subtitle": {"text": "held out"}}}
    layout |= {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": "loss"}}
    figure = {"data": [LINE | {"name": "train"}, LINE | {"name": "test"}], "layout": layout}
    expected = "Loss of <gene>. held out. Line chart. Horizontal: epoch. Vertical: loss. Series: train, test"
    assert page_figures.describe(figure) == expected
    panels = {"data": [LINE, LINE | {"xaxis": "x2"}], "layout": {"annotations": [{"text": "a"}, {"text": "b"}]}}
    assert page_figures.describe(panels) == "Figure. Line chart. 2 panels: a, b"
    many = {"data": [LINE | {"name": str(number)} for number in range(30)]}
    assert page_figures.describe(many).endswith("18, 19 and 10 more")
