"""Pages as a browser shows them, as `browsing` opens it."""

import contextlib
import io
import json
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_output
from playwright.sync_api import Error
from plotly.offline import get_plotlyjs

from scripts import figures
from scripts.errors import UNPRINTABLE, printable
from scripts.figures import layout
from scripts.report import page_figures, pages
from scripts.report.run import Run
from tests import chain_runs
from tests.report.browsing import (
    DESK,
    EMPTY,
    FROM_DATA,
    MAX_BYTES,
    MAX_BYTES_OF_PAGE,
    MAX_ELEMENTS,
    MAX_SECONDS,
    PATIENCE,
    PHONE,
    TEXT,
    as_output,
    as_table,
    keep,
    number_of_figures,
    opened,
    saved,
    seconds_to_draw,
    written,
)

# name and SVG of each figure
AS_SVG = """Promise.all([...document.querySelectorAll(".plotly-graph-div")].map(async (place) =>
  [place.dataset.name, await Plotly.toImage(place, { format: "svg", imageDataOnly: true })]))"""


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_every_page_opens_offline_and_draws_its_figures(browser, small_run, size, scheme):
    for stem, expected in number_of_figures(small_run).items():
        with opened(browser, small_run.path(f"{stem}.html"), size, scheme) as page:
            assert page.evaluate("window.figuresDrawn") == expected
            assert page.evaluate(EMPTY) == []
            boxes = [place.bounding_box() for place in page.locator(".plotly-graph-div > .plot-container").all()]
            assert len(boxes) == expected and all(box["width"] > 200 and box["height"] > 100 for box in boxes)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"], f"{stem} scrolls sideways"
            for name, svg in page.evaluate(AS_SVG) if scheme == "light" else []:
                assert len(list(ElementTree.fromstring(svg).iter())) > 50, f"{stem}: {name}"
            keep(page, f"{stem}-{size['width']}-{scheme}")


def sizes_of(run):
    """Bytes of each page of a run, and of what pages share."""
    return {path: path.stat().st_size for path in [*run.folder.glob("*.html"), run.path(pages.PLOTLY)]}


def test_pages_of_a_run_are_small(small_run):
    assert sum(sizes_of(small_run).values()) < MAX_BYTES


def test_index_leads_to_the_pages_and_shows_the_frequencies(browser, small_run):
    n_freq = small_run.load_cells().obsm["X_freq"].shape[1]
    with opened(browser, small_run.path("index.html")) as page:
        widths = page.locator(".frequency .thumbnail").evaluate_all("all => all.map((picture) => picture.naturalWidth)")
        assert widths == [320] * n_freq
        page.locator(".frequency h3 a").first.click()
        page.wait_for_url("**/frequency_0.html")
        assert page.evaluate("window.figuresDrawn") > 0
        page.locator(".steps a[href='index.html']").click()
        page.wait_for_url("**/index.html")
        page.locator(".cards a").first.click()
        page.wait_for_url("**/01_data.html")
        assert page.evaluate("window.figuresDrawn") > 0


def test_code_is_shown_on_demand(browser, table_page):
    with opened(browser, table_page) as page:
        code, switch = page.locator("pre.code").first, page.get_by_role("button", name="Show code")
        assert not code.is_visible()
        switch.click()
        assert code.is_visible()
        page.get_by_role("button", name="Hide code").press("Enter")
        assert not code.is_visible()


def test_dark_and_light_are_a_switch_that_figures_follow(browser, table_page):
    ground = "[getComputedStyle(document.body).backgroundColor, document.querySelector('.main-svg').style.background]"
    dark, light = ["rgb(21, 24, 27)"] * 2, ["rgb(253, 253, 251)"] * 2
    with opened(browser, table_page) as page:
        assert page.evaluate(ground) == light
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate("window.figuresDrawn.then(() => " + ground + ")") == dark
        middle = page.evaluate("document.querySelector('.js-plotly-plot').layout.coloraxis.colorscale[2][1]")
        assert int(middle[1:3], 16) < 100  # values near 0 recede on a dark page
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate(ground) == light  # paper is white
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate("window.figuresDrawn.then(() => " + ground + ")") == dark
        page.goto(table_page.with_name("index.html").as_uri())
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark[0]  # the choice is kept
    with opened(browser, table_page, scheme="dark") as page:
        assert page.evaluate(ground) == dark
        page.get_by_role("button", name="Light").click()
        assert page.evaluate("window.figuresDrawn.then(() => " + ground + ")") == light


@pytest.mark.paul15
def test_pages_of_paul15_are_small_and_soon_drawn(browser, paul15_run):
    sizes = sizes_of(paul15_run)
    assert sum(sizes.values()) < MAX_BYTES and max(sizes.values()) < MAX_BYTES_OF_PAGE
    del sizes[paul15_run.path(pages.PLOTLY)]
    largest = max(sizes, key=sizes.get)
    expected = number_of_figures(paul15_run)[largest.stem]
    with opened(browser, largest) as page:
        assert page.evaluate("window.figuresDrawn") == expected > 0
        assert page.evaluate(EMPTY) == []
        assert page.evaluate("document.querySelectorAll('*').length") < MAX_ELEMENTS
    assert seconds_to_draw(browser, largest) < MAX_SECONDS


def test_data_cannot_put_another_script_in_the_place_of_plotly(browser, tmp_path):
    """Elements named as the page's own, in HTML that a notebook displays above and below a figure."""
    other = page_figures.packed("window.hostile = 'evaluated'")
    html = f'<script type="text/plain" id="plotly-js">{other}</script><style>:root {{ --plotly: "{other}"; }}</style>'
    html += "".join(f'<a id="{name}" name="{name}"></a>' for name in ["Plotly", "plotly", "packedPlotly", "module"])
    evil = new_output("display_data", data={"text/html": html})
    figure = figures.spectrum(np.arange(1.0, 5.0))
    with opened(browser, written(tmp_path / "run", [evil, as_output(figure), evil])) as page:
        assert page.locator("[id=plotly-js]").count() == 2
        assert page.evaluate("window.figuresDrawn") == 1 and page.evaluate(EMPTY) == []
        assert page.evaluate("typeof Plotly.react") == "function"
        assert page.evaluate("typeof window.hostile") == "undefined"


def test_the_browser_runs_no_other_plotly_than_that_of_the_policy(browser, tmp_path):
    path = written(tmp_path / "run", [as_output(figures.spectrum(np.arange(1.0, 5.0)))])
    shared, plotly = path.with_name(pages.PLOTLY), page_figures.packed(get_plotlyjs())
    assert shared.read_text(encoding="utf-8").count(plotly) == 1
    other = page_figures.packed("window.hostile = 'evaluated'")
    shared.write_text(page_figures.plotly_style().replace(plotly, other), encoding="utf-8")
    with contextlib.closing(browser.new_context(offline=True)) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        with pytest.raises(Error, match="Plotly is not defined"):
            page.evaluate("window.figuresDrawn")
        assert page.evaluate("typeof window.hostile") == "undefined"
        assert "cannot draw the figure" in page.locator(".plotly-graph-div").inner_text()


def test_a_page_that_was_passed_on_without_plotly_says_what_is_missing(browser, tmp_path):
    path = written(tmp_path / "run", [as_output(figures.spectrum(np.arange(1.0, 5.0)))])
    path.with_name(pages.PLOTLY).unlink()
    with contextlib.closing(browser.new_context(offline=True)) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        with pytest.raises(Error, match=f"{pages.PLOTLY} is missing"):
            page.evaluate("window.figuresDrawn")
        assert f"{pages.PLOTLY} is missing" in page.locator(".plotly-graph-div").inner_text()


def test_long_tables_of_long_texts_can_be_read(browser, tmp_path):
    """Rows scroll below their headings; lists of genes and endless words are wrapped to a width that can be read."""
    genes = " ".join(f"Gene{number}" for number in range(60))
    table = {"term": ["A term of more than forty letters, as many are"] * 300, "genes": genes, "word": "ACGT" * 50}
    path = written(tmp_path / "run", [as_table(pd.DataFrame(table | {"p": np.linspace(0, 1, 300)}))])
    for size in (DESK, PHONE):
        with opened(browser, path, size) as page:
            box, head = page.locator("main .table"), page.locator("main thead")
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            assert box.bounding_box()["height"] <= 36 * 16
            box.evaluate("box => box.scrollTo(0, box.scrollHeight / 2)")
            assert head.bounding_box()["y"] == pytest.approx(box.bounding_box()["y"], abs=1)
            cells = [cell.bounding_box() for cell in page.locator("main tbody tr").first.locator("td").all()]
            assert all(200 <= cell["width"] <= 700 for cell in cells[:3])
            assert all(cell["height"] < 400 for cell in cells)  # a row is seen whole
            keep(page, f"long-table-{size['width']}")


def test_hostile_names_are_shown_as_text(browser, tmp_path):
    """A data set whose names are HTML, Markdown, TeX, quotes, controls of a terminal and letters of other alphabets."""
    data = chain_runs.write_hostile_cells(tmp_path)
    done = chain_runs.report(tmp_path, str(data), None, chain_runs.SMALL | {"unconnected": "largest", "csv_safe": True})
    assert done.returncode == 0, done.stderr
    run = Run(tmp_path / data.stem)
    assert set(run.load_table("drivers.csv")["gene"]) == set(run.load_cells().var_names)
    assert not re.search(r"^[^,]*,[=-][^\d.]", run.path("drivers.csv").read_text(encoding="utf-8"), re.MULTILINE)
    shown = ""
    for stem, expected in number_of_figures(run).items():
        with opened(browser, run.path(f"{stem}.html")) as page:
            assert page.evaluate("window.figuresDrawn") == expected
            assert page.evaluate("typeof window.hostile") == "undefined"
            assert page.locator(FROM_DATA).count() == 0
            assert data.stem in page.locator("body > .data").inner_text()
            shown += page.evaluate(TEXT)
            keep(page, f"{stem}-hostile")
    for name in chain_runs.HOSTILE.values():
        assert printable(name) in shown
    assert not UNPRINTABLE.search(shown)
    assert not UNPRINTABLE.search(done.stdout + done.stderr)
    assert "&quot;" not in shown and "&lt;script" not in shown and "&#" not in shown  # escaped once, not twice


def test_figures_are_saved_by_key_as_pictures_and_as_data(browser, tmp_path):
    xy = np.random.default_rng(0).normal(size=(6, 2))
    labels = pd.Series(["a, b", "=c", None] * 2, index=[f"AAC-{cell}" for cell in range(6)]).astype("category")
    heat = go.Figure(go.Heatmap(z=[[1.5, 2], [3, 4]], x=["g", "h"], y=["k", "l"]))
    drawn = [as_output(figures.label_scatter(xy, labels, "Cells by type")), as_output(heat)]
    with opened(browser, written(tmp_path / "my run", drawn)) as page:
        buttons = [row.locator("button").all() for row in page.locator(".exports").all()]
        told = [[button.inner_text() for button in row] for row in buttons]
        assert told == [["SVG", "PNG", "CSV"], ["SVG", "PNG", "CSV"], ["Save all 2 figures as SVG"]]
        (svg_name, svg), (png_name, png), (csv_name, csv) = (saved(page, button) for button in buttons[0])
        assert [svg_name, png_name, csv_name] == [f"my_run_Cells_by_type.{kind}" for kind in ("svg", "png", "csv")]
        assert svg.startswith(b"<svg") and b"UMAP 1" in svg and png.startswith(b"\x89PNG")
        table = pd.read_csv(io.BytesIO(csv))
        assert list(table["series"]) == ["'=c"] * 2 + ["a, b"] * 2 + ["not labelled"] * 2  # no formula of a spreadsheet
        assert set(table["hovertext"]) == {f"cell AAC-{cell}" for cell in range(6)}
        np.testing.assert_allclose(sorted(table["x (UMAP 1)"]), sorted(xy[:, 0]), rtol=1e-5)
        _, csv = saved(page, buttons[1][2])
        assert list(pd.read_csv(io.BytesIO(csv))["value"]) == [1.5, 2, 3, 4]
        files = []
        page.on("download", lambda download: files.append(download.suggested_filename))
        buttons[2][0].press("Enter")
        while len(files) < 2:
            page.wait_for_timeout(100)
        assert files[0] == "my_run_Cells_by_type.svg" and files[1].endswith(".svg")


def test_a_map_is_laid_out_and_coloured_as_is_chosen(browser, tmp_path):
    xy, labels = np.random.default_rng(0).normal(size=(5, 2)), pd.Series(list("aabbb"))
    value = np.array([-2.0, 0, 1, 2, 0.5])
    drawn = figures.cell_map({"ours": xy, "own": 2 * xy}, {"Type": {"t": labels}, "Gene": {"Gata1": value}}, labels)
    trace = "document.querySelector('.js-plotly-plot')._fullData[0]"
    with opened(browser, written(tmp_path / "run", [as_output(drawn)])) as page:
        layout, colour = page.locator(".choice select").all()
        places = page.evaluate(f"[...{trace}.x]")
        layout.select_option("own")
        np.testing.assert_allclose(page.evaluate(f"[...{trace}.x]"), 2 * np.array(places), rtol=1e-5)
        point = "{ curveNumber: 0, pointNumber: 1 }"
        chosen = f"{{ range: {{}}, points: [{point}] }}"
        page.evaluate(f"document.querySelector('.js-plotly-plot').emit('plotly_selected', {chosen})")
        colour.select_option("Gata1")
        assert page.evaluate(f"[...{trace}.selectedpoints]") == [1]  # chosen cells stay so, whatever their colours
        np.testing.assert_allclose(page.evaluate(f"{trace}.customdata"), value, atol=0.02)
        name, csv = saved(page, page.get_by_role("button", name="Save as CSV"))
        table = pd.read_csv(io.BytesIO(csv))
        assert name.endswith("Gata1.csv") and set(table["series"]) == {"Gata1"}
        np.testing.assert_allclose(table["value"], value, atol=0.02)
        np.testing.assert_allclose(table.filter(like="x (").iloc[:, 0], 2 * xy[:, 0], rtol=1e-5)


POINTS = """[...document.querySelectorAll('.js-plotly-plot')].map((place) => place._fullData.map(({ selectedpoints }) =>
  selectedpoints ? [...selectedpoints] : null))"""


def test_cells_chosen_in_one_figure_are_marked_in_all_until_a_double_click(browser, tmp_path):
    xy = np.array([[0.0, 0], [1, 0], [10, 10], [11, 10], [0, 10]])
    labels = pd.Series(["a", "b", "b", "a", None]).astype("category")
    drawn = [
        figures.frequency_scatter(xy, xy, np.ones(2), labels),
        figures.label_scatter(xy, labels, "Types"),
        figures.label_scatter(xy, pd.Series([1, np.nan, 2, 3, 4.0], name="age"), "Ages"),
        figures.spectrum(np.arange(1.0, 5.0)),
    ]
    with opened(browser, written(tmp_path / "run", [*map(as_output, drawn)])) as page:
        nothing = [[None, None], [None] * 3, [None, None], [None]]
        assert page.evaluate(POINTS) == nothing
        first = page.locator(".js-plotly-plot").first
        first.hover()
        first.get_by_role("button", name="Box Select").click()
        box = first.locator(".drag").first.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 2, steps=5)
        page.mouse.up()  # the upper right quarter: cells 2 and 3
        chosen = [[[2, 3], [2, 3]], [[1], [1], []], [[1, 2], []], [None]]
        page.wait_for_function(f"JSON.stringify({POINTS}) === '{json.dumps(chosen, separators=(',', ':'))}'")
        assert page.locator(".exports output").all_inner_texts() == ["2 cells chosen; a double click clears"] * 3
        assert page.locator(".selectionlayer path").count() > 0
        keep(page, "cells-chosen")
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate(f"window.figuresDrawn.then(() => {POINTS})") == chosen
        page.locator(".js-plotly-plot").nth(1).locator(".drag").first.dblclick()  # another figure
        page.wait_for_function(f"JSON.stringify({POINTS}) === '{json.dumps(nothing, separators=(',', ':'))}'")
        assert page.locator(".selectionlayer path").count() == 0


def test_of_many_cells_a_choice_marks_those_drawn_and_means_are_saved(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "MAX_POINTS", 3)
    monkeypatch.setattr(layout, "BINS", 2)
    xy = np.array([[0.0, 0], [1, 0], [10, 10], [11, 10], [0, 10]])
    labels = pd.Series(["a", "b", "b", "a", None]).astype("category")
    drawn = [
        figures.label_scatter(xy, labels, "Types"),
        figures.label_scatter(xy, pd.Series([1, np.nan, 2, 3, 4.0], name="age"), "Ages"),
        figures.frequency_scatter(xy, 2 * xy[:, :1], np.ones(1), labels),
    ]
    with opened(browser, written(tmp_path / "run", [*map(as_output, drawn)])) as page:
        first = page.locator(".js-plotly-plot").first
        first.hover()
        first.get_by_role("button", name="Box Select").click()
        box = first.locator(".drag").first.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 2, steps=5)
        page.mouse.up()  # the upper right quarter: cell 2, of cells 0, 2 and 4
        chosen = "[[[],[0],[]],[[1]],[null]]"
        page.wait_for_function(f"JSON.stringify({POINTS}) === '{chosen}'")
        _, content = saved(page, page.get_by_role("button", name="Save as CSV").last)
        table = pd.read_csv(io.BytesIO(content))
        np.testing.assert_allclose(table["x"], [2.75, 8.25] * 2)
        np.testing.assert_allclose(table["value"], [1, np.nan, 0, 21])
