"""Whether the genes at poles come back in other cells: with the cell graph built anew, and with the graph as it is."""

from collections.abc import Sequence
from itertools import combinations

import anndata as ad
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from scripts import graph
from scripts.blocks import correlations
from scripts.cells import Preparation
from scripts.datasets import rebuilt_graphs
from scripts.errors import InputError
from scripts.measures import jaccard
from scripts.models import BilinearRidge, ProgramRidge
from scripts.parallel import side_by_side
from scripts.reading.stability import pole_jaccard, pole_sets

ANEW, SAME = "built anew", "as it is"
WEIGHTS, MODULES = "first modules, by weights", "first modules, by pattern"
PROGRAMS, PREDICTED = "programs, by pattern", "predicted branches, by pattern"
CORRELATION, BRANCHES = "correlation with frequencies", "correlation with branches"
OF_MODELS, OF_CELLS = (WEIGHTS, MODULES, PROGRAMS, PREDICTED), (CORRELATION, BRANCHES)
COLUMNS = ["graph", "method", "n_axes", "both_poles", "both_poles_sd", "positive_pole", "positive_pole_sd"]


def pole_stability(
    adata: ad.AnnData, settings: Preparation, ridge: BilinearRidge, programs: ProgramRidge, n_rebuilt: int
) -> pd.DataFrame:
    """How many genes of the poles two subsamples share, by each way to read them.

    With the graph built anew, frequencies rotate into each other, and what is read from single ones with them. A fixed
    graph hides that: the targets of the subsamples are then the same.

    Parameters
    ----------
    adata : AnnData
        As from `datasets.prepare`; with branches, as from `datasets.add_branches`, these are found anew as well.
    settings : Preparation
        That the graph was built with.
    ridge, programs : BilinearRidge, ProgramRidge
        Fitted: what they have chosen is kept, and all else found anew in each subsample.
    n_rebuilt : int
        Subsamples, as in `datasets.rebuilt_graphs`.

    Returns
    -------
    DataFrame
        graph, method, n_axes; both_poles, the mean Jaccard of the poles (25 genes each) of an axis and its partner in
        another subsample, over axes and pairs of subsamples, and its standard deviation over pairs; positive_pole, the
        same of that pole alone. Empty where no graph can be built anew: attrs["why"] says so.
    """
    y = adata.obsm["X_freq"]
    n_branching = adata.obsm["X_branches"].shape[1] - 1 if "X_branches" in adata.obsm else 0
    try:
        rebuilt = rebuilt_graphs(adata, settings, n_rebuilt, y.shape[1])
        rebuilt = [(rows, vectors) for rows, vectors in rebuilt if vectors.shape[1] == y.shape[1]]
        if len(rebuilt) < 2:
            raise InputError("graphs of some of the cells have fewer frequencies")
    except InputError as error:
        found = pd.DataFrame(columns=COLUMNS)
        found.attrs["why"] = str(error)
        return found
    targets = {ANEW: rebuilt, SAME: [(rows, y[rows]) for rows, _ in rebuilt]}

    def read(of_subsample: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return axis_genes(adata.X[of_subsample[0]], of_subsample[1], ridge, programs, n_branching)

    rows = []
    for name, subsamples in targets.items():
        read_of_each = side_by_side(read, subsamples)
        for method in read_of_each[0]:
            shared = shared_genes([weights[method] for weights in read_of_each])
            rows.append(
                (name, method, read_of_each[0][method].shape[1], *np.ravel([shared.mean(0), shared.std(0)], "F"))
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def axis_genes(
    X: np.ndarray, y: np.ndarray, ridge: BilinearRidge, programs: ProgramRidge, n_branching: int
) -> dict[str, np.ndarray]:
    """What each method says of the genes along its axes, (n_genes, n_axes); + is the end of few cells, or heavy genes.

    Parameters
    ----------
    X : (n_cells, n_genes), dense or sparse
    y : (n_cells, n_freq)
    ridge, programs : BilinearRidge, ProgramRidge
        Fitted to other cells or targets.
    n_branching : int
        Leading frequencies whose space has branches; 0: there are none.
    """
    form = ridge.refit(X, y).form([str(gene) for gene in range(X.shape[1])])
    loadings = form.modules(1)[1][:, :, 0].T
    scores = {MODULES: _to_the_tail(X @ loadings), PROGRAMS: programs.again(X, y), CORRELATION: y}
    if n_branching:
        branches = graph.branches(y, n_branching)
        scores[PREDICTED] = form.combined(branches.weights.T, branches.constant).predict(X)
        scores[BRANCHES] = branches.coordinates
    patterns = correlations(X, np.hstack(list(scores.values())))
    ends = np.cumsum([of_axes.shape[1] for of_axes in scores.values()])[:-1]
    return {WEIGHTS: loadings, **dict(zip(scores, np.split(patterns, ends, axis=1), strict=True))}


def _to_the_tail(scores: np.ndarray) -> np.ndarray:
    """Scores turned so that their third moment is positive; (n_cells, n_axes)."""
    return scores * np.where(((scores - scores.mean(axis=0)) ** 3).sum(axis=0) < 0, -1.0, 1.0)


def shared_genes(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Mean Jaccard of both poles, and of the positive one, of partners, for each pair of subsamples, (n_pairs, 2).

    Partners are assigned for the largest total; weights : of each subsample, (n_genes, n_axes).
    """
    poles, result = [pole_sets(of_axes) for of_axes in weights], []
    for first, second in combinations(poles, 2):
        both = np.array([[pole_jaccard(a, b) for b in second] for a in first])
        positive = np.array([[jaccard(a[0], b[0]) for b in second] for a in first])
        result.append([table[linear_sum_assignment(-table)].mean() for table in (both, positive)])
    return np.array(result)
