"""What a lab takes along: lists of genes for other tools, and the scores of each cell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from scripts.errors import one_line
from scripts.story.frequencies import Frequency
from scripts.story.tables import Tables

N_CORRELATED = 50  # genes of each end in a list of correlated ones
COLUMNS = ["list", "description", "rank", "gene"]


def gene_table(tables: Tables, frequencies: list[Frequency]) -> pd.DataFrame:
    """All lists of genes of a run, a row a gene: list, description, rank (from 1), gene."""
    lists = [
        *_of_ends(frequencies),
        *_of_modules(frequencies),
        *_of_programs(tables),
        *_of_branches(tables),
        *_of_correlation(tables),
    ]
    rows = [(name, said, rank, gene) for name, said, genes in lists for rank, gene in enumerate(genes, start=1)]
    return pd.DataFrame(rows, columns=COLUMNS)


def as_gmt(table: pd.DataFrame) -> str:
    """The same lists as gene-set tools read them: name, description and genes of a list in a line, by tabs."""
    lines = [
        "\t".join(map(one_line, [name, said, *rows["gene"]]))
        for (name, said), rows in table.groupby(["list", "description"], sort=False)
    ]
    return "".join(f"{line}\n" for line in lines)


def scores(tables: Tables) -> pd.DataFrame:
    """Frequencies, and the axis and score of each module, of every cell; columns as of the scores of other cells.

    Behind them the programs, where notebook 07 has found some.
    """
    cells = tables.cells
    columns = {f"freq_{number}": v for number, v in enumerate(tables.frequencies.T)}
    if "X_axes" in cells.obsm:
        for place, name in enumerate(cells.uns["bmlp"]["columns"]):
            columns |= {
                f"{name}_axis": np.asarray(cells.obsm["X_axes"])[:, place],
                f"{name}_score": np.asarray(cells.obsm["X_modules"])[:, place],
            }
    return pd.DataFrame({"cell": cells.obs_names, **columns, **tables.programs})


def _of_ends(frequencies: list[Frequency]):
    for frequency in frequencies:
        for end in frequency.ends:
            if len(end.markers):
                said = f"higher than in all others in the {end.n_cells} cells at the {end.side} end ({end.name})"
                yield f"frequency_{frequency.number}_{end.side}", said, end.markers["gene"]


def _of_modules(frequencies: list[Frequency]):
    for frequency in frequencies:
        for module in frequency.modules:
            trust = "trusted" if module.is_trusted else "not trusted"
            for side, genes in module.genes.items():
                said = f"{side} end of {module.name}, {trust}, correlation with the frequency {module.correlation:.2f}"
                yield f"frequency_{frequency.number}_module_{module.number}_{side}", said, genes


def _of_programs(tables: Tables):
    for (program, pole), rows in tables["programs.csv"].sort_values("rank").groupby(["program", "pole"]):
        yield f"program_{program}_{pole}", f"{pole} end of program {program}, by pattern", rows["gene"]


def _of_branches(tables: Tables):
    for (branch, name), rows in tables["branch_genes.csv"].sort_values("rank").groupby(["branch", "name"]):
        yield f"branch_{branch}", f"genes that rise along branch {branch}: {name}", rows["gene"]


def _of_correlation(tables: Tables):
    for number, drivers in tables["drivers.csv"].groupby("frequency"):
        for side, sign in (("low", -1), ("high", 1)):
            towards = drivers[sign * drivers["correlation"] > 0]["gene"].head(N_CORRELATED)
            yield (
                f"frequency_{number}_correlated_{side}",
                f"most correlated with the {side} end of frequency {number}",
                towards,
            )
