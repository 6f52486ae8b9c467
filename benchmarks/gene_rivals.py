"""Which method's genes predict, come back and are markers, at what cost: `python -m benchmarks.gene_rivals`.

On Paul15, and on sorted_pbmc where BMLP_DATA_DIR holds it, or on the data sets or files that are named. All rivals are
asked, those that are packages too (`make rivals`).
"""

import os
import sys
import warnings
from pathlib import Path

import pandas as pd

from scripts import cells, datasets, evaluation, findings, models, rankings, sources

SIZES, N_GENES, N_SPLITS, N_SUBSAMPLES = (5, 10, 25), 25, 3, 4
SETTINGS = cells.Preparation(unconnected="largest")


def judged(source: str) -> tuple[pd.DataFrame, list[str]]:
    """A row for each method, and where rivals win; source : name of a data set, or a file."""
    adata = datasets.prepare(sources.resolve(source), SETTINGS)
    genes, packages = list(adata.var_names), rankings.installed()
    splits = evaluation.panel_splits(adata, models.BilinearRidge, N_SPLITS, max(SIZES), packages=packages)
    panels = evaluation.panel_table(splits, genes, SIZES)
    split = splits[0][0]
    stability = evaluation.panel_stability(adata, split, models.BilinearRidge, N_GENES, N_SUBSAMPLES, packages)
    markers = sources.load_markers(genes)
    recovered = evaluation.marker_recovery([found.orders for _, found in splits], genes, markers, N_GENES)
    table = (
        evaluation.panel_summary(panels).pivot(index="method", columns="n_genes", values="mean").add_prefix("R2 of ")
    )
    table["stability"] = stability.groupby("method")["jaccard"].mean()
    table["markers"] = recovered.groupby("method")["average_precision"].mean()
    table["seconds"] = seconds = evaluation.panel_seconds(splits)
    leads = evaluation.where_rivals_win(panels, stability, recovered, N_GENES)
    order = [method for method in rankings.METHODS if method in table.index]
    said = findings.about_rivals(panels, splits, []) + findings.about_rivals_won(leads, seconds, N_GENES)
    return table.loc[order].round(3), said


def main() -> None:
    """Print a table and sentences for each data set."""
    if missing := rankings.missing():
        sys.exit(f"error: not installed: {', '.join(missing)}; install them: make rivals")
    warnings.simplefilter("ignore")
    given = Path(os.environ.get("BMLP_DATA_DIR", "data")) / "sorted_pbmc.h5ad"
    for source in sys.argv[1:] or ["paul15", *([str(given)] if given.exists() else [])]:
        table, said = judged(source)
        print(f"{source}\n{table.to_string()}", *said, sep="\n", flush=True)


if __name__ == "__main__":
    main()
