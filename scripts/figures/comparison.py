"""Figures that compare methods."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from scripts.evaluation import covariates
from scripts.figures.style import GREY, HIGH, LOW, group_style, safe, safe_names
from scripts.rankings import GROUPS, PANEL, RANDOM


def jaccard_by_frequency(comparison: pd.DataFrame) -> go.Figure:
    """Jaccard of modules and correlated genes against lambda, with what random genes give."""
    figure = go.Figure(layout_template="plotly_white")
    lines = {"best_jaccard": "better pole", "jaccard_positive": "positive pole", "jaccard_negative": "negative pole"}
    for column, name in lines.items():
        dash = "solid" if column == "best_jaccard" else "dot"
        figure.add_scatter(
            x=comparison["lambda"], y=comparison[column], mode="lines+markers", name=name, line_dash=dash, visible=True
        )
    chance = comparison["expected_jaccard"]
    figure.add_scatter(x=comparison["lambda"], y=chance, mode="lines", name="random genes", line={"color": "grey"})
    return figure.update_layout(
        title="First module and most correlated genes: how much they share",
        xaxis_title="frequency λ",
        yaxis_title="Jaccard similarity",
    )


def _style(names: list[str]) -> dict[str, dict]:
    """Colour and symbol of each name."""
    return {name: group_style(number) for number, name in enumerate(names)}


def panel_curves(summary: pd.DataFrame, n_splits: int, floor: float = np.nan) -> go.Figure:
    """Held-out R2 against the size of the panel, mean and spread over splits; as from panels.panel_summary.

    A panel for each group of methods; in all of them the bilinear panel in black and, dashed, random genes.
    floor : R2 of all genes on cells without structure, a dotted line; NaN where it is not known.
    """
    shown = {title: [name for name in group if name in set(summary["method"])] for title, group in GROUPS.items()}
    figure = make_subplots(1, len(shown), subplot_titles=list(shown), shared_yaxes=True, horizontal_spacing=0.02)
    sizes = sorted(summary["n_genes"].unique())
    for column, group in enumerate(shown.values(), start=1):
        own = _style([name for name in group if name != PANEL])
        in_all = {PANEL: {"color": "black"}, RANDOM: {"color": GREY}}
        for name, style in (in_all | own).items():
            rows = summary[summary["method"] == name]
            figure.add_scatter(
                x=rows["n_genes"],
                y=rows["mean"],
                error_y={"array": rows["sd"], "thickness": 1},
                mode="lines+markers",
                name=safe(name),
                legend=f"legend{column}" if column > 1 else "legend",
                marker={**style, "size": 7},
                line={"color": style["color"], "dash": "dash" if name == RANDOM else "solid"},
                row=1,
                col=column,
            )
    if not np.isnan(floor):
        figure.add_hline(floor, line_dash="dot")
        figure.add_annotation(text="cells without structure, all genes", x=1, y=floor, xref="x domain", yref="y")
        figure.layout.annotations[-1].update(showarrow=False, xanchor="right", yanchor="bottom")
    figure.update_xaxes(type="log", tickvals=sizes, ticktext=[str(size) for size in sizes], title="genes of the panel")
    figure.update_yaxes(title="R² on held-out test cells", col=1)
    for number, axis in enumerate(figure.select_xaxes(), start=1):  # a legend below each panel
        place = {"x": axis.domain[0], "y": -0.2, "xanchor": "left", "yanchor": "top"}
        figure.update_layout({f"legend{number}" if number > 1 else "legend": place})
    title = f"What a few genes say of the frequencies: mean and spread over {n_splits} splits"
    return figure.update_layout(template="plotly_white", title=title, height=620)


def method_dots(table: pd.DataFrame, value: str, title: str, axis: str, chance: float | None = None) -> go.Figure:
    """One dot a frequency for each method, a bar at their mean.

    table : columns method, frequency and `value`; methods in the order to draw. chance : a dotted line, if given.
    """
    methods = list(dict.fromkeys(table["method"]))
    by_frequency = table.groupby(["method", "frequency"], sort=False)[value].mean().reset_index()
    figure = go.Figure(layout_template="plotly_white")
    for f, rows in by_frequency.groupby("frequency"):
        marker = {"size": 10, **group_style(int(f))}
        names = safe_names(rows["method"])
        figure.add_scatter(x=rows[value], y=names, mode="markers", name=f"frequency {f}", marker=marker)
    mean = by_frequency.groupby("method", sort=False)[value].mean()
    line = {"symbol": "line-ns", "size": 22, "color": "black", "line": {"width": 3, "color": "black"}}
    names = safe_names(mean.index)
    figure.add_scatter(x=mean, y=names, mode="markers", name="mean", marker=line)
    if chance is not None and np.isfinite(chance):
        figure.add_vline(x=chance, line_dash="dot", line_color="grey", annotation_text="chance")
    figure.update_yaxes(categoryorder="array", categoryarray=safe_names(reversed(methods)))
    return figure.update_layout(title=safe(title), xaxis_title=axis, height=200 + 32 * len(methods))


def driver_intervals(drivers: pd.DataFrame, n_genes: int = 8) -> go.Figure:
    """The genes most correlated with each frequency, with their intervals; as from evaluation.driver_table."""
    top = drivers.groupby("frequency").head(n_genes)
    figure = go.Figure(layout_template="plotly_white")
    for f, rows in top.groupby("frequency"):
        names = [f"{f}: {safe(gene)}" for gene in rows["gene"]]
        _add_intervals(figure, rows, "correlation", names, f"frequency {f}", group_style(int(f)))
    title = "Genes most correlated with each frequency, with 95% intervals"
    return figure.update_layout(title=title, xaxis_title="correlation", height=160 + 18 * len(top))


def end_intervals(ends: Mapping[str, pd.DataFrame]) -> go.Figure | None:
    """How much higher genes are at the ends of a frequency than in all other cells; None where there are none.

    ends : {"low" or "high": rows as from evaluation.group_markers}.
    """
    figure = go.Figure(layout_template="plotly_white")
    for side, rows in ends.items():
        names = [f"{safe(gene)} ({side})" for gene in rows["gene"]]
        if names:
            style = {"low": {"color": LOW}, "high": {"color": HIGH, "symbol": "diamond"}}[side]
            _add_intervals(figure, rows, "difference", names, f"{side} end", style)
    if not figure.data:
        return None
    axis = "difference of the means, in standard deviations of the gene"
    title = "Genes that are higher at either end than in all other cells, with 95% intervals"
    height = 160 + 18 * sum(map(len, ends.values()))
    return figure.update_xaxes(rangemode="tozero").update_layout(title=title, xaxis_title=axis, height=height)


def _add_intervals(
    figure: go.Figure, rows: pd.DataFrame, column: str, names: list[str], group: str, style: dict[str, str]
) -> None:
    """Points with the interval from `ci_low` to `ci_high`, a line each, from the top down."""
    up, down = rows["ci_high"] - rows[column], rows[column] - rows["ci_low"]
    reach = {"symmetric": False, "array": up, "arrayminus": down}
    marker = {"size": 7, **style}
    figure.add_scatter(x=rows[column], y=names, error_x=reach, mode="markers", marker=marker, name=group)
    figure.update_yaxes(autorange="reversed", dtick=1, tickfont_size=10)


def covariate_dots(table: pd.DataFrame) -> go.Figure:
    """What each covariate explains of each frequency, with bars at expression and at half of it.

    table : as from evaluation.covariate_table.
    """
    of_models = table["kind"] == covariates.EXPRESSION
    expression = table[of_models].groupby("frequency")["r2"].max()
    figure = go.Figure(layout_template="plotly_white")
    bars = {"expression": (expression, "black"), "half of it": (covariates.SHARE * expression, GREY)}
    for name, (values, colour) in bars.items():
        marker = {"symbol": "line-ew", "size": 40, "line": {"width": 3, "color": colour}}
        figure.add_scatter(
            x=[f"frequency {f}" for f in values.index], y=values, mode="markers", name=name, marker=marker
        )
    others = table[~of_models]
    for name, style in _style(list(dict.fromkeys(others["covariate"]))).items():
        rows = others[others["covariate"] == name]
        x, marker = [f"frequency {f}" for f in rows["frequency"]], {**style, "size": 9}
        figure.add_scatter(x=x, y=rows["r2"], mode="markers", name=safe(name), marker=marker)
    title = "What else explains each frequency"
    return figure.update_layout(title=title, yaxis_title="R² on held-out cells", yaxis_range=[-0.05, 1.05], height=450)
