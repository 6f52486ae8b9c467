"""How well, and how fast, cells never seen are scored: `python -m benchmarks.scoring cells.h5ad ...`, files of counts.

Half of the cells of each file are scored by a model of the other half, and held against the frequencies that they have
by extension from the graph of that other half, beside what held-out cells of the inductive splits give. Then 100,000
made cells of 2,000 genes are scored.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scripts import cells, datasets, graph, measures, models, reading, sources

SETTINGS = cells.Preparation(n_freq_comps=5, unconnected="largest")
N_HALVES, N_CELLS, N_GENES = 3, 100_000, 2000


def half_scored(file: str, whole: ad.AnnData, seed: int) -> np.ndarray:
    """R2 of the scored half's frequencies, (n_freq,); whole : all cells of the file, prepared."""
    order = np.random.default_rng(seed).permutation(whole.n_obs)
    one, other = np.sort(order[: whole.n_obs // 2]), np.sort(order[whole.n_obs // 2 :])
    raw = cells.read(Path(file))
    with tempfile.TemporaryDirectory() as folder:
        raw[whole.obs_names[one]].write_h5ad(half := Path(folder) / "half.h5ad")
        run = datasets.prepare(sources.resolve(str(half)), SETTINGS)
    split, model = cells.run_split(run), models.BilinearRidge()
    model.fit(split.train, split.val)
    scorer = reading.Scorer.of(model.form(list(run.var_names)), run)
    scores = reading.score(raw[whole.obs_names[other]], scorer)
    features = cells.graph_features(whole, SETTINGS, fit_rows=one)[0]
    found = graph.nearest_neighbors(features[one], SETTINGS.k_neighbors, SETTINGS.metric)
    adjacency = graph.adjacency(found)
    keep = graph.largest_part(adjacency)
    values, vectors = graph.frequencies(adjacency[keep][:, keep], SETTINGS.n_freq_comps)
    edges = graph.entered_neighbors(features[other], features[one], found, SETTINGS.metric)[:, keep]
    near = edges.sum(axis=1) > 0
    names = whole.obs_names[one][keep]
    shared = names.isin(run.obs_names)  # the same graph but for rounding: brought to the signs of the run's
    turned, *_ = np.linalg.lstsq(vectors[shared], run[names[shared]].obsm["X_freq"])
    y = graph.extend(edges[near], values, vectors) @ turned
    predicted = scores.loc[near, [f"freq_{f}" for f in range(y.shape[1])]].to_numpy()
    return measures.held_out_r2(y, predicted, run.obsm["X_freq"])


def inductive(whole: ad.AnnData) -> np.ndarray:
    """R2 of held-out cells of the inductive splits, (n_splits, n_freq)."""
    found = []
    for split in cells.inductive_splits(whole, SETTINGS, N_HALVES):
        model = models.BilinearRidge()
        model.fit(split.train, split.val)
        (X, y), (_, y_train) = split.test.arrays(), split.train.arrays()
        found.append(measures.held_out_r2(y, model.predict(X), y_train))
    return np.array(found)


def timed() -> str:
    """Seconds and memory of scoring made cells, a tenth of whose values are counts above 0."""
    random = np.random.default_rng(0)
    genes = [f"GENE{i}" for i in range(N_GENES)]
    weights = random.normal(size=(10, N_GENES)), random.normal(size=(10, N_GENES)), random.normal(size=(5, 10))
    form = models.BilinearForm.from_factors(*weights, genes=genes)
    blocks = [sparse.random(10_000, N_GENES, 0.1, "csr", np.float32, random_state=i) for i in range(N_CELLS // 10_000)]
    counts = sparse.csr_matrix(sparse.vstack(blocks))
    counts.data = np.ceil(20 * counts.data)
    run = ad.AnnData(counts[:2000].toarray(), var=pd.DataFrame(index=genes), layers={"counts": counts[:2000]})
    run.uns["dataset"], run.obsm["X_freq"] = (
        {"steps": ["normalize_total", "log1p", "scale"]},
        random.normal(size=(2000, 5)),
    )
    run.var["normalized_mean"], run.var["mean"], run.var["std"] = 1.0, 0.5, 1.0
    scorer = reading.Scorer.of(form, run)
    others = ad.AnnData(counts, var=pd.DataFrame(index=genes))[:, ::-1].copy()
    begin, used = time.perf_counter(), time.process_time()
    reading.score(others, scorer)
    wall, cpu = time.perf_counter() - begin, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9
    return f"{N_CELLS:,} cells x {N_GENES:,} genes: {wall:.1f} s ({cpu:.1f} s of a core), at most {peak:.2f} GB"


def main() -> None:
    """Print R2 of each file, and the time."""
    print(timed(), flush=True)
    for file in sys.argv[1:]:
        whole = datasets.prepare(sources.resolve(file), SETTINGS)
        rows = {f"half {seed}": half_scored(file, whole, seed) for seed in range(N_HALVES)}
        table = pd.DataFrame({"inductive": np.nanmean(inductive(whole), axis=0), **rows}).T
        print(f"{file}\n{table.assign(mean=table.mean(axis=1)).round(3).to_string()}\n", flush=True)


if __name__ == "__main__":
    main()
