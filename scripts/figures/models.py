"""Figures of models and how well they predict, frequencies or classes; names from data are escaped."""

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from scripts.figures.layout import drawn_cells, say_drawn
from scripts.figures.style import (
    COLOURS,
    DIVERGING,
    WEBGL_FROM,
    empty_panels,
    group_style,
    in_panel,
    marker_size,
    safe_names,
)
from scripts.programs import Response


def loss_curves(history: pd.DataFrame) -> go.Figure:
    """Training and validation loss; history has the columns epoch, train_loss and val_loss."""
    columns = {"train_loss": "Train", "val_loss": "Validation"}
    tidy = history.rename(columns=columns).melt("epoch", list(columns.values()), var_name="Cells", value_name="Loss")
    title = "Training and validation loss"
    return px.line(tidy, x="epoch", y="Loss", color="Cells", log_y=True, title=title, labels={"epoch": "Epoch"})


def predicted_against_true(y: np.ndarray, predicted: np.ndarray, r2: np.ndarray) -> go.Figure:
    """Held-out cells: prediction against truth, one panel a frequency.

    y, predicted : (n_cells, n_freq); r2 : (n_freq,), NaN where the cells cannot judge.
    """
    judged = ["not judged" if np.isnan(value) else f"R² {value:.2f}" for value in r2]
    figure = empty_panels([f"Frequency {f}: {said}" for f, said in enumerate(judged)], spacing=0.1)
    rows = drawn_cells(len(y))
    scatter = go.Scattergl if len(rows) > WEBGL_FROM else go.Scatter
    for f in range(y.shape[1]):
        ends = [float(y[:, f].min()), float(y[:, f].max())]
        marker = {"size": 3, "color": COLOURS[0]}
        figure.add_trace(scatter(x=y[rows, f], y=predicted[rows, f], mode="markers", marker=marker), **in_panel(f))
        figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line={"color": "grey", "dash": "dot"}), **in_panel(f))
    figure.update_xaxes(title="true").update_yaxes(title="predicted")
    return say_drawn(figure.update_layout(title="Held-out test cells: predicted against true"), len(y))


def performance_dots(performance: pd.DataFrame, noise: pd.DataFrame) -> go.Figure:
    """Held-out R2 of every model, a dot a frequency, mean and standard deviation over splits; and what noise gives.

    performance : columns split, model, frequency, r2; models in the order to draw. noise : as from
    evaluation.noise_table, of some of them.
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
        category_orders={"model": order},
        **_of_frequencies(performance["frequency"]),
        title="Held-out R² of every model, mean and spread over splits",
        labels={"mean": "R² on held-out test cells", "model": "", "frequency": ""},
    )
    means = by_split.mean().reindex(order)
    marker = {"symbol": "line-ns", "size": 26, "line": {"width": 3, "color": "black"}}
    figure.add_scatter(x=means, y=order, mode="markers", marker=marker, name="mean of all")
    floors = {"structureless_r2": "mean, cells without structure", "other_half_r2": "mean, other half of the counts"}
    for (column, name), symbol in zip(floors.items(), ("x-thin", "diamond-open"), strict=True):
        of_noise = noise.groupby("model", sort=False)[column].mean().dropna()
        marker = {"symbol": symbol, "size": 11, "color": "black", "line": {"width": 2, "color": "black"}}
        if len(of_noise):
            figure.add_scatter(x=of_noise, y=of_noise.index, mode="markers", marker=marker, name=name)
    return figure.update_layout(height=180 + 45 * len(order))


def _of_frequencies(numbers: pd.Series) -> dict:
    """Options of plotly express: each frequency, a text in column `frequency`, in a colour and symbol of its own."""
    styles = {f"frequency {number}": group_style(int(number)) for number in numbers.unique()}
    colours, symbols = ({name: style[part] for name, style in styles.items()} for part in ("color", "symbol"))
    return {"color": "frequency", "symbol": "frequency", "color_discrete_map": colours, "symbol_map": symbols}


def truncation_curves(curve: pd.DataFrame) -> go.Figure:
    """Held-out R2 against the number of modules kept; curve as from protocols.truncation_curve."""
    figure = px.line(
        curve.assign(frequency="frequency " + curve["frequency"].astype(str)),
        x="n_modules",
        y="test_r2",
        markers=True,
        **_of_frequencies(curve["frequency"]),
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
    for (name, table), colour in zip(tables.items(), COLOURS, strict=False):
        figure.add_bar(
            x=[f"frequency {frequency}" for frequency in table["frequency"]],
            y=table["first_module_jaccard"],
            error_y={"array": table["first_module_jaccard_sd"]},
            name=name,
            marker_color=colour,
        )
    title = "First module of each frequency: the share of its genes that another fit names again"
    return figure.update_layout(title=title, yaxis_title="matched Jaccard of the poles", yaxis_range=[0, 1])


def accuracy_dots(accuracy: pd.DataFrame) -> go.Figure | None:
    """Held-out accuracy of every method, mean and spread over splits; None if there are none.

    accuracy : as from classes.summary, methods in the order to draw.
    """
    if accuracy.empty:
        return None
    figure = go.Figure(layout_template="plotly_white")
    for (name, column), colour in zip(
        {"accuracy": "accuracy", "mean over classes": "balanced_accuracy"}.items(), COLOURS, strict=False
    ):
        spread = {"array": accuracy[f"{column}_sd"], "thickness": 1}
        marker = {"size": 10, "color": colour}
        figure.add_scatter(
            x=accuracy[column], y=accuracy.index, error_x=spread, mode="markers", name=name, marker=marker
        )
    figure.update_yaxes(autorange="reversed").update_xaxes(range=[0, 1.02])
    title = "Held-out cells whose class is told right, mean and spread over splits"
    return figure.update_layout(title=title, xaxis_title="share of the cells", height=180 + 45 * len(accuracy))


def confusion_cells(counts: pd.DataFrame) -> go.Figure | None:
    """Share of the held-out cells of each class (rows) by what they are taken for (columns); None if there are none.

    counts : as from classes.confusion.
    """
    if counts.empty:
        return None
    shares = counts.div(counts.sum(axis=1), axis=0).to_numpy()  # NaN of a class that no held-out cell is of
    names = safe_names(counts.index)
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            customdata=counts.to_numpy(),
            colorscale="Blues",
            zmin=0,
            zmax=1,
            colorbar={"title": "share"},
            hovertemplate="%{y}<br>taken for %{x}<br>%{customdata} cells, %{z:.0%}<extra></extra>",
        ),
        layout_template="plotly_white",
    )
    axis = {"type": "category", "dtick": 1}
    figure.update_xaxes(**axis, title="taken for").update_yaxes(**axis, title="class", autorange="reversed")
    return figure.update_layout(title="Held-out cells of each class", height=300 + 22 * len(counts))


def response_surface(response: Response | None) -> go.Figure | None:
    """A frequency over two programs: what the polynomial says, and cells that it has not met; None if there is none."""
    if response is None:
        return None
    surface, frequency = response.surface, response.frequency
    highest = float(np.quantile(np.abs(response.y), 0.98)) or 1.0
    contour = {"colorscale": DIVERGING, "zmin": -highest, "zmax": highest, "opacity": 0.7}
    bar = {"title": f"frequency {frequency}<br>(SD)"}
    figure = go.Figure(layout_template="plotly_white")
    figure.add_contour(x=surface.columns, y=surface.index, z=surface.to_numpy(), colorbar=bar, **contour)
    rows = drawn_cells(len(response.y))
    t, y = response.t[rows], response.y[rows]
    colours = {"color": y, "colorscale": DIVERGING, "cmin": -highest, "cmax": highest}
    marker = {"size": marker_size(len(y)), "line": {"width": 0.3, "color": "#444"}, **colours}
    scatter = go.Scattergl if len(y) >= WEBGL_FROM else go.Scatter
    figure.add_trace(scatter(x=t[:, 0], y=t[:, 1], mode="markers", marker=marker, showlegend=False))
    title = f"Frequency {frequency} over two programs: predicted (surface), and of cells not met (points)"
    first, second = response.names
    figure.update_layout(title=title, xaxis_title=first, yaxis_title=second, height=520)
    return say_drawn(figure, len(response.y))
