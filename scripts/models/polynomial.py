"""The form of up to third order in few axes of the genes: predictions and what each monomial adds, read exactly."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations
from math import factorial, prod
from typing import ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from scripts.blocks import Matrix, along, in_parts
from scripts.models.form import BilinearForm, Form

N_BLOCK = 5_000  # cells whose products of two axes are in memory at a time


@dataclass
class PolynomialForm(Form):
    """y_f(x) = c_f + a_f . t + t^T S_f t + T_f(t, t, t), a polynomial of up to third order in few axes t of the genes.

    t = x V R - offset, or b tanh((x V R - offset) / b) where there is a bound b: a cell far out moves the prediction no
    further.

    Attributes
    ----------
    basis : (n_genes, r) float64
        V, orthonormal columns.
    turn : (r, n_axes) float64
        R; V R are the axes in gene space.
    offset : (n_axes,) float64
    bound : () float64
        b, which no |t| exceeds; 0: not bounded.
    constant : (n_freq,) float64
        c_f.
    linear : (n_freq, n_axes) float64
        a_f.
    quadratic : (n_freq, n_axes, n_axes) float64
        S_f, symmetric.
    cubic : (n_freq, n_axes, n_axes, n_axes) float64
        T_f, symmetric.
    genes : list of str
        Names of the genes, in the order of the basis.
    """

    ARRAYS: ClassVar = ("basis", "turn", "offset", "bound", "constant", "linear", "quadratic", "cubic")
    basis: np.ndarray
    turn: np.ndarray
    offset: np.ndarray
    bound: np.ndarray
    constant: np.ndarray
    linear: np.ndarray
    quadratic: np.ndarray
    cubic: np.ndarray
    genes: list[str]

    def __post_init__(self):
        (n_genes, rank), n_freq, k = self.basis.shape, len(self.constant), len(self.offset)
        shapes = {"basis": (n_genes, rank), "turn": (rank, k), "offset": (k,), "bound": (), "constant": (n_freq,)}
        self._check_shapes(**shapes, linear=(n_freq, k), quadratic=(n_freq, k, k), cubic=(n_freq, k, k, k))

    @classmethod
    def from_monomials(
        cls,
        axes: np.ndarray,
        offset: np.ndarray,
        weights: np.ndarray,
        constant: np.ndarray,
        bound: float = 0.0,
        *,
        genes: list[str],
    ) -> "PolynomialForm":
        """The form of a weight for each of `monomials`.

        axes : (n_genes, n_axes); offset : (n_axes,); weights : (n_freq, n_monomials); constant : (n_freq,).
        """
        n_axes = axes.shape[1]
        number = {term: i for i, term in enumerate(monomials(n_axes))}
        cores = []
        for order in (1, 2, 3):
            terms = [tuple(sorted(places)) for places in np.ndindex(*(n_axes,) * order)]
            shares = weights[:, [number[term] for term in terms]] / [orderings(term) for term in terms]
            cores.append(shares.reshape(len(weights), *(n_axes,) * order))
        basis, turn = np.linalg.qr(axes)
        linear, quadratic, cubic = cores
        return cls(basis, turn, offset, np.asarray(float(bound)), constant, linear, quadratic, cubic, genes)

    @classmethod
    def from_products(
        cls,
        axes: np.ndarray,
        offset: np.ndarray,
        factors: list[np.ndarray],
        w_p: np.ndarray,
        constant: np.ndarray,
        *,
        genes: list[str],
    ) -> "PolynomialForm":
        """The form of sums of products of up to three linear functions, c_f + sum_h P[f, h] prod_k (a_k + w_k . t)_h.

        Trilinear weights are such sums, and so are polynomial kernels, where h are cells.

        axes : (n_genes, n_axes); offset : (n_axes,); factors : of (n_products, 1 + n_axes) each, a_k first;
        w_p : (n_freq, n_products); constant : (n_freq,).
        """
        one = np.zeros((w_p.shape[1], 1 + axes.shape[1]))
        one[:, 0] = 1
        first, second, third = factors + [one] * (3 - len(factors))
        pairs = (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
        core = np.stack([(pairs * weights[:, None]).T @ third for weights in w_p])
        core = core.reshape(len(w_p), *(1 + axes.shape[1],) * 3)
        core = np.mean([core.transpose(0, *order) for order in permutations((1, 2, 3))], axis=0)
        basis, turn = np.linalg.qr(axes)
        linear, quadratic, cubic = 3 * core[:, 0, 0, 1:], 3 * core[:, 0, 1:, 1:], core[:, 1:, 1:, 1:]
        return cls(basis, turn, offset, np.zeros(()), constant + core[:, 0, 0, 0], linear, quadratic, cubic, genes)

    @classmethod
    def from_factors(
        cls, factors: list[tuple[np.ndarray, np.ndarray]], w_p: np.ndarray, c: np.ndarray, *, genes: list[str]
    ) -> "PolynomialForm":
        """The form that the weights of gradient descent stand for: c_f + sum_h P[f, h] prod_k (w_k . x + a_k)_h.

        factors : (n_hidden, n_genes) weights and (n_hidden,) biases of each factor; w_p : (n_freq, n_hidden);
        c : (n_freq,). The axes are the directions that the weights span.
        """
        with threadpool_limits(1, "blas"):  # as `BilinearForm.from_factors`
            every = np.concatenate([weights for weights, _ in factors]).astype(np.float64)
            _, sizes, directions = np.linalg.svd(every, full_matrices=False)
        spanned = sizes >= 1e-6 * sizes[0]  # weights in single precision fill what is below
        axes = directions[spanned].T
        written = [np.column_stack([bias, weights @ axes]) for weights, bias in factors]
        return cls.from_products(axes, np.zeros(axes.shape[1]), written, w_p.astype(np.float64), c, genes=genes)

    @classmethod
    def from_bilinear(cls, form: BilinearForm) -> "PolynomialForm":
        """The same polynomial of second order; its axes span the basis and the main effects, which must be few."""
        basis, _ = np.linalg.qr(np.hstack([form.basis, form.main.T]))
        n_axes, across = basis.shape[1], basis.T @ form.basis
        zero, none = np.zeros(n_axes), np.zeros((form.n_freq, n_axes, n_axes, n_axes))
        quadratic = across @ form.core @ across.T
        linear = form.main @ basis
        return cls(basis, np.eye(n_axes), zero, np.zeros(()), form.constant, linear, quadratic, none, form.genes)

    @property
    def n_freq(self) -> int:
        """Number of frequencies."""
        return len(self.constant)

    @property
    def axes(self) -> np.ndarray:
        """Weights of the genes in each axis, (n_genes, n_axes)."""
        return self.basis @ self.turn

    def coordinates(self, X: Matrix) -> np.ndarray:
        """Axes t of each cell, (n_cells, n_axes); X : (n_cells, n_genes), dense or sparse."""
        t = along(X, self.axes) - self.offset
        return self.bound * np.tanh(t / self.bound) if self.bound else t

    def predict(self, X: Matrix, genes: Iterable[str] | None = None) -> np.ndarray:
        """Predicted frequencies; X : (n_cells, n_genes), dense or sparse. Returns (n_cells, n_freq).

        genes : names of the columns of X, such as adata.var_names; an InputError where they are not those of the form,
        in their order.
        """
        if genes is not None:
            self._check_genes(genes, "the model", "order the cells' genes as the form's")
        t = self.coordinates(X)
        return np.concatenate([self._polynomial(t[cells]) for cells in in_parts(len(t), N_BLOCK)])

    def _polynomial(self, t: np.ndarray) -> np.ndarray:
        n_cells, n_axes = t.shape
        pairs = (t[:, :, None] * t[:, None, :]).reshape(n_cells, n_axes**2)
        slopes = np.stack([pairs @ core.reshape(n_axes**2, n_axes) for core in self.cubic], axis=1)
        higher = pairs @ self.quadratic.reshape(self.n_freq, -1).T + (slopes * t[:, None, :]).sum(axis=2)
        return self.constant + t @ self.linear.T + higher

    @property
    def weights(self) -> np.ndarray:
        """Weight of each of the `monomials` of the axes, (n_freq, n_monomials)."""
        cores = (self.linear, self.quadratic, self.cubic)
        terms = monomials(len(self.offset))
        return np.stack([orderings(term) * cores[len(term) - 1][:, *term] for term in terms], axis=1)

    def contributions(self, X: Matrix) -> np.ndarray:
        """What each of the `monomials` adds to each cell, (n_cells, n_freq, n_monomials).

        With the constants they add up to the prediction exactly. X : (n_cells, n_genes), dense or sparse.
        """
        t = self.coordinates(X)
        terms = np.stack([t[:, term].prod(axis=1) for term in monomials(t.shape[1])], axis=1)
        return terms[:, None, :] * self.weights


def monomials(n_axes: int, degree: int = 3) -> list[tuple[int, ...]]:
    """Axes that are multiplied in each term, the first order first: (0,), ..., (0, 0), (0, 1), ..., (0, 0, 0), ..."""
    return [term for n in range(1, degree + 1) for term in combinations_with_replacement(range(n_axes), n)]


def orderings(term: tuple[int, ...]) -> int:
    """In how many orders the axes of a term can be multiplied: so often it stands in its symmetric core."""
    return factorial(len(term)) // prod(factorial(term.count(axis)) for axis in set(term))
