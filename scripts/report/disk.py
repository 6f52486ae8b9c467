"""A disk without room: noticed before HDF5 meets it, which can end Python then, and told in one line."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import InputError

if TYPE_CHECKING:
    import anndata

FULL = [os.strerror(number) for name in ("ENOSPC", "EDQUOT") if (number := getattr(errno, name, 0))]
SPARE = 1_000_000  # bytes of an .h5ad file beside its values, at most, for so few keys as a run has


def is_full(error: Exception) -> bool:
    """Whether an error tells of a disk without room: h5py and safetensors do so in their messages alone."""
    return any(sign in str(error) for sign in FULL)


def cause(error: Exception) -> str:
    """Why something could not be written, as the end of a sentence."""
    if is_full(error):
        return "the disk is full: make room and start again"
    return getattr(error, "strerror", "") or type(error).__name__


def not_written(path: Path, error: Exception) -> InputError:
    """What to raise where a file or folder could not be written."""
    return InputError(f"{path} could not be written ({cause(error)})")


def write_cells(cells: anndata.AnnData, path: Path) -> None:
    """Write .h5ad where there is room for it; OSError where there is none."""
    if shutil.disk_usage(path.parent).free < n_bytes(cells) + SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with one_error():
        cells.write_h5ad(path)


def n_bytes(cells: anndata.AnnData) -> int:
    """Bytes of all matrices and tables, uncompressed, as `write_h5ad` stores them, or a little more."""
    matrices: list[Any] = [cells.X]
    for kept in (cells.layers, cells.obsm, cells.varm, cells.obsp, cells.varp):
        matrices += kept.values()
    parts = [part for each in matrices if each is not None for part in _parts(each)]
    tables = [table.memory_usage(deep=True).sum() for table in (cells.obs, cells.var)]
    return int(sum(part.nbytes for part in parts) + sum(tables))


def _parts(values: Any) -> list:
    return [values.data, values.indices, values.indptr] if hasattr(values, "indptr") else [values]


@contextlib.contextmanager
def one_error() -> Iterator[None]:
    """Within, only what is raised is told: on a full disk, h5py also shows an error for every object it cannot close.

    A notebook would show those first, and the first is what papermill takes for the cause.
    """
    hooks = sys.excepthook, sys.unraisablehook
    sys.excepthook = sys.unraisablehook = lambda *_: None
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = hooks
