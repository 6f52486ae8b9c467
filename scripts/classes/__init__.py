"""Classes of cells, such as their types: which can be told apart on cells never met, and which genes and modules do."""

from scripts.classes.cells import LabelledCells, labelled_cells
from scripts.classes.judging import (
    BILINEAR,
    BLACK_BOX,
    COMMONEST,
    LINEAR,
    LINEAR_OF_ALL,
    ClassSettings,
    accuracy_by_split,
    confusion,
    most_confused,
    performance_of_classes,
    summary,
)
from scripts.classes.reading import class_modules, gene_lists

__all__ = [
    "BILINEAR",
    "BLACK_BOX",
    "COMMONEST",
    "LINEAR",
    "LINEAR_OF_ALL",
    "ClassSettings",
    "LabelledCells",
    "accuracy_by_split",
    "class_modules",
    "confusion",
    "gene_lists",
    "labelled_cells",
    "most_confused",
    "performance_of_classes",
    "summary",
]
