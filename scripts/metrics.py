"""Measures of how well frequencies are predicted."""

import numpy as np

LEAST_VARIANCE = 0.05  # of held-out cells, in units of that of training cells, from which on R2 means something


def r2(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Coefficient of determination of each frequency; y, predicted : (n_cells, n_freq). Returns (n_freq,)."""
    residual = ((y - predicted) ** 2).sum(axis=0)
    return 1 - residual / ((y - y.mean(axis=0)) ** 2).sum(axis=0)


def held_out_r2(y: np.ndarray, predicted: np.ndarray, y_train: np.ndarray) -> np.ndarray:
    """`r2`, but NaN for a frequency along which the held-out cells hardly vary.

    They hold next to none of the few cells that such a frequency sets apart: R2 would divide by next to nothing, and
    one split outweigh all others in a mean. y, predicted : (n_cells, n_freq) or (n_cells,); y_train : of the training
    cells.
    """
    return np.where(y.var(axis=0) < LEAST_VARIANCE * y_train.var(axis=0), np.nan, r2(y, predicted))


def aligned_r2(y: np.ndarray, found: np.ndarray) -> np.ndarray:
    """R2 of each frequency after the best linear map from found ones: near-equal frequencies rotate into each other.

    y : (n_cells, n_freq); found : (n_cells, n_found). Returns (n_freq,).
    """
    y, found = y - y.mean(axis=0), found - found.mean(axis=0)
    rotation, *_ = np.linalg.lstsq(found, y, rcond=None)
    return r2(y, found @ rotation)
