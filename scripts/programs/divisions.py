"""Halves of the cells: programs are fitted to one, and what is said of them is tested on the other."""

from dataclasses import dataclass, replace
from typing import Self

import anndata as ad
import numpy as np
from sklearn.model_selection import train_test_split

from scripts.blocks import Matrix, Standard
from scripts.cells import MIN_TRAINING, CellDataset, donors_of
from scripts.models import Components, PolynomialForm, ProgramRidge, target_components

N_LINEAR = 50  # components that terms are conditioned on, at most
CELLS_PER_COMPONENT = 20  # of either half, at least
CHOOSING = 0.2  # share of a half on which the number of programs is chosen
MIN_CELLS = 2 * MIN_TRAINING  # of a half


@dataclass(frozen=True)
class Programs:
    """Programs fitted to one half of the cells.

    Attributes
    ----------
    form : PolynomialForm
    components : Components
        Of the half.
    t : (n_cells, n_programs)
        Programs of all cells.
    linear : (n_cells, n_components)
        Where all cells lie along the components: what is linear in the genes.
    y : (n_cells, n_freq)
        Frequencies of all cells, of standard deviation 1.
    half, other : (n_half,), (n_other,) int
        Cells that all of this was fitted to, and those that it has not met.
    """

    form: PolynomialForm
    components: Components
    t: np.ndarray
    linear: np.ndarray
    y: np.ndarray
    half: np.ndarray
    other: np.ndarray

    def measured(self, X: Matrix) -> Self:
        """The same programs and components where the cells were measured anew; X : (n_cells, n_genes)."""
        return replace(self, t=self.form.coordinates(X), linear=self.components.coordinates(X))


def halves(n_cells: int, number: int, donors: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two halves of the cells, others for each number.

    donors : (n_cells,) int, optional. Whole ones are then in either half, which are as equal as their order gives.
    """
    units = np.arange(n_cells) if donors is None else donors
    names, sizes = np.unique(units, return_counts=True)
    order = np.random.default_rng(number).permutation(len(names))
    first = 1 + np.abs(np.cumsum(sizes[order])[:-1] - n_cells / 2).argmin()
    chosen = np.isin(units, names[order[:first]])
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def divided(adata: ad.AnnData, number: int, half: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """`halves` of the run's cells, by whole donors where `cells.donors_of` names some.

    half : 1 or 2, the one that comes first.
    """
    donors = donors_of(adata)
    parts = halves(adata.n_obs, number, None if donors is None else donors.cat.codes.to_numpy())
    return parts if half == 1 else (parts[1], parts[0])


def fit_programs(X: Matrix, y: np.ndarray, parts: tuple[np.ndarray, np.ndarray], genes: list[str]) -> Programs | None:
    """Programs of one half of the cells; None where a half has fewer than `MIN_CELLS`.

    X : (n_cells, n_genes); y : (n_cells, n_freq); parts : as from `halves`; genes : names of the columns.
    """
    half, other = parts
    if min(len(half), len(other)) < MIN_CELLS:
        return None
    y = Standard.of(y).scaled(y)
    train, val = train_test_split(half, test_size=CHOOSING, random_state=0)
    model = ProgramRidge()
    model.fit(CellDataset(X, y[train], rows=train), CellDataset(X, y[val], rows=val))
    form = model.polynomial(genes)
    n_linear = max(1, min(N_LINEAR, min(len(half), len(other)) // CELLS_PER_COMPONENT, X.shape[1]))
    linear = target_components(X[half], y[half], n_linear, tilt=0)
    return Programs(form, linear, form.coordinates(X), linear.coordinates(X), y, half, other)
