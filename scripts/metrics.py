"""Measures of how well frequencies are predicted."""

import numpy as np


def r2(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Coefficient of determination of each frequency; y, predicted : (n_cells, n_freq). Returns (n_freq,)."""
    residual = ((y - predicted) ** 2).sum(axis=0)
    return 1 - residual / ((y - y.mean(axis=0)) ** 2).sum(axis=0)


def aligned_r2(y: np.ndarray, found: np.ndarray) -> np.ndarray:
    """R2 of each frequency after the best linear map from found ones: near-equal frequencies rotate into each other.

    y : (n_cells, n_freq); found : (n_cells, n_found). Returns (n_freq,).
    """
    y, found = y - y.mean(axis=0), found - found.mean(axis=0)
    rotation, *_ = np.linalg.lstsq(found, y, rcond=None)
    return r2(y, found @ rotation)
