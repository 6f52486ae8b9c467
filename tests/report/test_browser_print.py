"""Pages on paper, as the browser prints them: whole, with captions and headings; afterwards, the screen as before."""

import pytest

from tests.report.browsing import LAPTOP, PAPER, opened

# what would be missing on paper: elements whose content is larger than they are, and figures beyond the page's edge
MISSING = """[...document.querySelectorAll("main, main *:not(svg *)")]
  .filter((element) => element.checkVisibility() && !element.closest(".js-plotly-plot, [aria-hidden]"))
  .filter((element) => getComputedStyle(element).overflow !== "visible" &&
    (element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1))
  .map((element) => element.outerHTML.slice(0, 80))
  .concat([...document.querySelectorAll(".plotly-graph-div .main-svg")]
    .filter((drawing) => drawing.getBoundingClientRect().right > innerWidth)
    .map((drawing) => drawing.closest(".plotly-graph-div").dataset.name))"""
TABLES = """[...document.querySelectorAll("main table")].map((table) => ({
  caption: table.caption.getBoundingClientRect().height,
  hidden: [...table.tBodies[0].rows].filter((row) => !row.hidden && !row.checkVisibility()).length,
  boxed: [...table.querySelectorAll("thead button")].filter((button) => button.getClientRects().length).length,
}))"""
OPEN = "document.querySelectorAll('main details[open]').length"
DRAWN = "document.querySelector('.main-svg').clientWidth"


@pytest.mark.parametrize("stem", ["index", "frequency_0", "04_interpret"])
def test_pages_are_printed_whole(browser, small_run, stem):
    with opened(browser, small_run.path(f"{stem}.html"), LAPTOP, "dark") as page:
        before = page.evaluate(f"[{OPEN}, {DRAWN}]")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.set_viewport_size(PAPER)
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
        assert page.evaluate(MISSING) == []
        assert page.locator("main details:not([open])").count() == 0
        tables = page.evaluate(TABLES)
        assert tables or stem == "frequency_0"  # which has none where no term is found
        for table in tables:
            assert table["caption"] > 5 and table["hidden"] == 0
            assert table["boxed"] == 0  # what is in a box is missing where headings are repeated
        page.emulate_media(media="screen")
        page.set_viewport_size(LAPTOP)
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.evaluate("window.figuresDrawn")
        # figures follow the window's width a moment later
        page.wait_for_function(f"(before) => `${{[{OPEN}, {DRAWN}]}}` === `${{before}}`", arg=before)
        assert page.pdf(format="A4").count(b"/Type /Page\n") > 1
