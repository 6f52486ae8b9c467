"""Figures on the models: each function takes data and returns one plotly figure; none shows it."""

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from scripts.figures import _names, _panels, _place


def performance_dots(performance: pd.DataFrame) -> go.Figure:
    """Held-out R2 of every model, a dot a frequency, mean and standard deviation over splits.

    performance : columns split, model, frequency, r2; models in the order to draw.
    """
    order = list(dict.fromkeys(performance["model"]))
    by_split = performance.groupby(["model", "split"], sort=False)["r2"].mean().groupby("model", sort=False)
    table = performance.groupby(["model", "frequency"], sort=False)["r2"].agg(["mean", "std"]).reset_index()
    table["frequency"] = "frequency " + table["frequency"].astype(str)
    figure = px.scatter(
        table,
        x="mean",
        y="model",
        error_x="std",
        color="frequency",
        category_orders={"model": order},
        color_discrete_sequence=px.colors.qualitative.Safe,
        title="Held-out R² of every model, mean and spread over splits",
        labels={"mean": "R² on held-out test cells", "model": "", "frequency": ""},
    )
    means = by_split.mean().reindex(order)
    marker = {"symbol": "line-ns", "size": 26, "line": {"width": 3, "color": "black"}}
    figure.add_scatter(x=means, y=order, mode="markers", marker=marker, name="mean of all")
    return figure.update_layout(height=180 + 45 * len(order))


def truncation_curves(curve: pd.DataFrame) -> go.Figure:
    """Held-out R2 against the number of modules kept; curve as from protocols.truncation_curve."""
    figure = px.line(
        curve.assign(frequency="frequency " + curve["frequency"].astype(str)),
        x="n_modules",
        y="test_r2",
        color="frequency",
        markers=True,
        color_discrete_sequence=px.colors.qualitative.Safe,
        title="What each further module adds to the prediction of held-out cells",
        labels={
            "n_modules": "modules kept, the largest first",
            "test_r2": "R² on held-out test cells",
            "frequency": "",
        },
    )
    return figure.update_xaxes(dtick=1)


def agreement_bars(tables: dict[str, pd.DataFrame]) -> go.Figure:
    """Agreement of the first module between fits, a bar a frequency; {how the fits differ: agreement_table}."""
    figure = go.Figure(layout_template="plotly_white")
    for (name, table), colour in zip(tables.items(), px.colors.qualitative.Safe, strict=False):
        figure.add_bar(
            x=[f"frequency {frequency}" for frequency in table["frequency"]],
            y=table["first_module_jaccard"],
            error_y={"array": table["first_module_jaccard_sd"]},
            name=name,
            marker_color=colour,
        )
    title = "First module of each frequency: the share of its genes that another fit names again"
    return figure.update_layout(title=title, yaxis_title="matched Jaccard of the poles", yaxis_range=[0, 1])


def main_effect_bars(table: pd.DataFrame, freq_vals: np.ndarray, n_genes: int = 12) -> go.Figure:
    """Genes of the largest main effects, one panel a frequency; table as from modules.main_effect_table."""
    figure = _panels([f"Frequency {f} (λ={value:.4f})" for f, value in enumerate(freq_vals)], spacing=0.12, height=460)
    for f in range(len(freq_vals)):
        chosen = table[(table["frequency"] == f) & (table["rank"] <= n_genes)].sort_values("effect")
        colours = np.where(chosen["pole"] == "positive", "#b2182b", "#2166ac")
        bars = go.Bar(x=chosen["effect"], y=_names(chosen["gene"]), orientation="h", marker_color=colours)
        figure.add_trace(bars, **_place(f))
    figure.update_xaxes(title="effect").update_yaxes(dtick=1, tickfont_size=10)
    return figure.update_layout(title="Main effects of single genes, beside the modules")
