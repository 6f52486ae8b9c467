"""What a run says of each frequency, in one object: its ends, genes, terms, pairs, how well it is told, and a grade."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from scripts.blocks import correlations
from scripts.evaluation import depth_of, group_markers
from scripts.graph import participation
from scripts.story.modules import Module, modules_of
from scripts.story.tables import Tables

END = 0.1  # share of the cells that an end of a frequency is, at most
LIVES_ON = 0.5  # of the cells that a frequency lives on, at most, are an end
REST = 0.2  # of the other end's mean, below which an end is no end, but all other cells
SURE = 0.05  # adjusted p of a marker, at most
N_GENES, N_MARKERS, N_TERMS, N_PAIRS = 5, 50, 6, 3  # named of an end; markers kept; terms; pairs
N_IN_NAME = 3  # genes that stand for an end of no one type
MOST = 0.5  # of a term's genes that are higher at an end, at least, for it to be a term of that end
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
        Furthest out; where `is_rest`, all but those at the other end.
    types : dict of str to int
        Known types that stand out among them, the commonest first, and how many of the cells are of each.
    is_rest : bool
        Whether the cells furthest out lie near the middle: the frequency sets its other end apart from all other cells.
    markers : DataFrame
        gene, difference, ci_low, ci_high: genes that are surely higher in these cells than in all others, as from
        `evaluation.group_markers`, the largest difference first.
    terms : DataFrame
        term, source, genes, adjusted_p: of the modules that are about this frequency and of correlation, if most of
        their genes are higher in these cells than in all others; terms that stand for the same genes are one.
    is_alike : bool
        Whether the cells at the other end are of the same types, so that genes tell which are meant.
    """

    side: str
    n_cells: int
    types: dict[str, int]
    is_rest: bool
    markers: pd.DataFrame
    terms: pd.DataFrame
    is_alike: bool = False

    @property
    def genes(self) -> list[str]:
        """The genes that are named of this end."""
        return list(self.markers["gene"].head(N_GENES))

    @property
    def name(self) -> str:
        """In words: its types, its genes where there are none, and both where the types are those of the other end."""
        if self.is_rest:
            return "all other cells"
        types = ", ".join(self.types)
        if self.genes and (self.is_alike or not types):
            return f"{types or 'cells'} high in {', '.join(self.genes[:N_IN_NAME])}"
        return types or "cells of no one type"


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
    if not tables.n_freq:
        return []
    ends = [_cells_at_ends(v) for v in tables.frequencies.T]
    higher = _higher_at_ends(tables, np.hstack([is_at for is_at, _ in ends]))
    return [_frequency(tables, number, *ends[number], higher[2 * number :][:2]) for number in range(tables.n_freq)]


def _cells_at_ends(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which cells are at the low and the high end of a frequency, (n_cells, 2) bool; which end is the rest, (2,) bool.

    v : (n_cells,). Those furthest out; of an end that is the rest, all cells but those at the other.
    """
    n_end = max(1, round(min(END * len(v), LIVES_ON * participation(v[:, None])[0])))
    order = np.argsort(v, kind="stable")
    is_at = np.zeros((len(v), 2), dtype=bool)
    is_at[order[:n_end], 0] = is_at[order[::-1][:n_end], 1] = True
    reach = np.array([abs(v[at].mean()) for at in is_at.T])
    is_rest = reach < REST * reach.max()
    if is_rest.any():
        is_at[:, is_rest] = ~is_at[:, ~is_rest]
    return is_at, is_rest


def _higher_at_ends(tables: Tables, is_at: np.ndarray) -> list[pd.DataFrame]:
    """How much higher genes are at each end, as from `group_markers`: those of terms, and the `N_MARKERS` highest.

    is_at : (n_cells, n_ends) bool. p is adjusted over all genes (Bonferroni), as all were there to choose from.
    """
    X, genes = tables.cells.X, tables.cells.var_names
    most = np.argsort(-correlations(X, is_at.astype(float)), axis=0, kind="stable")[:N_MARKERS]
    of_terms = genes.get_indexer(sorted({name for held in tables["enrichment.csv"]["genes"] for name in _split(held)}))
    asked = np.union1d(most, of_terms[of_terms >= 0])
    found = group_markers(X[:, asked], is_at, list(genes[asked]), depth_of(tables.cells))
    is_higher = (found["ci_low"] > 0) & (found["given_depth"] > 0)
    found["is_sure"] = is_higher & (len(genes) * found["p_value"] < SURE)
    return [of_end for _, of_end in found.groupby("group")]


def _frequency(
    tables: Tables, number: int, is_at: np.ndarray, is_rest: np.ndarray, higher: list[pd.DataFrame]
) -> Frequency:
    """is_at, is_rest : as from `_cells_at_ends`; higher : of its two ends, as from `_higher_at_ends`."""
    own = {name: tables[name][tables[name]["frequency"] == number] for name in _BY_FREQUENCY}
    modules = modules_of(tables, number)
    terms = _terms(own["enrichment.csv"], modules, tables.setting("06_go_terms", "term_fdr", 0.05))
    ends = {
        side: End(
            side=side,
            n_cells=int(is_at[:, place].sum()),
            types=tables.types_among(is_at[:, place]),
            is_rest=bool(is_rest[place]),
            markers=_markers(higher[place]),
            terms=_of_end(terms[terms["side"] == side], higher[place]).head(0 if is_rest[place] else N_TERMS),
        )
        for place, side in enumerate(("low", "high"))
    }
    if set(ends["low"].types) == set(ends["high"].types):
        ends = {side: replace(end, is_alike=True) for side, end in ends.items()}
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
    *("scales.csv", "scale_changes.csv", "performance.csv", "pairs.csv", "panels.csv"),
    *("covariates.csv", "enrichment.csv", "program_terms.csv"),
]


def _markers(higher: pd.DataFrame) -> pd.DataFrame:
    return higher[higher["is_sure"]].head(N_MARKERS)[["gene", "difference", "ci_low", "ci_high"]]


def _terms(enrichment: pd.DataFrame, modules: list[Module], fdr: float) -> pd.DataFrame:
    """Significant terms of correlation and of modules that are about the frequency, with their side; surest first."""
    about = {f"module {module.number}": module.turn for module in modules if module.is_about}
    turn = enrichment["source"].map({**about, "correlation": 1})
    chosen = enrichment[turn.notna() & (enrichment["adjusted_p"].astype(float) < fdr)]
    is_high = chosen["pole"].eq("positive") == (turn[chosen.index] > 0)
    found = chosen.assign(side=np.where(is_high, "high", "low"))
    return found.sort_values("adjusted_p", kind="stable")


def _of_end(terms: pd.DataFrame, higher: pd.DataFrame) -> pd.DataFrame:
    """Terms whose genes are for the most part higher at an end; of those that stand for the same genes, the surest."""
    is_higher = (higher["ci_low"] > 0).set_axis(higher["gene"])
    is_most = [is_higher.reindex(_split(genes), fill_value=False).mean() > MOST for genes in terms["genes"]]
    once = terms[np.array(is_most, dtype=bool)].drop_duplicates("finding").drop_duplicates("term")
    return once[["term", "source", "genes", "adjusted_p"]]


def _split(genes: object) -> list[str]:
    """Names of the genes that a term shares with a list."""
    return shlex.split(str(genes))


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
