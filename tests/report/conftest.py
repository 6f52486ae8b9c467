from tests.report.browsing import browser, long_table_page, table_page

__all__ = ["browser", "long_table_page", "table_page"]  # fixtures of the tests of this folder
