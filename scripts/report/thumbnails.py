"""Thumbnails: the first panel of a plotly figure as a few kilobytes of SVG, made without a browser.

A sketch is drawn from the figure's own numbers and holds no text, hence no name from data.
"""

from __future__ import annotations

import base64
import re
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from plotly.colors import get_colorscale, sample_colorscale

WIDTH, HEIGHT, EDGE = 160, 120, 8  # pixels; EDGE stays free on each side
MAX_POINTS, MAX_STEPS, MAX_CELLS = 600, 80, (24, 18)  # of all scatters; along a line; of a heatmap (columns, rows)
SHADES = 9  # colours of a continuous scale
COLOUR = re.compile(r"#[0-9a-fA-F]{3,8}|rgba?\([0-9., %]+\)|[a-zA-Z]{3,20}")  # nothing else gets into an attribute
FIRST_COLOUR = "#4477aa"  # where neither trace nor template names one
DRAWN = ("scatter", "scattergl", "bar")


def sketch(figure: dict) -> str:
    """SVG of the first panel of a figure.

    Parameters
    ----------
    figure : dict
        `data` and `layout` of a plotly figure; arrays are lists or plotly's typed arrays.

    Returns
    -------
    str
        An `<svg>` element; empty where the figure holds no scatter, line, bar or heatmap to draw.
    """
    layout = figure.get("layout", {})
    traces = [trace for trace in figure.get("data", []) if trace.get("visible", True) is True]
    panel = [trace for trace in traces if _axes(trace) == _axes(traces[0])]
    heatmap = next((trace for trace in panel if trace.get("type") == "heatmap"), None)
    marks = _heatmap(heatmap, layout) if heatmap else _scatters_and_bars(panel, layout)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f'<svg class="sketch" {size} aria-hidden="true" focusable="false">{marks}</svg>' if marks else ""


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


def _axes(trace: dict) -> tuple[str, str]:
    return trace.get("xaxis", "x"), trace.get("yaxis", "y")


def _scatters_and_bars(panel: list[dict], layout: dict) -> str:
    traces = [trace for trace in panel if trace.get("type", "scatter") in DRAWN and trace.get("mode") != "text"]
    columns = _columns(traces, layout)
    if not sum(len(x) for x, _ in columns):
        return ""
    bars = [trace for trace in traces if trace.get("type") == "bar"]
    sideways = any(trace.get("orientation") == "h" for trace in bars)
    place = _frame(columns, layout, _axes(traces[0]), bar_side=None if not bars else int(sideways))
    share = min(1.0, MAX_POINTS / sum(len(x) for x, _ in columns))
    marks = []
    for number, (trace, (x, y)) in enumerate(zip(traces, columns, strict=True)):
        fallback = _colourway(layout, number)
        if trace.get("type") == "bar":
            marks.append(_bars(x, y, place, sideways, _colours(trace, layout, len(x), fallback)))
        elif trace.get("mode", "lines").startswith("lines"):
            line = trace.get("line") or {}
            marks.append(_line(x, y, place, _safe(line.get("color"), fallback)))
        else:
            marks.append(_points(x, y, place, _colours(trace, layout, len(x), fallback), share))
    return "".join(marks)


def _columns(traces: list[dict], layout: dict) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numbers (x, y) of every trace; names become their place on the axis, and a log axis its logarithm."""
    sides = []
    for side in (0, 1):
        arrays = [values(trace.get("xy"[side])).ravel() for trace in traces]
        axis = layout.get(_layout_name(_axes(traces[0])[side]), {}) if traces else {}
        if any(array.dtype.kind not in "biuf" for array in arrays if len(array)):
            places = {name: place for place, name in enumerate(dict.fromkeys(str(v) for a in arrays for v in a))}
            arrays = [np.array([places[str(name)] for name in array], dtype=float) for array in arrays]
        elif axis.get("type") == "log":
            with np.errstate(divide="ignore", invalid="ignore"):
                arrays = [np.log10(array.astype(float)) for array in arrays]
        sides.append([array.astype(float) for array in arrays])
    both = []
    for x, y in zip(*sides, strict=True):
        x = np.arange(len(y), dtype=float) if not len(x) else x
        y = np.arange(len(x), dtype=float) if not len(y) else y
        n = min(len(x), len(y))
        both.append((x[:n], y[:n]))
    return both


def _layout_name(axis: str) -> str:
    return f"{axis[0]}axis{axis[1:]}"


def _frame(columns, layout: dict, axes: tuple[str, str], bar_side: int | None) -> Callable:
    """Function from (x, y) to pixels; `bar_side` is the axis along which bars stand side by side."""
    lows, spans, flips = np.zeros(2), np.ones(2), [False, False]
    for side in (0, 1):
        numbers = np.concatenate([column[side] for column in columns])
        numbers = numbers[np.isfinite(numbers)]
        if bar_side is not None and bar_side == side:
            numbers = np.concatenate([numbers - 0.5, numbers + 0.5])
        elif bar_side is not None:
            numbers = np.append(numbers, 0.0)
        lows[side] = numbers.min() if len(numbers) else 0.0
        spans[side] = (np.ptp(numbers) if len(numbers) else 0.0) or 1.0
        flips[side] = layout.get(_layout_name(axes[side]), {}).get("autorange") == "reversed"
    room = np.array([WIDTH, HEIGHT]) - 2.0 * EDGE
    scale = room / spans
    if any(layout.get(_layout_name(axis), {}).get("scaleanchor") for axis in axes):
        scale[:] = scale.min()  # distances look alike in both directions
    start = EDGE + (room - scale * spans) / 2

    def place(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = start[0] + (x - lows[0]) * scale[0], start[1] + (y - lows[1]) * scale[1]
        return (WIDTH - x if flips[0] else x), (y if flips[1] else HEIGHT - y)

    return place


def _points(x, y, place: Callable, colours: np.ndarray, share: float) -> str:
    chosen = np.random.default_rng(0).random(len(x)) < share
    chosen &= np.isfinite(x) & np.isfinite(y)
    dots = defaultdict(dict)
    for left, top, colour in zip(*place(x[chosen], y[chosen]), colours[chosen], strict=True):
        dots[colour][f"M{left:.0f} {top:.0f}h0"] = None
    return "".join(
        f'<path d="{"".join(steps)}" stroke="{colour}" stroke-width="3" stroke-linecap="round"/>'
        for colour, steps in dots.items()
    )


def _line(x, y, place: Callable, colour: str) -> str:
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    steps = known[np.unique(np.linspace(0, len(known) - 1, MAX_STEPS).astype(int))] if len(known) else known
    corners = " ".join(f"{left:.0f},{top:.0f}" for left, top in zip(*place(x[steps], y[steps]), strict=True))
    return f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _bars(x, y, place: Callable, sideways: bool, colours: np.ndarray) -> str:
    marks = []
    middle, length = (y, x) if sideways else (x, y)
    for position, end, colour in zip(middle, np.nan_to_num(length), colours, strict=True):
        along, across = np.array([0.0, end]), np.array([position - 0.4, position + 0.4])
        left, top = place(along, across) if sideways else place(across, along)
        box = f'x="{left.min():.1f}" y="{top.min():.1f}" width="{np.ptp(left):.1f}" height="{np.ptp(top):.1f}"'
        marks.append(f'<rect {box} fill="{colour}"/>')
    return "".join(marks)


def _heatmap(trace: dict, layout: dict) -> str:
    z = values(trace.get("z"))
    if z.ndim != 2 or not z.size or z.dtype.kind not in "biuf":
        return ""
    rows, columns = (
        np.unique(np.linspace(0, size - 1, most).astype(int))
        for size, most in zip(z.shape, MAX_CELLS[::-1], strict=True)
    )
    if layout.get(_layout_name(_axes(trace)[1]), {}).get("autorange") != "reversed":
        rows = rows[::-1]  # the first row is at the bottom
    scale = {**layout.get(trace.get("coloraxis", ""), {}), **trace}
    limits = [scale.get("zmin", scale.get("cmin")), scale.get("zmax", scale.get("cmax"))]
    colours = _shades(z[np.ix_(rows, columns)].astype(float), scale.get("colorscale"), *limits)
    left = np.linspace(EDGE, WIDTH - EDGE, len(columns) + 1).astype(int)
    top = np.linspace(EDGE, HEIGHT - EDGE, len(rows) + 1).astype(int)
    boxes = defaultdict(list)
    for row, column in np.ndindex(colours.shape):
        width, height = left[column + 1] - left[column], top[row + 1] - top[row]
        boxes[colours[row, column]].append(f"M{left[column]} {top[row]}h{width}v{height}h-{width}z")
    return "".join(f'<path d="{"".join(steps)}" fill="{colour}"/>' for colour, steps in boxes.items())


def _colours(trace: dict, layout: dict, count: int, fallback: str) -> np.ndarray:
    """Colour of each mark of a trace, (count,)."""
    marker = trace.get("marker") or {}
    given = marker.get("color")
    if given is None or isinstance(given, str):
        return np.full(count, _safe(given, fallback), dtype=object)
    given = values(given).ravel()[:count]
    if len(given) < count:
        return np.full(count, fallback, dtype=object)
    if given.dtype.kind not in "biuf":
        return np.array([_safe(colour, fallback) for colour in given], dtype=object)
    scale = {**layout.get(marker.get("coloraxis", ""), {}), **marker}
    return _shades(given.astype(float), scale.get("colorscale"), scale.get("cmin"), scale.get("cmax"))


def _shades(numbers: np.ndarray, scale: object, low: float | None, high: float | None) -> np.ndarray:
    """Colours of numbers, in few shades, so that marks of one shade share a path; same shape as `numbers`."""
    known = numbers[np.isfinite(numbers)]
    low = low if low is not None else known.min(initial=0.0)
    high = high if high is not None else known.max(initial=low)
    scale = get_colorscale(scale) if isinstance(scale, str) else scale or get_colorscale("Viridis")
    palette = np.array(sample_colorscale(scale, np.linspace(0, 1, SHADES)), dtype=object)
    palette = np.array([_safe(colour.replace(" ", ""), FIRST_COLOUR) for colour in palette], dtype=object)
    share = np.clip((np.nan_to_num(numbers, nan=low) - low) / ((high - low) or 1.0), 0, 1)
    return palette[np.round(share * (SHADES - 1)).astype(int)]


def _colourway(layout: dict, number: int) -> str:
    template = (layout.get("template") or {}).get("layout") or {}
    colours = layout.get("colorway") or template.get("colorway") or [FIRST_COLOUR]
    return _safe(colours[number % len(colours)], FIRST_COLOUR)


def _safe(colour: object, fallback: str) -> str:
    return colour if isinstance(colour, str) and COLOUR.fullmatch(colour) else fallback
