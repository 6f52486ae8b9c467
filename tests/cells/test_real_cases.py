"""Files as users bring them, in the folder that BMLP_CASES_DIR names; skipped where it names none."""

import os
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from scripts import findings, graph
from scripts.cells import Preparation, batch_columns, describe, label_columns, labels_of, load
from scripts.datasets import prepare
from scripts.errors import InputError
from scripts.sources import gather, resolve


def loaded(file, **settings) -> ad.AnnData:
    return load(resolve(str(file)), Preparation(**settings))


REAL = {  # case: label, what is said in order, cells
    "c00_base": ("cell_type", [], 400),
    "c01_cellxgene_discover": ("cell_type", ["found in raw.X", "feature_name"], 400),
    "c02_census_counts": ("cell_type", ["feature_name"], 400),
    "c05_index_named_as_column_duplicates": ("cell_type", ["CLTCL1, PDGFA"], 400),
    "c06_pandas3_nullable_strings": ("cell_type", [], 400),
    "c07_label_nan": ("cell_type", [], 400),
    "c08_cells_twice": ("cell_type", ["250 of 500 cells (50%) left out: 250 the same as another cell"], 250),
    "c08_control_once": ("cell_type", [], 250),
    "c09_few_empty_cells": ("cell_type", ["8 of 400 cells (2%) left out: 8 without counts"], 392),
    "c10_fractional_counts": ("cell_type", ["fractional values: normalised"], 400),
    "c12_no_x": ("cell_type", ["layer counts"], 400),
    "c13_citeseq": ("cell_type", ["20 of 560 features are no genes"], 400),
    "c16_slash_in_obs": ("cell_type", [], 400),
    "c17_clone_id_first": ("cell_type", [], 400),
    "c18_old_anndata_06": ("cell_type", [], 400),
    "c19_cells.h5ad.gz": ("cell_type", [], 400),
    "c19_cells.zarr": ("cell_type", [], 60),
    "c19_filtered_feature_bc_matrix.h5": ("", [], 60),
    "c20_48_cells": ("cell_type", [], 48),
    "c21_batch_first": ("cell_type", [], 400),
    "c26_csc_bool": ("cell_type", [], 400),
    "c26_csc_float64": ("cell_type", [], 400),
    "c26_csc_int64": ("cell_type", [], 400),
    "c26_csc_uint16": ("cell_type", [], 400),
    "c26_dense_float16": ("cell_type", [], 400),
    "c27_bool_and_int_labels": ("leiden", [], 400),
    "c27_one_category": ("cell_type", [], 400),
    "c27_unused_categories": ("cell_type", [], 400),
    "c28_batches_apart": ("cell_type", [], 400),
}
AS_BASE = ["c01", "c02", "c05", "c06", "c07", "c12", "c13", "c16", "c18", "c19_cells.h5ad.gz", "c26_csc_float64"]
AS_BASE += ["c26_csc_int64", "c26_csc_uint16", "c26_dense_float16"]


@pytest.fixture
def real():
    """Folder of files as users bring them, where there is one."""
    if not os.environ.get("BMLP_CASES_DIR"):
        pytest.skip("BMLP_CASES_DIR names no folder of such files")
    return Path(os.environ["BMLP_CASES_DIR"])


@pytest.mark.parametrize("case", REAL)
def test_a_real_case_is_read(real, case):
    label, said, n_cells = REAL[case]
    suffix = "" if case.startswith("c19") else ".h5ad"
    adata = loaded(real / f"{case}{suffix}")
    sentences = [*adata.uns["dataset"]["said"], *adata.uns["dataset"]["left_out"]]
    assert adata.n_obs == n_cells and adata.uns["label"] == label
    assert len(sentences) == len(said) and all(map(str.__contains__, sentences, said))
    if case.startswith(tuple(AS_BASE)):
        np.testing.assert_allclose(adata.X, loaded(real / "c00_base.h5ad").X, atol=1e-5)
    if case == "c07_label_nan":
        assert adata.obs["cell_type"].notna().sum() == 286


def test_the_first_line_of_a_real_case_says_how_much_of_the_graph_is_left_out(real):
    adata = prepare(resolve(str(real / "c28_batches_apart.h5ad")), Preparation(unconnected="largest"))
    assert "155 of 400 cells (39%) left out: 155 outside the largest part of the graph" in describe(adata)


@pytest.mark.parametrize(
    ("case", "eigenvalues"),
    [
        ("c00_base", [3.2279, 4.1960, 4.4310, 5.5017, 5.5218]),
        ("c08_cells_twice", [3.5968, 4.3428, 5.0186, 5.3725, 5.5646]),
        ("c09_few_empty_cells", [3.2267, 4.1997, 4.5556, 5.4397, 5.5121]),
        ("c10_fractional_counts", [3.254, 4.111, 4.479]),
    ],
)
def test_a_real_case_has_its_eigenvalues_on_all_genes(real, case, eigenvalues):
    adata = prepare(resolve(str(real / f"{case}.h5ad")), Preparation(graph_genes=0, n_freq_comps=5))
    np.testing.assert_allclose(adata.uns["freq_vals"][: len(eigenvalues)], eigenvalues, atol=6e-4)


def test_frequencies_of_fractional_counts_do_not_follow_the_size_of_the_library(real):
    adata = prepare(resolve(str(real / "c10_fractional_counts.h5ad")), Preparation())
    assert abs(np.corrcoef(adata.obsm["X_freq"][:, 0], adata.obs["total_counts"])[0, 1]) < 0.1


@pytest.mark.parametrize("case", ["d02_control_same_cells_filtered", "d02_unfiltered_10x_genes"])
def test_unfiltered_genes_do_not_drown_the_graph(real, case):
    adata = prepare(resolve(str(real / f"{case}.h5ad")), Preparation())
    share = graph.label_separation(adata.obsm["X_freq"], labels_of(adata))["variance_between_labels"]
    assert share[0] >= 0.5


def test_real_batches_apart_are_named_as_the_parts_of_the_graph(real):
    with pytest.raises(InputError, match=r"2 parts: 245 cells \(.*donor d1 100%\); 155 cells \(.*donor d2 100%\)"):
        prepare(resolve(str(real / "c28_batches_apart.h5ad")), Preparation())


def test_real_batches_that_are_corrected_for_are_one_part(real):
    adata = prepare(resolve(str(real / "c28_batches_apart.h5ad")), Preparation(batch="donor"))
    assert adata.uns["graph"]["parts"].tolist() == [400]
    between = graph.label_separation(adata.obsm["X_freq"], labels_of(adata))["variance_between_labels"]
    batches = graph.label_separation(adata.obsm["X_freq"], adata.obs["donor"])["variance_between_labels"]
    assert between[0] > 0.4 > 0.05 > batches[0]


def test_real_cells_twice_have_the_frequencies_of_those_cells_once(real):
    twice, once = (
        prepare(resolve(str(real / f"c08_{name}.h5ad")), Preparation()) for name in ("cells_twice", "control_once")
    )
    np.testing.assert_allclose(twice.uns["freq_vals"], once.uns["freq_vals"], atol=1e-4)


@pytest.mark.parametrize("case", ["c00_base", "c01_cellxgene_discover", "c02_census_counts", "c13_citeseq"])
def test_all_genes_of_a_real_case_are_known(real, case):
    sets = gather(["GO_Biological_Process_2023"]).sets["GO_Biological_Process_2023"]
    known = set().union(*sets.values())
    assert sum(name in known for name in loaded(real / f"{case}.h5ad").var_names) == 540


def test_shares_between_labels_are_of_the_labelled_cells(real):
    adata = loaded(real / "c07_label_nan.h5ad")
    freqs = graph.frequencies(graph.knn_graph(adata.X, 10, "cosine"), 5)[1]
    table = graph.label_separation(freqs, labels_of(adata))
    np.testing.assert_allclose(table["variance_between_labels"][:3], [0.549, 0.526, 0.391], atol=1e-3)


def test_a_real_batch_is_a_candidate_covariate_and_clones_are_nothing(real):
    first, _ = findings.about_batches(prepare(resolve(str(real / "c21_batch_first.h5ad")), Preparation()))
    assert first.endswith("obs['batch'] (3 values).")
    adata = loaded(real / "c17_clone_id_first.h5ad")
    assert label_columns(adata.obs) == ["cell_type"] and not batch_columns(adata.obs, "cell_type")


def test_zebrafish_are_of_no_species_that_is_known(real):
    adata = loaded(real / "c15_zebrafish.h5ad")
    assert adata.uns["dataset"]["species"] == "unknown"
    (sentence,) = findings.about_species(adata)
    assert "1 of 540 known as human, 0 as mouse, 380 more as human in upper case alone" in sentence


def test_a_real_case_of_genes_by_cells_is_refused(real):
    with pytest.raises(InputError, match="obs_names are 540 gene symbols of 540, var_names none: .*transpose it"):
        loaded(real / "c24_transposed.h5ad")


def test_a_real_link_keeps_its_name(real, tmp_path):
    (blob,) = real.glob("c22*/.annex/objects/*.h5ad")
    link = tmp_path / "Knochenmark Spender.h5ad"
    link.symlink_to(blob)
    assert resolve(str(link)).name == "Knochenmark Spender" and loaded(link).n_obs == 400
