"""Figures of planted truth."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from scripts.cells import SPLIT, PlantedCells
from scripts.evaluation import recovery
from scripts.figures.style import COLOURS

METHODS = (
    recovery.BILINEAR,
    recovery.COMPONENTS,
    recovery.LINEAR,
    recovery.CORRELATION,
    recovery.PRODUCTS,
    recovery.CO_EXPRESSION,
    recovery.PLANTED,
)  # one style each, everywhere
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "solid", "dot")
SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up", "cross", "star")


def pair_cells(cells: PlantedCells, pair: int = 0) -> go.Figure:
    """The two genes of one planted pair against each other, a panel for A1, A2 and all other branches.

    cells : from planted.plant; pair : row of cells.pairs.
    """
    i, j = cells.pairs[pair]
    groups = {name: cells.branch == name for name in SPLIT} | {"other branches": ~np.isin(cells.branch, SPLIT)}
    titles = [
        f"{name} (correlation {np.corrcoef(cells.X[rows, i], cells.X[rows, j])[0, 1]:+.2f})"
        for name, rows in groups.items()
    ]
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, shared_xaxes="all", shared_yaxes="all")
    for column, (rows, colour) in enumerate(zip(groups.values(), COLOURS, strict=False), start=1):
        marker = {"color": colour, "size": 4, "opacity": 0.6}
        figure.add_scatter(x=cells.X[rows, i], y=cells.X[rows, j], mode="markers", marker=marker, row=1, col=column)
    figure.update_xaxes(title=cells.genes[i]).update_yaxes(title=cells.genes[j], col=1)
    title = "One planted pair: expression of its genes, in standard deviations"
    return figure.update_layout(title=title, showlegend=False, height=400, template="plotly_white")


def recovery_curves(table: pd.DataFrame, tasks: list[str]) -> go.Figure:
    """How well each method does each task as interaction grows, a panel a task; bars are the spread over seeds.

    table : as planted_sweep; tasks : which of its tasks, one to four.
    """
    n_columns = min(2, len(tasks))
    titles = [task[0].upper() + task[1:] for task in tasks]
    figure = make_subplots(rows=-(-len(tasks) // n_columns), cols=n_columns, subplot_titles=titles)
    shown = table[table["task"].isin(tasks)]
    methods = [method for method in METHODS if method in set(shown["method"])]
    for panel, task in enumerate(tasks):
        place = {"row": panel // n_columns + 1, "col": panel % n_columns + 1}
        own = shown[shown["task"] == task]
        for method in methods:
            seeds = own[own["method"] == method].groupby("interaction")["value"].agg(["mean", "std"]).fillna(0)
            if len(seeds):
                figure.add_trace(_curve(seeds, method, named=panel == 0), **place)
        chance = own.groupby("interaction")["chance"].mean()
        line = {"color": "#777777", "dash": "dot", "width": 1}
        grey = go.Scatter(x=chance.index, y=chance, mode="lines", line=line, name="chance", showlegend=panel == 0)
        figure.add_trace(grey, **place)
        figure.update_xaxes(title="interaction", **place)
        figure.update_yaxes(title={"AUPRC": "AUPRC", "R2": "R² on held-out cells"}[own["measure"].iloc[0]], **place)
    legend = {"orientation": "h", "y": -0.25 if len(tasks) <= n_columns else -0.14}
    height = 380 * -(-len(tasks) // n_columns) + 100
    title = "As the difference between A1 and A2 moves from single genes into pairs"
    return figure.update_layout(title=title, template="plotly_white", height=height, legend=legend)


def _curve(seeds: pd.DataFrame, method: str, named: bool) -> go.Scatter:
    """One method's mean and spread; the same colour, dash and symbol in every figure."""
    number = METHODS.index(method)
    return go.Scatter(
        x=seeds.index,
        y=seeds["mean"],
        error_y={"array": seeds["std"], "thickness": 1},
        mode="lines+markers",
        name=method,
        legendgroup=method,
        showlegend=named,
        line={"color": COLOURS[number % len(COLOURS)], "dash": DASHES[number % len(DASHES)]},
        marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
    )


def network_bars(table: pd.DataFrame) -> go.Figure:
    """How well each method ranks the edges of the published network; table as recovery.krumsiek_recovery."""
    measures = list(dict.fromkeys(table["measure"]))
    figure = make_subplots(rows=1, cols=len(measures), subplot_titles=measures, shared_yaxes=True)
    for column, measure in enumerate(measures, start=1):
        own = table[table["measure"] == measure]
        seeds = own.groupby("method", sort=False)["value"].agg(["mean", "std"]).fillna(0)[::-1]
        error = {"array": seeds["std"], "thickness": 1}
        bar = go.Bar(x=seeds["mean"], y=seeds.index, error_x=error, orientation="h", marker_color=COLOURS[0])
        figure.add_trace(bar, row=1, col=column)
        figure.add_vline(x=own["chance"].mean(), line_dash="dot", line_color="#777777", row=1, col=column)
    title = "Edges of the published network among all pairs of its genes; dotted: chance"
    return figure.update_layout(title=title, showlegend=False, height=380, template="plotly_white").update_xaxes(
        range=[0, 1]
    )
