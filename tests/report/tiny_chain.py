"""A chain of two notebooks that takes a moment."""

import re
from types import SimpleNamespace

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from scripts import story
from scripts.report import chain, ledger

OPEN = 'from scripts import report\nrun = report.open_run("{}", globals())\n'
FIRST = OPEN.format("01_data") + 'run.save(facts={"data": "tiny: 2 cells"})'
SECOND = (
    OPEN.format("02_look") + 'run.of("01_data")\nimport plotly.express as px\npx.bar(x=["a"], y=[1], title="One bar")'
)


def tiny_notebooks(tmp_path, monkeypatch):
    """A folder of two notebooks, on a data set that always resolves."""
    source = SimpleNamespace(name="tiny", reason="tiny: asked for by name", source="/data/tiny.h5ad", files=())
    monkeypatch.setattr("scripts.sources.resolve", lambda name: source)
    monkeypatch.setattr("scripts.report.kernel.SLOW_MODULES", [])  # which these notebooks do not need
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    save(folder / "01_data.ipynb", 'dataset = "auto"\nrun_dir = "lab"\nk = 3  # neighbours\nlr = 0.5  # rate', FIRST)
    save(folder / "02_look.ipynb", 'run_dir = "lab"\nlr = 0.1', SECOND)
    return folder


def save(path, parameters, code, **metadata):
    cells = [new_markdown_cell(f"# About {path.stem}"), new_code_cell(parameters), new_code_cell(code)]
    cells[1].metadata.tags = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel, **metadata}), path)
    chain.parameters.cache_clear()
    ledger.code_checksum.cache_clear()


def plan(notebooks, params=None, name=None):
    return chain.plan("tiny", name, params, "reports", notebooks)


def executed(capsys):
    """Names of the notebooks that the clock has shown since it was last asked."""
    return re.findall(r"\[\d/\d\] (\w+) \.\.\. \d+ s$", capsys.readouterr().err, re.MULTILINE)


def content(folder):
    """All files of a folder, with what is in them."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def execute(chosen, force=False, others=()):
    """Make the run, with its pages, as the command line does."""
    return chain.execute(chosen, story.write, force, others)
