"""How often chance finds a term, and what is said of it beside the modules."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.stats import binom

from scripts import findings
from scripts.enrichment import by_chance, gene_lists, sets, terms
from scripts.sources import gene_sets

POLE = (0, "module 1", "positive")


def test_genes_that_no_library_knows_do_not_make_random_lists_look_chosen():
    """With 15,000 of them in the background, half of the random lists would have a term."""
    random = np.random.default_rng(0)
    known = [f"g{i}" for i in range(2000)]
    members = {f"set {i}": list(random.choice(known, random.integers(5, 80), replace=False)) for i in range(500)}
    libraries = gene_sets.Libraries({"random": members}, {"random": "here"})
    measured = [*known, *(f"unheard{i}" for i in range(15_000))]
    tested = sets.tested_sets(measured, libraries)
    for expression in (None, random.random(len(measured))):
        counts = by_chance.chance({POLE: known[:50]}, tested, expression, n_lists=1000)
        assert binom.sf(counts["with a term"] - 1, 1000, 0.05) > 0.05


def test_random_directions_find_the_program_of_genes_that_go_together():
    random = np.random.default_rng(0)
    genes = [f"g{i}" for i in range(300)]
    X = random.normal(size=(400, 300))
    X[:, :40] += 3 * random.normal(size=(400, 1))
    sets_of = {"program": genes[:40]} | {f"set {i}": genes[40 + 20 * i : 60 + 20 * i] for i in range(13)}
    tested = sets.tested_sets(genes, gene_sets.Libraries({"one": sets_of}, {"one": "here"}))
    lists = by_chance.direction_lists(X, genes, 12, 30, seed=1)
    assert len(lists) == 24 and lists == by_chance.direction_lists(csr_array(X), genes, 12, 30, seed=1)
    row = by_chance.counted_by_chance(lists, tested, 3).loc[by_chance.DIRECTIONS]
    assert row["lists"] == 24 and row["share"] > 0.3 and 1 <= row["low"] <= row["findings"] <= row["high"]
    random_rate = by_chance.chance(lists, tested, np.ones(300), 400)["with a term"] / 400
    assert random_rate < 0.1  # genes drawn one by one are no null for genes that go together


def test_the_ends_of_programs_are_read_of_cells_that_they_were_not_fitted_to():
    random = np.random.default_rng(0)
    genes, t = [f"g{i}" for i in range(200)], random.normal(size=(600, 1))
    X = random.normal(size=(600, 200))
    X[:, :10] += 3 * t
    X[:300] = random.normal(size=(300, 200))  # the half that the program came from says nothing here
    half, other = np.arange(300), np.arange(300, 600)
    found = SimpleNamespace(t=t, half=half, other=other)
    lists = gene_lists.program_lists(found, X, genes, 10)
    assert set(lists) == {(0, "program 1", "positive"), (0, "program 1", "negative")}
    assert set(lists[0, "program 1", "positive"]) == set(genes[:10])
    assert gene_lists.program_lists(None, X, genes, 10) == {}


def test_the_page_says_whether_programs_have_more_terms_than_chance():
    counts = pd.DataFrame(
        {"lists": [10, 100], "with_a_term": [6, 40], "share": [0.6, 0.4], "findings": [7.0, 2.5]},
        index=[findings.PROGRAMS, by_chance.DIRECTIONS],
    ).assign(low=1.0, high=4.0)
    (said,) = findings.about_terms_of_programs(counts, 0.05)
    assert said.startswith("6 of 10 ends of programs") and "40%" in said and "more than chance gives" in said
    counts.loc[by_chance.DIRECTIONS, "high"] = 7
    assert "no more than chance gives" in findings.about_terms_of_programs(counts, 0.05)[0]
    counts.loc[findings.PROGRAMS, "lists"] = 0
    assert "no program" in findings.about_terms_of_programs(counts, 0.05)[0]


def test_a_module_is_about_its_frequency_if_its_axis_is_correlated_with_it():
    rows = [(0, 1, "a", -0.9), (0, 1, "b", -0.9), (1, 1, "a", 0.1), (2, 1, "a", np.nan), (2, 2, "a", 0.5)]
    modules = pd.DataFrame(rows, columns=["frequency", "module", "gene", "axis_correlation"])
    lists = {(f, "module 1", pole): ["a"] for f in (0, 1, 2) for pole in ("positive", "negative")}
    found = gene_lists.axis_correlations(modules, lists)
    np.testing.assert_array_equal(found, [-0.9, 0.1, np.nan])
    about = gene_lists.of_their_frequency(lists, found)
    assert {key[0] for key in about} == {0} and len(about) == 2
    table = pd.DataFrame({"frequency": [0, 1, 0], "source": ["module 1", "module 1 pattern", "correlation"]})
    column = terms.with_axis_correlation(table, found)["axis_correlation"]
    np.testing.assert_array_equal(column, [-0.9, 0.1, np.nan])
    (said,) = findings.about_axes(found, 0.3)
    assert "Of 3 distinct trusted modules 1 is about" in said and "1 of frequency 2 (not judged)" in said
    assert gene_lists.axis_correlations(modules, {}).empty


def test_the_page_says_who_has_more_findings():
    counts = pd.DataFrame(
        {"lists": [4, 10, 100], "with_a_term": [3, 6, 40], "share": [0.75, 0.6, 0.4], "findings": [5.0, 7.0, 2.5]},
        index=[findings.MODULES, findings.CORRELATION, by_chance.DIRECTIONS],
    ).assign(low=1.0, high=4.0)
    summary = pd.DataFrame({"frequency": [0], "source": ["module 1"], "pole": ["positive"], "genes": [50]})
    summary = summary.assign(significant_terms=9, findings=5, top_term="heme", top_adjusted_p=0.01)
    said = findings.about_enrichment(summary, counts, 0.05)
    assert (
        "5 distinct findings" in said[0] and "fewer than the plain correlation (7, of 10 poles), which wins" in said[0]
    )
    assert "more than chance gives" in said[0] and "random directions 40%" in said[1] and "heme" in said[2]
    counts.loc[findings.MODULES, "findings"], counts.loc[by_chance.DIRECTIONS, "high"] = 8, 9
    assert "the modules win" in (said := findings.about_enrichment(summary, counts, 0.05)[0])
    assert "no more than chance gives" in said
    shown = findings.figures_of_terms(summary, counts)
    assert shown["poles with a gene-set term"] == "3 of 4 (plain correlation: 6 of 10; random directions: 40%)"
    assert shown["distinct gene-set findings"].startswith("8 (plain correlation: 7; as many random directions: 2.5")


def test_random_lists_have_terms_at_no_more_than_the_nominal_rate():
    random = np.random.default_rng(0)
    measured = [f"g{i}" for i in range(1000)]
    members = {f"set {i}": list(random.choice(measured, random.integers(5, 60), replace=False)) for i in range(400)}
    tested = sets.tested_sets(measured, gene_sets.Libraries({"random": members}, {"random": "here"}))
    counts = by_chance.chance({POLE: measured[:50]}, tested, random.random(1000), n_lists=500)
    assert counts["random lists"] == 500 and counts["with a term"] / 500 < 0.075
    assert "fits the nominal rate" in findings.about_chance(counts, 0.05)[0]
    assert "no more than the nominal rate allows" in findings.about_expression(counts, 0.05)[0]
    often = pd.Series({"random lists": 200, "with a term": 40, "terms of all": 80, "most terms of a list": 9})
    said = findings.about_chance(often, 0.05)[0]
    assert "40 (20.0%)" in said and "more than chance allows for" in said and "0.40 terms on average" in said


def test_terms_of_well_expressed_genes_are_told_from_the_level_of_the_test():
    genes = [f"g{i}" for i in range(600)]
    members = {"strong": genes[:60]} | {f"set {i}": genes[60 + 9 * i : 75 + 9 * i] for i in range(58)}
    tested = sets.tested_sets(genes, gene_sets.Libraries({"one": members}, {"one": "here"}))
    lists, expression = {POLE: genes[:60:2]}, -np.arange(600.0)
    plain, matched = (by_chance.chance(lists, tested, level, 400) for level in (None, expression))
    assert binom.sf(plain["with a term"] - 1, 400, 0.05) > 0.05 and matched["with a term"] == 400
    assert "may be that of its expression" in findings.about_expression(matched, 0.05)[0]
