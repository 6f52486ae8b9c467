"""The first page of a run: what was found, how far to trust it, how it was made, and what to take along."""

from __future__ import annotations

import re

import numpy as np

from scripts import figures
from scripts.blocks import evenly
from scripts.cells import MEASURES, n_of_graph, own_layouts
from scripts.report import pages
from scripts.story import told
from scripts.story.cards import STYLE, TEMPLATES, card_file, page_html, thumbnail
from scripts.story.frequencies import Frequency
from scripts.story.tables import Tables

MAX_ON_MAP = 20_000  # cells
MAX_GENES = 60  # that the map can be coloured by
UNITS = {"Frequency": "(v)", "Gene": "(expression)"}  # of the map's numbers; the words of covariates name theirs
LESS = re.compile(
    r"squares only|mean only|polynomial kernel|gradient descent"
)  # key figures that stand in params.yaml alone
CITED = [
    "Belkin and Niyogi, Neural Computation 15, 1373 (2003): eigenvectors of a neighbourhood graph's Laplacian.",
    "Pearce et al., ICLR (2025), arXiv:2410.08417: modules as eigenvectors of a bilinear layer's interaction matrices.",
    "Haufe et al., NeuroImage 87, 96 (2014): patterns beside weights.",
    "Benjamini and Hochberg, J. R. Stat. Soc. B 57, 289 (1995): adjusted p of terms.",
]
HOW_TO_CITE = "Cite the program (CITATION.cff), the data, and what stands under Methods."
DOWNLOADS = {  # purpose: {file: what it is}
    "Gene lists for other tools": {
        "gene_lists.gmt": "genes of ends, modules, programs and branches, and correlated ones, for gene-set tools",
        "gene_lists.tsv": "the same, a gene a line",
    },
    "Cells": {
        "cell_scores.csv": "frequencies, axes and scores of modules, and programs, of each cell",
        "cells.h5ad": "the cells with all that was computed, for scanpy",
        "all_cells.h5ad": "all cells with their frequencies, of which those of cells.h5ad are a sample",
    },
    "The model": {"model.safetensors": "scores cells never seen: python -m scripts score"},
    "Numbers of this page": {"story.csv": "every number of this page and of the frequencies' pages"},
    "How it was made": {"params.yaml": "all settings, versions and key figures"},
}


def index_html(tables: Tables, frequencies: list[Frequency], first: dict) -> str:
    """The page; first : as from `pages.about`, when all other files have been written."""
    drawn = _map(tables, frequencies)
    there = {file["name"] for file in first["files"]}
    purposes = {
        purpose: {name: said for name, said in named.items() if name in there} for purpose, named in DOWNLOADS.items()
    }
    content = first | {
        "alerts": told.alerts(tables, frequencies) + first["alerts"],
        "missing": tables.missing,
        "in_short": told.in_short(frequencies),
        "frequencies": [(frequency, thumbnail(tables, frequency)) for frequency in frequencies],
        "file": card_file,
        "map": page_html(drawn, 1) if drawn else "",
        "n_cells": 0 if tables.cells is None else n_of_graph(tables.cells),
        "n_drawn": len(_places(tables)),
        "trust": trust(tables.record),
        "downloads": {purpose: named for purpose, named in purposes.items() if named},
        "command": _command(tables, first["title"]),
        "versions": tables.record.get("versions", {}),
        "how_to_cite": HOW_TO_CITE,
        "methods": methods(tables),
        "cited": CITED,
    }
    return pages.rendered(TEMPLATES / "index.html.j2", content, STYLE, plotly=bool(drawn))


def _places(tables: Tables) -> np.ndarray:
    """Places of the cells that the map draws."""
    if tables.cells is None or "X_umap_freq" not in tables.cells.obsm:
        return np.zeros(0, dtype=int)
    placed = np.flatnonzero(np.isfinite(np.asarray(tables.cells.obsm["X_umap_freq"])).all(axis=1))
    return placed[evenly(len(placed), MAX_ON_MAP)]


def _map(tables: Tables, frequencies: list[Frequency]):
    """The cells, to be coloured by type, frequency, covariate or gene; None where no cell has a place."""
    rows = _places(tables)
    if not len(rows):
        return None
    obs, labels = tables.cells.obs, tables.labels
    genes = list(dict.fromkeys(gene for frequency in frequencies for end in frequency.ends for gene in end.genes))
    genes += [gene for f in frequencies for row in f.gene_pairs.itertuples() for gene in (row.gene_i, row.gene_j)]
    colourings = {
        "Type": {str(labels.name): labels.astype("category").iloc[rows]} if labels.notna().any() else {},
        "Frequency": {
            f"frequency {frequency.number}": tables.frequencies[rows, frequency.number] for frequency in frequencies
        },
        "Covariate": {words: obs[name].to_numpy(float)[rows] for name, words in MEASURES.items() if name in obs},
        "Gene": {gene: tables.expression(gene)[rows] for gene in dict.fromkeys(genes[:MAX_GENES])},
    }
    known = {
        group: {name: values for name, values in named.items() if group == "Type" or np.isfinite(values).any()}
        for group, named in colourings.items()
    }
    layouts = {name: xy[rows] for name, xy in _layouts(tables.cells).items()}
    return figures.cell_map(layouts, known, labels.iloc[rows], UNITS)


def _layouts(cells) -> dict[str, np.ndarray]:
    """Layout of the frequencies and those that the file came with, (n_cells, 2), NaN for cells without a place."""
    ours = {"UMAP of the frequencies": np.asarray(cells.obsm["X_umap_freq"], dtype=float)}
    return ours | {f"{key} of the file": xy for key, xy in own_layouts(cells).items()}


def trust(record: dict) -> dict[str, dict[str, str]]:
    """Key figures by notebook, those of rivals beside each other; record : content of `params.yaml`."""
    groups = {}
    for notebook, figures_of in sorted(record.get("key_figures", {}).items()):
        rows: dict[str, list[str]] = {}
        for label, text in figures_of.items():
            if LESS.search(label):
                continue
            measure, _, method = label.partition(", ") if "(" not in label.partition(", ")[0] else (label, "", "")
            method, _, of_what = method.partition(": ")
            measure = f"{measure} {of_what}".strip()
            rows.setdefault(measure, []).append(f"{method}: {text}" if method else str(text))
        if rows:
            groups[notebook] = {measure: " · ".join(texts) for measure, texts in rows.items()}
    return groups


def _command(tables: Tables, name: str) -> str:
    dataset = tables.setting("01_data", "dataset", "")
    return f"python -m scripts report --dataset {dataset} --run {name}" if dataset else ""


def methods(tables: Tables) -> str:
    """A paragraph on how it was made, to be pasted; empty where nothing is recorded."""
    of_data = tables.record.get("notebooks", {}).get("01_data", {})
    if tables.cells is None or not of_data:
        return ""
    known, versions = tables.cells.uns["dataset"], tables.record.get("versions", {})
    steps = ", ".join(map(str, known["steps"])) or "none"
    said = [
        f"Expression of {n_of_graph(tables.cells):,} cells and {tables.cells.n_vars:,} genes was prepared (steps: "
        f"{steps}).",
        f"A symmetric graph of {of_data.get('k_neighbors')} nearest neighbours ({of_data.get('metric')} distance) was "
        f"built on {tables.cells.uns['graph']['built on']}; the {tables.n_freq} lowest non-trivial eigenvectors of its "
        f"{of_data.get('laplacian')} Laplacian are the frequencies.",
    ]
    training = tables.record["notebooks"].get("03_train", {})
    if training:
        said.append(
            f"Linear and bilinear models (here: {training.get('model')}) and polynomials of gene programs were fitted "
            f"to training cells; R² is of held-out cells, mean over {training.get('n_splits')} splits. Modules are "
            "eigenvectors of a frequency's matrix of gene interactions."
        )
    libraries = tables.setting("06_go_terms", "used", {})
    if libraries:
        said.append(
            f"Gene-set terms: {', '.join(libraries)}; hypergeometric tests, adjusted by Benjamini and Hochberg."
        )
    listed = ", ".join(f"{package} {version}" for package, version in versions.items())
    return " ".join([*said, f"Versions: {listed}."])
