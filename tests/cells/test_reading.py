"""Whatever file people bring is read rightly, and what was found and done is said."""

from functools import cache, partial
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts.cells import Preparation, describe, load
from scripts.cells.labels import as_labels, batch_columns, label_columns, labels_of
from scripts.errors import InputError
from scripts.sources import resolve
from tests.cells import cases

LOGGED = ["scale"]
COUNTS = ["normalize_total", "log1p", "scale"]


@cache
def as_counts():
    """X of the base file, normalised by the formulas."""
    X = cases.base().X.astype(float)
    total = X.sum(axis=1, keepdims=True)
    X = np.log1p(X / total * np.median(total))
    return (X - X.mean(axis=0)) / X.std(axis=0, ddof=1)


# kind: (change of the base file or its maker, what is said, label); their cells are those of the base file
SAME = {
    "counts in X": (lambda adata: None, [], "cell_type"),
    "counts in raw, Ensembl ids with versions": (
        cases.discover,
        ["found in raw.X", "var['feature_name']"],
        "cell_type",
    ),
    "Ensembl ids, many columns": (cases.census, ["var['feature_name']"], "cell_type"),
    "Ensembl ids alone": (cases.only_ensembl, ["no column of symbols"], "cell_type"),
    "index named as a column, duplicates": (cases.duplicates, ["2 gene names stand for several genes"], "cell_type"),
    "nullable columns": (cases.nullable, [], "cell_type"),
    "cells without a label": (cases.label_nan, [], "cell_type"),
    "layer counts": (cases.in_layer("counts"), ["found in layer counts"], "cell_type"),
    "layer raw_counts": (cases.in_layer("raw_counts"), ["found in layer raw_counts"], "cell_type"),
    "no X": (cases.no_x, ["found in layer counts"], "cell_type"),
    "prefix": (cases.prefixed("GRCh38_"), ["The prefix GRCh38_ of all"], "cell_type"),
    "three underscores": (cases.prefixed("mm10___"), ["The prefix mm10___ of all"], "cell_type"),
    "slash in a key, text labels": (cases.odd_obs, [], "cell_type"),
    "nearly unique column first": (cases.clone_first, [], "Kind"),
    "batch first": (cases.batch_first, [], "which"),
    "numbers as clusters": (cases.clusters_by_number, [], "Leiden"),
    "batches alone": (cases.only_batches, [], ""),
    "one category": (cases.one_category, [], "cell_type"),
    "unused category": (cases.unused_categories, [], "cell_type"),
    **{
        f"{form.__name__} {dtype}": (cases.stored(form, dtype), [], "cell_type")
        for form in (np.ndarray, sparse.csr_matrix, sparse.csc_matrix)
        for dtype in ("int8", "uint16", "int32", "int64", "float32", "float64")
    },
    "dense float16": (cases.stored(np.ndarray, "float16"), [], "cell_type"),
    "gz": (cases.gz, [], "cell_type"),
    "zarr": (cases.zarr, [], "cell_type"),
    "10x h5": (cases.ten_x_h5, [], ""),
    "10x mtx": (cases.ten_x_mtx, [], ""),
    "10x mtx with a prefix": (partial(cases.ten_x_mtx, prefix="GSM1_"), [], ""),
    "anndata before 0.7": (cases.old, [], "cell_type"),
    "link": (cases.link, [], "cell_type"),
    "odd parts": (cases.odd_parts, ["found in layer counts"], "cell_type"),
}
MAKERS = [
    cases.gz,
    cases.zarr,
    cases.ten_x_h5,
    cases.ten_x_mtx,
    cases.old,
    cases.link,
    cases.odd_parts,
    cases.duplicates,
]


def made(change, folder: Path) -> Path:
    if change in MAKERS or isinstance(change, partial):
        return change(folder)
    return cases.written(change, folder / "cells.h5ad")


def loaded(file, **settings) -> ad.AnnData:
    return load(resolve(str(file)), Preparation(**settings))


@pytest.mark.parametrize("kind", SAME)
def test_the_same_cells_in_any_file(kind, tmp_path):
    change, said, label = SAME[kind]
    adata = loaded(made(change, tmp_path))
    np.testing.assert_allclose(adata.X, as_counts(), atol=1e-4)
    sentences = list(adata.uns["dataset"]["said"])
    assert len(sentences) == len(said) and all(map(str.__contains__, sentences, said))
    assert all(sentence.rstrip(".") in describe(adata) for sentence in sentences)
    assert adata.uns["label"] == label and adata.uns["dataset"]["steps"] == COUNTS
    if label and kind != "one category":
        assert adata.obs[label].cat.categories.size == cases.N_TYPES
    if not {"duplicates", "Ensembl ids alone"} & {part.strip() for part in kind.split(",")}:
        assert list(adata.var_names) == cases.GENES
    assert adata.var_names.is_unique and adata.obs_names.is_unique
    adata.write_h5ad(tmp_path / "written.h5ad")
    again = ad.read_h5ad(tmp_path / "written.h5ad")
    assert list(again.uns["dataset"]["said"]) == sentences and not {"G1/S", "odd"} & set(again.obs)
    assert ("G1_S" in again.obs) == (kind == "slash in a key, text labels")


@pytest.mark.parametrize(
    ("make", "name"),
    [(cases.gz, "cells"), (cases.zarr, "cells"), (cases.ten_x_h5, "cells.filtered"), (cases.ten_x_mtx, "ten.x")]
    + [(cases.link, "Zellen ü 1")],
)
def test_a_run_has_the_name_that_the_user_sees(make, name, tmp_path):
    source = resolve(str(make(tmp_path)))
    assert source.name == name and source.source == str(source.files[0]) and "store" not in source.source


@pytest.mark.parametrize(
    ("change", "steps", "said"),
    [
        (cases.fractional, COUNTS, "X holds fractional values"),
        (cases.log_normalised, LOGGED, "X holds normalised logarithms"),
        (cases.log_of_some_genes, LOGGED, "X holds normalised logarithms"),
        (cases.log2_of_some_genes, LOGGED, "X holds normalised logarithms"),
        (cases.scaled, LOGGED, "X holds negative values"),
    ],
)
def test_values_that_are_no_counts_get_the_steps_they_need(change, steps, said, tmp_path):
    file = made(change, tmp_path)
    adata = loaded(file)
    (sentence,) = adata.uns["dataset"]["said"]
    assert said in sentence and adata.uns["dataset"]["steps"] == steps
    told = loaded(file, normalize_total=False, log1p=False, scale=False)
    np.testing.assert_allclose(told.X, ad.read_h5ad(file).X, rtol=1e-6)
    assert not len(told.uns["dataset"]["said"]) and told.uns["dataset"]["steps"] == []


def test_settings_name_where_the_counts_are(tmp_path):
    np.testing.assert_allclose(loaded(made(cases.discover, tmp_path), layer="raw").X, as_counts(), atol=1e-4)
    file = made(cases.in_layer("mine"), tmp_path)
    assert "logarithms" in loaded(file).uns["dataset"]["said"][0]
    np.testing.assert_allclose(loaded(file, layer="mine").X, as_counts(), atol=1e-4)
    for layer in ("nowhere", "raw"):
        with pytest.raises(InputError, match=rf"cells has no layer '{layer}': it has \['mine'\]"):
            loaded(file, layer=layer)


def test_steps_that_are_asked_for_are_done_if_they_can_be(tmp_path):
    file = made(cases.log_normalised, tmp_path)
    assert loaded(file, normalize_total=True, log1p=True).uns["dataset"]["steps"] == COUNTS
    file = made(cases.scaled, tmp_path)
    assert loaded(file, scale=False).uns["dataset"]["steps"] == []
    with pytest.raises(InputError, match="NaN or infinite: set normalize_total: false and log1p: false"):
        loaded(file, normalize_total=True, log1p=True)


def test_binary_values_are_counts(tmp_path):
    adata = loaded(made(cases.stored(sparse.csc_matrix, "bool"), tmp_path))
    assert adata.uns["dataset"]["steps"] == COUNTS and not len(adata.uns["dataset"]["said"])


def test_features_that_are_no_genes_are_left_out_and_counted(tmp_path):
    adata = loaded(made(cases.citeseq, tmp_path))
    (sentence,) = adata.uns["dataset"]["said"]
    assert sentence == ("10 of 60 features are no genes and are left out (8 Antibody Capture, 2 CRISPR Guide Capture).")
    assert list(adata.var_names) == cases.GENES[:50]


def test_names_of_genes_are_put_on_a_line_that_can_be_printed(tmp_path):
    def rename(adata):
        names = ["a\nb", "\x1b[31mred", " Gapdh ", "\rx", "\ty", "a b", "x\u202ey"]
        adata.var_names = [*names, *adata.var_names[len(names) :]]

    adata = loaded(made(rename, tmp_path))
    mark = "\N{REPLACEMENT CHARACTER}"
    assert list(adata.var_names[:7]) == ["a b", f"{mark}[31mred", "Gapdh", "x", "y", "a b-1", f"x{mark}y"]
    (said,) = [sentence for sentence in adata.uns["dataset"]["said"] if "printed" in sentence]
    assert said.startswith("6 gene names hold line breaks")


def test_empty_cells_are_left_out_and_counted(tmp_path):
    file = made(cases.empty_cells, tmp_path)
    adata = loaded(file)
    assert not len(adata.uns["dataset"]["said"])
    (sentence,) = adata.uns["dataset"]["left_out"]
    assert sentence == "8 of 400 cells (2%) left out: 8 without counts (CELL0010-1, CELL0011-1, CELL0012-1, ...)."
    assert sentence.rstrip(".") in describe(adata) and "No cell left out" not in describe(adata)
    assert adata.n_obs == 392 and "CELL0010-1" not in adata.obs_names
    assert loaded(file, drop_empty=False).n_obs == 400


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_of_cells_that_are_the_same_the_first_is_kept(form, tmp_path):
    file = cases.twice(tmp_path / "cells.h5ad")
    adata = ad.read_h5ad(file)
    adata.X = form(adata.X)
    adata.write_h5ad(file)
    adata = loaded(file)
    (sentence,) = adata.uns["dataset"]["left_out"]
    assert sentence.startswith("200 of 600 cells (33%) left out: 200 the same as another cell") and "-2" in sentence
    assert list(adata.obs_names) == list(cases.base().obs_names)
    np.testing.assert_allclose(adata.X, as_counts(), atol=1e-4)
    assert loaded(file, drop_identical=False).n_obs == 600


def test_the_likely_label_is_the_first_of_those_that_may_be():
    n = 100
    types, codes = pd.Categorical(np.arange(n) % 4), np.arange(n) % 4
    columns = {"orig.ident": types, "kind": types, "Cell_Type": types, "leiden": types}
    assert label_columns(pd.DataFrame(columns)) == ["Cell_Type", "leiden", "kind"]
    assert label_columns(pd.DataFrame({"celltype": ["T"] * n, "kind": types})) == ["kind", "celltype"]
    numbers = {"codes": codes, "flag": codes > 1, "barcode": [f"b{i}" for i in range(n)], "label": codes / 7}
    assert label_columns(pd.DataFrame(numbers)) == []
    assert label_columns(pd.DataFrame({"codes": codes, "is_label": codes > 1, "label": codes > 1})) == ["label"]
    assert label_columns(pd.DataFrame({"leiden": np.where(codes == 3, np.nan, codes)})) == ["leiden"]


def test_whole_numbers_are_groups_and_others_are_numbers():
    codes = np.arange(60) % 3
    groups = as_labels(pd.Series(np.where(codes == 1, np.nan, codes)))
    assert list(groups.cat.categories) == ["0", "2"] and groups.isna().sum() == 20
    assert list(as_labels(pd.Series(codes * 10)).cat.categories) == ["0", "10", "20"]
    for numbers in (codes / 7, np.arange(60), codes * 1e300, np.where(codes == 1, np.inf, codes / 7)):
        read = as_labels(pd.Series(numbers))
        assert read.dtype == float and read.isna().sum() == np.isinf(numbers).sum()
    assert as_labels(pd.Series(np.arange(1000) % 101)).dtype == float


@pytest.mark.parametrize(
    ("wanted", "label", "said"),
    [
        ("cell_type", "cell_type", ""),
        ("n_counts", "n_counts", ""),
        ("barcode", "", "obs['barcode'] has 400 values in 400 cells, fewer than two cells for each"),
        ("nothing", "", "obs['nothing'] has no value in any cell"),
    ],
)
def test_a_column_that_is_named_is_used_if_it_can_be(wanted, label, said, tmp_path):
    adata = loaded(made(cases.many_columns, tmp_path), label=wanted)
    (aside, *sentences), labels = adata.uns["dataset"]["said"], labels_of(adata)
    assert "obs['split'] is kept as obs['split_in_file']" in aside
    assert adata.uns["label"] == labels.name == label and len(sentences) == bool(said)
    assert all(sentence.startswith(said) for sentence in sentences)
    assert labels.notna().sum() == (cases.N_CELLS if label else 0) and len(labels) == cases.N_CELLS
    assert (labels.dtype == float) == (wanted == "n_counts")


def test_columns_that_say_where_cells_come_from(tmp_path):
    obs = loaded(made(cases.many_columns, tmp_path)).obs
    assert label_columns(obs) == ["cell_type", "kind"]
    assert batch_columns(obs, "cell_type") == ["donor_id", "lane"]
    assert batch_columns(obs, "kind") == ["cell_type_id", "donor_id", "lane"]


@pytest.mark.parametrize(
    ("change", "species"),
    [
        (lambda adata: None, "human"),
        (cases.named_by(str.title), "mouse"),
        (cases.named_by(str.lower), "unknown"),
        (cases.prefixed("GRCh38_"), "human"),
        (cases.only_ensembl, "human"),
        (cases.mouse_ids, "mouse"),
    ],
)
def test_the_species_is_known_by_the_names_of_genes(change, species, tmp_path):
    assert loaded(made(change, tmp_path)).uns["dataset"]["species"] == species


def test_ensembl_ids_without_symbols_are_named_by_the_table_of_the_package(tmp_path):
    adata = loaded(made(cases.mouse_ids, tmp_path))
    assert list(adata.var_names[:3]) == ["Gnai3", "Pbsn", "ENSMUSG99999999999"]
    (sentence,) = adata.uns["dataset"]["said"]
    assert sentence.startswith(
        "Genes have Ensembl ids and no column of symbols: 2 of 60 are named as in Ensembl's table"
    )
