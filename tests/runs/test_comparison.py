"""Runs held against the first: made so that what differs, and how far, is known."""

import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import ortho_group

from scripts import __main__, runs
from scripts.cells import ALL_CELLS
from scripts.errors import InputError
from scripts.report.run import Run
from scripts.runs.comparison import MEAN
from tests.chain_runs import HOSTILE

GENES = [f"g{number}" for number in range(200)]
N_CELLS, N_FREQ = 300, 3


def make(folder, k=10, vectors=None, cells=None, shift=0, r2=0.5, terms=("a", "b"), without=()):
    """A run of made-up results; shift : by how many genes its poles are others than those of another run."""
    random = np.random.default_rng(0)
    if vectors is None:
        vectors = np.linalg.qr(random.normal(size=(N_CELLS, N_FREQ)))[0]
    cells = [f"c{number}" for number in range(len(vectors))] if cells is None else cells
    adata = ad.AnnData(
        np.zeros((len(vectors), len(GENES)), np.float32), pd.DataFrame(index=cells), pd.DataFrame(index=GENES)
    )
    adata.obsm["X_freq"], adata.uns["freq_vals"] = vectors, np.arange(1.0, 1 + vectors.shape[1])
    Run(folder, "01_data", {"dataset": "made", "k_neighbors": k}).save(cells=adata, facts={"data": f"made: k {k}"})
    frequencies = range(vectors.shape[1])
    rows = [
        (ALL_CELLS, split, model, f, value + 0.1 * f + 0.01 * split)
        for split in (0, 1)
        for model, value in {"zero": 0.0, "bilinear": r2}.items()
        for f in frequencies
    ]
    performance = pd.DataFrame(rows, columns=["protocol", "split", "model", "frequency", "r2"])
    Run(folder, "03_train", {"lr": 0.1}).save(performance=performance)
    poles = pd.DataFrame(
        [
            (f, module, pole, rank, GENES[(start + 50 * (pole == "positive") + rank + shift) % len(GENES)])
            for f in frequencies
            for module, start in [(1, 0), (2, 100)]
            for pole in ("positive", "negative")
            for rank in range(1, 31)
        ],
        columns=["frequency", "module", "pole", "rank", "gene"],
    )
    Run(folder, "04_interpret").save(modules=poles, key_figures={"trusted": f"{k} of 20"})
    found = [(0, "module 1", "lib", term, 0.01) for term in terms]
    found += [(0, "module 1", "lib", "weak", 0.5), (0, "correlation", "lib", "other", 0.01)]
    enrichment = pd.DataFrame(found, columns=["frequency", "source", "library", "term", "adjusted_p"])
    Run(folder, "06_go_terms", {"term_fdr": 0.05}).save(enrichment=enrichment)
    programs = poles[poles["frequency"] == 0].rename(columns={"module": "program"}).drop(columns="frequency")
    if "programs" not in without:
        Run(folder, "07_programs").save(programs=programs)
    return folder


def values(found, part, name, frequency="", run="b"):
    table = found.table
    chosen = (
        (table["part"] == part) & (table["name"] == name) & (table["frequency"] == frequency) & (table["run"] == run)
    )
    (value,) = table.loc[chosen, "value"]
    return value


@pytest.fixture
def first(tmp_path):
    return make(tmp_path / "a")


def test_a_run_beside_its_like_differs_in_nothing(first, tmp_path):
    found = runs.compare([first, make(tmp_path / "b")])
    parts = set(found.table["part"])
    assert parts == {"R2", "frequencies", "modules", "programs", "terms"}
    of_pair = found.table[found.table["part"].isin(["frequencies", "modules", "programs"])]
    np.testing.assert_allclose(of_pair["value"].astype(float), 1)
    assert values(found, "terms", "Jaccard") == 1
    assert "0 settings differ; of 3 frequencies, the first 3 span the same space" in found.said[-1]
    assert re.search(r"^significant +2 +2$", runs.as_text(found), re.MULTILINE)  # a count, also among numbers alone


def test_what_differs_is_measured(first, tmp_path):
    found = runs.compare([first, make(tmp_path / "b", k=5, shift=10, r2=0.7, terms=("b", "c", "d"))])
    assert [values(found, "settings", "01_data: k_neighbors", run=run) for run in "ab"] == ["10", "5"]
    assert [values(found, "key figures", "trusted", run=run) for run in "ab"] == ["10 of 20", "5 of 20"]
    assert (found.table["part"] == "settings").sum() == 2
    for run, r2 in [("a", 0.5), ("b", 0.7)]:
        assert values(found, "R2", "bilinear", MEAN, run) == pytest.approx(r2 + 0.1 + 0.005)
        assert values(found, "R2", "bilinear", 2, run) == pytest.approx(r2 + 0.2 + 0.005)
        assert values(found, "R2", "zero", 0, run) == pytest.approx(0.005)
    assert values(found, "modules", "module 1", 2) == pytest.approx(15 / 35)  # 25 genes, ten of them others
    assert values(found, "programs", "program 2") == pytest.approx(15 / 35)
    assert [values(found, "terms", "significant", run=run) for run in "ab"] == [2, 3]
    assert values(found, "terms", "in common") == 1 and values(found, "terms", "Jaccard") == 0.25
    assert "1 setting differs" in found.said[-1] and "1 term of modules is the same" in found.said[-1]


def test_rotations_among_frequencies_change_single_ones_and_not_their_space(first, tmp_path):
    vectors = Run(first).load_cells().obsm["X_freq"]
    turned = vectors.copy()
    turned[:, :2] = vectors[:, :2] @ np.array([[0.8, -0.6], [0.6, 0.8]])
    found = runs.compare([first, make(tmp_path / "b", vectors=turned)])
    vectors = vectors - vectors.mean(axis=0)
    assert values(found, "frequencies", "by itself", 0) == pytest.approx(0.8, abs=0.02)
    assert values(found, "frequencies", "all up to it", 0) == pytest.approx(0.8, abs=0.02)
    assert values(found, "frequencies", "all up to it", 1) == pytest.approx(1)
    assert "the first 3 span the same space" in found.said[-1]


def test_modules_find_their_partners_where_frequencies_change_places(first, tmp_path):
    """Frequencies 0 and 2 change places, and the modules of each with it."""
    vectors = Run(first).load_cells().obsm["X_freq"]
    other = make(tmp_path / "b", vectors=vectors[:, [2, 1, 0]])
    for folder, kept in [(first, 0), (other, 2)]:
        table = Run(folder).load_table("modules.csv")
        table["gene"] = np.where(table["frequency"] == kept, table["gene"], table["gene"] + "x")
        Run(folder, "04_interpret").save(modules=table)
    found = runs.compare([first, other])
    modules = found.table[found.table["part"] == "modules"]
    np.testing.assert_allclose(modules["value"].astype(float), 1)


def test_which_pole_is_positive_is_a_convention(first, tmp_path):
    other = make(tmp_path / "b")
    table = Run(other).load_table("modules.csv")
    table["pole"] = np.where(table["pole"] == "positive", "negative", "positive")
    Run(other, "04_interpret").save(modules=table)
    found = runs.compare([first, other]).table
    np.testing.assert_allclose(found.loc[found["part"] == "modules", "value"].astype(float), 1)


def test_cells_are_compared_by_their_names(first, tmp_path):
    vectors = Run(first).load_cells().obsm["X_freq"]
    order = np.random.default_rng(1).permutation(N_CELLS)[:200]
    found = runs.compare([first, make(tmp_path / "b", vectors=vectors[order], cells=[f"c{n}" for n in order])])
    np.testing.assert_allclose(found.table.loc[found.table["part"] == "frequencies", "value"].astype(float), 1)


def test_random_frequencies_agree_in_nothing(first, tmp_path):
    random = np.random.default_rng(7).normal(size=(N_CELLS, N_FREQ)) @ ortho_group.rvs(N_FREQ, random_state=0)
    found = runs.compare([first, make(tmp_path / "b", vectors=random)])
    assert (found.table.loc[found.table["part"] == "frequencies", "value"].astype(float) < 0.3).all()
    assert "no leading frequencies span the same space" in found.said[-1]


def test_frequencies_of_other_cells_are_not_compared(first, tmp_path):
    vectors = Run(first).load_cells().obsm["X_freq"]
    found = runs.compare([first, make(tmp_path / "b", vectors=vectors, cells=[f"other {n}" for n in range(N_CELLS)])])
    assert "frequencies" not in set(found.table["part"]) and "modules" in set(found.table["part"])
    assert "span" not in found.said[-1]


def test_what_a_run_lacks_is_said_and_the_rest_compared(first, tmp_path):
    found = runs.compare([first, make(tmp_path / "b", without=["programs"]), make(tmp_path / "c")])
    assert "programs" not in set(found.table["part"]) and "terms" in set(found.table["part"])
    assert "Not compared (programs): " in found.said[3] and "run 07_programs.ipynb first" in found.said[3]


def test_runs_of_one_name_are_told_apart(first, tmp_path):
    found = runs.compare([first, make(tmp_path / "other" / "a", k=3)])
    assert list(found.folders) == [f"{tmp_path.name}/a", "other/a"]


def test_hostile_names_are_text_on_the_page_and_on_the_terminal(first, tmp_path):
    other = make(tmp_path / "b", terms=[])
    Run(other, "04_interpret", {"hide_genes": HOSTILE["script"]}).save(
        key_figures=dict.fromkeys(HOSTILE.values(), "\x1b[31m")
    )
    found = runs.compare([first, other])
    page = runs.write(found, tmp_path).read_text(encoding="utf-8")
    assert HOSTILE["script"] not in page and "&lt;script&gt;window.hostile" in page
    assert "<img src=x" not in page and "\x1b" not in page
    text = runs.as_text(found)
    assert "\x1b" not in text and HOSTILE["Japanese"] in text


def test_the_command_line_prints_and_writes_what_was_found(first, tmp_path, monkeypatch, capsys):
    make(tmp_path / "b", k=5, shift=10)
    monkeypatch.chdir(tmp_path)
    assert __main__.main(["compare", "a", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "compare.html" and lines[0] == "a: made: k 10"
    assert any(line.split() == ["01_data:", "k_neighbors", "10", "5"] for line in lines)
    assert any(line.split() == ["bilinear", "mean", "0.605", "0.605"] for line in lines)
    table = pd.read_csv("compare.csv", keep_default_na=False)
    assert list(table.columns) == ["part", "name", "frequency", "run", "value", "chance"] and len(table)
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    assert 'href="a/index.html"' in page and "Content-Security-Policy" in page and "0.429" in page
    assert not re.search(r'(src|href)="https?:', page)
    assert __main__.main(["compare", "a", "b", "--out", "else/where"]) == 0
    assert 'href="../../a/index.html"' in (tmp_path / "else/where/compare.html").read_text(encoding="utf-8")


def test_tables_of_the_page_hold_what_the_file_holds(first, tmp_path):
    """Models in the order of the run, not of the alphabet, each beside its own values."""
    found = runs.compare([first, make(tmp_path / "b", r2=0.9)])
    page = runs.write(found, tmp_path).read_text(encoding="utf-8")
    rows = [re.findall(r"<t[dh]>(.*?)</t[dh]>", row) for row in re.findall(r"<tr.*?>(.*?)</tr>", page, re.DOTALL)]
    means = [row for row in rows if MEAN in row]
    assert means == [["zero", MEAN, "0.105", "0.105"], ["bilinear", MEAN, "0.605", "1.005"]]


def test_one_run_is_not_compared(first):
    with pytest.raises(InputError, match="two run folders or more are needed"):
        runs.compare([first])
