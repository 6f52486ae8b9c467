"""Honest evaluation: two ways to hold cells out, and all models on the same held-out cells."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
import torch
from scipy import sparse
from threadpoolctl import threadpool_limits

from scripts import graph
from scripts.bmlp import Config, ScBMLPRegressor
from scripts.datasets import CellDataset, Preparation, graph_features, split_rows, torch_splits
from scripts.metrics import aligned_r2, held_out_r2, r2
from scripts.modules import BilinearForm
from scripts.neighbors import entered_neighbors, nearest_neighbors
from scripts.stability import subsamples

N_WORKERS = os.cpu_count() or 1
ALL_CELLS, INDUCTIVE = "frequencies from all cells", "frequencies from training cells"


@dataclass(frozen=True)
class Split:
    """Training, validation and test cells of one way to hold cells out.

    extension_r2 : (n_freq,) agreement of the test cells' frequencies, extended from the training cells' graph, with
    those of the graph of all cells, aligned; None where they are the same.
    """

    protocol: str
    number: int
    train: CellDataset
    val: CellDataset
    test: CellDataset
    extension_r2: np.ndarray | None = None


def run_split(adata: ad.AnnData) -> Split:
    """The run's own split of the cells, as obs["split"] says."""
    return Split(ALL_CELLS, 0, *torch_splits(adata))


def transductive_split(adata: ad.AnnData, random_state: int, number: int) -> Split:
    """Frequencies from the graph of all cells, which are then split; number 0 is the run's own split."""
    parts = split_rows(adata.n_obs, random_state + number)
    cells = [CellDataset(adata.X[rows], adata.obsm["X_freq"][rows]) for rows in parts]
    return Split(ALL_CELLS, number, *cells)


def inductive_split(adata: ad.AnnData, settings: Preparation, number: int) -> Split:
    """Graph, scaling and components from training cells alone; other cells' frequencies by extension from neighbours.

    Where the graph of the training cells falls into parts, its largest part alone is used.
    """
    train, val, test = split_rows(adata.n_obs, settings.random_state + number)
    X = _scaled_by(adata.X, train) if "scale" in adata.uns["dataset"]["steps"] else adata.X
    features = graph_features(X, settings, fit_rows=train)[0]
    found = nearest_neighbors(features[train], settings.k_neighbors, settings.metric)
    adjacency = graph.adjacency(found)
    keep = graph.largest_part(adjacency)
    values, vectors = graph.frequencies(adjacency[keep][:, keep], settings.n_freq_comps)
    extended = []
    for rows in (val, test):
        edges = entered_neighbors(features[rows], features[train], found, settings.metric)[:, keep]
        near = edges.sum(axis=1) > 0  # cells that only neighbour a small part are left out with it
        extended.append((rows[near], graph.extend(edges[near], values, vectors)))
    (val, y_val), (test, y_test) = extended
    cells = [CellDataset(X[rows], y) for rows, y in [(train[keep], vectors), (val, y_val), (test, y_test)]]
    return Split(INDUCTIVE, number, *cells, aligned_r2(adata.obsm["X_freq"][test], y_test))


def inductive_splits(adata: ad.AnnData, settings: Preparation, n_splits: int) -> list[Split]:
    """Several inductive splits; none for weighted or normalised graphs, whose extension to new cells is not defined."""
    if settings.graph_weights != "unweighted" or settings.laplacian != "unnormalized":
        return []
    return side_by_side(partial(inductive_split, adata, settings), range(n_splits))


def _scaled_by(X: np.ndarray | sparse.spmatrix, rows: np.ndarray) -> np.ndarray | sparse.spmatrix:
    """Each gene to standard deviation 1, and to mean 0 if dense, over some of the cells."""
    if sparse.issparse(X):
        mean = np.asarray(X[rows].mean(axis=0)).ravel()
        variance = np.asarray(X[rows].multiply(X[rows]).mean(axis=0)).ravel() - mean**2
        return sparse.csr_array(
            X @ sparse.diags_array(1 / np.sqrt(np.where(variance > 0, variance, 1)).astype(X.dtype))
        )
    deviation = X[rows].std(axis=0)
    return (X - X[rows].mean(axis=0)) / np.where(deviation > 0, deviation, 1)


def performance(split: Split, models: dict[str, Callable], fitted: dict | None = None) -> pd.DataFrame:
    """Every model fitted on the split's training and validation cells and judged on its test cells.

    Parameters
    ----------
    split : Split
    models : {name: function}
        Each gives a new model with fit(train, val) and predict(X).
    fitted : {name: model}, optional
        Models that are fitted to this split already.

    Returns
    -------
    DataFrame with the columns protocol, split, model, frequency, r2 and mae (test cells) and train_mae; r2 is NaN where
    the test cells hardly vary, see `metrics.held_out_r2`.
    """
    tables = []
    (X, y), (X_train, y_train) = split.test.arrays(), split.train.arrays()
    for name, make in models.items():
        model = (fitted or {}).get(name)
        if model is None:
            model = make()
            model.fit(split.train, split.val)
        predicted = model.predict(X)
        columns = {"r2": held_out_r2(y, predicted, y_train), "mae": np.abs(y - predicted).mean(axis=0)}
        columns["train_mae"] = np.abs(y_train - model.predict(X_train)).mean(axis=0)
        keys = {"protocol": split.protocol, "split": split.number, "model": name, "frequency": np.arange(y.shape[1])}
        tables.append(pd.DataFrame({**keys, **columns}))
    return pd.concat(tables, ignore_index=True)


def refit(make: Callable, split: Split, genes: list[str]) -> Callable[[np.ndarray], BilinearForm]:
    """Function that fits a new model to some of a split's training cells, given by index; make : gives a new model."""
    X, y = split.train.arrays()

    def fit(rows: np.ndarray) -> BilinearForm:
        model = make()
        model.fit(CellDataset(X[rows], y[rows]), split.val)
        return model.form(genes)

    return fit


def forms_of_subsamples(make: Callable, split: Split, genes: list[str], n_subsamples: int) -> list[BilinearForm]:
    """Fits on 80 % subsamples of a split's training cells; make : gives a new model."""
    return side_by_side(refit(make, split, genes), subsamples(len(split.train), n_subsamples))


def truncation_curve(form: BilinearForm, split: Split, max_modules: int = 10) -> pd.DataFrame:
    """What each further module adds: frequency, n_modules, val_r2 and test_r2 of the form with that many modules."""
    (X_val, y_val), (X, y), (_, y_train) = (cells.arrays() for cells in (split.val, split.test, split.train))
    tables = []
    for n_modules in range(min(max_modules, form.basis.shape[1]) + 1):
        kept = form.truncated(n_modules)
        columns = {"val_r2": r2(y_val, kept.predict(X_val)), "test_r2": held_out_r2(y, kept.predict(X), y_train)}
        tables.append(pd.DataFrame({"frequency": np.arange(form.n_freq), "n_modules": n_modules, **columns}))
    return pd.concat(tables, ignore_index=True)


def side_by_side(work: Callable, items: list) -> list:
    """work(item) of each item, on all cores: each on one, as more would only wait for each other."""
    with threadpool_limits(1), ThreadPoolExecutor(N_WORKERS, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, items))


def inductive_table(performance: pd.DataFrame, splits: list[Split]) -> pd.DataFrame:
    """R2 of each model by frequency, mean over inductive splits, beside the extension's own R2."""
    table = performance.pivot_table(index="frequency", columns="model", values="r2", sort=False)
    if splits:
        extension = np.array([split.extension_r2 for split in splits])
        table["extension_r2"], table["extension_r2_sd"] = extension.mean(axis=0), extension.std(axis=0)
    return table


def forms_of_seeds(cfg: Config, loss_fn: str, split: Split, genes: list[str], n_seeds: int) -> list[BilinearForm]:
    """Gradient descent on the same cells from the seeds after that of the configuration."""
    seeds = range(cfg.random_state + 1, cfg.random_state + 1 + n_seeds)
    makers = [partial(ScBMLPRegressor, replace(cfg, random_state=seed), loss_fn) for seed in seeds]
    every = np.arange(len(split.train))
    return side_by_side(lambda make: refit(make, split, genes)(every), makers)


def performance_over_splits(
    splits: list[Split], models: dict[str, Callable], fitted: dict | None = None
) -> pd.DataFrame:
    """`performance` on several splits, all fits side by side; an empty table of the same columns for no split.

    fitted : {name: model}, those that are fitted to the first split already.
    """
    columns = ["protocol", "split", "model", "frequency", "r2", "mae", "train_mae"]
    fits = [
        (split, {name: make}, fitted if split is splits[0] else None)
        for split in splits
        for name, make in models.items()
    ]
    tables = side_by_side(lambda fit: performance(*fit), fits)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)
