"""What a model is: what all that is fitted, compared and read keeps to."""

from typing import Protocol

import numpy as np

from scripts.blocks import Matrix
from scripts.cells import CellDataset, checked_arrays
from scripts.errors import InputError
from scripts.models.form import BilinearForm
from scripts.models.polynomial import PolynomialForm


class Predictor(Protocol):
    """Fitted to training cells, with all that it chooses chosen on validation cells; predicts any others.

    A frequency that is the same in all training cells is predicted to be so in any other.
    """

    def fit(self, train: CellDataset, val: CellDataset) -> object:
        """Fit anew, the same from the same cells; may return how it went.

        Raises
        ------
        InputError
            As `arrays_to_fit`.
        """
        ...

    def predict(self, X: Matrix) -> np.ndarray:
        """Predicted frequencies; X : (n_cells, n_genes), dense or sparse. Returns (n_cells, n_freq), floating point.

        Raises
        ------
        InputError
            If X has another number of genes than the training cells.
        """
        ...


class Model(Predictor, Protocol):
    """A predictor of second order, of which modules and pairs can be read."""

    def form(self, genes: list[str]) -> BilinearForm:
        """What was fitted, and predicts the same; genes : names of all genes."""
        ...


class PolynomialModel(Predictor, Protocol):
    """A predictor of up to third order, of which the axes can be read."""

    def polynomial(self, genes: list[str]) -> PolynomialForm:
        """What was fitted, and predicts the same; genes : names of all genes."""
        ...


def arrays_to_fit(train: CellDataset, val: CellDataset) -> tuple[tuple[Matrix, np.ndarray], tuple[Matrix, np.ndarray]]:
    """X and y of training and of validation cells, as from `checked_arrays`.

    Raises
    ------
    InputError
        If there are no cells, a value is not finite, or numbers of genes or frequencies differ.
    """
    (X, y), (X_val, y_val) = checked_arrays(train), checked_arrays(val)
    known, held_out = (X.shape[1], y.shape[1]), (X_val.shape[1], y_val.shape[1])
    if known != held_out:
        raise InputError(
            f"the validation cells have {held_out[0]} genes and {held_out[1]} frequencies, the training cells "
            f"{known[0]} and {known[1]}: take both from the same data"
        )
    return (X, y), (X_val, y_val)


def check_device(name: str) -> None:
    """InputError where torch cannot compute on a device, such as "cuda"."""
    import torch

    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, ImportError):  # torch says it in many ways
        raise InputError(f"device={name!r} cannot be had: torch finds none here; set device: cpu") from None


def check_genes(X, n_genes: int) -> None:
    """Refuse an array, sparse matrix or tensor X that is not (n_cells, n_genes) with an InputError."""
    if X.ndim != 2 or X.shape[1] != n_genes:
        raise InputError(
            f"X has the shape {tuple(X.shape)}, expected (n_cells, {n_genes}): the genes that the model was fitted to"
        )
