"""Words for figures: their title as text, and a description for readers who cannot see them."""

from __future__ import annotations

import re
from html import unescape

PLOTLY_TAG = re.compile(r"</?(?:a|b|br|em|i|span|sub|sup|u)\b[^<>]*>")  # the tags plotly understands in its texts
KINDS = {
    "bar": "Bar chart",
    "heatmap": "Heat map",
    "histogram": "Histogram",
    "box": "Box plot",
    "violin": "Violin plot",
}
MAX_NAMES = 20  # panels or series that a description names


def title(holder: dict) -> str:
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
    parts = [title(layout) or "Figure", *dict.fromkeys(map(_kind, traces))]
    if panels > 1:
        parts.append(f"{panels} panels: " + _listed(_plain(note.get("text")) for note in layout.get("annotations", [])))
    for axis, direction in [("xaxis", "Horizontal"), ("yaxis", "Vertical")]:
        parts += [f"{direction}: {name}" for name in [title(layout.get(axis, {}))] if name]
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
