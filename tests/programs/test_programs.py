"""Programs are read as they are, and only products that are there are called."""

from itertools import product

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scripts import figures, findings, programs
from scripts.cells import Preparation, labels_of, scaled, without_pairs
from scripts.programs.divisions import Programs, divided, fit_programs, halves
from scripts.programs.terms import LEVEL, LINEAR, hc3, linear_targets, term_table
from tests import reference

HOSTILE = ["<b>A</b>", "b|c", "*d*", "NA", "e f", "$x$", "%{y}", "1e5"]


def made(n_cells=1_200, seed=0, product=0.0, triple=0.0, n_genes=24, n_freq=2):
    """Cells of three independent programs, eight genes each, and frequencies of them: alone, a curve, products."""
    random = np.random.default_rng(seed)
    t = random.laplace(size=(n_cells, 3)).clip(-3, 3)
    X = np.repeat(t, n_genes // 3, axis=1) + random.normal(size=(n_cells, n_genes))
    first = t[:, 0] + 0.5 * t[:, 1] ** 2 + product * t[:, 0] * t[:, 1]
    second = t[:, 1] - t[:, 2] + triple * t.prod(axis=1)
    y = np.stack([first, second], axis=1)[:, :n_freq] + 0.5 * random.normal(size=(n_cells, n_freq))
    return X.astype(np.float32), y


def as_cells(X, y, labels=None, batch=None):
    names = (HOSTILE * X.shape[1])[: X.shape[1]]
    genes = [f"{name}{i // len(HOSTILE)}" for i, name in enumerate(names)]
    obs = pd.DataFrame({"label": labels, "batch": batch}, index=[f"c{i}" for i in range(len(X))])
    adata = ad.AnnData(X, obs.astype("category"), pd.DataFrame(index=genes))
    adata.obsm["X_freq"] = y
    adata.uns["dataset"] = {"name": "made", "batch": "batch" if batch is not None else "", "steps": [], "sparse": False}
    adata.uns["label"] = "label" if labels is not None else ""
    return adata


def fitted(X, y, number=0):
    return fit_programs(X, y, halves(len(X), number), [f"g{i}" for i in range(X.shape[1])])


def exact(t, y):
    """Programs that are known: what is tested does not hang on how they are found."""
    half, other = halves(len(t), 0)
    any_other = fitted(*made(200))
    return Programs(any_other.form, any_other.components, t, t, (y - y.mean(axis=0)) / y.std(axis=0), half, other)


def test_errors_are_those_of_the_reference():
    random = np.random.default_rng(0)
    X = np.column_stack([np.ones(60), random.normal(size=(60, 4))])
    y = random.normal(size=(60, 2)) * (1 + X[:, [1]] ** 2)
    weights, errors = hc3(X, y)
    for f in range(2):
        expected = reference.hc3(X, y[:, f])
        np.testing.assert_allclose(weights[:, f], expected[0], rtol=1e-8)
        np.testing.assert_allclose(errors[:, f], expected[1], rtol=1e-8)


def test_a_planted_pair_and_a_planted_triple_are_called_and_no_other():
    random = np.random.default_rng(0)
    t = random.normal(size=(1_000, 3)).clip(-3, 3)
    noise = random.normal(size=(1_000, 2))
    y = np.stack([t[:, 0] - 0.4 * t[:, 0] * t[:, 2], t[:, 1] ** 2 + 0.5 * t.prod(axis=1)], axis=1) + noise
    table = term_table(exact(t, y))
    called = table[table["called"]]
    assert [*zip(called["frequency"], called["programs"], np.sign(called["weight"]), strict=True)] == [
        (0, "1 3", -1.0),
        (1, "1 2 3", 1.0),
    ]
    assert called["replicated"].all()


def test_a_product_of_programs_that_were_found_is_called():
    table = term_table(fitted(*made(product=0.5)))
    assert table[table["called"] & (table["order"] == 2) & (table["frequency"] == 0)]["replicated"].any()


def test_what_is_called_is_sought_in_the_same_cells_measured_anew():
    X, y = made(1500, product=0.6)
    found = fitted(X, y)
    same = term_table(found, found.measured(X))
    np.testing.assert_array_equal(same["other_weight"], same["weight"])
    np.testing.assert_array_equal(same["replicated"], same["p"] < LEVEL)
    random = np.random.default_rng(0)
    noisy = term_table(found, found.measured(X + 0.2 * random.normal(size=X.shape).astype(X.dtype)))
    assert noisy["called"].any() and noisy.loc[noisy["called"], "replicated"].all()
    others = term_table(found, found.measured(random.permutation(X)))
    assert not others.loc[others["called"], "replicated"].any()


@pytest.mark.paul15
@pytest.mark.slow
def test_what_half_of_the_counts_of_paul15_say_the_other_half_says_again(paul15):
    adata = scaled(paul15[0].copy())
    found = fit_programs(adata.X, adata.obsm["X_freq"], divided(adata, 0), list(adata.var_names))
    _, counts = programs.program_terms(adata, found, Preparation(unconnected="largest"), 1)
    assert set(counts["cells"]) == {programs.REAL, programs.COUNT_HALVES, *programs.NULLS}
    assert set(counts[counts["cells"] == programs.REAL]["half"]) == {1, 2}
    of_counts = counts[(counts["cells"] == programs.COUNT_HALVES) & (counts["order"] == 2)].iloc[0]
    assert of_counts["n_called"] > 0 and of_counts["called_replicated"] > 0.5 > of_counts["others_replicated"]


def test_of_a_frequency_without_structure_nothing_is_called():
    found = fitted(*made(1500, product=0.6))
    table, without = term_table(found), term_table(found, without_structure=[0])
    assert set(table[table["called"]]["frequency"]) == {0} and not without["called"].any()
    pd.testing.assert_frame_equal(without.drop(columns="called"), table.drop(columns="called"))


def test_linear_targets_give_no_products():
    runs_with_any = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        X = np.exp(random.normal(size=(500, 3)) / 2) @ random.normal(size=(3, 30)) + random.normal(size=(500, 30))
        y = X @ random.normal(size=(30, 2)) / 4
        table = term_table(fitted(X.astype(np.float32), y + y.std() * random.normal(size=y.shape) / 2, seed))
        runs_with_any += table["called"].astype(bool).any()
    assert runs_with_any <= 1


@pytest.mark.paul15
@pytest.mark.slow
def test_targets_without_products_on_paul15_give_none(paul15):
    """At most one run of all may call one, as each does by chance in one of twenty."""
    adata, n_terms, n_runs_that_call = scaled(paul15[0].copy()), 0, 0
    y, edges, counts = adata.obsm["X_freq"], adata.obsp["connectivities"], adata.layers["counts"]
    for null, seed in product(("hinges", "link", "linear and smooth"), range(3)):
        X, targets = without_pairs(null, adata.X, y, edges, counts, seed)
        table = term_table(fit_programs(X, targets, halves(len(X), seed), list(adata.var_names)))
        n_terms, n_runs_that_call = n_terms + len(table), n_runs_that_call + table["called"].any()
    assert n_terms > 100 and n_runs_that_call <= 1


def test_linear_targets_of_real_ones_keep_what_is_linear():
    X, y = made()
    found = fitted(X, y)
    null = linear_targets(X, found)
    assert np.corrcoef(null[:, 1], found.y[:, 1])[0, 1] > 0.7
    assert not term_table(fitted(X, null))["called"].any()


def test_donors_are_in_one_half_whole():
    donors = np.repeat(np.arange(5), [10, 50, 20, 70, 30])
    for number in range(5):
        half, other = halves(len(donors), number, donors)
        assert not set(donors[half]) & set(donors[other])
        assert sorted([*half, *other]) == list(range(len(donors))) and len(half) and len(other)


def test_parts_of_the_polynomial_add_up_and_so_do_their_shares():
    X, y = made(product=0.4)
    found = fitted(X, y)
    whole = found.form.constant + found.form.contributions(X).sum(axis=2)
    np.testing.assert_allclose(whole, found.form.predict(X), atol=1e-9)
    shares = programs.polynomial_shares(found, X)
    np.testing.assert_allclose(shares.groupby("frequency")["share"].sum(), 1)


def test_poles_are_the_genes_of_a_program_and_hidden_ones_are_left_out():
    X, y = made()
    found = fitted(X, y)
    table = programs.program_table(found, X, 3)
    first = table.iloc[0]
    k = int(first["program"]) - 1
    column = X[found.half, int(first["gene"][1:])]
    assert first["pattern"] == pytest.approx(np.corrcoef(column, found.t[found.half, k])[0, 1], abs=1e-6)
    assert first["gene"] not in set(programs.program_table(found, X, 3, f"^{first['gene']}$")["gene"])


@pytest.mark.parametrize("labels", [None, ["<i>T</i>", "a|b"]])
def test_page_of_hostile_names_and_of_none(labels):
    X, y = made(600, product=0.6)
    adata = as_cells(X, y, None if labels is None else np.where(X[:, 0] > 0, *labels))
    found = fit_programs(adata.X, y, divided(adata, 0), list(adata.var_names))
    ends = programs.program_ends(found, labels_of(adata))
    assert (ends[["low", "high"]] == "").all(axis=None) == (labels is None)
    terms, counts = programs.program_terms(adata, found, Preparation(), 3)
    assert set(programs.program_table(found, adata.X, 5)["gene"]) <= set(adata.var_names)
    assert LINEAR in set(counts["cells"]) and counts[counts["cells"] == LINEAR]["n_called"].sum() == 0
    assert terms["called"].any() and terms["called_again"].between(0, 1).all()
    said = findings.about_program_terms(terms, counts)
    assert any("both high: " in sentence for sentence in said)
    assert figures.response_surface(programs.strongest_response(found, terms)).data
    again, _ = programs.program_terms(adata, found, Preparation(), 3)
    pd.testing.assert_frame_equal(terms, again)


def test_few_cells_are_said_to_be_too_few():
    for n_cells in (24, 40):
        X, y = made(n_cells)
        adata = as_cells(X, y)
        found = fit_programs(adata.X, y, divided(adata, 0), list(adata.var_names))
        terms, counts = programs.program_terms(adata, found, Preparation(), 2)
        assert terms.empty and "too few" in findings.about_program_terms(terms, counts)[0]
        assert findings.about_programs(
            found, programs.program_ends(found, pd.Series([None] * n_cells, dtype="category"))
        )
        assert figures.response_surface(programs.strongest_response(found, terms)) is None
        assert findings.figures_of_programs(counts) == {}


def test_one_program_has_no_products():
    X, _ = made(400)
    y = X[:, :8].mean(axis=1, keepdims=True)
    found = fitted(X, y + 0.01 * np.random.default_rng(0).normal(size=y.shape))
    assert found.t.shape[1] == 1
    assert "single program" in findings.about_program_terms(term_table(found), pd.DataFrame())[0]
