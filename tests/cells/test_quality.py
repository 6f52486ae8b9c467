"""How sound each cell is, by the formulas; and which cells are left out by which limit."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts import figures, findings
from scripts.cells import MEASURES, Preparation, describe, leave_out, limits, load, quality
from scripts.errors import InputError
from scripts.sources import resolve
from tests.cells import cases

KINDS = {"MT-CO1": "mt", "MT-ND1": "mt", "RPS3": "ribo", "RPLP0": "ribo", "HBA1": "hb", "HBB": "hb", "HBEGF": ""}


def with_kinds(adata):
    """The first genes are mitochondrial, ribosomal and of haemoglobin, and one is only named alike."""
    adata.var_names = [*KINDS, *cases.GENES[len(KINDS) :]]


def loaded(folder, *changes, **settings) -> ad.AnnData:
    def change(adata):
        for each in (with_kinds, *changes):
            each(adata)

    return load(resolve(str(cases.written(change, folder / "cells.h5ad"))), Preparation(**settings))


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_measures_are_those_of_the_formulas(form, tmp_path):
    adata = loaded(tmp_path, lambda adata: setattr(adata, "X", form(adata.X)))
    X = cases.base().X
    np.testing.assert_allclose(adata.obs["total_counts"], X.sum(axis=1))
    np.testing.assert_array_equal(adata.obs["n_genes_by_counts"], (X > 0).sum(axis=1))
    for kind in ("mt", "ribo", "hb"):
        of_kind = [gene for gene, name in enumerate(KINDS) if KINDS[name] == kind]
        np.testing.assert_allclose(
            adata.obs[f"pct_counts_{kind}"], 100 * X[:, of_kind].sum(axis=1) / X.sum(axis=1), rtol=1e-5
        )
    pd.testing.assert_frame_equal(adata.uns["quality"], adata.obs[list(adata.uns["quality"])])


@pytest.mark.parametrize(
    ("kind", "genes", "others"),
    [
        ("mt", ["MT-ND4L", "mt-Co1"], ["MTOR", "Mtf1", "MT1A"]),
        ("ribo", ["RPS27A", "RPL13", "Rps3", "Rpsa"], ["RPA1", "MRPL12", "Rprd1a"]),
        ("hb", ["HBA2", "HBB", "HBG1", "HBZ", "Hba-a1", "Hbb-bs", "Hbb-b1", "Hbq1a"], ["HBEGF", "HBS1L", "Hbp1"]),
    ],
)
def test_kinds_of_genes_go_by_their_names_in_human_and_mouse(kind, genes, others):
    random = np.random.default_rng(0)
    X = 1 + random.poisson(2, (20, len(genes + others))).astype(np.float32)
    measured = quality.measure(ad.AnnData(X, var=pd.DataFrame(index=genes + others)), True)[f"pct_counts_{kind}"]
    np.testing.assert_allclose(measured, 100 * X[:, : len(genes)].sum(axis=1) / X.sum(axis=1), rtol=1e-5)


def test_doublets_score_high(monkeypatch):
    random = np.random.default_rng(0)
    rates = random.gamma(0.5, 4, (3, 400))
    types = np.arange(300) % 3
    single = random.poisson(rates[types])
    double = single[:20] + single[[cell + 1 for cell in range(20)]]
    adata = ad.AnnData(np.vstack([single, double, np.zeros((1, 400))]).astype(np.float32))
    scores = quality.measure(adata, True)["doublet_score"].to_numpy()
    assert np.mean(scores[300:320, None] > scores[:300]) > 0.9 and np.isnan(scores[320])
    monkeypatch.setattr(quality, "MAX_SCORED", 320)
    measured = quality.measure(adata, True)
    assert "doublet_score" not in measured and "more than 320" in findings.about_quality(measured)[-1]


def test_what_the_file_says_of_its_cells_is_kept(tmp_path):
    totals = cases.base().X.sum(axis=1)

    def own(adata):
        adata.obs["total_counts"], adata.obs["pct_counts_mt"], adata.obs["pct_counts_hb"] = totals, "high", 0.0
        adata.obs["pct_counts_hb_in_file"] = 1.0

    adata = loaded(tmp_path, own)
    (sentence,) = adata.uns["dataset"]["said"]
    assert "holds as pct_counts_mt, pct_counts_hb differs from what its counts give" in sentence
    assert sentence.endswith("is kept as pct_counts_mt_in_file, pct_counts_hb_in_file_.")
    assert (adata.obs["pct_counts_hb_in_file"] == 1).all() and (adata.obs["pct_counts_hb_in_file_"] == 0).all()
    assert (adata.obs["pct_counts_mt_in_file"] == "high").all() and adata.obs["pct_counts_mt"].max() < 100
    assert "total_counts_in_file" not in adata.obs


def test_limits_leave_out_cells_and_say_by_reason_how_many(tmp_path):
    whole = loaded(tmp_path).obs
    settings = {"min_counts": 120, "max_counts": 160, "min_genes": 40, "max_genes": 51, "max_pct_mt": 5.0}
    adata = loaded(tmp_path, **settings)
    beyond = {
        "total counts below 120 (min_counts)": whole["total_counts"] < 120,
        "total counts above 160 (max_counts)": whole["total_counts"] > 160,
        "detected genes below 40 (min_genes)": whole["n_genes_by_counts"] < 40,
        "detected genes above 51 (max_genes)": whole["n_genes_by_counts"] > 51,
        "mitochondrial share (%) above 5 (max_pct_mt)": whole["pct_counts_mt"] > 5,
    }
    keep = ~np.logical_or.reduce(list(beyond.values()))
    assert list(adata.obs_names) == list(whole.index[keep]) and len(adata.uns["quality"]) == len(whole)
    (sentence,) = adata.uns["dataset"]["left_out"]
    assert sentence.startswith(f"{400 - adata.n_obs} of 400 cells (") and sentence.rstrip(".") in describe(adata)
    assert all(named.any() and f"{named.sum()} with {reason}" in sentence for reason, named in beyond.items())
    table = limits(adata.uns["quality"], Preparation(**settings))
    assert table.loc[table["left_out"], "cells"].tolist() == [named.sum() for named in beyond.values()]


def test_limits_by_deviations_are_those_of_the_formulas(tmp_path):
    whole, kept = loaded(tmp_path).obs, loaded(tmp_path, n_mads=2)
    off = []
    for name, log in [("total_counts", True), ("n_genes_by_counts", True), ("pct_counts_mt", False)]:
        values = np.log1p(whole[name].to_numpy(float)) if log else whole[name].to_numpy(float)
        apart = values - np.median(values)
        off.append((np.abs(apart) if log else apart) > 2 * np.median(np.abs(apart)))
    assert all(each.any() for each in off)
    assert list(kept.obs_names) == list(whole.index[~np.logical_or.reduce(off)])


def test_nothing_is_left_out_unless_a_setting_says_so(tmp_path):
    adata = loaded(tmp_path)
    table = limits(adata.uns["quality"], Preparation())
    assert adata.n_obs == 400 and "No cell left out" in describe(adata)
    assert set(table["setting"]) == {"n_mads 5"} and not table["left_out"].any()


def test_where_most_cells_are_alike_no_deviation_is_judged():
    table = pd.DataFrame({"total_counts": [10.0, 20, 30, 40], "n_genes_by_counts": 7, "pct_counts_mt": [0.0, 0, 0, 9]})
    assert set(limits(table, Preparation(n_mads=3))["measure"]) == {"total_counts"}


@pytest.mark.parametrize("change", [cases.log_normalised, cases.scaled])
def test_values_that_are_no_counts_have_few_measures(change, tmp_path):
    adata = loaded(tmp_path, change)
    detected = ["n_genes_by_counts"] if change is cases.log_normalised else []
    assert list(adata.uns["quality"]) == detected
    sentences = findings.about_quality(adata.uns["quality"])
    assert "no counts" in sentences[0] and "total counts" in sentences[0] and len(sentences) == 1
    assert ("detected genes" in sentences[0]) == (not detected)
    text = str(figures.quality_violins(adata.uns["quality"], limits(adata.uns["quality"], Preparation()), MEASURES))
    assert ("No measure of quality" in text) == (not detected)


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (cases.log_normalised, {"min_counts": 1}, "min_counts needs total counts, .* no counts: set min_counts: 0, or"),
        (cases.log_normalised, {"max_pct_mt": 5}, "max_pct_mt needs mitochondrial share .* no counts: .*layer: counts"),
        (cases.log_normalised, {"n_mads": 5}, "n_mads needs total counts, .* set n_mads: 0"),
        (cases.scaled, {"min_genes": 5}, "min_genes needs detected genes, .* negative values, .*: set min_genes: 0"),
        (
            lambda adata: None,
            {"max_doublet_score": 0.3},
            "max_doublet_score needs doublet score, .* few cells or genes",
        ),
        (
            lambda adata: setattr(adata, "var_names", cases.GENES),
            {"max_pct_mt": 5},
            "no gene's name begins with MT- or mt-: set max_pct_mt: 0$",
        ),
        (lambda adata: None, {"min_counts": 1000}, r"only 0 of 400 cells would be left \(400 with total counts below"),
    ],
)
def test_limits_that_cannot_be_used_are_one_line(change, settings, message, tmp_path):
    with pytest.raises(InputError, match=f"^cells: .*{message}"):
        loaded(tmp_path, change, **settings)


def test_log_normalised_cells_are_left_out_by_their_genes(tmp_path):
    detected = (cases.base().X > 0).sum(axis=1)
    adata = loaded(tmp_path, cases.log_normalised, min_genes=45)
    assert adata.n_obs == (detected >= 45).sum() < 400


def test_each_step_that_leaves_cells_out_adds_its_sentence():
    adata = ad.AnnData(np.ones((2000, 2), np.float32))
    adata.uns["dataset"] = {"name": "cells", "left_out": np.array([], dtype=str)}
    place = np.arange(2000)
    adata = leave_out(adata, {"first": place < 1, "nobody": place < 0})
    adata = leave_out(adata, {"odd": place[1:] % 2 == 1, "late": place[1:] >= 1000})
    assert leave_out(adata, {}) is adata
    assert list(adata.uns["dataset"]["left_out"]) == [
        "1 of 2,000 cells (0.05%) left out: 1 first.",
        "1,500 of 1,999 cells (75%) left out: 1,000 odd, 1,000 late, some for several reasons.",
    ]


def test_facts_are_quantiles_and_shares():
    table = pd.DataFrame({"total_counts": np.arange(101.0), "n_genes_by_counts": 7.0})
    facts = findings.facts_of_quality(table)
    assert facts["measure"].tolist() == ["total counts", "detected genes"]
    assert facts.iloc[0, 1:].tolist() == [0, 1, 25, 50, 75, 99, 100]
    facts = findings.facts_of_limits(limits(table, Preparation(min_counts=20)), len(table))
    assert facts.iloc[0].tolist() == ["min_counts", "total counts", "below", 20, 20, 100 * 20 / 101, "yes"]
    assert set(facts["left out"][1:]) <= {"no"}


def rare(adata):
    """Genes 20 to 59 are shown by three cells alone."""
    adata.X[3:, 20:] = 0
    adata.X[:3, 20:] = 1


def test_genes_that_few_cells_show_are_told_and_left_out_where_a_setting_says_so(tmp_path):
    told = "40 of 60 genes are shown by fewer than 1% of the cells: scaled like others, they are noise to the models"
    adata = loaded(tmp_path, rare)
    assert adata.n_vars == 60 and f"{told}; min_cells: 4 leaves them out" in describe(adata)
    adata = loaded(tmp_path, rare, min_cells=4)
    assert adata.n_vars == 20 and "40 of 60 genes left out: shown by fewer than 4 cells" in describe(adata)
    assert "noise" not in describe(loaded(tmp_path))
    with pytest.raises(InputError, match=r"0 of 60 genes are shown by 500 cells: set min_cells: 0"):
        loaded(tmp_path, min_cells=500)


def test_violins_show_each_measure_with_its_limits(tmp_path):
    table = loaded(tmp_path).uns["quality"]
    found = limits(table, Preparation(max_pct_mt=5.0))
    figure = figures.quality_violins(table, found, MEASURES)
    titles = [note.text for note in figure.layout.annotations if note.xref == note.yref == "paper"]
    assert titles == [MEASURES[name] for name in table] and len(figure.data) == len(table.columns)
    np.testing.assert_allclose(10 ** figure.data[0].y, np.sort(table["total_counts"]), rtol=2e-3)
    lines = {(round(line.y0, 3), line.line.dash) for line in figure.layout.shapes}
    assert len(figure.layout.shapes) == len(found) and (5.0, "solid") in lines
    upper = found.query("measure == 'total_counts' and side == 'above'")["limit"].item()
    assert (round(np.log10(upper), 3), "dot") in lines
    many = pd.concat([table] * 20, ignore_index=True)
    assert len(figures.quality_violins(many, found, MEASURES).data[0].y) == 3000
