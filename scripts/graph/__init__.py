"""The cell graph: neighbours, edges, Laplacian, frequencies, and labels on it. Arrays only."""

from scripts.graph.edges import adjacency, knn_graph
from scripts.graph.eigensolvers import residuals
from scripts.graph.labels import label_energy, label_separation
from scripts.graph.neighbors import N_EXACT, Neighbors, entered_neighbors, nearest_neighbors
from scripts.graph.spectrum import (
    dirichlet_energy,
    extend,
    frequencies,
    laplacian,
    largest_part,
    near_equal_groups,
    part_sizes,
    solver_for,
    suggest_n_comps,
)

__all__ = [
    "N_EXACT",
    "Neighbors",
    "adjacency",
    "dirichlet_energy",
    "entered_neighbors",
    "extend",
    "frequencies",
    "knn_graph",
    "label_energy",
    "label_separation",
    "laplacian",
    "largest_part",
    "near_equal_groups",
    "nearest_neighbors",
    "part_sizes",
    "residuals",
    "solver_for",
    "suggest_n_comps",
]
