"""How often anything is called where there is nothing: `python -m benchmarks.structureless`.

Cells that differ in nothing but their depth, with the depths and the mean profile of a data set: of a set of which no
frequency passes, the index page says that there is no structure beyond depth and noise. And the data set's own cells
with targets that know nothing of their genes, the frequencies of other cells and random fields on the graph of other
cells; and with random fields on their own graph, which are made of the tissue's axes: how many modules of these are
trusted. A graph built anew has targets of its own, as it has frequencies.
"""

import argparse
import warnings
from collections.abc import Collection, Sequence
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scripts import cells, datasets, evaluation, models, reading, sources

MAKE = partial(models.BilinearRidge, 50, (12, 16, 20))
N_REBUILT = 5
NULLS = {  # what the targets are: of which kind, and whether of the graph of other cells
    "frequencies of other cells": ("shuffled", False),
    "fields on the graph of other cells": ("smooth", True),
    "fields on the cells' own graph": ("smooth", False),
}


def structureless_set(adata: ad.AnnData, settings: cells.Preparation, n_cells: int, random_state: int) -> ad.AnnData:
    """A random sample of cells, their counts drawn anew from the mean profile of all; as from `datasets.prepare`."""
    some = np.random.default_rng(random_state).choice(adata.n_obs, min(n_cells, adata.n_obs), replace=False)
    own = adata[np.sort(some)].copy()
    drawn = evaluation.structureless(sparse.csr_matrix(own.layers["counts"], dtype=np.float64), random_state)
    made = datasets.add_frequencies(cells.with_counts(own, drawn, settings), settings)
    return datasets.add_split(made, settings.random_state)


def judged(adata: ad.AnnData, settings: cells.Preparation) -> dict[str, object]:
    """What the pages would call: frequencies that hold structure, modules that are trusted with and without asking."""
    scales = evaluation.scales(adata, settings, 2)
    lacking = evaluation.without_structure(scales)
    anew = reading.patterns_anew(MAKE, adata, settings, N_REBUILT)
    return {
        "largest beyond_depth_r2": scales["beyond_depth_r2"].max(),
        "frequencies with structure": int((scales["structure"] == "yes").sum()),
        **{f"{name}, with the verdict": n for name, n in n_trusted(adata, anew, lacking).items()},
        **n_trusted(adata, anew),
    }


def n_trusted(adata: ad.AnnData, anew: list[np.ndarray], lacking: Collection[int] = ()) -> dict[str, int]:
    """How many modules are trusted, and how many would be if the graph were not built anew."""
    split = cells.run_split(adata)
    model = MAKE()
    model.fit(split.train, split.val)
    form, X = model.form(list(adata.var_names)), split.train.arrays()[0]
    forms = evaluation.forms_of_subsamples(MAKE, split, form.genes, 6)
    same_graph, by_chance = reading.patterns_of_subsamples(forms, split.train), reading.random_patterns(form, X)
    stability = reading.module_stability(reading.patterns(form, X), same_graph, anew, by_chance)
    truncation = evaluation.truncation_curve(form, split)
    tables = {"trusted": stability, "trusted on the same graph": stability.assign(stability_anew=np.nan)}
    return {
        name: int(reading.trusted_modules(table, truncation, without_structure=lacking)["trusted"].sum())
        for name, table in tables.items()
    }


def of_null_targets(
    adata: ad.AnnData, rebuilt: Sequence, null: str, is_of_others: bool, random_state: int
) -> dict[str, int]:
    """`n_trusted` of targets without the data set's own; rebuilt : as from datasets.rebuilt_graphs.

    is_of_others : whether the graph is that of other cells.
    """
    random = np.random.default_rng(random_state)
    of_graph = random.permutation(adata.n_obs) if is_of_others else np.arange(adata.n_obs)

    def drawn(rows: np.ndarray, y: np.ndarray, seed: int) -> np.ndarray:
        edges = adata.obsp["connectivities"][of_graph[rows]][:, of_graph[rows]]
        return cells.without_pairs(null, adata.X[rows], y, edges, adata.layers["counts"][rows], seed)[1]

    seeds = 100 * random_state + np.arange(1 + len(rebuilt))
    made, every = adata.copy(), np.arange(adata.n_obs)
    made.obsm["X_freq"] = drawn(every, adata.obsm["X_freq"], seeds[0])
    targets = [(rows, drawn(rows, y, seed)) for (rows, y), seed in zip(rebuilt, seeds[1:], strict=True)]
    parts = [cells.CellDataset(adata.X, y, rows=rows) for rows, y in targets]
    return n_trusted(made, [reading.fitted_patterns(MAKE, part) for part in parts])


def main() -> None:
    """Print what is called of each set, and in how many sets anything is."""
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument("--dataset", default="paul15", help="whose depths and profile (default: paul15)")
    found.add_argument("--sets", type=int, default=20, help="sets of cells (default: 20)")
    found.add_argument("--cells", type=int, default=1000, help="cells of each (default: 1000)")
    asked = found.parse_args()
    warnings.simplefilter("ignore")
    settings = cells.Preparation(n_freq_comps=5, unconnected="largest")
    adata = cells.load(sources.resolve(asked.dataset), settings)
    print("real cells:", evaluation.beyond_depth(datasets.add_frequencies(adata, settings), settings, 12).round(3))
    whole = datasets.add_split(datasets.add_frequencies(adata.copy(), settings), settings.random_state)
    rebuilt = datasets.rebuilt_graphs(whole, settings, N_REBUILT, whole.obsm["X_freq"].shape[1])
    for what, (null, is_of_others) in NULLS.items():
        counts = [of_null_targets(whole, rebuilt, null, is_of_others, number) for number in range(asked.sets)]
        print_counts(counts, what)
    rows = []
    for number in range(asked.sets):
        rows.append(judged(structureless_set(adata, settings, asked.cells, number), settings))
        print(number, rows[-1], flush=True)
    print_counts(rows, "cells without structure")


def print_counts(rows: list[dict], what: str) -> None:
    """In how many sets anything is called, and how much in each."""
    table = pd.DataFrame(rows).drop(columns="largest beyond_depth_r2", errors="ignore")
    for name in table:
        print(f"{what}, {name}: any in {(table[name] > 0).sum()} of {len(table)} sets ({table[name].tolist()})")


if __name__ == "__main__":
    main()
