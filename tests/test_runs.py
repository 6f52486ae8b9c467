"""Run folders and the chain of notebooks."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from scripts import chain, runs
from scripts.chain import NotebookFailed
from scripts.runs import ASIDE, Run

FIRST = 'from scripts.runs import Run\nRun(run_dir).record("01_data", {"data": "tiny: 2 cells", "k": k, "lr": lr})'
SECOND = 'import plotly.express as px\npx.bar(x=["a"], y=[1], title="One bar")'


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "reports" / "first")


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder of two notebooks, on a data set that always resolves."""
    source = SimpleNamespace(name="tiny", reason="tiny: asked for by name", source="/data/tiny.h5ad")
    monkeypatch.setattr("scripts.sources.resolve", lambda name: source)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    save(folder / "01_data.ipynb", 'dataset = "auto"\nrun_dir = ""\nk = 3  # neighbours\nlr = 0.5  # rate', FIRST)
    save(folder / "02_look.ipynb", 'run_dir = ""\nlr = 0.1', SECOND)
    return folder


def save(path, parameters, code):
    cells = [new_markdown_cell(f"# About {path.stem}"), new_code_cell(parameters), new_code_cell(code)]
    cells[1].metadata.tags = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def plan(notebooks, params=None, name=None):
    return chain.plan("tiny", name, params, "reports", notebooks)


def test_failing_writer_leaves_the_old_file_and_nothing_aside(run):
    run.write("history.csv", lambda path: path.write_text("old"))

    def half(path):
        path.write_text("hal")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run.write("history.csv", half)
    assert [path.name for path in run.folder.iterdir()] == ["history.csv"]
    assert run.path("history.csv").read_text() == "old"


@pytest.mark.parametrize(("name", "maker"), runs.MAKERS.items())
def test_need_names_the_file_and_the_notebook(run, name, maker):
    with pytest.raises(FileNotFoundError) as raised:
        run.need(name)
    message = str(raised.value)
    assert str(run.path(name)) in message and f"run {maker}.ipynb first" in message and "\n" not in message


def test_record_merges_plain_types(run):
    run.record("01_data", {"k": np.int64(3), "file": Path("a/b"), "rates": (np.float32(0.5),), "none": None})
    run.record("03_train", {"seed": 0})
    run.record_key_figures({"MAE": np.float64(0.25)})
    run.record("03_train", {"seed": 1})
    settings = run.settings()
    assert settings["notebooks"] == {
        "01_data": {"k": 3, "file": "a/b", "rates": [0.5], "none": None},
        "03_train": {"seed": 1},
    }
    assert settings["key_figures"] == {"MAE": 0.25}
    assert {"python", "torch", "scanpy", "gseapy"} <= settings["versions"].keys()


def test_start_deletes_only_what_a_run_makes(run):
    run.folder.mkdir(parents=True)
    for name in [
        "cells.h5ad",
        "01_data.ipynb",
        "01_data.html",
        "index.html",
        ASIDE + "pairs.csv",
        "notes.ipynb",
        "my.csv",
    ]:
        run.path(name).write_text("x")
    run.start()
    assert sorted(path.name for path in run.folder.iterdir()) == ["my.csv", "notes.ipynb"]


def test_tables_come_back_as_they_were(run):
    frame = pd.DataFrame({"gene": ["NA", "7"], "loading": [0.1 + 0.2, np.nan], "rank": [1, 2]})
    run.save_table("modules.csv", frame)
    pd.testing.assert_frame_equal(run.load_table("modules.csv"), frame, check_exact=True)


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("cells.h5ad", Run.load_cells),
        ("params.yaml", Run.settings),
        ("modules.csv", lambda run: run.load_table("modules.csv")),
    ],
)
def test_damaged_files_are_named_with_the_remedy(run, name, load):
    run.write(name, lambda path: path.write_bytes(b'\xff\x00"'))
    with pytest.raises(ValueError, match=f"{name} is damaged or of another format; run .*ipynb again") as raised:
        load(run)
    assert "\n" not in str(raised.value)


def test_chain_fills_the_run_folder(notebooks, tmp_path):
    (tmp_path / "s.yaml").write_text("k: 5\nlr: 1e-3\n")
    run, steps, reason = plan(notebooks, "s.yaml")
    assert not run.folder.exists() and reason == "tiny: asked for by name"
    assert steps[0][1] == {"dataset": "/data/tiny.h5ad", "run_dir": str(run.folder.resolve()), "k": 5, "lr": 0.001}
    assert steps[1][1].keys() == {"run_dir", "lr"}
    chain.execute(run, steps)
    assert [path.name for path in run.notebooks()] == ["01_data.ipynb", "02_look.ipynb"]
    assert run.settings()["notebooks"]["01_data"] == {"data": "tiny: 2 cells", "k": 5, "lr": 0.001}
    output = nbformat.read(run.path("02_look.ipynb"), as_version=4).cells[-1].outputs[0]
    assert "application/vnd.plotly.v1+json" in output.data


def test_a_notebook_that_stops_leaves_no_half_written_file(notebooks, capsys):
    save(notebooks / "02_look.ipynb", 'run_dir = ""', 'raise ValueError("two\\nlines")')
    run, steps, _ = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^02_look: two lines$"):
        chain.execute(run, steps)
    assert sorted(path.name for path in run.folder.iterdir()) == ["01_data.ipynb", "params.yaml"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_in_the_first_notebook_shows_its_traceback_and_leaves_no_folder(notebooks, capsys):
    save(notebooks / "01_data.ipynb", 'run_dir = ""', "from scripts.runs import Run\nRun(run_dir).start()\n1 / 0")
    run, steps, _ = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^01_data: ZeroDivisionError: division by zero$"):
        chain.execute(run, steps)
    assert "Traceback" in capsys.readouterr().err and not run.folder.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kk: 3", "did you mean 'k'"),
        ("k: many", "setting 'k': expected a whole number, found 'many'"),
        ("k: 2.5", "setting 'k': expected a whole number"),
        ("k: true", "setting 'k': expected a whole number"),
        ("dataset: x", "'dataset' is set by --dataset"),
        ("- k", "expected lines such as"),
        ("k: [", "is no YAML file"),
    ],
)
def test_wrong_settings_are_one_line_and_nothing_is_made(notebooks, tmp_path, text, message):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ValueError, match=".*") as raised:
        plan(notebooks, "s.yaml")
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("name", ["../up", ".hidden", "", "a b", "a/b"])
def test_wrong_run_names(notebooks, name):
    with pytest.raises(ValueError, match="run name"):
        plan(notebooks, name=name)


@pytest.mark.parametrize("option", ["--run=../up", "--params=missing.yaml", "--unknown=1"])
def test_exit_status_of_wrong_options(tmp_path, option):
    command = [
        sys.executable,
        "-m",
        "scripts.runs",
        "report",
        "--dataset=krumsiek11",
        f"--reports={tmp_path / 'r'}",
        option,
    ]
    done = subprocess.run(command, cwd=chain.REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "error: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and not (tmp_path / "r").exists()
