"""Notebook 06 on a small made-up run: with a library of hostile names, and with no library at all."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from anndata import AnnData

from scripts.evaluation.correlation import compare_with_correlation, correlations
from scripts.models.form import BilinearForm
from scripts.reading.modules import main_effect_table, module_table
from scripts.report.run import Run

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "06_go_terms.ipynb"
EVIL = "<script>alert('x')</script>"


@pytest.fixture
def run(tmp_path, weights, monkeypatch):
    """Run folder as notebooks 01 to 05 leave it: 60 cells, 40 genes, 3 frequencies."""
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    random = np.random.default_rng(0)
    genes = [EVIL, "äöü", *(f"Gene{i}" for i in range(38))]
    form = BilinearForm.from_factors(*weights, genes=genes)
    adata = AnnData(random.normal(size=(60, 40)), var=pd.DataFrame(index=genes))
    adata.obsm["X_freq"], adata.uns["freq_vals"] = random.normal(size=(60, 3)), np.array([0.1, 0.2, 0.4])
    adata.obs["split"], adata.uns["label"] = pd.Categorical(["train", "test"] * 30), ""
    adata.uns["dataset"] = {"species": "mouse", "steps": np.array([], dtype=str), "sparse": False}
    rows = [(model, f, 0.5, 0.1, 0.1, model == "bilinear") for model in ("bilinear", "linear ridge") for f in range(3)]
    performance = pd.DataFrame(rows, columns=["model", "frequency", "r2", "mae", "train_mae", "chosen"])
    modules = module_table(form, form.modules(2)[1], 10).assign(repeats=None, axis_correlation=0.5)
    modules["trusted"] = modules["frequency"] != 1
    pairs = pd.DataFrame({"frequency": [0], "rank": [1], "gene_i": ["Gene1"], "gene_j": ["Gene2"], "t": [7.1]})
    first, rival = form.modules(1)[1][:, :, 0].T, correlations(adata.X, adata.obsm["X_freq"])
    comparison = compare_with_correlation(first, rival, genes, adata.uns["freq_vals"], 5)
    folder = tmp_path / "run"
    Run(folder, "01_data").save(cells=adata, facts={"data": "made up"})
    noise = performance[["model", "frequency", "r2"]]
    noise = noise.assign(structureless_r2=0.3, same_half_r2=0.45, other_half_r2=0.4)
    performance = performance.assign(protocol="cells left out", split=0)
    Run(folder, "03_train").save(model=form, performance=performance, noise=noise)
    Run(folder, "04_interpret", {"n_pairs": 1}).save(
        modules=modules,
        pairs=pairs.assign(p_value=1e-9, adjusted_p=0.02, fdr=0.02, called=True, confirmed=True),
        main_effects=main_effect_table(form, 10),
    )
    Run(folder, "05_compare").save(comparison=comparison)
    return Run(folder)


def execute(run, gene_sets, **others):
    settings = others | {
        "run_dir": str(run.folder),
        "gene_sets": gene_sets,
        "min_set_size": 2,
        "list_genes": 8,
        "n_random_lists": 20,
        "n_random_directions": 6,
    }
    options = {"cwd": NOTEBOOK.parent, "kernel_name": "python3", "progress_bar": False}
    executed = papermill.execute_notebook(NOTEBOOK, None, settings, **options)
    return [output for cell in executed.cells for output in cell.get("outputs", [])]


def said(outputs):
    return "\n".join(output.get("data", {}).get("text/markdown", "") for output in outputs)


@pytest.mark.slow
def test_notebook_shows_terms_of_trusted_modules_and_escapes_names(run, tmp_path):
    library = tmp_path / "mine.gmt"
    library.write_text(f"{EVIL}\t\t{EVIL}\täöü\tGENE1\tGENE2\nplain\t\tGENE3\tGENE4\tGENE5\n", encoding="utf-8")
    outputs = execute(run, [str(library)])
    text = said(outputs)
    assert (
        "mine.gmt (the file as named)" in text and "No module of frequency 1 is trusted with an axis of its own" in text
    )
    assert "No gene list has left this machine" in text and "Of 20 random lists" in text
    assert "Of 40 measured genes 7 stand in the background" in text
    table = run.load_table("enrichment.csv")
    assert set(table["source"]) == {
        "module 1",
        "module 2",
        "module 1 pattern",
        "module 2 pattern",
        "correlation",
    } and EVIL in set(table["term"])
    assert table["axis_correlation"].isna().equals(table["source"] == "correlation")
    shown = [
        str(output["data"][kind]) for output in outputs for kind in output.get("data", {}) if "markdown" not in kind
    ]
    assert not [part for part in shown if "<script>" in part and "<table" in part]
    for promised in ("eigenvalues run from", "Gene1 x Gene2"):
        assert promised in text
    figures = [part for part in shown if "'layout'" in part or "plotly" in part]
    assert figures and not [part for part in figures if "<script>alert" in part]


@pytest.mark.slow
def test_notebook_without_any_library_says_so_and_ends(run, tmp_path):
    """That one is not there, and that one is for non-commercial use, is the same to the rest of the page."""
    outputs = execute(run, [str(tmp_path / "missing.gmt"), "GO_Biological_Process_2023"], noncommercial_sets=False)
    text = said(outputs)
    assert "Biological_Process_2023 is a library of Enrichr, for non-commercial use" in text
    assert "No gene-set library could be had" in text and "missing.gmt: no such file" in text
    assert "Nothing was tested on random lists" in text and "No module was tested for gene-set terms" in text
    assert run.load_table("enrichment.csv").empty
    assert "not tested" in run.settings()["key_figures"]["06_go_terms"]["poles with a gene-set term"]
    nbformat.validate(nbformat.read(NOTEBOOK, as_version=4))
