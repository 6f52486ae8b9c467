"""Figures of planted truth."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from scripts import truth
from scripts.cells import SPLIT, PlantedCells
from scripts.figures.style import COLOURS

METHODS = (truth.SCAN, *truth.MODELS, *truth.RIVALS, truth.PLANTED)  # one style each, everywhere
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "solid", "dash", "dot")
SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up", "cross", "triangle-down", "star")


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
        marker = {"color": colour, "size": 3}
        figure.add_scatter(x=cells.X[rows, i], y=cells.X[rows, j], mode="markers", marker=marker, row=1, col=column)
    figure.update_xaxes(title=cells.genes[i]).update_yaxes(title=cells.genes[j], col=1)
    title = "One planted pair: expression of its genes, in standard deviations"
    return figure.update_layout(title=title, showlegend=False, height=400, template="plotly_white")


TITLES = {
    "interaction": "As the difference between A1 and A2 moves from single genes into pairs",
    "share": "As each planted pair makes up more of a frequency's variance",
}


def recovery_curves(table: pd.DataFrame, tasks: list[str], by: str = "interaction") -> go.Figure:
    """How well each method does each task as the planted signal changes, a panel a task; bars: spread over seeds.

    table : as truth.made_sweep or real_sweep; tasks : which of its tasks, one or two; by : "interaction" or "share".
    """
    titles = [task[0].upper() + task[1:] for task in tasks]
    figure = make_subplots(rows=1, cols=len(tasks), subplot_titles=titles)
    shown = table[table["task"].isin(tasks) & table["measure"].isin([truth.AUPRC, truth.R2])]
    named: set[str] = set()  # in the legend
    for column, task in enumerate(tasks, start=1):
        own = shown[shown["task"] == task]
        for method in [method for method in METHODS if method in set(own["method"])]:
            seeds = own[own["method"] == method].groupby(by)["value"].agg(["mean", "std"]).fillna(0)
            figure.add_trace(_curve(seeds, method, named=method not in named), row=1, col=column)
            named.add(method)
        chance = own.groupby(by)["chance"].mean()
        line = {"color": "#777777", "dash": "dot", "width": 1}
        grey = go.Scatter(x=chance.index, y=chance, mode="lines", line=line, name="chance", showlegend=column == 1)
        figure.add_trace(grey, row=1, col=column)
        figure.update_xaxes(title=by, row=1, col=column)
        title = {truth.AUPRC: "AUPRC", truth.R2: "R² on held-out cells"}[own["measure"].iloc[0]]
        figure.update_yaxes(title=title, row=1, col=column)
    legend = {"orientation": "h", "y": -0.25}
    return figure.update_layout(title=TITLES[by], template="plotly_white", height=480, legend=legend)


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
    """How well each method ranks the edges of known networks, a panel a network; table : as truth.network_recovery."""
    own = table[table["measure"] == truth.AUPRC]
    names = list(dict.fromkeys(own["data"]))
    figure = make_subplots(rows=1, cols=len(names), subplot_titles=names, shared_yaxes=True)
    for column, name in enumerate(names, start=1):
        one = own[own["data"] == name]
        seeds = one.groupby("method", sort=False)["value"].agg(["mean", "std"]).fillna(0)[::-1]
        error = {"array": seeds["std"], "thickness": 1}
        bar = go.Bar(x=seeds["mean"], y=seeds.index, error_x=error, orientation="h", marker_color=COLOURS[0])
        figure.add_trace(bar, row=1, col=column)
        figure.add_vline(x=one["chance"].mean(), line_dash="dot", line_color="#777777", row=1, col=column)
    title = "Edges of the networks among all pairs of their genes, AUPRC; dotted: chance"
    return figure.update_layout(title=title, showlegend=False, height=380, template="plotly_white").update_xaxes(
        range=[0, 1]
    )
