"""Errors that a user can mend. Every other exception is a fault of the program, and keeps its traceback."""


class InputError(ValueError):
    """A wrong setting, file or data set; the message is one line that names the thing, the cause and the remedy."""


class MissingError(InputError, FileNotFoundError):
    """A file that is needed is not there."""

    __str__ = ValueError.__str__


class OfflineError(InputError, ConnectionError):
    """Something that lies on the web cannot be had."""

    __str__ = ValueError.__str__


class NotebookFailed(Exception):
    """A notebook of the chain stopped, or what it made could not be kept; the message is one line."""


def one_line(error: object) -> str:
    """Message of an error without its line breaks and control characters, which a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(str(error).split()))
