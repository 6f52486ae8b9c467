"""Several runs: made by lists of settings, and held against each other."""

from scripts.runs.comparison import as_text, compare, write
from scripts.runs.sweep import execute_sweep, plan_sweep

__all__ = ["as_text", "compare", "execute_sweep", "plan_sweep", "write"]
