"""The fitted forms, whatever solver made them: modules, predictions, terms and agreement, read from them exactly.

Nothing here builds a genes x genes matrix: all is computed in an orthonormal gene basis of few columns.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, permutations
from math import factorial, prod
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from einops import einsum
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits

from scripts.blocks import Matrix, cross_products
from scripts.errors import InputError

N_BLOCK = 5_000  # cells whose products of two axes are in memory at a time


class Form:
    """What fitted forms have in common: an orthonormal gene basis, the names of the genes, and a file.

    Attributes
    ----------
    ARRAYS : tuple of str
        Names of the arrays that a form consists of.
    basis : (n_genes, r) float64
        V, orthonormal columns.
    genes : list of str
        Names of the genes, in the order of the basis.
    """

    ARRAYS: ClassVar[tuple[str, ...]]
    basis: np.ndarray
    genes: list[str]

    def _check_shapes(self, **expected: tuple[int, ...]) -> None:
        """Take the names of genes as text, and refuse parts of other shapes; expected : of each array by its name."""
        self.genes = [str(gene) for gene in self.genes]
        found = {name: np.shape(getattr(self, name)) for name in self.ARRAYS}
        if found != expected or len(self.genes) != len(self.basis):
            raise InputError(f"the parts of the form of {len(self.genes)} genes do not fit each other: {found}")

    def _check_genes(self, genes: Iterable[str], what: str, remedy: str) -> None:
        if self.genes != [str(gene) for gene in genes]:
            raise InputError(f"{what} was fitted to other genes, or in another order: {remedy}")

    def save(
        self, path: Path, arrays: Mapping[str, np.ndarray] | None = None, texts: Mapping[str, str] | None = None
    ) -> None:
        """Write as safetensors, gene names in the header; arrays, texts : what else the file is to hold, by name."""
        own = {name: getattr(self, name) for name in self.ARRAYS}
        kept = {name: np.asarray(array, order="C") for name, array in (own | dict(arrays or {})).items()}
        save_file(kept, path, metadata={"genes": json.dumps(self.genes), **(texts or {})})

    @classmethod
    def load(cls, path: Path, genes: Iterable[str] | None = None) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        path : Path
        genes : iterable of str, optional
            Of the cells that it is to be used with.

        Raises
        ------
        InputError
            If the file is damaged or holds something else, its values are not finite, its basis is not orthonormal, or
            its genes are not those of the cells, in their order.
        """
        try:
            with safe_open(path, framework="np") as file:
                arrays = {name: file.get_tensor(name) for name in cls.ARRAYS}
                form = cls(**(arrays | {"genes": json.loads(file.metadata()["genes"])}))
            if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays.values()):
                raise ValueError("values that are no finite numbers")
            if not np.allclose(form.basis.T @ form.basis, np.eye(form.basis.shape[1]), atol=1e-4):
                raise ValueError("its basis is not orthonormal")
        except (SafetensorError, KeyError, ValueError, TypeError, OSError) as problem:
            raise InputError(f"{path} does not hold a fitted model ({problem}): run 03_train.ipynb again") from None
        if genes is not None:
            form._check_genes(genes, str(path), "run 03_train.ipynb again")
        return form


@dataclass
class BilinearForm(Form):
    """y_f(x) = c_f + w_f . x + x^T B_f x with B_f = V S_f V^T; whatever fits a model, this is what comes out.

    Attributes
    ----------
    basis : (n_genes, r) float64
        V, orthonormal columns.
    core : (n_freq, r, r) float64
        S_f, symmetric.
    main : (n_freq, n_genes) float64
        Main effects w_f.
    constant : (n_freq,) float64
        c_f.
    genes : list of str
        Names of the genes, in the order of the basis.
    toward : (n_freq, r) float64
        Sums of x V times v_f over centred cells: which way each frequency rises, see `turned`; 0: not known.
    """

    ARRAYS: ClassVar = ("basis", "core", "main", "constant", "toward")
    basis: np.ndarray
    core: np.ndarray
    main: np.ndarray
    constant: np.ndarray
    genes: list[str]
    toward: np.ndarray | None = None

    def __post_init__(self):
        (n_genes, rank), n_freq = self.basis.shape, len(self.core)
        if self.toward is None:
            self.toward = np.zeros((n_freq, rank))
        shapes = {"basis": (n_genes, rank), "core": (n_freq, rank, rank), "main": (n_freq, n_genes)}
        self._check_shapes(**shapes, constant=(n_freq,), toward=(n_freq, rank))

    @classmethod
    def from_factors(
        cls,
        w_l: np.ndarray,
        w_r: np.ndarray,
        w_p: np.ndarray,
        a: np.ndarray | float = 0.0,
        b: np.ndarray | float = 0.0,
        c: np.ndarray | float = 0.0,
        *,
        genes: list[str],
    ) -> "BilinearForm":
        """The form that the weights of gradient descent stand for: B_f = sym(sum_h P[f, h] l_h r_h^T).

        w_l, w_r : (n_hidden, n_genes); w_p : (n_freq, n_hidden); a, b : (n_hidden,) and c : (n_freq,), the biases, from
        which main effects and constants come. V is the QR basis of [w_l; w_r]^T.
        """
        w_l, w_r, w_p = (np.asarray(weights, dtype=np.float64) for weights in (w_l, w_r, w_p))
        n_freq, n_hidden = w_p.shape
        a, b = (np.broadcast_to(bias, n_hidden).astype(np.float64) for bias in (a, b))
        with threadpool_limits(1, "blas"):  # two threads gain nothing here, and take twice as long if they share a core
            basis, triangle = np.linalg.qr(np.concatenate([w_l, w_r]).T)
        left, right = triangle[:, :n_hidden], triangle[:, n_hidden:]
        # the sum over h of P[f, h] l_h r_h^T as one matrix product a frequency: einsum would not use BLAS here
        core = (w_p[:, None, :] * left) @ right.T
        core = (core + core.swapaxes(1, 2)) / 2
        return cls(basis, core, (w_p * b) @ w_l + (w_p * a) @ w_r, w_p @ (a * b) + np.broadcast_to(c, n_freq), genes)

    @property
    def n_freq(self) -> int:
        """Number of frequencies."""
        return len(self.core)

    def predict(self, X: np.ndarray, genes: Iterable[str] | None = None) -> np.ndarray:
        """Predicted frequencies; X : (n_cells, n_genes). Returns (n_cells, n_freq).

        genes : names of the columns of X, such as adata.var_names; an InputError where they are not those of the form,
        in their order.
        """
        if genes is not None:
            self._check_genes(genes, "the model", "score the cells instead, which finds genes by their names")
        z = X @ self.basis
        interactions = einsum(z, self.core, z, "cell r_i, freq r_i r_j, cell r_j -> cell freq")
        return self.constant + X @ self.main.T + interactions

    def norm(self) -> np.ndarray:
        """Frobenius norm of each B_f, (n_freq,): that of its core, as the basis is orthonormal."""
        return np.sqrt((self.core**2).sum(axis=(1, 2)))

    def agreement(self, other: "BilinearForm") -> np.ndarray:
        """Cosine of each B_f with that of another fit, tr(B B') / (|B| |B'|), (n_freq,); NaN where either is 0."""
        overlap = self.basis.T @ other.basis
        across = overlap @ other.core @ overlap.T  # of each frequency
        shared, size = (self.core * across).sum(axis=(1, 2)), self.norm() * other.norm()
        return np.divide(shared, size, out=np.full_like(size, np.nan), where=size > 0)

    def eigenpairs(self, frequency: int) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of one core S_f, (r,), the largest absolute value first, and its eigenvectors, columns of (r, r).

        V times the eigenvectors are those of B_f, with the same values.
        """
        values, vectors = np.linalg.eigh(self.core[frequency])
        order = np.argsort(-np.abs(values))
        return values[order], vectors[:, order]

    def eigenvalues(self) -> np.ndarray:
        """Non-trivial eigenvalues of each B_f, (n_freq, r), the largest absolute value first."""
        return np.stack([self.eigenpairs(f)[0] for f in range(self.n_freq)])

    def modules(self, n_modules: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvectors of each B_f, exact: the basis times the eigenvectors of the core.

        Parameters
        ----------
        n_modules : int
            How many, at most r; those of the largest absolute eigenvalues.

        Returns
        -------
        values : (n_freq, n_modules)
            Eigenvalues, the largest absolute value first.
        loadings : (n_freq, n_genes, n_modules)
            Unit vectors u. The sign, which B_f leaves open, makes + of the axis u . x the high end of its frequency.
            Where that is not known, see `turned`, the third moment is positive: few heavy genes come first.
        """
        pairs = [self.eigenpairs(f) for f in range(self.n_freq)]
        loadings = np.stack([self.basis @ vectors[:, :n_modules] for _, vectors in pairs])
        rises = np.stack([t @ vectors[:, :n_modules] for t, (_, vectors) in zip(self.toward, pairs, strict=True)])
        signs = np.where(np.where(rises == 0, (loadings**3).sum(axis=1), rises) < 0, -1.0, 1.0)
        return np.stack([values[:n_modules] for values, _ in pairs]), loadings * signs[:, None]

    def turned(self, X: Matrix, y: np.ndarray) -> "BilinearForm":
        """The same form, + of its axes where the frequency is high: their covariance over these cells is not negative.

        X : (n_cells, n_genes), dense or sparse; y : (n_cells, n_freq).
        """
        rises = cross_products(X, y - y.mean(axis=0, dtype=np.float64))
        return replace(self, toward=rises.T @ self.basis)

    def combined(self, weights: np.ndarray, added: np.ndarray | float = 0.0) -> "BilinearForm":
        """The form of sums and contrasts of the outputs, such as one class less another.

        weights : (n_new, n_freq); added : (n_new,), to the constants.
        """
        core, constant = np.tensordot(weights, self.core, axes=1), weights @ self.constant + added
        return BilinearForm(self.basis, core, weights @ self.main, constant, self.genes, weights @ self.toward)

    def truncated(self, n_modules: int) -> "BilinearForm":
        """The form with the leading modules of each B_f alone; main effects and constants as they are."""
        pairs = [self.eigenpairs(f) for f in range(self.n_freq)]
        leading = [(values[:n_modules], vectors[:, :n_modules]) for values, vectors in pairs]
        core = np.stack([(vectors * values) @ vectors.T for values, vectors in leading])
        return replace(self, core=core)


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
        t = X @ self.axes - self.offset
        return self.bound * np.tanh(t / self.bound) if self.bound else t

    def predict(self, X: Matrix, genes: Iterable[str] | None = None) -> np.ndarray:
        """Predicted frequencies; X : (n_cells, n_genes), dense or sparse. Returns (n_cells, n_freq).

        genes : names of the columns of X, such as adata.var_names; an InputError where they are not those of the form,
        in their order.
        """
        if genes is not None:
            self._check_genes(genes, "the model", "order the cells' genes as the form's")
        t = self.coordinates(X)
        starts = range(0, max(len(t), 1), N_BLOCK)
        return np.concatenate([self._polynomial(t[start : start + N_BLOCK]) for start in starts])

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
