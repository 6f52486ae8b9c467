"""Figures in other forms: small numbers, words, and pictures for the index."""

import base64
import io

import numpy as np
import plotly.express as px
import pytest
from PIL import Image

from scripts.report import page_figures

LINE = {"type": "scatter", "mode": "lines", "x": [0, 1, 2], "y": [1, 10, 100]}
GRID = np.arange(5000)
CELLS = {"type": "scatter", "mode": "markers", "x": (GRID % 70).tolist(), "y": (GRID // 70).tolist()}
BLUE, RED = (0, 0, 255), (255, 0, 0)


def pixels(*traces, **layout):
    """Thumbnail of one figure, (240, 320, 4): red, green, blue and opacity."""
    picture = Image.open(io.BytesIO(page_figures.thumbnail([{"data": list(traces), "layout": layout}])))
    assert picture.format == "PNG" and picture.size == (320, 240)
    return np.asarray(picture.convert("RGBA"))


def near(drawn, colour):
    """Opaque pixels close to a colour, (240, 320)."""
    return (drawn[..., 3] > 200) & (np.abs(drawn[..., :3].astype(int) - colour).max(axis=2) < 40)


def test_typed_arrays_are_read():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    typed = {"dtype": "f4", "bdata": base64.b64encode(array.tobytes()).decode(), "shape": "2, 3"}
    np.testing.assert_array_equal(page_figures.values(typed), array)
    assert page_figures.values(None).shape == (0,) and list(page_figures.values(["a"])) == ["a"]


def test_numbers_of_figures_are_rounded_to_what_can_be_seen():
    numbers = np.random.default_rng(0).normal(size=100)
    array = {"dtype": "f8", "bdata": base64.b64encode(numbers.tobytes()).decode(), "shape": "50, 2"}
    small = page_figures.compact({"x": array, "y": [1 / 3, 12345678.0, 7, "1.23456789", None], "z": [[2 / 3]]})
    assert small["y"] == [0.333333, 12345678.0, 7, "1.23456789", None] and small["z"] == [[0.666667]]
    assert small["x"]["dtype"] == "f4" and small["x"]["shape"] == "50, 2"
    assert len(small["x"]["bdata"]) < 0.51 * len(array["bdata"])
    np.testing.assert_allclose(page_figures.values(small["x"]).ravel(), numbers, rtol=1e-6)


def test_escapes_are_those_that_plotly_undoes():
    assert page_figures.compact({"text": ["&quot;a&quot; &lt;b&gt; &amp;quot;"]}) == {
        "text": ['"a" &lt;b&gt; &amp;quot;']
    }


def test_numbers_beyond_single_precision_stay_as_they_are():
    array = {"dtype": "f8", "bdata": base64.b64encode(np.array([1e-300, 1.0]).tobytes()).decode()}
    assert page_figures.compact(array) == array


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


def test_a_line_runs_on_the_scale_of_its_axis():
    drawn = pixels(LINE, yaxis={"type": "log"})
    rows, columns = np.nonzero(drawn[..., 3] > 100)
    straight = np.polyval(np.polyfit(columns, rows, 1), columns)
    assert np.abs(rows - straight).max() < 5 and rows[columns.argmin()] > 200 > 40 > rows[columns.argmax()]
    rows, columns = np.nonzero(pixels(LINE)[..., 3] > 100)
    assert rows[np.abs(columns - 160) < 3].min() > 190  # without the logarithm 10 lies near the ground


def test_cells_keep_their_colours_and_stay_inside():
    marker = {"color": np.repeat([-5.0, 0.9], 2500).tolist(), "coloraxis": "coloraxis"}
    scale = {"colorscale": [[0, "#0000ff"], [1, "rgb(255, 0, 0)"]], "cmin": -1, "cmax": 1}
    drawn = pixels(CELLS | {"marker": marker}, coloraxis=scale)
    blue, red = near(drawn, BLUE), near(drawn, RED)
    assert blue[120:].sum() > 2000 < red[:120].sum() and blue[:110].sum() == 0 == red[130:].sum()
    edge = np.concatenate([drawn[[0, -1]].reshape(-1, 4), drawn[:, [0, -1]].reshape(-1, 4)])
    assert not edge[:, 3].any()


def test_thumbnails_are_small_and_always_the_same():
    random = np.random.default_rng(0)
    colours = px.colors.sample_colorscale("Viridis", random.random(5000))
    trace = CELLS | {"x": random.normal(size=5000).tolist(), "marker": {"color": colours}}
    first, second = (page_figures.thumbnail([{"data": [trace]}]) for _ in range(2))
    assert first == second and len(first) < 10_000
    large = {"type": "heatmap", "z": random.random((200, 300)).tolist()}
    assert len(page_figures.thumbnail([{"data": [large]}])) < 10_000


def test_cells_go_first_wherever_they_stand():
    line, few, cells = ({"data": [trace]} for trace in (LINE, LINE | {"mode": "markers"}, CELLS))
    assert page_figures.thumbnail([line, few, cells]) == page_figures.thumbnail([cells])
    assert page_figures.thumbnail([line, few]) == page_figures.thumbnail([line])
    assert page_figures.thumbnail([{"data": []}, line]) == page_figures.thumbnail([line])


def test_bars_start_at_zero_and_run_from_top_to_bottom_where_the_axis_is_reversed():
    figure = px.bar(x=[4, 2], y=["large", "small"]).update_layout(yaxis={"autorange": "reversed"}).to_plotly_json()
    lengths = (pixels(*figure["data"], **figure["layout"])[..., 3] > 200).sum(axis=1)
    assert lengths[60] == pytest.approx(2 * lengths[180], abs=3) and lengths[60] > 250


def test_a_heatmap_has_its_first_row_at_the_bottom_unless_the_axis_is_reversed():
    trace = {"type": "heatmap", "z": [[0, 0], [1, 1]], "colorscale": [[0, "#0000ff"], [1, "#ff0000"]]}
    drawn = pixels(trace)
    assert near(drawn, BLUE)[140:220, 20:300].all() and near(drawn, RED)[20:100, 20:300].all()
    drawn = pixels(trace, yaxis={"autorange": "reversed"})
    assert near(drawn, RED)[140:220, 20:300].all() and near(drawn, BLUE)[20:100, 20:300].all()


@pytest.mark.parametrize(
    "data", [[], [{"type": "pie"}], [{"type": "scatter", "x": [], "y": []}], [{"type": "heatmap"}]]
)
def test_what_cannot_be_drawn_has_no_thumbnail(data):
    assert page_figures.thumbnail([{"data": data}]) == b"" == page_figures.thumbnail([])


def test_missing_numbers_single_points_and_names_do_not_stop_a_thumbnail():
    gaps = {"type": "scatter", "mode": "markers", "x": [1, None, 3], "y": [float("nan"), 2, 3]}
    assert pixels(gaps, LINE)[..., 3].any()
    assert pixels({"type": "scatter", "mode": "markers", "x": [1], "y": [1]})[..., 3].any()
    named = {"type": "scatter", "mode": "markers", "y": ["b", "a"], "marker": {"color": ["red", "blue"]}}
    drawn = pixels(named | {"x": [1, 1]}, named | {"x": [2, 2], "y": ["a", "c"]})
    assert near(drawn, RED)[180:, :160].any() and near(drawn, RED)[100:140, 160:].any()  # each name has one place


def test_only_the_first_panel_is_drawn():
    other = CELLS | {"xaxis": "x2", "yaxis": "y2"}
    np.testing.assert_array_equal(pixels(LINE, other), pixels(LINE))


@pytest.mark.parametrize("unknown", ['red" onload="x', "url(http://a.example)", "rgb()", "", 3])
def test_unknown_colours_give_way_to_one_that_can_be_seen(unknown):
    traces = [LINE | {"line": {"color": unknown}}, {"type": "bar", "x": [1], "y": [90], "marker": {"color": [unknown]}}]
    marks = LINE | {"mode": "markers", "marker": {"color": unknown}}
    for trace in [*traces, marks]:
        assert (pixels(trace, template={"layout": {"colorway": [unknown]}})[..., 3] > 200).sum() > 30
