"""Bilinear models, y_f(x) = c_f + sum_h P[f, h] (l_h . x + a_h) (r_h . x + b_h), fitted by gradient descent.

The outputs are frequencies, or logits of classes. Of order 3, a trilinear model, products have a third factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from scipy import sparse
from scipy.special import softmax
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from tqdm import tqdm

from scripts import models
from scripts.blocks import Matrix, Standard, dense, variation
from scripts.cells import CellDataset
from scripts.errors import InputError
from scripts.models import TILT, BilinearForm, Components, PolynomialForm, arrays_to_fit, check_genes, target_components
from scripts.parallel import few_threads

LOSSES = {"l1": nn.functional.l1_loss, "mse": nn.functional.mse_loss, "huber": nn.functional.huber_loss}
N_PASSED = 20_000  # training cells up to which all epochs are made; of more, fewer, so that as many are seen in all
FACTORS = (("w_l", "a"), ("w_r", "b"), ("w_m", "d"))  # of a product, weights and bias: the first two, or all three


@dataclass
class Config:
    """Sizes of the model and settings of its fit."""

    d_input: int  # genes
    d_hidden: int  # products (l_h . x + a_h)(r_h . x + b_h)
    d_output: int  # frequencies, or classes
    n_epochs: int = 800  # passes over the training cells
    lr: float = 3e-2  # learning rate at the start; a cosine takes it to 0 at the end
    device: str = "cpu"  # where torch computes: cpu, cuda or mps
    batch_size: int = 4096  # cells a step
    order: int = 2  # factors of a product: 2, bilinear, or 3, trilinear
    input_components: int = 24  # components of the training cells that are the inputs; 0: all genes
    bias: bool = True  # a, b, c and d are fitted; else 0
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
                raise InputError(f"{name}={getattr(self, name)} is not possible: it must be at least 1")
        for name in ("lr", "init_scale"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)} is not possible: it must be greater than 0")
        for name in ("l2", "weight_decay", "input_noise", "patience", "input_components"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name}={getattr(self, name)} is not possible: it must be at least 0")
        if self.order not in (2, 3):
            raise InputError(f"order={self.order} is not possible: it must be 2 (bilinear) or 3 (trilinear)")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout={self.dropout} is not possible: it must be at least 0 and below 1")
        models.check_device(self.device)


class ScBMLP:
    """Bilinear multi-layer perceptron of a cell's expression; what its outputs are, its kinds say.

    Attributes
    ----------
    w_l, w_r, and w_m if trilinear : (n_fits d_hidden, d_input) float32 tensors
        In gene space whatever the inputs were. Fits stand below each other, which averages their B_f.
    a, b, and d if trilinear : (n_fits d_hidden,) float32 tensors
    w_p : (d_output, n_fits d_hidden) float32 tensor
    c : (d_output,) float32 tensor
    components : Components, or None
        The inputs; None where they are all genes.
    """

    components: Components | None = None
    what, tilt = "frequencies", TILT  # of the outputs, and of the inputs

    def __init__(self, cfg: Config, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]):
        self.cfg, self.loss = cfg, loss

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
        InputError
            If the shapes do not fit the configuration, values are not finite, or the loss stops being finite.
        """
        self._check(train)
        (X, y), (X_val, y_val) = arrays_to_fit(train, val)
        threads = few_threads(len(y)) if self.cfg.input_components else nullcontext()  # all genes: large matrices
        with threads, torch.enable_grad():
            return self._fit(X, y, X_val, y_val)

    def _fit(self, X, y, X_val, y_val) -> tuple[list[float], list[float]]:
        n_components = min(self.cfg.input_components, *X.shape, len(y) - 1)
        self.components = target_components(X, y, n_components, self.tilt) if n_components else None
        targets = self._units(y, y_val)
        # weights of genes that do not vary would stay as drawn, and speak up where other cells do
        known, learnt = (torch.as_tensor(variation(values) > 0, device=self.cfg.device) for values in (X, y))
        inputs = self.components.coordinates if self.components else lambda X: dense(X) * known.cpu().numpy()
        arrays = inputs(X), targets.scaled(y), inputs(X_val), targets.scaled(y_val)
        mean = torch.as_tensor(y.mean(axis=0), dtype=torch.float32, device=self.cfg.device)
        z, y, z_val, y_val = (torch.as_tensor(a, dtype=torch.float32, device=self.cfg.device) for a in arrays)
        seeds = range(self.cfg.random_state, self.cfg.random_state + self.cfg.n_fits)
        n_epochs, patience = np.ceil(min(1, N_PASSED / len(y)) * np.array([self.cfg.n_epochs, self.cfg.patience]))
        cfg = replace(self.cfg, n_epochs=int(n_epochs), patience=int(patience))
        fits = [descend(z, y, z_val, y_val, cfg, self.loss, seed) for seed in seeds]
        self._keep([network for network, *_ in fits], targets.mean, targets.deviation)
        for name, _ in self._names:
            setattr(self, name, getattr(self, name) * known)
        self.w_p, self.c = self.w_p * learnt[:, None], torch.where(learnt, self.c, mean)
        return fits[0][1:]

    def _check(self, cells: CellDataset) -> None:
        expected = (self.cfg.d_input, self.cfg.d_output)
        if (cells.n_genes, cells.y.shape[1]) != expected:
            found = f"{cells.n_genes} genes and {cells.y.shape[1]} {self.what}"
            raise InputError(f"the cells have {found}, the model was made for {expected[0]} and {expected[1]}")

    def _units(self, y: np.ndarray, y_val: np.ndarray) -> Standard:
        """What targets are in units of, inside."""
        return Standard.of(y) if self.cfg.standardize else Standard(np.zeros(y.shape[1]), np.ones(y.shape[1]))

    def _keep(self, networks: list[BilinearNetwork], mean: np.ndarray, scale: np.ndarray) -> None:
        """Weights in gene space and in the targets' own units; L z + a with z = (x - mean) axes is l . x + a'."""

        def of_all(name: str, dim: int = 0) -> torch.Tensor:
            return torch.cat([getattr(network, name).detach().cpu().double() for network in networks], dim)

        w_p = torch.from_numpy(scale)[:, None] * of_all("w_p", 1) / len(networks)
        c = torch.from_numpy(mean) + torch.from_numpy(scale) * of_all("c").view(len(networks), -1).mean(dim=0)
        kept = {"w_p": w_p, "c": c}
        for name, bias in self._names:
            weights, biases = of_all(name), of_all(bias)
            if self.components is not None:
                biases = biases - weights @ torch.from_numpy(self.components.offset)
                weights = weights @ torch.from_numpy(self.components.axes.T)
            kept |= {name: weights, bias: biases}
        for name, tensor in kept.items():
            setattr(self, name, tensor.float().to(self.cfg.device))

    @property
    def _names(self) -> tuple[tuple[str, str], ...]:
        """Names of the weights and the bias of each factor of a product."""
        return FACTORS[: self.cfg.order]

    @property
    def _factors(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [(getattr(self, weights), getattr(self, bias)) for weights, bias in self._names]

    def inputs(self, X: Matrix) -> np.ndarray:
        """Components of cells, (n_cells, n_components), or all genes; X : (n_cells, d_input)."""
        return self.components.coordinates(X) if self.components else dense(X)

    def outputs(self, X: Matrix | torch.Tensor) -> np.ndarray:
        """X : (n_cells, d_input) array, sparse matrix or tensor. Returns (n_cells, d_output) float32."""
        check_genes(X, self.cfg.d_input)
        if sparse.issparse(X):
            scores = [torch.as_tensor(X @ weights.cpu().numpy().T).to(self.cfg.device) for weights, _ in self._factors]
        else:
            x = torch.as_tensor(X, dtype=torch.float32, device=self.cfg.device)
            scores = [x @ weights.T for weights, _ in self._factors]
        products = reduce(torch.mul, [score + bias for score, (_, bias) in zip(scores, self._factors, strict=True)])
        return (products @ self.w_p.T + self.c).cpu().numpy()

    def form(self, genes: list[str]) -> BilinearForm:
        """What a bilinear model fitted, as the object that modules, pairs and scores are read from.

        genes : names of the d_input genes.
        """
        if self.cfg.order != 2:
            raise InputError(f"a model of order {self.cfg.order} is no bilinear form: read its polynomial")
        (w_l, a), (w_r, b) = self._factors
        weights = (tensor.cpu().numpy() for tensor in (w_l, w_r, self.w_p, a, b, self.c))
        return BilinearForm.from_factors(*weights, genes=genes)

    def polynomial(self, genes: list[str]) -> PolynomialForm:
        """What was fitted, as the object that axes are read from; genes : names of the d_input genes."""
        factors = [(weights.cpu().numpy(), bias.cpu().numpy()) for weights, bias in self._factors]
        return PolynomialForm.from_factors(factors, self.w_p.cpu().numpy(), self.c.cpu().numpy(), genes=genes)


class ScBMLPRegressor(ScBMLP):
    """Bilinear multi-layer perceptron that predicts the frequencies of a cell from its expression.

    Parameters
    ----------
    cfg : Config
    loss_fn : {"mse", "l1", "huber"}
    """

    def __init__(self, cfg: Config, loss_fn: str = "mse"):
        if loss_fn not in LOSSES:
            raise InputError(f"loss_fn={loss_fn!r} is not known: choose one of {', '.join(LOSSES)}")
        super().__init__(cfg, LOSSES[loss_fn])

    def predict(self, X: Matrix | torch.Tensor) -> np.ndarray:
        """Predicted frequencies, (n_cells, d_output) float32; X : (n_cells, d_input) array, sparse matrix or tensor."""
        return self.outputs(X)


class ScBMLPClassifier(ScBMLP):
    """Bilinear multi-layer perceptron whose outputs are logits of classes, fitted by cross-entropy.

    It is fitted to cells whose y is 1 for their class and 0 for all others. Its form is that of the logits, which only
    differences of classes give a meaning: the same may be added to all.

    Parameters
    ----------
    cfg : Config
        standardize plays no part.
    classes : sequence of str
        Names of the d_output classes.
    """

    what, tilt = "classes", 1.5  # rare classes lie along components that a greater tilt takes away

    def __init__(self, cfg: Config, classes: Sequence[str]):
        super().__init__(cfg, nn.functional.cross_entropy)
        self.classes = [str(name) for name in classes]
        if len(set(self.classes)) != len(classes) or len(classes) != cfg.d_output:
            raise InputError(f"the {len(classes)} names of classes must be {cfg.d_output}, all different")

    def _units(self, y: np.ndarray, y_val: np.ndarray) -> Standard:
        for each in (y, y_val):
            if not (np.isin(each, (0, 1)).all() and (each.sum(axis=1) == 1).all()):
                raise InputError("some cells are not of one class: leave out those without a label")
        if not y.any(axis=0).all():
            missing = ", ".join(np.array(self.classes)[~y.any(axis=0)])
            raise InputError(f"no training cell is of {missing}: leave out classes of few cells")
        return Standard(np.zeros(y.shape[1]), np.ones(y.shape[1]))

    def predict_proba(self, X: Matrix | torch.Tensor) -> np.ndarray:
        """Probability of each class, (n_cells, d_output) float32; X as for `outputs`."""
        return softmax(self.outputs(X), axis=1)

    def predict(self, X: Matrix | torch.Tensor) -> np.ndarray:
        """Name of each cell's most probable class, (n_cells,) str; X as for `outputs`."""
        return np.array(self.classes)[self.outputs(X).argmax(axis=1)]


class BilinearNetwork(nn.Module):
    """P ((L z + a) * (R z + b)) + c of inputs z.

    Parameters
    ----------
    d_in, d_hidden, d_out : int
        Inputs, products and outputs.
    bias : bool
        a, b and c are fitted; else they stay 0.
    dropout : float
        Share of the products left out in training; the others are divided by 1 - dropout.
    scale : float
        First weights are uniform within scale / sqrt(fan in) of 0; biases begin at 0.
    generator : torch.Generator, optional
        Of the first weights and of the dropout; else torch's own.

    Attributes
    ----------
    w_l, w_r : (d_hidden, d_in); a, b : (d_hidden,); w_p : (d_out, d_hidden); c : (d_out,)
    """

    def __init__(
        self,
        d_in: int,
        d_hidden: int,
        d_out: int,
        bias: bool = True,
        dropout: float = 0.0,
        scale: float = 1.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.dropout, self.generator = dropout, generator
        self.w_l, self.w_r, self.w_p = (
            _weights(*shape, scale, generator) for shape in ((d_hidden, d_in), (d_hidden, d_in), (d_out, d_hidden))
        )
        self.a, self.b, self.c = (_biases(n, 0.0, bias) for n in (d_hidden, d_hidden, d_out))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """(n_cells, d_in) -> (n_cells, d_out)."""
        products = self.products(z)
        if self.training and self.dropout:
            kept = torch.rand(products.shape, generator=self.generator) >= self.dropout
            products = products * kept.to(products) / (1 - self.dropout)
        return nn.functional.linear(products, self.w_p, self.c)

    def products(self, z: torch.Tensor) -> torch.Tensor:
        """(n_cells, d_in) -> (n_cells, d_hidden)."""
        return nn.functional.linear(z, self.w_l, self.a) * nn.functional.linear(z, self.w_r, self.b)

    def penalty(self) -> torch.Tensor:
        """Sum of the squares of all weights but c."""
        return torch.cat([weights.flatten() for name, weights in self.named_parameters() if name != "c"]).square().sum()


class TrilinearNetwork(BilinearNetwork):
    """P ((L z + a) * (R z + b) * (M z + d)) + c of inputs z, parameters as those of `BilinearNetwork`.

    The biases d begin at 1, with which the network is bilinear: from products of three small numbers, gradient descent
    would hardly leave.

    Attributes
    ----------
    w_l, w_r, w_m : (d_hidden, d_in); a, b, d : (d_hidden,); w_p : (d_out, d_hidden); c : (d_out,)
    """

    def __init__(
        self,
        d_in: int,
        d_hidden: int,
        d_out: int,
        bias: bool = True,
        dropout: float = 0.0,
        scale: float = 1.0,
        generator: torch.Generator | None = None,
    ):
        super().__init__(d_in, d_hidden, d_out, bias, dropout, scale, generator)
        self.w_m, self.d = _weights(d_hidden, d_in, scale, generator), _biases(d_hidden, float(bias), bias)

    def products(self, z: torch.Tensor) -> torch.Tensor:
        """(n_cells, d_in) -> (n_cells, d_hidden)."""
        return super().products(z) * nn.functional.linear(z, self.w_m, self.d)


def _weights(n_out: int, n_in: int, scale: float, generator: torch.Generator | None) -> nn.Parameter:
    bound = scale / math.sqrt(n_in)
    return nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound, generator=generator))


def _biases(n: int, start: float, fitted: bool) -> nn.Parameter:
    return nn.Parameter(torch.full((n,), start), requires_grad=fitted)


def descend(
    z: torch.Tensor, y: torch.Tensor, z_val: torch.Tensor, y_val: torch.Tensor, cfg: Config, loss: Callable, seed: int
) -> tuple[BilinearNetwork, list[float], list[float]]:
    """Fit one network by AdamW, the learning rate a cosine over the epochs.

    Parameters
    ----------
    z, z_val : (n_cells, d_in) float32
    y, y_val : (n_cells, d_out) float32
    cfg : Config
    loss : function of outputs and targets
    seed : int
        Of the first weights, the order of cells, noise and dropout.

    Returns
    -------
    network : BilinearNetwork
        Of the epoch of the smallest validation loss, if cfg.patience is set, else of the last one.
    train_losses, val_losses : lists of float
        One value an epoch: the mean over the epoch's batches, and over the validation cells after it.

    Raises
    ------
    InputError
        If the loss stops being finite.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = z.shape[1], cfg.d_hidden, y.shape[1]
    kind = BilinearNetwork if cfg.order == 2 else TrilinearNetwork
    network = kind(*sizes, cfg.bias, cfg.dropout, cfg.init_scale, generator).to(cfg.device)
    optimizer = torch.optim.AdamW(network.parameters(), cfg.lr, weight_decay=cfg.weight_decay, fused=True)
    schedule = CosineAnnealingLR(optimizer, cfg.n_epochs)
    train_losses, val_losses, best, best_epoch = [], [], {}, 0
    with tqdm(total=cfg.n_epochs, desc=f"Training for {cfg.n_epochs} epochs", mininterval=0.5) as bar:
        for epoch in range(cfg.n_epochs):
            train_losses.append(_epoch(network, z, y, optimizer, cfg, loss, generator))
            val_losses.append(_error(network, z_val, y_val, loss))
            schedule.step()
            if not math.isfinite(train_losses[-1]):
                raise InputError(f"the training loss is {train_losses[-1]}: choose a smaller lr than {cfg.lr}")
            bar.set_postfix(
                {"train_loss": f"{train_losses[-1]:.4f}", "val_loss": f"{val_losses[-1]:.4f}"}, refresh=False
            )
            bar.update()
            if not cfg.patience:
                continue
            if not best or val_losses[-1] < val_losses[best_epoch]:
                best, best_epoch = {name: weights.clone() for name, weights in network.state_dict().items()}, epoch
            if epoch - best_epoch >= cfg.patience:
                break
    if best:
        network.load_state_dict(best)
    return network, train_losses, val_losses


def _error(network: nn.Module, z: torch.Tensor, y: torch.Tensor, loss: Callable) -> float:
    network.eval()
    with torch.no_grad():
        return loss(network(z), y).item()


def _epoch(
    network: BilinearNetwork,
    z: torch.Tensor,
    y: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    cfg: Config,
    loss: Callable,
    generator: torch.Generator,
) -> float:
    """One pass over the cells in a new order; the mean loss, without the penalty on the weights."""
    network.train()
    if len(z) > cfg.batch_size:
        order = torch.randperm(len(z), generator=generator).to(z.device)
        z, y = z[order], y[order]  # once an epoch: batches are then slices, which cost nothing
    total = torch.zeros((), device=z.device)
    for z_batch, y_batch in zip(z.split(cfg.batch_size), y.split(cfg.batch_size), strict=True):
        error = loss(network(_disturbed(z_batch, cfg.input_noise, generator)), y_batch)
        optimizer.zero_grad()
        (error + cfg.l2 * network.penalty() if cfg.l2 else error).backward()
        optimizer.step()
        total += error.detach() * len(z_batch)
    return total.item() / len(z)


def _disturbed(z: torch.Tensor, noise: float, generator: torch.Generator) -> torch.Tensor:
    """Inputs with noise in units of each input's standard deviation."""
    if not noise:
        return z
    return z + noise * z.std(dim=0, correction=0) * torch.randn(z.shape, generator=generator).to(z.device)
