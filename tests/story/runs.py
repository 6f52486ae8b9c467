"""A small run folder as the notebooks fill it, made of numbers that a test can check, under names that do harm."""

import shlex

import anndata
import numpy as np
import pandas as pd

from scripts.models import PolynomialForm, monomials
from scripts.report import Run
from tests.chain_runs import HOSTILE

GENES = [f"{name} {number}" for number, name in enumerate([*HOSTILE.values()][-20:])]
TYPES = [HOSTILE["script"], HOSTILE["image"], "Mono", "Ery"]
N = 400


def filled(folder, without=(), **changed):
    """A run of two frequencies: the first is sound, the second follows depth, and its module has another axis.

    without : names of tables that are left out; changed : tables that take the place of those below.
    """
    random = np.random.default_rng(0)
    place = np.sort(random.uniform(-1, 1, N))
    across = random.normal(size=N)
    X = np.maximum(random.normal(size=(N, len(GENES))) + np.outer(place, np.linspace(-2, 2, len(GENES))), 0)
    v = np.column_stack([place, across])
    v = (v - v.mean(axis=0)) / np.linalg.norm(v - v.mean(axis=0), axis=0)
    types = pd.Categorical([TYPES[int(4 * (p + 1) / 2.001)] for p in place], TYPES)
    adata = anndata.AnnData(X.astype(np.float32), obs={"kind": types, "total_counts": random.uniform(size=N)})
    adata.obs_names, adata.var_names = [f"<i>{number}</i>" for number in range(N)], GENES
    adata.obs["split"] = np.where(np.arange(N) % 5 == 0, "test", "train")
    axes = np.column_stack([place + 0.1 * across, place])  # the module of frequency 1 repeats that of frequency 0
    adata.obsm.update({"X_freq": v, "X_umap_freq": v.copy(), "X_axes": axes, "X_modules": axes**2})
    adata.uns = {
        "label": "kind",
        "freq_vals": np.array([0.1, 0.2]),
        "dataset": {"name": "mine", "reason": "the file as named", "left_out": [], "said": [], "steps": ["log1p"]},
        "graph": {"built on": "all genes"},
        "bmlp": {"columns": ["f0_m1", "f1_m1"], "frequency": [0, 1], "module": [1, 1]},
    }
    settings = {"dataset": "mine.h5ad", "label": "", "k_neighbors": 10, "metric": "cosine", "laplacian": "unnormalized"}
    facts = {"data": f"mine: {N} cells x {len(GENES)} genes {HOSTILE['script']}"}
    Run(folder, "01_data", settings | {"csv_safe": True}).save(cells=adata, facts=facts)
    for notebook, of_notebook in (tables() | changed).items():
        kept = {name: table for name, table in of_notebook.items() if name not in without}
        extra = {"facts": {"missing": {"Hallmark": "gone"}}} if notebook == "06_go_terms" else {}
        parameters = {"term_fdr": 0.05, "model": "closed form", "n_splits": 2}
        extra |= {"model_of_programs": polynomials()} if notebook == "07_programs" else {}
        Run(folder, notebook, parameters).save(key_figures={"held-out R², bilinear": "0.81"}, **extra, **kept)
    return Run(folder)


def polynomials():
    """Both frequencies as the product of two programs, the second as the opposite of the first."""
    axes, weights = np.eye(len(GENES))[:, :2], np.zeros((2, len(monomials(2))))
    weights[:, monomials(2).index((0, 1))] = [1, -1]
    return PolynomialForm.from_monomials(axes, np.zeros(2), weights, np.zeros(2), genes=GENES)


def tables():
    """All tables that the story reads, by notebook."""
    scales = {
        "frequency": [0, 1],
        "eigenvalue": [0.1, 0.2],
        "together_lowest": [0.97, 0.55],
        "comes_back": [True, False],
    }
    scales |= {"group": [0.0, np.nan], "structure": ["yes", "no"], "beyond_depth_r2": [0.62, 0.02]}
    r2 = {
        "linear ridge": [0.71, 0.31],
        "bilinear": [0.81, 0.34],
        "programs": [0.84, 0.36],
        "RBF kernel ridge": [0.85, 0.37],
    }
    judged = [
        {
            "protocol": "frequencies from all cells",
            "split": split,
            "model": model,
            "frequency": f,
            "r2": values[f],
            "chosen": False,
        }
        for model, values in r2.items()
        for f in (0, 1)
        for split in (0, 1)
    ]
    poles = [
        {"frequency": f, "module": 1, "pole": pole, "rank": rank, "gene": gene, "loading": 0.1}
        for f in (0, 1)
        for pole, genes in (("positive", GENES[-5:]), ("negative", GENES[:5]))
        for rank, gene in enumerate(genes, start=1)
    ]
    drivers = [
        {"frequency": f, "gene": gene, "correlation": r, "ci_low": r - 0.05, "ci_high": r + 0.05, "q_value": 1e-9}
        for f in (0, 1)
        for gene, r in zip(
            [*GENES[-7:], *GENES[:7]], [*np.linspace(0.9, 0.3, 7), *np.linspace(-0.8, -0.3, 7)], strict=True
        )
    ]
    term = {"library": "GO", "overlap": 5, "adjusted_p": 1e-6, "axis_correlation": 0.9, "genes": shlex.join(GENES[-5:])}
    found = [
        {"frequency": 0, "source": "module 1", "pole": "positive", "term": "Heme <b>", "finding": "Heme <b>"} | term,
        {"frequency": 0, "source": "correlation", "pole": "positive", "term": "Iron", "finding": "Heme <b>"} | term,
        {"frequency": 1, "source": "module 1", "pole": "positive", "term": "Elsewhere", "finding": "Elsewhere"} | term,
    ]
    panel = {"split": 0, "n_genes": 5, "frequency": 0, "genes": "a b c d e"}
    depth = {"kind": "depth", "covariate": "total counts"}
    pairs = {
        "frequency": [0, 0],
        "gene_i": GENES[:2],
        "gene_j": GENES[2:4],
        "t": [-9.5, 3.1],
        "adjusted_p": [1e-9, 0.9],
    }
    products = {"frequency": [0], "order": [2], "programs": ["1 2"], "weight": [0.28], "t": [8.0]}
    program = {
        "program": [1, 1, 2, 2],
        "pole": ["positive", "negative"] * 2,
        "rank": 1,
        "gene": GENES[:4],
        "pattern": 0.5,
    }
    names, along = [f"<i>{number}</i>" for number in range(N)], np.linspace(-1, 1, N)
    scores = {"cell": names, "fitted": np.arange(N) % 2 == 0, "program_1": along, "program_2": np.sin(9 * along)}
    return {
        "02_visualize": {
            "scales": pd.DataFrame(scales),
            "scale_changes": pd.DataFrame({"changed": ["k_neighbors 5"], "frequency": [0], "together": [0.91]}),
        },
        "03_train": {"performance": pd.DataFrame(judged)},
        "04_interpret": {
            "modules": pd.DataFrame(poles).assign(stability=0.8, trusted=True),
            "pairs": pd.DataFrame(pairs).assign(called=[True, False], confirmed=[True, False]),
            "branch_genes": pd.DataFrame(
                {"branch": [0], "name": ["Ery"], "rank": [1], "gene": GENES[:1], "pattern": [0.7]}
            ),
        },
        "05_compare": {
            "drivers": pd.DataFrame(drivers),
            "panels": pd.DataFrame([panel | {"method": "correlation", "r2": 0.66}]),
            "covariates": pd.DataFrame(
                [
                    depth | {"frequency": 0, "r2": 0.05, "warned": False},
                    depth | {"frequency": 1, "r2": 0.33, "warned": True},
                ]
            ),
        },
        "06_go_terms": {"enrichment": pd.DataFrame(found)},
        "07_programs": {
            "programs": pd.DataFrame(program),
            "program_scores": pd.DataFrame(scores),
            "program_terms": pd.DataFrame(products).assign(called=True, replicated=True),
        },
    }
