"""Settings: every wrong one is a line that names it, and nothing on disk is touched."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from anndata import AnnData

from scripts import REPOSITORY, __main__
from scripts.errors import InputError
from scripts.report import chain, settings
from scripts.report.run import Run

NOTEBOOKS = chain.notebooks()
WRONG = {  # setting: values of a wrong type, range or choice
    "normalize_total": ["maybe", 2, []],
    "log1p": ["falsee", 0],
    "layer": [5, None, ["counts"]],
    "label": [3, None],
    "memory_gb": [-1, "half", True],
    "k_neighbors": [0, -1, 2.5, "many", True, None, float("nan"), float("inf"), [10]],
    "n_freq_comps": [-1, "five"],
    "metric": ["manhattan", None, 1],
    "graph_components": [-1, 1.5],
    "graph_weights": ["heavy"],
    "laplacian": ["random walk"],
    "unconnected": ["smallest"],
    "random_state": [-1, 2**32, "seed"],
    "umap_neighbors": [1],
    "max_cells": [0],
    "n_rebuilt": [-1],
    "model": ["trilinear"],
    "pair_components": [[], [0], 12, ["x"]],
    "lr": [0, -1e-3, "fast", float("nan"), True],
    "l2": [-1],
    "dropout": [1, -0.1],
    "loss_fn": ["l3"],
    "bias": ["yes please"],
    "device": ["tpu"],
    "n_splits": [0],
    "n_subsamples": [1],
    "n_inductive": [-1],
    "min_stability": [1.1, -0.1],
    "hide_genes": ["(", 7],
    "n_bootstraps": [9],
    "n_surrogates": [-1, 1.5],
    "rbo_p": [0, 1, -1, float("nan"), "small", 1.0],
    "panel_sizes": [[0], "all"],
    "gene_sets": ["GO", [1], None],
    "end_share": [0.6, 0],
    "term_fdr": [2],
    "min_class_cells": [7, "few"],
    "min_set_size": [501],  # above the largest size
    "fold_at": [0],
    "enrichr_online": [1, "perhaps"],
    "noncommercial_sets": [0, "academic"],
    "csv_safe": [1, "excel"],
    "planted_interactions": [[], [1.5]],
    "planted_shares": [[], [1.0], [0.0]],
    "planted_dropout": [1.0],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


def test_a_service_for_noncommercial_use_is_not_asked_where_that_is_ruled_out():
    notebook = settings.stored("06_go_terms")
    with pytest.raises(InputError, match="'enrichr_online': expected false, as noncommercial_sets is"):
        settings.checked(notebook, {"enrichr_online": True, "noncommercial_sets": False})
    assert settings.checked(notebook, {"enrichr_online": True})["noncommercial_sets"]


@pytest.fixture
def finished(tmp_path):
    """A finished run."""
    Run(tmp_path / "reports" / "x", "01_data", {"k": 3}).save(facts={"data": "tiny"})
    return tmp_path / "reports" / "x"


def content(folder):
    return {path.name: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}


def refused(finished, capsys, *options, message, status=2):
    """Whether a report with these options ends in one line, and leaves the finished run as it was."""
    before = content(finished)
    reports = f"--reports={finished.parent}"
    assert __main__.main(["report", "--dataset=krumsiek11", reports, "--run=x", *options]) == status
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and re.search(message, said[0]) and said[0].startswith("error: "), said
    assert content(finished) == before and [path.name for path in finished.parent.iterdir()] == ["x"]


def test_every_parameter_has_one_meaning_a_type_and_a_valid_default():
    seen = {}
    for notebook in NOTEBOOKS:
        known = settings.parameters(notebook)
        settings.checked(notebook, {})
        for name, parameter in known.items():
            assert name in settings.TYPES, f"{name} of {notebook.stem} has no type"
            assert parameter.meaning, f"{name} of {notebook.stem} has no meaning beside it"
            if name not in ("run_dir", "random_state"):
                assert name not in seen, f"{name} stands in {seen.get(name)} and {notebook.stem}"
            seen[name] = notebook.stem
    assert set(settings.TYPES) == set(seen)


def test_defaults_of_classes_are_those_of_the_notebooks():
    from dataclasses import MISSING, fields

    from scripts.bmlp import Config
    from scripts.cells import Preparation

    known = {name: entry for notebook in NOTEBOOKS for name, entry in settings.parameters(notebook).items()}
    for kind in (Config, Preparation):
        for field in fields(kind):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            if field.name in known and default is not MISSING:
                assert known[field.name].default == default, field.name


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{name}={value!r}" for name, value in CASES])
def test_wrong_values_are_one_line_and_touch_nothing(finished, capsys, tmp_path, name, value):
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({name: value}))
    refused(finished, capsys, f"--params={tmp_path / 's.yaml'}", message=f"setting '{name}': expected .*, found ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kk_neighbors: 3", "no notebook has a setting 'kk_neighbors'; did you mean 'k_neighbors'"),
        ("n_genes: 3", "it is called pole_genes"),
        ("dataset: x", "'dataset' is set by --dataset"),
        ("run_dir: x", "'run_dir' is set by --run"),
        ("- k", "expected lines such as"),
        ("text", "expected lines such as"),
        ("", "expected lines such as"),
        ("k: [", "is no YAML file"),
        ("k: !!python/object/apply:os.system ['true']", "is no YAML file"),
        ("1: 2", "no notebook has a setting '1'"),
    ],
)
def test_wrong_files_of_settings(finished, capsys, tmp_path, text, message):
    (tmp_path / "s.yaml").write_text(text)
    refused(finished, capsys, f"--params={tmp_path / 's.yaml'}", message=message)


def test_files_of_settings_that_cannot_be_read(finished, capsys, tmp_path):
    refused(finished, capsys, f"--params={tmp_path / 'none.yaml'}", message="none.yaml: no such file")
    refused(finished, capsys, f"--params={tmp_path}", message="cannot be read .Is a directory.: name a YAML file")
    (tmp_path / "s.yaml").write_bytes(b"\xff\xfe\x00")
    refused(finished, capsys, f"--params={tmp_path / 's.yaml'}", message="is no YAML file")


@pytest.mark.parametrize("name", ["../up", ".hidden", "", "a/b", "..", "a\nb", "x" + os.sep])
def test_wrong_names_of_runs(finished, capsys, name):
    refused(finished, capsys, f"--run={name}", message="run name")


def test_wrong_data_sets(finished, capsys, tmp_path):
    (tmp_path / "text.h5ad").write_text("no cells")
    (tmp_path / "folder.h5ad").mkdir()
    refused(finished, capsys, "--dataset=nothing", message="nothing: no such file, and no data set of that name")
    refused(finished, capsys, f"--dataset={tmp_path / 'none.h5ad'}", message="none.h5ad: no such file")
    refused(finished, capsys, f"--dataset={tmp_path / 'text.h5ad'}", message="text.h5ad is not an .h5ad file")
    refused(finished, capsys, f"--dataset={tmp_path / 'folder.h5ad'}", message="folder.h5ad is not an .h5ad file")
    inside = finished / "mine.h5ad"
    AnnData(np.ones((3, 2), np.float32)).write_h5ad(inside)
    refused(finished, capsys, f"--dataset={inside}", message="mine.h5ad lies in .*, which the run would replace")


def test_wrong_folders(finished, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "x").write_text("")
    (tmp_path / "link").symlink_to(finished)
    for name, message in [("file", "is a file"), ("plain", "no run of this program"), ("link", "is a link")]:
        refused(finished, capsys, f"--reports={tmp_path}", f"--run={name}", message=message)
    refused(finished, capsys, f"--reports={tmp_path / 'file'}", message="cannot be written .*file is a file")
    refused(finished, capsys, f"--reports={REPOSITORY}", "--run=notebooks", message="no run of this program")
    assert len(chain.notebooks()) == len(NOTEBOOKS)


def test_settings_of_a_notebook_are_read_from_its_one_cell(tmp_path):
    def cell(source, *tags):
        return {"cell_type": "code", "metadata": {"tags": list(tags)}, "source": [source]}

    path = tmp_path / "01_x.ipynb"
    code = 'rate = 1e-3  # a rate # of steps\nnames = [  # of sets\n    "a",\n]\n'
    path.write_text(json.dumps({"cells": [cell("k = 1"), cell(code, "parameters"), cell("rate = 2", "other")]}))
    assert settings.parameters(path) == {
        "rate": settings.Parameter(1e-3, "a rate # of steps"),
        "names": settings.Parameter(["a"], "of sets"),
    }
    assert settings.checked(path, {"rate": "1e-2"}) == {"rate": 0.01, "names": ["a"]}
    with pytest.raises(InputError, match="setting 'names': expected a list|expected"):
        settings.checked(path, {"rate": "quick"})


def test_all_settings_are_listed(capsys):
    assert __main__.main(["settings"]) == 0
    listed = yaml.safe_load(capsys.readouterr().out)
    known = {name for notebook in NOTEBOOKS for name in settings.parameters(notebook)}
    assert set(listed) == known - {"dataset", "run_dir"}
    assert all(Path(notebook).stem in settings.described(NOTEBOOKS) for notebook in NOTEBOOKS)
