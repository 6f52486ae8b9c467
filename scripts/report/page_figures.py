"""Plotly figures in pages: packed for the page's script to draw, described in words, and as a thumbnail."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import io
import json
import re
from html import escape, unescape
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize, is_color_like, to_rgba_array
from matplotlib.figure import Figure  # pyplot, which keeps a state, is not needed
from PIL import Image
from plotly.colors import get_colorscale
from plotly.offline import get_plotlyjs

from scripts.errors import printable

DIGITS = 6  # significant digits of numbers: more than a screen can show
HEIGHT, TOP, BOTTOM = 450, 100, 80  # pixels of a figure and its margins where it names none: plotly's defaults
LONG_NAME, MAX_TITLE = 24, 30  # characters of a name on an axis, and of a panel's title in letters of full size
PLOTLY_TAG = re.compile(r"</?(?:a|b|br|em|i|span|sub|sup|u)\b[^<>]*>")  # the tags plotly understands in its texts
TRACE_NAMES = {
    "bar": "Bar chart",
    "heatmap": "Heat map",
    "histogram": "Histogram",
    "box": "Box plot",
    "violin": "Violin plot",
}
SCATTERS = ("scatter", "scattergl")
MAX_NAMES = 20  # panels or series that a description names
MAX_POINTS, MAX_CELLS, THUMBNAIL_COLOURS = 600, 60, 32  # of a thumbnail (cells: a side of a heat map): below 10 kB
MANY_POINTS = 100  # from which on a scatter plot is taken to show cells


def figure_html(figure: dict, number: int) -> str:
    """Caption and place of one figure, and the figure itself, packed, which the page's script draws.

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
    words = escape(describe(figure))
    shown = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="figure{_breadth(figure)}">{shown}'
        f'<div class="plotly-graph-div" id="figure-{number}" role="group" aria-label="{words}" '
        f'data-name="{escape(caption)}" style="height:{height}px{width}"></div>'
        f'<script type="text/plain">{packed(drawn)}</script></figure>'
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


def packed(text: str) -> str:
    """Text compressed (gzip) and in letters (base64), none of which HTML reads; the page's script unpacks it."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


@functools.cache
def plotly_hash() -> str:
    """SHA-256 of plotly.js (base64), by which the policy of the pages knows it."""
    return base64.b64encode(hashlib.sha256(get_plotlyjs().encode()).digest()).decode()


@functools.cache
def plotly_style() -> str:
    """Style sheet that carries plotly.js, packed, as a value: a page from disk may read no other file's content."""
    return f':root {{ --plotly: "{packed(get_plotlyjs())}"; }}\n'


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
        return printable(value.replace("&quot;", '"'))  # an escape that plotly does not undo
    if isinstance(value, float) and not value.is_integer():
        return float(f"{value:.{DIGITS}g}")
    return value


def _single_precision(array: dict) -> dict:
    numbers = values(array).ravel()
    sizes = np.abs(numbers[np.isfinite(numbers) & (numbers != 0)])
    if len(sizes) and not (sizes.min() > 1e-30 and sizes.max() < 1e30):
        return array  # beyond what single precision holds
    return array | {"dtype": "f4", "bdata": base64.b64encode(numbers.astype("<f4").tobytes()).decode()}


def values(array: object) -> np.ndarray:
    """Numbers or texts of a plotly array, (n,) or (n, m).

    Parameters
    ----------
    array : list, dict or None
        A list, or a typed array: `bdata` (base64), `dtype` (such as "f8") and, with two axes, `shape` (such as "3, 4").
    """
    if isinstance(array, dict):
        flat = np.frombuffer(base64.b64decode(array["bdata"]), dtype="<" + array["dtype"])
        return flat.reshape([int(length) for length in str(array.get("shape", len(flat))).split(",")])
    return np.asarray([] if array is None else array)


def describe(figure: dict) -> str:
    """What a figure shows: its title, kinds, panels, axes and series.

    Parameters
    ----------
    figure : dict
        `data` and `layout` of a plotly figure.
    """
    layout, traces = figure.get("layout", {}), figure.get("data", [])
    panels = len({_axes(trace) for trace in traces})
    parts = [plain_title(layout) or "Figure", *dict.fromkeys(map(_kind, traces))]
    if panels > 1:
        parts.append(f"{panels} panels: " + _listed(_plain(note.get("text")) for note in layout.get("annotations", [])))
    for axis, direction in [("xaxis", "Horizontal"), ("yaxis", "Vertical")]:
        parts += [f"{direction}: {name}" for name in [plain_title(layout.get(axis, {}))] if name]
    series = dict.fromkeys(_plain(trace["name"]) for trace in traces if trace.get("name"))
    parts += [f"Series: {_listed(series)}"] if panels == 1 and len(series) > 1 else []
    return ". ".join(part.removesuffix(": ") for part in parts)


def plain_title(holder: dict) -> str:
    """Title of a layout or of an axis as plain text, its subtitle behind it; empty where there is none."""
    found = holder.get("title") or {}
    if not isinstance(found, dict):
        return _plain(found)
    return ". ".join(filter(None, [_plain(found.get("text")), _plain((found.get("subtitle") or {}).get("text"))]))


def _plain(text: object) -> str:
    """Text without the tags that plotly understands, its escapes undone."""
    return unescape(" ".join(PLOTLY_TAG.sub(" ", str(text or "")).split()))


def _kind(trace: dict) -> str:
    kind = str(trace.get("type", "scatter"))
    if kind in SCATTERS:
        return "Scatter plot" if _is_scatter(trace) else "Line chart"
    return TRACE_NAMES.get(kind, kind.capitalize())


def _is_scatter(trace: dict) -> bool:
    return trace.get("type", "scatter") in SCATTERS and trace.get("mode") == "markers"


def _listed(names) -> str:
    names = list(names)
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _axes(trace: dict) -> tuple[str, str]:
    return trace.get("xaxis", "x"), trace.get("yaxis", "y")


def thumbnail(figures: list[dict]) -> bytes:
    """First panel of the first figure that shows cells, or else of the first that can be drawn, as a small picture.

    Parameters
    ----------
    figures : list of dict
        `data` and `layout` of plotly figures.

    Returns
    -------
    bytes
        PNG of 320 x 240 pixels, without any text; empty where no figure holds points, lines, bars or a heat map.
    """
    for figure in sorted(figures, key=_shows_cells, reverse=True):  # otherwise they stay in their order
        canvas = FigureCanvasAgg(Figure(figsize=(1.6, 1.2), dpi=200, facecolor="none"))
        axes = canvas.figure.add_axes((0.04, 0.04, 0.92, 0.92))
        _draw(axes, _first_panel(figure), figure.get("layout", {}))
        if axes.has_data():
            canvas.draw()
            picture, file = Image.fromarray(np.asarray(canvas.buffer_rgba())), io.BytesIO()
            picture.quantize(THUMBNAIL_COLOURS).save(file, "png", optimize=True)
            return file.getvalue()
    return b""


def _first_panel(figure: dict) -> list[dict]:
    traces = [trace for trace in figure.get("data", []) if trace.get("visible", True) is True]
    return [trace for trace in traces if _axes(trace) == _axes(traces[0])]


def _shows_cells(figure: dict) -> bool:
    return sum(values(trace.get("x")).size for trace in _first_panel(figure) if _is_scatter(trace)) >= MANY_POINTS


def _draw(axes: Axes, traces: list[dict], layout: dict) -> None:
    """Draw the traces of one panel, on axes that run as the figure's do."""
    colourway = (layout.get("template") or {}).get("layout", {}).get("colorway") or []
    axes.set_prop_cycle(color=[colour for colour in map(_colour, colourway) if colour] or ["#4477aa"])
    share = MAX_POINTS / max(MAX_POINTS, sum(values(trace.get("x")).size for trace in traces))
    names = {"x": {}, "y": {}}
    for trace in traces:
        z = values(trace.get("z"))
        if trace.get("type") == "heatmap" and z.ndim == 2 and z.size:
            some = z[:: -(-z.shape[0] // MAX_CELLS), :: -(-z.shape[1] // MAX_CELLS)]
            axes.imshow(_shades(some, trace, layout), aspect="auto", origin="lower", interpolation="nearest")
            continue
        x, y = (_places(trace.get(side), names[side]) for side in "xy")
        if not len(x) or len(x) != len(y):
            continue
        colours = _colours(trace, layout, len(x))
        if trace.get("type") == "bar":
            axes.barh(y, x, color=colours) if trace.get("orientation") == "h" else axes.bar(x, y, color=colours)
        elif _is_scatter(trace):
            chosen = np.random.default_rng(0).random(len(x)) < share
            axes.scatter(x[chosen], y[chosen], color=None if colours is None else colours[chosen], s=5, linewidths=0)
        elif trace.get("type", "scatter") in SCATTERS and "lines" in trace.get("mode", "lines"):
            axes.plot(x, y, color=_colour((trace.get("line") or {}).get("color")), linewidth=1.2)
    for side, name in zip("xy", _axes(traces[0] if traces else {}), strict=True):
        axis = layout.get(f"{side}axis{name[1:]}", {})
        if axis.get("type") == "log":
            axes.set(**{f"{side}scale": "log"})
        if axis.get("autorange") == "reversed":
            getattr(axes, f"invert_{side}axis")()
        if axis.get("scaleanchor"):
            axes.set_aspect("equal", adjustable="datalim")
    axes.axis("off")


def _places(array: object, names: dict[str, int]) -> np.ndarray:
    """Numbers along an axis, (n,); names are counted in the order in which the panel's traces bring them."""
    given = values(array).ravel()
    try:
        return given.astype(float)
    except (TypeError, ValueError):
        return np.array([names.setdefault(str(name), len(names)) for name in given], dtype=float)


def _colours(trace: dict, layout: dict, count: int) -> np.ndarray | None:
    """Colour of each mark of a trace, (count, 4); None where the trace names none that is known."""
    marker = trace.get("marker") or {}
    given = marker.get("color")
    given = np.repeat(given, count) if isinstance(given, str) else values(given).ravel()
    if len(given) != count:
        return None
    if given.dtype.kind in "biuf":
        return _shades(given, marker, layout)
    return to_rgba_array([_colour(colour) or "#bbbbbb" for colour in given])


def _shades(numbers: np.ndarray, holder: dict, layout: dict) -> np.ndarray:
    """Colours of numbers, (..., 4), on the scale that a trace or its marker names."""
    scale = {**layout.get(holder.get("coloraxis", ""), {}), **holder}
    steps = scale.get("colorscale") or "Viridis"
    steps = get_colorscale(steps) if isinstance(steps, str) else steps
    shades = LinearSegmentedColormap.from_list("", [(step, _colour(colour) or "#bbbbbb") for step, colour in steps])
    low, high = (scale.get("z" + end, scale.get("c" + end)) for end in ("min", "max"))
    return shades(Normalize(low, high)(np.ma.masked_invalid(numbers.astype(float))))


def _colour(text: Any) -> Any:
    """A colour of plotly as matplotlib knows it; None for all else."""
    if isinstance(text, str) and text.startswith("rgb"):
        text = tuple(float(part) / 255 for part in re.findall(r"[\d.]+", text)[:3])  # transparency is left out
    return text if is_color_like(text) else None
