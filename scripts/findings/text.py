"""How sentences and tables reach a page: what they say is text, whatever the data are called."""

import re
from collections.abc import Mapping

import pandas as pd
from IPython.display import HTML, Markdown, display

from scripts.errors import one_line
from scripts.report import NOTHING

# what Markdown reads: letters anywhere, a _ that is not within a word, marks at the start of a line, and addresses
MARKDOWN = re.compile(r"[\\`*\[\]<&~$|]|(?<![^\W_])_|_(?![^\W_])|^[#+=>-]|^\d+[.)]|\bhttps?:|\bwww\.|@")
P_VALUES = ("p_value", "adjusted_p", "q_value", "fdr", "top_adjusted_p", "rbo_p_value")


def bullets(sentences: list[str]) -> str:
    """Sentences as a Markdown list, in which nothing else is Markdown: data may have any names."""
    return "\n".join(f"- {MARKDOWN.sub(_escaped, one_line(sentence))}" for sentence in sentences)


def _escaped(found: re.Match) -> str:
    return found[0][:-1] + "\\" + found[0][-1]


def say(*sentences: str | list[str]) -> None:
    """Show sentences, or lists of them, as one list."""
    flat = [sentence for each in sentences for sentence in ([each] if isinstance(each, str) else each)]
    if flat:
        display(Markdown(bullets(flat)))


def measured(value: float, form: str) -> str:
    """A number in a format of Python's, or that nothing could be judged."""
    return "not judged" if pd.isna(value) else format(value, form)


def table(frame: pd.DataFrame, digits: int = 3, least: Mapping[str, float] | None = None) -> HTML:
    """A table for reading: all rows, texts in full, numbers in short, no p-value of 0; a line if there are no rows.

    Nothing of pandas' own options is used or changed: what one notebook shows does not hang on another.

    Parameters
    ----------
    frame : DataFrame
    digits : int
        Significant digits; whole numbers stay whole.
    least : {column: value}, optional
        Smallest value that a p-value of the column could have, as one over the number of permutations.
    """
    if not len(frame):
        return HTML(NOTHING)
    shown = frame.copy()
    for place, name in enumerate(frame.columns):
        own = name if isinstance(name, str) else str(name[0])
        floor = (least or {}).get(own, 1e-300 if own in P_VALUES else None)
        if pd.api.types.is_float_dtype(frame.dtypes.iloc[place]):
            texts = [_number(value, digits, floor) for value in frame.iloc[:, place]]
            shown.isetitem(place, pd.Series(texts, index=frame.index, dtype=object))
    named = any(name is not None for name in frame.index.names)
    is_indexed = named or not isinstance(frame.index, pd.RangeIndex)
    with pd.option_context("display.max_colwidth", None):  # and no TeX: a gene may be called $x$
        html = shown.to_html(max_rows=None, escape=True, index=is_indexed, classes="mathjax_ignore")
    return HTML(html)


def _number(value: float, digits: int, floor: float | None) -> str:
    if pd.isna(value):
        return ""
    if floor is not None and value < floor:
        return f"< {floor:.2g}"
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
