"""What workers of a Dask cluster gain, and whether they find the same: `python -m benchmarks.cluster [cells]`.

Components of sparse counts and the neighbours of all cells, what 01 does block by block, with one worker of one thread,
with two, and in this process; and with two once more while one is killed. Workers have 4 GB each, and read cells and
lists from files. Two threads of this process against one are the most that two cores of the machine can gain.
"""

import argparse
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

import numpy as np
import pandas as pd
from distributed import LocalCluster
from scipy import sparse

from benchmarks.chain import count_blocks
from scripts import graph, parallel
from scripts.blocks import scatter
from scripts.parallel import FILES, MALLOC, cluster, side_by_side

MEMORY = "4GB"
N_COMPONENTS = 300


def made_counts(n_cells: int) -> sparse.csr_array:
    """Logarithms of counts of cells on the branches of a tree, (n_cells, n_genes) float32."""
    return sparse.csr_array(sparse.vstack(list(count_blocks(n_cells)))).log1p()


@contextmanager
def workers(n: int) -> Iterator[None]:
    """Within, work goes to n workers of one thread each."""
    own = "127.0.0.1"
    options = {"threads_per_worker": 1, "memory_limit": MEMORY, "host": own, "dashboard_address": f"{own}:0"}
    with LocalCluster(n_workers=n, env=MALLOC, **options) as started, cluster(started.scheduler_address, lambda: ""):
        side_by_side(_ready, range(4 * n))
        yield


def _ready(_: int) -> int:
    import faiss  # noqa: F401
    import torch  # noqa: F401

    return os.getpid()


def threads(n: int) -> AbstractContextManager:
    """Within, work is done by n threads of this process."""
    return patch.object(parallel, "N_WORKERS", n)


def measured(X: sparse.csr_array) -> tuple[dict[str, float], graph.Neighbors]:
    """Seconds of wall time of each part, of those that are done block by block alone, and the neighbours."""
    moments = [time.perf_counter()]
    points = graph.components(X, N_COMPONENTS, slice(None), 0)
    moments.append(time.perf_counter())
    found = graph.nearest_neighbors(points, 10)
    moments.append(time.perf_counter())
    scatter(X)
    moments.append(time.perf_counter())
    found.lists.search(points, 10)
    moments.append(time.perf_counter())
    components, neighbours, products, search = np.diff(moments)
    both = {"components": components, "neighbours": neighbours, "both": components + neighbours}
    return both | {"products": products, "search": search, "by blocks": products + search}, found


def same(a: graph.Neighbors, b: graph.Neighbors) -> float:
    """Share of the neighbours that two searches have in common."""
    return float((a.indices == b.indices).mean())


def main() -> None:
    """Print a row for each number of workers, each beside the results of this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="?", type=int, default=200_000)
    X = made_counts(parser.parse_args().cells)
    rows, expected = {}, None
    ways = {"1 thread": threads(1), "2 threads": threads(2), "1 worker": workers(1), "2 workers": workers(2)}
    for name, used in ways.items():
        with used:
            seconds, found = measured(X)
            expected = expected or found
            rows[name] = seconds | {"same neighbours": same(found, expected)}
    for moment in (0.3, 0.8):
        with workers(2):
            victim, *_ = side_by_side(_ready, range(2))
            threading.Timer(moment * rows["2 workers"]["both"], os.kill, (victim, signal.SIGKILL)).start()
            seconds, found = measured(X)
            rows[f"2 workers, one killed at {moment:.0%}"] = seconds | {"same neighbours": same(found, expected)}
    table = pd.DataFrame(rows).T
    print(table.round(3).to_string())
    for what in ("both", "by blocks"):
        ratios = [table[what][f"2 {kind}s"] / table[what][f"1 {kind}"] for kind in ("thread", "worker")]
        print(f"{what}: two threads take {ratios[0]:.2f} of one's time, two workers {ratios[1]:.2f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=".") as folder:
        os.environ[FILES] = os.path.abspath(folder)
        main()
