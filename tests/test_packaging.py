"""What a fresh clone relies on: pinned packages, make, and clean notebooks."""

import ast
import os
import re
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_requirement_is_pinned():
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    for line in filter(None, lines):
        assert re.fullmatch(r"[A-Za-z0-9_.\[\]-]+==[0-9][A-Za-z0-9.]*", line), line


def test_conda_takes_its_pins_from_the_same_file():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    python, pip, pinned = environment["dependencies"]
    assert re.fullmatch(r"python=3\.1[123]", python) and pip == "pip"
    assert pinned == {"pip": ["-r requirements.txt"]}


def test_make_installs_again_only_when_the_requirements_change(tmp_path):
    for name in ["Makefile", "requirements.txt"]:
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".venv").mkdir()
    stamp = tmp_path / ".venv/installed"
    stamp.touch()

    def asks_for_install():
        done = subprocess.run(["make", "-n", "report"], cwd=tmp_path, capture_output=True, text=True, check=True)
        return "pip install" in done.stdout

    for age, expected in [(-10, False), (10, True)]:
        os.utime(tmp_path / "requirements.txt", (stamp.stat().st_mtime + age,) * 2)
        assert asks_for_install() is expected


@pytest.fixture
def made(tmp_path):
    """A function that runs `make report` with options, where Python prints its arguments."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "requirements.txt").touch()
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    (tmp_path / ".venv/installed").touch()
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # make may run these tests

    def make(*options, **environment):
        command = ["make", "report", *options]
        return subprocess.run(command, cwd=tmp_path, env=own | environment, capture_output=True, text=True)

    return make


def test_make_passes_options_as_they_are(made):
    arguments = made("DATASET=my 'cells'.h5ad", "PARAMS=a b.yaml").stdout.splitlines()
    assert arguments[3:] == ["--dataset=my 'cells'.h5ad", "--params=a b.yaml"]


def test_make_expands_nothing_in_options(made, tmp_path):
    harm = "$(shell touch harm) `touch harm` $(HOME) $HOME"
    assert made(f"RUN={harm}", DATASET=harm).stdout.splitlines()[3:] == [f"--dataset={harm}", f"--run={harm}"]
    assert not (tmp_path / "harm").exists()


def test_make_refuses_unknown_options(made):
    done = made("DATASTE=paul15", "RUN=a b")
    assert done.returncode != 0 and not done.stdout and "unknown option DATASTE: the options are DATASET" in done.stderr


def test_there_are_notebooks():
    assert [path.name[:2] for path in NOTEBOOKS[:6]] == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_define_nothing(path):
    forbidden = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Try
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            found = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, forbidden)]
            assert not found, f"cell of {path.name} belongs into scripts/:\n{cell.source}"
