"""The index and the frequencies' pages as a browser shows them."""

import shutil
from urllib.parse import unquote

import pytest

from scripts import __main__
from scripts.errors import printable
from scripts.report import Run
from scripts.story import single_file
from tests.report.browsing import DESK, EMPTY, FROM_DATA, PHONE, browser, figures_of, keep, opened
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


@pytest.fixture(scope="module")
def alone(small_run, tmp_path_factory):
    """The whole report of a run as one file, where no other file is."""
    folder = tmp_path_factory.mktemp("whole") / "small"
    shutil.copytree(small_run.folder, folder)
    assert __main__.main(["pages", "--single-file", str(folder)]) == 0
    return shutil.move(folder / single_file(Run(folder)), folder.parent / "sent.html")


def test_the_whole_report_opens_alone_and_its_links_stay_within_it(browser, alone):
    assert alone.stat().st_size < 10e6
    with opened(browser, alone) as page:
        names = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
        assert len(names) == len(set(names))
        links = page.evaluate("[...document.querySelectorAll('a[href]')].map((link) => link.getAttribute('href'))")
        assert links and {unquote(link.removeprefix("#")) for link in links if link.startswith("#")} <= set(names)
        assert all(link.startswith(("#", "https://")) for link in links)
        assert page.locator("main article").count() == len(page.locator(".steps").first.locator("a").all())
        assert page.evaluate("document.documentElement.scrollWidth") <= DESK["width"]


def test_figures_of_the_whole_report_are_drawn_when_they_are_seen_and_printed_all(browser, alone):
    with opened(browser, alone) as page:
        n_figures, last = page.locator(".plotly-graph-div").count(), page.locator(".plotly-graph-div").last
        assert page.locator(".js-plotly-plot").count() < n_figures / 2
        last.scroll_into_view_if_needed()
        page.locator("article").last.locator(".js-plotly-plot").last.wait_for()
        page.wait_for_function("[...document.querySelectorAll('.plotly-graph-div')].at(-1).data")
        assert page.evaluate(EMPTY) == []
        page.get_by_role("button", name="Show code").click()
        assert page.locator("pre.code").last.is_visible()
        page.get_by_role("link", name="02 visualize").first.click()
        second = page.locator("[id='02_visualize']")
        assert 0 <= second.bounding_box()["y"] < DESK["height"]  # the link leads there
        second.locator(".plotly-graph-div").first.scroll_into_view_if_needed()
        second.locator(".js-plotly-plot").first.wait_for()
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator(".js-plotly-plot").count() == n_figures


def test_a_run_named_as_one_of_its_pages_has_no_single_file(tmp_path, capsys):
    filled(tmp_path / "frequency_0")
    assert __main__.main(["pages", "--single-file", str(tmp_path / "frequency_0")]) == 2
    assert "give the run another name" in capsys.readouterr().err


def test_names_do_no_harm_in_the_whole_report_and_it_is_as_new_as_the_pages(browser, run, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(run.folder, folder)
    assert __main__.main(["pages", "--single-file", str(folder)]) == 0
    whole = folder / "mine.html"
    with opened(browser, whole) as page:
        assert page.locator(FROM_DATA).count() == 0 and page.evaluate("typeof window.hostile") == "undefined"
        said = page.locator("[id='frequency_0'] .main").inner_text()
    with opened(browser, folder / "frequency_0.html") as page:
        assert printable(said).split()[:60] == page.locator("main").inner_text().split()[:60]
    whole.write_text("of a former state", encoding="utf-8")
    assert __main__.main(["pages", str(folder)]) == 0
    assert "mine" in whole.read_text(encoding="utf-8")
