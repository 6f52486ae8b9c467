"""Whether the genes at poles come back in other cells: with the graph as it is, and with the cell graph built anew."""

from collections.abc import Callable, Sequence
from itertools import combinations

import anndata as ad
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from sklearn.model_selection import train_test_split

from scripts import graph
from scripts.blocks import along, correlations
from scripts.cells import MIN_SPLIT, CellDataset, Preparation, donors_of, smooth_fields, subsamples
from scripts.datasets import rebuilt_graphs
from scripts.errors import InputError
from scripts.models import BilinearForm, BilinearRidge, Model, ProgramRidge
from scripts.parallel import side_by_side
from scripts.reading.modules import patterns
from scripts.reading.stability import pole_jaccards

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
    for name, of_graph in targets.items():
        read_of_each = side_by_side(read, of_graph)
        for method in read_of_each[0]:
            shared = shared_genes([weights[method] for weights in read_of_each])
            rows.append(
                (name, method, read_of_each[0][method].shape[1], *np.ravel([shared.mean(0), shared.std(0)], "F"))
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def axis_genes(
    X: np.ndarray, y: np.ndarray, ridge: BilinearRidge, programs: ProgramRidge, n_branching: int
) -> dict[str, np.ndarray]:
    """What each method says of the genes along its axes, (n_genes, n_axes).

    Parameters
    ----------
    The positive pole of a module is the high end of its frequency, that of a program the end of few cells.

    X : (n_cells, n_genes), dense or sparse
    y : (n_cells, n_freq)
    ridge, programs : BilinearRidge, ProgramRidge
        Fitted to other cells or targets.
    n_branching : int
        Leading frequencies whose space has branches; 0: there are none.
    """
    form = ridge.refit(X, y).form([str(gene) for gene in range(X.shape[1])]).turned(X, y)
    loadings = form.modules(1)[1][:, :, 0].T
    scores = {MODULES: along(X, loadings), PROGRAMS: programs.again(X, y), CORRELATION: y}
    if n_branching:
        branches = graph.branches(y, n_branching)
        scores[PREDICTED] = form.combined(branches.weights.T, branches.constant).predict(X)
        scores[BRANCHES] = branches.coordinates
    found = correlations(X, np.hstack(list(scores.values())))
    ends = np.cumsum([of_axes.shape[1] for of_axes in scores.values()])[:-1]
    return {WEIGHTS: loadings, **dict(zip(scores, np.split(found, ends, axis=1), strict=True))}


def shared_genes(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Mean Jaccard of both poles, and of the positive one, of partners, for each pair of subsamples, (n_pairs, 2).

    Partners are assigned for the largest total; weights : of each subsample, (n_genes, n_axes).
    """
    result = []
    for first, second in combinations(weights, 2):
        result.append([table[linear_sum_assignment(-table)].mean() for table in pole_jaccards(first, second)])
    return np.array(result)


def patterns_of_subsamples(forms: list[BilinearForm], train: CellDataset) -> list[np.ndarray]:
    """Patterns of modules in the cells that each form was fitted to; forms : as from evaluation.forms_of_subsamples."""
    found = zip(forms, subsamples(train, len(forms)), strict=True)
    return side_by_side(lambda fit: patterns(fit[0], train.some(fit[1]).arrays()[0]), list(found))


def patterns_of_fields(make: Callable[[], Model], adata: ad.AnnData, random_state: int = 0) -> np.ndarray:
    """Patterns of modules in a fit to random smooth fields on the cells' own graph, as many as there are frequencies.

    Such targets have all but a scale of the tissue: that modules of the frequencies come back is to be held against how
    often these do. make, adata : as for `patterns_anew`, with a split. Returns (n_freq, n_genes, n_modules), of the
    training cells.
    """
    train = np.flatnonzero(adata.obs["split"] == "train")
    n_freq, random = adata.obsm["X_freq"].shape[1], np.random.default_rng(random_state)
    fields = smooth_fields(adata.obsp["connectivities"], n_freq, random)
    return fitted_patterns(make, CellDataset(adata.X, fields[train], rows=train))


def patterns_of_donors(make: Callable[[], Model], adata: ad.AnnData) -> dict[str, np.ndarray]:
    """Patterns of modules in fits to one donor each, of those with enough cells; empty where donors are not known.

    make : gives a new model; adata : AnnData with frequencies and X as the model sees it.
    """
    donors = donors_of(adata)
    if donors is None:
        return {}
    sizes = donors.value_counts(sort=False)
    names = [name for name in donors.cat.categories if sizes[name] >= MIN_SPLIT]

    def fit(name: str) -> np.ndarray:
        rows = np.flatnonzero(donors == name)
        return fitted_patterns(make, CellDataset(adata.X, adata.obsm["X_freq"][rows], rows=rows))

    return dict(zip(map(str, names), side_by_side(fit, names), strict=True))


def patterns_anew(
    make: Callable[[], Model], adata: ad.AnnData, settings: Preparation, n_rebuilt: int
) -> list[np.ndarray]:
    """Patterns of modules where graph, frequencies and model are found anew without some cells.

    make, adata : as for `patterns_of_donors`; settings, n_rebuilt : as for `datasets.rebuilt_graphs`. Empty where no
    graph can be built anew; graphs with fewer frequencies than the cells have are left out.
    """
    n_freq = adata.obsm["X_freq"].shape[1]
    try:
        rebuilt = rebuilt_graphs(adata, settings, n_rebuilt, n_freq)
    except InputError:
        return []
    rebuilt = [(rows, vectors) for rows, vectors in rebuilt if vectors.shape[1] == n_freq]
    cells = [CellDataset(adata.X, vectors, rows=rows) for rows, vectors in rebuilt]
    return side_by_side(lambda number: fitted_patterns(make, cells[number]), range(len(cells)))  # which share X


def fitted_patterns(make: Callable[[], Model], cells: CellDataset) -> np.ndarray:
    """Patterns of modules of a new model, as from modules.patterns; a fifth of the cells choose its penalties.

    make : gives a new model.
    """
    parts = train_test_split(np.arange(len(cells)), train_size=0.8, random_state=0)
    model, (train, val) = make(), (cells.some(np.sort(part)) for part in parts)
    model.fit(train, val)
    return patterns(model.form([str(gene) for gene in range(cells.n_genes)]), train.arrays()[0])
