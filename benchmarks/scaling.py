"""Graph and frequencies from 3,000 to 1,000,000 synthetic cells: CPU time, memory, recall, residual and growth.

Of cells in a tree, whose noise falls off with the components, and in a star with the same noise in all components.
`python -m benchmarks.scaling [largest number of cells]`; every size runs in a process of its own, so that its peak
memory is its own. The dense method, in float32 as it began, is timed at 5,000, 10,000 and 20,000 cells and extrapolated
from there by its own n^2 and n^3; that takes most of the time.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np
from scipy.optimize import nnls

from benchmarks.cells import branching_cells, shaped_cells
from scripts import graph
from scripts.cells import CellDataset
from scripts.models import BilinearRidge
from tests import reference

SIZES = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
DENSE_SIZES = (5_000, 10_000, 20_000)


def measure(n_cells: int, shape: str = "tree") -> dict[str, float]:
    """Graph (k = 10) and 5 frequencies of synthetic cells in 50 components; CPU seconds and GB."""
    X = shaped_cells(shape, n_cells)
    begin = time.process_time()
    found = graph.nearest_neighbors(X, 10, "euclidean")
    adjacency, recall = graph.adjacency(found), found.recall
    del found  # and the lists that were searched, as where frequencies are made
    middle = time.process_time()
    kept = graph.largest_part(adjacency)
    adjacency = adjacency[kept][:, kept]
    values, vectors = graph.frequencies(adjacency, 5)
    end = time.process_time()
    return {
        "graph_s": middle - begin,
        "frequencies_s": end - middle,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "recall": recall,
        "residual": float(graph.residuals(graph.laplacian(adjacency), values, vectors).max()),
    }


def measure_ridge(n_cells: int) -> dict[str, float]:
    """Bilinear ridge on 50 components and all their products, summed over chunks of cells; seconds and GB."""
    X = branching_cells(n_cells + 1000)
    y = np.tanh(X[:, :5])
    train, val = CellDataset(X[:n_cells], y[:n_cells]), CellDataset(X[n_cells:], y[n_cells:])
    model = BilinearRidge(50, (50,), (1e-4,), (1e-4,))
    begin = time.perf_counter()
    model.fit(train, val)
    return {
        "seconds": time.perf_counter() - begin,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def graph_table(shape: str, largest: int) -> dict[int, float]:
    """Print time, memory, recall and residual of each number of cells; returns the CPU seconds."""
    print(f"{shape}\ncells      graph s  frequencies s  peak GB  recall  residual")
    total = {}
    for n_cells in (size for size in SIZES if size <= largest):
        row = in_own_process("measure", n_cells, shape)
        total[n_cells] = row["graph_s"] + row["frequencies_s"]
        print(
            f"{n_cells:<9,}  {row['graph_s']:7.1f}  {row['frequencies_s']:13.1f}  {row['peak_gb']:7.2f}  "
            f"{row['recall']:6.3f}  {row['residual']:8.1e}",
            flush=True,
        )
    return total


def ridge_table(largest: int) -> None:
    """Print time and memory of the normal equations, and how they grow."""
    sizes = [size for size in (10_000, 100_000, 1_000_000) if size <= largest]
    print("cells      bilinear ridge s  peak GB")
    total = {}
    for n_cells in sizes:
        row = in_own_process("measure_ridge", n_cells)
        total[n_cells] = row["seconds"]
        print(f"{n_cells:<9,}  {row['seconds']:16.1f}  {row['peak_gb']:7.2f}", flush=True)
    if len(total) > 1:
        exponent = np.log(total[sizes[-1]] / total[sizes[0]]) / np.log(sizes[-1] / sizes[0])
        print(f"growth from {sizes[0]:,} to {sizes[-1]:,} cells: n^{exponent:.2f} (bound 1.1; memory bound 4 GB)")


def in_own_process(function: str, *of: int | str, module: str = "benchmarks.scaling") -> dict:
    """What a function of a module returns, from a process whose peak memory is its own; it may print before."""
    code = f"import json; from {module} import {function}; print(); print(json.dumps({function}(*{of!r})))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def dense_seconds(n_cells: int) -> float:
    """The dense method extrapolated from smaller sizes: t = a n^2 + b n^3, both at least 0."""
    sizes = np.array(DENSE_SIZES, dtype=float)
    seconds = []
    for size in DENSE_SIZES:
        X = branching_cells(size)
        begin = time.process_time()
        reference.frequencies(X, k=10, n_comps=5, dtype=np.float32)
        seconds.append(time.process_time() - begin)
        print(f"dense method, {size:,} cells: {seconds[-1]:.1f} s", flush=True)
    terms = np.stack([sizes**2, sizes**3], axis=1) / np.array(seconds)[:, None]  # relative errors count alike
    a, b = nnls(terms, np.ones(len(sizes)))[0]
    return a * n_cells**2 + b * n_cells**3


def main() -> None:
    """Print the table."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else SIZES[-1]
    total, noisy = graph_table("tree", largest), graph_table("noisy star", largest)
    ridge_table(largest)
    if 1_000_000 in total:
        print(f"graph and frequencies of 1,000,000 cells: {total[1_000_000]:.0f} s (bound 180)")
        print(
            f"of a star with the same noise in all components: {noisy[1_000_000]:.0f} s (bound 240; recall .95, 5 GB)"
        )
    if {100_000, 1_000_000} <= set(total):
        print(
            f"growth from 100,000 to 1,000,000 cells: n^{np.log10(total[1_000_000] / total[100_000]):.2f} (bound 1.2)"
        )
    if 100_000 in total:
        dense = dense_seconds(100_000)
        print(
            f"100,000 cells, dense method extrapolated: {dense:.0f} s; ratio {total[100_000] / dense:.5f} (bound 0.01)"
        )


if __name__ == "__main__":
    main()
