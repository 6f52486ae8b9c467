"""Runs of the whole chain, as a user starts them, on data made for tests."""

import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "n_epochs": 20,
    "d_hidden": 16,
    "n_freq_comps": 3,
    "n_rebuilt": 2,
    "n_splits": 2,
    "n_inductive": 2,
    "n_subsamples": 2,
    "n_seeds": 2,
    "n_pairs": 10,
    "n_bootstraps": 10,
    "n_surrogates": 1,
    "n_divisions": 3,
    "panel_sizes": [5, 25],
    "n_permutations": 20,
    "cluster_numbers": [3, 6, 12],
    "class_splits": 2,
    "class_epochs": 50,
    "planted_cells": 500,
    "planted_noise_genes": 60,
    "planted_interactions": [0.0, 1.0],
    "planted_shares": [0.05],
    "planted_seeds": 1,
}
HOSTILE = {
    "script": "<script>window.hostile='script'</script>",
    "quotes": '"it\'s" quoted',
    "Cyrillic": "Ген β",
    "Japanese": "遺伝子",
    "image": "<img src=x onerror=window.hostile='image'>",
    "entity": "a&lt;b&amp;c",
    "bold": "<b>bold</b>",
    "handler": "\" onmouseover=\"window.hostile='handler'",
    "link": "<a href='https://a.example'>a</a>",
    "emphasis": "*bold* __bold__ _a_ `code` ~~out~~",
    "Markdown link": "[x](javascript:window.hostile='link') ![p](https://a.example/p.png)",
    "address": "https://a.example www.a.example",
    "heading": "# h",
    "quote": "> q",
    "row": "| a | b |",
    "TeX": "$x$ %{y}",
    "escaped": "\\*a\\* \\",
    "colour": "\x1b[31mred\x1b[0m \x9b1m",
    "turned": "a\u202eb\u2066c",
    "unseen": "a\u200bb\U000e0041\x07\x08",
    "number": "-1",
    "formula": "=cmd|' /C calc'!A0",
}


def report(folder, dataset, name, settings):
    """Run the chain in a process of its own; `name` is the name of the run, None to take that of the data set."""
    params = folder / "params-of-test.yaml"
    params.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "scripts", "report", "--dataset", dataset, *(["--run", name] if name else [])]
    command += ["--params", str(params), "--reports", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)


def write_hostile_cells(folder):
    """Write 160 cells along a line, whose genes, clusters, column and file are named to do harm; returns the path."""
    random = np.random.default_rng(0)
    place = np.sort(random.random(160))
    peaks = np.linspace(0, 1, 60)
    counts = random.poisson(8 * np.exp(-20 * (place[:, None] - peaks) ** 2) + 0.2).astype(np.float32)
    genes = [f"{name} {number}" for number, name in zip(range(60), list(HOSTILE.values()) * 8, strict=False)]
    kinds = (
        "script",
        "quotes",
        "Cyrillic",
        "Japanese",
        "image",
        "emphasis",
        "Markdown link",
        "TeX",
        "colour",
        "turned",
    )
    clusters = np.array([HOSTILE[kind] for kind in kinds])
    obs = pd.DataFrame({HOSTILE["bold"].replace("/", " "): pd.Categorical(clusters[(place * 9.999).astype(int)])})
    obs.index = [f"<i>cell</i> {number}" for number in range(160)]
    path = folder / '<script>window.hostile=1<script> "it\'s" 細胞.h5ad'
    anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(path)
    return path
