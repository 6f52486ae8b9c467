"""The tree of cell groups: how Ward's tree of the frequencies splits, and which genes tell the two sides apart."""

import shlex
from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import linkage, to_tree
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from scripts.blocks import Matrix, dense
from scripts.evaluation import correlations
from scripts.hierarchy.spaces import CellSpaces, HierarchySettings
from scripts.measures import strongest
from scripts.rankings import greedy

ALL = "all"  # name of the group of all cells
N_SCREENED = 200  # genes of the largest correlation with a split that its own are chosen from
N_RANDOM = 10  # draws of random genes
MIN_GROUP = 10  # cells of a group
MIN_TRAINING, MIN_HELD_OUT = 5, 5  # cells on either side of a split that is to be judged
N_LABELS = 3  # commonest labels of a side that are named
COLUMNS = [
    *("split", "group", "n_cells", "first", "n_first", "second", "n_second", "labels_first", "labels_second"),
    *("frequency", "frequency_share", "higher_in_first", "higher_in_second"),
    *("accuracy", "random_accuracy", "random_accuracy_sd", "n_held_out_first", "n_held_out_second"),
]


@dataclass(frozen=True)
class CellTree:
    """Groups within groups of cells.

    Attributes
    ----------
    splits : DataFrame
        A row a split, the coarsest first; columns in docs/outputs.md.
    groups : (n_cells,) object
        Of each cell that was clustered, the group at the end of its branch: "1.2" is the second part of the first.
        None for cells that the tree parts from all others, fewer than MIN_GROUP together.
    """

    splits: pd.DataFrame
    groups: np.ndarray


def cell_tree(adata: ad.AnnData, spaces: CellSpaces, settings: HierarchySettings) -> CellTree:
    """Ward's tree of the frequencies, down to some number of groups, and what parts each of them.

    Each split's genes are chosen on training cells, and how well they tell its sides is judged on all others (balanced
    accuracy, chance 1/2). The groups themselves are of all cells, as the frequencies are.

    adata : as from `cells.scaled`; spaces : of the same cells.
    """
    frequencies = adata.obsm["X_freq"][spaces.rows].astype(float)
    X, is_training = adata.X[spaces.rows], (adata.obs["split"] == "train").to_numpy()[spaces.rows]
    groups = np.full(len(frequencies), ALL, dtype=object)
    rows = []
    with threadpool_limits(1):
        for number, (first, second) in enumerate(_splits(frequencies, settings.n_groups), start=1):
            group = groups[first[0]]
            names = [part if group == ALL else f"{group}.{part}" for part in "12"]
            groups[first], groups[second] = names
            cells = np.concatenate([first, second])
            in_first = np.arange(len(cells)) < len(first)
            random = np.random.default_rng([settings.random_state, number])
            sizes = {"n_cells": len(cells), "n_first": len(first), "n_second": len(second)}
            parts = {"split": number, "group": group, "first": names[0], "second": names[1]}
            labels = {"labels_first": _commonest(spaces, first), "labels_second": _commonest(spaces, second)}
            parting = _frequency(frequencies[first], frequencies[second])
            genes = _told(X[cells], in_first, is_training[cells], list(adata.var_names), settings.group_genes, random)
            rows.append(parts | sizes | labels | parting | genes)
    groups[np.isin(groups, [row["group"] for row in rows])] = None  # came off, and were left behind
    return CellTree(pd.DataFrame(rows, columns=COLUMNS), groups)


def add_groups(adata: ad.AnnData, spaces: CellSpaces, tree: CellTree) -> None:
    """obs["cell_group"], in place: the group of each cell, NaN for those that were not clustered or are in none."""
    groups = np.full(adata.n_obs, None, dtype=object)
    groups[spaces.rows] = tree.groups
    adata.obs["cell_group"] = pd.Categorical(groups)


def _splits(points: np.ndarray, n_groups: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The coarsest splits of Ward's tree, at most n_groups - 1: rows of both sides, the larger one first.

    Fewer than MIN_GROUP cells are no side: where they come off, they are left behind.
    """
    waiting, found = [to_tree(linkage(points, "ward"))], []
    while waiting and len(found) < n_groups - 1:
        node = max(waiting, key=lambda each: each.dist)
        waiting.remove(node)
        sides = sorted((node.left, node.right), key=lambda side: -side.count)
        is_split = sides[1].count >= MIN_GROUP
        if is_split:
            found.append(tuple(np.sort(side.pre_order()) for side in sides))
        waiting += [side for side in sides[: 1 + is_split] if side.count >= 2 * MIN_GROUP]
    return found


def _commonest(spaces: CellSpaces, cells: np.ndarray) -> str:
    """The commonest known labels of some cells with their shares, the first the most; empty where none is known."""
    if not spaces.has_labels:
        return ""
    shares = spaces.labels.iloc[cells].value_counts(normalize=True)
    return ", ".join(f"{name} {share:.0%}" for name, share in shares[shares > 0].iloc[:N_LABELS].items())


def _frequency(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """The frequency that parts two groups most, and its share of what the split adds to Ward's sum of squares.

    What a split adds is n_1 n_2 / (n_1 + n_2) times the squared distance of the two means, a sum over frequencies.
    """
    squares = (first.mean(axis=0) - second.mean(axis=0)) ** 2
    return {"frequency": int(squares.argmax()), "frequency_share": squares.max() / squares.sum()}


def _told(
    X: Matrix,
    in_first: np.ndarray,
    is_training: np.ndarray,
    genes: list[str],
    n_genes: int,
    random: np.random.Generator,
) -> dict[str, object]:
    """Genes that tell the sides of a split, and how well on held-out cells; X : (n_cells, n_genes) of both sides."""
    train, test = np.flatnonzero(is_training), np.flatnonzero(~is_training)
    held_out = {"n_held_out_first": in_first[test].sum(), "n_held_out_second": (~in_first[test]).sum()}
    if min(in_first[train].sum(), (~in_first[train]).sum()) < MIN_TRAINING:
        return {"higher_in_first": "", "higher_in_second": "", **held_out}
    known, unknown = X[train], X[test]
    correlation = correlations(known, in_first[train, None].astype(float))[:, 0]
    chosen = _panel(known, in_first[train], correlation, n_genes)
    sides = {"higher_in_first": chosen[correlation[chosen] > 0], "higher_in_second": chosen[correlation[chosen] <= 0]}
    named = {name: shlex.join(genes[gene] for gene in side) for name, side in sides.items()}
    if min(held_out.values()) < MIN_HELD_OUT or not len(chosen):
        return {**named, **held_out}
    varying = np.flatnonzero(correlation)
    draws = [random.permutation(varying)[:n_genes] for _ in range(N_RANDOM)]
    accuracies = [
        _accuracy(dense(known[:, panel]), in_first[train], dense(unknown[:, panel]), in_first[test])
        for panel in (chosen, *draws)
    ]
    by_chance = {"random_accuracy": np.mean(accuracies[1:]), "random_accuracy_sd": np.std(accuracies[1:], ddof=1)}
    return {**named, "accuracy": accuracies[0], **by_chance, **held_out}


def _panel(X: Matrix, in_first: np.ndarray, correlation: np.ndarray, n_genes: int) -> np.ndarray:
    """Genes that rebuild the side of a split best together, one chosen after the other; as `rankings.greedy`."""
    screened = strongest(correlation, N_SCREENED)
    expression = dense(X[:, screened]).astype(float)
    centred = expression - expression.mean(axis=0)
    return screened[greedy(centred.T @ centred, centred.T @ (in_first[:, None] - in_first.mean()), n_genes)]


def _accuracy(known: np.ndarray, y: np.ndarray, unknown: np.ndarray, true: np.ndarray) -> float:
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1_000))
    return float(balanced_accuracy_score(true, model.fit(known, y).predict(unknown)))
