"""One style for all figures."""

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import plotly.io as pio
from plotly.subplots import make_subplots

from scripts.errors import printable

WEBGL_FROM = 10_000  # points; fewer are drawn as SVG, which also prints sharply
DIVERGING = "RdBu_r"
# Of the palettes of Okabe and Ito and of Paul Tol, for any common kind of colour vision, those that have a contrast of
# 3:1 to light and dark pages alike. Where there are more groups than colours, the next symbol follows.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#997700", "#AA4499"]
GREY = "#777777"  # what stands for chance
PALE = "#e8e8e8"  # boxes that have an edge in grey
HIGH, LOW = "#CC3311", "#0072B2"  # ends of a scale, red and blue
SYMBOLS = ["circle", "x", "diamond-open", "triangle-up"]
NO_GROUP = {"color": GREY, "symbol": "circle-open"}
COLUMNS = 3  # panels to a row
PLOTLY_READS = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;", "%{": "%&#123;"}  # HTML, TeX, and its templates
NUMBERS = {"exponentformat": "power"}  # 2×10⁻⁴ rather than 200μ
px.defaults.template = "plotly_white"
pio.templates["plotly_white"].layout.update(
    colorway=[*COLOURS, GREY],
    annotationdefaults_bgcolor="rgba(255, 255, 255, 0.7)",
    shapedefaults_line_color=GREY,
    xaxis=NUMBERS,
    yaxis=NUMBERS,
    coloraxis_colorbar=NUMBERS,
)


def group_style(number: int) -> dict[str, str]:
    """Colour and symbol of a frequency, or of the type at this place among all types: the same in all figures."""
    return {"color": COLOURS[number % len(COLOURS)], "symbol": SYMBOLS[number // len(COLOURS) % len(SYMBOLS)]}


def ink_on(colour: str) -> str:
    """Black or white, whichever has the higher contrast to "#rrggbb" (WCAG 2.2)."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    luminance = float(np.dot(linear, [0.2126, 0.7152, 0.0722]))
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


def natural(name: str) -> tuple:
    """Sorts 2Ery before 10GMP."""
    digits = len(name) - len(name.lstrip("0123456789"))
    return (int(name[:digits]) if digits else np.inf, name)


def type_styles(labels: pd.Series) -> dict[str, dict[str, str]]:
    """Colour and symbol of each type by its place among all names; of categories, also those that no cell here has."""
    is_categorical = isinstance(labels.dtype, pd.CategoricalDtype)
    names = labels.cat.categories if is_categorical else labels.dropna().unique()
    return {name: group_style(number) for number, name in enumerate(sorted(map(str, names), key=natural))}


def safe(value: object) -> str:
    """Text of a figure, from data, that plotly shows as it stands."""
    text = printable(str(value))
    for letters, shown in PLOTLY_READS.items():  # & first
        text = text.replace(letters, shown)
    return text


def safe_names(values) -> list[str]:
    """`safe` of each."""
    return [safe(value) for value in values]


def empty_panels(titles: list[str], spacing: float, height: int = 320) -> go.Figure:
    """Empty panels, three to a row."""
    n_rows = -(-len(titles) // COLUMNS)
    gaps = {"horizontal_spacing": spacing, "vertical_spacing": 0.28 / n_rows}
    figure = make_subplots(rows=n_rows, cols=min(COLUMNS, len(titles)), subplot_titles=titles, **gaps)
    return figure.update_layout(showlegend=False, height=100 + height * n_rows, template="plotly_white")


def in_panel(panel: int) -> dict[str, int]:
    """Row and column, from 1, of a panel, counted from 0 in reading order."""
    return {"row": panel // COLUMNS + 1, "col": panel % COLUMNS + 1}


def marker_size(n_cells: int) -> float:
    """Pixels of a cell's mark: the more cells, the smaller."""
    return float(np.clip(150 / np.sqrt(n_cells), 1.5, 6))
