"""Figures of cells, frequencies and labels."""

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from scripts.figures.style import (
    COLOURS,
    DIVERGING,
    SYMBOLS,
    WEBGL_FROM,
    empty_panels,
    in_panel,
    marker_size,
    safe,
    safe_names,
)

MAX_WRITTEN = 40  # labels written among the cells
FAINT = "#E4E4E4"  # colour of cells without a label
NOT_LABELLED = "not labelled"  # cells whose label is NaN
FULL_COLOUR = 0.98  # quantile of the absolute values from which on the colour no longer deepens


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
    figure.update_traces(marker_size=marker_size(len(xy)))
    figure.update_yaxes(scaleanchor="x")
    return figure


def frequency_scatter(xy: np.ndarray, freqs: np.ndarray, freq_vals: np.ndarray) -> go.Figure:
    """Cells coloured by each frequency, one panel a frequency, on a diverging scale centred at 0.

    xy : (n_cells, 2); freqs : (n_cells, n_freq); freq_vals : (n_freq,) eigenvalues lambda.
    """
    n_cells, n_freq = freqs.shape
    titles = [f"Frequency {f} (λ={value:.4f})" for f, value in enumerate(freq_vals)]
    figure = empty_panels(titles, spacing=0.06)
    scatter = go.Scattergl if n_cells > WEBGL_FROM else go.Scatter
    for f in range(n_freq):
        # each frequency on a scale of its own, which a few extreme cells must not wash out
        scaled = freqs[:, f] / (np.quantile(np.abs(freqs[:, f]), FULL_COLOUR) or 1.0)
        marker = {"color": scaled, "coloraxis": "coloraxis", "size": marker_size(n_cells)}
        trace = scatter(x=xy[:, 0], y=xy[:, 1], mode="markers", marker=marker, customdata=freqs[:, f])
        trace.hovertemplate = "v = %{customdata:.4f}<extra></extra>"
        figure.add_trace(trace, **in_panel(f))
    figure.update_xaxes(showticklabels=False, title="UMAP 1").update_yaxes(showticklabels=False, title="UMAP 2")
    scale = {"colorscale": DIVERGING, "cmid": 0, "cmin": -1, "cmax": 1, "colorbar_title": "v, scaled"}
    return figure.update_layout(title="Frequencies over the cells", coloraxis=scale)


def label_scatter(xy: np.ndarray, labels: pd.Series, title: str) -> go.Figure:
    """Cells coloured by a known label, those without one (NaN) faint; xy : (n_cells, 2), labels : (n_cells,)."""
    unknown = labels.isna().to_numpy()
    names = pd.Series(np.where(unknown, NOT_LABELLED, safe_names(labels)))
    order = sorted(names[~unknown].unique(), key=_natural)
    order += [NOT_LABELLED] if unknown.any() and NOT_LABELLED not in order else []
    options = {"category_orders": {"color": order}, "color_discrete_sequence": COLOURS}
    if unknown.any():
        options["color_discrete_map"] = {NOT_LABELLED: FAINT}
    figure = _cells(xy, color=names, title=safe(title), **options)
    for number, trace in enumerate(figure.data):
        trace.marker.symbol = SYMBOLS[number // len(COLOURS) % len(SYMBOLS)]
    places = pd.DataFrame(xy[~unknown]).groupby(names[~unknown].to_numpy()).median()
    for name, (x, y) in places.iloc[:MAX_WRITTEN].iterrows():  # names among the cells: no colour need be looked up
        figure.add_annotation(x=x, y=y, text=name, showarrow=False, font_size=11)
    return figure.update_layout(legend={"title": "", "itemsizing": "constant"})


def _natural(name: str) -> tuple:
    """Sorts 2Ery before 10GMP."""
    digits = len(name) - len(name.lstrip("0123456789"))
    return (int(name[:digits]) if digits else np.inf, name)


def label_counts(labels: pd.Series, title: str) -> go.Figure:
    """How many cells carry each label, or none (NaN), as bars; labels : (n_cells,)."""
    counts = labels.value_counts(dropna=False)
    names = [
        NOT_LABELLED if missing else safe(name) for name, missing in zip(counts.index, counts.index.isna(), strict=True)
    ]
    figure = px.bar(x=counts.to_numpy(), y=names, title=safe(title), labels={"x": "cells", "y": ""}, width=700)
    return figure.update_layout(yaxis={"autorange": "reversed"}, height=200 + 18 * len(names))


def spectrum(freq_vals: np.ndarray) -> go.Figure:
    """Eigenvalues of the Laplacian against their index; freq_vals : (n_freq,)."""
    labels = {"x": "frequency", "y": "eigenvalue λ"}
    title = "Frequencies from coarse to fine"
    figure = px.line(x=np.arange(len(freq_vals)), y=freq_vals, markers=True, title=title, labels=labels, width=700)
    return figure.update_xaxes(dtick=max(1, len(freq_vals) // 10))
