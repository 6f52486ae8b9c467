"""How often anything is called in cells that differ in nothing but their depth: `python -m benchmarks.structureless`.

The cells have the depths and the mean profile of a data set. Of a set of which no frequency passes, the index page says
that there is no structure beyond depth and noise.
"""

import argparse
import warnings
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scripts import cells, datasets, evaluation, models, reading, sources


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
    split, genes = cells.run_split(adata), list(adata.var_names)
    make = partial(models.BilinearRidge, 50, (12, 16, 20))
    model = make()
    model.fit(split.train, split.val)
    form = model.form(genes)
    stability = reading.module_stability(form, evaluation.forms_of_subsamples(make, split, genes, 6))
    truncation = evaluation.truncation_curve(form, split)
    lacking = evaluation.without_structure(scales)
    asked = reading.trusted_modules(stability, truncation, without_structure=lacking)
    return {
        "largest beyond_depth_r2": scales["beyond_depth_r2"].max(),
        "frequencies with structure": int((scales["structure"] == "yes").sum()),
        "trusted modules": int(asked["trusted"].sum()),
        "trusted if not asked": int(reading.trusted_modules(stability, truncation)["trusted"].sum()),
    }


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
    rows = []
    for number in range(asked.sets):
        rows.append(judged(structureless_set(adata, settings, asked.cells, number), settings))
        print(number, rows[-1], flush=True)
    table = pd.DataFrame(rows)
    for name in table.columns[1:]:
        print(f"{name}: any in {(table[name] > 0).sum()} of {len(table)} runs")


if __name__ == "__main__":
    main()
