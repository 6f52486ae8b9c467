"""A page for each frequency: its ends, markers, terms, modules and pairs, and what would change the reading."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from scripts import figures
from scripts.blocks import Standard
from scripts.programs import response
from scripts.report import page_figures, pages
from scripts.story.frequencies import Frequency
from scripts.story.modules import Module, rows_at_ends
from scripts.story.tables import Tables

TEMPLATES = Path(__file__).parent / "templates"
STYLE = (TEMPLATES / "story.css").read_text(encoding="utf-8")
N_SHOWN, N_MARKED = 10, 12  # genes of a pole; of an end


def card_file(number: int) -> str:
    """Name of a frequency's page."""
    return f"frequency_{number}.html"


def card_html(tables: Tables, frequency: Frequency, others: list[Frequency], first: dict) -> str:
    """A frequency's page.

    others : all frequencies of the run; first : as from `pages.about`.
    """
    drawn = {
        "types": _boxes(tables, frequency),
        "markers": _markers(frequency),
        "programs": _surface(tables, frequency),
        "pairs": _pairs(tables, frequency),
    }
    shown = {name: figure for name, figure in drawn.items() if figure is not None}
    content = {
        "title": frequency.title,
        "run": first["title"],
        "data": first["data"],
        "settings": first["settings"],
        "frequency": frequency,
        "previous": others[frequency.number - 1] if frequency.number else None,
        "next": others[frequency.number + 1] if frequency.number + 1 < len(others) else None,
        "file": card_file,
        "has_types": tables.labels.notna().any(),
        "thumbnail": thumbnail(tables, frequency),
        "figures": {name: page_html(figure, number) for number, (name, figure) in enumerate(shown.items(), start=1)},
        "modules": [(module, _cells_of(tables, module)) for module in frequency.modules if module.is_trusted],
        "programs": _programs(tables, frequency),
        "n_shown": N_SHOWN,
        "n_marked": N_MARKED,
        "changes": what_would_change(frequency),
        "missing": tables.missing,
    }
    return pages.rendered(TEMPLATES / "card.html.j2", content, STYLE, plotly=bool(shown))


def page_html(figure: go.Figure, number: int) -> str:
    """A figure as a page holds it; number : of it, in its page."""
    return page_figures.figure_html(json.loads(figure.to_json()), number)


def thumbnail(tables: Tables, frequency: Frequency) -> str:
    """A small picture of the frequency over the cells, PNG in base64; empty where no cell has a place."""
    if "X_umap_freq" not in tables.cells.obsm:
        return ""
    xy = np.asarray(tables.cells.obsm["X_umap_freq"], dtype=float)
    rows = np.isfinite(xy).all(axis=1)
    if not rows.any():
        return ""
    figure = figures.frequency_scatter(xy[rows], tables.frequencies[rows][:, [frequency.number]], np.ones(1))
    return base64.b64encode(page_figures.thumbnail([json.loads(figure.to_json())])).decode()


def _boxes(tables: Tables, frequency: Frequency) -> go.Figure | None:
    v = tables.frequencies[:, frequency.number]
    return figures.frequency_boxes(v, tables.labels, f"Where each type lies along frequency {frequency.number}")


def _surface(tables: Tables, frequency: Frequency) -> go.Figure | None:
    """The response surface of the surest pair of programs, by the model of notebook 07."""
    if frequency.program_pairs.empty or tables.polynomials is None:
        return None
    v, t = tables.frequencies, tables.programs.to_numpy()
    not_met = ~tables["program_scores.csv"]["fitted"].to_numpy(bool)
    pair = frequency.program_pairs["programs"].iloc[0]
    over = response(tables.polynomials, t, Standard.of(v).scaled(v), not_met, frequency.number, pair)
    return figures.response_surface(over)


def _markers(frequency: Frequency) -> go.Figure | None:
    return figures.end_intervals({end.side: end.markers.head(N_MARKED) for end in reversed(frequency.ends)})


def _pairs(tables: Tables, frequency: Frequency) -> go.Figure | None:
    called = frequency.gene_pairs[frequency.gene_pairs["called"].eq(True)]
    v = tables.frequencies[:, frequency.number]
    pairs = {
        (row.gene_i, row.gene_j): (tables.expression(row.gene_i), tables.expression(row.gene_j))
        for row in called.itertuples()
    }
    return figures.pair_scatter(pairs, v, f"Expression of both genes, coloured by frequency {frequency.number}")


def _cells_of(tables: Tables, module: Module) -> dict[str, dict[str, int]]:
    """Known types of the cells at either end of a module's axis."""
    return {side: tables.types_among(rows) for side, rows in rows_at_ends(module.axis).items()}


def _programs(tables: Tables, frequency: Frequency) -> dict[int, dict[str, str]]:
    """Genes of the programs that the frequency's pairs name, by their number and pole."""
    named = {int(number) for pair in frequency.program_pairs["programs"] for number in str(pair).split()}
    table = tables["programs.csv"]
    shown = table[table["program"].isin(named) & (table["rank"] <= N_SHOWN // 2)].sort_values("rank")
    genes = shown.groupby(["program", "pole"])["gene"].agg(", ".join)
    return {
        number: {pole: genes.get((number, pole), "") for pole in ("negative", "positive")} for number in sorted(named)
    }


def what_would_change(frequency: Frequency) -> str:
    """What would change the reading: graphs built anew or in another way, depth and noise, covariates; a paragraph."""
    said, scale = [], frequency.scale
    if scale is None:
        said.append("It was not measured whether this frequency comes back in other graphs.")
    else:
        alone = "comes back" if scale["comes_back"] else "does not come back by itself"
        said.append(
            f"Where the graph is built anew from fewer cells, it {alone} (at least {scale['together_lowest']:.2f})."
        )
        if frequency.comes_back and not scale["comes_back"]:
            said.append("With its neighbours it does: read them together, as they turn into each other.")
        if scale["structure"] in ("yes", "no"):
            holds = "holds" if scale["structure"] == "yes" else "shows no"
            said.append(f"It {holds} structure beyond depth and noise (share {scale['beyond_depth_r2']:.2f}).")
    if len(frequency.changes):
        least = frequency.changes.loc[frequency.changes["together"].idxmin()]
        said.append(
            f"Of graphs built in another way, the least like it is {least['changed']} ({least['together']:.2f})."
        )
    if len(frequency.covariates):
        most = (frequency.follows if len(frequency.follows) else frequency.covariates).iloc[0]
        verdict = "as much as to doubt that it is biology" if len(frequency.follows) else "too little to explain it"
        said.append(
            f"Of what else is known of the cells, most is told by {most['covariate']} (R² {most['r2']:.2f}): {verdict}."
        )
    return " ".join(said)
