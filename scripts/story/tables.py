"""What a run folder holds for its story: what is missing or out of date is left out, and why is told."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from scripts.cells import labels_of
from scripts.errors import InputError, one_line
from scripts.models import PolynomialForm
from scripts.report import MAKERS, Run

MIN_SHARE, STANDS_OUT, MAX_TYPES = 0.1, 2.0, 3  # for a type to be named: share of cells, times as common; how many
READ = {  # table: the columns that are read
    "scales.csv": ["frequency", "together_lowest", "comes_back", "group", "structure", "beyond_depth_r2"],
    "scale_changes.csv": ["changed", "frequency", "together"],
    "performance.csv": ["protocol", "model", "frequency", "r2", "chosen"],
    "modules.csv": ["frequency", "module", "pole", "rank", "gene", "stability", "trusted"],
    "branch_genes.csv": ["branch", "name", "rank", "gene", "pattern"],
    "pairs.csv": ["frequency", "gene_i", "gene_j", "t", "adjusted_p", "called", "confirmed"],
    "drivers.csv": ["frequency", "gene", "correlation", "ci_low", "ci_high", "q_value"],
    "panels.csv": ["method", "frequency", "n_genes", "r2", "genes", "split"],
    "covariates.csv": ["frequency", "kind", "covariate", "r2", "warned"],
    "enrichment.csv": ["frequency", "source", "pole", "term", "adjusted_p", "genes", "finding"],
    "programs.csv": ["program", "pole", "rank", "gene", "pattern"],
    "program_terms.csv": ["frequency", "order", "programs", "weight", "t", "called", "replicated"],
    "program_scores.csv": ["cell", "fitted"],
}


class Tables:
    """Tables and cells of a run; a table that cannot be had is empty, and `missing` says which notebook to run.

    Attributes
    ----------
    run : Run
    record : dict
        Content of `params.yaml`; empty where there is none.
    cells : AnnData or None
    missing : list of str
        Of each file that is not there, is older than what it was made from, or lacks a column: a line.
    """

    def __init__(self, run: Run):
        self.run, self.missing = run, []
        self.record = run.settings() if run.path("params.yaml").exists() else {}
        self.cells: Any = self._had("cells.h5ad", self._prepared) if self.record else None
        self._tables = {name: self._table(name) for name in READ}

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self._tables[name]

    def _prepared(self) -> Any:
        """The run's cells, as notebook 01 leaves them."""
        cells = self.run.load_cells()
        if "X_freq" not in cells.obsm or not {"dataset", "graph"} <= set(cells.uns):
            raise InputError("cells.h5ad holds no frequencies, or not how they were made; run 01_data.ipynb again")
        return cells

    def _had(self, name: str, load: Callable[[], Any]) -> Any:
        try:
            return load()
        except InputError as error:
            line = one_line(str(error).replace(f"{self.run.path(name)} ", f"{name} "))
            self.missing.append(f"{line}.")
            return None

    def _table(self, name: str) -> pd.DataFrame:
        table, columns = self._had(name, lambda: self.run.load_table(name)) if self.record else None, READ[name]
        if table is not None and not set(columns) <= set(table.columns):
            self.missing.append(f"{name} is of an earlier version of the program; run {MAKERS[name]}.ipynb again.")
            table = None
        return pd.DataFrame(columns=columns) if table is None else table

    @functools.cached_property
    def polynomials(self) -> PolynomialForm | None:
        """The frequencies as polynomials of programs; None where they are not there."""
        if self["program_scores.csv"].empty:
            return None
        name = "model_of_programs.safetensors"
        return self._had(name, lambda: PolynomialForm.load(self.run.need(name)))

    @functools.cached_property
    def programs(self) -> pd.DataFrame:
        """Programs of the cells, (n_cells, n_programs), in columns program_1, program_2, ...; none if unknown."""
        return self["program_scores.csv"].filter(regex=r"^program_\d+$")

    def setting(self, notebook: str, name: str, default):
        """A recorded setting, or a default where there is none."""
        return self.record.get("notebooks", {}).get(notebook, {}).get(name, default)

    @property
    def n_freq(self) -> int:
        """How many frequencies the run has; 0 where there are no cells."""
        return self.frequencies.shape[1]

    @functools.cached_property
    def frequencies(self) -> np.ndarray:
        """The frequencies v, (n_cells, n_freq)."""
        return np.zeros((0, 0)) if self.cells is None else np.asarray(self.cells.obsm["X_freq"], dtype=float)

    @functools.cached_property
    def labels(self) -> pd.Series:
        """Known types of the cells, (n_cells,) text, NaN for none; nothing where labels are numbers."""
        if self.cells is None:
            return pd.Series(dtype=object)
        labels = labels_of(self.cells)
        if pd.api.types.is_float_dtype(labels.dtype):
            return pd.Series(np.nan, labels.index, dtype=object)
        return labels.astype(object).map(str, na_action="ignore")

    def types_among(self, rows: np.ndarray) -> dict[str, int]:
        """Known types that stand out among some cells, the commonest first, and how many of the cells are of each.

        rows : places of the cells. A type stands out if it is at least `MIN_SHARE` of those that have one, and
        `STANDS_OUT` times as common there as among all.
        """
        there, everywhere = self.labels.iloc[rows].value_counts(), self.labels.value_counts(normalize=True)
        share = there / max(there.sum(), 1)
        named = there[(share >= MIN_SHARE) & (share >= STANDS_OUT * everywhere.reindex(there.index))]
        return {str(name): int(count) for name, count in named.head(MAX_TYPES).items()}

    def expression(self, gene: str) -> np.ndarray:
        """Expression of a gene, (n_cells,); logarithms, where the run took them."""
        column = self.cells.X[:, self.cells.var_names.get_loc(gene)]
        return np.asarray(column.todense() if hasattr(column, "todense") else column, dtype=float).ravel()
