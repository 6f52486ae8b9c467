import json

import anndata as ad
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.notebooks import fuzz, odd_files

ALONE = {name: seed for seed, name in enumerate(odd_files.ODDITIES)}
DRAWN = ["few cells", "huge", "rare genes", "groups apart", "gene names", "column, some missing", "NaN"]
TOGETHER = [100, 101, 102]  # seeds of files of several oddities


@pytest.mark.slow
def test_odd_files_give_a_result_or_a_named_error():
    told = fuzz.run([*(ALONE[name] for name in DRAWN), *TOGETHER])
    assert [entry for entry in told if entry["kind"] == fuzz.FAULT] == []
    kinds = {entry["seed"]: entry["kind"] for entry in told}
    assert kinds[ALONE["rare genes"]] == kinds[ALONE["gene names"]] == fuzz.RESULT and kinds[ALONE["NaN"]] == fuzz.NAMED


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("run_dir", fuzz.RESULT),
        ("from scripts.errors import InputError\nraise InputError('one line')", fuzz.NAMED),
        ("from scripts.errors import InputError\nraise InputError('two\\nlines')", fuzz.FAULT),
        ("import numpy as np\nnp.linalg.inv(np.zeros((2, 2)))", fuzz.FAULT),
    ],
)
def test_what_a_notebook_ends_with_is_told_apart(source, kind, tmp_path, monkeypatch):
    parameters = new_code_cell("run_dir = ''", metadata={"tags": ["parameters"]})
    notebook = tmp_path / "01_any.ipynb"
    notebook.write_text(json.dumps(new_notebook(cells=[parameters, new_code_cell(source)])), encoding="utf-8")
    monkeypatch.setattr(fuzz, "NOTEBOOKS", [notebook])
    assert fuzz.outcome(tmp_path / "cells.h5ad", tmp_path, {})[0] == kind


def test_a_seed_is_a_file(tmp_path):
    (first, oddities), (second, again) = (odd_files.draw(ALONE["rare genes"], tmp_path) for _ in range(2))
    assert oddities == again == ["rare genes"] and first == second
    X = np.asarray(ad.read_h5ad(first).to_df())
    assert ((X > 0).sum(axis=0) == 1).any()
