"""Two ways to hold cells, or whole donors, out, subsamples, and cells as torch data sets."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.model_selection import GroupKFold, train_test_split

from scripts import graph
from scripts.blocks import Matrix, Standard, dense, is_finite, variation
from scripts.cells.labels import as_labels
from scripts.cells.loading import COVARIATES, Preparation, graph_features
from scripts.errors import InputError
from scripts.graph import entered_neighbors, nearest_neighbors
from scripts.measures import aligned_r2
from scripts.parallel import side_by_side
from scripts.regression import regress_out

SPLITS = ("train", "val", "test")
MIN_TRAINING = 10  # cells that a model can be fitted to
MIN_DONORS, MAX_FOLDS = 3, 5  # donors from which on they are held out whole, and times that some are
MIN_SPLIT = 19  # cells of which 80 % subsamples of the training cells are as many
ALL_CELLS, INDUCTIVE = "frequencies from all cells", "frequencies from training cells"


class CellDataset(torch.utils.data.Dataset):
    """Cells and their frequencies as float32 tensors: x (n_cells, n_genes), y (n_cells, n_freq).

    Sparse expression stays a scipy matrix in x; items are dense rows all the same.

    Parameters
    ----------
    x : (n_all, n_genes), dense or sparse
    y : (n_cells, n_freq)
    device : str or torch.device
        Where tensors are.
    donors : (n_cells,) int, optional
        None where cells are drawn one by one.
    rows : (n_cells,) int, optional
        Which rows of x the cells are; all, if not given. Many data sets share one x: none holds a copy, and rows are
        taken when they are asked for.
    units : function, optional
        From rows of x to what the cells are, taken row by row.
    """

    def __init__(
        self,
        x: Matrix,
        y: np.ndarray,
        device: str | torch.device = "cpu",
        donors: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        units: Callable[[Matrix], Matrix] | None = None,
    ):
        self._shared = sparse.csr_array(x) if sparse.issparse(x) else np.asarray(x)
        self.y = torch.as_tensor(np.ascontiguousarray(y), dtype=torch.float32, device=device)
        self.donors, self._rows, self._units = donors, rows, units

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index) -> tuple[torch.Tensor, torch.Tensor]:
        x = self._taken(np.atleast_1d(np.arange(len(self))[index]))
        x = torch.as_tensor(dense(x), device=self.y.device)
        return x if self.y[index].ndim > 1 else x[0], self.y[index]

    def _taken(self, some: np.ndarray | None = None) -> Matrix:
        """Rows of all cells, or of some, float32 in C order; shared with x where that is possible."""
        rows = self._rows if some is None else some if self._rows is None else self._rows[some]
        x = self._shared if rows is None else self._shared[rows]
        x = x if self._units is None else self._units(x)
        return sparse.csr_array(x, dtype=np.float32) if sparse.issparse(x) else np.ascontiguousarray(x, np.float32)

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self._shared.shape[1]

    @property
    def x(self) -> torch.Tensor | sparse.csr_array:
        """Expression of all cells, (n_cells, n_genes): a tensor, or a sparse matrix."""
        x = self._taken()
        return x if sparse.issparse(x) else torch.as_tensor(x, device=self.y.device)

    def some(self, rows: np.ndarray) -> Self:
        """Some of the cells, of the same expression; rows : (n_some,) int."""
        donors, of_all = (None if own is None else own[rows] for own in (self.donors, self._rows))
        of_all = rows if of_all is None else of_all
        return type(self)(self._shared, self.y.cpu().numpy()[rows], self.y.device, donors, of_all, self._units)

    def copied(self) -> Self:
        """The same cells with an expression of their own, for what asks for it again and again."""
        return type(self)(self._taken(), self.y.cpu().numpy(), self.y.device, self.donors)

    def arrays(self) -> tuple[np.ndarray | sparse.csr_array, np.ndarray]:
        """X as float32 numpy array or sparse matrix, y as float64 numpy array."""
        return self._taken(), self.targets()

    def targets(self) -> np.ndarray:
        """Frequencies alone, as float64 numpy array."""
        return self.y.cpu().numpy().astype(np.float64)


def donors_of(adata: ad.AnnData) -> pd.Series | None:
    """Batch of each cell, (n_cells,) categories, where they are at least `MIN_DONORS`: whole ones are then held out.

    None for fewer, or where the setting batch names no column; adata : AnnData, as from `load`.
    """
    batch = adata.uns["dataset"].get("batch", "")
    donors = as_labels(adata.obs[batch]) if batch else None
    return donors if donors is not None and donors.nunique() >= MIN_DONORS else None


def _codes(donors: pd.Series | None) -> np.ndarray | None:
    return None if donors is None else donors.cat.codes.to_numpy()


def n_folds(donors: np.ndarray | None, wanted: int) -> int:
    """How many ways to hold cells out there are, at most as many as wanted; donors : (n_cells,) int or None."""
    return wanted if donors is None else min(wanted, MAX_FOLDS, len(np.unique(donors)))


def split_rows(
    n_cells: int, random_state: int = 0, donors: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """70 % training, 15 % validation and 15 % test cells, seeded: their indices.

    donors : (n_cells,) int, optional. The test cells are then all cells of one donor, or of a fifth of more than five,
    others for each of the first seeds; training and validation cells are drawn from the rest, in the same proportion.
    """
    if n_cells < MIN_SPLIT:
        raise InputError(
            f"{n_cells} cells are too few to split into training, validation and test cells: at least {MIN_SPLIT} are "
            "needed; name another file"
        )
    if donors is None:
        train, rest = train_test_split(np.arange(n_cells), train_size=0.7, random_state=random_state)
        validation, test = train_test_split(rest, train_size=0.15 / (1 - 0.7), random_state=random_state + 1)
    else:
        folds = list(GroupKFold(n_folds(donors, MAX_FOLDS)).split(donors, groups=donors))
        rest, test = folds[random_state % len(folds)]
        train, validation = train_test_split(rest, train_size=0.7 / (0.7 + 0.15), random_state=random_state)
    return np.sort(train), np.sort(validation), np.sort(test)


def add_split(adata: ad.AnnData, random_state: int = 0) -> ad.AnnData:
    """Training, validation and test cells, as `split_rows` draws them: obs["split"]."""
    split = np.empty(adata.n_obs, dtype=object)
    for name, rows in zip(SPLITS, split_rows(adata.n_obs, random_state, _codes(donors_of(adata))), strict=True):
        split[rows] = name
    adata.obs["split"] = pd.Categorical(split, categories=SPLITS)
    if held_out := _held_out(adata, np.flatnonzero(split == SPLITS[-1])):
        batch = adata.uns["dataset"]["batch"]
        said = f"Whole groups of obs[{batch!r}] are held out, others in each split: test cells are those of {held_out}."
        adata.uns["dataset"]["said"] = np.append(adata.uns["dataset"]["said"], said)
    return adata


def torch_splits(adata: ad.AnnData, device: str = "cpu") -> tuple[CellDataset, CellDataset, CellDataset]:
    """Training, validation and test cells as torch data sets, in the order of the cells."""
    members = [np.flatnonzero(adata.obs["split"] == name) for name in SPLITS]
    train, val, test = (_cells(adata, rows, device) for rows in members)
    return train, val, test


def _cells(adata: ad.AnnData, rows: np.ndarray, device: str = "cpu") -> CellDataset:
    donors = _codes(donors_of(adata))
    own_donors = None if donors is None else donors[rows]
    return CellDataset(adata.X, adata.obsm["X_freq"][rows], device, own_donors, rows)


@dataclass(frozen=True)
class Split:
    """Training, validation and test cells of one way to hold cells out.

    extension_r2 : (n_freq,) agreement of the test cells' frequencies, extended from the training cells' graph, with
    those of the graph of all cells, aligned; None where they are the same. held_out : names of the donors whose cells
    are the test cells; empty where cells are drawn one by one. train_rows : (n_train,) places of the training cells
    among all cells; None where they were not split from any.
    """

    protocol: str
    number: int
    train: CellDataset
    val: CellDataset
    test: CellDataset
    extension_r2: np.ndarray | None = None
    held_out: str = ""
    train_rows: np.ndarray | None = None

    @property
    def refits(self) -> str:
        """Which of the training cells a model is fitted to again, to see what comes back."""
        return "80% subsamples" if self.train.donors is None else "without some donors"


def run_split(adata: ad.AnnData) -> Split:
    """The run's own split of the cells, as obs["split"] says."""
    train, test = (np.flatnonzero(adata.obs["split"] == name) for name in (SPLITS[0], SPLITS[-1]))
    return Split(ALL_CELLS, 0, *torch_splits(adata), held_out=_held_out(adata, test), train_rows=train)


def _held_out(adata: ad.AnnData, test: np.ndarray) -> str:
    donors = donors_of(adata)
    return "" if donors is None else ", ".join(map(str, donors.iloc[test].unique()))


def transductive_split(adata: ad.AnnData, random_state: int, number: int) -> Split:
    """Frequencies from the graph of all cells, which are then split; number 0 is the run's own split."""
    parts = split_rows(adata.n_obs, random_state + number, _codes(donors_of(adata)))
    train, val, test = (_cells(adata, rows) for rows in parts)
    held_out = _held_out(adata, parts[-1])
    return Split(ALL_CELLS, number, train, val, test, held_out=held_out, train_rows=parts[0])


def transductive_splits(adata: ad.AnnData, random_state: int, n_splits: int) -> list[Split]:
    """The first splits of `transductive_split`; no more than there are ways to hold donors out."""
    numbers = range(n_folds(_codes(donors_of(adata)), n_splits))
    return side_by_side(partial(transductive_split, adata, random_state), numbers, here=True)


def inductive_split(adata: ad.AnnData, settings: Preparation, number: int) -> Split:
    """Graph and frequencies from training cells alone, which also choose and scale genes and give the components.

    Where expression and frequencies are regressed on covariates, the coefficients are those of the training cells.

    Other cells get their frequencies by extension from their neighbours. Where the graph of the training cells falls
    into parts, its largest part alone is used.

    Raises
    ------
    InputError
        If the training cells are too few for a graph, or too few cells are left.
    """
    donors = _codes(donors_of(adata))
    train, val, test = split_rows(adata.n_obs, settings.random_state + number, donors)
    if COVARIATES in adata.obsm:  # of residuals, the residuals by other coefficients are those of what they were of
        X = regress_out(adata.X, adata.obsm[COVARIATES], train)
        adata = ad.AnnData(X, adata.obs, adata.var, adata.uns, obsm=adata.obsm, layers=adata.layers)
    units = None
    if "scale" in adata.uns["dataset"]["steps"]:
        units = partial(_scaled_within, _standard(adata.X[train]), np.sqrt(len(train) - 1))
    in_double = units and (lambda X: units(X).astype(np.float64))  # neighbours that are about as near are told apart
    features = graph_features(adata, settings, in_double, fit_rows=train)[0]
    found = nearest_neighbors(features[train], settings.k_neighbors, settings.metric)
    adjacency = graph.adjacency(found)
    keep = graph.largest_part(adjacency)
    values, vectors = graph.frequencies(adjacency[keep][:, keep], adata.obsm["X_freq"].shape[1])

    def extend(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        edges = entered_neighbors(features[rows], features[train], found, settings.metric)[:, keep]
        near = edges.sum(axis=1) > 0  # cells that only neighbour a small part are left out with it
        return rows[near], graph.extend(edges[near], values, vectors)

    (val, y_val), (test, y_test) = extend(val), extend(test)
    if keep.sum() < MIN_TRAINING or not len(val) or not len(test):
        raise InputError(f"{keep.sum()} training, {len(val)} validation and {len(test)} test cells are too few")
    vectors, y_val, y_test = _regressed(adata, (train[keep], val, test), (vectors, y_val, y_test))
    known = ((train[keep], vectors), (val, y_val), (test, y_test))
    of_train, of_val, of_test = (
        CellDataset(adata.X, y, donors=None if donors is None else donors[rows], rows=rows, units=units)
        for rows, y in known
    )
    agreement = aligned_r2(adata.obsm["X_freq"][test], y_test)
    return Split(INDUCTIVE, number, of_train, of_val, of_test, agreement, _held_out(adata, test), train[keep])


def inductive_splits(adata: ad.AnnData, settings: Preparation, n_splits: int) -> list[Split]:
    """Several inductive splits, without those whose cells are too few.

    None for graphs whose extension to new cells is not defined: weighted and normalised ones, and a graph that was
    given, of which it is not known how it was made.
    """
    if settings.graph_weights != "unweighted" or settings.laplacian != "unnormalized" or settings.use_graph:
        return []

    def one(number: int) -> Split | None:
        with contextlib.suppress(InputError):
            return inductive_split(adata, settings, number)

    numbers = range(n_folds(_codes(donors_of(adata)), n_splits))
    return [split for split in side_by_side(one, numbers, here=True) if split]


def _regressed(adata: ad.AnnData, rows: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Frequencies of training and other cells without what covariates explain of them, by the training cells alone.

    rows, targets : of the training cells first. As they are where nothing is regressed on.
    """
    if COVARIATES not in adata.obsm:
        return targets
    covariates = adata.obsm[COVARIATES][np.concatenate(rows)]
    left = regress_out(np.vstack(targets), covariates, slice(len(rows[0])))
    return np.split(left, np.cumsum([len(own) for own in rows])[:-1])


def _standard(X: Matrix) -> Standard:
    """`Standard.of`, in the precision of X if it is dense: right to 1e-4 alone, but earlier runs can be compared."""
    if not isinstance(X, np.ndarray):
        return Standard.of(X)
    return Standard(X.mean(axis=0), np.where(variation(X) > 0, X.std(axis=0), 1))


def _scaled_within(standard: Standard, limit: float, X: Matrix) -> Matrix:
    return _within(standard.scaled(X), limit)


def _within(X: Matrix, limit: float) -> Matrix:
    """Values no further from 0 than a limit, in place; X : (n_cells, n_genes), dense or sparse.

    No cell is further than the root of n - 1 standard deviations from the mean of n cells that it is one of (Samuelson,
    JASA 63, 1522, 1968). A held-out cell can be, by any factor, in genes that the training cells hardly show.
    """
    values = X if isinstance(X, np.ndarray) else X.data
    np.clip(values, -limit, limit, out=values)
    return X


def subsamples(cells: CellDataset, n_subsamples: int, share: float = 0.8, random_state: int = 0) -> list[np.ndarray]:
    """Random subsets of the cells, without replacement, as sorted indices; at least two, to be compared.

    Of donors, each subset leaves some out, others each time; no more subsets than donors.
    """
    if n_subsamples < 2:
        raise InputError(f"n_subsamples={n_subsamples} is not possible: at least 2 are needed to compare fits")
    n_cells, donors = len(cells), cells.donors
    if donors is not None and len(np.unique(donors)) > 1:
        folds = GroupKFold(min(n_subsamples, len(np.unique(donors)))).split(donors, groups=donors)
        return [rest for rest, _ in folds]
    size = int(share * n_cells)
    seeds = range(random_state, random_state + n_subsamples)
    return [np.sort(np.random.default_rng(seed).choice(n_cells, size, replace=False)) for seed in seeds]


def drawn_again(cells: CellDataset, random: np.random.Generator) -> np.ndarray:
    """Cells drawn again with replacement, as sorted indices; whole donors, where they are known: a bootstrap."""
    if cells.donors is None:
        return np.sort(random.integers(len(cells), size=len(cells)))
    donors = np.unique(cells.donors)
    drawn = random.choice(donors, len(donors))
    return np.sort(np.concatenate([np.flatnonzero(cells.donors == donor) for donor in drawn]))


def checked_arrays(cells) -> tuple[np.ndarray | sparse.csr_array, np.ndarray]:
    """X (n_cells, n_genes) float32 and y (n_cells, n_freq) float64 of a CellDataset.

    Raises
    ------
    InputError
        If there are no cells, or a value is not finite.
    """
    X, y = cells.arrays()
    if len(y) == 0:
        raise InputError("there are no cells to fit or validate on")
    if not (is_finite(X) and is_finite(y)):
        raise InputError("the cells hold NaN or infinite values: remove or impute them first")
    return X, y
