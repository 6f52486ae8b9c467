"""Tables of a run as CSV files, which spreadsheets may open, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

TEXT_COLUMNS = ["gene", "gene_i", "gene_j", "term"]  # stay text even where every name is a number
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # how texts begin that a spreadsheet computes
MARK = "'"  # before a text: it is none to be computed


def write(table: pd.DataFrame, path: Path, is_marked: bool) -> None:
    """Write a table without its index.

    is_marked : whether texts that begin as a formula, or with the mark itself, get a mark; numbers never do.
    """
    end = None
    if is_marked:
        starts, end = (*FORMULA, MARK), "\r\n"  # as spreadsheets end lines: a text with either of them stands in quotes
        table = _change_texts(table, lambda text: MARK + text if text.startswith(starts) else text)
    table.to_csv(path, index=False, lineterminator=end)


def read(path: Path, is_marked: bool) -> pd.DataFrame:
    """Read a table as it was before it was written: equal numbers, and a gene called NA is no missing value."""
    import pandas as pd

    text = dict.fromkeys(TEXT_COLUMNS, str)
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""], float_precision="round_trip")
    return _change_texts(table, lambda text: text.removeprefix(MARK)) if is_marked else table


def _change_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    changed = table.copy()
    for name in table.select_dtypes(exclude=["number", "bool"]):
        changed[name] = [change(value) if isinstance(value, str) else value for value in table[name]]
    return changed
