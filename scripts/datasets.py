"""From a data set's name or a file to training data: normalised cells with frequencies, splits and torch data sets."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scripts import graph
from scripts.blocks import Matrix, Standard, is_lazy
from scripts.cells import (
    COVARIATES,
    LOGS,
    N_SCALES,
    CellDataset,
    Preparation,
    add_split,
    donors_of,
    graph_features,
    labels_of,
    leave_out,
    load,
    n_of_graph,
    name_in_file,
    named_parts,
    scaled,
    some_cells,
    stays_sparse,
    subsamples,
    torch_splits,
)
from scripts.errors import InputError
from scripts.parallel import side_by_side
from scripts.regression import explained_by_chance, regress_out
from scripts.sources import Source, resolve

OTHER_K, OTHER_COMPONENTS = (5, 7, 10, 15, 20, 30), 50  # that graphs are built with to see what comes back
N_KEPT, LEAST_KEPT, N_ANEW = 5, 2, 5  # frequencies kept where none is known to come back, and at least; graphs anew
MORE_SCALES = 5  # frequencies that are looked for in graphs built anew beside those kept; N_SCALES at least
FURTHER = "X_freq_further"  # key of obsm with all that are looked for; in uns what is known of them


def add_frequencies(adata: ad.AnnData, settings: Preparation) -> ad.AnnData:
    """Cell graph and frequencies of all cells, in scanpy's places.

    Returns
    -------
    AnnData
        With obsp["connectivities"] (n_cells, n_cells), obsm["X_freq"] (n_cells, n_freq), the same as obs["freq_0"] and
        so on, to colour cells by, uns["freq_vals"] (n_freq,), and in uns["graph"] what the graph was built on, its
        parts, and on how many cells each frequency lives; without what covariates explain of the frequencies, where
        expression was regressed on some; fewer cells than given if the graph fell into parts and settings.unconnected
        is "largest".

    Raises
    ------
    InputError
        If the graph falls into parts, and settings.unconnected is "error"; the message says which cells they are.
    """
    for name, known in (("unconnected", ("error", "largest")), ("laplacian", ("unnormalized", "normalized"))):
        if getattr(settings, name) not in known:
            raise InputError(f"{name}={getattr(settings, name)!r} is not known: choose {' or '.join(map(repr, known))}")
    adjacency, basis, recall = _cell_graph(adata, settings)
    part = graph.part_of_cells(adjacency)
    if part.any() and settings.unconnected == "error":
        raise InputError(
            f"the cell graph falls into {part.max() + 1} parts: {named_parts(adata, part)}; raise k_neighbors, keep "
            "the largest part (unconnected: largest), or name what parts them (batch: a column of obs)"
        )
    adata = leave_out(adata, {"outside the largest part of the graph": part > 0})
    adjacency = adjacency[part == 0][:, part == 0]
    adata.obsp["connectivities"] = sparse.csr_matrix(adjacency)
    adata.obsm.pop(FURTHER, None)  # of another graph
    adata.uns.pop("graph", None)
    n_kept = settings.n_freq_comps or _as_many_as_come_back(adata, settings)
    values, vectors, solver = _leading(adata, settings, n_kept)
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "params": {"n_neighbors": settings.k_neighbors, "metric": settings.metric, "method": settings.graph_weights},
    }
    adata.obsm["X_freq"] = vectors
    adata.uns["freq_vals"] = values
    adata.uns["graph"] = {
        "built on": basis,
        "parts": np.bincount(part),
        "recall": recall,
        "solver": solver,
        "residuals": graph.residuals(graph.laplacian(adjacency, settings.laplacian == "normalized"), values, vectors),
        "participation": graph.participation(vectors),
    }
    if COVARIATES in adata.obsm:
        _regress(adata)
    adata.obs[[f"freq_{f}" for f in range(len(values))]] = adata.obsm["X_freq"]
    return adata


def _leading(adata: ad.AnnData, settings: Preparation, n_freq: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Frequencies of the graph in obsp, or the first of those that are known already; as from frequencies_by."""
    if FURTHER in adata.obsm and adata.obsm[FURTHER].shape[1] >= n_freq:
        known = adata.uns[FURTHER]
        return known["values"][:n_freq], adata.obsm[FURTHER][:, :n_freq], known["solver"]
    if "graph" in adata.uns and n_of_graph(adata) > adata.n_obs:  # its own graph is not that of the frequencies
        raise InputError(f"{n_freq} frequencies of the graph of all cells did not converge: set fewer n_freq_comps")
    edges = sparse.csr_array(adata.obsp["connectivities"])
    return graph.frequencies_by(edges, n_freq, settings.laplacian == "normalized")


def further(adata: ad.AnnData, settings: Preparation, n_freq: int) -> np.ndarray:
    """The leading frequencies, maybe more than are kept, less what covariates explain of them; (n_cells, n_freq).

    Where they are not in obsm["X_freq_further"] yet, they get there: a sample of the cells knows those of the graph of
    all. adata : AnnData with a graph.
    """
    values, vectors, solver = _leading(adata, settings, n_freq)
    if FURTHER not in adata.obsm or adata.obsm[FURTHER].shape[1] < n_freq:
        adata.obsm[FURTHER] = vectors
        adata.uns[FURTHER] = {"values": values, "solver": solver, "participation": graph.participation(vectors)}
    return regress_out(vectors, adata.obsm[COVARIATES]) if COVARIATES in adata.obsm else vectors


def judged(adata: ad.AnnData, settings: Preparation) -> ad.AnnData:
    """The cells that models, pairs, panels and terms are fitted to and judged on, with their split.

    All cells, or of more than settings.max_judged_cells a random sample: it has the frequencies of the graph of all,
    more of them than are kept in obsm["X_freq_further"], and in obsp the graph of its own cells, by the same recipe.

    adata : AnnData, as from `add_frequencies`; its obs["split"] is NaN for cells that are not in the sample.
    """
    n_cells = adata.n_obs
    if not 0 < settings.max_judged_cells < n_cells:
        return add_split(adata, settings.random_state)
    with contextlib.suppress(InputError):  # where more than are kept do not converge, it is not known what comes back
        further(adata, settings, _n_looked_for(adata.obsm["X_freq"].shape[1]))
    said = (
        f"The graph and its frequencies are those of all {n_cells:,} cells; models, pairs, panels and terms are "
        f"fitted to and judged on {settings.max_judged_cells:,} of them, drawn at random (max_judged_cells)."
    )
    adata.uns["dataset"]["said"] = np.append(adata.uns["dataset"]["said"], said)
    rows = _at_most(settings.max_judged_cells, np.arange(n_cells), settings.random_state)
    some = some_cells(adata, rows, in_memory=True)
    some.uns["dataset"]["sparse"] = stays_sparse(some)
    if not settings.use_graph:
        found = _neighbors(graph_features(some, settings)[0], settings)
        some.obsp["connectivities"] = sparse.csr_matrix(graph.adjacency(found, settings.graph_weights))
    some = add_split(some, settings.random_state)
    adata.obs["split"] = some.obs["split"].reindex(adata.obs_names)
    return some


def _n_looked_for(n_kept: int) -> int:
    return max(N_SCALES, n_kept + MORE_SCALES)


def _as_many_as_come_back(adata: ad.AnnData, settings: Preparation) -> int:
    """How many frequencies to keep where no number is set, and say why; adata : AnnData with a graph."""
    table = scale_table(adata, settings, N_ANEW)
    n = graph.n_to_keep(table["comes_back"].to_numpy(bool), LEAST_KEPT)
    kept = max(n, LEAST_KEPT) if n else N_KEPT
    if n:
        why = f"the first {n} of {len(table)} come back" if n > 1 else "the first alone comes back"
        why += " in graphs built anew without some cells"
    else:
        why = table.attrs.get("why", "no number of them comes back where the graph is built anew")
    said = f"As no number is set (n_freq_comps is 0), {kept} frequencies are kept: {why}."
    adata.uns["dataset"]["said"] = np.append(adata.uns["dataset"]["said"], said)
    return kept


def _regress(adata: ad.AnnData) -> None:
    """Take out of the frequencies what the covariates explain of them, in place, and say how much that is."""
    vectors, covariates = adata.obsm["X_freq"], adata.obsm[COVARIATES]
    adata.obsm["X_freq"] = regress_out(vectors, covariates)
    shares = ", ".join(f"{share:.1%}" for share in 1 - adata.obsm["X_freq"].var(axis=0) / vectors.var(axis=0))
    chance = f"{explained_by_chance(covariates):.1%} would be by chance"
    said = f"So are the frequencies, from 0 on: {shares} of their variance is taken out ({chance})."
    adata.uns["dataset"]["said"] = np.append(adata.uns["dataset"]["said"], said)


def _cell_graph(adata: ad.AnnData, settings: Preparation) -> tuple[sparse.csr_array, str, float]:
    """Adjacency (n_cells, n_cells), what it was built on, and the share of true neighbours in it."""
    if settings.use_graph:
        return _given_graph(adata, settings.use_graph), f"obsp[{settings.use_graph!r}]", 1.0
    X, basis = graph_features(adata, settings)
    is_own = X is not adata.X
    seed = settings.random_state
    with _without_scaled(adata) if is_own else contextlib.nullcontext():
        found = graph.nearest_neighbors(X, settings.k_neighbors, settings.metric, None, seed, overwrite=is_own)
        adjacency, recall = graph.adjacency(found, settings.graph_weights), found.recall
        del X, found  # with the lists that were searched
    return adjacency, basis, recall


@contextlib.contextmanager
def _without_scaled(adata: ad.AnnData) -> Iterator[None]:
    """Within, X of sparse cells is their logarithms: scaled genes of all cells are gigabytes, and made in seconds."""
    are_dropped = sparse.issparse(adata.X) and LOGS in adata.layers
    if are_dropped:
        adata.X = adata.layers[LOGS]
    try:
        yield
    finally:
        if are_dropped:
            scaled(adata)


def _given_graph(adata: ad.AnnData, key: str) -> sparse.csr_array:
    """A graph that came with the cells, without the edges of cells to themselves, and the same both ways."""
    place = name_in_file("obsp", key)
    if place not in adata.obsp:
        raise InputError(f"{adata.uns['dataset']['name']} has no obsp[{key!r}]: it has {sorted(adata.obsp) or 'none'}")
    weights = sparse.csr_array(adata.obsp[place], dtype=np.float64, copy=True)
    if not (np.isfinite(weights.data).all() and (weights.data >= 0).all()):
        raise InputError(f"obsp[{key!r}] holds weights that are negative or not finite: name a graph of similarities")
    weights.setdiag(0)
    weights.eliminate_zeros()
    return sparse.csr_array(weights.maximum(weights.T))


def scale_table(
    adata: ad.AnnData, settings: Preparation, n_rebuilt: int, depth: np.ndarray | None = None
) -> pd.DataFrame:
    """Which frequencies come back where genes, components, neighbours and frequencies are found anew without a fifth.

    Parameters
    ----------
    adata : AnnData
        As from `add_frequencies`, X as the model sees it.
    settings : Preparation
        That the graph was built with.
    n_rebuilt : int
        Subsamples, of 80 % of the cells, or without some donors each; 0: none.
    depth : (n_cells,), optional
        Total counts.

    Returns
    -------
    DataFrame
        As from `graph.scale_table`, of more frequencies than are kept. Empty where no graph can be built anew:
        attrs["why"] says so.
    """
    try:
        rebuilt = rebuilt_graphs(adata, settings, n_rebuilt, _n_looked_for(settings.n_freq_comps))
        n_freq = max(new.shape[1] for _, new in rebuilt)
        vectors = further(adata, settings, n_freq)
    except InputError as error:
        found = pd.DataFrame(columns=graph.SCALES)
        found.attrs["why"] = str(error)
        return found
    values, lives = (adata.uns[FURTHER][name][:n_freq] for name in ("values", "participation"))
    return graph.scale_table(values, vectors, rebuilt, lives, depth)


def rebuilt_graphs(
    adata: ad.AnnData, settings: Preparation, n_rebuilt: int, n_freq: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frequencies of graphs that are built anew without some cells: 80 % subsamples, or without some donors each.

    Returns
    -------
    list of (rows, vectors)
        Which of the cells each graph has, and its frequencies, (n_rows, at most n_freq).

    Raises
    ------
    InputError
        If none is wanted, or it is not known how the graph was built.
    """
    if n_rebuilt == 0:
        raise InputError("n_rebuilt is 0")
    if settings.use_graph:
        raise InputError(
            f"the graph came with the cells (obsp[{settings.use_graph!r}]), which do not say how it was built"
        )
    donors = donors_of(adata)
    codes = None if donors is None else donors.cat.codes.to_numpy()
    nothing = np.empty((adata.n_obs, 0))  # they are drawn whatever their expression is
    rows = subsamples(CellDataset(nothing, nothing, donors=codes), n_rebuilt)
    most = settings.max_judged_cells or adata.n_obs
    rows = [_at_most(most, some, random_state) for random_state, some in enumerate(rows)]
    n_freq = min(n_freq, *(len(some) - 2 for some in rows))
    # here: workers would be sent all cells, for a sample of them each
    return side_by_side(partial(_rebuilt, adata, settings, n_freq), rows, here=True)


def _at_most(n: int, rows: np.ndarray, random_state: int) -> np.ndarray:
    """All of some sorted rows, or n of them at random."""
    return rows if len(rows) <= n else np.sort(np.random.default_rng(random_state).choice(rows, n, replace=False))


def _rebuilt(adata: ad.AnnData, settings: Preparation, n_freq: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of a graph of some of the cells alone: which cells it has, and (n_rows, at most n_freq) vectors."""
    units = (lambda X: Standard.of(X).scaled(X)) if "scale" in adata.uns["dataset"]["steps"] else None
    some = some_cells(adata, rows, in_memory=True) if is_lazy(adata.X) else adata[rows]
    features = graph_features(some, settings, units)[0]
    return _frequencies_of(adata, settings, n_freq, _neighbors(features, settings), rows)


def _neighbors(features: Matrix, settings: Preparation, k: int | None = None) -> graph.Neighbors:
    k = min(k or settings.k_neighbors, features.shape[0] - 1)
    return graph.nearest_neighbors(features, k, settings.metric, random_state=settings.random_state)


def _frequencies_of(
    adata: ad.AnnData, settings: Preparation, n_freq: int, found: graph.Neighbors, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of the graph of neighbours among the cells `rows`: which of them it has, and (n_rows, n_freq)."""
    adjacency = graph.adjacency(found, settings.graph_weights)
    kept, _, vectors = graph.frequencies_in_parts(adjacency, n_freq, settings.laplacian == "normalized")
    rows = rows[kept]
    return rows, regress_out(vectors, adata.obsm[COVARIATES][rows]) if COVARIATES in adata.obsm else vectors


def graph_frequencies(adata: ad.AnnData, settings: Preparation, n_freq: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of a graph of all cells that may have fallen into parts: rows, and vectors (n_rows, n_freq)."""
    found = _neighbors(graph_features(adata, settings)[0], settings)
    return _frequencies_of(adata, settings, n_freq, found, np.arange(adata.n_obs))


def other_graphs(adata: ad.AnnData, settings: Preparation, n_freq: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Frequencies of graphs of the same cells that are built in other ways, by what is changed.

    With other numbers of neighbours; and with components of the genes where it is built on genes, on these where it is
    built on components. An embedding (use_rep) is taken as it is. Returns, of each, what `graph_frequencies` does.
    """
    every = np.arange(adata.n_obs)
    features, basis = graph_features(adata, settings)
    found, changed = _neighbors(features, settings, max(OTHER_K)), {}
    for k in sorted({min(k, found.indices.shape[1]) for k in OTHER_K} - {settings.k_neighbors}):
        fewer = replace(found, indices=found.indices[:, :k], distances=found.distances[:, :k])
        changed[f"k_neighbors {k}"] = _frequencies_of(adata, settings, n_freq, fewer, every)
    if not settings.use_rep:
        is_of_genes = " components of " not in basis
        n_components = min(OTHER_COMPONENTS, *(side - 1 for side in features.shape)) if is_of_genes else 0
        with contextlib.suppress(InputError):  # cells may have no direction in the other representation
            features, basis = graph_features(adata, replace(settings, graph_components=n_components))
            changed[f"on {basis}"] = _frequencies_of(adata, settings, n_freq, _neighbors(features, settings), every)
    return changed


def add_branches(adata: ad.AnnData, scales: pd.DataFrame) -> pd.DataFrame:
    """Branches of the leading frequencies that come back, as a table, and in place.

    adata : AnnData with frequencies. It gets obsm["X_branches"] (n_cells, n_branches) and uns["branches"]: by which
    weights and constant they come from the frequencies, how they are named, and on how many cells they live; nothing
    where there is none. scales : as from evaluation.scales. Returns what `graph.branch_table` does.
    """
    found = graph.branches(adata.obsm["X_freq"], graph.n_beyond_noise(scales, adata.obsm["X_freq"].shape[1]))
    table = graph.branch_table(found, labels_of(adata))
    adata.obsm.pop("X_branches", None)
    adata.uns.pop("branches", None)
    if len(table):
        adata.obsm["X_branches"] = found.coordinates
        own = {"weights": found.weights, "constant": found.constant}
        adata.uns["branches"] = own | {"name": table["name"].to_numpy(str), "cells": table["cells"].to_numpy()}
    return table


def prepare(source: Source, settings: Preparation) -> ad.AnnData:
    """Everything notebook 01 does: load, frequencies, the cells to be judged on, split."""
    return judged(add_frequencies(load(source, settings), settings), settings)


def myeloid_dev_freq(
    device: str = "cpu", k_neighbors: int = 10, n_freq_comps: int = 5, random_state: int = 0
) -> tuple[ad.AnnData, CellDataset, CellDataset, CellDataset]:
    """Paul et al. 2015 myeloid progenitors with frequencies, split for training: (adata, train, val, test)."""
    settings = Preparation(k_neighbors=k_neighbors, n_freq_comps=n_freq_comps, random_state=random_state)
    adata = prepare(resolve("paul15"), settings)
    return adata, *torch_splits(adata, device)
