"""Lists of genes that gene sets are sought for: both poles of modules, main effects and the correlation rival."""

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import rankdata
from sklearn.utils import gen_batches

from scripts.blocks import Matrix, dense, evenly
from scripts.errors import InputError
from scripts.models import BilinearForm
from scripts.reading import poles

GeneLists = dict[tuple[int, str, str], list[str]]  # genes of each (frequency, source, pole)
MAX_CELLS = 20_000  # whose genes are ranked
GENES_AT_A_TIME = 256  # so that their ranks stay in the processor's cache


def module_lists(modules: pd.DataFrame, n_genes: int) -> GeneLists:
    """Genes of both poles of every trusted module; of the first modules, where the table says nothing on trust.

    modules : as from modules.module_table, with or without a column `trusted`. The source of a list is "module 1
    loadings" etc.
    """
    trusted = modules["trusted"].eq(True) if "trusted" in modules else modules["module"] == 1
    chosen = modules[trusted & (modules["rank"] <= n_genes)].sort_values("rank", kind="stable")
    grouped = chosen.groupby(["frequency", "module", "pole"])["gene"]
    return {(frequency, f"module {number} loadings", pole): list(genes) for (frequency, number, pole), genes in grouped}


def end_lists(
    form: BilinearForm,
    X: Matrix,
    gene_lists: GeneLists,
    n_genes: int,
    share: float = 0.1,
) -> GeneLists:
    """Genes that mark the cells at either end of a module's axis u . x, the best first.

    Loadings u say which genes the model reads: of many that go together, perhaps a few. What a pole stands for is asked
    of the cells at its end instead: their genes are those of the largest Wilcoxon rank sum, as scanpy ranks the markers
    of a group of cells against all others.

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
    if not 0 < share <= 0.5:
        raise InputError(f"end_share={share} is not possible: choose a share of the cells up to 0.5")
    if not gene_lists:
        return {}
    X = X[evenly(X.shape[0], MAX_CELLS)]
    keys = [(frequency, f"module {source.split()[1]}", pole) for frequency, source, pole in gene_lists]
    numbers = [int(source.split()[1]) for _, source, _ in keys]
    loadings, n_end = form.modules(max(numbers))[1], max(1, int(share * X.shape[0]))
    axes = np.stack([loadings[f, :, number - 1] for number, (f, _, _) in zip(numbers, keys, strict=True)], axis=1)
    orders = np.argsort(X @ axes.astype(X.dtype), axis=0, kind="stable").T
    at_end = np.zeros((len(keys), X.shape[0]))
    for row, order, (_, _, pole) in zip(at_end, orders, keys, strict=True):
        row[order[-n_end:] if pole == "positive" else order[:n_end]] = 1
    rank_sums = []
    columns = sparse.csc_array(X) if sparse.issparse(X) else X
    for some in gen_batches(X.shape[1], GENES_AT_A_TIME):
        rank_sums.append(at_end @ rankdata(dense(columns[:, some].T), axis=1).T)
    best = np.argsort(-np.concatenate(rank_sums, axis=1), axis=1, kind="stable")[:, :n_genes]
    return {key: [form.genes[i] for i in genes] for key, genes in zip(keys, best, strict=True)}


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
