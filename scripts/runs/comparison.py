"""What differs between runs, and how far they agree: each is held against the first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import h5py
import numpy as np
import pandas as pd
from anndata.io import read_elem

from scripts import enrichment, evaluation, findings, graph
from scripts.cells import ALL_CELLS
from scripts.console import heading, text_table
from scripts.errors import InputError, one_line
from scripts.measures import expected_jaccard, jaccard
from scripts.report import Run, pages, write_table
from scripts.report import settings as schema

LEAST_SHARED = 50  # cells of both runs from which on their frequencies are compared: fewer agree by chance
COLUMNS = ["part", "name", "frequency", "run", "value", "chance"]
TEMPLATE = Path(__file__).parent / "templates/compare.html.j2"
NOT_RECORDED = "not recorded"  # of a setting or figure that a run does not have, as one of another version
MEAN = "mean"  # frequency of an R2 that is the mean over those that all runs have
N_POLE_GENES = 25  # genes of each pole that are compared
POLES = (
    "Jaccard of the genes at the poles of a {} and of its best partner in the other run; by chance: of random genes."
)
PARTS = {  # part of the table -> heading, what its rows are, and how it is read
    "settings": ("Settings that differ", "setting", ""),
    "versions": ("Versions that differ", "package", ""),
    "key figures": ("Key figures that differ", "figure", ""),
    "R2": ("Held-out R²", "model", "Mean over splits; and over the frequencies that all runs have."),
    "frequencies": (
        "Frequencies",
        "agreement",
        "Over the cells that are in both runs: |r| of each frequency of the first run with its best partner, and the "
        "smallest canonical correlation of all up to it, which rotations among them do not change.",
    ),
    "modules": ("Modules", "module", POLES.format("module")),
    "programs": ("Programs", "program", POLES.format("program")),
    "terms": (
        "Gene-set terms",
        "terms",
        "Significant terms of the markers of modules, and those that are also the first run's.",
    ),
}
Row = tuple[str, str, object, str, object, float]  # see COLUMNS


class Cells(NamedTuple):
    """Cells of a run: names of cells and genes, eigenvalues (n_freq,) and frequencies (n_cells, n_freq)."""

    names: pd.Index
    genes: pd.Index
    values: np.ndarray
    vectors: np.ndarray


@dataclass
class Comparison:
    """Runs held against the first.

    Attributes
    ----------
    folders : {name of a run: Path}
    table : DataFrame
        part, name, frequency (number, "mean", or empty), run, value (number or text), chance (what random genes give;
        NaN where nothing is known of it).
    said : list of str
        The data of each run, how far it agrees with the first, and what could not be compared.
    is_marked : bool
        Whether texts of the table are marked for spreadsheets, as those of one of the runs are.
    """

    folders: dict[str, Path]
    table: pd.DataFrame
    said: list[str]
    is_marked: bool


def compare(folders: list[Path]) -> Comparison:
    """Hold runs against the first of them.

    Raises
    ------
    InputError
        Fewer than two folders, one of them twice, or one without a run. What else a run lacks is left out, and said.
    """
    if len({folder.resolve() for folder in folders}) < max(len(folders), 2):
        raise InputError("two run folders or more are needed, each named once: compare reports/first reports/second")
    runs = dict(zip(_names(folders), map(Run, folders), strict=True))
    records = {name: run.settings() for name, run in runs.items()}
    rows, said = list(_records(records)), [f"{name}: {_data(record)}" for name, record in records.items()]
    compared = {"R2": _performance, "frequencies and modules": _agreement, "programs": _programs, "terms": _terms}
    for part, of_part in compared.items():
        try:
            rows += list(of_part(runs))  # whole, or nothing of it
        except InputError as error:
            said.append(f"Not compared ({part}): {one_line(error)}")
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=object).astype({"chance": float})  # counts stay whole numbers
    first, *others = runs
    said += [_sentence(table, first, other) for other in others]
    is_marked = any(
        record.get("notebooks", {}).get("01_data", {}).get("csv_safe", False) for record in records.values()
    )
    return Comparison(dict(zip(runs, folders, strict=True)), table, said, is_marked)


def _names(folders: list[Path]) -> list[str]:
    """Names of runs, with as much of the way to them as tells them apart."""
    paths = [folder.resolve() for folder in folders]
    depth = next(n for n in range(1, 1000) if len({path.parts[-n:] for path in paths}) == len(paths))
    return [os.path.join(*path.parts[-depth:]) for path in paths]


def _data(record: dict) -> str:
    return str(record.get("notebooks", {}).get("01_data", {}).get("data", "cells that are not recorded"))


def _records(records: dict[str, dict]) -> Iterator[Row]:
    """What is recorded of the runs, and not the same in all of them."""
    flat: dict[str, dict[tuple[str, str], str]] = {}
    for run, record in records.items():
        of_run = flat[run] = {("versions", name): str(value) for name, value in record.get("versions", {}).items()}
        for notebook, settings in record.get("notebooks", {}).items():
            known = {name: value for name, value in settings.items() if name in schema.TYPES}
            of_run |= {("settings", f"{notebook}: {name}"): pages.setting(value) for name, value in known.items()}
        for figures in record.get("key_figures", {}).values():
            of_run |= {("key figures", label): str(text) for label, text in figures.items()}
    for part, name in dict.fromkeys(key for of_run in flat.values() for key in of_run):
        values = {run: of_run.get((part, name), NOT_RECORDED) for run, of_run in flat.items()}
        if len(set(values.values())) > 1:
            yield from ((part, name, "", run, value, np.nan) for run, value in values.items())


def _performance(runs: dict[str, Run]) -> Iterator[Row]:
    """R2 of each model by frequency, and its mean."""
    tables = {run: at.load_table("performance.csv") for run, at in runs.items()}
    scores = {
        run: evaluation.over_splits(table[table["protocol"] == ALL_CELLS], "r2")["mean"]
        for run, table in tables.items()
    }
    of_all = sorted(set.intersection(*(set(table.columns) for table in scores.values())))
    for run, table in scores.items():
        for model, values in table.iterrows():
            yield "R2", str(model), MEAN, run, values[of_all].mean(), np.nan
            yield from (("R2", str(model), frequency, run, value, np.nan) for frequency, value in values.items())


def _cells(run: Run) -> Cells:
    with h5py.File(run.need("cells.h5ad")) as file:
        names, genes = (read_elem(file[part]).index for part in ("obs", "var"))
        return Cells(names, genes, file["uns/freq_vals"][:], file["obsm/X_freq"][:])


def _agreement(runs: dict[str, Run]) -> Iterator[Row]:
    """Agreement of frequencies and of modules, whichever frequency a partner is of: these change places and rotate."""
    first, *others = runs
    cells, modules = _cells(runs[first]), runs[first].load_table("modules.csv")
    for other in others:
        found = _cells(runs[other])
        shared = cells.names.intersection(found.names)
        mine, theirs = (of_run.vectors[of_run.names.get_indexer(shared)] for of_run in (cells, found))
        if len(shared) >= LEAST_SHARED:
            scales = graph.scale_table(
                cells.values, mine, [(np.arange(len(shared)), theirs)], np.full(mine.shape[1], np.nan)
            )
            for row in scales.itertuples():
                yield "frequencies", "by itself", row.frequency, other, row.alone, np.nan
                yield "frequencies", "all up to it", row.frequency, other, row.together, np.nan
        chance, of_other = _chance(cells.genes, found.genes), runs[other].load_table("modules.csv")
        for (frequency, module), value in _best_jaccards(modules, of_other, ["frequency", "module"]).items():
            yield "modules", f"module {module}", frequency, other, value, chance


def _chance(genes: pd.Index, others: pd.Index) -> float:
    """Jaccard of poles of random genes; genes that one run alone has measured make it smaller than this."""
    n_genes = len(genes.intersection(others))
    return expected_jaccard(N_POLE_GENES, N_POLE_GENES, n_genes) if n_genes > N_POLE_GENES else np.nan


def _poles(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Sets of the leading genes at both poles of each module or program; table : `modules.csv` or `programs.csv`."""
    leading = table[table["rank"] <= N_POLE_GENES]
    return leading.groupby([*by, "pole"])["gene"].agg(frozenset).unstack("pole", fill_value=frozenset())


def _best_jaccards(table: pd.DataFrame, other: pd.DataFrame, by: list[str]) -> pd.Series:
    """Mean Jaccard of both poles of each module or program with its best partner's, whichever way round fits better."""
    theirs = _poles(other, by)
    ways = [*theirs[["positive", "negative"]].to_numpy(), *theirs[["negative", "positive"]].to_numpy()]

    def best(mine: pd.Series) -> float:
        return max((jaccard(mine.positive, one) + jaccard(mine.negative, two)) / 2 for one, two in ways)

    return _poles(table, by).apply(best, axis=1)


def _programs(runs: dict[str, Run]) -> Iterator[Row]:
    """Agreement of programs."""
    first, *others = runs
    programs, genes = runs[first].load_table("programs.csv"), _cells(runs[first]).genes
    for other in others:
        chance = _chance(genes, _cells(runs[other]).genes)
        of_other = runs[other].load_table("programs.csv")
        for number, value in _best_jaccards(programs, of_other, ["program"]).items():
            yield "programs", f"program {number}", "", other, value, chance


def _terms(runs: dict[str, Run]) -> Iterator[Row]:
    """Terms of each run, and those that the first one has, too."""
    found = {run: _significant(at) for run, at in runs.items()}
    first, *others = runs
    for run, terms in found.items():
        yield "terms", "significant", "", run, len(terms), np.nan
    for other in others:
        yield "terms", "in common", "", other, len(found[first] & found[other]), np.nan
        yield "terms", "Jaccard", "", other, jaccard(found[first], found[other]), np.nan


def _significant(run: Run) -> set[tuple[str, str]]:
    """Library and name of the terms of the markers of modules."""
    table = run.load_table("enrichment.csv")
    significant = table["adjusted_p"] < run.of("06_go_terms")["term_fdr"]
    of_modules = enrichment.kind_of(table["source"]) == "module"
    return set(table.loc[significant & of_modules, ["library", "term"]].itertuples(index=False, name=None))


def _sentence(table: pd.DataFrame, first: str, other: str) -> str:
    """How far a run agrees with the first."""
    of_other = table[table["run"] == other]
    clauses = [_counted((of_other["part"] == "settings").sum(), "setting differs", "settings differ")]
    together = of_other.loc[of_other["name"] == "all up to it", "value"].to_numpy(float)
    if len(together):
        n_back = (np.flatnonzero(together >= graph.COMES_BACK) + 1).max(initial=0)
        clauses.append(
            f"of {len(together)} frequencies, the first {n_back} span the same space"
            if n_back
            else "no leading frequencies span the same space"
        )
    for part in ("modules", "programs"):
        rows = of_other[of_other["part"] == part]
        if len(rows):
            value, chance = rows["value"].astype(float).mean(), findings.measured(rows["chance"].mean(), ".3f")
            clauses.append(f"genes at the poles of {part} have a mean Jaccard of {value:.2f} (by chance {chance})")
    shared = of_other.loc[(of_other["part"] == "terms") & (of_other["name"] == "in common"), "value"]
    clauses += [_counted(n, "term of modules is the same", "terms of modules are the same") for n in shared]
    return f"{other} beside {first}: {'; '.join(clauses)}."


def _counted(n: int, one: str, many: str) -> str:
    return f"{n} {one if n == 1 else many}"


def _wide(rows: pd.DataFrame, runs: list[str], what: str) -> pd.DataFrame:
    """A part of the table for reading, as text: a row for each thing that is compared, a column for each run."""
    keys = ["name", "frequency"] if (rows["frequency"] != "").any() else ["name"]
    texts = rows.assign(frequency=rows["frequency"].astype(str), value=list(map(_short, rows["value"])))
    wide = texts.pivot(index=keys, columns="run", values="value")
    wide = wide[[run for run in runs if run in wide]]
    if rows["chance"].notna().any():
        wide["by chance"] = [
            findings.measured(value, ".3f") for value in texts.groupby(keys)["chance"].mean()[wide.index]
        ]
    in_order = texts.drop_duplicates(keys).set_index(keys).index
    return wide.loc[in_order].fillna("").rename_axis(columns=None).reset_index().rename(columns={"name": what})


def _short(value: object) -> str:
    return findings.measured(value, "z.3f") if isinstance(value, float) else str(value)


def as_text(found: Comparison) -> str:
    """A comparison for a terminal; R2 of single frequencies is left to the file."""
    lines = ["\n".join(map(one_line, found.said))]
    shown = found.table[(found.table["part"] != "R2") | (found.table["frequency"] == MEAN)]
    for part, (title, what, note) in PARTS.items():
        rows = shown[shown["part"] == part]
        if len(rows):
            wide = _wide(rows, list(found.folders), what)
            names = [name for name in wide if name not in (what, "frequency")]
            lines += [heading(f"{title}. {note}".strip()), text_table(list(wide), wide.itertuples(index=False), names)]
    return "\n".join(lines)


def write(found: Comparison, folder: Path) -> Path:
    """Write compare.csv and compare.html into a folder; returns the page's path."""
    sections = [
        {"title": title, "note": note, "table": findings.table(_wide(rows, list(found.folders), what)).data}
        for part, (title, what, note) in PARTS.items()
        if len(rows := found.table[found.table["part"] == part])
    ]
    links = {name: quote(os.path.relpath(path / "index.html", folder)) for name, path in found.folders.items()}
    at = Run(folder)
    at.write("compare.csv", partial(write_table, found.table, is_marked=found.is_marked))
    content = {"title": "Runs beside each other", "said": found.said, "links": links, "sections": sections}
    return at.write_text("compare.html", pages.rendered(TEMPLATE, content))
