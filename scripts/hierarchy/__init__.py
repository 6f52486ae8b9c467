"""Groups within groups of cells: in which spaces they are nested, whether they are the same, and what parts them."""

from scripts.hierarchy.partitions import (
    K_MEANS,
    LEIDEN,
    WARD,
    agreement_with_labels,
    agreement_with_spaces,
    clusters_of,
    divided_by_further,
    is_nested,
    nestedness,
    nestedness_table,
)
from scripts.hierarchy.spaces import AXES, FREQUENCIES, SCORES, CellSpaces, HierarchySettings, cell_spaces
from scripts.hierarchy.tree import ALL, CellTree, add_groups, cell_tree

__all__ = [
    "ALL",
    "AXES",
    "FREQUENCIES",
    "LEIDEN",
    "SCORES",
    "WARD",
    "CellSpaces",
    "CellTree",
    "HierarchySettings",
    "K_MEANS",
    "add_groups",
    "agreement_with_labels",
    "agreement_with_spaces",
    "cell_spaces",
    "cell_tree",
    "clusters_of",
    "divided_by_further",
    "is_nested",
    "nestedness",
    "nestedness_table",
]
