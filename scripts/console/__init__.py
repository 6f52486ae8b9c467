"""What a terminal shows: how far work is, and tables; plain lines where no terminal reads them."""

from scripts.console.progress import Progress, say
from scripts.console.tables import heading, is_terminal, text_table

__all__ = ["Progress", "heading", "is_terminal", "say", "text_table"]
