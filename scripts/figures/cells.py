"""Figures of cells, frequencies and labels."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from scripts.blocks import evenly
from scripts.figures.layout import BINS, MAX_WRITTEN, drawn_cells, mean_in_bins, names_among, say_drawn
from scripts.figures.style import (
    COLOURS,
    DIVERGING,
    GREY,
    NO_GROUP,
    WEBGL_FROM,
    empty_panels,
    in_panel,
    marker_size,
    natural,
    safe,
    safe_names,
    type_styles,
)
from scripts.graph import COMES_BACK, NO_LABEL

MAX_DRAWN = 100  # labels with a colour or a bar of their own
MAX_BESIDE = 24  # letters of a name that leave the cells room beside the legend; longer ones stand below
NOT_LABELLED = "not labelled"  # cells whose label is NaN
FULL_COLOUR = 0.98  # quantile of the absolute values from which on the colour no longer deepens
MAX_IN_VIOLIN = 3_000  # cells whose measures a violin is drawn of
PARTS_OF_BOX = ("lowerfence", "q1", "median", "q3", "upperfence")
MAX_IN_PANEL = 1_500  # cells of a panel of two genes
ALL_CELLS = {"cells": True}  # of a trace: its points are the drawn cells, so that a page marks the same in all figures
ON_LOG = ("total_counts", "n_genes_by_counts")  # measures on a logarithmic axis


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


def frequency_scatter(
    xy: np.ndarray, freqs: np.ndarray, freq_vals: np.ndarray, labels: pd.Series | None = None
) -> go.Figure:
    """Cells coloured by each frequency, one panel a frequency, on a diverging scale centred at 0.

    xy : (n_cells, 2); freqs : (n_cells, n_freq); freq_vals : (n_freq,) eigenvalues lambda; labels : (n_cells,), indexed
    by the names of the cells, which a pointer is told, where there are not too many. More cells than are drawn one by
    one are shown all, as means over small bins of the layout.
    """
    n_cells, n_freq = freqs.shape
    titles = [f"Frequency {f} (λ={value:.4f})" for f, value in enumerate(freq_vals)]
    figure = empty_panels(titles, spacing=0.06)
    one_by_one = len(drawn_cells(n_cells)) == n_cells
    for f in range(n_freq):
        # each frequency on a scale of its own, which a few extreme cells must not wash out
        full = np.quantile(np.abs(freqs[:, f]), FULL_COLOUR) or 1.0
        trace = _points(xy, freqs[:, f], full, labels) if one_by_one else _bins(xy, freqs[:, f], full)
        figure.add_trace(trace, **in_panel(f))
    figure.update_xaxes(showticklabels=False, title="UMAP 1").update_yaxes(showticklabels=False, title="UMAP 2")
    scale = {"colorscale": DIVERGING, "cmid": 0, "cmin": -1, "cmax": 1, "colorbar_title": "v, scaled"}
    figure.update_layout(title="Frequencies over the cells", coloraxis=scale)
    if not one_by_one:
        figure.update_layout(title_subtitle_text=f"{n_cells:,} cells: mean of those in each of {BINS} × {BINS} bins")
    return figure


def _points(xy: np.ndarray, values: np.ndarray, full: float, labels: pd.Series | None) -> go.Scatter | go.Scattergl:
    """Cells coloured by their values, (n_cells,), in units of `full`; the others as for `frequency_scatter`."""
    n_cells = len(values)
    scatter = go.Scattergl if n_cells > WEBGL_FROM else go.Scatter
    marker = {"color": values / full, "coloraxis": "coloraxis", "size": marker_size(n_cells)}
    trace = scatter(x=xy[:, 0], y=xy[:, 1], mode="markers", marker=marker, customdata=values)
    trace.hovertemplate = "v = %{customdata:.4f}<extra></extra>"
    trace.meta = ALL_CELLS
    if labels is not None and n_cells <= WEBGL_FROM:
        trace.text, trace.hovertemplate = cells_and_types(labels), "%{text}<br>" + trace.hovertemplate
    return trace


def _bins(xy: np.ndarray, values: np.ndarray, full: float) -> go.Heatmap:
    """The same of more cells than are drawn one by one: the mean of those in each bin of the layout."""
    means = mean_in_bins(xy, values)
    hover = {"hovertemplate": "v = %{customdata:.4f}<extra></extra>", "hoverongaps": False}
    return go.Heatmap(
        **means | {"z": means["z"] / np.float32(full)}, customdata=means["z"], coloraxis="coloraxis", **hover
    )


def own_layout_scatter(
    layouts: Mapping[str, np.ndarray], freqs: np.ndarray, freq_vals: np.ndarray, labels: pd.Series | None = None
) -> go.Figure | None:
    """`frequency_scatter` in the first of the file's own layouts; None where it has none.

    layouts : {key of obsm: (n_cells, 2)}, as from cells.own_layouts; cells without a place are not drawn.
    """
    for name, xy in layouts.items():
        placed = np.isfinite(xy).all(axis=1)
        if placed.any():
            known = None if labels is None else labels[placed]
            figure = frequency_scatter(xy[placed], freqs[placed], freq_vals, known)
            figure.update_traces(meta={"cells": np.flatnonzero(placed)}, selector={"mode": "markers"})
            figure.update_xaxes(title=f"{name} 1").update_yaxes(title=f"{name} 2")
            return figure.update_layout(title_text=f"Frequencies over the cells, in {name} of the file")
    return None


def cell_map(
    layouts: Mapping[str, np.ndarray],
    colourings: Mapping[str, Mapping[str, np.ndarray | pd.Series]],
    labels: pd.Series,
    units: Mapping[str, str] | None = None,
) -> go.Figure:
    """Cells that a page lets its reader colour in several ways, and lay out in each of some; the first is shown.

    Parameters
    ----------
    layouts : {name: places}
        Places are (n_cells, 2), NaN for cells that one of them has no place for.
    colourings : {group: {name: values}}
        Values are (n_cells,): a Series of text, NaN for cells without one; or numbers, which are drawn in whole per
        cent of their full colour: about 0 where some are negative, else of the highest.
    labels : (n_cells,)
        Indexed by the names of the cells: what the pointer is told of each, beside its value.
    units : {group: unit}
        Of the numbers of a group; none where it is not named.

    Returns
    -------
    Figure
        One trace; in layout.meta, for the page's script, "layouts" (`name`, `x`, `y`), and "choices", the colourings;
        `annotations` of one are a list for each layout, and `full` is the number that its full colour stands for.
    """
    places = {name: np.asarray(xy, dtype=np.float32) for name, xy in layouts.items()}
    first = next(iter(places.values()))
    choices = [
        {"group": group, "name": name, **_colouring(list(places.values()), values, name, (units or {}).get(group, ""))}
        for group, named in colourings.items()
        for name, values in named.items()
    ]
    figure = go.Figure(layout_template="plotly_white")
    scatter = go.Scattergl if len(first) > WEBGL_FROM else go.Scatter
    figure.add_trace(
        scatter(x=first[:, 0], y=first[:, 1], mode="markers", text=cells_and_types(labels), meta=ALL_CELLS)
    )
    figure.update_traces({name: choices[0][name] for name in ("marker", "hovertemplate")} if choices else {})
    bare = {"showticklabels": False, "zeroline": False}  # a place in a UMAP is no number
    figure.update_xaxes(title="axis 1", **bare).update_yaxes(title="axis 2", scaleanchor="x", **bare)
    annotations = choices[0]["annotations"][0] if choices else []
    meta = {
        "choices": choices,
        "layouts": [{"name": name, "x": xy[:, 0], "y": xy[:, 1]} for name, xy in places.items()],
    }
    return figure.update_layout(height=620, showlegend=False, annotations=annotations, meta=meta)


def _colouring(places: list[np.ndarray], values: np.ndarray | pd.Series, name: str, unit: str) -> dict:
    return _by_type(places, values) if isinstance(values, pd.Series) else _by_number(values, len(places), name, unit)


def _by_type(places: list[np.ndarray], types: pd.Series) -> dict:
    """One colouring of `cell_map`: types told apart by colour, symbol and their names among the cells."""
    styles = type_styles(types)
    drawn = [styles.get(name, NO_GROUP) for name in types]
    marker = {part: [style[part] for style in drawn] for part in NO_GROUP} | {"size": marker_size(len(types))}
    notes = [names_among(xy, types) for xy in places]
    return {"marker": marker, "hovertemplate": "%{text}<extra></extra>", "annotations": notes}


def _by_number(values: np.ndarray, n_layouts: int, name: str, unit: str) -> dict:
    """One colouring of `cell_map`: numbers in per cent of their full colour, whole so that a page stays small."""
    is_centred = bool(np.nanmin(values) < 0)
    size = np.abs(values)
    full = float(np.nanquantile(size, FULL_COLOUR) or np.nanmax(size) or 1.0)
    percent = np.nan_to_num(np.clip(np.round(100 * values / full), -100, 100)).astype(np.int8)
    scale = {"colorscale": DIVERGING, "cmin": -100, "cmid": 0} if is_centred else {"colorscale": "Viridis", "cmin": 0}
    ticks = [-100, -50, 0, 50, 100] if is_centred else [0, 25, 50, 75, 100]
    written = [f"{full * tick / 100:.2g}" for tick in ticks]
    written[-1] = f"≥ {written[-1]}"
    bar = {"title": {"text": safe(unit)}, "thickness": 14, "tickvals": ticks, "ticktext": written}
    marker = {"size": marker_size(len(values)), "color": percent, "cmax": 100, "colorbar": bar, "symbol": "circle"}
    hover = f"%{{text}}<br>{safe(name)}: %{{customdata:.2~g}} {safe(unit)}<extra></extra>"
    return {"marker": marker | scale, "full": full, "hovertemplate": hover, "annotations": [[]] * n_layouts}


def frequency_boxes(values: np.ndarray, labels: pd.Series, title: str) -> go.Figure | None:
    """Where the cells of each known type lie along a frequency, lowest median first; None if no type is known.

    values : (n_cells,), drawn in per cent of the largest absolute one; labels : (n_cells,) text, NaN for none. Boxes
    are the middle half, whiskers reach from the 5th to the 95th of 100 cells.
    """
    percent = pd.Series(100 * values / (np.abs(values).max() or 1.0))
    known = labels.notna().to_numpy()
    commonest = labels.value_counts().index[:MAX_WRITTEN]
    groups = percent[known].groupby(labels[known].to_numpy(dtype=object))
    cuts = groups.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).unstack()
    cuts = cuts.loc[cuts.index.isin(commonest)].sort_values(0.5) if len(cuts) else cuts
    if cuts.empty:
        return None
    sizes = groups.size()
    figure = go.Figure(layout_template="plotly_white")
    styles = type_styles(labels)
    for name, row in cuts.iterrows():
        parts = {part: [row[share]] for part, share in zip(PARTS_OF_BOX, cuts.columns, strict=True)}
        shown = {"orientation": "h", "marker_color": styles[name]["color"], "name": safe(name)}
        figure.add_box(y=[f"{safe(name)} ({sizes[name]:,})"], **parts, **shown)
    figure.update_yaxes(type="category", dtick=1).update_xaxes(title="% of its largest value")
    return figure.update_layout(title=safe(title), height=140 + 22 * len(cuts), showlegend=False)


def pair_scatter(
    pairs: Mapping[tuple[str, str], tuple[np.ndarray, np.ndarray]], values: np.ndarray, title: str
) -> go.Figure | None:
    """Two genes against each other, coloured by a frequency, a panel for each pair; None without pairs.

    pairs : {(gene, other gene): expression of both}, (n_cells,) each; values : (n_cells,).
    """
    if not pairs:
        return None
    rows = evenly(len(values), MAX_IN_PANEL)
    full = np.quantile(np.abs(values), FULL_COLOUR) or 1.0
    colour = {"color": 100 * values[rows] / full, "coloraxis": "coloraxis", "size": 4}
    figure = empty_panels([f"{safe(one)} × {safe(other)}" for one, other in pairs], spacing=0.1)
    for panel, ((one, other), (first, second)) in enumerate(pairs.items()):
        place = in_panel(panel)
        figure.add_scatter(x=first[rows], y=second[rows], mode="markers", marker=colour, **place)
        figure.update_xaxes(title=safe(one), **place).update_yaxes(title=safe(other), **place)
    scale = {"colorscale": DIVERGING, "cmin": -100, "cmid": 0, "cmax": 100, "colorbar_title": "% of full<br>colour"}
    return figure.update_layout(title=safe(title), coloraxis=scale)


def branch_scatter(
    xy: np.ndarray, coordinates: np.ndarray | None, table: pd.DataFrame, cells: pd.Index | None = None
) -> go.Figure | None:
    """Cells by the branch that they are furthest out on; None where there is none.

    xy : (n_cells, 2); coordinates : (n_cells, n_branches); table : as from graph.branch_table; cells : names of
    the cells, which a pointer is told, or their numbers where it is not given.
    """
    if coordinates is None:
        return None
    names = [
        f"branch {row.branch}" if row.name == NO_LABEL else f"{row.branch}: {row.name}" for row in table.itertuples()
    ]
    labels = pd.Series(pd.Categorical.from_codes(coordinates.argmax(axis=1), names), cells)
    return label_scatter(xy, labels, "Cells by the branch that they are furthest out on")


def label_scatter(xy: np.ndarray, labels: pd.Series, title: str) -> go.Figure | None:
    """Cells coloured by a known label or number, those without one (NaN) grey; None if no cell has one.

    xy : (n_cells, 2), labels : (n_cells,). Of more than MAX_DRAWN labels, those of fewest cells are drawn as one. Of
    more cells than are drawn one by one some are, in the colours and beside the names that all of them have.
    """
    unknown = labels.isna().to_numpy()
    if unknown.all():
        return None
    rows = drawn_cells(len(labels))
    if pd.api.types.is_float_dtype(labels.dtype):
        return say_drawn(_number_scatter(xy[rows], labels.iloc[rows], title, rows), len(labels))
    names, rest = _drawn_names(labels)
    styles = {safe(name): style for name, style in type_styles(labels).items()}
    order = sorted(set(names) - {NOT_LABELLED, rest}, key=natural)
    order += [name for name in (rest, NOT_LABELLED) if name in set(names)]
    colours = {name: style["color"] for name, style in styles.items()} | dict.fromkeys([NOT_LABELLED, rest], GREY)
    options = {"category_orders": {"color": order}, "color_discrete_map": colours}
    drawn = names.iloc[rows]
    hover = _cell_names(labels.iloc[rows])
    figure = _cells(xy[rows], color=drawn, title=safe(title), hover_name=hover, **options)
    for trace in figure.data:
        trace.marker.symbol = styles.get(trace.name, NO_GROUP)["symbol"]
        trace.meta = {"cells": rows[drawn == trace.name]}
    figure.update_traces(hovertemplate="%{hovertext}<br>%{fullData.name}<extra></extra>")
    legend = {"title": "", "itemsizing": "constant"}
    if max(map(len, order)) > MAX_BESIDE:
        legend |= {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"}
    figure.update_layout(legend=legend, annotations=names_among(xy, labels))  # no colour need be looked up
    return say_drawn(figure, len(labels))


def _drawn_names(labels: pd.Series) -> tuple[pd.Series, str]:
    """Names of the cells' labels as they are drawn, and the one that stands for all labels beyond MAX_DRAWN."""
    counts = labels.value_counts()
    beyond = counts.index[MAX_DRAWN:][counts.iloc[MAX_DRAWN:] > 0]
    rest = f"{len(beyond):,} more labels"
    names = pd.Series(safe_names(labels)).mask(labels.isin(beyond).to_numpy(), rest)
    return names.mask(labels.isna().to_numpy(), NOT_LABELLED), rest


def _cell_names(labels: pd.Series) -> list[str]:
    """Names of the cells, which a pointer is told, (n_cells,)."""
    return [f"cell {name}" for name in safe_names(labels.index)]


def cells_and_types(labels: pd.Series) -> list[str]:
    """Name and label of each cell, which a pointer is told, (n_cells,); labels : (n_cells,), indexed by cells."""
    types = safe_names(labels.astype(object).where(labels.notna(), NOT_LABELLED))
    return [f"{cell}<br>{name}" for cell, name in zip(_cell_names(labels), types, strict=True)]


def _number_scatter(xy: np.ndarray, labels: pd.Series, title: str, rows: np.ndarray) -> go.Figure:
    """Cells coloured by a number, NaN grey; xy : (n_drawn, 2), labels : (n_drawn,), rows : (n_drawn,) of all cells."""
    numbers, known = labels.to_numpy(), labels.notna().to_numpy()
    names = _cell_names(labels[known])
    options = {"hover_name": names, "color_continuous_scale": "Viridis"}
    figure = _cells(xy[known], color=numbers[known], title=safe(title), **options)
    value = f"%{{hovertext}}<br>{safe(labels.name)}: %{{marker.color:.4~g}}<extra></extra>"
    figure.update_traces(hovertemplate=value, meta={"cells": rows[known]})
    if not known.all():
        x, y = xy[~known].T
        marker = {**NO_GROUP, "size": marker_size(len(xy))}
        rest = {"name": NOT_LABELLED, "marker": marker, "meta": {"cells": rows[~known]}}
        figure.add_trace(type(figure.data[0])(x=x, y=y, mode="markers", **rest))
    return figure.update_layout(coloraxis_colorbar_title="", showlegend=False)


def label_counts(labels: pd.Series, title: str) -> go.Figure | None:
    """How many cells carry each label, or none (NaN), as bars; of numbers, a histogram; None if no cell has one.

    labels : (n_cells,). Of more than MAX_DRAWN labels, those of fewest cells are one bar.
    """
    if labels.isna().all():
        return None
    if pd.api.types.is_float_dtype(labels.dtype):
        axes = {"x": safe(labels.name), "y": "cells"}
        return px.histogram(x=labels.dropna().to_numpy(), title=safe(title), labels=axes, width=700)
    counts = _drawn_names(labels)[0].value_counts()
    axes = {"x": "cells", "y": ""}
    figure = px.bar(x=counts.to_numpy(), y=list(counts.index), title=safe(title), labels=axes, width=700)
    return figure.update_layout(yaxis={"autorange": "reversed", "type": "category"}, height=200 + 18 * len(counts))


def quality_violins(quality: pd.DataFrame, limits: pd.DataFrame, words: Mapping[str, str]) -> go.Figure:
    """Quality of the cells, one violin a measure, with limits as lines: those set in full, others dotted.

    quality : (n_cells, n_measures); limits : `measure`, `limit`, `setting` and `left_out`, as from cells.limits;
    words : {measure: its title}. Of many cells a part is drawn.
    """
    if not len(quality.columns):
        hidden = {"xaxis_visible": False, "yaxis_visible": False, "template": "plotly_white", "height": 260}
        return go.Figure(layout={"title": "No measure of quality can be had of these values", **hidden})
    drawn = quality.iloc[evenly(len(quality), MAX_IN_VIOLIN)]
    figure = empty_panels([words[name] for name in quality], spacing=0.1)
    for panel, name in enumerate(quality):
        place = _on_axis(drawn[name].to_numpy(float), name)
        shape = {"scalegroup": name, "spanmode": "hard", "points": False, "box": {"visible": True, "width": 0.1}}
        style = {"line_width": 1, "marker_color": COLOURS[0], "hoverinfo": "skip"}
        y = np.sort(np.round(place[~np.isnan(place)], 3))  # in order, they pack smaller in a page
        figure.add_trace(go.Violin(y=y, name="", **shape, **style), **in_panel(panel))
        for row in limits[limits["measure"] == name].itertuples():
            line = {"color": COLOURS[1], "width": 1.5, "dash": "solid" if row.left_out else "dot"}
            side = "top right" if row.setting.startswith("n_mads") else "top left"
            note = {"annotation_text": row.setting, "annotation_font_size": 10, "annotation_position": side}
            figure.add_hline(float(_on_axis(row.limit, name)), line=line, **note, **in_panel(panel))
        if name in ON_LOG:
            ticks = [digit * 10**power for power in range(7) for digit in (1, 2, 5)]
            figure.update_yaxes(tickvals=np.log10(ticks), ticktext=[f"{tick:,}" for tick in ticks], **in_panel(panel))
    of_how_many = f"{len(drawn):,} of {len(quality):,} cells" if len(drawn) < len(quality) else f"{len(drawn):,} cells"
    return figure.update_layout(title=f"Quality of {of_how_many}")


def _on_axis(value: np.ndarray | float, measure: str) -> np.ndarray:
    """Where a value is drawn: plotly computes violins on linear axes alone, so logarithms are taken here."""
    return np.log10(np.maximum(value, 1)) if measure in ON_LOG else np.asarray(value)


def spectrum(freq_vals: np.ndarray) -> go.Figure:
    """Eigenvalues of the Laplacian against their index; freq_vals : (n_freq,)."""
    labels = {"x": "frequency", "y": "eigenvalue λ"}
    title = "Frequencies from coarse to fine"
    figure = px.line(x=np.arange(len(freq_vals)), y=freq_vals, markers=True, title=title, labels=labels, width=700)
    return figure.update_xaxes(dtick=max(1, len(freq_vals) // 10))


def scale_lines(table: pd.DataFrame) -> go.Figure | None:
    """How far each frequency, and the space of all up to it, comes back; None for an empty table.

    table : as from evaluation.scales. Bars reach down to the lowest of the graphs that were built anew.
    """
    if table.empty:
        return None
    figure = go.Figure(layout_template="plotly_white")
    named = {
        "all up to it, together": ("together", "together_lowest", "solid", COLOURS[0]),
        "it alone": ("alone", "alone_lowest", "dot", COLOURS[1]),
        "together, in cells without structure": ("structureless_together", "structureless_lowest", "dash", GREY),
    }
    for name, (mean, lowest, dash, colour) in named.items():
        if table[mean].notna().any():
            down = {"array": np.zeros(len(table)), "arrayminus": table[mean] - table[lowest], "symmetric": False}
            line = {"dash": dash, "color": colour}
            figure.add_scatter(x=table["frequency"], y=table[mean], error_y=down, name=name, line=line)
    figure.update_traces(mode="lines+markers", customdata=table[["canonical_correlations"]])
    figure.update_traces(
        hovertemplate="%{y:.2f}<br>all up to it: %{customdata[0]}", selector={"name": next(iter(named))}
    )
    figure.add_hline(COMES_BACK, line={"color": "grey", "width": 1}, annotation_text=f"comes back: {COMES_BACK}")
    figure.update_xaxes(title="frequency", dtick=1).update_yaxes(title="canonical or |correlation|", range=[0, 1.05])
    return figure.update_layout(title="How far frequencies come back where the graph is built anew")
