import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, hypergeom

from scripts import enrichment

MEASURED = [f"Gene{i}" for i in range(200)] + ["lowercase", "KNOWN"]


@pytest.fixture
def library(tmp_path):
    """Three sets in GMT form, in the symbols of another species; one shares nothing with what was measured."""
    sets = {
        "planted <i>term</i>": [f"GENE{i}" for i in range(12)],
        "broad": [f"GENE{i}" for i in range(0, 200, 4)],
        "elsewhere": ["OTHER1", "OTHER2"],
    }
    file = tmp_path / "sets.gmt"
    file.write_text("".join(f"{term}\t\t{chr(9).join(genes)}\t\n" for term, genes in sets.items()))
    return str(file)


def test_p_values_equal_the_hypergeometric_test_with_the_measured_background(library):
    genes = MEASURED[:9] + MEASURED[100:111]
    table = enrichment.over_representation({(0, "positive"): genes}, MEASURED, [library]).set_index("term")
    sizes = {"planted <i>term</i>": 12, "broad": 50}
    assert set(table.index) == set(sizes)
    symbols = {gene.upper() for gene in genes}
    for term, members in enrichment.read_library(library).items():
        if term in sizes:
            shared = len(symbols & set(members))
            expected = hypergeom(len(MEASURED), sizes[term], len(genes)).sf(shared - 1)
            assert table.loc[term, "p_value"] == pytest.approx(expected, rel=1e-10)
            assert table.loc[term, "overlap"].split("/")[0] == str(shared)
    np.testing.assert_allclose(table["adjusted_p"], false_discovery_control(table["p_value"]))
    assert table.loc["planted <i>term</i>", "adjusted_p"] < 1e-4


def test_lists_without_any_term_give_no_rows_but_stand_in_the_summary(library):
    lists = {(0, "positive"): MEASURED[:9], (0, "negative"): ["lowercase", "KNOWN"]}
    table = enrichment.over_representation(lists, MEASURED, [library])
    assert set(table["pole"]) == {"positive"}
    summary = enrichment.summarise(table, lists).set_index("pole")
    assert summary.loc["positive", "significant_terms"] == 1
    assert summary.loc["negative", "significant_terms"] == 0
    assert summary.loc["negative", "top_term"] == ""
    nothing = enrichment.over_representation({(0, "negative"): ["KNOWN"]}, MEASURED, [library])
    assert list(nothing.columns) == enrichment.COLUMNS and nothing.empty


def test_symbols_match_as_they_are_else_in_upper_case():
    found = enrichment.match_symbols(["Mpo", "CD34", "Xyz"], {"a": ["MPO", "CD34"]})
    assert found == {"Mpo": "MPO", "CD34": "CD34", "Xyz": "Xyz"}


def test_bundled_libraries_are_found_and_others_are_named(tmp_path):
    assert len(enrichment.read_library("GO_Biological_Process_2023")) == 5407
    assert len(enrichment.read_library("KEGG_2021_Human")) == 320
    with pytest.raises(FileNotFoundError, match="No_Such_Library"):
        enrichment.read_library("No_Such_Library")
    with pytest.raises(FileNotFoundError, match=r"missing\.gmt.*gene_sets"):
        enrichment.read_library(str(tmp_path / "missing.gmt"))
    (tmp_path / "empty.gmt").write_text("\n")
    with pytest.raises(ValueError, match="no gene set"):
        enrichment.read_library(str(tmp_path / "empty.gmt"))


def test_coverage_counts_what_the_library_knows(library):
    assert enrichment.coverage(MEASURED, [library])["measured genes known"].tolist() == [
        len({*range(12), *range(0, 200, 4)})
    ]


def test_lists_come_from_the_poles(library):
    rows = [(0, 1, 2.0, "positive", rank, f"Gene{rank}", 0.1) for rank in (2, 1, 3)]
    rows += [(0, 2, 1.0, "positive", 1, "Gene9", 0.1), (0, 1, 2.0, "negative", 1, "Gene7", -0.1)]
    modules = pd.DataFrame(rows, columns=["frequency", "module", "eigenvalue", "pole", "rank", "gene", "loading"])
    lists = enrichment.module_lists(modules, n_genes=2)
    assert lists == {(0, "positive"): ["Gene1", "Gene2"], (0, "negative"): ["Gene7"]}
    correlation = np.array([[0.9], [-0.2], [0.1], [-0.8]])
    assert enrichment.correlated_lists(correlation, list("abcd"), 1) == {(0, "positive"): ["a"], (0, "negative"): ["d"]}


@pytest.mark.paul15
def test_correlated_genes_of_paul15_have_the_published_number_of_terms(paul15):
    """Plain correlation, ten poles of 50 genes: 9 of 10 have a term at FDR 0.05 with the measured background."""
    from scripts.compare import correlations

    adata = paul15[0]
    genes = list(adata.var_names)
    lists = enrichment.correlated_lists(correlations(adata.X, adata.obsm["X_freq"]), genes, 50)
    libraries = ["GO_Biological_Process_2023", "KEGG_2021_Human"]
    summary = enrichment.summarise(enrichment.over_representation(lists, genes, libraries), lists)
    assert (summary["significant_terms"] > 0).sum() == 9
