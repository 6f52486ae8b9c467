"""Plotly figures as HTML: a caption, a description, and the figure's JSON, small, which the page's script draws."""

from __future__ import annotations

import base64
import json
import re
from html import escape, unescape

import numpy as np

from scripts.report import thumbnails

DIGITS = 6  # significant digits of numbers: more than a screen can show
HEIGHT, TOP, BOTTOM = 450, 100, 80  # pixels of a figure and its margins where it names none: plotly's defaults
LONG_NAME, MAX_TITLE = 24, 30  # characters of a name on an axis, and of a panel's title in letters of full size
PLOTLY_TAG = re.compile(r"</?(?:a|b|br|em|i|span|sub|sup|u)\b[^<>]*>")  # the tags plotly understands in its texts
KINDS = {
    "bar": "Bar chart",
    "heatmap": "Heat map",
    "histogram": "Histogram",
    "box": "Box plot",
    "violin": "Violin plot",
}
MAX_NAMES = 20  # panels or series that a description names


def figure_html(figure: dict, number: int) -> str:
    """Caption and place of one figure, and its JSON, which the page's script draws.

    Parameters
    ----------
    figure : dict
        `data` and `layout` of a plotly figure.
    number : int
        Makes its id unique in the page.
    """
    layout = dict(figure.get("layout", {}))
    caption = plain_title(layout)
    # The title stands above the figure as text, which can be wrapped and copied; its room goes with it.
    layout.pop("title", None)
    layout["annotations"] = _panel_titles(layout.get("annotations", []))
    margin = layout.get("margin", {})
    top = 40 if layout.get("annotations") else 20  # titles of panels
    bottom = min(margin.get("b", BOTTOM), 60)
    saved = margin.get("t", TOP) - top + margin.get("b", BOTTOM) - bottom
    layout["height"] = height = int(layout.get("height") or HEIGHT) - saved
    layout["margin"] = margin | {"t": top, "b": bottom}
    width = f";max-width:{int(layout.pop('width'))}px" if layout.get("width") else ""
    drawn = json.dumps(compact({"data": figure.get("data", []), "layout": layout}), ensure_ascii=False)
    drawn = drawn.replace("<", r"\u003c")  # no text of it can end the script element
    words = escape(describe(figure))
    shown = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="figure{_breadth(figure)}">{shown}'
        f'<div class="plotly-graph-div" id="figure-{number}" role="img" aria-label="{words}" '
        f'data-name="{escape(caption)}" style="height:{height}px{width}"></div>'
        f'<script type="application/json">{drawn}</script></figure>'
    )


def _panel_titles(notes: list[dict]) -> list[dict]:
    """Annotations, with titles of panels in letters so small that neighbours do not meet."""
    titles = [note for note in notes if note.get("xref") == note.get("yref") == "paper"]
    longest = max((len(str(note.get("text", ""))) for note in titles), default=0)
    font = {"size": 13 if longest <= MAX_TITLE else 11}
    return [note | {"font": note.get("font", {}) | font} if note in titles else note for note in notes]


def _breadth(figure: dict) -> str:
    """Class of a figure that needs room: a phone scrolls it in its own box rather than squeezing it."""
    layout, traces = figure.get("layout", {}), figure.get("data", [])
    columns = {str(axis.get("domain")) for name, axis in layout.items() if name.startswith("xaxis")}
    if len(columns) > 1:
        return f" columns-{min(len(columns), 3)}"
    names = [layout.get("yaxis", {}).get("ticktext"), *(trace.get("y") for trace in traces)]
    longest = max((len(str(name)) for each in names if isinstance(each, list) for name in each), default=0)
    return " wide" if longest > LONG_NAME or any(trace.get("type") == "heatmap" for trace in traces) else ""


def compact(value: object) -> object:
    """Figure, or a part of one, as the page needs it: numbers rounded to what can be seen, arrays in single precision.

    Parameters
    ----------
    value : dict, list, float or other
        A part of a figure as JSON knows it. Whole numbers stay exact.
    """
    if isinstance(value, dict):
        if value.get("dtype") == "f8" and "bdata" in value:
            return _single_precision(value)
        return {key: compact(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [compact(entry) for entry in value]
    if isinstance(value, str):
        return value.replace("&quot;", '"')  # an escape that plotly does not undo
    if isinstance(value, float) and not value.is_integer():
        return float(f"{value:.{DIGITS}g}")
    return value


def _single_precision(array: dict) -> dict:
    numbers = thumbnails.values(array).ravel()
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    if len(sizes) and not (sizes.min() > 1e-30 and sizes.max() < 1e30):
        return array  # beyond what single precision holds
    return array | {"dtype": "f4", "bdata": base64.b64encode(numbers.astype("<f4").tobytes()).decode()}


def plain_title(holder: dict) -> str:
    """Title of a layout or of an axis as plain text, its subtitle behind it; empty where there is none."""
    found = holder.get("title") or {}
    if not isinstance(found, dict):
        return _plain(found)
    return ". ".join(filter(None, [_plain(found.get("text")), _plain((found.get("subtitle") or {}).get("text"))]))


def describe(figure: dict) -> str:
    """What a figure shows: its title, kinds, panels, axes and series.

    Parameters
    ----------
    figure : dict
        `data` and `layout` of a plotly figure.
    """
    layout, traces = figure.get("layout", {}), figure.get("data", [])
    panels = len({(trace.get("xaxis", "x"), trace.get("yaxis", "y")) for trace in traces})
    parts = [plain_title(layout) or "Figure", *dict.fromkeys(map(_kind, traces))]
    if panels > 1:
        parts.append(f"{panels} panels: " + _listed(_plain(note.get("text")) for note in layout.get("annotations", [])))
    for axis, direction in [("xaxis", "Horizontal"), ("yaxis", "Vertical")]:
        parts += [f"{direction}: {name}" for name in [plain_title(layout.get(axis, {}))] if name]
    series = dict.fromkeys(_plain(trace["name"]) for trace in traces if trace.get("name"))
    parts += [f"Series: {_listed(series)}"] if panels == 1 and len(series) > 1 else []
    return ". ".join(part.removesuffix(": ") for part in parts)


def _plain(text: object) -> str:
    """Text without the tags that plotly understands, its escapes undone."""
    return unescape(" ".join(PLOTLY_TAG.sub(" ", str(text or "")).split()))


def _kind(trace: dict) -> str:
    kind = trace.get("type", "scatter")
    if kind in ("scatter", "scattergl"):
        return "Scatter plot" if trace.get("mode") == "markers" else "Line chart"
    return KINDS.get(kind, kind.capitalize())


def _listed(names) -> str:
    names = list(names)
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
