"""The methods by name, and the genes that each names for each frequency."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from scripts.blocks import correlations
from scripts.errors import one_line
from scripts.measures import ends, strongest
from scripts.models import BilinearForm
from scripts.rankings.components import by_components, principal_components
from scripts.rankings.dependence import mutual_information, product_correlations
from scripts.rankings.laplacian import laplacian_scores
from scripts.rankings.packages import CNMF, HAYSTACK, HOTSPOT, PACKAGES
from scripts.rankings.pursuit import form_targets, greedy
from scripts.rankings.training import TrainingCells
from scripts.reading import patterns

PANEL, MODULE, MODULES, MAIN = "bilinear panel", "first module", "all modules", "main effects"
LINEAR, CORRELATION, INFORMATION = "linear panel", "correlation", "mutual information"
PRODUCTS, PCA, LAPLACIAN, RANDOM = "correlation of products", "PCA", "multiscale Laplacian score", "random genes"
BILINEAR = (PANEL, MODULE, MODULES, MAIN)  # those that read the bilinear form
GROUPS = {
    "bilinear model": BILINEAR,
    "genes against the frequency": (LINEAR, CORRELATION, INFORMATION, PRODUCTS),
    "components and neighbourhoods": (PCA, LAPLACIAN, HOTSPOT, CNMF, HAYSTACK),
}
METHODS = (*(method for group in GROUPS.values() for method in group), RANDOM)
ONE_LIST = (LAPLACIAN, HOTSPOT, HAYSTACK)  # the same genes for all frequencies
N_PAIRED = 500  # screened genes whose products are formed

Orders = list[np.ndarray]  # of each frequency: indices of genes, the most important first


@dataclass(frozen=True)
class Ranking:
    """What each method names, from the same training cells.

    Attributes
    ----------
    orders : {(method, frequency): (n_named,) int}
        Genes, the most important first; methods in the order of METHODS.
    seconds : {method: float}
        Of a core, without what several methods share.
    left_out : {method: str}
        Packages that could not rank these genes, and why.
    """

    orders: dict[tuple[str, int], np.ndarray]
    seconds: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def rank_genes(
    form: BilinearForm, cells: TrainingCells, n_genes: int, random_state: int = 0, packages: tuple[str, ...] = ()
) -> Ranking:
    """The genes that each method names for each frequency.

    Parameters
    ----------
    form : BilinearForm
        Fitted to the same training cells.
    cells : TrainingCells
    n_genes : int
        How many each names.
    random_state : int
        Seed of the random genes.
    packages : tuple of str
        Which of PACKAGES are asked, too; one that fails on these cells is left out.
    """
    orders, seconds, left_out = {}, {}, {}
    _ = cells.gram  # what several methods share is no one's time
    for method, rank in OWN.items():
        start = time.thread_time()
        orders[method] = rank(form, cells, n_genes)
        seconds[method] = time.thread_time() - start
    for method in packages:
        start = time.thread_time()
        try:
            scores = np.nan_to_num(PACKAGES[method][2](cells), nan=-np.inf)
        except MemoryError:  # which says nothing of the package
            raise
        except Exception as problem:  # of others' code, on cells that nobody has tried it on: it is not our judgement
            left_out[method] = one_line(problem) or type(problem).__name__
            continue
        orders[method] = _largest(scores, n_genes, form.n_freq)
        seconds[method] = time.thread_time() - start
    random = np.random.default_rng(random_state)
    orders[RANDOM] = [random.permutation(cells.X.shape[1])[:n_genes] for _ in range(form.n_freq)]
    by_key = {(method, f): orders[method][f] for method in METHODS if method in orders for f in range(form.n_freq)}
    return Ranking(by_key, seconds, left_out)


def _rebuild(cells: TrainingCells, targets: np.ndarray, n_genes: int) -> np.ndarray:
    cross = cells.known.T @ targets.astype(cells.known.dtype)
    return cells.screened[greedy(cells.gram, cross.astype(np.float64), n_genes)]


def _both_poles(loading: np.ndarray, n_genes: int) -> np.ndarray:
    """Half of the genes from each pole, in turns."""
    turns = np.column_stack(ends(loading)).ravel()
    return turns[np.sort(np.unique(turns, return_index=True)[1])][:n_genes]


def _largest(scores: np.ndarray, n_genes: int, n_freq: int) -> Orders:
    """Genes of the largest scores, (n_genes, n_freq), or (n_genes, 1) where all frequencies have the same."""
    return [ends(column, n_genes)[0] for column in np.broadcast_to(scores, (len(scores), n_freq)).T]


def _bilinear_panel(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    return [_rebuild(cells, form_targets(form, cells.X, f), n_genes) for f in range(form.n_freq)]


def _first_module(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    return [_both_poles(of_f[:, 0], n_genes) for of_f in patterns(form, cells.X, 1)]


def _all_modules(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    """The largest rows of B_f, read from the core, as the basis is orthonormal."""
    rows = [np.linalg.norm(form.basis @ core, axis=1) for core in form.core]
    return [strongest(of_f * cells.expression.deviation, n_genes) for of_f in rows]


def _main_effects(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    return [strongest(of_f * cells.expression.deviation, n_genes) for of_f in form.main]


def _linear_panel(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    return [_rebuild(cells, cells.y[:, [f]], n_genes) for f in range(form.n_freq)]


def _of_screened(scores: np.ndarray, form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    return [cells.screened[order] for order in _largest(scores, n_genes, form.n_freq)]


def _correlation(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    return _of_screened(np.abs(correlations(cells.known, cells.y)), form, cells, n_genes)


def _information(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    return _of_screened(mutual_information(cells.known, cells.y), form, cells, n_genes)


def _products(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    y = cells.y - cells.y.mean(axis=0)
    return _of_screened(product_correlations(cells.known[:, :N_PAIRED], y), form, cells, n_genes)


def _pca(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    scores = by_components(*principal_components(cells.expression.scaled(cells.X)), cells.y)
    return _largest(scores, n_genes, form.n_freq)


def _laplacian(form: BilinearForm, cells: TrainingCells, n_genes: int) -> Orders:
    return _of_screened(-laplacian_scores(cells.adjacency, cells.known).mean(axis=0)[:, None], form, cells, n_genes)


OWN: dict[str, Callable[[BilinearForm, TrainingCells, int], Orders]] = {
    PANEL: _bilinear_panel,
    MODULE: _first_module,
    MODULES: _all_modules,
    MAIN: _main_effects,
    LINEAR: _linear_panel,
    CORRELATION: _correlation,
    INFORMATION: _information,
    PRODUCTS: _products,
    PCA: _pca,
    LAPLACIAN: _laplacian,
}
