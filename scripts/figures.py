"""Figures: each function takes data and returns one plotly figure; none shows it.

Names that come from data (genes, cell types, terms) are escaped, as plotly reads a subset of HTML in every text.
"""

from html import escape

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import plotly.io as pio
from plotly.subplots import make_subplots

WEBGL_FROM = 10_000  # points; fewer are drawn as SVG, which also prints sharply
DIVERGING = "RdBu_r"
# Paul Tol's "bright" colours: told apart with any common kind of colour vision, on white and on black. Where there are
# more groups than colours, the next symbol follows.
COLOURS = ["#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#BBBBBB"]
SYMBOLS = ["circle", "x", "diamond-open", "triangle-up"]
MAX_WRITTEN = 40  # labels written among the cells
COLUMNS = 3  # panels to a row
FULL_COLOUR = 0.98  # quantile of the absolute values from which on the colour no longer deepens
px.defaults.template = "plotly_white"
pio.templates["plotly_white"].layout.update(colorway=COLOURS, annotationdefaults_bgcolor="rgba(255, 255, 255, 0.7)")


def _text(value: object) -> str:
    return escape(str(value), quote=False)  # plotly would show &quot; as it stands


def _names(values) -> list[str]:
    return [_text(value) for value in values]


def _panels(titles: list[str], spacing: float, height: int = 320) -> go.Figure:
    """Empty panels, three to a row."""
    n_rows = -(-len(titles) // COLUMNS)
    gaps = {"horizontal_spacing": spacing, "vertical_spacing": 0.28 / n_rows}
    figure = make_subplots(rows=n_rows, cols=min(COLUMNS, len(titles)), subplot_titles=titles, **gaps)
    return figure.update_layout(showlegend=False, height=100 + height * n_rows, template="plotly_white")


def _place(panel: int) -> dict[str, int]:
    return {"row": panel // COLUMNS + 1, "col": panel % COLUMNS + 1}


def _marker_size(n_cells: int) -> float:
    return float(np.clip(150 / np.sqrt(n_cells), 1.5, 6))


def _cells(xy: np.ndarray, **options) -> go.Figure:
    figure = px.scatter(
        x=xy[:, 0],
        y=xy[:, 1],
        labels={"x": "UMAP 1", "y": "UMAP 2"},
        render_mode="webgl" if len(xy) > WEBGL_FROM else "svg",
        width=700,
        height=600,
        **options,
    )
    figure.update_traces(marker_size=_marker_size(len(xy)))
    figure.update_yaxes(scaleanchor="x")
    return figure


def frequency_scatter(xy: np.ndarray, freqs: np.ndarray, freq_vals: np.ndarray) -> go.Figure:
    """Cells coloured by each frequency, one panel a frequency, on a diverging scale centred at 0.

    xy : (n_cells, 2); freqs : (n_cells, n_freq); freq_vals : (n_freq,) eigenvalues lambda.
    """
    n_cells, n_freq = freqs.shape
    titles = [f"Frequency {f} (λ={value:.4f})" for f, value in enumerate(freq_vals)]
    figure = _panels(titles, spacing=0.06)
    scatter = go.Scattergl if n_cells > WEBGL_FROM else go.Scatter
    for f in range(n_freq):
        # each frequency on a scale of its own, which a few extreme cells must not wash out
        scaled = freqs[:, f] / np.quantile(np.abs(freqs[:, f]), FULL_COLOUR)
        marker = {"color": scaled, "coloraxis": "coloraxis", "size": _marker_size(n_cells)}
        trace = scatter(x=xy[:, 0], y=xy[:, 1], mode="markers", marker=marker, customdata=freqs[:, f])
        trace.hovertemplate = "v = %{customdata:.4f}<extra></extra>"
        figure.add_trace(trace, **_place(f))
    figure.update_xaxes(showticklabels=False, title="UMAP 1").update_yaxes(showticklabels=False, title="UMAP 2")
    scale = {"colorscale": DIVERGING, "cmid": 0, "cmin": -1, "cmax": 1, "colorbar_title": "v, scaled"}
    return figure.update_layout(title="Frequencies over the cells", coloraxis=scale)


def score_scatter(xy: np.ndarray, scores: np.ndarray, freq_vals: np.ndarray, stability: np.ndarray) -> go.Figure:
    """Cells coloured by the score of the first module of each frequency; scores : (n_cells, n_freq).

    stability : (n_freq,) of the first modules.
    """
    figure = frequency_scatter(xy, scores, freq_vals)
    for note, title in zip(figure.layout.annotations, _module_titles(freq_vals, stability), strict=True):
        note.text = title
    figure.update_layout(title="Score of each frequency's first module", coloraxis_colorbar_title="score, scaled")
    return figure.update_traces(hovertemplate="score = %{customdata:.4f}<extra></extra>")


def label_scatter(xy: np.ndarray, labels: pd.Series, title: str) -> go.Figure:
    """Cells coloured by a known label; xy : (n_cells, 2), labels : (n_cells,)."""
    names = pd.Series(_names(labels))
    order = {"color": sorted(names.unique(), key=_natural)}
    figure = _cells(xy, color=names, title=_text(title), category_orders=order, color_discrete_sequence=COLOURS)
    for number, trace in enumerate(figure.data):
        trace.marker.symbol = SYMBOLS[number // len(COLOURS) % len(SYMBOLS)]
    places = pd.DataFrame(xy).groupby(names.to_numpy()).median()
    for name, (x, y) in places.iloc[:MAX_WRITTEN].iterrows():  # names among the cells: no colour need be looked up
        figure.add_annotation(x=x, y=y, text=name, showarrow=False, font_size=11)
    return figure.update_layout(legend={"title": "", "itemsizing": "constant"})


def _natural(name: str) -> tuple:
    """Sorts 2Ery before 10GMP."""
    digits = len(name) - len(name.lstrip("0123456789"))
    return (int(name[:digits]) if digits else np.inf, name)


def label_counts(labels: pd.Series, title: str) -> go.Figure:
    """How many cells carry each label, as bars; labels : (n_cells,)."""
    counts = labels.value_counts()
    names = _names(counts.index)
    figure = px.bar(x=counts.to_numpy(), y=names, title=_text(title), labels={"x": "cells", "y": ""}, width=700)
    return figure.update_layout(yaxis={"autorange": "reversed"}, height=200 + 18 * len(names))


def spectrum(freq_vals: np.ndarray) -> go.Figure:
    """Eigenvalues of the Laplacian against their index; freq_vals : (n_freq,)."""
    labels = {"x": "frequency", "y": "eigenvalue λ"}
    title = "Frequencies from coarse to fine"
    figure = px.line(x=np.arange(len(freq_vals)), y=freq_vals, markers=True, title=title, labels=labels, width=700)
    return figure.update_xaxes(dtick=max(1, len(freq_vals) // 10))


def loss_curves(history: pd.DataFrame) -> go.Figure:
    """Training and validation loss; history has the columns epoch, train_loss and val_loss."""
    columns = {"train_loss": "Train", "val_loss": "Validation"}
    tidy = history.rename(columns=columns).melt("epoch", list(columns.values()), var_name="Cells", value_name="Loss")
    title = "Training and validation loss"
    return px.line(tidy, x="epoch", y="Loss", color="Cells", log_y=True, title=title, labels={"epoch": "Epoch"})


def predicted_against_true(y: np.ndarray, predicted: np.ndarray, r2: np.ndarray) -> go.Figure:
    """Held-out cells: prediction against truth, one panel a frequency.

    y, predicted : (n_cells, n_freq); r2 : (n_freq,).
    """
    figure = _panels([f"Frequency {f}: R² {value:.2f}" for f, value in enumerate(r2)], spacing=0.1)
    for f in range(y.shape[1]):
        ends = [float(y[:, f].min()), float(y[:, f].max())]
        marker = {"size": 4, "opacity": 0.6, "color": "#1f77b4"}
        figure.add_trace(go.Scatter(x=y[:, f], y=predicted[:, f], mode="markers", marker=marker), **_place(f))
        figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line={"color": "grey", "dash": "dot"}), **_place(f))
    figure.update_xaxes(title="true").update_yaxes(title="predicted")
    return figure.update_layout(title="Held-out test cells: predicted against true")


def eigenvalue_spectrum(values: np.ndarray, n_shown: int = 30) -> go.Figure:
    """Leading eigenvalues of each interaction matrix; values : (n_freq, r), the largest absolute value first."""
    shown = values[:, :n_shown] / np.abs(values).max(axis=1, keepdims=True)
    figure = go.Figure(layout_template="plotly_white")
    for f, row in enumerate(shown):
        figure.add_scatter(x=np.arange(1, len(row) + 1), y=row, mode="lines+markers", name=f"Frequency {f}")
    return figure.update_layout(
        title="Modules: eigenvalues of the interaction matrices",
        xaxis_title="module",
        yaxis_title="eigenvalue / largest absolute eigenvalue",
    )


def _module_titles(freq_vals: np.ndarray, stability: np.ndarray) -> list[str]:
    known = [f"stability {value:.2f}" if np.isfinite(value) else "stability unknown" for value in stability]
    return [
        f"Frequency {f} (λ={value:.4f}), {text}" for f, (value, text) in enumerate(zip(freq_vals, known, strict=True))
    ]


def pole_bars(table: pd.DataFrame, freq_vals: np.ndarray, n_genes: int = 12) -> go.Figure:
    """Genes of both poles of the first module, one panel a frequency; table as from modules.module_table."""
    first = table[table["module"] == 1].groupby("frequency")["stability"].first()
    titles = _module_titles(freq_vals, first.reindex(range(len(freq_vals))).to_numpy())
    figure = _panels(titles, spacing=0.12, height=460)
    for f in range(len(freq_vals)):
        chosen = table[(table["frequency"] == f) & (table["module"] == 1) & (table["rank"] <= n_genes)]
        chosen = chosen.sort_values("loading")
        colours = np.where(chosen["pole"] == "positive", "#b2182b", "#2166ac")
        bars = go.Bar(x=chosen["loading"], y=_names(chosen["gene"]), orientation="h", marker_color=colours)
        figure.add_trace(bars, **_place(f))
    figure.update_xaxes(title="loading").update_yaxes(dtick=1, tickfont_size=10)
    return figure.update_layout(title="First module of each frequency: the genes of its two poles")
