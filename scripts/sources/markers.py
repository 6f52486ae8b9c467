"""Published lineage markers of mouse myeloid progenitors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scripts.errors import InputError
from scripts.sources.download import DATA_FOLDER

if TYPE_CHECKING:
    import pandas as pd

TABLE = DATA_FOLDER / "markers_myeloid.csv"
MIN_MARKERS = 20  # measured markers below which the cells are taken for another tissue or species


def load_markers(genes: list[str], path: Path = TABLE) -> pd.DataFrame:
    """Markers that were measured: lineage, gene, source; empty for data sets that hold too few of them.

    Raises
    ------
    InputError
        If the table lacks one of these columns.
    """
    import pandas as pd

    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if missing := {"lineage", "gene", "source"} - set(table.columns):
        raise InputError(f"{path} lacks the column {missing.pop()!r}: take the one that comes with the program")
    measured = table[table["gene"].isin(genes)].reset_index(drop=True)
    return measured if len(measured) >= MIN_MARKERS else measured.iloc[:0]
