"""Spaces that cells are clustered in: frequencies, what the model makes of them, and plain components."""

from dataclasses import dataclass, field

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from scripts.blocks import Matrix, evenly
from scripts.cells import labels_of
from scripts.models import BilinearForm
from scripts.reading import module_scores

FREQUENCIES, WEIGHTED, PREDICTED = "frequencies", "frequencies / √λ", "predicted frequencies"
AXES, SCORES, COMPONENTS = "module axes", "module scores", "components"
N_AXES, N_COMPONENTS = 5, 20  # leading modules of each frequency; components of expression
MIN_CLUSTER = 5  # cells to a cluster, on average, at least
NO_SPREAD = 1e-9  # of a space, relative to the size of its values, below which all cells lie in one place


@dataclass(frozen=True)
class HierarchySettings:
    """How cells are clustered, and how far their groups are told apart."""

    max_tree_cells: int = 5_000  # cells to cluster; of more, that many spread evenly over the file
    cluster_numbers: list[int] = field(default_factory=lambda: [3, 6, 12, 24])  # of clusters, from coarse to fine
    n_repeats: int = 19  # clusterings of other cells from other starts, and as many of a Gaussian, by k-means
    n_groups: int = 10  # groups that the tree ends in
    group_genes: int = 5  # genes that are to tell the two sides of a split
    random_state: int = 0  # seed of all that is drawn


@dataclass(frozen=True)
class CellSpaces:
    """Cells in several spaces.

    Attributes
    ----------
    rows : (n_cells,) int
        Which cells of all they are.
    coordinates : {name: (n_cells, n_dimensions) float64}
        By name of the space: frequencies, and others in which the cells differ.
    cumulative : {name: (n_cells, n_dimensions) float64}
        The module axes of the coarsest frequency alone, of the two coarsest, and so on, but for all of them.
    numbers : list of int
        Of clusters, ascending, that so many cells can be divided into.
    labels : (n_cells,) Series of categories
        Known labels, NaN where a cell has none.
    n_all : int
        Cells that they are a sample of.
    """

    rows: np.ndarray
    coordinates: dict[str, np.ndarray]
    cumulative: dict[str, np.ndarray]
    numbers: list[int]
    labels: pd.Series
    n_all: int

    @property
    def has_labels(self) -> bool:
        """Whether there are at least two known groups to compare clusters with."""
        return isinstance(self.labels.dtype, pd.CategoricalDtype) and self.labels.nunique() > 1


def cell_spaces(adata: ad.AnnData, form: BilinearForm, settings: HierarchySettings) -> CellSpaces:
    """The cells, or a sample of them, in all spaces.

    adata : as from `cells.scaled`, with the frequencies that the form predicts. Axes are u . x and scores
    kappa (u . x)^2 of the leading modules of each frequency; components are those of expression as the model sees it.
    """
    rows = evenly(adata.n_obs, settings.max_tree_cells)
    X, frequencies = adata.X[rows], adata.obsm["X_freq"][rows].astype(float)
    values, loadings = form.modules(N_AXES)
    axes = [np.asarray(X @ each, dtype=float) for each in loadings]
    found = {
        FREQUENCIES: frequencies,
        WEIGHTED: frequencies / np.sqrt(np.maximum(adata.uns["freq_vals"], np.finfo(float).tiny)),
        PREDICTED: np.asarray(form.predict(X), dtype=float),
        AXES: np.hstack(axes),
        SCORES: np.hstack([module_scores(X, *each) for each in zip(values, loadings, strict=True)]).astype(float),
        COMPONENTS: _components(X),
    }
    coordinates = {name: points for name, points in found.items() if name == FREQUENCIES or _differ(points)}
    fewest = min(len(np.unique(points, axis=0)) for points in coordinates.values())
    numbers = sorted({k for k in settings.cluster_numbers if 2 <= k <= fewest // MIN_CLUSTER})
    cumulative = {
        f"module axes of frequencies 0 to {f}" if f else "module axes of frequency 0": np.hstack(axes[: f + 1])
        for f in range(len(axes) - 1)
    }
    cumulative = {name: points for name, points in cumulative.items() if _differ(points)}
    return CellSpaces(rows, coordinates, cumulative, numbers, labels_of(adata).iloc[rows], adata.n_obs)


def _components(X: Matrix) -> np.ndarray:
    n_components = max(1, min(N_COMPONENTS, X.shape[0] - 1, X.shape[1] - 1))
    solver = "randomized" if isinstance(X, np.ndarray) else "arpack"
    return PCA(n_components, svd_solver=solver, random_state=0).fit_transform(X).astype(float)


def _differ(points: np.ndarray) -> bool:
    return bool(points.std(axis=0).max() > NO_SPREAD * max(np.abs(points).max(), np.finfo(float).tiny))
