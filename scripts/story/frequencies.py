"""What a run says of each frequency, in one object: its ends, genes, terms, pairs, how well it is told, and a grade."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from scripts.graph import participation
from scripts.story.modules import Module, modules_of
from scripts.story.tables import Tables

END = 0.1  # share of the cells that an end of a frequency is, at most
LIVES_ON = 0.5  # of the cells that a frequency lives on, at most, are an end
REST = 0.2  # of the other end's mean, below which an end is no end, but all other cells
N_GENES, N_MARKERS, N_TERMS, N_PAIRS = 5, 12, 6, 3  # named of an end; in its figure; terms; pairs
N_IN_NAME = 3  # genes that stand for an end of no one type
OUT = 0.5  # of the way to the end that the cells at a module's pole lie at least, for its terms to be those of the end
GOOD = 0.5  # R2 on held-out cells from which on a frequency is told well enough to be firm
ALL_CELLS = "frequencies from all cells"
MODELS = {"linear": "linear ridge", "bilinear": "bilinear", "third order": "programs", "black box": "RBF kernel ridge"}


@dataclass(frozen=True)
class End:
    """Cells at one end of a frequency, and what marks them.

    Attributes
    ----------
    side : {"low", "high"}
    n_cells : int
        Furthest out.
    types : dict of str to int
        Known types that stand out among them, the commonest first, and how many of the cells are of each.
    is_rest : bool
        Whether these cells lie near the middle: the frequency sets its other end apart from all other cells.
    markers : DataFrame
        gene, correlation, ci_low, ci_high: genes that are higher towards this end, the most correlated first.
    terms : DataFrame
        term, source, genes, adjusted_p: of the modules that are about this frequency and of correlation; terms that
        stand for the same genes are one.
    """

    side: str
    n_cells: int
    types: dict[str, int]
    is_rest: bool
    markers: pd.DataFrame
    terms: pd.DataFrame

    @property
    def genes(self) -> list[str]:
        """The genes that are named of this end."""
        return list(self.markers["gene"].head(N_GENES))

    @property
    def name(self) -> str:
        """In words: its types, or else its genes."""
        if self.is_rest:
            return "all other cells"
        if not self.types and self.genes:
            return f"cells high in {', '.join(self.genes[:N_IN_NAME])}"
        return ", ".join(self.types) or "cells of no one type"


@dataclass(frozen=True)
class Frequency:
    """What is known of one frequency; what was not measured is empty or None.

    Attributes
    ----------
    number : int
    low, high : End
    modules : list of Module
    program_pairs : DataFrame
        programs, weight, t: products of two programs that are called and found again, the surest first.
    gene_pairs : DataFrame
        gene_i, gene_j, t, called, confirmed: the surest first.
    r2 : dict of str to float
        On held-out cells, mean over splits, by the words of `MODELS`.
    panel : dict of str to tuple of float and str
        R2 of the panel of five genes and its genes, by the method that names them.
    scale : Series or None
        Its row of `scales.csv`.
    changes : DataFrame
        changed, together: how far it comes back in graphs that are built in another way.
    covariates : DataFrame
        covariate, kind, r2, warned: what else explains it, the most first.
    """

    number: int
    low: End
    high: End
    modules: list[Module]
    program_pairs: pd.DataFrame
    gene_pairs: pd.DataFrame
    r2: dict[str, float]
    panel: dict[str, tuple[float, str]]
    scale: pd.Series | None
    changes: pd.DataFrame
    covariates: pd.DataFrame

    @property
    def ends(self) -> tuple[End, End]:
        """The low one first."""
        return self.low, self.high

    @property
    def title(self) -> str:
        """In words, such as "Frequency 0: from Mono to Ery"."""
        if self.low.is_rest or self.high.is_rest:
            apart = self.high if self.low.is_rest else self.low
            return f"Frequency {self.number}: {apart.name} ({apart.side} end) apart from all other cells"
        return f"Frequency {self.number}: from {self.low.name} to {self.high.name}"

    @property
    def follows(self) -> pd.DataFrame:
        """The covariates of which a run warns, those that do so alone first: it may be no biology."""
        warned = self.covariates[self.covariates["warned"].eq(True)]
        return warned.sort_values("kind", key=lambda kinds: kinds == "together", kind="stable")

    @property
    def comes_back(self) -> bool | None:
        """Whether its group of frequencies comes back where the graph is built anew; None where it is not known."""
        return None if self.scale is None else bool(pd.notna(self.scale["group"]))

    @property
    def grade(self) -> tuple[str, str]:
        """firm, likely, doubtful or not judged; and why, in words.

        Doubtful: no structure beyond depth and noise, or a covariate explains it, or it does not come back. Firm: none
        of these, it comes back by itself, and held-out cells are told at R2 of at least `GOOD`.
        """
        against, short, best = [], [], max(self.r2.values(), default=np.nan)
        if self.scale is not None and self.scale["structure"] == "no":
            against.append("no structure beyond depth and noise is shown")
        if len(self.follows):
            first = self.follows.iloc[0]
            against.append(f"{first['covariate']} explains much of it (R² {first['r2']:.2f})")
        if self.comes_back is False:
            against.append("it does not come back where the graph is built anew")
        elif self.scale is not None and not self.scale["comes_back"]:
            short.append("it comes back only together with its neighbours, into which it rotates")
        if best < GOOD:
            short.append(f"held-out cells are told at R² {best:.2f} at best")
        if against:
            return "doubtful", _joined(against + short)
        if short:
            return "likely", _joined(short)
        if self.scale is None or np.isnan(best):
            return "not judged", _joined(
                [
                    *(["it was not measured whether it comes back"] if self.scale is None else []),
                    *(["no model was judged on it"] if np.isnan(best) else []),
                ]
            )
        known = "holds structure beyond depth and noise" if self.scale["structure"] == "yes" else ""
        said = [f"comes back in graphs built anew (at least {self.scale['together_lowest']:.2f})", known]
        return "firm", _joined([*filter(None, said), f"held-out cells are told at R² {best:.2f}"])


def frequencies_of(tables: Tables) -> list[Frequency]:
    """All frequencies of a run, the coarsest first; none where there are no cells."""
    return [_frequency(tables, number) for number in range(tables.n_freq)]


def _frequency(tables: Tables, number: int) -> Frequency:
    own = {name: tables[name][tables[name]["frequency"] == number] for name in _BY_FREQUENCY}
    modules = modules_of(tables, number)
    v = tables.frequencies[:, number]
    n_end = max(1, round(min(END * len(v), LIVES_ON * participation(v[:, None])[0])))
    order = np.argsort(v, kind="stable")
    rows = {"low": order[:n_end], "high": order[::-1][:n_end]}
    reach = {side: abs(v[places].mean()) for side, places in rows.items()}
    terms = _terms(own["enrichment.csv"], modules, tables.setting("06_go_terms", "term_fdr", 0.05))
    is_rest = {side: far < REST * max(reach.values()) for side, far in reach.items()}
    ends = {
        side: End(
            side=side,
            n_cells=n_end,
            types=tables.types_among(places),
            is_rest=is_rest[side],
            markers=_markers(own["drivers.csv"], 1 if side == "high" else -1),
            terms=terms[(terms["side"] == side) & (not is_rest[side])].head(N_TERMS),
        )
        for side, places in rows.items()
    }
    products = own["program_terms.csv"]
    sure = products["order"].eq(2) & products["called"].eq(True) & products["replicated"].eq(True)
    scale = own["scales.csv"]
    covariates = own["covariates.csv"][~own["covariates.csv"]["kind"].isin(["expression", "labels"])]
    return Frequency(
        number=number,
        low=ends["low"],
        high=ends["high"],
        modules=modules,
        program_pairs=_by_size(products[sure], "t").head(N_PAIRS),
        gene_pairs=_pairs(own["pairs.csv"]),
        r2=_r2(own["performance.csv"]),
        panel=_panel(own["panels.csv"]),
        scale=scale.iloc[0] if len(scale) else None,
        changes=own["scale_changes.csv"][["changed", "together"]].dropna(),
        covariates=covariates.sort_values("r2", ascending=False)[["covariate", "kind", "r2", "warned"]],
    )


_BY_FREQUENCY = [
    *("scales.csv", "scale_changes.csv", "performance.csv", "pairs.csv", "drivers.csv", "panels.csv"),
    *("covariates.csv", "enrichment.csv", "program_terms.csv"),
]


def _markers(drivers: pd.DataFrame, sign: int) -> pd.DataFrame:
    """Genes that rise towards an end, beyond chance given depth; drivers : of one frequency."""
    towards = drivers[(sign * drivers["correlation"].astype(float) > 0) & (drivers["q_value"].astype(float) < 0.05)]
    return _by_size(towards, "correlation").head(N_MARKERS)[["gene", "correlation", "ci_low", "ci_high"]]


def _terms(enrichment: pd.DataFrame, modules: list[Module], fdr: float) -> pd.DataFrame:
    """Significant terms of each end, the surest first; of those that stand for the same genes, the surest alone.

    Of modules, those that are about the frequency, and the poles whose cells lie towards that end of it.
    """
    about = {f"module {module.number}": module.turn for module in modules if module.is_about}
    beside = {
        (f"module {module.number}", side) for module in modules for side in module.reach if module.reach[side] < OUT
    }
    turn = enrichment["source"].map({**about, "correlation": 1})
    chosen = enrichment[turn.notna() & (enrichment["adjusted_p"].astype(float) < fdr)]
    is_high = chosen["pole"].eq("positive") == (turn[chosen.index] > 0)
    found = chosen.assign(side=np.where(is_high, "high", "low")).sort_values("adjusted_p", kind="stable")
    is_out = np.array([key not in beside for key in zip(found["source"], found["side"], strict=True)], dtype=bool)
    found = found[is_out]
    return found.drop_duplicates(["side", "finding"])[["side", "term", "source", "genes", "adjusted_p"]]


def _pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """The surest gene pairs of a frequency, those that are called first."""
    known = {name: pairs[name].eq(True) for name in ("called", "confirmed")}  # empty is no
    ordered = _by_size(pairs.assign(**known), "t")
    return ordered.sort_values("called", ascending=False, kind="stable").head(N_PAIRS)


def _r2(performance: pd.DataFrame) -> dict[str, float]:
    of_all = performance[performance["protocol"] == ALL_CELLS]
    means = of_all.groupby("model")["r2"].mean()
    return {words: float(means[model]) for words, model in MODELS.items() if pd.notna(means.get(model))}


def _panel(panels: pd.DataFrame) -> dict[str, tuple[float, str]]:
    five = panels[panels["n_genes"] == N_GENES]
    own = five[five["split"] == 0].drop_duplicates("method").set_index("method")["genes"]
    means = five.groupby("method")["r2"].mean().dropna()
    return {method: (float(r2), str(own.get(method, ""))) for method, r2 in means.items()}


def _by_size(table: pd.DataFrame, column: str) -> pd.DataFrame:
    return table.sort_values(column, key=lambda values: -values.astype(float).abs(), kind="stable")


def _joined(parts: list[str]) -> str:
    return "; ".join(parts)
