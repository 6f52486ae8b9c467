"""Tables as text, as wide as the terminal, or in full where none reads them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from scripts.errors import one_line

IN_FULL = 1000  # columns of a table that no terminal has to show


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at a stream, in a terminal that can do more than write one line after the other."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def heading(text: str) -> str:
    """A line above a table."""
    return f"\n{one_line(text)}"


def text_table(columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[str] = ()) -> str:
    """A table as text for stdout.

    Parameters
    ----------
    columns : sequence of str
        Their headings.
    rows : iterable of sequences
        Of texts, which may hold whatever names of files, genes and settings hold.
    numbers : sequence of str
        Columns that are turned to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(one_line(column)), justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(value)) for value in row))  # as Text: square brackets are no markup
    seen = is_terminal(sys.stdout)
    width = shutil.get_terminal_size().columns if seen else IN_FULL
    console = Console(file=sys.stdout, width=width, force_terminal=seen)
    with console.capture() as written:
        console.print(table)
    return "\n".join(line.rstrip() for line in written.get().splitlines())
