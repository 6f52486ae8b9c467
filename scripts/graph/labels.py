"""How known labels lie on the cell graph and along its frequencies."""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from scripts.graph.spectrum import dirichlet_energy


def label_separation(freqs: np.ndarray, labels: pd.Series) -> pd.DataFrame:
    """Which known labels each frequency sets apart.

    Parameters
    ----------
    freqs : (n_cells, n_freq)
    labels : (n_cells,)
        Cells without a label (NaN) are left out.

    Returns
    -------
    DataFrame
        One row a frequency: the share of its variance that lies between labels (eta squared), the share that as many
        random groups of these sizes give, and the labels of the lowest and of the highest mean.
    """
    labelled = labels.notna().to_numpy()
    freqs, labels = freqs[labelled], labels[labelled]
    codes, names = pd.factorize(labels)
    sizes = np.bincount(codes)
    rows = []
    for frequency, values in enumerate(freqs.T if len(names) else ()):
        means = np.bincount(codes, values) / sizes
        share = (sizes * (means - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum()
        rows.append(
            (frequency, share, (len(names) - 1) / (len(values) - 1), names[means.argmin()], names[means.argmax()])
        )
    columns = ["frequency", "variance_between_labels", "expected_by_chance", "lowest", "highest"]
    return pd.DataFrame(rows, columns=columns)


def label_energy(labels: pd.Series, adjacency: csr_array) -> pd.DataFrame:
    """How fast each label varies over the cell graph, slowest first.

    labels : (n_cells,); adjacency : (n_cells, n_cells). Cells without a label (NaN) are left out of both. Energies are
    those of each label's indicator less its mean; at random places it would have, on average, the mean degree of the
    graph times n / (n - 1).
    """
    labelled = labels.notna().to_numpy()
    labels, adjacency = labels[labelled], csr_array(adjacency)[labelled][:, labelled]
    indicators = pd.get_dummies(labels, dtype=float)
    indicators = indicators.loc[:, (indicators.sum() > 0) & (indicators.sum() < len(labels))]
    energies = dirichlet_energy((indicators - indicators.mean()).to_numpy(), adjacency)
    n_cells = len(labels)
    at_random = adjacency.sum() / (n_cells - 1) if n_cells > 1 else 0.0
    columns = {
        "label": indicators.columns.astype(str),
        "cells": indicators.sum().astype(int).to_numpy(),
        "dirichlet_energy": energies,
        "at_random_places": at_random,
    }
    return pd.DataFrame(columns).sort_values("dirichlet_energy", ignore_index=True)
