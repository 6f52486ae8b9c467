"""Pages as a browser shows them: headless Chromium, from disk, with the network blocked.

Skipped where there is no Chromium (on PATH, or named by BMLP_CHROMIUM), unless BMLP_REQUIRE_BROWSER is set.
Screenshots are kept in reports/.screenshots.
"""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil

import nbformat
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Error, sync_playwright
from plotly.offline import get_plotlyjs

from scripts import figures, findings, story
from scripts.errors import UNPRINTABLE, printable
from scripts.report import page_figures, pages
from scripts.report.run import Run
from tests import chain_runs

SCREENSHOTS = chain_runs.ROOT / "reports" / ".screenshots"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
DESK, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 844}
LAPTOP, PAPER = {"width": 1280, "height": 900}, {"width": 680, "height": 960}
# names of tables that are wider than their box
CUT = """[...document.querySelectorAll(".table")].filter((box) => box.scrollWidth > box.clientWidth + 1)
  .map((box) => box.getAttribute("aria-label"))"""
# contrast of text, and of what frames buttons and boxes, with its ground: [ratio, text] below what can be read
FAINT = """(() => {
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    if (!element.checkVisibility({ visibilityProperty: true }) || element.closest("svg, .plotly-graph-div")) continue;
    const style = getComputedStyle(element);
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const least = own ? [[4.5, style.color, element]] : [];
    const isTool = element.matches(":is(.steps, .tools) :is(button, input)");
    if (isTool) least.push([3, style.borderColor, element.parentElement]);
    if (element.matches(".sort")) least.push([3, getComputedStyle(element, "::after").color, element]);
    for (const [wanted, colour, on] of least) {
      const contrast = ratio(numbers(colour), ground(on));
      if (contrast < wanted) found.push([contrast, element.outerHTML.slice(0, 80)]);
    }
  }
  return found;
})()"""
# titles of figures that have data, but no marks
EMPTY = """[...document.querySelectorAll(".js-plotly-plot")]
  .filter((place) => place.data.length && !place.querySelector(":is(.overplot, .iciclelayer) :is(path, image)"))
  .map((place) => place.dataset.name)"""
# text of a page and its figures, without code and data
TEXT = """(() => {
  const copy = document.querySelector("main").cloneNode(true);
  for (const element of copy.querySelectorAll("script, style, pre.code")) element.remove();
  return copy.textContent.replace(/\\s+/g, " ");
})()"""
# elements that hostile names would make; the index has pictures of its own
OWN_PICTURE = ".thumbnail[src^='data:image/png;base64,']"
FROM_DATA = f"img:not({OWN_PICTURE}), b, i, [href*='a.example'], [href^=java], [onmouseover], [onerror]"
FROM_DATA = f"main :is({FROM_DATA}, script:not([type]))"
PATIENCE = 300_000  # milliseconds: other programs may have the cores
MAX_BYTES, MAX_BYTES_OF_PAGE = 15e6, 2.5e6  # of all pages of a run, of one
MAX_ELEMENTS = 25_000  # of a page of Paul15, marks of its figures included: how long it takes to open hangs on them


@pytest.fixture(scope="module")
def browser():
    names = ["chromium", "chromium-browser", "google-chrome"]
    found = os.environ.get("BMLP_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found and not os.environ.get("BMLP_REQUIRE_BROWSER"):
        pytest.skip("no Chromium: install it, or name it in BMLP_CHROMIUM")
    assert found, "BMLP_REQUIRE_BROWSER is set, but there is no Chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def opened(browser, path, size=DESK, scheme="light"):
    """A page with all its figures drawn; whatever the browser complained of or asked for fails the test at the end."""
    context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)
    context.set_default_timeout(PATIENCE)
    problems = []

    def on_request(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            problems.append(f"request: {request.url}")

    context.on("request", on_request)
    context.on("console", lambda message: problems.append(message.text) if message.type != "log" else None)
    context.on("weberror", lambda error: problems.append(str(error.error)))
    context.on("dialog", lambda dialog: problems.append(dialog.message))
    page = context.new_page()
    try:
        page.goto(path.resolve().as_uri())
        page.evaluate("window.figuresDrawn")
        yield page
        assert problems == []
    finally:
        context.close()


def keep(page, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def number_of_figures(run):
    """Expected figures of every page of a run."""
    counts = {path.stem: pages.count_figures(nbformat.read(path, as_version=4)) for path in run.notebooks()}
    return counts | {
        path.stem: figures_of(path) for path in [run.path("index.html"), *run.folder.glob("frequency_*.html")]
    }


def figures_of(page):
    """How many figures a page has a place for."""
    return page.read_text(encoding="utf-8").count('class="plotly-graph-div"')


def as_output(figure):
    return new_output("display_data", data={pages.FIGURE: nbformat.from_dict(json.loads(figure.to_json()))})


def as_table(frame):
    with pd.option_context("display.max_colwidth", None):
        return new_output("display_data", data={"text/html": frame.to_html(notebook=True)})


def written(folder, outputs, settings=None):
    """Page with these outputs below a heading; returns its path."""
    run = Run(folder, "01_data")
    run.save(facts=settings or {"data": "cells for a test"})
    cells = [new_markdown_cell("# Page"), new_code_cell("secret_code = 1", outputs=outputs)]
    run.write("01_data.ipynb", lambda path: nbformat.write(new_notebook(cells=cells), path))
    pages.write_pages(run)
    story.write(run)
    return run.path("01_data.html")


@pytest.fixture(scope="module")
def table_page(tmp_path_factory):
    """Page with one figure and two tables: one of many kinds of columns, one too wide for a phone."""
    kinds = {
        "gene": ["b10", "b9", "B2", "a", "ä"],
        "cells": ["1,200", "90", "-3", "100", "7"],
        "p": [1e-5, 0.5, np.nan, 2e-9, 1.0],
        "share": ["50%", "9%", "100%", "0.5%", "12%"],
    }
    wide = pd.DataFrame({f"a_rather_long_column_name_{number}": ["Gene" * 20] for number in range(8)})
    xy = np.random.default_rng(0).normal(size=(50, 2))
    figure = figures.frequency_scatter(xy, xy, np.ones(2))
    outputs = [as_table(pd.DataFrame(kinds)), as_output(figure), as_table(wide)]
    return written(tmp_path_factory.mktemp("tables") / "run", outputs)


def column(page, number):
    return page.locator("main table").first.locator(f"tbody tr > :nth-child({number + 2})").all_inner_texts()


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


def test_tables_sort_by_click_and_by_key(browser, table_page):
    with opened(browser, table_page) as page:
        buttons = page.locator("main table").first.locator("thead th button")
        assert buttons.all_inner_texts() == ["gene", "cells", "p", "share"]  # row numbers need none
        buttons.nth(1).click()
        assert column(page, 1) == ["-3", "7", "90", "100", "1,200"]
        heading = page.locator("th[aria-sort]")
        assert heading.inner_text() == "cells" and heading.get_attribute("aria-sort") == "ascending"
        buttons.nth(1).press("Enter")
        assert column(page, 1) == ["1,200", "100", "90", "7", "-3"]
        assert heading.get_attribute("aria-sort") == "descending"
        buttons.nth(2).press("Space")
        assert [float(text) for text in column(page, 2)[:4]] == [2e-9, 1e-5, 0.5, 1.0] and column(page, 2)[4] == "NaN"
        assert heading.inner_text() == "p"
        buttons.nth(2).click()
        assert column(page, 2)[4] == "NaN"  # missing values stay last
        buttons.nth(3).click()
        assert column(page, 3) == ["0.5%", "9%", "12%", "50%", "100%"]
        buttons.nth(0).click()
        assert column(page, 0) == ["a", "ä", "B2", "b9", "b10"]


def test_tables_with_cells_over_several_rows_sort_too(browser, tmp_path):
    index = pd.MultiIndex.from_product([[0, 1], ["negative", "positive"]], names=["frequency", "pole"])
    frame = pd.DataFrame({"terms": [3, 10, 2, 1]}, index=index)
    with opened(browser, written(tmp_path / "run", [as_table(frame)])) as page:
        buttons = page.locator("main table thead th button")
        assert buttons.all_inner_texts() == ["frequency", "pole", "terms"]  # in one row
        buttons.nth(2).click()
        rows = page.locator("main table tbody tr").all_inner_texts()
        assert [row.split() for row in rows] == [
            ["1", "positive", "1"],
            ["1", "negative", "2"],
            ["0", "negative", "3"],
            ["0", "positive", "10"],
        ]


def test_numbers_stand_to_the_right_and_text_to_the_left(browser, table_page):
    with opened(browser, table_page) as page:
        cells = page.locator("main table").first.locator("tbody tr").first.locator("td")
        alignment = [cell.evaluate("cell => getComputedStyle(cell).textAlign") for cell in cells.all()]
        assert alignment == ["left", "right", "right", "right"]


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


def test_wide_tables_scroll_in_their_own_box(browser, table_page):
    with opened(browser, table_page, PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.locator(".table").nth(1).evaluate("box => box.scrollWidth > box.clientWidth")
        assert page.locator(".figure").first.evaluate("box => box.scrollWidth > box.clientWidth")  # two panels


@pytest.fixture(scope="module")
def long_table_page(tmp_path_factory):
    """Page with a table as notebooks show it, of 20 rows."""
    frame = pd.DataFrame({"gene": [f'Gene "{i}", a' for i in range(20)], "p_value": np.linspace(0, 1, 20)})
    html = findings.table(frame.assign(called=frame["p_value"] > 0.9)).data
    return written(tmp_path_factory.mktemp("long") / "run", [new_output("display_data", data={"text/html": html})])


def test_rows_are_found_by_words_and_all_come_back(browser, long_table_page):
    with opened(browser, long_table_page) as page:
        box, rows = page.get_by_role("searchbox", name="Filter"), page.locator("main tbody tr:visible")
        box.fill("GENE yes")
        assert rows.count() == 2 and page.locator(".tools output").inner_text() == "2 of 20 rows"
        box.fill("")
        assert rows.count() == 20


def test_short_tables_have_no_filter(browser, table_page):
    with opened(browser, table_page) as page:
        assert page.get_by_role("button", name="Copy").count() == 1  # the other table has one row
        assert page.get_by_role("searchbox").count() == 0


def test_tables_are_copied_and_saved_as_they_are_shown(browser, long_table_page):
    with opened(browser, long_table_page) as page:
        page.get_by_role("searchbox").fill("yes")
        page.get_by_role("button", name="Copy").press("Enter")
        assert page.locator(".tools output").inner_text() == "Copied"
        page.locator("main").evaluate("main => main.append(document.createElement('textarea'))")
        page.locator("textarea").press("Control+V")
        lines = page.locator("textarea").input_value().splitlines()
        assert lines[0] == "gene\tp\tcalled" and len(lines) == 3
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV").click()
        assert download.value.suggested_filename == "Page.csv"
        saved = pd.read_csv(download.value.path())
        assert saved["gene"].tolist() == ['Gene "18", a', 'Gene "19", a'] and saved["called"].tolist() == ["yes", "yes"]


def test_tables_say_what_headings_mean_and_can_be_reached_by_keys(browser, long_table_page):
    with opened(browser, long_table_page) as page:
        heading = page.locator("main .sort").nth(1)
        assert heading.get_attribute("title").startswith("Probability") and heading.inner_text() == "p"
        region = page.get_by_role("region", name="Table: Page")
        region.focus()
        assert region.evaluate("box => box === document.activeElement")
        heading.click()
        first = page.locator("main tbody tr td:nth-child(2)").first
        assert first.inner_text() == "< 1e-15"  # is a number, and the smallest


def test_keys_lead_past_what_all_pages_have_and_through_the_contents(browser, tmp_path):
    heading = new_output("display_data", data={"text/markdown": "## A part"})
    with opened(browser, written(tmp_path / "run", [heading, *[as_table(pd.DataFrame({"a": range(50)}))] * 2])) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the text"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        contents = page.locator(".contents")
        assert contents.bounding_box()["y"] == pytest.approx(0, abs=1)
        contents.locator("summary").press("Enter")
        assert contents.get_attribute("open") is not None
        contents.locator("summary").press("Escape")
        assert contents.get_attribute("open") is None


def test_pages_can_be_read_by_weak_eyes(browser, long_table_page, small_run):
    for path in [long_table_page, *(small_run.path(f"{stem}.html") for stem in number_of_figures(small_run))]:
        for scheme in ("light", "dark"):
            with opened(browser, path, LAPTOP, scheme) as page:
                assert page.evaluate(FAINT) == [], path.name


def test_tables_fit_a_laptop_and_paper(browser, small_run):
    """On paper all rows are there, with a caption, and no buttons."""
    for stem in number_of_figures(small_run):
        with opened(browser, small_run.path(f"{stem}.html"), LAPTOP) as page:
            assert page.evaluate(CUT) == []
            page.set_viewport_size(PAPER)
            page.emulate_media(media="print")
            assert page.evaluate(CUT) == [] and page.locator(":is(.tools, .contents):visible").count() == 0
            for table in page.locator("main table:visible").all():
                box = table.evaluate_handle("table => table.closest('.table')")
                assert box.evaluate("box => box.scrollHeight <= box.clientHeight + 1")
                assert table.locator("caption").bounding_box()["height"] > 5


@pytest.mark.paul15
def test_pages_of_paul15_are_small_and_hold_few_elements(browser, paul15_run):
    sizes = sizes_of(paul15_run)
    assert sum(sizes.values()) < MAX_BYTES and max(sizes.values()) < MAX_BYTES_OF_PAGE
    del sizes[paul15_run.path(pages.PLOTLY)]
    largest = max(sizes, key=sizes.get)
    expected = number_of_figures(paul15_run)[largest.stem]
    with opened(browser, largest) as page:
        assert page.evaluate("window.figuresDrawn") == expected > 0
        assert page.evaluate(EMPTY) == []
        assert page.evaluate("document.querySelectorAll('*').length") < MAX_ELEMENTS


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


def saved(page, button):
    """What a button saves, and under which name."""
    with page.expect_download() as started:
        button.press("Enter")
    return started.value.suggested_filename, pathlib.Path(started.value.path()).read_bytes()


def test_figures_are_saved_by_key_as_pictures_and_as_data(browser, tmp_path):
    xy = np.random.default_rng(0).normal(size=(6, 2))
    labels = pd.Series(["a, b", "=c", None] * 2, index=[f"AAC-{cell}" for cell in range(6)]).astype("category")
    heat = go.Figure(go.Heatmap(z=[[1.5, 2], [3, 4]], x=["g", "h"], y=["k", "l"]))
    drawn = [as_output(figures.label_scatter(xy, labels, "Cells by type")), as_output(heat)]
    with opened(browser, written(tmp_path / "my run", drawn)) as page:
        buttons = [row.locator("button").all() for row in page.locator(".exports").all()]
        assert [[button.inner_text() for button in row] for row in buttons] == [["SVG", "PNG", "CSV"]] * 2
        (svg_name, svg), (png_name, png), (csv_name, csv) = (saved(page, button) for button in buttons[0])
        assert [svg_name, png_name, csv_name] == [f"my_run_Cells_by_type.{kind}" for kind in ("svg", "png", "csv")]
        assert svg.startswith(b"<svg") and b"UMAP 1" in svg and png.startswith(b"\x89PNG")
        table = pd.read_csv(io.BytesIO(csv))
        assert list(table["series"]) == ["'=c"] * 2 + ["a, b"] * 2 + ["not labelled"] * 2  # no formula of a spreadsheet
        assert set(table["hovertext"]) == {f"cell AAC-{cell}" for cell in range(6)}
        np.testing.assert_allclose(sorted(table["x (UMAP 1)"]), sorted(xy[:, 0]), rtol=1e-5)
        _, csv = saved(page, buttons[1][2])
        assert list(pd.read_csv(io.BytesIO(csv))["value"]) == [1.5, 2, 3, 4]


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
        colour.select_option("Gata1")
        np.testing.assert_allclose(page.evaluate(f"{trace}.customdata"), value, atol=0.02)
        name, csv = saved(page, page.get_by_role("button", name="Save as CSV"))
        table = pd.read_csv(io.BytesIO(csv))
        assert name.endswith("Gata1.csv") and set(table["series"]) == {"Gata1"}
        np.testing.assert_allclose(table["value"], value, atol=0.02)
        np.testing.assert_allclose(table.filter(like="x (").iloc[:, 0], 2 * xy[:, 0], rtol=1e-5)
