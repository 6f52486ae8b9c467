"""From a source to checked, normalised and split cells; and cells with planted truth."""

from scripts.cells.counts import are_counts, log_base
from scripts.cells.labels import as_labels, batch_columns, label_columns, labels_of, named_parts
from scripts.cells.loading import COUNTS, Preparation, describe, graph_features, load, named_counts, with_counts
from scripts.cells.planted import SPLIT, PlantedCells, Planting, plant
from scripts.cells.quality import MEASURES, leave_out, limits, why_unmeasured
from scripts.cells.reading import needed, read
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
    "COUNTS",
    "CellDataset",
    "INDUCTIVE",
    "MEASURES",
    "MIN_TRAINING",
    "PlantedCells",
    "Planting",
    "Preparation",
    "SPLIT",
    "Split",
    "add_split",
    "are_counts",
    "as_labels",
    "batch_columns",
    "checked_arrays",
    "describe",
    "graph_features",
    "inductive_splits",
    "label_columns",
    "labels_of",
    "leave_out",
    "limits",
    "load",
    "log_base",
    "named_counts",
    "named_parts",
    "needed",
    "plant",
    "read",
    "run_split",
    "split_rows",
    "subsamples",
    "torch_splits",
    "transductive_split",
    "transductive_splits",
    "why_unmeasured",
    "with_counts",
]
