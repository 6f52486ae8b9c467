"""From a source to checked, normalised and split cells; and cells with planted truth."""

from scripts.cells.loading import Preparation, describe, graph_features, load
from scripts.cells.planted import SPLIT, PlantedCells, Planting, plant
from scripts.cells.splits import (
    ALL_CELLS,
    INDUCTIVE,
    MIN_TRAINING,
    CellDataset,
    Split,
    add_split,
    checked_arrays,
    inductive_splits,
    run_split,
    split_rows,
    subsamples,
    torch_splits,
    transductive_split,
    transductive_splits,
)

__all__ = [
    "ALL_CELLS",
    "CellDataset",
    "INDUCTIVE",
    "MIN_TRAINING",
    "PlantedCells",
    "Planting",
    "Preparation",
    "SPLIT",
    "Split",
    "add_split",
    "checked_arrays",
    "describe",
    "graph_features",
    "inductive_splits",
    "load",
    "plant",
    "run_split",
    "split_rows",
    "subsamples",
    "torch_splits",
    "transductive_split",
    "transductive_splits",
]
