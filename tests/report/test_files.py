"""A full disk: one line, whichever way a writer tells of it."""

import errno
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from anndata import AnnData
from safetensors import SafetensorError
from scipy import sparse

from scripts.errors import InputError
from scripts.report import files
from scripts.report.run import Run

TOLD = "could not be written .the disk is full: make room and start again"
ERRORS = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    OSError("Can't close file (errno = 28, error message = 'No space left on device')"),  # as h5py, without a number
    RuntimeError("Can't decrement id ref count (errno = 28, error message = 'No space left on device')"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_full_disk_is_told_in_one_way_and_the_old_file_stays(tmp_path, error):
    Run(tmp_path).write_text("history.csv", "old")

    def half(path):
        path.write_text("hal")
        raise error

    with pytest.raises(InputError, match=f"history.csv {TOLD}"):
        Run(tmp_path).write("history.csv", half)
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    assert (tmp_path / "history.csv").read_text() == "old"


def test_of_the_errors_that_h5py_shows_on_a_full_disk_only_the_raised_one_is_told(tmp_path, monkeypatch):
    def half(cells, path, **how):
        sys.excepthook(RuntimeError, RuntimeError("cannot be closed"), None)  # as h5py, for each of its objects
        raise ERRORS[0]

    shown = []
    monkeypatch.setattr(sys, "excepthook", hook := lambda *told: shown.append(told))
    monkeypatch.setattr(AnnData, "write_h5ad", half)
    with pytest.raises(InputError, match=f"cells.h5ad {TOLD}"):
        Run(tmp_path, "01_data").save(cells=cells())
    assert not shown and sys.excepthook is hook


def test_other_faults_of_a_writer_stay_what_they_are(tmp_path):
    def faulty(path):
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        Run(tmp_path).write("cells.h5ad", faulty)


def cells() -> AnnData:
    """Of matrices of all kinds, and names and labels as text."""
    X = sparse.random(2000, 500, 0.1, random_state=0, format="csr")
    adata = AnnData(X, layers={"counts": X.toarray()}, obsm={"X_freq": np.ones((2000, 5))})
    adata.obs["label"] = [f"a rather long name of a cell type, number {cell % 9}" for cell in range(2000)]
    adata.obsp["connectivities"] = sparse.eye(2000, format="csr")
    return adata


def test_cells_are_written_only_where_there_is_room_for_them(tmp_path, monkeypatch):
    adata = cells()
    adata.write_h5ad(tmp_path / "whole.h5ad")
    size = (tmp_path / "whole.h5ad").stat().st_size
    assert size < files.n_bytes(adata) + files.SPARE < 1.1 * size + files.SPARE
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=size))
    with pytest.raises(InputError, match=f"cells.h5ad {TOLD}"):
        Run(tmp_path, "01_data").save(cells=adata)
    assert not (tmp_path / "cells.h5ad").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * size + files.SPARE))
    Run(tmp_path, "01_data").save(cells=adata)
    assert Run(tmp_path).load_cells().shape == adata.shape
    assert (tmp_path / "cells.h5ad").stat().st_size < size / 2
