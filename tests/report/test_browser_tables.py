"""Tables of pages as a browser shows them, as `browsing` opens it."""

import pandas as pd
import pytest
from nbformat.v4 import new_output

from tests.report.browsing import CUT, LAPTOP, PAPER, PHONE, as_table, column, number_of_figures, opened, written


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


def test_wide_tables_scroll_in_their_own_box(browser, table_page):
    with opened(browser, table_page, PHONE) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        assert page.locator(".table").nth(1).evaluate("box => box.scrollWidth > box.clientWidth")
        assert page.locator(".figure").first.evaluate("box => box.scrollWidth > box.clientWidth")  # two panels


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
