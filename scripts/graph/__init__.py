"""The cell graph: neighbours, edges, Laplacian, frequencies, and labels on it. Arrays only."""

from scripts.graph.branches import NO_LABEL, Branches, branch_table, branches, kurtosis_rotation, named_ends
from scripts.graph.edges import adjacency, knn_graph
from scripts.graph.eigensolvers import lobpcg, residuals, shift_invert
from scripts.graph.features import components, pareto_scaled, variable_genes
from scripts.graph.labels import label_energy, label_separation
from scripts.graph.neighbors import N_EXACT, Neighbors, entered_neighbors, nearest_neighbors
from scripts.graph.scales import (
    COMES_BACK,
    SCALES,
    canonical_correlations,
    frequencies_in_parts,
    n_beyond_noise,
    n_to_keep,
    scale_table,
)
from scripts.graph.spectrum import (
    dirichlet_energy,
    extend,
    frequencies,
    frequencies_by,
    laplacian,
    largest_part,
    near_equal_groups,
    part_of_cells,
    participation,
    spectral_surrogates,
    suggest_n_comps,
)

__all__ = [
    "Branches",
    "COMES_BACK",
    "NO_LABEL",
    "N_EXACT",
    "Neighbors",
    "SCALES",
    "adjacency",
    "branch_table",
    "branches",
    "canonical_correlations",
    "components",
    "dirichlet_energy",
    "entered_neighbors",
    "extend",
    "frequencies",
    "frequencies_by",
    "frequencies_in_parts",
    "knn_graph",
    "kurtosis_rotation",
    "label_energy",
    "label_separation",
    "laplacian",
    "largest_part",
    "n_beyond_noise",
    "n_to_keep",
    "named_ends",
    "near_equal_groups",
    "nearest_neighbors",
    "pareto_scaled",
    "part_of_cells",
    "participation",
    "lobpcg",
    "residuals",
    "shift_invert",
    "scale_table",
    "spectral_surrogates",
    "suggest_n_comps",
    "variable_genes",
]
