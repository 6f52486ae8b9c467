"""The chain as a user runs it, and the notebooks as a second execution sees them."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
from anndata import AnnData, read_h5ad

from scripts.cells.splits import ALL_CELLS, INDUCTIVE
from scripts.evaluation.rivals import BILINEAR, BLACK_BOX, DESCENT, LINEAR, MEAN, ORDERS, PROGRAMS, SQUARES
from scripts.report.run import Run
from tests.cells.test_graph_recipe import connected
from tests.chain_runs import SMALL, report
from tests.notebooks import fuzz

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {
    "01_data": 3,
    "02_visualize": 4,
    "03_train": 5,
    "04_interpret": 6,
    "05_compare": 7,
    "06_go_terms": 2,
    "07_programs": 1,
    "08_hierarchy": 4,
    "09_classes": 2,
    "appendix_planted_truth": 5,
}


class Addresses(HTMLParser):
    """Whatever a page would load or link to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action") and value]


def test_every_page_holds_its_figures_and_asks_for_nothing(small_run):
    pages = {stem: small_run.path(f"{stem}.html").read_text(encoding="utf-8") for stem in FIGURES}
    place = re.compile(r'<div [^>]*class="plotly-graph-div"[^>]*id="figure-\d+"')
    assert {stem: len(place.findall(html)) for stem, html in pages.items()} == FIGURES
    for stem, html in pages.items():
        assert "pbmc68k_reduced: 700 cells x 765 genes" in html  # its first line, whatever the notebook is about
        page = Addresses()
        page.feed(html)
        assert not [address for address in page.found if re.match(r"(https?:)?//", address)], stem
        assert "default-src 'none'" in html


def test_run_folder_holds_what_it_promises(small_run):
    adata = small_run.load_cells()
    assert adata.obsm["X_freq"].shape == (700, 3) and adata.obsm["X_umap_freq"].shape == (700, 2)
    assert adata.obsm["X_axes"].shape == adata.obsm["X_modules"].shape == (700, 15)  # five modules of each frequency
    assert adata.varm["modules"].shape == (765, 15) and list(adata.uns["bmlp"]["columns"][[0, 14]]) == [
        "f0_m1",
        "f2_m5",
    ]
    columns = ["frequency", "module", "eigenvalue", "pole", "rank", "gene", "pattern", "loading"]
    assert list(small_run.load_table("modules.csv").columns)[:8] == columns
    assert len(small_run.load_table("history.csv")) == 20
    assert len(small_run.load_table("comparison.csv")) == 3
    performance = small_run.load_table("performance.csv")
    models = [MEAN, LINEAR, SQUARES, BILINEAR, DESCENT, PROGRAMS, *ORDERS, BLACK_BOX]
    assert performance.loc[performance["protocol"] == ALL_CELLS, "model"].drop_duplicates().tolist() == models
    assert set(performance.loc[performance["protocol"] == INDUCTIVE, "model"]) == {LINEAR, BILINEAR}
    assert performance["split"].nunique() == 2
    modules = small_run.load_table("modules.csv")
    assert {"stability", "stability_anew", "trusted", "repeats", "low", "high"} <= set(modules)
    assert modules["low"].notna().all() and set(modules["repeats"].dropna()) <= set(adata.uns["bmlp"]["columns"])
    assert small_run.load_table("pairs.csv").groupby("frequency").size().ge(10).tolist() == [True] * 3
    for name in ("truncation.csv", "agreement.csv", "panels.csv", "drivers.csv", "covariates.csv", "main_effects.csv"):
        assert len(small_run.load_table(name)) > 0
    assert len(small_run.load_table("enrichment.csv")) > 0 and len(small_run.load_table("planted.csv")) > 0
    settings = small_run.settings()
    assert set(settings["notebooks"]) == set(FIGURES)
    assert settings["notebooks"]["03_train"]["n_epochs"] == 20
    assert settings["versions"]["torch"]
    assert not list(small_run.folder.glob(".*"))
    assert [path.name for path in small_run.folder.parent.glob(".*")] == [".appendices"]


def test_closing_discussion_says_what_the_tables_say(small_run):
    notebook = nbformat.read(small_run.need("06_go_terms.ipynb"), as_version=4)
    said = [
        output["data"]["text/markdown"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]
    r2 = small_run.load_table("performance.csv").groupby(["protocol", "model"])["r2"].mean()
    for protocol in (ALL_CELLS, INDUCTIVE):
        assert f"With {protocol}, the bilinear model reaches a mean R² of {r2[protocol, BILINEAR]:.2f}" in said[-1]
        assert f"({r2[protocol, LINEAR]:.2f}); predicting the mean" in said[-1]
    comparison = small_run.load_table("comparison.csv")
    assert f"mean Jaccard of {comparison['best_jaccard'].mean():.3f}" in said[-1]
    effects = small_run.load_table("main_effects.csv")
    for frequency, first in effects[effects["rank"] == 1].groupby("frequency")["gene"]:
        assert f"Frequency {frequency}, genes of the largest effects of their own" in said[-1]
        assert all(gene in said[-1] for gene in first)
    pairs = small_run.load_table("pairs.csv").groupby("frequency")
    assert all(f"Frequency {f}: {n} pair" in said[-1] for f, n in pairs["called"].sum().items() if n)
    none = [str(f) for f, listed in pairs if listed["p_value"].notna().any() and not listed["called"].any()]
    assert not none or f"{', '.join(none)} than programs and single genes (largest |T|" in said[-1].replace("\\", "")
    untested = [f for f, listed in pairs if listed["p_value"].isna().all()]
    assert all(f"Frequency {f}: its pairs are not tested" in said[-1] for f in untested)
    assert "The eigenvalues run from" in said[-1]


def test_notebooks_give_the_same_outputs_when_executed_again(small_run, tmp_path):
    """nbval on the executed notebooks: cells marked NBVAL_CHECK_OUTPUT are compared, all others must run."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PLOTLY_RENDERER": "plotly_mimetype"}
    notebooks = [str(small_run.need(f"{stem}.ipynb")) for stem in FIGURES]
    kept = [shutil.copy(notebook, tmp_path) for notebook in notebooks]
    done = subprocess.run([*command, *kept], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_nothing_is_executed_again_but_what_a_setting_changes(small_run, tmp_path):
    shutil.copytree(small_run.folder, tmp_path / "run")

    def executed(settings):
        done = report(tmp_path, "pbmc68k_reduced", "run", SMALL | settings)
        assert done.returncode == 0, done.stderr
        return re.findall(r"\[\d+/\d+\] (\w+) \.\.\. \d+ s$", done.stderr, re.MULTILINE)

    assert executed({}) == []
    later = ["05_compare", "06_go_terms", "07_programs", "08_hierarchy", "09_classes"]  # read cells that 04 adds to
    assert executed({"n_pairs": 12}) == ["04_interpret", *later]
    assert Run(tmp_path / "run").settings()["notebooks"]["04_interpret"]["n_pairs"] == 12


UNUSABLE = [
    (None, {"layer": "spliced"}, "has no layer 'spliced'"),
    (lambda X: np.where(X.max() == X, np.nan, X), {}, "NaN values"),
    (None, {"label": "cell_type"}, "no column 'cell_type' in obs"),
    (None, {"k_neighbors": 60}, "k_neighbors=60 is not possible with 60 cells"),
    (None, {"graph_components": 99}, "graph_components=99 is not possible"),
]


def write_cells(folder, change):
    counts = np.random.default_rng(0).poisson(3, (60, 20)).astype(np.float32)
    AnnData(change(counts) if change else counts).write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


@pytest.mark.parametrize(("change", "settings", "message"), UNUSABLE)
def test_data_that_cannot_be_used_are_one_line(tmp_path, monkeypatch, change, settings, message):
    monkeypatch.setattr(fuzz, "NOTEBOOKS", fuzz.NOTEBOOKS[:1])
    monkeypatch.setattr(sys, "path", [*sys.path])  # which the notebook adds to
    kind, said = fuzz.outcome(write_cells(tmp_path, change), tmp_path, settings)
    assert kind == fuzz.NAMED and said.startswith("01_data: ") and message in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_sample_of_many_cells_goes_through_all_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr(sys, "path", [*sys.path])
    connected().write_h5ad(tmp_path / "cells.h5ad")
    settings = {"max_judged_cells": 200, "unconnected": "largest", "n_freq_comps": 2}
    assert fuzz.outcome(tmp_path / "cells.h5ad", tmp_path, settings) == (fuzz.RESULT, "")
    run = Run(tmp_path / "run")
    every, some = read_h5ad(run.need("all_cells.h5ad")), run.load_cells()
    assert some.n_obs == 200 < every.n_obs and "judged on 200 of them" in run.data
    assert set(some.obs_names) == set(every.obs_names[every.obs["split"].notna()])
    np.testing.assert_array_equal(every[some.obs_names].obsm["X_freq"], some.obsm["X_freq"])
    assert (every.X.data == np.rint(every.X.data)).all()


@pytest.mark.slow
@pytest.mark.parametrize(("change", "settings", "message"), UNUSABLE[:2])
def test_data_that_cannot_be_used_leave_the_finished_run_as_it_was(tmp_path, change, settings, message):
    finished = tmp_path / "x"
    Run(finished, "01_data", {"k": 3}).save(facts={"data": "tiny"})
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    done = report(tmp_path, str(write_cells(tmp_path, change)), "x", settings)
    assert done.returncode == 1 and re.match(r"error: 01_data: ", done.stderr.splitlines()[-1])
    assert message in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad", "params-of-test.yaml", "x"]


def test_bad_input_stops_with_one_line_and_leaves_nothing(tmp_path):
    missing = report(tmp_path, str(tmp_path / "nothing.h5ad"), "missing", {})
    assert missing.returncode != 0
    assert re.fullmatch(r"error: .*nothing\.h5ad: no such file.*\n", missing.stderr)
    (tmp_path / "text.h5ad").write_text("no cells")
    text = report(tmp_path, str(tmp_path / "text.h5ad"), "text", {})
    assert text.returncode != 0
    assert re.fullmatch(r"error: .*text\.h5ad is not an \.h5ad file.*\n", text.stderr)
    assert not (tmp_path / "missing").exists() and not (tmp_path / "text").exists()


@pytest.mark.slow
def test_a_notebook_names_the_one_to_run_first(tmp_path):
    import papermill

    with pytest.raises(papermill.PapermillExecutionError, match=r"cells\.h5ad is missing; run 01_data\.ipynb"):
        papermill.execute_notebook(
            ROOT / "notebooks" / "04_interpret.ipynb",
            None,
            {"run_dir": str(tmp_path)},
            cwd=ROOT / "notebooks",
            kernel_name="python3",
            progress_bar=False,
        )
    assert not list(tmp_path.iterdir())
