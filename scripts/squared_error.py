"""Mean squared error of a bilinear network from the moments of the cells, whose number then costs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from scripts.descent import Network

CHUNK = 4096  # cells whose products are held in memory at a time


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
