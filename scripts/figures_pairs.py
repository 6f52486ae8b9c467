"""Figures on gene pairs and on one cell: each function takes data and returns one plotly figure; none shows it."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from scripts.figures import _names, _panels, _place, _text

POSITIVE, NEGATIVE, TOTAL = "#b2182b", "#2166ac", "#666666"  # red and blue that colour-blind readers tell apart
MAX_WIDTH = 6.0  # pixels, of the strongest pair of each frequency


def pair_network(table: pd.DataFrame, fdr: float = 0.05, n_pairs: int = 20) -> go.Figure:
    """Genes on a circle, their pairs as lines: width by |weight|, red for positive and blue for negative weights.

    Of each frequency the significant pairs, at most n_pairs; where there are none, the strongest ones, dotted, as the
    panel's title says. table : as from pairs.pair_table.
    """
    titles, drawn = [], []
    for frequency, listed in table.groupby("frequency"):
        found = listed[(listed["adjusted_p"] <= fdr) & ((listed["low"] > 0) | (listed["high"] < 0))]
        shown = (listed if found.empty else found).nsmallest(n_pairs, "rank")
        titles.append(f"Frequency {frequency}: {len(found) or 'none'} significant")
        drawn.append((shown, "dot" if found.empty else "solid"))
    figure = _panels(titles, spacing=0.06, height=430)
    for panel, (shown, dash) in enumerate(drawn):
        places = _circle(shown)
        for line in _lines(shown, places, dash):
            figure.add_trace(line, **_place(panel))
        figure.add_trace(_gene_names(places), **_place(panel))
    figure.update_xaxes(visible=False, range=[-1.7, 1.7]).update_yaxes(visible=False, range=[-1.4, 1.4])
    return figure.update_layout(
        title=f"Gene pairs (FDR {fdr}; at most {n_pairs} drawn): red positive, blue negative weights"
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
        width = max(0.5, MAX_WIDTH * abs(row.weight) / shown["weight"].abs().max())
        text = (
            f"{_text(row.gene_i)} × {_text(row.gene_j)}<br>weight {row.weight:.3g} ({row.low:.3g} to {row.high:.3g})"
            f"<br>adjusted p {row.adjusted_p:.2g}"
        )
        line = {"width": width, "color": POSITIVE if row.weight > 0 else NEGATIVE, "dash": dash}
        middle = {"x": [x, (x + to_x) / 2, to_x], "y": [y, (y + to_y) / 2, to_y]}
        lines.append(go.Scatter(**middle, mode="lines", line=line, opacity=0.7, text=text, hoverinfo="text"))
    return lines


def _gene_names(places: dict[str, tuple[float, float]]) -> go.Scatter:
    x, y = np.array(list(places.values())).reshape(-1, 2).T
    side = np.where(np.abs(x) < 0.3, "center", np.where(x > 0, "right", "left"))
    height = np.where(np.abs(x) >= 0.3, "middle", np.where(y > 0, "top", "bottom"))
    return go.Scatter(
        x=x,
        y=y,
        mode="markers+text",
        text=_names(places),
        textposition=[f"{up} {across}" for up, across in zip(height, side, strict=True)],
        textfont_size=10,
        marker={"size": 6, "color": TOTAL},
        hoverinfo="skip",
    )


def cell_waterfall(table: pd.DataFrame, cell: str) -> go.Figure:
    """How a cell's prediction adds up, a panel a frequency: constant, main effects, modules; grey is the sum.

    table : as from explain.explain_cell; cell : its name.
    """
    frequencies = sorted(table["frequency"].unique())
    figure = _panels([f"Frequency {f}" for f in frequencies], spacing=0.12, height=460)
    for panel, frequency in enumerate(frequencies):
        parts = table[table["frequency"] == frequency]
        names = [*_names(parts["part"]), "prediction"]
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
        figure.add_trace(steps, **_place(panel))
    figure.update_yaxes(autorange="reversed", dtick=1, tickfont_size=10).update_xaxes(title="prediction so far")
    return figure.update_layout(title=f"Cell {_text(cell)}: what adds up to its predicted frequencies")
