"""A run: its folder and ledger, the chain of notebooks that fills it, settings and pages. Knows no science.

`chain`, `page_figures`, `pages` and `settings` are modules of their own at this door: what they import takes a moment.
"""

from typing import TYPE_CHECKING

from scripts.report.files import write_cells, write_table
from scripts.report.run import MAKERS, NOTHING, Run, open_run

if TYPE_CHECKING:
    from scripts.report import chain, page_figures, pages, settings

__all__ = [
    "MAKERS",
    "NOTHING",
    "Run",
    "chain",
    "open_run",
    "page_figures",
    "pages",
    "settings",
    "write_cells",
    "write_table",
]
