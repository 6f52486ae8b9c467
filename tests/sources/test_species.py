"""Human or mouse, by the names of genes, and symbols of Ensembl ids."""

import pytest

from scripts.sources import ensembl_symbols, gene_symbols, name_counts, species, species_of


@pytest.fixture
def without_packages(monkeypatch):
    """The tables are read anew in this test, and after it."""
    cached = (species._ensembl, species.gene_symbols, species.ensembl_symbols)
    monkeypatch.setattr(species, "package_folder", lambda name: None)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def test_symbols_of_both_species_are_known_and_hardly_shared():
    symbols = gene_symbols()
    assert {"MPO", "CD34", "C8ORF88"} <= symbols["human"] and {"Mpo", "Cd34"} <= symbols["mouse"]
    assert len(symbols["human"]) > 40_000 < len(symbols["mouse"]) and len(symbols["human"] & symbols["mouse"]) < 50


@pytest.mark.parametrize(
    ("names", "counts", "found"),
    [
        (["MPO", "CD34", "ENSG00000000003", "gene"], [3, 0, 0], "human"),
        (["Mpo", "Cd34", "ENSMUSG00000000001", "CD34"], [1, 3, 0], "mouse"),
        (["mpo", "cd34", "mpoa"], [0, 0, 2], "unknown"),
        (["MPO", *(f"FBgn{number:07d}" for number in range(5))], [1, 0, 0], "unknown"),
        ([], [0, 0, 0], "unknown"),
    ],
)
def test_names_are_counted_by_species(names, counts, found):
    assert name_counts(names).tolist() == counts and species_of(names) == found


def test_symbols_of_ensembl_ids():
    table = ensembl_symbols()
    assert table["ENSG00000005381"] == "MPO" and table["ENSMUSG00000009350"] == "Mpo"


def test_without_the_packages_no_symbol_is_known(without_packages):
    assert gene_symbols() == {"human": frozenset(), "mouse": frozenset()} and ensembl_symbols() == {}
    assert species_of(["MPO", "CD34"]) == "unknown" and species_of(["ENSG00000005381"]) == "human"
