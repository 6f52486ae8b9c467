"""Pages can be used by all: with a keyboard, a screen reader, weak eyes."""

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.base import AXE_SCRIPT

from scripts import figures
from tests import chain_runs
from tests.report.browsing import LAPTOP, as_output, number_of_figures, opened, written

# style sheets are judged as the browser has them: axe would ask for their files
FAULTS = """axe.run({ preload: false }).then(({ violations }) => violations
  .filter((fault) => ["serious", "critical"].includes(fault.impact))
  .map((fault) => [fault.id, ...fault.nodes.map((node) => node.html.slice(0, 120))]))"""
CONTRAST = (chain_runs.ROOT / "tests" / "report" / "contrast.js").read_text(encoding="utf-8")
SCHEMES = ["light", "dark"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_no_serious_fault(browser, small_run, scheme):
    largest = max(small_run.folder.glob("[0-9]*.html"), key=lambda path: path.stat().st_size)
    for path in [small_run.path("index.html"), small_run.path("frequency_0.html"), largest]:
        with opened(browser, path, LAPTOP, scheme) as page:
            page.evaluate(AXE_SCRIPT)
            assert page.evaluate(FAULTS) == [], path.name


def too_faint(page):
    """Text of less than 4.5:1 to its ground, marks of figures of less than 3:1, and scales whose ends look alike.

    Returns what falls short, and how many labels a pointer was shown meanwhile.
    """
    page.evaluate(f"window.contrast = {CONTRAST}")
    labels = page.evaluate("contrast.point()")
    names = ["faintText", "faintMarks", "faintTextOfFigures", "equalEnds"]
    return {name: found for name in names if (found := page.evaluate(f"contrast.{name}()"))}, labels


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pages_can_be_read_by_weak_eyes(browser, long_table_page, small_run, scheme):
    labels = 0
    for path in [long_table_page, *(small_run.path(f"{stem}.html") for stem in number_of_figures(small_run))]:
        with opened(browser, path, LAPTOP, scheme) as page:
            found, shown = too_faint(page)
            assert found == {}, path.name
            labels += shown
    assert labels > 20


@pytest.mark.parametrize("scheme", SCHEMES)
def test_cells_without_a_label_and_many_types_can_be_seen(browser, tmp_path, scheme):
    xy = np.random.default_rng(0).normal(size=(60, 2))
    types = pd.Series([f"{number}Type" for number in range(19)] * 3 + [None] * 3).astype("category")
    age = pd.Series([1.0, 2.0, np.nan] * 20, name="age")
    drawn = [
        figures.label_scatter(xy, types, "Types"),
        figures.label_scatter(xy, age, "Ages"),
        figures.cell_map({"ours": xy}, {"Type": {"type": types}}, types),
    ]
    with opened(browser, written(tmp_path / "run", [*map(as_output, drawn)]), LAPTOP, scheme) as page:
        found, labels = too_faint(page)
        assert found == {} and labels > 10
