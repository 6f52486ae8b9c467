"""Figures of what is read from a model: modules, main effects, pairs, one cell, and groups within groups of cells."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from scripts.figures.cells import frequency_scatter
from scripts.figures.style import (
    COLOURS,
    GREY,
    HIGH,
    LOW,
    PALE,
    empty_panels,
    group_style,
    in_panel,
    ink_on,
    safe,
    safe_names,
)

POSITIVE, NEGATIVE, TOTAL = HIGH, LOW, GREY
MAX_WIDTH = 6.0  # pixels, of the strongest pair of each frequency


def score_scatter(xy: np.ndarray, scores: np.ndarray, freq_vals: np.ndarray, modules: pd.DataFrame) -> go.Figure:
    """Cells coloured by the score of the first module of each frequency; scores : (n_cells, n_freq).

    modules : as from reading.module_axes.
    """
    figure = frequency_scatter(xy, scores, freq_vals)
    for note, title in zip(figure.layout.annotations, _module_titles(freq_vals, modules), strict=True):
        note.text = title
    figure.update_layout(title_text="Score of each frequency's first module", coloraxis_colorbar_title="score, scaled")
    return figure.update_traces(hovertemplate="score = %{customdata:.4f}<extra></extra>")


def eigenvalue_spectrum(values: np.ndarray, n_shown: int = 30) -> go.Figure:
    """Leading eigenvalues of each interaction matrix; values : (n_freq, r), the largest absolute value first."""
    largest = np.abs(values).max(axis=1, keepdims=True)
    shown = values[:, :n_shown] / np.where(largest > 0, largest, 1)
    figure = go.Figure(layout_template="plotly_white")
    for f, row in enumerate(shown):
        figure.add_scatter(x=np.arange(1, len(row) + 1), y=row, mode="lines+markers", name=f"Frequency {f}")
    return figure.update_layout(
        title="Modules: eigenvalues of the interaction matrices",
        xaxis_title="module",
        yaxis_title="eigenvalue / largest absolute eigenvalue",
    )


def _module_titles(freq_vals: np.ndarray, modules: pd.DataFrame) -> list[str]:
    """Of the panels of first modules: their stability, and of which other module they have the axis."""
    first = modules[modules["module"] == 1].groupby("frequency").first().reindex(range(len(freq_vals)))
    titles = []
    for row, value in zip(first.itertuples(), freq_vals, strict=True):
        known = [
            f"{name} {stability:.2f}" if np.isfinite(stability) else f"{name} unknown"
            for name, stability in (("stability", row.stability), ("anew", row.stability_anew))
        ]
        again = [] if pd.isna(row.repeats) else [f"as {row.repeats}"]
        titles.append(f"Frequency {row.Index} (λ={value:.4f})<br>{', '.join(known + again)}")
    return titles


def stability_bars(table: pd.DataFrame) -> go.Figure | None:
    """How many genes of both poles subsamples share, by method, with the graph built anew and as it is.

    table : as from reading.pole_stability; None for an empty one.
    """
    if table.empty:
        return None
    figure = go.Figure(layout_template="plotly_white")
    for name, of_graph in table.groupby("graph", sort=False):
        spread = {"array": of_graph["both_poles_sd"], "thickness": 1}
        figure.add_bar(x=of_graph["method"], y=of_graph["both_poles"], error_y=spread, name=f"graph {name}")
    figure.update_yaxes(title="Jaccard similarity", range=[0, 1])
    return figure.update_layout(title="Genes of both poles that subsamples of the cells share", barmode="group")


def pole_bars(table: pd.DataFrame, freq_vals: np.ndarray, n_genes: int = 12) -> go.Figure:
    """Genes of both poles of the first module, one panel a frequency; table as from reading.module_table, judged."""
    figure = empty_panels(_module_titles(freq_vals, table), spacing=0.12, height=460)
    for f in range(len(freq_vals)):
        chosen = table[(table["frequency"] == f) & (table["module"] == 1) & (table["rank"] <= n_genes)]
        chosen = chosen.sort_values("pattern")
        colours = np.where(chosen["pole"] == "positive", POSITIVE, NEGATIVE)
        bars = go.Bar(x=chosen["pattern"], y=safe_names(chosen["gene"]), orientation="h", marker_color=colours)
        figure.add_trace(bars, **in_panel(f))
    figure.update_xaxes(title="correlation with the axis").update_yaxes(type="category", dtick=1, tickfont_size=10)
    return figure.update_layout(title="First module of each frequency: the genes of its two poles")


def main_effect_bars(table: pd.DataFrame, freq_vals: np.ndarray, n_genes: int = 12) -> go.Figure:
    """Genes of the largest main effects, one panel a frequency; table as from modules.main_effect_table."""
    figure = empty_panels(
        [f"Frequency {f} (λ={value:.4f})" for f, value in enumerate(freq_vals)], spacing=0.12, height=460
    )
    for f in range(len(freq_vals)):
        chosen = table[(table["frequency"] == f) & (table["rank"] <= n_genes)].sort_values("effect")
        colours = np.where(chosen["pole"] == "positive", POSITIVE, NEGATIVE)
        bars = go.Bar(x=chosen["effect"], y=safe_names(chosen["gene"]), orientation="h", marker_color=colours)
        figure.add_trace(bars, **in_panel(f))
    figure.update_xaxes(title="effect").update_yaxes(type="category", dtick=1, tickfont_size=10)
    return figure.update_layout(title="Main effects of single genes, beside the modules")


def pair_network(table: pd.DataFrame, n_pairs: int = 20) -> go.Figure:
    """Genes on a circle, their pairs as lines: width by |T|, red where T is positive and blue where it is negative.

    Of each frequency the pairs that are called, at most n_pairs; where there are none, the strongest ones, dotted, as
    the panel's title says. table : as from reading.scan_table.
    """
    titles, drawn = [], []
    for frequency, listed in table.groupby("frequency"):
        called = listed[listed["called"]]
        shown = (listed if called.empty else called).nsmallest(n_pairs, "rank")
        titles.append(f"Frequency {frequency}: {len(called) or 'none'} called")
        drawn.append((shown, "dot" if called.empty else "solid"))
    figure = empty_panels(titles or ["No pair can be tested"], spacing=0.06, height=430)
    for panel, (shown, dash) in enumerate(drawn):
        places = _circle(shown)
        for line in _lines(shown, places, dash):
            figure.add_trace(line, **in_panel(panel))
        figure.add_trace(_gene_names(places), **in_panel(panel))
    figure.update_xaxes(visible=False, range=[-1.7, 1.7]).update_yaxes(visible=False, range=[-1.4, 1.4])
    return figure.update_layout(
        title=f"Gene pairs (at most {n_pairs} drawn): both high, red: higher, blue: lower frequency; dotted: not called"
    )


def _circle(shown: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Place of each gene on the unit circle, a gene next to those that it is paired with where that can be."""
    order: list[str] = []
    waiting = pd.concat([shown["gene_i"], shown["gene_j"]]).value_counts().index.tolist()
    pairs = list(zip(shown["gene_i"], shown["gene_j"], strict=True))
    while waiting:
        gene = waiting.pop(0)
        order.append(gene)
        partners = {b if a == gene else a for a, b in pairs if gene in (a, b)}
        waiting.sort(key=lambda name: name not in partners)  # stable: partners come next
    angles = 2 * np.pi * np.arange(len(order)) / max(len(order), 1)
    return {gene: (float(np.cos(a)), float(np.sin(a))) for gene, a in zip(order, angles, strict=True)}


def _lines(shown: pd.DataFrame, places: dict[str, tuple[float, float]], dash: str) -> list[go.Scatter]:
    """A line for each pair; its middle, which carries the text, is drawn in for the pointer to find."""
    lines = []
    for row in shown.iloc[::-1].itertuples():  # the strongest last, on top
        (x, y), (to_x, to_y) = places[row.gene_i], places[row.gene_j]
        width = max(0.5, MAX_WIDTH * abs(row.t) / max(shown["t"].abs().max(), 1))
        known = "not tested" if pd.isna(row.adjusted_p) else f"adjusted p {row.adjusted_p:.2g}"
        text = f"{safe(row.gene_i)} × {safe(row.gene_j)}<br>T {row.t:.3g}<br>{known}"
        line = {"width": width, "color": POSITIVE if row.t > 0 else NEGATIVE, "dash": dash}
        middle = {"x": [x, (x + to_x) / 2, to_x], "y": [y, (y + to_y) / 2, to_y]}
        lines.append(go.Scatter(**middle, mode="lines", line=line, text=text, hoverinfo="text"))
    return lines


def _gene_names(places: dict[str, tuple[float, float]]) -> go.Scatter:
    x, y = np.array(list(places.values())).reshape(-1, 2).T
    side = np.where(np.abs(x) < 0.3, "center", np.where(x > 0, "right", "left"))
    height = np.where(np.abs(x) >= 0.3, "middle", np.where(y > 0, "top", "bottom"))
    return go.Scatter(
        x=x,
        y=y,
        mode="markers+text",
        text=safe_names(places),
        textposition=[f"{up} {across}" for up, across in zip(height, side, strict=True)],
        textfont_size=10,
        marker={"size": 6, "color": TOTAL},
        hoverinfo="skip",
    )


def cell_waterfall(table: pd.DataFrame, cell: str) -> go.Figure:
    """How a cell's prediction adds up, a panel a frequency: constant, main effects, modules, products; grey: all.

    table : as from explain.explain_cell; cell : its name.
    """
    frequencies = sorted(table["frequency"].unique())
    figure = empty_panels([f"Frequency {f}" for f in frequencies], spacing=0.12, height=460)
    for panel, frequency in enumerate(frequencies):
        parts = table[table["frequency"] == frequency]
        names = [*safe_names(parts["part"]), "prediction"]
        steps = go.Waterfall(
            x=[*parts["contribution"], parts["contribution"].sum()],
            y=names,
            measure=["relative"] * len(parts) + ["total"],
            orientation="h",
            increasing={"marker": {"color": POSITIVE}},
            decreasing={"marker": {"color": NEGATIVE}},
            totals={"marker": {"color": TOTAL}},
            connector={"line": {"width": 0.5, "color": TOTAL}},
        )
        figure.add_trace(steps, **in_panel(panel))
    figure.update_yaxes(type="category", autorange="reversed", dtick=1, tickfont_size=10)
    figure.update_xaxes(title="prediction so far")
    return figure.update_layout(title=f"Cell {safe(cell)}: what adds up to its predicted frequencies")


def nestedness_dots(table: pd.DataFrame) -> go.Figure | None:
    """How far finer clusters lie in coarser ones, a panel a step, beside a Gaussian; None if there is no step.

    table : as from hierarchy.nestedness_table.
    """
    steps = list(dict.fromkeys(zip(table["n_clusters"], table["n_coarse"], strict=True)))
    if not steps:
        return None
    figure = empty_panels([f"{fine} clusters in {coarse}" for fine, coarse in steps], spacing=0.04)
    for panel, (fine, coarse) in enumerate(steps):
        step = table[(table["n_clusters"] == fine) & (table["n_coarse"] == coarse)]
        series = {"cells": ("value", COLOURS[0]), "Gaussian of the same covariance": ("chance", GREY)}
        for name, (column, colour) in series.items():
            spread = {"array": step[f"{column}_sd"], "thickness": 1}
            marker = {"size": 9, "color": colour}
            dots = {"x": step[column], "y": safe_names(step["space"]), "error_x": spread, "marker": marker}
            dots |= {"mode": "markers", "name": name, "legendgroup": name, "showlegend": panel == 0}
            figure.add_trace(go.Scatter(**dots), **in_panel(panel))
        figure.update_yaxes(showticklabels=panel % 3 == 0, **in_panel(panel))
    figure.update_yaxes(autorange="reversed").update_xaxes(range=[0, 1.04])
    title = "Share of the cells that lie where most of their finer cluster lies"
    legend = {"orientation": "h", "y": -0.15}
    return figure.update_layout(title=title, showlegend=True, legend=legend)


def cluster_agreement_lines(table: pd.DataFrame, title: str) -> go.Figure | None:
    """Adjusted Rand index at each number of clusters, a line a space; None if there is none.

    table : rows of one measure and one method, as from hierarchy.agreement_with_spaces or agreement_with_labels.
    """
    if table.empty:
        return None
    figure = go.Figure(layout_template="plotly_white")
    for number, (space, line) in enumerate(table.groupby("space", sort=False)):
        marker = {"size": 8, **group_style(number)}
        spread = {"array": line["value_sd"], "thickness": 1}
        points = {"x": line["n_clusters"].astype(int), "y": line["value"], "error_y": spread, "marker": marker}
        figure.add_scatter(**points, mode="lines+markers", name=safe(space))
    figure.update_xaxes(type="log", title="clusters", tickvals=sorted(set(table["n_clusters"].astype(int))))
    figure.update_yaxes(title="adjusted Rand index (chance: 0)")
    return figure.update_layout(title=title)


def cell_tree_boxes(splits: pd.DataFrame) -> go.Figure | None:
    """Groups within groups of cells, the coarsest to the left; None if there is no split.

    A group at an end is as high as the root of the number of its cells, so that rare ones are seen. Text and pointer
    say what parts a group. splits : as in hierarchy.CellTree.
    """
    if splits.empty:
        return None
    root = splits.iloc[0]
    boxes = {root["group"]: {"parent": "", "cells": root["n_cells"], "labels": ""}}
    for row in splits.itertuples():
        boxes[row.first] = {"parent": row.group, "cells": row.n_first, "labels": row.labels_first}
        boxes[row.second] = {"parent": row.group, "cells": row.n_second, "labels": row.labels_second}
    parted = {row.group: row for row in splits.itertuples()}
    colours = [group_style(int(parted[name].frequency))["color"] if name in parted else PALE for name in boxes]
    edges = {"color": ["white" if name in parted else GREY for name in boxes], "width": 1}
    icicle = go.Icicle(
        ids=list(boxes),
        labels=list(boxes),
        parents=[box["parent"] for box in boxes.values()],
        values=[0 if name in parted else np.sqrt(box["cells"]) for name, box in boxes.items()],
        text=[_box_label(name, box, parted.get(name)) for name, box in boxes.items()],
        hovertext=[_box_text(name, box, parted.get(name)) for name, box in boxes.items()],
        hoverinfo="text",
        textinfo="text",
        sort=False,
        tiling={"orientation": "h"},
        marker={"colors": colours, "line": edges},
        leaf_opacity=1,
        textfont_color=[ink_on(colour) for colour in colours],
        pathbar={"visible": False},
    )
    title = "Groups within groups of cells, coloured by the frequency that parts them; grey ones are not parted further"
    margin = {"l": 10, "r": 10, "b": 10}
    return go.Figure(icicle, layout_template="plotly_white").update_layout(title=title, height=620, margin=margin)


def _box_label(name: str, box: dict, split) -> str:
    """Text of a group's box, in one line at the end of a branch, which may be low; arguments as for `_box_text`."""
    commonest = safe(box["labels"].split(", ")[0])
    if split is None:
        return f"{name}: {commonest or format(box['cells'], ',')}"
    return "<br>".join(filter(None, [name, f"{box['cells']:,} cells", commonest, f"by frequency {split.frequency}"]))


def _box_text(name: str, box: dict, split) -> str:
    """What the pointer tells of a group; split : its row, None where it is not parted further."""
    lines = [f"{name}: {box['cells']:,} cells", *([safe(box["labels"])] if box["labels"] else [])]
    if split is not None:
        lines.append(f"parted by frequency {split.frequency} ({split.frequency_share:.0%} of the distance)")
        sides = {split.first: split.higher_in_first, split.second: split.higher_in_second}
        lines += [f"higher in {side}: {safe(genes)}" for side, genes in sides.items() if genes]
        told = (
            f"told by these genes: {split.accuracy:.0%} of held-out cells, by random ones {split.random_accuracy:.0%}"
        )
        lines.append("not judged: too few held-out cells" if np.isnan(split.accuracy) else told)
    return "<br>".join(lines)
