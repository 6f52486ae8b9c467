"""A run: its folder and ledger, the chain of notebooks that fills it, settings and pages. Knows no science.

`chain`, `pages` and `settings` are modules of their own at this door: what they import takes a moment.
"""

from scripts.report.run import Run, open_run

__all__ = ["Run", "chain", "open_run", "pages", "settings"]
