"""Errors that a user can mend. Every other exception is a fault of the program, and keeps its traceback."""

import re

UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, which a terminal obeys, but tab and line feed
    "\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, and what is not seen
    "\ud800-\udfff\U000e0000-\U000e007f]"  # halves of letters, as of file names that are not UTF-8, and hidden text
)


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


def printable(text: str) -> str:
    """Text in which each letter that a terminal obeys, or a reader does not see, is replaced by one that is seen."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def one_line(value: object) -> str:
    """Text of a value, such as an error or a name, on one line that can be printed anywhere."""
    return printable(re.sub(r"\s*[\r\n]\s*|\t", " ", str(value)).strip())
