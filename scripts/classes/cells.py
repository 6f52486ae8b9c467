"""Cells that have a class, and how they are held out."""

from dataclasses import dataclass, field

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from scripts.blocks import Matrix
from scripts.cells import MIN_SPLIT, CellDataset, as_labels, donors_of, labels_of, n_folds, split_rows
from scripts.errors import InputError

MIN_CELLS, MAX_CELLS = 8, 5_000


@dataclass(frozen=True)
class LabelledCells:
    """Cells of known classes, each class of enough cells.

    Attributes
    ----------
    X : (n_cells, n_genes) array or sparse matrix
    labels : (n_cells,) str
    genes : list of str
    column : str
        Of obs, that the labels come from; empty: none.
    n_unlabelled : int
        Cells that have no label.
    n_not_drawn : int
        Cells with a label that a sample of them left out.
    left_out : dict
        Cells of each class that has too few of them.
    why_not : str
        Why there is nothing to tell apart; empty where there is.
    donors : (n_cells,) int, or None
        Whose cells are held out together.
    """

    X: Matrix
    labels: np.ndarray
    genes: list[str]
    column: str = ""
    n_unlabelled: int = 0
    n_not_drawn: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    why_not: str = ""
    donors: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """Names of the classes in alphabetical order; none where there is nothing to tell apart."""
        return np.unique(self.labels).tolist()

    def dataset(self, rows: np.ndarray) -> CellDataset:
        """Some of the cells, y 1 for their class and 0 for all others; rows : their indices."""
        donors = None if self.donors is None else self.donors[rows]
        return CellDataset(self.X[rows], self.labels[rows][:, None] == np.array(self.names), donors=donors)

    def splits(self, n_splits: int, random_state: int = 0) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Indices of 70 % training, 15 % validation and 15 % test cells, n_splits times; none where there is no class.

        Each class is drawn from in its share, so that rare ones are in all parts; where donors are known, whole ones
        are held out instead, no more often than there are ways to. Training cells without some class are passed over.
        """
        if self.why_not:
            return []
        seeds = range(random_state, random_state + n_folds(self.donors, n_splits))
        return [parts for parts in map(self._split, seeds) if len(np.unique(self.labels[parts[0]])) == len(self.names)]

    def _split(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if self.donors is not None:
            return split_rows(len(self.labels), seed, self.donors)
        every = np.arange(len(self.labels))
        train, rest = train_test_split(every, train_size=0.7, random_state=seed, stratify=self.labels)
        val, test = train_test_split(rest, train_size=0.5, random_state=seed, stratify=self.labels[rest])
        return np.sort(train), np.sort(val), np.sort(test)


def labelled_cells(
    adata: ad.AnnData, column: str = "", min_cells: int = MIN_CELLS, max_cells: int = MAX_CELLS
) -> LabelledCells:
    """The cells whose classes are to be told apart.

    Parameters
    ----------
    adata : AnnData
        As from `cells.scaled`.
    column : str
        Of obs; empty: the run's label.
    min_cells : int
        Classes of fewer cells are left out; at least 8, so that all three parts of the cells hold some.
    max_cells : int
        Of more cells with a label, a random sample is taken: what rivals cost grows with their square.

    Raises
    ------
    InputError
        If obs has no such column.
    """
    if column and column not in adata.obs:
        raise InputError(f"there is no column {column!r} in obs for the classes: it has {', '.join(adata.obs)}")
    labels = as_labels(adata.obs[column]) if column else labels_of(adata)
    every = rows = np.flatnonzero(labels.notna())
    if len(rows) > max_cells:
        rows = np.sort(np.random.default_rng(0).choice(rows, max_cells, replace=False))
    n_not_drawn = len(every) - len(rows)
    counts = labels.iloc[rows].value_counts()
    counts = counts[counts > 0]
    large, left_out = counts[counts >= min_cells], counts[counts < min_cells]
    rows = rows[labels.iloc[rows].isin(large.index)]
    why_not = ""
    if not labels.name or not len(counts):
        why_not = "no class of any cell is known"
    elif pd.api.types.is_float_dtype(labels.dtype):
        why_not = f"obs[{labels.name!r}] holds numbers, not classes"
    elif len(large) < 2:
        why_not = f"obs[{labels.name!r}] has fewer than two classes of {min_cells} cells or more"
    elif len(rows) < MIN_SPLIT:
        why_not = f"obs[{labels.name!r}] has fewer than {MIN_SPLIT} cells in classes of {min_cells} cells or more"
    if why_not:
        rows = rows[:0]
    donors = donors_of(adata)
    codes = None if donors is None else donors.cat.codes.to_numpy()[rows]
    return LabelledCells(
        adata.X[rows],
        labels.iloc[rows].to_numpy().astype(str),
        list(adata.var_names),
        str(labels.name),
        len(labels) - len(every),
        n_not_drawn,
        {} if why_not else {str(name): int(n) for name, n in left_out.items()},
        why_not,
        codes if codes is not None and len(np.unique(codes)) > 1 else None,
    )
