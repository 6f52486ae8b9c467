"""What every method knows of the cells, and the genes among which it may choose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import anndata as ad
import numpy as np
from scipy import sparse

from scripts.blocks import Matrix, Standard, dense, in_parts
from scripts.cells import Split
from scripts.measures import strongest
from scripts.models import multiple_correlation

LIMIT = 5.0  # standard deviations that expression is limited to: rare genes reach 50, and few cells would decide
N_SCREENED = 1_000  # genes of largest multiple correlation with all frequencies, among which most methods choose


class Expression(Standard):
    """Standardised and limited expression, by the means and standard deviations of the training cells."""

    def columns(self, X: Matrix, genes: np.ndarray) -> np.ndarray:
        """(n_cells, n_chosen) float32 of the chosen genes, centred; genes : (n_chosen,) int."""
        found = np.empty((X.shape[0], len(genes)), dtype=np.float32, order="F")  # sums over cells are then pairwise
        for cells in in_parts(X.shape[0]):  # in double precision
            chosen = (dense(X[cells][:, genes]) - self.mean[genes]) / self.deviation[genes]
            found[cells] = np.clip(chosen, -LIMIT, LIMIT)
        return found


@dataclass(frozen=True)
class TrainingCells:
    """Training cells; no others are looked at.

    Attributes
    ----------
    X : (n_cells, n_genes) float32
        Expression as the models see it.
    y : (n_cells, n_freq) float64
    adjacency : (n_cells, n_cells)
        Edges of the cell graph between training cells.
    counts : (n_cells, n_genes) sparse or None
    """

    X: Matrix
    y: np.ndarray
    adjacency: sparse.csr_array
    counts: sparse.csr_array | None = None

    @classmethod
    def of(cls, adata: ad.AnnData, split: Split) -> TrainingCells:
        """Training cells of a split of adata, with the edges and counts that it holds."""
        rows = split.train_rows
        counts = sparse.csr_array(adata.layers["counts"][rows]) if "counts" in adata.layers else None
        return cls(*split.train.arrays(), sparse.csr_array(adata.obsp["connectivities"])[rows][:, rows], counts)

    def some(self, rows: np.ndarray) -> TrainingCells:
        """Some of the cells, with the edges between them; rows : (n_some,) int."""
        counts = None if self.counts is None else self.counts[rows]
        return TrainingCells(self.X[rows], self.y[rows], self.adjacency[rows][:, rows], counts)

    @cached_property
    def expression(self) -> Expression:
        """Means and standard deviations of all genes."""
        return Expression.of(self.X)

    @cached_property
    def screened(self) -> np.ndarray:
        """(n_screened,) int, genes that most methods choose among, most correlated with all frequencies first."""
        return strongest(multiple_correlation(self.X, self.y), N_SCREENED)

    @cached_property
    def known(self) -> np.ndarray:
        """(n_cells, n_screened) float32, expression of the screened genes."""
        known = self.expression.columns(self.X, self.screened)
        known -= known.mean(axis=0)
        return known

    @cached_property
    def gram(self) -> np.ndarray:
        """(n_screened, n_screened) float64, scalar products of the screened genes."""
        return (self.known.T @ self.known).astype(np.float64)
