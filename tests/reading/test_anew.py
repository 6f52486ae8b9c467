from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from benchmarks.structureless import judged, structureless_set
from scripts import cells, datasets, evaluation, findings, graph, models, reading
from scripts.reading import anew, stability
from tests import reference

SETTINGS = cells.Preparation(n_freq_comps=3)


def test_partners_are_found_whatever_their_order_and_sign():
    random = np.random.default_rng(0)
    axes = random.normal(size=(400, 4))
    turned = axes[:, [2, 0, 3, 1]] * [1, -1, 1, -1]
    both, positive = anew.shared_genes([axes, turned])[0]
    assert both == 1 and 0.5 <= positive < 0.6  # two of four are the other way round
    np.testing.assert_array_equal(anew.shared_genes([axes, axes[:, ::-1]])[0], [1, 1])
    assert anew.shared_genes([axes, random.normal(size=(400, 4))])[0].max() < 0.15
    assert anew.shared_genes([axes, axes, axes]).shape == (3, 2)


@pytest.fixture(scope="module")
def found(pbmc):
    adata = pbmc[:300].copy()
    adata.obsm["X_freq"] = adata.obsm["X_freq"][:, :3]
    adata = datasets.add_frequencies(adata, cells.Preparation(n_freq_comps=3, unconnected="largest"))
    datasets.add_branches(adata, pd.DataFrame())
    split = cells.run_split(adata)
    ridge, programs = models.BilinearRidge(20, (5,)), models.ProgramRidge(3, orders=("curves",))
    ridge.fit(split.train, split.val)
    programs.fit(split.train, split.val)
    return adata, ridge, programs


def test_each_method_is_read_with_either_graph(found):
    adata, ridge, programs = found
    table = reading.pole_stability(adata, SETTINGS, ridge, programs, 2)
    assert list(table) == anew.COLUMNS and len(table) == 12
    assert table.groupby("graph", sort=False).size().to_dict() == {anew.ANEW: 6, anew.SAME: 6}
    n_axes = table.set_index("method")["n_axes"]
    assert (n_axes[[anew.BRANCHES, anew.PREDICTED]] == 4).all() and (n_axes[anew.CORRELATION] == 3).all()
    assert table["both_poles"].between(0.1, 1).all()
    said = findings.about_pole_stability(table)
    assert len(said) == 3 and said[0].startswith("With the graph built anew") and "takes" in said[2]
    adata = adata.copy()
    del adata.obsm["X_branches"]
    assert len(reading.pole_stability(adata, SETTINGS, ridge, programs, 2)) == 8


def test_the_same_cells_give_the_same_poles(found):
    adata, ridge, programs = found
    one, two = (anew.axis_genes(adata.X, adata.obsm["X_freq"], ridge, programs, 2) for _ in range(2))
    for method in (*anew.OF_MODELS, *anew.OF_CELLS):
        np.testing.assert_allclose(one[method], two[method], atol=1e-6)
    varies = adata.X.std(axis=0) > 1e-3
    expected = reference.correlations(adata.X[:, varies], adata.obsm["X_freq"])
    np.testing.assert_allclose(one[anew.CORRELATION][varies], expected, atol=1e-4)


def test_why_nothing_could_be_built_anew_is_told(found):
    adata, ridge, programs = found
    table = reading.pole_stability(adata, SETTINGS, ridge, programs, 0)
    assert table.empty and findings.about_pole_stability(table)[0].endswith("was not measured: n_rebuilt is 0.")


def test_the_one_that_wins_is_said_both_ways():
    rows = [
        (g, m, 3, b, 0.01, b, 0.01)
        for g in (anew.ANEW, anew.SAME)
        for m, b in ((anew.PROGRAMS, 0.7), (anew.CORRELATION, 0.6))
    ]
    table = pd.DataFrame(rows, columns=anew.COLUMNS)
    table.loc[3, "both_poles"] = 0.9
    first, second, third = findings.about_pole_stability(table)
    assert "is ahead of what correlation gives" in first and "+0.100" in first
    assert "is behind what correlation gives" in second and "-0.200" in second
    assert third == "Building the graph anew takes most from correlation with frequencies: 0.30 of that Jaccard."
    table.loc[[1, 3], "both_poles"], table.loc[2, "both_poles"] = 0.6, 0.9
    assert "takes most from programs, by pattern: 0.20 " in findings.about_pole_stability(table)[2]
    assert findings.about_pole_stability(table)[2].endswith("; from correlation with frequencies, 0.00.")


@pytest.mark.slow
@pytest.mark.paul15
def test_poles_of_branches_and_programs_of_paul15_come_back(paul15):
    adata = datasets.add_frequencies(paul15[0].copy(), cells.Preparation(n_freq_comps=6))
    named = datasets.add_branches(adata, pd.DataFrame())
    assert len(named) == 7 and (named["label_share"] > 0.7).all()
    split = cells.run_split(adata)
    ridge, programs = models.BilinearRidge(), models.ProgramRidge()
    ridge.fit(split.train, split.val)
    programs.fit(split.train, split.val)
    table = reading.pole_stability(adata, cells.Preparation(n_freq_comps=6), ridge, programs, 5)
    both = table.pivot(index="method", columns="graph", values="both_poles")
    found = both[anew.ANEW]
    assert found[anew.PREDICTED] >= 0.75 and found[anew.PROGRAMS] >= 0.69
    assert found[anew.PREDICTED] > found[anew.CORRELATION] + 0.05
    lost = both[anew.SAME] - found
    assert lost[anew.CORRELATION] > 0.05 > lost[anew.PREDICTED]


@pytest.mark.parametrize("null", ["smooth", "shuffled"])
def test_no_module_is_trusted_of_targets_that_know_nothing_of_the_genes(null, pbmc):
    """Each graph that is built anew has random targets of its own, as it would have frequencies of its own.

    The smooth ones are fields on the graph of other cells. A field on the cells' own graph is made of the tissue's
    axes, which come back: such targets are not independent of the genes.
    """
    make = partial(models.BilinearRidge, 20, (8,))
    adata = cells.scaled(pbmc.copy())
    others = np.random.default_rng(1).permutation(adata.n_obs)
    graph, y = adata.obsp["connectivities"][others][:, others], adata.obsm["X_freq"]
    rows = np.sort(np.random.default_rng(0).permutation(adata.n_obs)[:560])
    for seed in range(3):
        adata.obsm["X_freq"] = cells.without_pairs(null, adata.X, y, graph, adata.X, seed)[1]
        split = cells.run_split(adata)
        model = make()
        model.fit(split.train, split.val)
        form, X = model.form(list(adata.var_names)), split.train.arrays()[0]
        drawn = [
            cells.without_pairs(null, adata.X[rows], y[rows], graph[rows][:, rows], adata.X, 100 + 10 * seed + n)[1]
            for n in range(3)
        ]
        fits = [reading.fitted_patterns(make, cells.CellDataset(adata.X, targets, rows=rows)) for targets in drawn]
        forms = evaluation.forms_of_subsamples(make, split, form.genes, 3)
        same, by_chance = reading.patterns_of_subsamples(forms, split.train), reading.random_patterns(form, X)
        table = reading.module_stability(reading.patterns(form, X), same, fits, by_chance)
        assert not reading.trusted_modules(table, evaluation.truncation_curve(form, split))["trusted"].any()


@pytest.mark.slow
@pytest.mark.paul15
def test_no_module_is_trusted_of_cells_that_differ_in_depth_alone(paul15):
    settings = cells.Preparation(n_freq_comps=3, unconnected="largest")
    for seed in range(2):
        found = judged(structureless_set(paul15[0].copy(), settings, 600, seed), settings)
        assert found["frequencies with structure"] == 0 and found["trusted"] == 0


def test_fields_are_smooth_and_their_modules_are_axes_of_the_tissue(found):
    adata, *_ = found
    make, edges = partial(models.BilinearRidge, 20, (5,)), adata.obsp["connectivities"]
    noise = np.random.default_rng(0).normal(size=(adata.n_obs, 3))
    fields = cells.smooth_fields(edges, 3, np.random.default_rng(0))
    np.testing.assert_allclose([fields.mean(axis=0), fields.std(axis=0)], [[0] * 3, [1] * 3], atol=1e-9)
    assert (graph.dirichlet_energy(fields, edges) < 0.2 * graph.dirichlet_energy(noise, edges)).all()
    adata = adata.copy()
    own = reading.patterns_of_fields(make, adata)
    np.testing.assert_array_equal(own, reading.patterns_of_fields(make, adata))
    assert own.shape == (3, adata.n_vars, 5) and not np.allclose(own, reading.patterns_of_fields(make, adata, 1))
    adata.X = sparse.csr_matrix(adata.X)
    assert reading.patterns_of_fields(make, adata).shape == own.shape


def test_modules_of_a_graph_built_anew_come_back(found):
    adata, *_ = found
    make = partial(models.BilinearRidge, 20, (5,))
    fits = reading.patterns_anew(make, adata, SETTINGS, 2)
    n_freq = adata.obsm["X_freq"].shape[1]
    assert [fit.shape for fit in fits] == [(n_freq, adata.n_vars, 5)] * 2
    assert stability.partner_jaccards(*fits)[0, 0] > 0.4
    assert reading.patterns_anew(make, adata, SETTINGS, 0) == []
