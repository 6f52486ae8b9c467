"""Lists of genes that gene sets are sought for: both poles of modules, main effects and the correlation rival."""

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata
from sklearn.utils import gen_batches

from scripts.blocks import Matrix, dense, evenly
from scripts.errors import InputError
from scripts.models import BilinearForm
from scripts.programs import Programs
from scripts.reading import poles

GeneLists = dict[tuple[int, str, str], list[str]]  # genes of each (frequency, source, pole)
MAX_CELLS = 20_000  # whose genes are ranked
GENES_AT_A_TIME = 256  # so that their ranks stay in the processor's cache


def module_lists(modules: pd.DataFrame, n_genes: int) -> GeneLists:
    """Genes of both poles of every trusted module, of those with the same axis the first alone.

    modules : as from modules.module_table, of modules that are judged. The source of a list is "module 1 pattern" etc.
    """
    read = modules["trusted"].eq(True) & modules["repeats"].isna()
    chosen = modules[read & (modules["rank"] <= n_genes)].sort_values("rank", kind="stable")
    grouped = chosen.groupby(["frequency", "module", "pole"])["gene"]
    return {(frequency, f"module {number} pattern", pole): list(genes) for (frequency, number, pole), genes in grouped}


def end_lists(
    form: BilinearForm,
    X: Matrix,
    gene_lists: GeneLists,
    n_genes: int,
    share: float = 0.1,
) -> GeneLists:
    """Genes that mark the cells at either end of a module's axis u . x, the best first.

    A pattern goes by all cells along the axis. What a pole stands for is asked of the cells at its end; see
    `markers_of_ends`.

    Parameters
    ----------
    form : BilinearForm
    X : (n_cells, n_genes) array or sparse matrix
        At most 20,000 cells are looked at.
    gene_lists : GeneLists
        As from module_lists: the modules and poles to read.
    n_genes : int
    share : float
        Of the cells that are an end, up to 0.5.

    Returns
    -------
    GeneLists
        The source of a list is "module 1" etc.
    """
    if not gene_lists:
        return {}
    X = X[evenly(X.shape[0], MAX_CELLS)]
    read = list(dict.fromkeys(_module_of(key) for key in gene_lists))
    best = markers_of_ends(X, _axes(form, X, read), n_genes, share)
    return {
        (frequency, f"module {number}", pole): [form.genes[i] for i in best[pole][read.index((frequency, number))]]
        for (_, _, pole), (frequency, number) in zip(gene_lists, map(_module_of, gene_lists), strict=True)
    }


def markers_of_ends(X: Matrix, axes: np.ndarray, n_genes: int, share: float) -> dict[str, np.ndarray]:
    """Genes of the largest Wilcoxon rank sum, as scanpy ranks the markers of a group of cells against all others.

    X : (n_cells, n_genes); axes : (n_cells, n_axes), whose outer shares of the cells are the groups. Returns the places
    of the genes, the best first, of each pole's ends: {"positive": (n_axes, n_genes), "negative": the same}.
    """
    if not 0 < share <= 0.5:
        raise InputError(f"end_share={share} is not possible: choose a share of the cells up to 0.5")
    n_axes, n_end = axes.shape[1], max(1, int(share * len(axes)))
    at_end = np.zeros((2 * n_axes, len(axes)))
    for number, order in enumerate(np.argsort(axes, axis=0, kind="stable").T):
        at_end[number, order[-n_end:]] = 1
        at_end[n_axes + number, order[:n_end]] = 1
    rank_sums = []
    columns = sparse.csc_array(X) if sparse.issparse(X) else X
    for some in gen_batches(X.shape[1], GENES_AT_A_TIME):
        rank_sums.append(at_end @ rankdata(dense(columns[:, some].T), axis=1).T)
    best = np.argsort(-np.concatenate(rank_sums, axis=1), axis=1, kind="stable")[:, :n_genes]
    return {"positive": best[:n_axes], "negative": best[n_axes:]}


def axis_lists(X: Matrix, axes: np.ndarray, genes: list[str], n_genes: int, share: float, source: str) -> GeneLists:
    """Genes that mark the cells at either end of each axis; see `markers_of_ends`.

    X : (n_cells, n_genes); axes : (n_cells, n_axes); genes : their names. The source of a list is "program 1" etc.
    where that is "program", its frequency 0.
    """
    best = markers_of_ends(X, axes, n_genes, share)
    return {
        (0, f"{source} {number}", pole): [genes[i] for i in places]
        for number, of_axis in enumerate(zip(*best.values(), strict=True), start=1)
        for pole, places in zip(best, of_axis, strict=True)
    }


def program_lists(fitted: Programs | None, X: Matrix, genes: list[str], n_genes: int, share: float = 0.1) -> GeneLists:
    """`axis_lists` of programs, of cells that they were not fitted to; no list where there is no program.

    fitted : as from programs.fit_programs; X : (n_cells, n_genes) of all cells.
    """
    if fitted is None:
        return {}
    rows = fitted.other[evenly(len(fitted.other), MAX_CELLS)]
    return axis_lists(X[rows], fitted.t[rows], genes, n_genes, share, "program")


def axis_correlations(modules: pd.DataFrame, gene_lists: GeneLists) -> pd.Series:
    """Correlation of each module's axis u . x with its frequency, by (frequency, number of the module).

    modules : as from reading.module_table, of modules that are judged; gene_lists : as from module_lists or end_lists.
    """
    read = list(dict.fromkeys(_module_of(key) for key in gene_lists))
    index = pd.MultiIndex.from_tuples(read, names=["frequency", "module"]) if read else []
    return modules.groupby(["frequency", "module"])["axis_correlation"].first().reindex(index)


def of_their_frequency(gene_lists: GeneLists, correlations: pd.Series, least: float = 0.3) -> GeneLists:
    """Lists of modules that are about their frequency: the axis is correlated with it by `least` or more.

    The others bend a frequency within its branches: their genes do not tell its ends apart. correlations : as from
    axis_correlations.
    """
    return {key: genes for key, genes in gene_lists.items() if abs(correlations[_module_of(key)]) >= least}


def _module_of(key: tuple[int, str, str]) -> tuple[int, int]:
    """Frequency and number of the module that a list is of."""
    return key[0], int(key[1].split()[1])


def _axes(form: BilinearForm, X: Matrix, read: list[tuple[int, int]]) -> np.ndarray:
    """Axes u . x of some modules, (n_cells, n_modules); read : their frequencies and numbers."""
    loadings = form.modules(max(number for _, number in read))[1]
    return np.asarray(X @ np.stack([loadings[f, :, number - 1] for f, number in read], axis=1).astype(X.dtype))


def pole_lists(weights: np.ndarray, genes: list[str], n_genes: int, source: str) -> GeneLists:
    """Genes of largest positive and of largest negative weight; poles without genes are left out.

    weights : (n_genes_in_all, n_freq), such as correlations or main effects; source : what they are.
    """
    both = {frequency: poles(column, n_genes) for frequency, column in enumerate(weights.T)}
    return {
        (f, source, pole): [genes[i] for i in places]
        for f, found in both.items()
        for pole, places in found.items()
        if len(places)
    }
