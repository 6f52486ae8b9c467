"""The bilinear regressor, y_f(x) = c_f + sum_h P[f, h] (l_h . x + a_h) (r_h . x + b_h), fitted by gradient descent."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from scripts.components import Components, few_threads, target_components
from scripts.datasets import CellDataset
from scripts.descent import LOSSES, Network, descend
from scripts.modules import BilinearForm
from scripts.ridge import checked_arrays


@dataclass
class Config:
    """Sizes of the model and settings of its fit."""

    d_input: int  # genes
    d_hidden: int  # products (l_h . x + a_h)(r_h . x + b_h)
    d_output: int  # frequencies
    n_epochs: int = 800  # passes over the training cells
    lr: float = 3e-2  # learning rate at the start; a cosine takes it to 0 at the end
    device: str = "cpu"  # where torch computes: cpu, cuda or mps
    batch_size: int = 4096  # cells a step
    n_components: int = 24  # components of the training cells that are the inputs; 0: all genes
    bias: bool = True  # a, b and c are fitted; else 0
    standardize: bool = True  # targets of mean 0 and variance 1 inside
    l2: float = 2e-4  # penalty on the squares of all weights, a part of the loss
    weight_decay: float = 0.0  # pull of the weights towards 0, decoupled from the gradient as in AdamW
    input_noise: float = 0.0  # noise added to the inputs, in units of each one's standard deviation
    dropout: float = 0.0  # share of the products left out at each step
    patience: int = 100  # epochs without a better validation loss before the fit stops; the best is kept; 0: never
    init_scale: float = 0.1  # first weights in units of 1 / sqrt(fan in); from small ones the model generalises better
    n_fits: int = 1  # fits from different first weights whose B_f are averaged
    random_state: int = 0  # seed of the first weights and of the order of cells

    def __post_init__(self):
        for name in ("d_input", "d_hidden", "d_output", "n_epochs", "batch_size", "n_fits"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is not possible: it must be at least 1")
        for name in ("lr", "init_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} is not possible: it must be greater than 0")
        for name in ("l2", "weight_decay", "input_noise", "patience", "n_components"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)} is not possible: it must be at least 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} is not possible: it must be at least 0 and below 1")


class ScBMLPRegressor:
    """Bilinear multi-layer perceptron that predicts the frequencies of a cell from its expression.

    Parameters
    ----------
    cfg : Config
    loss_fn : {"mse", "l1", "huber"}

    Attributes
    ----------
    w_l, w_r : (n_fits d_hidden, d_input) float32 tensors
        In gene space whatever the inputs were. Fits stand below each other, which averages their B_f.
    a, b : (n_fits d_hidden,) float32 tensors
    w_p : (d_output, n_fits d_hidden) float32 tensor
    c : (d_output,) float32 tensor
    """

    def __init__(self, cfg: Config, loss_fn: str = "mse"):
        if loss_fn not in LOSSES:
            raise ValueError(f"loss_fn={loss_fn!r} is not known: choose one of {', '.join(LOSSES)}")
        self.cfg = cfg
        self.loss_fn = loss_fn

    def fit(self, train: CellDataset, val: CellDataset) -> tuple[list[float], list[float]]:
        """Fit the weights.

        Parameters
        ----------
        train, val : CellDataset
            x (n_cells, d_input) and y (n_cells, d_output), float32.

        Returns
        -------
        train_losses, val_losses : lists of float
            One value an epoch, in the units of the loss (of standardised targets, where cfg.standardize is set): the
            mean over the epoch's batches, and over the validation cells after it. Of several fits, those of the first.

        Raises
        ------
        ValueError
            If the shapes do not fit the configuration, values are not finite, a target is constant, or the loss stops
            being finite.
        """
        self._check(train)
        self._check(val)
        (X, y), (X_val, y_val) = checked_arrays(train), checked_arrays(val)
        with few_threads(len(y) if self.cfg.n_components else np.inf), torch.no_grad():
            return self._fit(X, y, X_val, y_val)

    def _fit(self, X, y, X_val, y_val) -> tuple[list[float], list[float]]:
        n_components = min(self.cfg.n_components, *X.shape)
        components = target_components(X, y, min(n_components, len(y) - 1)) if n_components else None
        mean, scale = (y.mean(axis=0), y.std(axis=0)) if self.cfg.standardize else (0.0, 1.0)
        tensors = [
            self._inputs(X, components),
            (y - mean) / scale,
            self._inputs(X_val, components),
            (y_val - mean) / scale,
        ]
        tensors = [torch.as_tensor(array, dtype=torch.float32, device=self.cfg.device) for array in tensors]
        seeds = range(self.cfg.random_state, self.cfg.random_state + self.cfg.n_fits)
        fits = [descend(*tensors, self.cfg, self.loss_fn, seed) for seed in seeds]
        self._keep([network for network, *_ in fits], components, mean, scale)
        return fits[0][1:]

    def _check(self, cells: CellDataset) -> None:
        expected = (self.cfg.d_input, self.cfg.d_output)
        if (cells.x.shape[1], cells.y.shape[1]) != expected:
            found = f"{cells.x.shape[1]} genes and {cells.y.shape[1]} frequencies"
            raise ValueError(f"the cells have {found}, the model was made for {expected[0]} and {expected[1]}")

    @staticmethod
    def _inputs(X: np.ndarray | sparse.csr_array, components: Components | None) -> np.ndarray:
        if components is not None:
            return components.coordinates(X)
        return X.toarray() if sparse.issparse(X) else X

    def _keep(
        self, networks: list[Network], components: Components | None, mean: np.ndarray, scale: np.ndarray
    ) -> None:
        """Weights in gene space and in the targets' own units; L z + a with z = (x - mean) axes is l . x + a'."""
        w_lr = torch.cat([torch.stack(network.w_lr.T.chunk(2)) for network in networks], dim=1).cpu().double()
        b_lr = torch.cat([torch.stack(network.b_lr.chunk(2)) for network in networks], dim=1).cpu().double()
        if components is not None:
            b_lr = b_lr - w_lr @ torch.from_numpy(components.offset)
            w_lr = w_lr @ torch.from_numpy(components.axes.T)
        scale = torch.as_tensor(scale, dtype=torch.float64)
        w_p = torch.cat([network.w_p for network in networks], dim=1).cpu().double() / len(networks)
        c = torch.stack([network.c for network in networks]).mean(dim=0).cpu().double()
        self.w_l, self.w_r = (side.float().to(self.cfg.device) for side in w_lr)
        self.a, self.b = (side.float().to(self.cfg.device) for side in b_lr)
        self.w_p = (scale.reshape(-1, 1) * w_p).float().to(self.cfg.device)
        self.c = (scale * c + torch.as_tensor(mean)).float().to(self.cfg.device)

    def predict(self, X: np.ndarray | sparse.spmatrix | torch.Tensor) -> np.ndarray:
        """Predicted frequencies.

        X : (n_cells, d_input) array, sparse matrix or tensor. Returns (n_cells, d_output) float32.
        """
        if X.ndim != 2 or X.shape[1] != self.cfg.d_input:
            raise ValueError(f"X has the shape {tuple(X.shape)}, expected (n_cells, {self.cfg.d_input})")
        if sparse.issparse(X):
            left, right = (torch.as_tensor(X @ side.cpu().numpy().T) for side in (self.w_l, self.w_r))
            left, right = left.to(self.cfg.device), right.to(self.cfg.device)
        else:
            x = torch.as_tensor(X, dtype=torch.float32, device=self.cfg.device)
            left, right = x @ self.w_l.T, x @ self.w_r.T
        return (((left + self.a) * (right + self.b)) @ self.w_p.T + self.c).cpu().numpy()

    def form(self, genes: list[str]) -> BilinearForm:
        """What was fitted, as the object that modules, pairs and scores are read from.

        genes : names of the d_input genes.
        """
        weights = (tensor.cpu().numpy() for tensor in (self.w_l, self.w_r, self.w_p, self.a, self.b, self.c))
        return BilinearForm.from_factors(*weights, genes=genes)
