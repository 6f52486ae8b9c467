"""From a source to checked and normalised cells."""

import hashlib
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches

from scripts.blocks import Matrix, dense
from scripts.errors import InputError
from scripts.graph import N_EXACT
from scripts.sources import Source

DEFAULT_COMPONENTS = 50  # where all genes are too many for an exact search
MAX_DENSE = 1_000_000_000  # values up to which sparse expression is made dense: 4 GB


@dataclass(frozen=True)
class Preparation:
    """Settings of everything between the counts and the training data."""

    normalize_total: bool | None = None  # scale each cell to the median total; None: if the data set needs it
    log1p: bool | None = None  # logarithm of 1 + x; None: if the data set needs it
    scale: bool | None = None  # each gene to mean 0 and standard deviation 1; None: if the data set needs it
    layer: str = ""  # layer of the .h5ad that holds the counts; empty: X
    label: str = ""  # column of obs with the known cell types; empty: the data set's own, or the first categorical one
    k_neighbors: int = 10  # neighbours of each cell in the graph, itself not counted
    n_freq_comps: int = 5  # frequencies kept, from the lowest
    metric: str = "cosine"  # distance between cells: cosine or euclidean
    graph_components: int = 0  # principal components that the graph is built on; 0: all genes, if memory and time allow
    graph_weights: str = "unweighted"  # edges of the graph: unweighted, gaussian or fuzzy
    laplacian: str = "unnormalized"  # or normalized: D^-1/2 L D^-1/2
    unconnected: str = "error"  # a graph in parts: "error", or "largest" keeps the largest part
    random_state: int = 0  # seed of the splits


def load(source: Source, settings: Preparation) -> ad.AnnData:
    """Read a data set, check and normalise it.

    Returns
    -------
    AnnData
        X (n_cells, n_genes) float32, normalised as the settings say; uns["dataset"] says where it comes from and
        uns["label"] which column of obs holds the known cell types ("" if none does). Sparse values of more than 4 GB
        stay sparse: each gene is then scaled to standard deviation 1 without being centred, as scanpy does it.

    Raises
    ------
    ValueError
        If the values are not finite, or are to be normalised as counts and are none.
    """
    adata = source.read()
    if settings.layer:
        if settings.layer not in adata.layers:
            raise InputError(f"{source.name} has no layer {settings.layer!r}: it has {sorted(adata.layers) or 'none'}")
        adata.X = adata.layers[settings.layer]
    checksum = _checksum(adata)
    steps = {name: getattr(settings, name) for name in ("normalize_total", "log1p", "scale")}
    steps = {name: name in source.steps if wanted is None else wanted for name, wanted in steps.items()}
    _check_values(adata, source.name, expects_counts=steps["normalize_total"] or steps["log1p"])
    adata.X = adata.X.astype(np.float32)
    if steps["normalize_total"]:
        sc.pp.normalize_total(adata)
    if steps["log1p"]:
        sc.pp.log1p(adata)
    if sparse.issparse(adata.X) and adata.n_obs * adata.n_vars <= MAX_DENSE:
        adata.X = adata.X.toarray()
    if steps["scale"]:
        sc.pp.scale(adata, zero_center=not sparse.issparse(adata.X))
    adata.uns["label"] = _label(adata, settings.label or source.label)
    done = [name for name, wanted in steps.items() if wanted]
    adata.uns["dataset"] = {"name": source.name, "reason": source.reason, "sha256": checksum, "steps": done}
    return adata


def _label(adata: ad.AnnData, wanted: str | None) -> str:
    if wanted and wanted not in adata.obs:
        raise InputError(
            f"there is no column {wanted!r} in obs for the labels: it has {', '.join(adata.obs) or 'none'}"
        )
    categorical = [name for name in adata.obs if isinstance(adata.obs[name].dtype, pd.CategoricalDtype)]
    return wanted or (categorical[0] if categorical else "")


def _checksum(adata: ad.AnnData) -> str:
    """SHA-256 of the values as dense little-endian float32 in C order, whatever form they are stored in."""
    digest = hashlib.sha256()
    X = sparse.csr_array(adata.X) if sparse.issparse(adata.X) else adata.X
    for rows in gen_batches(adata.n_obs, 1000):
        digest.update(dense(X[rows]).astype("<f4").tobytes())
    return digest.hexdigest()


def _check_values(adata: ad.AnnData, name: str, expects_counts: bool) -> None:
    values = adata.X.data if sparse.issparse(adata.X) else np.asarray(adata.X)
    if not np.isfinite(values).all():
        raise InputError(f"{name}: X holds NaN or infinite values: remove or impute them first")
    if expects_counts and (values.min(initial=0) < 0 or (values != np.rint(values)).any()):
        raise InputError(
            f"{name}: X holds no counts (negative or fractional values): name the layer that does (layer: counts), "
            "or set normalize_total: false and log1p: false if X is normalised already"
        )


def graph_features(X: Matrix, settings: Preparation, fit_rows: np.ndarray | slice = slice(None)) -> tuple[Matrix, str]:
    """What the graph is built on, (n_cells, n_features), and its name: all genes, or principal components.

    X : (n_cells, n_genes), dense or sparse; sparse columns are centred implicitly, never made dense. Components are
    those of the cells fit_rows.
    """
    n_cells, n_genes = X.shape
    n_components = settings.graph_components
    if n_components == 0 and n_cells > N_EXACT and n_genes > DEFAULT_COMPONENTS:
        n_components = DEFAULT_COMPONENTS
    if n_components == 0:
        return X, "all genes"
    if not 1 <= n_components < min(X.shape):
        raise InputError(f"graph_components={n_components} is not possible: choose 0 (all genes) to {min(X.shape) - 1}")
    solver = "arpack" if sparse.issparse(X) else "randomized"
    pca = PCA(n_components, svd_solver=solver, random_state=settings.random_state).fit(X[fit_rows])
    return pca.transform(X).astype(np.float32), f"{n_components} components"


def describe(adata: ad.AnnData) -> str:
    """One line for the reader: which data set this is, its size, and why it was taken."""
    dataset = adata.uns["dataset"]
    return f"{dataset['name']}: {adata.n_obs:,} cells x {adata.n_vars:,} genes ({dataset['reason']})"
