"""From counts to training data: normalised cells with frequencies, splits and torch data sets."""

import hashlib
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from scripts import graph
from scripts.eigensolvers import residuals
from scripts.neighbors import N_EXACT, nearest_neighbors
from scripts.sources import Source, resolve

DEFAULT_COMPONENTS = 50  # where all genes are too many for an exact search
SPLITS = ("train", "val", "test")
MAX_DENSE = 1_000_000_000  # values up to which sparse expression is made dense: 4 GB
N_SPECTRUM = 15  # eigenvalues shown beside those of the frequencies kept, where they cost little


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
    n_components: int = 0  # principal components that the graph is built on; 0: all genes, if memory and time allow
    graph_weights: str = "unweighted"  # edges of the graph: unweighted, gaussian or fuzzy
    laplacian: str = "unnormalized"  # or normalized: D^-1/2 L D^-1/2
    unconnected: str = "error"  # a graph in parts: "error", or "largest" keeps the largest part
    random_state: int = 0  # seed of the splits


class CellDataset(torch.utils.data.Dataset):
    """Cells and their frequencies as float32 tensors: x (n_cells, n_genes), y (n_cells, n_freq).

    Sparse expression stays a scipy matrix in x; items are dense rows all the same.
    """

    def __init__(self, x: np.ndarray | sparse.spmatrix, y: np.ndarray, device: str = "cpu"):
        if sparse.issparse(x):
            self.x = sparse.csr_array(x, dtype=np.float32)
        else:
            self.x = torch.as_tensor(np.ascontiguousarray(x), dtype=torch.float32, device=device)
        self.y = torch.as_tensor(np.ascontiguousarray(y), dtype=torch.float32, device=device)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.x[index]
        return torch.as_tensor(x.toarray(), device=self.y.device) if sparse.issparse(x) else x, self.y[index]

    def arrays(self) -> tuple[np.ndarray | sparse.csr_array, np.ndarray]:
        """X as float32 numpy array or sparse matrix, y as float64 numpy array."""
        x = self.x if sparse.issparse(self.x) else self.x.cpu().numpy()
        return x, self.y.cpu().numpy().astype(np.float64)


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
            raise ValueError(f"{source.name} has no layer {settings.layer!r}: it has {sorted(adata.layers) or 'none'}")
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
        raise ValueError(
            f"there is no column {wanted!r} in obs for the labels: it has {', '.join(adata.obs) or 'none'}"
        )
    categorical = [name for name in adata.obs if isinstance(adata.obs[name].dtype, pd.CategoricalDtype)]
    return wanted or (categorical[0] if categorical else "")


def _checksum(adata: ad.AnnData) -> str:
    """SHA-256 of the values as dense little-endian float32 in C order, whatever form they are stored in."""
    digest = hashlib.sha256()
    X = sparse.csr_array(adata.X) if sparse.issparse(adata.X) else adata.X
    for start in range(0, adata.n_obs, 1000):
        rows = X[start : start + 1000]
        digest.update((rows.toarray() if sparse.issparse(rows) else np.ascontiguousarray(rows)).astype("<f4").tobytes())
    return digest.hexdigest()


def _check_values(adata: ad.AnnData, name: str, expects_counts: bool) -> None:
    values = adata.X.data if sparse.issparse(adata.X) else np.asarray(adata.X)
    if not np.isfinite(values).all():
        raise ValueError(f"{name}: X holds NaN or infinite values: remove or impute them first")
    if expects_counts and (values.min(initial=0) < 0 or (values != np.rint(values)).any()):
        raise ValueError(
            f"{name}: X holds no counts (negative or fractional values): name the layer that does (layer: counts), "
            "or set normalize_total: false and log1p: false if X is normalised already"
        )


def add_frequencies(adata: ad.AnnData, settings: Preparation) -> ad.AnnData:
    """Cell graph and frequencies of all cells, in scanpy's places.

    Returns
    -------
    AnnData
        With obsp["connectivities"] (n_cells, n_cells), obsm["X_freq"] (n_cells, n_freq), uns["freq_vals"] (n_freq,);
        fewer cells than given if the graph fell into parts and settings.unconnected is "largest".
    """
    for name, known in (("unconnected", ("error", "largest")), ("laplacian", ("unnormalized", "normalized"))):
        if getattr(settings, name) not in known:
            raise ValueError(f"{name}={getattr(settings, name)!r} is not known: choose {' or '.join(map(repr, known))}")
    X, basis = graph_features(adata.X, settings)
    found = nearest_neighbors(X, settings.k_neighbors, settings.metric, random_state=settings.random_state)
    adjacency = graph.adjacency(found, settings.graph_weights)
    part_sizes = graph.part_sizes(adjacency)
    if settings.unconnected == "largest":
        keep = graph.largest_part(adjacency)
        adata = adata[keep].copy()
        adjacency = adjacency[keep][:, keep]
    normalized = settings.laplacian == "normalized"
    values, vectors = graph.frequencies(adjacency, settings.n_freq_comps, normalized)
    adata.obsp["connectivities"] = sparse.csr_matrix(adjacency)
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "params": {"n_neighbors": settings.k_neighbors, "metric": settings.metric, "method": settings.graph_weights},
    }
    adata.obsm["X_freq"] = vectors
    adata.uns["freq_vals"] = values
    adata.uns["graph"] = {
        "built on": basis,
        "parts": part_sizes,
        "recall": found.recall,
        "solver": graph.solver_for(adata.n_obs),
        "residuals": residuals(graph.laplacian(adjacency, normalized), values, vectors),
    }
    return adata


def graph_features(
    X: np.ndarray | sparse.spmatrix, settings: Preparation, fit_rows: np.ndarray | slice = slice(None)
) -> tuple[np.ndarray, str]:
    """What the graph is built on, (n_cells, n_features), and its name: all genes, or principal components.

    X : (n_cells, n_genes), dense or sparse; sparse columns are centred implicitly, never made dense. Components are
    those of the cells fit_rows.
    """
    n_cells, n_genes = X.shape
    n_components = settings.n_components
    if n_components == 0 and n_cells > N_EXACT and n_genes > DEFAULT_COMPONENTS:
        n_components = DEFAULT_COMPONENTS
    if n_components == 0:
        return X, "all genes"
    if not 1 <= n_components < min(X.shape):
        raise ValueError(f"n_components={n_components} is not possible: choose 0 (all genes) to {min(X.shape) - 1}")
    solver = "arpack" if sparse.issparse(X) else "randomized"
    pca = PCA(n_components, svd_solver=solver, random_state=settings.random_state).fit(X[fit_rows])
    return pca.transform(X).astype(np.float32), f"{n_components} components"


def split_rows(n_cells: int, random_state: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """70 % training, 15 % validation and 15 % test cells, seeded: their indices."""
    if n_cells < 10:
        raise ValueError(f"{n_cells} cells are too few to split into training, validation and test cells")
    train, rest = train_test_split(np.arange(n_cells), train_size=0.7, random_state=random_state)
    validation, test = train_test_split(rest, train_size=0.15 / (1 - 0.7), random_state=random_state + 1)
    return np.sort(train), np.sort(validation), np.sort(test)


def add_split(adata: ad.AnnData, random_state: int = 0) -> ad.AnnData:
    """Training, validation and test cells, as `split_rows` draws them: obs["split"]."""
    split = np.empty(adata.n_obs, dtype=object)
    for name, rows in zip(SPLITS, split_rows(adata.n_obs, random_state), strict=True):
        split[rows] = name
    adata.obs["split"] = pd.Categorical(split, categories=SPLITS)
    return adata


def prepare(source: Source, settings: Preparation) -> ad.AnnData:
    """Everything notebook 01 does: load, frequencies, split."""
    return add_split(add_frequencies(load(source, settings), settings), settings.random_state)


def torch_splits(adata: ad.AnnData, device: str = "cpu") -> tuple[CellDataset, CellDataset, CellDataset]:
    """Training, validation and test cells as torch data sets, in the order of the cells."""
    members = [np.flatnonzero(adata.obs["split"] == name) for name in SPLITS]
    return tuple(CellDataset(adata.X[rows], adata.obsm["X_freq"][rows], device) for rows in members)


def myeloid_dev_freq(
    device: str = "cpu", k_neighbors: int = 10, n_freq_comps: int = 5, random_state: int = 0
) -> tuple[ad.AnnData, CellDataset, CellDataset, CellDataset]:
    """Paul et al. 2015 myeloid progenitors with frequencies, split for training: (adata, train, val, test)."""
    settings = Preparation(k_neighbors=k_neighbors, n_freq_comps=n_freq_comps, random_state=random_state)
    adata = prepare(resolve("paul15"), settings)
    return adata, *torch_splits(adata, device)


def describe(adata: ad.AnnData) -> str:
    """One line for the reader: which data set this is, its size, and why it was taken."""
    dataset = adata.uns["dataset"]
    return f"{dataset['name']}: {adata.n_obs:,} cells x {adata.n_vars:,} genes ({dataset['reason']})"


def sample_cells(adata: ad.AnnData, max_cells: int, random_state: int = 0) -> ad.AnnData:
    """All cells, or a random sample of max_cells of them in their order, without the expression."""
    rows = np.arange(adata.n_obs)
    if adata.n_obs > max_cells:
        rows = np.sort(np.random.default_rng(random_state).choice(rows, max_cells, replace=False))
    return ad.AnnData(obs=adata.obs.iloc[rows], obsm={"X_freq": adata.obsm["X_freq"][rows]})


def layout_of_all(adata: ad.AnnData, sample: ad.AnnData, key: str) -> np.ndarray:
    """obsm[key] of a sample for all cells, (n_cells, 2); NaN for cells that are not in the sample."""
    layout = np.full((adata.n_obs, 2), np.nan)
    layout[adata.obs_names.get_indexer(sample.obs_names)] = sample.obsm[key]
    return layout
