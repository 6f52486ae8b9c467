"""How far work is, on stderr: running lines on a terminal; elsewhere one as a part begins, and one at its end.

rich is imported where a terminal shows it: logs do not wait for it.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from scripts.console.tables import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress as Display


class Progress:
    """Lines of parts of the work, several at once where they are done side by side.

    A context manager: the running lines are gone at its end, and those of what was done stay.
    """

    def __init__(self):
        self._display: Display | None = None

    def __enter__(self) -> Progress:
        if is_terminal(sys.stderr):
            self._display = _display()
            self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            with contextlib.suppress(BrokenPipeError, ValueError):
                self._display.stop()
            self._display = None

    @contextlib.contextmanager
    def line(self, label: str, n_cells: int = 0, seconds: float | None = None) -> Iterator[Callable[[], None]]:
        """Show a part from its beginning to its end, `label ... 41 s`; gives a function to call after each cell.

        n_cells : how many cells it has; 0 where it is done in one.
        seconds : how long it took last time, if that is known.
        """
        begin, display = time.monotonic(), self._display
        shown = None if display is None else display.add_task(label, total=n_cells or None, seconds=seconds)
        if display is None and n_cells:
            cells = "1 cell" if n_cells == 1 else f"{n_cells} cells"
            say(f"{label} ... begun: {cells}{f', about {seconds:.0f} s' if seconds and seconds >= 1 else ''}\n")
        try:
            yield lambda: None if display is None or shown is None else display.advance(shown)
        finally:
            done = f"{label} ... {time.monotonic() - begin:.0f} s"
            if display is not None and shown is not None:
                display.remove_task(shown)
                with contextlib.suppress(BrokenPipeError, ValueError):  # as in `say`
                    display.console.print(done, markup=False, highlight=False)
            else:
                say(f"{done}\n")


def _display() -> Display:
    """Running lines: label, cells done, time since the beginning, and what is left of what it took last time."""
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as Display
    from rich.text import Text

    class Cells(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.completed:.0f}/{task.total:.0f} cells" if task.total else "", style="progress.download")

    class Times(ProgressColumn):
        def render(self, task: Task) -> Text:
            elapsed, usual = task.elapsed or 0, task.fields["seconds"] or 0
            left = f", about {usual - elapsed:.0f} s left" if usual >= elapsed + 1 else ""
            return Text(f"{elapsed:.0f} s{left}", style="progress.elapsed")

    label = TextColumn("{task.description}", markup=False)
    console = Console(file=sys.stderr)
    return Display(
        label,
        BarColumn(20),
        Cells(),
        Times(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def say(text: str) -> None:
    """Write on stderr whole: lines of two threads do not mix. Whoever has closed stderr wants to hear nothing."""
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
