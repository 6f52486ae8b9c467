"""From a source to checked and normalised cells."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches

from scripts.blocks import Matrix, dense, variation
from scripts.cells.counts import STEPS, check, choose, steps_for
from scripts.cells.labels import set_label
from scripts.cells.names import name_genes
from scripts.cells.reading import read
from scripts.errors import InputError
from scripts.graph import N_EXACT
from scripts.sources import Source

DEFAULT_COMPONENTS = 50  # where all genes are too many for an exact search
MIN_CELLS, MIN_GENES = 3, 2  # below which there is no graph
MAX_DENSE = 1_000_000_000  # values up to which sparse expression is made dense: 4 GB


@dataclass(frozen=True)
class Preparation:
    """Settings of everything between the counts and the training data."""

    normalize_total: bool | None = None  # scale each cell to the median total; None: if the data set needs it
    log1p: bool | None = None  # logarithm of 1 + x; None: if the data set needs it
    scale: bool | None = None  # each gene to mean 0 and standard deviation 1; None: if the data set needs it
    layer: str = ""  # layer that holds the counts, or raw; empty: the first of X, counts, raw_counts, raw that does
    label: str = ""  # column of obs with the known cell types; empty: the data set's own, or the likely one
    drop_empty: bool = True  # leave out cells without counts
    drop_identical: bool = True  # leave out cells that are the same as another, all but the first
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
        X (n_cells, n_genes) float32, normalised as the settings say; uns["dataset"] says where it comes from
        and, in sentences, what was found and done ("said");
        uns["label"] which column of obs holds the known cell types ("" if none does). Sparse values of more than 4 GB
        stay sparse: each gene is then scaled to standard deviation 1 without being centred, as scanpy does it.

    Raises
    ------
    ValueError
        If the values are not finite or all zero, or there are too few of them.
    """
    adata, steps, said = _named_data(source, settings) if source.read else _from_file(source, settings)
    checksum = _checksum(adata)
    adata, left_out = _drop_cells(adata, settings, source.name)
    wanted = {name: getattr(settings, name) for name in STEPS}
    done = [name for name in STEPS if (name in steps if wanted[name] is None else wanted[name])]
    adata.X = adata.X.astype(np.float32)
    _normalise(adata, done, source.name)
    adata.uns["label"] = set_label(adata, settings.label or source.label)
    adata.uns["dataset"] = {
        "name": source.name,
        "reason": source.reason,
        "sha256": checksum,
        "steps": done,
        "said": np.array([*said, *left_out], dtype=str),
    }
    return adata


def _named_data(source: Source, settings: Preparation) -> tuple[ad.AnnData, Sequence[str], list[str]]:
    """A data set whose values are known: cells, steps that they need, and nothing to be said."""
    assert source.read is not None, "a file is read by _from_file"
    adata = source.read()
    if settings.layer:
        adata, _, _ = choose(adata, settings.layer, source.name)
    check(adata.X, f"{source.name}: X")
    return adata, source.steps, []


def _from_file(source: Source, settings: Preparation) -> tuple[ad.AnnData, Sequence[str], list[str]]:
    """Cells of a file, steps of normalisation that they need, and sentences on what was found and done."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names made unique: said in a sentence
        adata, place, found = choose(read(Path(source.source)), settings.layer, source.name)
        adata, named = name_genes(adata, source.name)
    if adata.n_obs < MIN_CELLS or adata.n_vars < MIN_GENES:
        raise InputError(
            f"{source.name} holds {adata.n_obs} cells x {adata.n_vars} genes: at least {MIN_CELLS} x {MIN_GENES} are "
            "needed; name another file"
        )
    check(adata.X, f"{source.name}: {place}")
    steps, judged = steps_for(adata.X, place)
    given = settings.normalize_total is not None and settings.log1p is not None
    return adata, steps, [*found, *named, *([] if given else judged)]


def _normalise(adata: ad.AnnData, steps: list[str], name: str) -> None:
    """The steps, in place; values that are no counts are taken as they are where settings ask for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zero totals and logarithms of negative values: told below
        if "normalize_total" in steps:
            sc.pp.normalize_total(adata)
        if "log1p" in steps:
            sc.pp.log1p(adata)
    if not np.isfinite(_stored(adata)).all():
        raise InputError(
            f"{name}: {' and '.join(steps[:2])} make negative values NaN or infinite: "
            "set normalize_total: false and log1p: false"
        )
    if sparse.issparse(adata.X) and adata.n_obs * adata.n_vars <= MAX_DENSE:
        adata.X = adata.X.toarray()
    if "scale" in steps:
        varies = (variation(adata.X) > 0).astype(np.float32)
        if not varies.all():  # scanpy makes some constant genes NaN, by the root of what rounding leaves
            adata.X = sparse.csr_matrix(adata.X.multiply(varies)) if sparse.issparse(adata.X) else adata.X * varies
        sc.pp.scale(adata, zero_center=not sparse.issparse(adata.X))


def _stored(adata: ad.AnnData) -> np.ndarray:
    return adata.X.data if sparse.issparse(adata.X) else np.asarray(adata.X)


def _drop_cells(adata: ad.AnnData, settings: Preparation, name: str) -> tuple[ad.AnnData, list[str]]:
    """Without cells that have no counts, and with the first alone of those that are the same; sentences on it."""
    digests = _digests(adata.X)
    empty, n_cells, said = np.array([not digest for digest in digests]), adata.n_obs, []
    again = pd.Series(digests).duplicated().to_numpy() & ~empty
    keep = np.ones(n_cells, bool)
    if settings.drop_empty and empty.any():
        keep &= ~empty
        said.append(f"{empty.sum():,} of {n_cells:,} cells have no counts and are left out.")
    if settings.drop_identical and again.any():
        keep &= ~again
        names = ", ".join(adata.obs_names[again][:3])
        said.append(
            f"{again.sum():,} of {n_cells:,} cells are the same as another cell and are left out, all but the first of "
            f"each ({names}{', ...' if again.sum() > 3 else ''})."
        )
    if keep.sum() < MIN_CELLS:
        raise InputError(f"{name}: only {keep.sum()} of {n_cells} cells have counts of their own: name another file")
    return (adata if keep.all() else adata[keep].copy()), said


def _digests(X: Matrix) -> list[bytes]:
    """Of the values of each cell, so that the same cells have the same; b"" for cells without counts."""
    digests = []
    for rows in gen_batches(X.shape[0], 1000):
        block = dense(X[rows])
        found = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() if row.any() else b"" for row in block]
        digests.extend(found)
    return digests


def _checksum(adata: ad.AnnData) -> str:
    """SHA-256 of the values as dense little-endian float32 in C order, whatever form they are stored in."""
    digest = hashlib.sha256()
    X = sparse.csr_array(adata.X) if sparse.issparse(adata.X) else adata.X
    for rows in gen_batches(adata.n_obs, 1000):
        digest.update(dense(X[rows]).astype("<f4").tobytes())
    return digest.hexdigest()


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
    """One line for the reader: which data set this is, its size, why it was taken, and what was done to the file."""
    dataset = adata.uns["dataset"]
    line = f"{dataset['name']}: {adata.n_obs:,} cells x {adata.n_vars:,} genes ({dataset['reason']})"
    return ". ".join([line, *(sentence.rstrip(".") for sentence in dataset["said"])])
