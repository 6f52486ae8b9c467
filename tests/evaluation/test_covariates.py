import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

from scripts import findings, graph
from scripts.cells.splits import ALL_CELLS, add_split, run_split
from scripts.evaluation import covariates
from scripts.evaluation.performance import performance
from scripts.evaluation.rivals import LINEAR, linear_ridge

N = 400


def made_cells(frequencies, label="", **obs):
    """Cells of random genes with frequencies, and with what is known of them."""
    random = np.random.default_rng(1)
    names = [f"c{i}" for i in range(N)]
    adata = ad.AnnData(random.normal(size=(N, 30)).astype(np.float32), pd.DataFrame(obs, names))
    adata.obsm["X_freq"] = np.stack(frequencies, axis=1)
    adata.uns["label"] = label
    adata.uns["quality"] = adata.obs[[name for name in obs if name in covariates.MEASURED]]
    return adata


def expression_explains(*r2):
    rows = [
        (ALL_CELLS, 0, model, f, r2[f], model == "bilinear") for f in range(len(r2)) for model in ("bilinear", LINEAR)
    ]
    return pd.DataFrame(rows, columns=["protocol", "split", "model", "frequency", "r2", "chosen"])


def by_covariate(table, value="r2"):
    return table.pivot(index="covariate", columns="frequency", values=value)


def test_a_frequency_that_is_a_covariate_is_warned_of_and_no_other():
    random = np.random.default_rng(0)
    depth, noise = random.lognormal(8, 0.5, N), random.normal(size=(3, N))
    donor = random.choice(["a", "b", "c"], N)
    frequencies = [np.log(depth) + 0.1 * noise[0], (donor == "b") + 0.2 * noise[1], noise[2]]
    adata = made_cells(frequencies, total_counts=depth, n_genes_by_counts=random.random(N), donor=donor)
    table = covariates.covariate_table(adata, expression_explains(0.9, 0.8, 0.9))
    r2, warned = by_covariate(table), by_covariate(table, "warned")
    assert r2.loc["total counts", 0] > 0.9 and r2.loc["donor", 1] > 0.7
    assert r2.loc[[name for name in r2.index if name not in ("bilinear", LINEAR)], 2].max() < 0.05
    assert set(warned.index[warned[0]]) == {"total counts", covariates.ALL}
    assert set(warned.index[warned[1]]) == {"donor", covariates.ALL} and not warned[2].any()
    assert table["permuted_r2"].max() < 0.05

    first, second, chance = findings.about_covariates(table)
    assert first.startswith("Frequency 0 follows total counts: R² on held-out cells 0.9") and "depth rather" in first
    assert second.startswith("Frequency 1 follows donor") and "0.80 from expression; it may be technical" in second
    assert "at random" in chance
    (key_figure,) = findings.figures_of_covariates(table).values()
    assert key_figure.startswith("0: total counts (R² 0.9") and "; 1: donor" in key_figure
    missing = findings.about_missing_covariates(table, adata)
    assert [line.split(":")[0] for line in missing] == ["Left out, mitochondrial share (%)", "Left out, cell cycle"]


def test_several_covariates_may_explain_together_what_none_does_alone():
    random = np.random.default_rng(0)
    depth, donor, noise = random.lognormal(8, 0.5, N), random.choice(["a", "b"], N), random.normal(size=N)
    known = (np.log(depth) - 8) / 0.5 + 2 * (donor == "b")
    adata = made_cells([known + 0.2 * noise], total_counts=depth, donor=donor)
    table = covariates.covariate_table(adata, expression_explains(1.2))  # more than twice of what each can
    assert table.loc[table["warned"], "covariate"].tolist() == [covariates.ALL]
    assert findings.about_covariates(table)[0].startswith(f"Frequency 0 follows {covariates.ALL}")


def test_labels_are_not_warned_of_and_what_expression_was_not_judged_on_is_where_it_is_most():
    random = np.random.default_rng(0)
    depth, kind = random.lognormal(8, 0.5, N), random.choice(["a", "b"], N)
    frequencies = [  # the last hardly, by LEAST
        (kind == "a") + 0.1 * random.normal(size=N),
        np.log(depth),
        0.3 * np.log(depth) + random.normal(size=N),
    ]
    adata = made_cells(frequencies, "cell_type", total_counts=depth, cell_type=pd.Categorical(kind))
    table = covariates.covariate_table(adata, expression_explains(0.9, np.nan, 0.02))
    assert by_covariate(table).loc["cell_type", 0] > 0.9
    assert table.loc[table["warned"], ["frequency", "covariate"]].to_numpy().tolist() == [[1, "total counts"]]
    (told, _), (key_figure,) = findings.about_covariates(table), findings.figures_of_covariates(table).values()
    assert "not judged from expression, -0.0" in told and key_figure.endswith("expression not judged)")
    table = table[table["frequency"] != 1].reset_index(drop=True)
    assert findings.about_covariates(table)[0].startswith("No frequency follows a covariate")
    assert findings.figures_of_covariates(table) == {}


def test_cells_of_which_nothing_is_known_are_said_to_be():
    table = covariates.covariate_table(made_cells([np.arange(N) / N]), expression_explains(0.5))
    assert table["kind"].unique().tolist() == ["expression"]
    assert findings.about_covariates(table) == [
        "Nothing else is known of the cells that could be held against the frequencies."
    ]


def test_odd_columns_are_features():
    random = np.random.default_rng(0)
    number = pd.Series(random.normal(size=N))
    y = np.where(np.arange(N) < 40, 5, np.sin(2 * number))
    number[:40] = np.nan  # missing is a group of its own
    rare = pd.Series(pd.Categorical(random.integers(0, 150, N)))
    columns = {("labels", "number"): number.to_frame("number"), ("batch", "rare"): rare.to_frame("rare")}
    r2 = by_covariate(covariates.variance_explained(y[:, None], columns))[0]
    assert r2["number"] > 0.95 and r2["rare"] < 0.05
    adata = made_cells([y], total_counts=np.full(N, 7.0), n_genes_by_counts=np.full(N, 2), donor=["a"] * N)
    assert covariates.known_covariates(adata) == {}
    told = findings.about_missing_covariates(covariates.covariate_table(adata, expression_explains(0.5)), adata)
    assert told[0] == "Left out, total counts: it is the same in all cells."


@pytest.mark.parametrize("spell", [str.upper, str.title])
def test_the_cell_cycle_is_scored_as_scanpy_does_it(spell):
    random = np.random.default_rng(0)
    cycle = [spell(gene) for names in covariates.PHASES.values() for gene in names.split()]
    names = [*cycle, *(f"other{i}" for i in range(500))]
    X = random.normal(random.uniform(0, 9, len(names)), size=(60, len(names))).astype(np.float32)
    dividing = np.arange(60) < 20
    X[:20, : len(cycle)] += 2
    adata = ad.AnnData(X, var=pd.DataFrame(index=names), uns={"dataset": {"steps": []}})
    found = covariates.cycle_scores(adata)
    assert found["S_score"][dividing].min() > found["S_score"][~dividing].max()
    phases = covariates.cycle_genes(names)
    assert min(map(len, phases.values())) > 40
    scaled = sc.pp.scale(adata, copy=True)
    scaled.layers["logs"] = adata.X  # as cells of a run have them
    np.testing.assert_allclose(covariates.cycle_scores(scaled), found, atol=1e-6)
    sc.tl.score_genes_cell_cycle(adata, s_genes=phases["S"], g2m_genes=phases["G2M"])
    np.testing.assert_allclose(found, adata.obs[["S_score", "G2M_score"]], atol=1e-6)


def test_the_cell_cycle_is_left_out_where_it_cannot_be_scored():
    phases = [names.split() for names in covariates.PHASES.values()]
    for n_s, n_g2m in ((0, 30), (30, 9), (10, 10)):  # of the last, no other genes are there to hold them against
        names = [*phases[0][:n_s], *phases[1][:n_g2m]]
        X = np.random.default_rng(0).normal(np.arange(len(names)), size=(60, len(names))).astype(np.float32)
        adata = ad.AnnData(X, var=pd.DataFrame(index=names), uns={"dataset": {"steps": []}})
        assert covariates.cycle_scores(adata) is None


@pytest.mark.paul15
def test_depth_explains_much_of_paul15s_second_frequency(paul15):
    adata = paul15[0]
    table = covariates.variance_explained(adata.obsm["X_freq"], covariates.known_covariates(adata))
    r2 = by_covariate(table)
    assert set(r2.index) == {"total counts", "detected genes", "cell cycle", covariates.ALL, "paul15_clusters"}
    assert 0.2 < r2.loc["detected genes", 0] < 0.35 and 0.55 < r2.loc["total counts", 1] < 0.75
    assert r2.loc[covariates.ALL, 2] < 0.1 and table["permuted_r2"].max() < 0.01


def structureless(depth_sd):
    """Cells that are all alike but for their depth, through normalising, graph and frequencies."""
    random = np.random.default_rng(0)
    depth, share = random.lognormal(0, depth_sd, N), random.dirichlet(np.full(150, 2.0))
    counts = random.poisson(np.outer(depth, 600 * share)).astype(np.float32)
    obs = pd.DataFrame({"total_counts": counts.sum(axis=1), "n_genes_by_counts": (counts > 0).sum(axis=1)})
    adata = ad.AnnData(counts, obs.set_index(obs.index.astype(str)))
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    sc.pp.scale(adata)
    found = graph.nearest_neighbors(adata.X, 15, "cosine")
    adata.obsm["X_freq"] = graph.frequencies(graph.adjacency(found), 2)[1]
    adata.uns |= {"label": "", "quality": adata.obs.copy(), "dataset": {"steps": ["scale"]}}
    split = run_split(add_split(adata))
    scores = performance(split, {LINEAR: linear_ridge}).assign(chosen=False)
    return covariates.covariate_table(adata, scores)


def test_structureless_cells_are_warned_of_where_depth_is_all_that_they_differ_in():
    table = structureless(depth_sd=0.8)
    assert table.loc[table["frequency"] == 0, "warned"].any()
    assert not structureless(depth_sd=0.0)["warned"].any()
