"""Pages as a browser shows them: headless Chromium, from disk, with the network blocked.

Skipped where there is no Chromium (on PATH, or named by BMLP_CHROMIUM), unless BMLP_REQUIRE_BROWSER is set.
Screenshots are kept in reports/.screenshots.
"""

import contextlib
import json
import os
import pathlib
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import sync_playwright

from scripts import figures, findings, story
from scripts.report import pages
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
MAX_SECONDS = 3  # of the processor, until a page of Paul15 is drawn


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


def seconds_to_draw(browser, path):
    """Time that the page's thread spends on the processor until all figures are drawn, whatever else runs."""
    with contextlib.closing(browser.new_context(viewport=DESK, offline=True)) as context:
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        session = context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent():
            metrics = session.send("Performance.getMetrics")["metrics"]
            return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

        before = spent()
        page.goto(path.resolve().as_uri())
        page.evaluate("window.figuresDrawn")
        return spent() - before


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


@pytest.fixture(scope="module")
def long_table_page(tmp_path_factory):
    """Page with a table as notebooks show it, of 20 rows."""
    frame = pd.DataFrame({"gene": [f'Gene "{i}", a' for i in range(20)], "p_value": np.linspace(0, 1, 20)})
    html = findings.table(frame.assign(called=frame["p_value"] > 0.9)).data
    return written(tmp_path_factory.mktemp("long") / "run", [new_output("display_data", data={"text/html": html})])


def saved(page, button):
    """What a button saves, and under which name."""
    with page.expect_download() as started:
        button.press("Enter")
    return started.value.suggested_filename, pathlib.Path(started.value.path()).read_bytes()
