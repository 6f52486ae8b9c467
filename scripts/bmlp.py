"""The bilinear regressor: y_f(x) = sum_h P[f, h] (l_h . x) (r_h . x), fitted by gradient descent."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from scripts.datasets import CellDataset
from scripts.modules import BilinearForm

LOSSES = {"l1": functional.l1_loss, "mse": functional.mse_loss, "huber": functional.huber_loss}


@dataclass
class Config:
    """Sizes of the model and settings of its fit."""

    d_input: int  # genes
    d_hidden: int  # products (l_h . x)(r_h . x)
    d_output: int  # frequencies
    n_epochs: int = 500  # passes over the training cells
    lr: float = 1e-4  # learning rate at the start; a cosine takes it to 0 at the end
    device: str = "cpu"  # where torch computes: cpu, cuda or mps
    batch_size: int = 32  # cells a step
    weight_decay: float = 0.0  # pull of the weights towards 0 (decoupled from the gradient, as in AdamW)
    init_scale: float = 0.1  # first weights in units of 1 / sqrt(fan in); from small ones the model generalises better
    random_state: int = 0  # seed of the first weights and of the order of cells

    def __post_init__(self):
        for name in ("d_input", "d_hidden", "d_output", "n_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is not possible: it must be at least 1")
        for name in ("lr", "init_scale"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} is not possible: it must be greater than 0")


class ScBMLPRegressor:
    """Bilinear multi-layer perceptron that predicts the frequencies of a cell from its expression.

    Parameters
    ----------
    cfg : Config
    loss_fn : {"l1", "mse", "huber"}

    Attributes
    ----------
    w_l, w_r : (d_hidden, d_input) float32 tensors
    w_p : (d_output, d_hidden) float32 tensor
    """

    def __init__(self, cfg: Config, loss_fn: str = "l1"):
        if loss_fn not in LOSSES:
            raise ValueError(f"loss_fn={loss_fn!r} is not known: choose one of {', '.join(LOSSES)}")
        self.cfg = cfg
        self.loss_fn = loss_fn
        generator = torch.Generator().manual_seed(cfg.random_state)
        # l and r lie in one tensor, a gene to a row, so that a batch meets them in one matrix product
        self._w_lr = (
            _first_weights(2 * cfg.d_hidden, cfg.d_input, cfg.init_scale, generator).T.contiguous().to(cfg.device)
        )
        self.w_p = _first_weights(cfg.d_output, cfg.d_hidden, cfg.init_scale, generator).to(cfg.device)
        self._generator = generator

    @property
    def w_l(self) -> torch.Tensor:
        """Left weights, (d_hidden, d_input)."""
        return self._w_lr[:, : self.cfg.d_hidden].T

    @property
    def w_r(self) -> torch.Tensor:
        """Right weights, (d_hidden, d_input)."""
        return self._w_lr[:, self.cfg.d_hidden :].T

    def fit(self, train: CellDataset, val: CellDataset) -> tuple[list[float], list[float]]:
        """Fit the weights.

        Parameters
        ----------
        train, val : CellDataset
            x (n_cells, d_input) and y (n_cells, d_output), float32.

        Returns
        -------
        train_losses, val_losses : lists of float
            One value an epoch, in the units of the loss: the mean over the epoch's batches, and over the validation
            cells after it.

        Raises
        ------
        ValueError
            If the shapes do not fit the configuration, or the loss stops being finite.
        """
        self._check(train)
        self._check(val)
        train_losses, val_losses = [], []
        weights = [self._w_lr, self.w_p.requires_grad_()]
        self._w_lr.grad = torch.empty_like(self._w_lr)
        optimizer = torch.optim.AdamW(weights, lr=self.cfg.lr, weight_decay=self.cfg.weight_decay, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.cfg.n_epochs)
        try:
            with tqdm(total=self.cfg.n_epochs, desc=f"Training for {self.cfg.n_epochs} epochs", mininterval=0.5) as bar:
                for _ in range(self.cfg.n_epochs):
                    train_loss, train_mae = self._epoch(train, optimizer)
                    schedule.step()
                    val_loss, val_mae = self._evaluate(val)
                    if not math.isfinite(train_loss):
                        raise ValueError(f"the training loss is {train_loss}: choose a smaller lr than {self.cfg.lr}")
                    train_losses.append(train_loss)
                    val_losses.append(val_loss)
                    losses = {
                        "train_loss": train_loss,
                        "train_mae": train_mae,
                        "val_loss": val_loss,
                        "val_mae": val_mae,
                    }
                    bar.set_postfix({name: f"{value:.4f}" for name, value in losses.items()}, refresh=False)
                    bar.update()
        finally:
            self.w_p.requires_grad_(False)
            self._w_lr.grad = self.w_p.grad = None
        return train_losses, val_losses

    def _check(self, cells: CellDataset) -> None:
        expected = (self.cfg.d_input, self.cfg.d_output)
        if (cells.x.shape[1], cells.y.shape[1]) != expected:
            found = f"{cells.x.shape[1]} genes and {cells.y.shape[1]} frequencies"
            raise ValueError(f"the cells have {found}, the model was made for {expected[0]} and {expected[1]}")
        if len(cells) == 0:
            raise ValueError("there are no cells to fit or validate on")

    def _epoch(self, train: CellDataset, optimizer: torch.optim.Optimizer) -> tuple[float, float]:
        """One pass over the cells in a new order; mean loss and mean absolute error."""
        order = torch.randperm(len(train), generator=self._generator).to(train.x.device)
        x, y = train.x[order], train.y[order]  # once an epoch: batches are then slices, which cost nothing
        loss_sum = torch.zeros((), device=x.device)
        error_sum = torch.zeros((), device=x.device)
        for x_batch, y_batch in zip(x.split(self.cfg.batch_size), y.split(self.cfg.batch_size), strict=True):
            # autograd sees the small tensors only: the gradient of l and r, as large as they are, is written in place
            hidden = (x_batch @ self._w_lr).requires_grad_()
            predicted = self._outputs(hidden)
            loss = LOSSES[self.loss_fn](predicted, y_batch)
            self.w_p.grad = None
            loss.backward()
            torch.mm(x_batch.T, hidden.grad, out=self._w_lr.grad)
            optimizer.step()
            loss_sum += loss.detach() * len(x_batch)
            error_sum += (predicted.detach() - y_batch).abs().mean() * len(x_batch)
        return float(loss_sum / len(x)), float(error_sum / len(x))

    @torch.no_grad()
    def _evaluate(self, cells: CellDataset) -> tuple[float, float]:
        predicted = self._forward(cells.x)
        return float(LOSSES[self.loss_fn](predicted, cells.y)), float(functional.l1_loss(predicted, cells.y))

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n_cells, d_input) -> (n_cells, d_output)."""
        return self._outputs(x @ self._w_lr)

    def _outputs(self, hidden: torch.Tensor) -> torch.Tensor:
        """Values of l . x and r . x, (n_cells, 2 d_hidden) -> (n_cells, d_output)."""
        left, right = hidden.chunk(2, dim=1)
        return (left * right) @ self.w_p.T

    @torch.no_grad()
    def predict(self, X: np.ndarray | torch.Tensor) -> np.ndarray:
        """Predicted frequencies.

        X : (n_cells, d_input) array or tensor, dense. Returns (n_cells, d_output) float32.
        """
        x = torch.as_tensor(X, dtype=torch.float32, device=self.cfg.device)
        if x.ndim != 2 or x.shape[1] != self.cfg.d_input:
            raise ValueError(f"X has the shape {tuple(x.shape)}, expected (n_cells, {self.cfg.d_input})")
        return self._forward(x).cpu().numpy()

    def form(self, genes: list[str]) -> BilinearForm:
        """What was fitted, as the object that modules, pairs and scores are read from.

        genes : names of the d_input genes.
        """
        return BilinearForm.from_factors(self.w_l.cpu().numpy(), self.w_r.cpu().numpy(), self.w_p.cpu().numpy(), genes)


def _first_weights(n_out: int, n_in: int, scale: float, generator: torch.Generator) -> torch.Tensor:
    """Weights drawn uniformly within scale / sqrt(n_in) of 0, (n_out, n_in)."""
    bound = scale / math.sqrt(n_in)
    return torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator)
