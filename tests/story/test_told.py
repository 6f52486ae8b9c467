"""The data layer: what is said of each frequency and of a run, from known tables."""

import re
import shlex

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts.report import Run
from scripts.story import told
from scripts.story.frequencies import frequencies_of
from scripts.story.modules import ABOUT
from scripts.story.tables import READ, Tables
from tests.story.runs import GENES, TYPES, filled, tables

NAMED = re.compile(r"module (\d+) of frequency (\d+)")


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Tables and frequencies of the small run."""
    found = Tables(filled(tmp_path_factory.mktemp("told") / "run"))
    return found, frequencies_of(found)


def test_ends_are_named_by_their_cells_in_the_same_orientation_everywhere(read):
    tables_, (first, _) = read
    assert (first.low.types, first.high.types) == ({TYPES[0]: 40}, {TYPES[3]: 40})  # a tenth of 400 cells each
    assert first.title == f"Frequency 0: from {TYPES[0]} to Ery"
    v = tables_.frequencies[:, 0]
    for end, sign in zip(first.ends, (-1, 1), strict=True):
        assert (end.markers["ci_low"] > 0).all() and end.markers["difference"].is_monotonic_decreasing
        assert set(end.genes) <= set(GENES[:8] if sign < 0 else GENES[-8:]) and len(end.genes) == 5
        at_end = np.argsort(sign * v)[-end.n_cells :]
        for row in end.markers.itertuples():
            x = tables_.expression(row.gene)
            assert row.difference * x.std() == pytest.approx(x[at_end].mean() - np.delete(x, at_end).mean(), rel=1e-4)
    assert np.corrcoef(first.modules[0].axis, v)[0, 1] > 0.9


def test_terms_that_stand_for_the_same_genes_count_once_and_those_of_other_axes_not_at_all(read):
    _, (first, second) = read
    assert list(first.high.terms["term"]) == ["Heme <b>"] and first.low.terms.empty
    assert abs(second.modules[0].correlation) < ABOUT
    assert all(end.terms.empty for end in second.ends)


@pytest.mark.parametrize(("n_higher", "terms"), [(5, ["Heme <b>"]), (3, ["Heme <b>"]), (2, []), (0, [])])
def test_terms_are_those_of_an_end_if_most_of_their_genes_are_higher_there(tmp_path, n_higher, terms):
    genes = shlex.join([*GENES[: 5 - n_higher], *GENES[len(GENES) - n_higher :]])
    enrichment = tables()["06_go_terms"]["enrichment"].assign(genes=genes)
    first, _ = frequencies_of(Tables(filled(tmp_path / "run", **{"06_go_terms": {"enrichment": enrichment}})))
    assert list(first.high.terms["term"]) == terms


def with_cells(folder, v, types, shown):
    """The small run with another first frequency, (n_cells,), other types, and genes that some cells alone show."""
    run = filled(folder)
    cells = run.load_cells()
    X = np.abs(np.random.default_rng(1).normal(0, 0.1, size=cells.shape))
    for gene, rows in shown.items():
        X[rows, gene] += 2
    cells.X = sparse.csr_matrix(X.astype(np.float32))
    cells.obs["kind"] = pd.Categorical(types)
    cells.obsm["X_freq"][:, 0] = (v - v.mean()) / np.linalg.norm(v - v.mean())
    Run(folder, "01_data", {"dataset": "mine.h5ad", "label": "", "csv_safe": True}).save(cells=cells)
    return frequencies_of(Tables(run))[0]


ORDER = np.arange(400)  # of the cells along a frequency


def test_genes_of_an_end_are_those_of_the_cells_that_name_it(tmp_path):
    """Furthest out are few cells beyond many: genes that rise towards that end are those of the many."""
    v = np.select([ORDER < 40, ORDER < 340], [-0.4, -0.2], 1.0) + 1e-4 * ORDER
    few, many, others = ORDER < 40, ORDER < 340, ORDER >= 340
    found = with_cells(
        tmp_path / "run", v, np.select([few, many], ["few", "many"], "others"), {0: few, 1: many, 2: others}
    )
    assert found.title == "Frequency 0: from few to others"
    assert np.corrcoef(many, v)[0, 1] < np.corrcoef(few, v)[0, 1]
    assert found.low.genes[0] == GENES[0] and found.high.genes == [GENES[2]]


def test_genes_of_all_other_cells_are_those_that_the_end_lacks(tmp_path):
    v = np.where(ORDER < 360, 0.0, 1.0) + 1e-4 * ORDER
    few, others = ORDER >= 360, ORDER < 360
    found = with_cells(tmp_path / "run", v, np.where(few, "few", "others"), {0: few, 1: others, 2: ORDER < 20})
    assert found.title == "Frequency 0: few (high end) apart from all other cells"
    assert found.low.n_cells == 400 - found.high.n_cells and found.low.types == {}
    assert found.low.genes == [GENES[1]] and found.high.genes == [GENES[0]]


def test_ends_of_the_same_type_are_told_apart_by_their_genes(tmp_path):
    v = ORDER / 400
    ends = (ORDER < 40) | (ORDER >= 360)
    shown = {0: ORDER < 40, 1: ORDER >= 360}
    found = with_cells(tmp_path / "run", v, np.where(ends, "a type", "between"), shown)
    assert found.title == f"Frequency 0: from a type high in {GENES[0]} to a type high in {GENES[1]}"


def test_an_end_of_no_known_type_is_named_by_its_genes(read, tmp_path):
    shown = {gene: ORDER < 40 for gene in range(4)} | {4: ORDER >= 360}
    found = with_cells(tmp_path / "run", ORDER / 400, np.where(ORDER % 2, "odd", "even"), shown)
    assert found.low.types == {} and len(found.low.genes) == 4
    assert found.low.name == "cells high in " + ", ".join(found.low.genes[:3]) and set(found.low.genes) == set(
        GENES[:4]
    )
    assert found.high.name == f"cells high in {GENES[4]}"
    _, (_, second) = read
    assert second.low.name == "cells of no one type" and second.low.genes == []


def test_grades_follow_what_was_measured(read):
    _, (first, second) = read
    assert first.grade[0] == "firm" and "0.97" in first.grade[1] and "0.85" in first.grade[1]
    grade, reason = second.grade
    assert grade == "doubtful"
    for said in ["no structure beyond depth", "total counts explains much of it (R² 0.33)", "does not come back"]:
        assert said in reason


@pytest.mark.parametrize(
    ("changed", "grade", "reason"),
    [
        ({"comes_back": False}, "likely", "only together with its neighbours"),
        ({"structure": "no"}, "doubtful", "no structure"),
        ({"group": np.nan, "comes_back": False}, "doubtful", "does not come back"),
    ],
)
def test_one_measure_alone_changes_the_grade(tmp_path, changed, grade, reason):
    scales = tables()["02_visualize"]["scales"].assign(**changed)
    run = filled(tmp_path / "run", **{"02_visualize": {"scales": scales}})
    found = frequencies_of(Tables(run))[0].grade
    assert found[0] == grade and reason in found[1]


def test_a_weak_model_makes_no_firm_grade(tmp_path):
    performance = tables()["03_train"]["performance"].assign(r2=0.4)
    found = frequencies_of(Tables(filled(tmp_path / "run", **{"03_train": {"performance": performance}})))[0].grade
    assert found[0] == "likely" and "R² 0.40" in found[1]


def test_the_sentences_name_no_module_whose_axis_is_not_that_of_its_frequency(read):
    tables_, frequencies = read
    sentences = [*told.in_short(frequencies), *told.alerts(tables_, frequencies)]
    named = {(int(f), int(m)) for said in sentences for m, f in NAMED.findall(said)}
    assert named == {(0, 1)}  # that of frequency 1 is trusted, too
    columns = list(zip(tables_.cells.uns["bmlp"]["frequency"], tables_.cells.uns["bmlp"]["module"], strict=True))
    test = (tables_.cells.obs["split"] == "test").to_numpy()
    for frequency, module in named:
        axis = tables_.cells.obsm["X_axes"][test, columns.index((frequency, module))]
        assert abs(np.corrcoef(axis, tables_.frequencies[test, frequency])[0, 1]) >= 0.3


def test_a_module_that_repeats_another_is_named_as_that(read):
    _, (first, second) = read
    assert (first.modules[0].repeats, second.modules[0].repeats) == ("", "frequency 0, module 1")
    assert len(told.distinct([first, second])) == 1


def test_what_modules_csv_says_of_axes_prevails(tmp_path):
    of_reading = tables()["04_interpret"]
    modules = of_reading["modules"].assign(axis_correlation=-0.42, repeats=["f0_m2"] * 20)
    run = filled(tmp_path / "run", **{"04_interpret": of_reading | {"modules": modules}})
    module = frequencies_of(Tables(run))[0].modules[0]
    assert (module.correlation, module.repeats) == (-0.42, "frequency 0, module 2")


def test_alerts_stand_with_the_worst_first(read):
    said = told.alerts(*read)
    order = [
        "Frequency 1 may not be biology: from total counts",
        "Cell types are those of obs['kind']",
        "libraries are missing: H",
    ]
    assert [any(words in line for line in said) for words in order] == [True] * 3
    places = [next(place for place, line in enumerate(said) if words in line) for words in order]
    assert places == sorted(places) and len(said) == 3


def test_pairs_that_add_nothing_are_an_alert(tmp_path):
    performance = tables()["03_train"]["performance"].assign(r2=0.7)
    found = Tables(filled(tmp_path / "run", **{"03_train": {"performance": performance}}))
    assert any("Pairs of genes add nothing" in line for line in told.alerts(found, frequencies_of(found)))
    assert not any("raise that" in line for line in told.in_short(frequencies_of(found)))


@pytest.mark.parametrize("name", READ)
def test_a_table_that_is_missing_or_old_is_told_with_its_notebook(tmp_path, name):
    stem = name.removesuffix(".csv")
    found = Tables(filled(tmp_path / "gone", without=(stem,)))
    notebook = next(notebook for notebook, made in tables().items() if stem in made)
    assert found.missing == [f"{name} is missing; run {notebook}.ipynb first."]
    assert told.in_short(frequencies_of(found)) and list(found[name].columns) == READ[name]
    old = tables()[notebook] | {stem: pd.DataFrame({"frequency": [0], "other": [1]})}
    found = Tables(filled(tmp_path / "old", **{notebook: old}))
    assert found.missing == [f"{name} is of an earlier version of the program; run {notebook}.ipynb again."]
    assert told.in_short(frequencies_of(found))
