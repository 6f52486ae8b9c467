"""Gradient descent on one bilinear network, y = P ((L z + a) * (R z + b)) + c. Knows tensors only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional
from torch.optim.adamw import adamw
from tqdm import tqdm

from scripts.squared_error import SquaredError

if TYPE_CHECKING:
    from scripts.bmlp import Config

LOSSES = {"l1": functional.l1_loss, "mse": functional.mse_loss, "huber": functional.huber_loss}


@dataclass
class Network:
    """Weights of one network.

    w_lr : (d_in, 2 d_hidden), L and R side by side, so that a batch meets them in one matrix product; b_lr :
    (2 d_hidden,), a and b; w_p : (d_out, d_hidden); c : (d_out,).
    """

    w_lr: torch.Tensor
    b_lr: torch.Tensor
    w_p: torch.Tensor
    c: torch.Tensor

    @classmethod
    def first(cls, d_in: int, d_hidden: int, d_out: int, scale: float, generator: torch.Generator) -> Network:
        """Weights drawn uniformly within scale / sqrt(fan in) of 0, and no biases."""

        def draw(n_out: int, n_in: int) -> torch.Tensor:
            bound = scale / math.sqrt(n_in)
            return torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator)

        w_lr = draw(2 * d_hidden, d_in).T.contiguous()
        return cls(w_lr, torch.zeros(2 * d_hidden), draw(d_out, d_hidden), torch.zeros(d_out))

    def tensors(self) -> list[torch.Tensor]:
        """All weights."""
        return [self.w_lr, self.b_lr, self.w_p, self.c]

    def to(self, device: str) -> Network:
        """The same on another device."""
        return Network(*(tensor.to(device) for tensor in self.tensors()))

    def copy(self) -> Network:
        """The same in memory of its own."""
        return Network(*(tensor.detach().clone() for tensor in self.tensors()))

    def outputs(self, hidden: torch.Tensor) -> torch.Tensor:
        """Values of L z + a and R z + b, (n_cells, 2 d_hidden) -> (n_cells, d_out)."""
        left, right = hidden.chunk(2, dim=1)
        return torch.addmm(self.c, left * right, self.w_p.T)

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """(n_cells, d_in) -> (n_cells, d_out)."""
        return self.outputs(torch.addmm(self.b_lr, z, self.w_lr))


def descend(
    z: torch.Tensor, y: torch.Tensor, z_val: torch.Tensor, y_val: torch.Tensor, cfg: Config, loss_fn: str, seed: int
) -> tuple[Network, list[float], list[float]]:
    """Fit one network.

    Parameters
    ----------
    z, z_val : (n_cells, d_in) float32
    y, y_val : (n_cells, d_out) float32
    cfg : Config
    loss_fn : {"l1", "mse", "huber"}
    seed : int
        Of the first weights, the order of cells, noise and dropout.

    Returns
    -------
    network : Network
        Of the epoch of the smallest validation loss, if cfg.patience is set, else of the last one.
    train_losses, val_losses : lists of float
        One value an epoch: the mean over the epoch's batches, and over the validation cells after it.

    Raises
    ------
    ValueError
        If the loss stops being finite.
    """
    generator = torch.Generator().manual_seed(seed)
    network = Network.first(z.shape[1], cfg.d_hidden, y.shape[1], cfg.init_scale, generator).to(cfg.device)
    small = [network.w_p, network.b_lr, network.c] if cfg.bias else [network.w_p]
    for tensor in network.tensors():
        tensor.grad = torch.zeros_like(tensor)
    optimizer = _AdamW([network.w_lr, *small], cfg.weight_decay)
    if _moments_are_enough(z, y, cfg, loss_fn):
        error, error_val = SquaredError.of(z, y), SquaredError.of(z_val, y_val)
        one_epoch, validate = partial(_step_on, error, network, optimizer, cfg.l2), partial(error_val.value, network)
    else:
        one_epoch = partial(_epoch, network, z, y, optimizer, cfg, LOSSES[loss_fn], generator)
        validate = partial(_loss, network, z_val, y_val, LOSSES[loss_fn])
    train_losses, val_losses, best = [], [], (math.inf, 0, network)
    with tqdm(total=cfg.n_epochs, desc=f"Training for {cfg.n_epochs} epochs", mininterval=0.5) as bar:
        for epoch in range(cfg.n_epochs):
            optimizer.lr = cfg.lr * (1 + math.cos(math.pi * epoch / cfg.n_epochs)) / 2
            train_losses.append(float(one_epoch()))
            val_losses.append(float(validate()))
            if not math.isfinite(train_losses[-1]):
                raise ValueError(f"the training loss is {train_losses[-1]}: choose a smaller lr than {cfg.lr}")
            bar.set_postfix(
                {"train_loss": f"{train_losses[-1]:.4f}", "val_loss": f"{val_losses[-1]:.4f}"}, refresh=False
            )
            bar.update()
            if cfg.patience and val_losses[-1] < best[0]:
                best = val_losses[-1], epoch, network.copy()
            if cfg.patience and epoch - best[1] >= cfg.patience:
                break
    return (best[2] if cfg.patience else network.copy()), train_losses, val_losses


class _AdamW:
    """torch's AdamW with its defaults, without the class around it: torch.optim.AdamW spends more time around a step of
    few weights than in it, and the first of a process imports a compiler for a second.

    Attributes
    ----------
    lr : float
        Learning rate of the next step.
    """

    def __init__(self, tensors: list[torch.Tensor], weight_decay: float):
        self._tensors, self._weight_decay, self.lr = tensors, weight_decay, 0.0
        self._means, self._squares = ([torch.zeros_like(tensor) for tensor in tensors] for _ in range(2))
        self._steps = [torch.zeros((), device=tensor.device) for tensor in tensors]

    def step(self) -> None:
        """Move the tensors against their gradients."""
        gradients = [tensor.grad for tensor in self._tensors]
        usual = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False, "maximize": False}
        state = self._means, self._squares, [], self._steps
        adamw(self._tensors, gradients, *state, fused=True, lr=self.lr, weight_decay=self._weight_decay, **usual)


def _moments_are_enough(z: torch.Tensor, y: torch.Tensor, cfg: Config, loss_fn: str) -> bool:
    """Whether a step sees all cells as they are, by an error that their moments give at a lower cost."""
    n_products = (z.shape[1] + 1) * (z.shape[1] + 2) // 2
    cheaper = n_products**2 * y.shape[1] < len(z) * z.shape[1] * cfg.d_hidden
    return loss_fn == "mse" and len(z) <= cfg.batch_size and cheaper and not cfg.input_noise and not cfg.dropout


def _step_on(error: SquaredError, network: Network, optimizer: _AdamW, l2: float) -> torch.Tensor:
    """One step on the error of all cells; returns it, without the penalty on the weights."""
    before = error.write_gradients(network)
    _add_penalty(network, l2)
    optimizer.step()
    return before


def _loss(network: Network, z: torch.Tensor, y: torch.Tensor, loss_function) -> torch.Tensor:
    return loss_function(network(z), y)


def _epoch(
    network: Network,
    z: torch.Tensor,
    y: torch.Tensor,
    optimizer: _AdamW,
    cfg: Config,
    loss_function,
    generator: torch.Generator,
) -> float:
    """One pass over the cells in a new order; the mean loss, without the penalty on the weights."""
    if len(z) > cfg.batch_size:
        order = torch.randperm(len(z), generator=generator).to(z.device)
        z, y = z[order], y[order]  # once an epoch: batches are then slices, which cost nothing
    loss_sum = torch.zeros((), device=z.device)
    for z_batch, y_batch in zip(z.split(cfg.batch_size), y.split(cfg.batch_size), strict=True):
        z_batch = _disturbed(z_batch, cfg, generator)
        left, right = torch.addmm(network.b_lr, z_batch, network.w_lr).chunk(2, dim=1)
        keep = _dropout_mask(left, cfg.dropout, generator)
        products = left * right if keep is None else left * right * keep
        predicted = torch.addmm(network.c, products, network.w_p.T).requires_grad_()
        with torch.enable_grad():
            loss = loss_function(predicted, y_batch)
            (gradient,) = torch.autograd.grad(loss, predicted)
        _write_gradients(network, z_batch, left, right, products, keep, gradient, cfg.l2)
        optimizer.step()
        loss_sum += loss.detach() * len(z_batch)
    return float(loss_sum / len(z))


def _write_gradients(network, z, left, right, products, keep, gradient, l2) -> None:
    """Gradients of the loss and of l2 |weights|^2, written in place: L and R can be as large as the expression."""
    of_products = gradient @ network.w_p
    of_products = of_products if keep is None else of_products * keep
    of_hidden = torch.cat([of_products * right, of_products * left], dim=1)
    torch.mm(z.T, of_hidden, out=network.w_lr.grad)
    torch.mm(gradient.T, products, out=network.w_p.grad)
    torch.sum(of_hidden, dim=0, out=network.b_lr.grad)
    torch.sum(gradient, dim=0, out=network.c.grad)
    _add_penalty(network, l2)


def _add_penalty(network: Network, l2: float) -> None:
    """Add the gradients of l2 |weights|^2."""
    if l2:
        for tensor in (network.w_lr, network.w_p, network.b_lr):
            tensor.grad.add_(tensor, alpha=2 * l2)


def _disturbed(z: torch.Tensor, cfg: Config, generator: torch.Generator) -> torch.Tensor:
    """Inputs with noise of cfg.input_noise of each input's standard deviation."""
    if not cfg.input_noise:
        return z
    noise = torch.randn(z.shape, generator=generator).to(z.device)
    return z + cfg.input_noise * z.std(dim=0, correction=0) * noise


def _dropout_mask(hidden: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor | None:
    """0 for a share of the products and 1 / (1 - share) for the others."""
    if not share:
        return None
    return (torch.rand(hidden.shape, generator=generator) >= share).to(hidden) / (1 - share)
