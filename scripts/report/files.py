"""Files of a run: tables that spreadsheets may open, too, cells, notebooks, and what is said of a full disk."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.errors import InputError

if TYPE_CHECKING:
    import anndata
    import pandas as pd
    from nbformat import NotebookNode

TEXT_COLUMNS = [  # stay text even where every name is a number
    *("gene", "gene_i", "gene_j", "term", "genes", "shared_genes", "bilinear_genes", "correlated_genes"),
]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # how texts begin that a spreadsheet computes
MARK = "'"  # before a text: it is none to be computed
FULL = [os.strerror(number) for name in ("ENOSPC", "EDQUOT") if (number := getattr(errno, name, 0))]
SPARE = 1_000_000  # bytes of an .h5ad file beside its values, at most, for so few keys as a run has


def write_table(table: pd.DataFrame, path: Path, is_marked: bool) -> None:
    """Write a table without its index, as CSV, or with tabs where the name ends on .tsv.

    is_marked : whether texts that begin as a formula, or with the mark itself, get a mark; numbers never do.
    """
    end = None
    if is_marked:
        starts, end = (*FORMULA, MARK), "\r\n"  # as spreadsheets end lines: a text with either of them stands in quotes
        table = _change_texts(table, lambda text: MARK + text if text.startswith(starts) else text)
    table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False, lineterminator=end)


def read_table(path: Path, is_marked: bool) -> pd.DataFrame:
    """Read a table as it was before it was written: equal numbers, and a gene called NA is no missing value."""
    import pandas as pd

    text = dict.fromkeys(TEXT_COLUMNS, str)
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""], float_precision="round_trip")
    return _change_texts(table, lambda text: text.removeprefix(MARK)) if is_marked else table


def _change_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    changed = table.copy()
    for name in table.select_dtypes(exclude=["number", "bool"]):
        changed[name] = [change(value) if isinstance(value, str) else value for value in table[name]]
    return changed


def name_folder(executed: NotebookNode, folder: Path) -> None:
    """Let an executed notebook name the folder that its run has or will have, to be executed again from there."""
    known = executed.metadata.papermill.parameters
    for cell in executed.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace(known["run_dir"], str(folder))
    known["run_dir"] = str(folder)


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
    """Write .h5ad, compressed, where there is room for it; OSError where there is none: HDF5 can end Python then."""
    if shutil.disk_usage(path.parent).free < n_bytes(cells) + SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with one_error():
        cells.write_h5ad(path, compression="gzip", compression_opts=1)  # a third of the bytes; 9 is little smaller


def n_bytes(cells: anndata.AnnData) -> int:
    """Bytes of all matrices and tables, uncompressed, as `write_h5ad` stores them, or a little more."""
    from scripts.blocks import is_lazy, n_stored  # takes seconds: imported where it is wanted

    matrices: list[Any] = [cells.X]
    for kept in (cells.layers, cells.obsm, cells.varm, cells.obsp, cells.varp):
        matrices += kept.values()
    parts = [part for each in matrices if each is not None for part in _parts(each)]
    tables = [table.memory_usage(deep=True).sum() for table in (cells.obs, cells.var)]
    lazy = sum(n_stored(part) * (part.dtype.itemsize + 8) + 8 * len(part) for part in parts if is_lazy(part))
    return int(sum(part.nbytes for part in parts if not is_lazy(part)) + lazy + sum(tables))


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
