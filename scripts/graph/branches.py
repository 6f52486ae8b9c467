"""Branches: the axes of a space of frequencies that single out few cells each, and the labels at their ends. Arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from scripts.blocks import in_parts
from scripts.graph.spectrum import participation
from scripts.measures import overlap_p_value

TIP = 0.5  # share of the cells that a branch lives on, those furthest out, by which it is named
STANDS_OUT, SURE = 2.0, 0.01  # times that a label is as common there as anywhere, and its p-value over all labels
MIN_SHARE, MAX_NAMES = 0.1, 3  # of the cells furthest out, for a label to be in a name, and labels of a name
NO_LABEL = "no label stands out"


@dataclass(frozen=True)
class Branches:
    """Coordinates b = constant + v . weights of a cell with the frequencies v; + is the end of the branch.

    Attributes
    ----------
    weights : (n_freq, n_branches) float64
    constant : (n_branches,) float64
    coordinates : (n_cells, n_branches) float64
        Of the cells that the branches were found in: orthonormal columns.
    """

    weights: np.ndarray
    constant: np.ndarray
    coordinates: np.ndarray

    @property
    def lives_on(self) -> np.ndarray:
        """On about how many cells each branch lives, (n_branches,): its participation number."""
        return participation(self.coordinates)


def kurtosis_rotation(scores: np.ndarray, n_steps: int = 200) -> np.ndarray:
    """Rotation of uncorrelated scores of equal size, (n_cells, k), to the largest sum of fourth moments, (k, k).

    The varimax criterion on the cells' scores. It is convex, so that stepping to the rotation nearest to its gradient
    never goes down (Journee et al., J. Mach. Learn. Res. 11, 517, 2010).
    """
    k = scores.shape[1]
    rotation, moments = np.eye(k), fourth_moments(scores).reshape(k, k**3)
    for _ in range(n_steps):
        cubes = rotation[:, None, None] * rotation[:, None] * rotation  # (k, k, k, k), of each column of the rotation
        left, _, right = np.linalg.svd(moments @ cubes.reshape(k**3, k))
        rotation, before = left @ right, rotation
        if np.abs(rotation - before).max() < 1e-6:
            break
    return rotation


def fourth_moments(scores: np.ndarray) -> np.ndarray:
    """Sums over the cells of all products of four scores, (k, k, k, k); scores : (n_cells, k)."""
    k = scores.shape[1]
    total = np.zeros((k**2, k**2))
    for cells in in_parts(len(scores)):
        pairs = (scores[cells, :, None] * scores[cells, None, :]).reshape(-1, k**2)
        total += pairs.T @ pairs
    return total.reshape(k, k, k, k)


def branches(vectors: np.ndarray, n_leading: int) -> Branches:
    """Varimax rotation of the leading frequencies with the constant vector beside them: m give m + 1 branches.

    Frequencies run from one end of the tissue to another, and those of one group rotate into each other; their space
    with the constant holds what is nearly 1 in a few cells and 0 in all others, if it holds anything such. Varimax
    (Kaiser, Psychometrika 23, 187, 1958) looks for that.

    Parameters
    ----------
    vectors : (n_cells, n_freq)
    n_leading : int
        How many of them span the space; 0: there are no branches.

    Returns
    -------
    Branches
        That of most cells first.
    """
    n_cells, n_freq = vectors.shape
    if n_leading == 0:
        return Branches(np.zeros((n_freq, 0)), np.zeros(0), np.zeros((n_cells, 0)))
    mean = vectors[:, :n_leading].mean(axis=0)
    # of frequencies that covariates were taken out of, or of a normalised graph, only the space is orthonormal
    Q, triangle = np.linalg.qr(vectors[:, :n_leading] - mean)
    beside = np.column_stack([np.full(n_cells, n_cells**-0.5), Q])
    rotation = kurtosis_rotation(np.sqrt(n_cells) * beside)
    found = beside @ rotation
    rotation = rotation * np.where((found**3).sum(axis=0) < 0, -1.0, 1.0)
    rotation = rotation[:, np.argsort(-participation(found), kind="stable")]
    weights = np.zeros((n_freq, n_leading + 1))
    weights[:n_leading] = np.linalg.lstsq(triangle, rotation[1:])[0]  # one that is constant has no part
    return Branches(weights, n_cells**-0.5 * rotation[0] - mean @ weights[:n_leading], beside @ rotation)


def branch_table(found: Branches, labels: pd.Series) -> pd.DataFrame:
    """How many cells each branch lives on, and which known labels are at its end.

    labels : (n_cells,), as for `named_ends`.

    Returns
    -------
    DataFrame
        branch; cells, that it lives on; tip_cells, those furthest out that it is named by; name and label_share, as
        from `named_ends`.
    """
    n_tip = [max(1, round(TIP * n_cells)) for n_cells in found.lives_on]
    names, shares = named_ends(found.coordinates, n_tip, labels)
    columns = {"branch": range(len(n_tip)), "cells": found.lives_on, "tip_cells": n_tip, "name": names}
    return pd.DataFrame(columns | {"label_share": shares})


def named_ends(coordinates: np.ndarray, n_tip: Sequence[int], labels: pd.Series) -> tuple[list[str], list[float]]:
    """Which known labels are at the + end of each axis.

    A label stands out if the cells furthest out hold it at least twice as often as all labelled cells do, more often
    than chance (hypergeometric, times the number of labels and axes), and a tenth of them does.

    Parameters
    ----------
    coordinates : (n_cells, n_axes)
    n_tip : (n_axes,)
        Cells furthest out.
    labels : (n_cells,)
        Groups; NaN for cells without one. Numbers (float) name nothing.

    Returns
    -------
    names : list of str
        The labels that stand out, the commonest first, at most `MAX_NAMES`; NO_LABEL for none.
    shares : list of float
        Of the labelled ones of these cells that have one of them (NaN for none).
    """
    codes, known = pd.factorize(labels, sort=True)
    if pd.api.types.is_float_dtype(labels.dtype):
        codes, known = np.full(len(labels), -1), known[:0]
    every = np.bincount(codes[codes >= 0], minlength=len(known))
    names, shares = [], []
    for coordinate, n_cells in zip(coordinates.T, n_tip, strict=True):
        tip = codes[np.argsort(-coordinate, kind="stable")[:n_cells]]
        held = np.bincount(tip[tip >= 0], minlength=len(known))
        named = _standing_out(held, every, len(known) * coordinates.shape[1])
        names.append(", ".join(str(known[label]) for label in named) or NO_LABEL)
        shares.append(held[named].sum() / held.sum() if len(named) else np.nan)
    return names, shares


def _standing_out(held: np.ndarray, every: np.ndarray, n_tests: int) -> np.ndarray:
    """Labels that stand out, the commonest first; held, every : (n_labels,) cells at the end, and all."""
    n_held, n_every = held.sum(), every.sum()
    common = np.flatnonzero((held >= MIN_SHARE * n_held) & (held * n_every >= STANDS_OUT * every * n_held) & (held > 0))
    sure = [label for label in common if n_tests * overlap_p_value(held[label], n_held, every[label], n_every) < SURE]
    return np.array(sorted(sure, key=lambda label: -held[label])[:MAX_NAMES], dtype=int)
