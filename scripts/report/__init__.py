"""A run: its folder, the chain of notebooks that fills it, settings and pages. Knows no science.

`chain`, `kernel` and `pages` are modules of their own at this door: what they import takes seconds.
"""

from scripts.report.run import Run

__all__ = ["Run", "chain", "kernel", "pages"]
