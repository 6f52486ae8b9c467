"""The bilinear ridge on all genes, without components: it sees pairs of genes that components hide."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from scripts.blocks import Matrix, Standard, dense, variation
from scripts.cells import CellDataset
from scripts.errors import InputError
from scripts.models.contract import arrays_to_fit, check_genes
from scripts.models.form import BilinearForm
from scripts.models.kernel import solve_kernel

MAX_GENES = 2_000  # the core is genes x genes here: more are for components
MAX_CELLS = 5_000  # training cells, at most: all pairs of them are compared


@dataclass
class GeneRidge:
    """y_f(x) = c_f + w_f . x + x^T B_f x with a ridge on every gene and every pair of genes alike.

    Solved between cells, by the kernel (z . z') / main + (z . z')^2 / pair on genes z of standard deviation 1: as many
    unknowns as cells, however many pairs there are.

    Attributes
    ----------
    main_penalties, pair_penalties : tuple of float
        Tried penalties, in units of the total variance of the genes and of their products; for each frequency those of
        the smallest error in validation cells are taken. A pair penalty of infinity leaves the pairs out: the linear
        model.
    chosen : DataFrame
        One row a frequency, once fitted: main_penalty, pair_penalty, val_mse (of targets of variance 1).
    """

    main_penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1)
    pair_penalties: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    chosen: pd.DataFrame = field(init=False)

    def fit(self, train: CellDataset, val: CellDataset) -> pd.DataFrame:
        """Fit on training cells; the penalties are chosen on validation cells.

        Parameters
        ----------
        train, val : CellDataset
            x (n_cells, n_genes), dense or sparse, and y (n_cells, n_freq).

        Returns
        -------
        DataFrame
            The search: main_penalty, pair_penalty, frequency, val_mse.

        Raises
        ------
        InputError
            If values are not finite, or there are too many genes or cells for this solver.
        """
        (X, y), (X_val, y_val) = arrays_to_fit(train, val)
        if X.shape[1] > MAX_GENES or len(y) > MAX_CELLS:
            raise InputError(
                f"{len(y)} cells x {X.shape[1]} genes are too many to fit all pairs of genes: "
                f"take at most {MAX_CELLS} x {MAX_GENES}, or BilinearRidge on components"
            )
        X, X_val = dense(X).astype(np.float64), dense(X_val)
        genes, targets = Standard.of(X), Standard.of(y)
        self._mean, self._inverse_sd = genes.mean, (variation(X) > 0) / genes.deviation
        self._y_mean, self._y_scale = targets.mean, targets.deviation
        with threadpool_limits(1, "blas"):
            return self._search(self._standard(X), (y - self._y_mean) / self._y_scale, X_val, y_val)

    def _standard(self, X: np.ndarray) -> np.ndarray:
        return (X - self._mean) * self._inverse_sd

    def _search(self, z: np.ndarray, y: np.ndarray, X_val: np.ndarray, y_val: np.ndarray) -> pd.DataFrame:
        own, across = z @ z.T, self._standard(X_val) @ z.T
        kernels = [(own, across), (own**2, across**2)]
        own, across = zip(*(_centred(*kernel) for kernel in kernels), strict=True)
        variances = [np.trace(kernel) / len(z) for kernel in own]
        y_val = (y_val - self._y_mean) / self._y_scale
        tried, found, rows = [], [], []
        for main in self.main_penalties:
            for pair in self.pair_penalties:
                shares = 1 / (main * variances[0]), 1 / (pair * variances[1])
                dual = solve_kernel(shares[0] * own[0] + shares[1] * own[1], len(z), y)
                predicted = (shares[0] * across[0] + shares[1] * across[1]) @ dual
                rows += [(main, pair, f, error) for f, error in enumerate(((y_val - predicted) ** 2).mean(axis=0))]
                tried.append(shares)
                found.append(dual)
        search = pd.DataFrame(rows, columns=["main_penalty", "pair_penalty", "frequency", "val_mse"])
        n_freq = y.shape[1]
        best = search["val_mse"].to_numpy().reshape(-1, n_freq).argmin(axis=0)
        self.chosen = search.iloc[best * n_freq + np.arange(n_freq)].set_index("frequency")
        dual = np.stack([found[i][:, f] for f, i in enumerate(best)])
        main, pair = np.array(tried)[best].T
        self._linear = main[:, None] * (dual @ z)
        self._core = pair[:, None, None] * np.stack([(z * weights[:, None]).T @ z for weights in dual])
        self._shift = np.einsum("cg,fgh,ch->f", z, self._core, z, optimize=True) / len(z)
        return search

    def form(self, genes: list[str]) -> BilinearForm:
        """What was fitted, as the object that modules, pairs and scores are read from; its basis is the genes."""
        core = self._inverse_sd[:, None] * self._core * self._inverse_sd * self._y_scale[:, None, None]
        linear = self._linear * self._inverse_sd * self._y_scale[:, None]
        bent = core @ self._mean  # with z = (x - mean) / sd: linear . z + z^T S z, written out in x
        constant = self._y_mean - self._y_scale * self._shift - linear @ self._mean + bent @ self._mean
        return BilinearForm(np.eye(len(self._mean)), core, linear - 2 * bent, constant, genes)

    def predict(self, X: Matrix) -> np.ndarray:
        """Predicted frequencies; X : (n_cells, n_genes), dense or sparse. Returns (n_cells, n_freq) float64."""
        check_genes(X, len(self._mean))
        return self.form([str(i) for i in range(len(self._mean))]).predict(dense(X).astype(np.float64))


def _centred(own: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernels of features less their mean over the training cells; own : (n, n), across : (n_other, n)."""
    mean = own.mean(axis=0)
    own_centred = own - mean - mean[:, None] + mean.mean()
    return own_centred, across - mean - across.mean(axis=1, keepdims=True) + mean.mean()
