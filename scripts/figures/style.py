"""One style for all figures."""

import numpy as np
import plotly.express as px
import plotly.graph_objects as go
import plotly.io as pio
from plotly.subplots import make_subplots

from scripts.errors import printable

WEBGL_FROM = 10_000  # points; fewer are drawn as SVG, which also prints sharply
DIVERGING = "RdBu_r"
# Paul Tol's "bright" colours: told apart with any common kind of colour vision, on white and on black. Where there are
# more groups than colours, the next symbol follows.
COLOURS = ["#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB"]
SYMBOLS = ["circle", "x", "diamond-open", "triangle-up"]
COLUMNS = 3  # panels to a row
PLOTLY_READS = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;", "%{": "%&#123;"}  # HTML, TeX, and its templates
px.defaults.template = "plotly_white"
pio.templates["plotly_white"].layout.update(colorway=COLOURS, annotationdefaults_bgcolor="rgba(255, 255, 255, 0.7)")


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
