"""Modules as a reader meets them: turned as their frequency, with what is at their poles, and what they repeat."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scripts.story.tables import Tables

ABOUT = 0.3  # absolute correlation of a module's axis with its frequency from which on the module is about it
END_OF_AXIS = 0.1  # share of the cells that is an end of an axis
SAME = 0.9  # absolute correlation of two axes from which on they are one


@dataclass(frozen=True)
class Module:
    """One module of a frequency.

    Attributes
    ----------
    frequency, number : int
        `number` from 1, by absolute eigenvalue.
    correlation : float
        Of its axis u . x with the frequency, in test cells.
    turn : int
        1, or -1 where the positive pole of `modules.csv` lies at the low end of the frequency.
    is_trusted : bool
    stability : float
        NaN where it was not measured.
    repeats : str
        The trusted module before it whose axis it repeats, as "frequency 0, module 1"; empty for none.
    axis : (n_cells,)
        Turned so that + is the high end of the frequency.
    genes : dict of str to list of str
        At its "low" and "high" pole, the strongest first.
    """

    frequency: int
    number: int
    correlation: float
    turn: int
    is_trusted: bool
    stability: float
    repeats: str
    axis: np.ndarray
    genes: dict[str, list[str]]

    @property
    def is_about(self) -> bool:
        """Whether its axis follows its frequency, so that its poles tell the ends apart."""
        return abs(self.correlation) >= ABOUT

    @property
    def name(self) -> str:
        """In words."""
        return f"module {self.number} of frequency {self.frequency}"


def modules_of(tables: Tables, frequency: int) -> list[Module]:
    """Modules of one frequency, the strongest first; none where they were not read."""
    cells, table = tables.cells, tables["modules.csv"]
    if cells is None or table.empty or "X_axes" not in cells.obsm:
        return []
    known = cells.uns["bmlp"]
    places = pd.MultiIndex.from_arrays([known["frequency"], known["module"]])
    turns = known.get("turn", np.ones(len(places), dtype=int))
    axes, test = np.asarray(cells.obsm["X_axes"], dtype=float), (cells.obs["split"] == "test").to_numpy()
    found = []
    for number, rows in table[table["frequency"] == frequency].groupby("module"):
        if (frequency, number) not in places:
            continue
        place = places.get_loc((frequency, number))
        first, turn = rows.iloc[0], int(turns[place])
        held_out = first.get("axis_correlation", _correlation(axes[test, place], tables.frequencies[test, frequency]))
        ends = {"positive": "high" if turn > 0 else "low", "negative": "low" if turn > 0 else "high"}
        poles = rows.sort_values("rank").groupby("pole")["gene"].agg(list)
        found.append(
            Module(
                frequency=frequency,
                number=int(number),
                correlation=float(held_out),
                turn=turn,
                is_trusted=first["trusted"] is True or first["trusted"] is np.True_,
                stability=float(first["stability"]),
                repeats=_named(first["repeats"]) if "repeats" in rows else _repeated(table, axes, places, place),
                axis=axes[:, place],
                genes={ends[pole]: genes for pole, genes in poles.items()},
            )
        )
    return found


def _keys(table: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(table["frequency"], table["module"], strict=True))


def rows_at_ends(values: np.ndarray) -> dict[str, np.ndarray]:
    """Places of the cells at either end of an axis, the furthest out first; values : (n_cells,)."""
    order = np.argsort(values, kind="stable")
    n_end = max(1, int(END_OF_AXIS * len(order)))
    return {"low": order[:n_end], "high": order[::-1][:n_end]}


def _named(repeated: object) -> str:
    """In words, what `modules.csv` calls "f0_m1"; empty for NaN."""
    numbers = re.findall(r"\d+", str(repeated))
    return "frequency {}, module {}".format(*numbers) if len(numbers) == 2 else ""


def _repeated(table: pd.DataFrame, axes: np.ndarray, places: pd.MultiIndex, place: int) -> str:
    """The first trusted module before one, of any frequency, along whose axis the cells lie in the same way."""
    trusted = set(_keys(table[table["trusted"].eq(True)]))
    for before in range(place):
        if places[before] in trusted and abs(_correlation(axes[:, before], axes[:, place])) >= SAME:
            return "frequency {}, module {}".format(*places[before])
    return ""


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's; 0 where either does not vary, or there are fewer than two cells."""
    if len(x) < 2 or not x.std() or not y.std():
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])
