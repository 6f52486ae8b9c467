"""Graph and frequencies of cells of five shapes, 2,000 to 50,000: `python -m benchmarks.shapes [largest number]`.

Neighbours are found as by default, exactly up to 10,000 cells; beyond, the frequencies are held against those of the
exact graph: 1 - the smallest canonical correlation. The eigensolver that is chosen stands beside the rule of before, a
factorised Laplacian up to 30,000 cells and LOBPCG beyond, on the same graph and in the same process.
"""

import sys
import time

import numpy as np
import torch  # noqa: F401 - takes a second, which the first solver that needs it would pay

from benchmarks.cells import shaped_cells
from scripts import graph
from scripts.graph import lobpcg, shift_invert

SHAPES = ("line", "star", "tree", "cluster", "swiss roll")
SIZES = (2_000, 5_000, 10_000, 20_000, 50_000)


def measure(shape: str, n_cells: int) -> float:
    """Print one row; returns the CPU seconds of graph (k = 10) and five frequencies."""
    X = shaped_cells(shape, n_cells)
    begin = time.process_time()
    found = graph.nearest_neighbors(X, 10, "euclidean")
    adjacency = graph.adjacency(found)
    kept = graph.largest_part(adjacency)
    adjacency = adjacency[kept][:, kept]
    middle = time.process_time()
    values, vectors, solver = graph.frequencies_by(adjacency, 5)
    end = time.process_time()
    L, n_kept = graph.laplacian(adjacency), int(kept.sum())
    before = shift_invert if n_kept <= 30_000 else lobpcg
    begin_before = time.process_time()
    _, expected = before(L, 5, np.full(n_kept, n_kept**-0.5), 1e-3)
    took = time.process_time() - begin_before
    shared = graph.canonical_correlations(vectors, expected)[-1].min()
    lost = 0.0 if found.recall == 1 else apart_from_exact(X, kept, vectors)
    print(
        f"{shape:10s}  {n_kept:6,}  {middle - begin:7.2f}  {solver:12s}  {end - middle:13.2f}  {took:8.2f}  "
        f"{(end - middle) / took:5.2f}  {graph.residuals(L, values, vectors).max():8.1e}  {1 - shared:18.1e}  "
        f"{found.recall:6.4f}  {lost:8.1e}",
        flush=True,
    )
    return end - begin


def apart_from_exact(X: np.ndarray, kept: np.ndarray, vectors: np.ndarray) -> float:
    """How far frequencies of the cells `kept` are from those of the graph of all distances."""
    rows, _, exact = graph.frequencies_in_parts(
        graph.adjacency(graph.nearest_neighbors(X, 10, "euclidean", n_exact=len(X))), vectors.shape[1]
    )
    _, of_kept, of_exact = np.intersect1d(np.flatnonzero(kept), rows, return_indices=True)
    return 1 - graph.canonical_correlations(vectors[of_kept], exact[of_exact])[-1].min()


def main() -> None:
    """Print the table, and how the time grows from 10,000 to 20,000 cells."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1]
    measure(SHAPES[0], SIZES[0])  # wakes the libraries
    print(
        "shape        cells  graph s  solver        frequencies s  before s  ratio  residual  apart from before  "
        "recall  apart from exact graph"
    )
    for shape in SHAPES:
        total = {n_cells: measure(shape, n_cells) for n_cells in SIZES if n_cells <= largest}
        if 20_000 in total:
            print(
                f"{shape}, 20,000 cells beside 10,000: {total[20_000] / total[10_000]:.1f} times (bound 3)", flush=True
            )


if __name__ == "__main__":
    main()
