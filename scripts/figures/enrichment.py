"""Figures of gene-set terms; names from data are escaped."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.cluster.hierarchy import leaves_list, linkage

from scripts.figures.style import safe

LIST = ["frequency", "source", "pole"]
LONGEST = 50  # characters of a term's name
SURE = 5  # -log10 adjusted p from which on the colour stays the same: what is just significant has to stand out, too


def enrichment_heatmap(table: pd.DataFrame, lists: list[tuple[int, str, str]], n_terms: int = 2) -> go.Figure:
    """Log-scaled significance, -log10 adjusted p, of the top terms of every gene list, over all lists.

    table : as from enrichment.with_findings; lists : (frequency, source, pole) of every gene list, the columns.
    Terms, the rows, are clustered (average linkage), so that those of the same lists stand together.
    """
    top = _top_terms(table, n_terms)
    if top.empty:
        return _nothing()
    grid = _grid(table, top, lists)
    if len(grid) > 2:
        grid = grid.iloc[leaves_list(linkage(grid.clip(upper=SURE), "average", optimal_ordering=True))]
    labels = [_short(term) for _, term in grid.index]
    figure = go.Figure(
        go.Heatmap(
            z=grid.to_numpy(),
            x=[_list_name(key) for key in lists],
            y=np.arange(len(grid)),
            customdata=np.broadcast_to(np.array(labels, dtype=object)[:, None], grid.shape),
            colorscale="Viridis",
            zmin=0,
            zmax=SURE,
            colorbar=_colorbar(),
            hovertemplate="%{x}<br>%{customdata}<br>-log10 adjusted p: %{z:.2f}<extra></extra>",
        )
    )
    return _finish(figure, "Gene-set terms over all gene lists", labels)


def term_dots(table: pd.DataFrame, lists: list[tuple[int, str, str]], n_terms: int = 3) -> go.Figure:
    """Top terms of every gene list as dots: size is the number of shared genes, colour is significance.

    table : as from enrichment.with_findings; lists : (frequency, source, pole) of every gene list, the columns.
    """
    chosen = table.set_index(LIST).index.isin(lists) if len(table) else np.zeros(0, dtype=bool)
    table = table[chosen]
    top = _top_terms(table, n_terms)
    if top.empty:
        return _nothing()
    rows = {name: number for number, name in enumerate(dict.fromkeys(_pairs(top)))}
    dots = table[[name in rows for name in _pairs(table)]]
    labels = [_short(term) for _, term in rows]
    figure = go.Figure(
        go.Scatter(
            x=[_list_name(key) for key in dots[LIST].itertuples(index=False)],
            y=[rows[name] for name in _pairs(dots)],
            mode="markers",
            marker={
                "size": dots["overlap"],
                "sizemode": "area",
                "sizeref": dots["overlap"].max() / 18**2,  # the largest dot is 18 pixels wide
                "sizemin": 2,
                "color": _significance(dots["adjusted_p"]),
                "colorscale": "Viridis",
                "line": {"color": "grey", "width": 0.8},  # pale dots show on white, dark ones on black
                "cmin": 0,
                "cmax": SURE,
                "colorbar": _colorbar(),
            },
            customdata=np.stack([[_short(term) for term in dots["term"]], dots["overlap"], dots["set_size"]], axis=1),
            hovertemplate="%{x}<br>%{customdata[0]}<br>%{customdata[1]} of %{customdata[2]} genes<br>"
            "-log10 adjusted p: %{marker.color:.2f}<extra></extra>",
        )
    )
    order = [_list_name(key) for key in lists]
    figure.update_xaxes(categoryorder="array", categoryarray=order)
    return _finish(figure, "Gene-set terms of the modules: size is overlap, colour is significance", labels)


def _top_terms(table: pd.DataFrame, n_terms: int) -> pd.DataFrame:
    """The best term of each list's first findings."""
    in_order = table.sort_values([*LIST, "adjusted_p"], kind="stable")
    return in_order.drop_duplicates([*LIST, "finding"]).groupby(LIST).head(n_terms)


def _pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["library"], table["term"], strict=True))


def _grid(table: pd.DataFrame, top: pd.DataFrame, lists: list[tuple[int, str, str]]) -> pd.DataFrame:
    """Significance of each top term, the rows, in each list; 0 where both share no gene."""
    wanted = list(dict.fromkeys(_pairs(top)))
    chosen = table[[name in set(wanted) for name in _pairs(table)]]
    grid = chosen.pivot(index=["library", "term"], columns=LIST, values="adjusted_p")
    return _significance(grid.reindex(index=wanted, columns=pd.MultiIndex.from_tuples(lists)).fillna(1.0))


def _significance(adjusted_p):
    return -np.log10(adjusted_p.clip(lower=1e-300)) + 0.0  # neither infinity nor minus zero


def _colorbar() -> dict:
    ticks = [*map(str, range(SURE)), f"≥ {SURE}"]
    return {"title": "-log10 adj. p", "tickvals": np.arange(SURE + 1), "ticktext": ticks}


def _list_name(key: tuple[int, str, str]) -> str:
    frequency, source, pole = key
    return safe(f"f{frequency} {source} {'+' if pole == 'positive' else '−'}")


def _short(term: str) -> str:
    return safe(term if len(term) <= LONGEST else term[: LONGEST - 3] + "...")


def _nothing() -> go.Figure:
    return go.Figure(layout={"title": "No gene set shares a gene with any list", "template": "plotly_white"})


def _finish(figure: go.Figure, title: str, labels: list[str]) -> go.Figure:
    ticks = {"tickvals": np.arange(len(labels)), "ticktext": labels, "autorange": "reversed", "automargin": True}
    size = {"height": 260 + 20 * len(labels), "margin_l": 20}
    figure.update_xaxes(title="gene list", tickangle=-60, dtick=1, tickfont_size=11).update_yaxes(title="term", **ticks)
    return figure.update_layout(title=title, template="plotly_white", **size)
