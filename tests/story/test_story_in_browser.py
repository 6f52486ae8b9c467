"""The index and the frequencies' pages as a browser shows them."""

import pytest

from scripts import __main__
from tests.report.test_browser import DESK, EMPTY, FROM_DATA, PHONE, browser, figures_of, keep, opened
from tests.story.runs import TYPES, filled

__all__ = ["browser"]  # the fixture
NAMES = ["index", "frequency_0", "frequency_1"]
SHOWN = "document.querySelector('.js-plotly-plot')._fullData[0].marker.color[0]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = filled(tmp_path_factory.mktemp("browser") / "mine")
    assert __main__.main(["pages", str(run.folder)]) == 0
    return run


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone"])
def test_pages_of_the_story_open_offline_and_show_names_as_text(browser, run, size, scheme):
    for name in NAMES:
        with opened(browser, run.path(f"{name}.html"), size, scheme) as page:
            assert page.evaluate("window.figuresDrawn") == figures_of(run.path(f"{name}.html")) > 0
            assert page.evaluate(EMPTY) == [] and page.locator(FROM_DATA).count() == 0
            assert page.evaluate("typeof window.hostile") == "undefined"
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
            keep(page, f"story-{name}-{size['width']}-{scheme}")


def test_the_map_is_coloured_by_what_its_box_names_also_in_another_theme(browser, run):
    with opened(browser, run.path("index.html")) as page:
        box = page.get_by_label("Colour by")
        groups = box.locator("optgroup").evaluate_all("all => all.map((group) => group.label)")
        assert groups == ["Type", "Frequency", "Covariate", "Gene"]
        assert page.evaluate(SHOWN).startswith("#")
        assert TYPES[0] in page.locator(".js-plotly-plot").text_content()  # its name, among its cells
        box.select_option(label="frequency 0")
        page.wait_for_function(f"typeof {SHOWN} === 'number'")
        first = page.evaluate(SHOWN)
        assert -100 <= first < 0 and TYPES[0] not in page.locator(".js-plotly-plot").text_content()
        page.get_by_role("button", name="Dark").click()
        assert page.evaluate(f"window.figuresDrawn.then(() => {SHOWN})") == first
        box.select_option(label="total counts")
        page.wait_for_function(f"{SHOWN} !== {first}")
        assert 0 <= page.evaluate(SHOWN) <= 100
