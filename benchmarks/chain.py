"""What the whole chain takes as cells become more: `python -m benchmarks.chain [cells ...]`.

Sparse counts of 2,000 genes go through all notebooks, each size in a process of its own, beside Paul15. The counts are
written to disk block by block, so that as many cells can be asked for as the disk holds: `make bench` takes 20,000 and
100,000. The appendix, which reads no cells, is made by the first run and not again.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from anndata.io import sparse_dataset, write_elem
from scipy import sparse

from benchmarks.cells import branching_cells

N_GENES, N_LATENT = 2_000, 10
COUNTS = 2_000  # of a cell, on average
BLOCK = 20_000  # cells


def count_block(latent: np.ndarray, random: np.random.Generator, weights: np.ndarray) -> sparse.csr_matrix:
    """Poisson counts of cells, (n_cells, n_genes) float32.

    latent : (n_cells, n_latent); weights : (n_latent, n_genes).
    """
    rates = np.exp((latent @ weights).clip(-4, 4) + np.linspace(-4, 2, weights.shape[1], dtype=np.float32))
    depth = COUNTS * random.lognormal(0, 0.3, size=(len(latent), 1))
    return sparse.csr_matrix(random.poisson(rates / rates.sum(axis=1, keepdims=True) * depth), dtype=np.float32)


def made_cells(n_cells: int, n_genes: int = N_GENES) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Cells on the branches of a tree, (n_cells, N_LATENT), the weights of genes in them, (N_LATENT, n_genes) float32.

    And the generator that counts of them are drawn with.
    """
    random = np.random.default_rng(0)
    weights = random.normal(size=(N_LATENT, n_genes)).astype(np.float32)
    return branching_cells(n_cells, N_LATENT, depth=4, noise=0.3), weights, random


def count_blocks(n_cells: int, n_genes: int = N_GENES) -> Iterator[sparse.csr_matrix]:
    """Counts of `made_cells`, a block of them at a time."""
    latent, weights, random = made_cells(n_cells, n_genes)
    return (count_block(latent[start : start + BLOCK], random, weights) for start in range(0, n_cells, BLOCK))


def write_counts(path: Path, n_cells: int, n_genes: int = N_GENES) -> None:
    """Write .h5ad of sparse counts of `made_cells`, never more than a block of them in memory."""
    blocks = count_blocks(n_cells, n_genes)
    genes = pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)])
    ad.AnnData(next(blocks), var=genes).write_h5ad(path, compression="gzip", compression_opts=1)
    with h5py.File(path, "a") as file:
        for block in blocks:
            sparse_dataset(file["X"]).append(block)
        write_elem(file, "obs", pd.DataFrame(index=[f"cell{i}" for i in range(n_cells)]))


def measured(dataset: str, reports: str, run: str) -> dict[str, float]:
    """Core and wall seconds, the most that one process held, and the stored cells beside the file; run in a process."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "scripts", "report", "--dataset", dataset, "--reports", reports, "--run", run]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    row = {"seconds of a core": used.ru_utime + used.ru_stime, "wall": time.perf_counter() - begin}
    row["peak GB"] = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    for page in sorted(Path(reports, run).glob("[0-9]*.ipynb")):
        row[page.stem[:2]] = json.loads(page.read_text(encoding="utf-8"))["metadata"]["papermill"]["duration"]
    if Path(dataset).exists():
        row["stored / file"] = Path(reports, run, "cells.h5ad").stat().st_size / Path(dataset).stat().st_size
    return row


def in_a_process(*asked: str) -> dict[str, float]:
    """`measured`, in a process of its own, as the peak of children is that of all there have been."""
    command = [sys.executable, "-m", "benchmarks.chain", "--one", *asked]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a row for each number of cells, and how the time grows from one to the next."""
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument("cells", nargs="*", type=int, default=[20_000, 100_000], help="numbers of cells")
    found.add_argument(
        "--one", nargs=3, metavar=("DATASET", "REPORTS", "RUN"), help="measure one run, for this program itself"
    )
    asked = found.parse_args()
    if asked.one:
        print(json.dumps(measured(*asked.one)))
        return
    with tempfile.TemporaryDirectory() as folder:
        in_a_process("paul15", folder, "first")  # makes the appendix
        rows = {2_730: in_a_process("paul15", folder, "paul15")}
        for n_cells in asked.cells:
            write_counts(path := Path(folder) / "made.h5ad", n_cells)
            rows[n_cells] = in_a_process(str(path), folder, f"{n_cells}_cells")
            print(pd.DataFrame(rows).T.round(2).to_string(), flush=True)
    table = pd.DataFrame(rows).T
    growth = np.diff(np.log(table["seconds of a core"])) / np.diff(np.log(table.index.to_numpy(float)))
    print("seconds of a core grow as the number of cells to the power of", growth.round(2))


if __name__ == "__main__":
    main()
