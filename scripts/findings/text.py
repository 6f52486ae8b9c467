"""How sentences and tables reach a page: what they say is text, whatever the data are called."""

import functools
import re
from collections.abc import Mapping
from html import escape, unescape
from pathlib import Path

import pandas as pd
from IPython.display import HTML, Markdown, display

from scripts.errors import one_line
from scripts.report import NOTHING

# what Markdown reads: letters anywhere, a _ that is not within a word, marks at the start of a line, and addresses
MARKDOWN = re.compile(r"[\\`*\[\]<&~$|]|(?<![^\W_])_|_(?![^\W_])|^[#+=>-]|^\d+[.)]|\bhttps?:|\bwww\.|@")
P_VALUES = ("p_value", "adjusted_p", "q_value", "fdr", "rbo_p_value")
LEAST_P = 1e-15  # below, a p-value says no more than that chance is ruled out
FIRST = ("called", "trusted", "significant")  # rows where this holds are shown first
GLOSSARY = Path(__file__).with_name("glossary.md")  # docs/glossary.md is a link to it


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


@functools.cache
def _glossary() -> dict[str, tuple[str, str]]:
    """Heading and meaning of columns, by their names in files."""
    rows = re.findall(r"^\| (.+) \| (`.+`) \| (.+) \|$", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)
    return {column.strip("`"): (term, meaning) for term, column, meaning in rows}


def heading(column: object) -> tuple[str, str]:
    """Words for the name of a column, and what it means: from the glossary; the name itself, and nothing, beyond it."""
    known, name = _glossary(), str(column)
    stem, _, ending = name.rpartition("_")
    if name not in known and stem in known:
        term, meaning = known[stem]
        if ending == "sd":
            return f"{term}, SD", f"Standard deviation. {meaning}"
        if ending.isdecimal():
            return f"{term} {ending}", meaning
    return known.get(name, (name, ""))


def table(frame: pd.DataFrame, digits: int = 3, shuffles: Mapping[str, int] | None = None) -> HTML:
    """A table as print has it: all rows, words for columns and truth, numbers in short, no p-value of 0.

    Headings are those of the glossary, which also says what they mean. Rows that are called, trusted or significant
    stand first. A line if there are no rows. Nothing of pandas' own options is used or changed: what one notebook shows
    does not hang on another.

    Parameters
    ----------
    frame : DataFrame
    digits : int
        Significant digits; whole numbers stay whole.
    shuffles : {column: number}, optional
        Of how many shuffles a column's p-values are: they cannot be smaller than one of these and the data themselves.
    """
    if not len(frame):
        return HTML(NOTHING)
    shuffles = shuffles or {}
    is_indexed = any(name is not None for name in frame.index.names) or not isinstance(frame.index, pd.RangeIndex)
    shown = _in_words(_surest_first(frame), digits, shuffles)
    if shown.index.nlevels > 1:
        shown.index = pd.MultiIndex.from_frame(_in_words(shown.index.to_frame(), digits, shuffles))
    of_shuffles = {name: f"{heading(name)[0]} ({number:,} shuffles)" for name, number in shuffles.items()}

    def words(name: object) -> object:
        return of_shuffles.get(name, heading(name)[0]) if isinstance(name, str) else name

    names = [name for axis in (frame.index.names, frame.columns.names) for name in axis]
    names += [name for level in range(frame.columns.nlevels) for name in frame.columns.get_level_values(level)]
    meanings = {str(words(name)): heading(name)[1] for name in names if isinstance(name, str)}
    shown = shown.rename(columns=words).rename_axis(index=words, columns=words)
    with pd.option_context("display.max_colwidth", None):  # and no TeX: a gene may be called $x$
        html = shown.to_html(max_rows=None, escape=True, index=is_indexed, na_rep="", classes="mathjax_ignore")
    head, end, body = html.partition("</thead>")
    return HTML(re.sub(r"<th([^>]*)>([^<]+)</th>", functools.partial(_explained, meanings), head) + end + body)


def _surest_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that are called, trusted or significant before the others, each part in its own order."""
    by = next((name for name in FIRST if name in frame.columns), None)
    if by is None or frame.columns.nlevels > 1:
        return frame
    return frame.sort_values(by, ascending=False, kind="stable")


def _in_words(frame: pd.DataFrame, digits: int, shuffles: Mapping[str, int]) -> pd.DataFrame:
    """Texts in place of numbers with decimals and of true and false."""
    shown = frame.copy()
    for place, name in enumerate(frame.columns):
        values, own = frame.iloc[:, place], name[0] if isinstance(name, tuple) else name
        if pd.api.types.infer_dtype(values, skipna=True) == "boolean":
            texts = ["" if pd.isna(value) else "yes" if value else "no" for value in values]
        elif pd.api.types.is_float_dtype(values.dtype):
            texts = [_number(value, digits) for value in values]
            if own in shuffles:
                texts = [
                    _at_least(value, 1 / (1 + shuffles[own]), text) for value, text in zip(values, texts, strict=True)
                ]
            elif own in P_VALUES:
                texts = [
                    f"< {LEAST_P:g}" if value < LEAST_P else text for value, text in zip(values, texts, strict=True)
                ]
        else:
            continue
        shown.isetitem(place, pd.Series(texts, index=frame.index, dtype=object))
    return shown


def _at_least(value: float, least: float, text: str) -> str:
    return f"≤ {least:.2g}" if value <= least * (1 + 1e-9) else text


def _number(value: float, digits: int) -> str:
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def _explained(meanings: Mapping[str, str], found: re.Match) -> str:
    """A heading's element with its meaning, where that is known."""
    meaning = meanings.get(unescape(found[2]))
    return f'<th{found[1]} title="{escape(meaning)}">{found[2]}</th>' if meaning else found[0]
