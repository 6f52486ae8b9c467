"""What the index says of a whole run: alerts, a few sentences, and every number of it as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scripts.cells import n_of_graph
from scripts.story.frequencies import Frequency
from scripts.story.modules import Module
from scripts.story.tables import Tables

GRADES = ("firm", "likely", "doubtful", "not judged")
COLUMNS = ["part", "frequency", "quantity", "value", "text"]  # of `story.csv`


def alerts(tables: Tables, frequencies: list[Frequency]) -> list[str]:
    """What a reader has to know before all else, the worst first."""
    means = mean_r2(frequencies)
    return [
        *_other_data(tables),
        *(said for _, of_notebook in sorted(tables.record.get("alerts", {}).items()) for said in of_notebook),
        *_no_layout(tables),
        *_followed(frequencies),
        *_not_ahead(means),
        *_left_out(tables),
        *_guessed(tables),
        *_libraries(tables),
    ]


def _other_data(tables: Tables) -> list[str]:
    if tables.cells is None or tables.setting("01_data", "dataset", "") != "auto":
        return []
    known = tables.cells.uns["dataset"]
    return [f"No data set was named, so these cells are {known['name']} ({known['reason']}): they are not yours."]


def _no_layout(tables: Tables) -> list[str]:
    if tables.cells is None or "X_umap_freq" not in tables.cells.obsm:
        return []
    drawn = np.isfinite(np.asarray(tables.cells.obsm["X_umap_freq"])).all(axis=1).any()
    return [] if drawn else ["The layout of the cells failed: no cell has a place on the map."]


def _followed(frequencies: list[Frequency]) -> list[str]:
    firsts = [(f.number, f.follows.iloc[0]) for f in frequencies if len(f.follows)]
    return [
        f"Frequency {number} may not be biology: from {first['covariate']} alone, held-out cells are told at R² "
        f"{first['r2']:.2f}."
        for number, first in firsts
    ]


def _not_ahead(means: dict[str, float]) -> list[str]:
    if not {"linear", "bilinear"} <= means.keys() or means["bilinear"] > means["linear"]:
        return []
    return [
        f"Pairs of genes add nothing here: on held-out cells the bilinear model has R² {means['bilinear']:.3f} on "
        f"average, the linear one {means['linear']:.3f}."
    ]


def _left_out(tables: Tables) -> list[str]:
    return [] if tables.cells is None else [str(said) for said in tables.cells.uns["dataset"]["left_out"]]


def _guessed(tables: Tables) -> list[str]:
    if tables.labels.isna().all() or tables.setting("01_data", "label", ""):
        return []
    if not str(tables.cells.uns["dataset"]["reason"]).startswith("the file"):
        return []  # of a named data set it is known
    return [f"Cell types are those of obs[{tables.labels.name!r}]: no column was named, and this is most like types."]


def _libraries(tables: Tables) -> list[str]:
    missing = tables.setting("06_go_terms", "missing", {})
    return [f"Terms of these gene-set libraries are missing: {', '.join(missing)}."] if missing else []


def in_short(frequencies: list[Frequency]) -> list[str]:
    """Five or six sentences, in the order in which a reader asks."""
    if not frequencies:
        return []
    return [
        f"The coarsest direction, frequency {frequencies[0].number}, {_parts(frequencies[0])}.",
        *_others(frequencies),
        *_graded(frequencies),
        *_pairs(frequencies),
        *_modules(frequencies),
        *_terms(frequencies),
    ]


def _graded(frequencies: list[Frequency]) -> list[str]:
    """How many frequencies are of each grade; those that are doubtful by their numbers."""
    counts = [f"{count} {grade}" for grade in GRADES if (count := _count(frequencies, grade))]
    doubtful = [str(frequency.number) for frequency in frequencies if frequency.grade[0] == "doubtful"]
    which = f" (frequency {', frequency '.join(doubtful)})" if doubtful else ""
    said = ", ".join(counts).replace("doubtful", f"doubtful{which}")
    return [f"Of {len(frequencies)} frequencies, graded by what was measured: {said}."]


def _count(frequencies: list[Frequency], grade: str) -> int:
    return sum(frequency.grade[0] == grade for frequency in frequencies)


def _parts(frequency: Frequency) -> str:
    """What a frequency does, as the rest of a sentence."""
    low, high = frequency.ends
    if low.is_rest or high.is_rest:
        apart, other = (high, low) if low.is_rest else (low, high)
        return f"sets {apart.name} apart from {other.name}"
    return f"parts {low.name} from {high.name}"


def _others(frequencies: list[Frequency]) -> list[str]:
    told = [f"frequency {other.number} {_parts(other)}" for other in frequencies[1:4]]
    return [f"Beyond it, {'; '.join(told)}."] if told else []


def mean_r2(frequencies: list[Frequency]) -> dict[str, float]:
    """R2 on held-out cells, mean over the frequencies that have all of the models judged."""
    table = pd.DataFrame([frequency.r2 for frequency in frequencies]).dropna()
    return {model: float(r2) for model, r2 in table.mean().items()} if len(table) else {}


def _pairs(frequencies: list[Frequency]) -> list[str]:
    means = mean_r2(frequencies)
    if not {"linear", "bilinear"} <= means.keys():
        return []
    gains = {f.number: f.r2["bilinear"] - f.r2["linear"] for f in frequencies if {"linear", "bilinear"} <= f.r2.keys()}
    most = frequencies[max(gains, key=lambda number: gains[number])]
    third = f", and products of three to {means['third order']:.2f}" if "third order" in means else ""
    said = [
        f"Single genes tell held-out cells at R² {means['linear']:.2f} on average; products of two raise that to "
        f"{means['bilinear']:.2f}{third}. Products of two add most to frequency {most.number}: "
        f"{most.r2['linear']:.2f} to {most.r2['bilinear']:.2f}."
    ]
    return said if means["bilinear"] > means["linear"] else []


def distinct(frequencies: list[Frequency]) -> list[Module]:
    """Trusted modules of all frequencies, without those that repeat another's axis."""
    return [module for f in frequencies for module in f.modules if module.is_trusted and not module.repeats]


def _modules(frequencies: list[Frequency]) -> list[str]:
    if not any(frequency.modules for frequency in frequencies):
        return []
    found = distinct(frequencies)
    about = [module for module in found if module.is_about]
    if not found:
        return ["No module is trusted."]
    listed = ", ".join(f"{module.name} (correlation {module.correlation:.2f})" for module in about)
    said = f": {listed}" if about else ""
    verb = "tells" if len(about) == 1 else "tell"
    count = f"{len(found)} distinct module{'' if len(found) == 1 else 's'} can be trusted"
    return [f"{count}; {len(about) or 'none'} of them {verb} the ends of a frequency apart{said}."]


def _terms(frequencies: list[Frequency]) -> list[str]:
    tops = [
        f"{end.terms['term'].iloc[0]} ({end.side} end of frequency {frequency.number})"
        for frequency in frequencies
        for end in frequency.ends
        if len(end.terms)
    ]
    return [f"Terms of genes at the ends: {'; '.join(dict.fromkeys(tops[:4]))}."] if tops else []


def story_table(tables: Tables, frequencies: list[Frequency]) -> pd.DataFrame:
    """Every number of the index, and of the cards' sentences: part, frequency, quantity, value, text."""
    rows = [
        ("run", np.nan, f"mean R2 of held-out cells, {model}", r2, "") for model, r2 in mean_r2(frequencies).items()
    ]
    rows += [
        ("run", np.nan, "frequencies", len(frequencies), ""),
        ("run", np.nan, "distinct trusted modules", len(distinct(frequencies)), ""),
        (
            "run",
            np.nan,
            "distinct trusted modules about their frequency",
            sum(m.is_about for m in distinct(frequencies)),
            "",
        ),
        *(("run", np.nan, f"frequencies graded {grade}", _count(frequencies, grade), "") for grade in GRADES),
    ]
    if tables.cells is not None:
        rows += [
            ("run", np.nan, "cells", n_of_graph(tables.cells), ""),
            ("run", np.nan, "genes", tables.cells.n_vars, ""),
        ]
    for frequency in frequencies:
        rows += [(part, frequency.number, *rest) for part, *rest in _rows(frequency)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"frequency": "Int64", "value": float})


def _rows(frequency: Frequency) -> list[tuple]:
    rows = [("frequency", "grade", np.nan, ": ".join(frequency.grade)), ("frequency", "title", np.nan, frequency.title)]
    rows += [("frequency", f"R2 of held-out cells, {model}", r2, "") for model, r2 in frequency.r2.items()]
    if frequency.scale is not None:
        rows.append(("frequency", "comes back, lowest canonical correlation", frequency.scale["together_lowest"], ""))
    rows += [("frequency", "covariate, R2", row.r2, row.covariate) for row in frequency.covariates.itertuples()]
    rows += [
        ("frequency", "panel of five genes, R2", r2, f"{by}: {genes}") for by, (r2, genes) in frequency.panel.items()
    ]
    for end in frequency.ends:
        part = f"{end.side} end"
        rows.append((part, "cells", end.n_cells, end.name))
        rows += [(part, "cells of a type", count, name) for name, count in end.types.items()]
        rows += [(part, "difference of a gene", row.difference, row.gene) for row in end.markers.itertuples()]
        rows += [(part, "adjusted p of a term", row.adjusted_p, row.term) for row in end.terms.itertuples()]
    rows += [("module", "correlation of its axis", module.correlation, module.name) for module in frequency.modules]
    rows += [
        ("pair", "weight of two programs", row.weight, row.programs) for row in frequency.program_pairs.itertuples()
    ]
    rows += [
        ("pair", "t of two genes", row.t, f"{row.gene_i} {row.gene_j}") for row in frequency.gene_pairs.itertuples()
    ]
    return rows
