"""Gene sets of diseases, which say of healthy tissue no more than that the same genes are on in it."""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

from scripts.sources.download import DATA_FOLDER

TABLE = DATA_FOLDER / "kegg_disease_pathways.csv"  # class "Human Diseases" of KEGG's hierarchy of pathways (br08901)


def without_diseases(library: str, sets: dict[str, list[str]]) -> dict[str, list[str]]:
    """A library without KEGG's disease pathways; the same, if it is not one of KEGG's.

    They are known by their number (hsa05200, as in Enrichr's libraries up to 2016), else by their name, whatever stands
    in brackets or after a dash behind it. KEGG alone puts pathways of diseases among its others.

    library : its name, or the path of its file; sets : {term: genes}.
    """
    if "kegg" not in Path(library).name.lower():
        return sets
    return {term: genes for term, genes in sets.items() if not _is_disease(term)}


def _is_disease(term: str) -> bool:
    numbers, names = _pathways()
    number = re.search(r"(?<![a-z])hsa(\d{5})\b", term)
    return number[1] in numbers if number else _plain(term) in names


@cache
def _pathways() -> tuple[frozenset[str], frozenset[str]]:
    """Numbers and names of KEGG's disease pathways."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return frozenset(row["pathway"] for row in rows), frozenset(_plain(row["name"]) for row in rows)


def _plain(term: str) -> str:
    """A name as it is compared: "KEGG_PRION_DISEASE", "Prion disease - Homo sapiens" and "prion disease" are one."""
    term = re.sub(r"\(.*?\)| - .*", "", term.lower().replace("_", " ").removeprefix("kegg "))
    return " ".join(re.findall(r"[a-z0-9]+", term))
