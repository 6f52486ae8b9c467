"""The bilinear regressor, y_f(x) = c_f + sum_h P[f, h] (l_h . x + a_h) (r_h . x + b_h), fitted by gradient descent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional
from torch.optim.adamw import adamw
from tqdm import tqdm

from scripts.cells import CellDataset, checked_arrays
from scripts.models import BilinearForm, Components, target_components
from scripts.parallel import few_threads

LOSSES = {"l1": functional.l1_loss, "mse": functional.mse_loss, "huber": functional.huber_loss}
CHUNK = 4096  # cells whose products are held in memory at a time


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


@dataclass
class SquaredError:
    """Mean squared error over cells of which only moments are kept.

    With z' = (1, z) of D values, the network's outputs are z'^T B z', linear in the P = D (D + 1) / 2 products
    z'_i z'_j with i >= j. Their error over all cells follows from the means of products of these, and so does its
    gradient.

    Attributes
    ----------
    gram : (P, P) float32 tensor
        Means over cells of (z'_i z'_j)(z'_k z'_l).
    cross : (P, d_out) float32 tensor
        Means of (z'_i z'_j) y_f.
    square : float32 tensor
        Sum over f of the means of y_f^2.
    pairs : (2, P) int64 tensor
        i and j.
    """

    gram: torch.Tensor
    cross: torch.Tensor
    square: torch.Tensor
    pairs: torch.Tensor

    def __post_init__(self):
        i, j = self.pairs
        n_rows = int(i[-1]) + 1
        self._flat = i * n_rows + j, j * n_rows + i  # both places of a pair in B, row by row
        self._weight = torch.where(i == j, 0.5, 1.0)[:, None]  # of their sum: those of the diagonal are one place
        self._pair_of = torch.empty(n_rows * n_rows, dtype=torch.long, device=i.device)
        for places in self._flat:
            self._pair_of[places] = torch.arange(len(i), device=i.device)

    @classmethod
    def of(cls, z: torch.Tensor, y: torch.Tensor) -> SquaredError:
        """Accumulate the moments of cells; z : (n_cells, d_in), y : (n_cells, d_out)."""
        pairs = torch.tril_indices(z.shape[1] + 1, z.shape[1] + 1, device=z.device)
        gram = cross = 0.0
        for z_chunk, y_chunk in zip(z.split(CHUNK), y.split(CHUNK), strict=True):
            one = torch.cat([torch.ones_like(z_chunk[:, :1]), z_chunk], dim=1)
            products = one[:, pairs[0]] * one[:, pairs[1]]
            gram, cross = gram + products.T @ products, cross + products.T @ y_chunk
        return cls(gram / len(z), cross / len(z), (y**2).mean(dim=0).sum(), pairs)

    def value(self, network: Network) -> torch.Tensor:
        """The error of a network."""
        return self._error(network, self._products(network)[2])[0]

    def write_gradients(self, network: Network) -> torch.Tensor:
        """Write the error's gradients into those of the network's tensors, and return the error."""
        left, right, products = self._products(network)
        error, slope = self._error(network, products)
        of_products = (slope @ network.w_p).view_as(products)
        of_hidden = torch.cat([(of_products * right).sum(dim=1), (of_products * left[:, None]).sum(dim=0)], dim=1)
        network.b_lr.grad, network.w_lr.grad = of_hidden[0], of_hidden[1:].contiguous()
        network.w_p.grad, network.c.grad = slope.T @ products.flatten(0, 1), slope[0]
        return error

    @staticmethod
    def _products(network: Network) -> tuple[torch.Tensor, ...]:
        """L' and R', (D, d_hidden), of the biases and weights, and all products of their rows, (D, D, d_hidden)."""
        left, right = torch.cat([network.b_lr[None], network.w_lr]).chunk(2, dim=1)
        return left, right, left[:, None] * right

    def _error(self, network: Network, products: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The error, and its gradient by B, (D^2, d_out)."""
        B = products.flatten(0, 1) @ network.w_p.T
        B[0] += network.c
        of_pairs = (B[self._flat[0]] + B[self._flat[1]]) * self._weight
        predicted = self.gram @ of_pairs
        error = (of_pairs * (predicted - 2 * self.cross)).sum() + self.square
        return error / B.shape[1], (predicted - self.cross)[self._pair_of] * (2 / B.shape[1])
