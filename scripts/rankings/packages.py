"""Rivals that are packages of others, used where they are installed (`pip install -e .[rivals]`).

Each is run with its own defaults where it has any, once for all frequencies. None is asked for a single frequency.
"""

import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
from scipy import sparse

from scripts.blocks import cells_with
from scripts.errors import InputError
from scripts.rankings.components import by_components
from scripts.rankings.training import TrainingCells

HOTSPOT, CNMF, HAYSTACK = "Hotspot", "cNMF", "singleCellHaystack"
N_NEIGHBORS = 30  # of Hotspot's graph
N_PROGRAMS, N_FITS = 10, 10  # of cNMF, which asks for a number of programs; fits that its consensus is of
N_CELLS_WITH = 3  # cells in which cNMF wants to see a gene
N_GRID = 100  # points at which singleCellHaystack takes densities


def hotspot(cells: TrainingCells) -> np.ndarray:
    """Autocorrelation Z of each gene's counts in the space of the frequencies.

    Returns (n_genes, 1); genes of constant counts stand last.
    """
    counts = _counts(cells, HOTSPOT)
    search, varies = hotspot_search(counts, cells.y)
    z = search.compute_autocorrelations()["Z"]
    scores = np.full((counts.shape[1], 1), -np.inf)
    scores[varies[z.index.astype(int)], 0] = z
    return scores


def hotspot_search(counts: sparse.csr_array, latent: np.ndarray) -> tuple[Any, np.ndarray]:
    """Hotspot with its graph of neighbours, and the genes that it is asked about: those that vary.

    DeTomaso & Yosef, Cell Syst 12, 446 (2021).

    Parameters
    ----------
    counts : (n_cells, n_genes)
    latent : (n_cells, n_dimensions)
        The space in which cells are neighbours, each dimension taken to variance 1.

    Returns
    -------
    hotspot.Hotspot, (n_asked,) int
        It knows the genes as "0", "1" and so on, by their place among those asked about.
    """
    counts = sparse.csc_matrix(counts, dtype=np.float64)
    varies = np.flatnonzero(np.ptp(np.vstack([counts.max(axis=0).toarray(), counts.min(axis=0).toarray()]), axis=0))
    adata = ad.AnnData(counts[:, varies], obsm={"latent": _unit(latent)})
    adata.obs["depth"] = np.asarray(counts.sum(axis=1)).ravel()
    search = import_module("hotspot").Hotspot(adata, model="danb", latent_obsm_key="latent", umi_counts_obs_key="depth")
    search.create_knn_graph(n_neighbors=min(N_NEIGHBORS, adata.n_obs - 1), approx_neighbors=False)
    return search, varies


def cnmf(cells: TrainingCells) -> np.ndarray:
    """Positive gene scores of consensus NMF programs, weighted by what each program's usage says of a frequency.

    Returns (n_genes, n_freq); genes that it leaves out have 0.
    """
    return by_components(*cnmf_programs(_counts(cells, CNMF)), cells.y)


def cnmf_programs(counts: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Consensus NMF (Kotliar et al., eLife 8, e43803, 2019).

    counts : (n_cells, n_genes). Returns usage (n_cells, N_PROGRAMS), and positive gene scores (n_genes, N_PROGRAMS), 0
    of genes that it leaves out.
    """
    seen = np.flatnonzero(cells_with(counts) >= N_CELLS_WITH)
    adata = ad.AnnData(sparse.csr_matrix(counts[:, seen], dtype=np.float64))
    settings = {"k": N_PROGRAMS, "density_threshold": 2.0}  # 2: no fit is left out
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "counts.h5ad"
        adata.write_h5ad(path)
        run = import_module("cnmf").cNMF(output_dir=folder, name="run")
        run.prepare(str(path), components=[N_PROGRAMS], n_iter=N_FITS, seed=0)
        run.factorize()
        run.combine()
        run.consensus(**settings, show_clustering=False)
        usage, scores, *_ = run.load_results(N_PROGRAMS, settings["density_threshold"])
    loadings = np.zeros((counts.shape[1], scores.shape[1]))
    loadings[seen[scores.index.astype(int)]] = np.nan_to_num(np.maximum(scores.to_numpy(), 0))
    return usage.to_numpy(), loadings


def haystack(cells: TrainingCells) -> np.ndarray:
    """Minus log p of each gene's divergence from the cells' density in the space of the frequencies; (n_genes, 1).

    Vandenbon & Diez, Nat Commun 11, 4318 (2020). Expression is taken from each gene's smallest value: its scale does
    not matter. Genes of constant expression stand last.
    """
    if isinstance(cells.X, np.ndarray):
        expression = cells.X.astype(np.float64) - cells.X.min(axis=0)
    else:
        expression = sparse.csr_matrix(cells.X, dtype=np.float64)
    n_points = min(N_GRID, len(cells.y))
    search = import_module("singleCellHaystack").haystack
    found = search(expression, _unit(cells.y), ngrid_points=n_points, random_state=0, verbose=False).result
    scores = np.full((cells.X.shape[1], 1), -np.inf)
    scores[found["gene"].to_numpy(dtype=int), 0] = -found["logpval"]
    return scores


PACKAGES: dict[str, tuple[str, str, Callable[[TrainingCells], np.ndarray]]] = {  # distribution, module, scores
    HOTSPOT: ("hotspotsc", "hotspot", hotspot),
    CNMF: ("cnmf", "cnmf", cnmf),
    HAYSTACK: ("singleCellHaystack", "singleCellHaystack", haystack),
}


def installed() -> tuple[str, ...]:
    """Rivals whose package is installed."""
    return tuple(name for name, (_, module, _) in PACKAGES.items() if find_spec(module))


def missing() -> list[str]:
    """Rivals whose package is not installed, each with its distribution."""
    return [f"{name} ({package})" for name, (package, *_) in PACKAGES.items() if name not in installed()]


@contextmanager
def quiet() -> Iterator[None]:
    """Within, what packages print and warn of is not shown."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _counts(cells: TrainingCells, name: str) -> sparse.csr_array:
    if cells.counts is None:
        raise InputError(f"{name} needs counts, which are not known of these cells: name a file with counts")
    return cells.counts


def _unit(y: np.ndarray) -> np.ndarray:
    deviation = y.std(axis=0)
    return y / np.where(deviation > 0, deviation, 1)
