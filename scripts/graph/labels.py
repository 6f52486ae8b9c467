"""How known labels, groups or numbers, lie on the cell graph and along its frequencies."""

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.stats import beta

from scripts.graph.spectrum import dirichlet_energy

ALONE = 0.9  # share of what all labels explain, from which on one of them is said to be set apart


def label_separation(freqs: np.ndarray, labels: pd.Series) -> pd.DataFrame:
    """Which known labels each frequency sets apart.

    Parameters
    ----------
    freqs : (n_cells, n_freq)
    labels : (n_cells,)
        Groups, or numbers (float). Cells without a label (NaN) are left out.

    Returns
    -------
    DataFrame
        One row a frequency: the share of its variance that lies between labels (eta squared; for numbers, the squared
        correlation); the share that labels dealt out at random have on average; how much of the rest the labels
        explain, (share - chance) / (1 - chance), which is 0 on average for labels at random however many there are
        (epsilon squared: Kelley, PNAS 21, 554, 1935); the p-value of the F test, which takes cells for independent; and
        the labels of the lowest and of the highest mean; and apart, the label that, told from all others, explains
        nearly as much as all of them (`ALONE`), or "". No rows for fewer than two labels, or than two cells a label.
    """
    labelled = labels.notna().to_numpy()
    freqs, labels, n_cells = freqs[labelled], labels[labelled], int(labelled.sum())
    freqs = freqs - freqs.sum(axis=0) / max(n_cells, 1)
    between, freedom, lowest, highest, apart = (_along if _are_numbers(labels) else _between)(freqs, labels)
    total = (freqs**2).sum(axis=0)
    share = np.divide(between, total, out=np.zeros_like(total), where=total > 0)
    chance = freedom / max(n_cells - 1, 1)
    columns = {
        "frequency": np.arange(freqs.shape[1]),
        "variance_between_labels": share,
        "expected_by_chance": chance,
        "beyond_chance": (share - chance) / (1 - chance) if chance < 1 else 0.0,
        "p_value": beta.sf(share, freedom / 2, (n_cells - 1 - freedom) / 2),
        "lowest": lowest,
        "highest": highest,
        "apart": apart,
    }
    table = pd.DataFrame(columns)
    return table if 1 <= freedom <= n_cells / 2 - 1 else table.iloc[:0]


def _between(freqs: np.ndarray, labels: pd.Series) -> tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray]:
    """Sum of squares between groups, (n_freq,), its degrees of freedom, groups of lowest and highest mean and apart."""
    codes, names = pd.factorize(labels)
    sizes = np.bincount(codes, minlength=1)
    sums = np.stack([np.bincount(codes, values, minlength=1) for values in freqs.T], axis=1)
    means = sums / np.maximum(sizes, 1)[:, None]
    names = np.array([*names, ""], dtype=object)
    squares = sizes[:, None] * means**2
    total = squares.sum(axis=0)
    others = np.maximum(len(freqs) - sizes, 1)[:, None]
    alone = squares * (len(freqs) / others)  # of one group and all others
    most = alone.argmax(axis=0)
    is_apart = (len(names) > 3) & (alone.max(axis=0) >= ALONE * total)  # of two groups, each is apart from the other
    ends = names[means.argmin(0)], names[means.argmax(0)]
    return total, len(names) - 2, *ends, np.where(is_apart, names[most], "")


def _along(freqs: np.ndarray, numbers: pd.Series) -> tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray]:
    """The same for a straight line along numbers."""
    values = numbers.to_numpy(float)
    values = values - values.sum() / max(len(values), 1)
    products, squares = values @ freqs, (values**2).sum()
    ends = np.array([f"low {numbers.name}", f"high {numbers.name}"], dtype=object)
    rises = (products > 0).astype(int)
    return (
        products**2 / max(squares, np.finfo(float).tiny),
        int(squares > 0),
        ends[1 - rises],
        ends[rises],
        np.full(len(rises), ""),
    )


def _are_numbers(labels: pd.Series) -> bool:
    return pd.api.types.is_float_dtype(labels.dtype)


def label_energy(labels: pd.Series, adjacency: sparse.csr_array) -> pd.DataFrame:
    """How fast each label varies over the cell graph, slowest first.

    labels : (n_cells,) groups, or numbers (float); adjacency : (n_cells, n_cells). Cells without a label (NaN) are left
    out of both. Energies are those of each label's indicator, or of the numbers, less the mean; at random places they
    would be, on average, the mean degree of the graph times n / (n - 1).
    """
    labelled = labels.notna().to_numpy()
    labels, adjacency = labels[labelled], sparse.csr_array(adjacency)[labelled][:, labelled]
    n_cells = len(labels)
    names, sizes, energies = (_energy_of_numbers if _are_numbers(labels) else _energy_of_groups)(labels, adjacency)
    columns = {
        "label": names,
        "cells": sizes,
        "dirichlet_energy": energies,
        "at_random_places": adjacency.sum() / (n_cells - 1) if n_cells > 1 else 0.0,
    }
    return pd.DataFrame(columns).sort_values("dirichlet_energy", ignore_index=True)


def _energy_of_groups(labels: pd.Series, adjacency: sparse.csr_array) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Name, cells and energy of each group but one of all cells: edges that leave it, over its indicator's squares."""
    codes, names = pd.factorize(labels, sort=True)
    members = sparse.csr_array((np.ones(len(codes)), (np.arange(len(codes)), codes)), (len(codes), len(names)))
    sizes = members.sum(axis=0)
    inside = (adjacency @ members).multiply(members).sum(axis=0)
    leaving = members.T @ adjacency.sum(axis=1) - inside
    some = sizes < len(labels)  # an indicator of all cells does not vary
    energies = leaving[some] / (sizes[some] * (1 - sizes[some] / max(len(labels), 1)))
    return [str(name) for name in names[some]], sizes[some].astype(int), energies


def _energy_of_numbers(numbers: pd.Series, adjacency: sparse.csr_array) -> tuple[list[str], list[int], np.ndarray]:
    """The same for numbers; nothing if they do not vary."""
    if numbers.nunique() < 2:
        return [], [], np.zeros(0)
    energies = dirichlet_energy((numbers - numbers.mean()).to_numpy()[:, None], adjacency)
    return [str(numbers.name)], [len(numbers)], energies
