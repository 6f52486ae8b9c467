"""docs/outputs.md names every file, column and key of a run, and no column that is gone."""

import json
import re
from pathlib import Path

import papermill
import pytest
from safetensors import safe_open

from scripts.cells import stored
from scripts.sources import resolve

pytestmark = pytest.mark.chain
ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")


def named(heading):
    """Names in the first column of the tables under a heading; under the page's own, in all of its text."""
    text = PAGE.split(f"\n## `{heading}`\n")[1].split("\n## ")[0] if heading else PAGE.split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def keys(adata):
    """Every place of an AnnData, as one would write it in Python."""
    found = {
        f'{part}["{key}"]' for part in ("obs", "var", "obsm", "varm", "obsp", "layers") for key in getattr(adata, part)
    }
    return found | set(leaves(adata.uns, "uns"))


def leaves(value, path):
    if not isinstance(value, dict):
        return [path]
    return [leaf for key, entry in value.items() for leaf in leaves(entry, f'{path}["{key}"]')]


def test_every_file_is_named(small_run):
    stems = {path.stem for path in small_run.notebooks()}
    files = {path.name for path in small_run.folder.iterdir()}
    general = {f"<notebook>{Path(name).suffix}" if Path(name).stem in stems else name for name in files}
    assert general == named(None)


def test_every_column_is_named(small_run):
    tables = sorted(path.name for path in small_run.folder.glob("*.csv"))
    assert tables
    for name in tables:
        columns = set(small_run.load_table(name).columns)
        if name in ("cell_scores.csv", "program_scores.csv"):  # as many as there are frequencies, modules, programs
            columns = {re.sub(r"\d+", "<number>", column) for column in columns}
        assert columns == named(name), name


def test_every_key_of_the_cells_is_named(small_run):
    added = keys(small_run.load_cells()) - keys(resolve("pbmc68k_reduced").read())
    assert {'obs["split"]', 'obsm["X_freq"]', 'uns["graph"]["parts"]'} <= added
    assert added <= named("cells.h5ad")


@pytest.mark.paul15
def test_every_key_of_the_cells_of_counts_is_named(paul15):
    assert keys(stored(paul15[0])) - keys(resolve("paul15").read()) <= named("cells.h5ad")


@pytest.mark.parametrize("name", ["model.safetensors", "model_of_programs.safetensors"])
def test_every_key_of_the_model_is_named(small_run, name):
    with safe_open(small_run.need(name), framework="np") as file:
        assert set(file.keys()) | set(file.metadata()) == named(name)
        assert len(json.loads(file.metadata()["genes"])) == file.get_tensor("basis").shape[0]


def test_every_setting_is_a_parameter_or_named(small_run):
    record = small_run.settings()
    assert set(record) == named("params.yaml")
    explained = set(re.findall(r"`(\w+)`", PAGE.split("\n## `params.yaml`\n")[1].split("\n## ")[0]))
    for path in small_run.notebooks():
        recorded, parameters = record["notebooks"][path.stem], papermill.inspect_notebook(path)
        assert parameters and set(recorded) <= set(parameters) | explained, path.stem
