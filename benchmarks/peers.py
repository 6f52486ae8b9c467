"""Time and memory beside packages of others, on the same made cells: `python -m benchmarks.peers [cells ...]`.

Components, graph and frequencies beside scanpy's components, neighbours and diffusion map, of 20,000 and 100,000 cells;
modules and pairs of genes beside Hotspot and cNMF (`make rivals` installs them), of 5,000 cells and as many genes. Each
runs in a process of its own, and once on few cells before it is timed: some compile at their first call.

They do not compute the same. A diffusion map has the eigenvectors of a kernel that is weighted and normalised by the
density of cells, frequencies those of the plain Laplacian: both are smooth on the cells, and no vector need be equal.
Modules and Hotspot are asked about frequencies that are known, cNMF about counts alone.
"""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from benchmarks.chain import made_cells, write_counts
from benchmarks.scaling import in_own_process
from scripts import cells, graph, models, rankings, reading
from scripts.blocks import Standard, evenly

K, N_COMPONENTS, N_FREQ, METRIC = 10, 50, 5, "cosine"
N_CELLS_OF_GENES, N_GENES = 5_000, 5_000
N_COMPILED = 5_000  # cells of the run before that of graphs; scanpy compares all pairs of fewer than 4,096
FEW = (slice(1_000), slice(None, None, 10))  # cells and genes of the run before that of genes
N_JUDGED = 500  # cells whose true neighbours are looked for
N_NAMED = 25  # genes of a list
N_PAIRED = 500  # genes of largest Z whose pairs Hotspot is asked about


class Clock:
    """CPU and wall seconds of each step, and the most that this process had held at its end, in GB."""

    def __init__(self):
        self.steps: dict[str, dict[str, float]] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is done within."""
        cpu, wall = sum(os.times()[:4]), time.perf_counter()
        yield
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
        row = {"CPU s": sum(os.times()[:4]) - cpu, "wall s": time.perf_counter() - wall, "peak GB": most}
        self.steps[name] = row


def make(folder: str, n_cells: int, n_genes: int) -> None:
    """Write the counts that all are given."""
    write_counts(Path(folder, "counts.h5ad"), n_cells, n_genes)


def counted(folder: str) -> ad.AnnData:
    """Cells with counts as a layer, and logarithms of normalised counts as X."""
    adata = ad.read_h5ad(Path(folder, "counts.h5ad"))
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    return adata


def own_graph(folder: str) -> dict:
    """Steps of this project, as notebook 01 takes them, and how good their results are; these are stored."""
    X = sparse.csr_matrix(counted(folder).X)
    for some in (X[:N_COMPILED], X):
        clock = Clock()
        with clock.step("components"):
            points = graph.components(some, N_COMPONENTS, slice(None), 0)
        with clock.step("neighbours, graph"):
            found = graph.nearest_neighbors(points, K, METRIC)
            adjacency = graph.adjacency(found)
        with clock.step("frequencies"):
            kept = graph.largest_part(adjacency)
            values, vectors = graph.frequencies(adjacency[kept][:, kept], N_FREQ)
    np.savez(Path(folder, "own.npz"), points=points, kept=kept, vectors=vectors)
    L = graph.laplacian(adjacency[kept][:, kept])
    residual = float(graph.residuals(L, values, vectors).max())
    return {"steps": clock.steps, "recall": recall(points, found.indices), "residual": residual}


def scanpy_graph(folder: str) -> dict:
    """Steps of scanpy, with its own defaults; neighbours are those in the components that `own_graph` has stored."""
    X, own = counted(folder).X, np.load(Path(folder, "own.npz"))
    points, kept = own["points"], own["kept"]
    for n_cells in (N_COMPILED, len(points)):
        clock, adata = Clock(), ad.AnnData(X[:n_cells], obsm={"points": points[:n_cells]})
        with clock.step("pp.pca"):
            sc.pp.pca(adata, N_COMPONENTS)
        with clock.step("pp.neighbors"):
            sc.pp.neighbors(adata, K + 1, use_rep="points", metric=METRIC, transformer=scanpy_search(n_cells))
        with clock.step("tl.diffmap"):
            sc.tl.diffmap(adata, N_FREQ + 1)  # the first is constant but for the density
    distances = sparse.csr_array(adata.obsp["distances"])
    indices = np.split(distances.indices, distances.indptr[1:-1])
    diffmap = adata.obsm["X_diffmap"][kept, 1:]
    alike = graph.canonical_correlations(own["vectors"], diffmap.astype(np.float64))[-1]
    variance = float(points.var(axis=0).sum() / adata.obsm["X_pca"].var(axis=0).sum())
    return {"steps": clock.steps, "recall": recall(points, indices), "alike": alike.tolist(), "variance": variance}


def scanpy_search(n_cells: int) -> Any:
    """The search that scanpy takes of many cells, with its numbers; of fewer than 4,096, None: all are compared.

    What pynndescent 0.7 returns, a sparse array, scanpy 1.11 does not take.
    """
    if n_cells < 4096:
        return None
    search = import_module("pynndescent").PyNNDescentTransformer

    class Search(search):
        def fit_transform(self, X, y=None, **more):
            return sparse.csr_matrix(super().fit_transform(X, y, **more))

    n_trees, n_iters = min(64, 5 + round(n_cells**0.5 / 20)), max(5, round(np.log2(n_cells)))
    own = {"n_jobs": sc.settings.n_jobs, "n_trees": n_trees, "n_iters": n_iters}
    return Search(n_neighbors=K + 1, metric=METRIC, random_state=0, **own)  # it counts the cell itself


def recall(points: np.ndarray, indices: Iterable[np.ndarray]) -> float:
    """Share of the true K nearest neighbours that are among those found, over some cells.

    points : (n_cells, n_components); indices : of each cell, its neighbours, with or without itself.
    """
    rows, indices = evenly(len(points), N_JUDGED), list(indices)
    search = NearestNeighbors(n_neighbors=K + 1, metric=METRIC, algorithm="brute").fit(points)
    true = search.kneighbors(points[rows], return_distance=False)
    found = [len(set(near) & set(indices[row]) - {row}) for row, near in zip(rows, true, strict=True)]
    return float(np.mean(found) / K)


def frequencies_of(folder: str) -> tuple[ad.AnnData, np.ndarray, np.ndarray]:
    """The cells of the graph, their frequencies, and of all cells which they are."""
    own = np.load(Path(folder, "own.npz"))
    kept = np.flatnonzero(own["kept"])
    return counted(folder)[kept], own["vectors"], kept


def own_modules(folder: str) -> dict:
    """Closed form of the training cells, genes of its modules, and the scan of all pairs, as notebooks 03 and 04."""
    adata, y, kept = frequencies_of(folder)
    for rows, columns in (FEW, (slice(None), slice(None))):
        X, y_some, genes = np.asarray(adata.X[rows, columns].todense()), y[rows], list(adata.var_names[columns])
        clock = Clock()
        with clock.step("closed form"):
            X = Standard.of(X).scaled(X)
            train, val, _ = (cells.CellDataset(X[some], y_some[some]) for some in cells.split_rows(len(X)))
            model = models.BilinearRidge()
            model.fit(train, val)
        with clock.step("modules"):
            form, (X_train, y_train) = model.form(genes), train.arrays()
            table = reading.module_table(form, reading.patterns(form, X_train), N_NAMED)
        with clock.step("all pairs, tested"):
            reading.scan_pairs(reading.condition(X_train, y_train))
    first = table[table["module"] == 1].groupby(["frequency", "pole"])["gene"]
    lists = [adata.var_names.get_indexer(names) for _, names in first]
    return {"steps": clock.steps, "n_lists": len(lists), "together": together(lists, kept)}


def hotspot_modules(folder: str) -> dict:
    """Hotspot's Z of all genes, pairs of those of largest Z, and its modules of these."""
    adata, y, kept = frequencies_of(folder)
    counts = sparse.csr_array(adata.layers["counts"])
    with rankings.quiet():
        for rows, columns in (FEW, (slice(None), slice(None))):
            clock = Clock()
            with clock.step("Z of all genes"):
                search, varies = rankings.hotspot_search(counts[rows][:, columns], y[rows])
                z = search.compute_autocorrelations()["Z"].sort_values(ascending=False)
            with clock.step(f"pairs of {N_PAIRED} genes"):
                search.compute_local_correlations(z.index[:N_PAIRED])
            with clock.step("modules"):
                module = search.create_modules()
    best_first = module.reindex(z.index[:N_PAIRED])
    lists = [
        varies[best_first.index[best_first == name].astype(int)][:N_NAMED]
        for name in best_first.unique()
        if name != -1  # genes of no module
    ]
    return {"steps": clock.steps, "n_lists": len(lists), "together": together(lists, kept)}


def cnmf_modules(folder: str) -> dict:
    """Programs of cNMF."""
    adata, _, kept = frequencies_of(folder)
    counts = sparse.csr_array(adata.layers["counts"])
    with rankings.quiet():
        for rows, columns in (FEW, (slice(None), slice(None))):
            clock = Clock()
            with clock.step("programs"):
                _, scores = rankings.cnmf_programs(counts[rows][:, columns])
    lists = list(np.argsort(-scores, axis=0, kind="stable")[:N_NAMED].T)
    return {"steps": clock.steps, "n_lists": len(lists), "together": together(lists, kept)}


def together(lists: list[np.ndarray], kept: np.ndarray) -> float:
    """How far genes that are listed together were made to go together.

    The mean, over lists and their pairs, of the correlation of two genes' planted logarithms of rates, which no method
    is shown. lists : of places of genes; kept : (n_cells,) int. NaN of no list.
    """
    latent, weights, _ = made_cells(N_CELLS_OF_GENES, N_GENES)
    found = []
    for genes in (genes for genes in lists if len(genes) > 1):
        of_pairs = np.corrcoef(latent[kept] @ weights[:, genes], rowvar=False)
        found.append(of_pairs[np.triu_indices(len(genes), k=1)].mean())
    return float(np.mean(found)) if found else float("nan")


def by_chance(folder: str) -> float:
    """`together` of lists of random genes."""
    random = np.random.default_rng(0)
    kept = frequencies_of(folder)[2]
    return together([random.choice(N_GENES, N_NAMED, replace=False) for _ in range(100)], kept)


OF_GENES = {"this project": "own_modules", rankings.HOTSPOT: "hotspot_modules", rankings.CNMF: "cnmf_modules"}


def print_steps(steps_of: dict[str, dict]) -> None:
    """A row for each step of each method."""
    rows = {(name, step): row for name, found in steps_of.items() for step, row in found["steps"].items()}
    print(pd.DataFrame(rows).T.round(2).to_string(), flush=True)


def compare_graphs(folder: str, n_cells: int, n_genes: int) -> None:
    """Print what graph and eigenvectors of so many cells take, and how good and how alike they are."""
    in_own_process("make", folder, n_cells, n_genes, module="benchmarks.peers")
    own = in_own_process("own_graph", folder, module="benchmarks.peers")
    peer = in_own_process("scanpy_graph", folder, module="benchmarks.peers")
    print(f"\n{n_cells:,} cells x {n_genes:,} genes, k = {K}, {N_FREQ} frequencies")
    print_steps({"this project": own, "scanpy": peer})
    print(f"true neighbours found: this project {own['recall']:.3f}, scanpy {peer['recall']:.3f}")
    print(f"variance in {N_COMPONENTS} components, beside scanpy's: {peer['variance']:.4f}")
    print(f"largest residual of the frequencies: {own['residual']:.0e}")
    alike = ", ".join(f"{value:.3f}" for value in peer["alike"])
    print(f"canonical correlations of frequencies and diffusion components, of another kernel: {alike}", flush=True)


def compare_modules(folder: str) -> None:
    """Print what modules and pairs of genes take, and how far genes listed together go together."""
    asked = [name for name in OF_GENES if name in ("this project", *rankings.installed())]
    found = {name: in_own_process(OF_GENES[name], folder, module="benchmarks.peers") for name in asked}
    print(f"\n{N_CELLS_OF_GENES:,} cells x {N_GENES:,} genes")
    print_steps(found)
    for name in OF_GENES:
        if name not in found:
            print(f"{name}: not installed (make rivals)")
    for name, of in found.items():
        print(f"{name}: genes of a list correlate by {of['together']:.2f} as planted (mean of {of['n_lists']} lists)")
    print(f"random genes: {by_chance(folder):.2f}")


def main() -> None:
    """Print a table for each number of cells, and one of genes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cells", nargs="*", type=int, default=[20_000, 100_000], help="numbers of cells of the graphs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for n_cells in asked.cells:
            compare_graphs(folder, n_cells, 2_000)
        compare_graphs(folder, N_CELLS_OF_GENES, N_GENES)  # whose frequencies the genes are asked about
        compare_modules(folder)


if __name__ == "__main__":
    main()
