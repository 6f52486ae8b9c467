"""The bilinear form, whatever solver fitted it: modules, predictions and agreement, read from it exactly.

Nothing here builds a genes x genes matrix: all is computed in an orthonormal gene basis of few columns.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from einops import einsum
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits

from scripts.blocks import Matrix, along, cross_products
from scripts.errors import InputError


class Form:
    """What fitted forms have in common: an orthonormal gene basis, the names of the genes, and a file.

    Attributes
    ----------
    ARRAYS, LATER : tuple of str
        Names of the arrays that a form consists of; the later ones may be empty, and are then not in its file.
    basis : (n_genes, r) float64
        V, orthonormal columns.
    genes : list of str
        Names of the genes, in the order of the basis.
    """

    ARRAYS: ClassVar[tuple[str, ...]]
    LATER: ClassVar[tuple[str, ...]] = ()
    basis: np.ndarray
    genes: list[str]

    def _check_shapes(self, **expected: tuple[int, ...]) -> None:
        """Take the names of genes as text, and refuse parts of other shapes; expected : of each array by its name."""
        self.genes = [str(gene) for gene in self.genes]
        found = {name: np.shape(getattr(self, name)) for name in expected}
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
        own |= {name: array for name in self.LATER if (array := getattr(self, name)).size}
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
                later = {name: file.get_tensor(name) for name in cls.LATER if name in file.keys()}  # noqa: SIM118
                form = cls(**(arrays | later | {"genes": json.loads(file.metadata()["genes"])}))
            if not all(array.dtype.kind == "f" for array in arrays.values()):
                raise ValueError("values that are no finite numbers")
            if not all(np.isfinite(array).all() for array in (arrays | later).values()):
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

    A few products of two genes can be terms of their own. Low rank plus sparse is of low rank again, in a basis that
    holds the unit vectors of these genes: basis and core are those of the whole B_f, and all is read of it as ever.

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
    pairs : (n_pairs, 2) int
        Genes whose products are terms of their own; none, unless `with_products` was asked for.
    pair_weights : (n_freq, n_pairs) float64
        What B_f holds of them: pair_weights[f, k] x_i x_j of the k-th pair.
    """

    ARRAYS: ClassVar = ("basis", "core", "main", "constant", "toward")
    LATER: ClassVar = ("pairs", "pair_weights")
    basis: np.ndarray
    core: np.ndarray
    main: np.ndarray
    constant: np.ndarray
    genes: list[str]
    toward: np.ndarray = field(default_factory=lambda: np.empty(0))
    pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2), int))
    pair_weights: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self):
        (n_genes, rank), n_freq, n_pairs = self.basis.shape, len(self.core), len(self.pairs)
        if not self.toward.size:
            self.toward = np.zeros((n_freq, rank))
        if not n_pairs:
            self.pair_weights = np.empty((n_freq, 0))
        shapes = {"basis": (n_genes, rank), "core": (n_freq, rank, rank), "main": (n_freq, n_genes)}
        shapes |= {"constant": (n_freq,), "toward": (n_freq, rank)}
        self._check_shapes(**shapes, pairs=(n_pairs, 2), pair_weights=(n_freq, n_pairs))
        if not np.isin(self.pairs, np.arange(n_genes)).all():
            raise InputError(f"the parts of the form of {n_genes} genes do not fit each other: pairs name other genes")
        self.pairs = self.pairs.astype(int)

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

    def with_products(self, pairs: np.ndarray, weights: np.ndarray) -> "BilinearForm":
        """The form with weights[f, k] x_i x_j added to each y_f, exactly, as terms of their own.

        pairs : (n_pairs, 2) int, places of the genes; weights : (n_freq, n_pairs).
        """
        involved = np.unique(pairs)
        units = np.zeros((len(self.genes), len(involved)))
        units[involved, np.arange(len(involved))] = 1
        basis, triangle = np.linalg.qr(np.hstack([self.basis, units]))  # as `from_factors`: a basis of both
        turn = triangle[:, : self.basis.shape[1]]  # V as the new basis writes it
        core = turn @ self.core @ turn.T + _core_of_products(basis, pairs, weights)
        every, all_weights = np.concatenate([self.pairs, pairs]), np.hstack([self.pair_weights, weights])
        return replace(self, basis=basis, core=core, toward=self.toward @ turn.T, pairs=every, pair_weights=all_weights)

    def without_products(self) -> "BilinearForm":
        """The form less those of its products that are terms of their own."""
        if not len(self.pairs):
            return self
        core = self.core - _core_of_products(self.basis, self.pairs, self.pair_weights)
        # the unit vectors of the pairs' genes have nothing to carry now
        used = np.abs(core).max(axis=(0, 1)) > 1e-12 * np.abs(self.core).max(initial=0)
        core = core[:, used][:, :, used]
        return BilinearForm(self.basis[:, used], core, self.main, self.constant, self.genes, self.toward[:, used])

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
        z, linear = np.split(along(X, np.hstack([self.basis, self.main.T])), [self.basis.shape[1]], axis=1)
        interactions = einsum(z, self.core, z, "cell r_i, freq r_i r_j, cell r_j -> cell freq")
        return self.constant + linear + interactions

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
        main, toward = weights @ self.main, weights @ self.toward
        return BilinearForm(
            self.basis, core, main, constant, self.genes, toward, self.pairs, weights @ self.pair_weights
        )

    def truncated(self, n_modules: int) -> "BilinearForm":
        """The form with the leading modules of each whole B_f alone; main effects and constants as they are."""
        pairs = [self.eigenpairs(f) for f in range(self.n_freq)]
        leading = [(values[:n_modules], vectors[:, :n_modules]) for values, vectors in pairs]
        core = np.stack([(vectors * values) @ vectors.T for values, vectors in leading])
        return replace(self, core=core)


def _core_of_products(basis: np.ndarray, pairs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Cores of sums of products of two genes whose unit vectors the basis holds, (n_freq, r, r).

    basis : (n_genes, r); pairs : (n_pairs, 2) int; weights : (n_freq, n_pairs).
    """
    first, second = basis[pairs[:, 0]], basis[pairs[:, 1]]
    core = (weights[:, None, :] * first.T) @ second
    return (core + core.swapaxes(1, 2)) / 2
