"""Pairs that are found where there are none, and where some were planted: `python -m benchmarks.pair_nulls`.

On the cells and genes of each data set: what the scan of gene pairs itself finds, beside surrogates of the same
smoothness, with its time and memory; 20 runs of it on targets, or cells, without any pair; and 20 of the test of
products of programs on linear targets. On Paul15 besides: pairs planted into its own genes, and made cells of as many.
"""

import argparse
import os
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path

import anndata as ad
import numpy as np
from sklearn.metrics import average_precision_score

from scripts import cells, datasets, evaluation, models, programs, reading, sources
from scripts.blocks import dense

N_RUNS = 20
POWER = ((0.005, 0.25), (0.01, 0.25), (0.02, 0.25), (0.01, 0.1), (0.01, 0.0))  # share of variance, of cells


def null_runs(adata: ad.AnnData) -> None:
    """How many runs call any pair of genes, and the largest |T| of each null."""
    largest, n_found = defaultdict(list), 0
    X, y, graph, counts = dense(adata.X), adata.obsm["X_freq"], adata.obsp["connectivities"], adata.layers["counts"]
    for run in range(N_RUNS):
        null = cells.NULLS[run % len(cells.NULLS)]
        found = reading.scan_pairs(reading.condition(*cells.without_pairs(null, X, y, graph, counts, run)))
        n_found += found.largest >= found.threshold
        largest[null].append(found.largest)
        print(f"  run {run}, {null}: {found.largest:.2f} (called from {found.threshold:.2f})", flush=True)
    shown = "; ".join(f"{null} {max(sizes):.2f}" for null, sizes in largest.items())
    print(f"largest |T| without any pair of genes: {shown}")
    print(f"runs in which one is called: {n_found} of {N_RUNS} (bound 1)", flush=True)


def program_runs(adata: ad.AnnData) -> None:
    """How many runs without any product of programs call one, each with its own halves of the cells."""
    y, genes, n_found = adata.obsm["X_freq"], list(adata.var_names), 0
    for run in range(N_RUNS):
        parts = programs.divided(adata, run)
        null = programs.linear_targets(adata.X, programs.fit_programs(adata.X, y, parts, genes), run)
        table = programs.term_table(programs.fit_programs(adata.X, null, parts, genes))
        n_found += bool(table["called"].any())
        print(f"  run {run}: {int(table['called'].sum())} of {len(table)} products of programs", flush=True)
    print(f"runs on linear targets in which one is called: {n_found} of {N_RUNS} (bound 1)", flush=True)
    X, graph, counts = dense(adata.X), adata.obsp["connectivities"], adata.layers["counts"]
    n_called = defaultdict(list)
    for run in range(N_RUNS):
        null = cells.NULLS[run % len(cells.NULLS)]
        drawn, targets = cells.without_pairs(null, X, y, graph, counts, run)
        fitted = programs.fit_programs(drawn, targets, programs.halves(len(drawn), run), genes)
        n_called[null].append(int(programs.term_table(fitted)["called"].sum()))
    print(f"products of programs called in each run without pairs of genes: {dict(n_called)}", flush=True)


def power(adata: ad.AnnData) -> None:
    """Pairs planted into the cells' own genes, and made cells with as many genes that do nothing."""
    X, y = dense(adata.X), adata.obsm["X_freq"]
    for share, least_cells in POWER:
        rows = evaluation.recovery.pair_power(X, y, shares=(share,), least_cells=least_cells)
        n_called = rows["n_called"].sum()
        precision = (rows["precision"] * rows["n_called"]).sum() / max(n_called, 1)
        print(
            f"pairs of {share:.1%} of the variance, of genes in {least_cells:.0%} of the cells or more: "
            f"AUPRC {rows['auprc'].mean():.2f} (bound .7 at 1%, 25%), {precision:.2f} of {n_called} called are planted "
            f"(bound .95), recall {rows['recall'].mean():.2f}",
            flush=True,
        )
    made = cells.plant(cells.Planting(n_cells=2730, n_noise=3000))
    given = reading.condition(made.X, made.y @ made.contrast.T)
    rows = evaluation.recovery.scan_recovery(reading.scan_pairs(given), given, made.pairs[None])
    print(f"made cells, {made.X.shape[1]:,} genes: AUPRC {rows['auprc'].iloc[0]:.3f} (bound .98)", flush=True)


def held_pairs(adata: ad.AnnData) -> None:
    """What the model gains by called pairs, and where a ridge on all genes ranks the pairs that were planted."""
    adata, genes = adata.copy(), list(adata.var_names)
    adata.obsm["X_freq"], planted = cells.with_pairs(dense(adata.X), adata.obsm["X_freq"], 10, 0.01)
    split = cells.run_split(adata)
    on_components, on_genes = models.BilinearRidge(), models.GeneRidge()
    for model in (on_components, on_genes):
        model.fit(split.train, split.val)
    form, found = on_components.form(genes), reading.scan_pairs(reading.condition(*split.train.arrays()))
    called = found.strongest[reading.scan_table(found, genes)["called"]]
    gained = evaluation.gain_of_products(form, models.fit_products(form, called, split.train, split.val), split)
    before, after = (np.array2string(gained[name].to_numpy(), precision=2) for name in ("test_r2", "test_r2_with"))
    print(
        f"{len(called)} pairs called, {gained['n_products'].sum()} held: R2 of test cells {before}, with them {after}"
    )
    form, (i, j) = on_genes.form(genes), np.triu_indices(len(genes), 1)
    precision = []
    for pairs, core in zip(planted, form.core, strict=True):
        weights = np.abs((form.basis @ core @ form.basis.T)[i, j])
        precision.append(average_precision_score(np.isin(i * len(genes) + j, pairs @ [len(genes), 1]), weights))
    print(f"ridge on all genes: AUPRC of the planted pairs {np.mean(precision):.3f}", flush=True)


def own_pairs(adata: ad.AnnData) -> None:
    """What is called, with how long it took, beside surrogates."""
    before, used = peak(), time.process_time()
    given = reading.condition(dense(adata.X), adata.obsm["X_freq"])
    found = reading.scan_pairs(given)
    used = time.process_time() - used
    print(
        f"{found.n_tests:,} tests: {used:.1f} s of a core (bound 30); the process held at most {peak():.2f} GB "
        f"(bound 1), of which {before:.2f} GB to prepare the cells",
        flush=True,
    )
    n_called = int((np.abs(found.strongest["t"]) >= found.threshold).sum())
    largest = reading.largest_of_surrogates(given, adata.obsp["connectivities"])
    shown = ", ".join(f"{t:.2f}" for t in largest)
    print(f"called: {n_called}; largest |T| {found.largest:.2f}, of surrogates {shown}", flush=True)


def peak() -> float:
    """The most that the process has held so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> None:
    """Print all of it."""
    shared = Path(os.environ.get("BMLP_DATA_DIR", "data")) / "sorted_pbmc.h5ad"
    found = argparse.ArgumentParser(description=__doc__)
    found.add_argument(
        "--datasets",
        nargs="+",
        default=["paul15", *([str(shared)] if shared.exists() else [])],
        help="names or files (default: paul15, and sorted_pbmc.h5ad where the data folder holds it)",
    )
    for name in found.parse_args().datasets:
        print(name, flush=True)
        adata = datasets.prepare(sources.resolve(name), cells.Preparation(unconnected="largest"))
        own_pairs(adata)
        if name == "paul15":
            power(adata)
            held_pairs(adata)
        null_runs(adata)
        program_runs(adata)


if __name__ == "__main__":
    main()
