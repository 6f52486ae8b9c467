"""Cells of a file that would take more memory than they may are read by blocks, and all comes out the same."""

from dataclasses import replace

import anndata as ad
import dask
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts import blocks
from scripts.blocks import dense
from scripts.cells import Preparation, load, loading, quality, read, stored, with_counts_alone
from scripts.datasets import add_frequencies, judged, scale_table
from scripts.errors import InputError
from scripts.graph import features
from scripts.report.files import n_bytes, write_cells
from scripts.sources import resolve

N_CELLS, N_GENES, LARGEST = 1500, 90, 500
TINY = 1e-6  # GB
SETTINGS = Preparation(max_judged_cells=300, graph_components=20, unconnected="largest", min_cells=20, n_mads=4.0)


def made() -> ad.AnnData:
    """Counts of cells along a curve, sparse; some are empty, some repeated, some broken, and some genes rare."""
    random = np.random.default_rng(0)
    place, peaks = random.uniform(0, 1, (N_CELLS, 1)), np.linspace(0, 1, N_GENES)
    counts = random.poisson(6 * np.exp(-(((place - peaks) / 0.15) ** 2)) * random.gamma(9, 1 / 9, (N_CELLS, 1)))
    counts[:, -8:] *= random.random((N_CELLS, 8)) < 0.01
    counts[700:703], counts[900:902] = 0, counts[901]
    names = [f"CELL{cell}" for cell in range(N_CELLS)]
    obs = pd.DataFrame({"donor": np.array(["a", "b"])[np.arange(N_CELLS) % 2]}, index=names)
    var = pd.DataFrame(index=[f"MT-{gene}" if gene < 3 else f"GENE{gene}" for gene in range(N_GENES)])
    return ad.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs, var)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Of few cells what is otherwise done of many alone: sparse expression, sums of products, samples."""
    monkeypatch.setattr(blocks, "ROWS", 130)
    monkeypatch.setattr(blocks, "SQUARED", 200)
    monkeypatch.setattr(blocks, "N_VALUES", 1)
    monkeypatch.setattr(loading, "MAX_DENSE", 1)
    monkeypatch.setattr(features, "N_JUDGED", LARGEST)
    monkeypatch.setattr(quality, "MAX_SCORED", LARGEST)


@pytest.fixture
def asked_for(monkeypatch):
    """Rows of all that dask is asked for."""
    rows, compute = [], dask.base.compute

    def noted(*arrays, **options):
        found = compute(*arrays, **options)
        rows.extend(values.shape[0] for values in found)
        return found

    monkeypatch.setattr(dask.base, "compute", noted)
    return rows


def written(folder, kind=".h5ad", change=lambda adata: None):
    adata, file = made(), folder / f"cells{kind}"
    change(adata)
    adata.write_zarr(file) if kind == ".zarr" else adata.write_h5ad(file, compression="gzip")
    return resolve(str(file))


def prepared(source, settings) -> tuple[ad.AnnData, ad.AnnData]:
    adata = add_frequencies(load(source, settings), settings)
    return adata, judged(adata, settings)


def same(one, other):
    np.testing.assert_allclose(dense(one), dense(other), rtol=1e-5, atol=1e-6)


def log_normalised(adata):
    totals = np.asarray(adata.X.sum(axis=1))
    adata.X = sparse.csr_matrix(adata.X.multiply(1e3 / np.where(totals > 0, totals, 1)).log1p().astype(np.float32))


def in_layer(adata):
    adata.layers["counts"] = adata.X.copy()
    log_normalised(adata)


def in_raw(adata):
    adata.raw = adata.copy()
    log_normalised(adata)


def fractional(adata):
    adata.X = (adata.X * np.float32(0.9)).tocsr()


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        (".h5ad", lambda adata: None, {}),
        (".zarr", lambda adata: None, {}),
        (".zarr", in_layer, {}),
        (".h5ad", in_layer, {"layer": "counts"}),
        (".h5ad", in_raw, {}),
        (".h5ad", fractional, {"drop_empty": False}),
        (".h5ad", log_normalised, {"n_mads": 0.0}),
        (".h5ad", lambda adata: None, {"scale": False, "n_freq_comps": 3}),
    ],
)
def test_all_comes_out_the_same_and_no_large_block_is_asked_for(kind, change, named, tmp_path, asked_for):
    source, settings = written(tmp_path, kind, change), replace(SETTINGS, **named)
    every, some = prepared(source, settings)
    assert not asked_for
    lazy, of_lazy = prepared(source, replace(settings, memory_gb=TINY))
    assert asked_for and max(asked_for) <= LARGEST and blocks.is_lazy(lazy.X) and not blocks.is_lazy(of_lazy.X)
    for name in ("freq_vals", "quality"):
        same(np.asarray(every.uns[name]), np.asarray(lazy.uns[name]))
    said, of_blocks = (list(cells.uns["dataset"].pop("said")) for cells in (every, lazy))
    told = [sentence for sentence in of_blocks if sentence not in said]
    assert len(told) == 1 and "by blocks" in told[0] and [text for text in of_blocks if text not in told] == said
    assert {key: str(value) for key, value in every.uns["dataset"].items()} == {
        key: str(value) for key, value in lazy.uns["dataset"].items()
    }
    for one, other in ((every, lazy), (some, of_lazy)):
        same(one.obsm["X_freq"], other.obsm["X_freq"])
        assert (one.obsp["connectivities"] != other.obsp["connectivities"]).nnz == 0
        pd.testing.assert_frame_equal(one.obs, other.obs, rtol=1e-5)
        pd.testing.assert_frame_equal(one.var, other.var, rtol=1e-5)
        assert set(one.layers) == set(other.layers)
    for one, other in zip((some.X, *some.layers.values()), (of_lazy.X, *of_lazy.layers.values()), strict=True):
        same(one, other)
    tables = [scale_table(cells, settings, 2).select_dtypes("number") for cells in (some, of_lazy)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)
    of_files = [stored(cells) for cells in (some, of_lazy)]
    same(of_files[0].X, of_files[1].X)


def test_all_cells_are_written_by_blocks(tmp_path, asked_for):
    source = written(tmp_path)
    files = []
    for memory in (0.0, TINY):
        adata, _ = prepared(source, replace(SETTINGS, n_freq_comps=3, memory_gb=memory))
        files.append(tmp_path / f"all_cells_{memory}.h5ad")
        found = with_counts_alone(adata)
        del found.uns["quality"]
        write_cells(found, files[-1])
        n_values = read(files[-1]).X.nnz
        assert 8 * n_values < n_bytes(found) < 16 * n_values + 1_000_000
    assert max(asked_for) <= LARGEST
    one, other = map(ad.read_h5ad, files)
    np.testing.assert_array_equal(one.X.toarray(), other.X.toarray())
    same(one.obsm["X_freq"], other.obsm["X_freq"])


def test_an_embedding_is_taken_as_it_is(tmp_path, asked_for):
    def embedded(adata):
        adata.obsm["X_pca"] = np.random.default_rng(1).normal(size=(N_CELLS, 5))

    settings = replace(SETTINGS, use_rep="X_pca", n_freq_comps=3, memory_gb=TINY, graph_components=None)
    lazy, _ = prepared(written(tmp_path, change=embedded), settings)
    assert lazy.uns["graph"]["built on"] == "obsm['X_pca']" and max(asked_for) <= LARGEST


def by_columns(adata):
    adata.X = sparse.csc_matrix(adata.X)


def as_dense(adata):
    adata.X = adata.X.toarray()


def negative(adata):
    adata.X = (adata.X * np.float32(-1)).tocsr()


@pytest.mark.parametrize(
    ("change", "settings", "message"),
    [
        (None, {"batch": "donor"}, "batch needs expression of all 1,500 cells, .*: leave it empty and name an embedd"),
        (
            None,
            {"regress": ["donor"]},
            "regress needs expression of all .* memory_gb: leave it empty, or set",
        ),
        (None, {"max_judged_cells": 0}, "max_judged_cells needs .*: set it below 1,500, or set memory_gb higher"),
        (None, {"max_judged_cells": 10_000}, "max_judged_cells needs .*: set it below 1,500"),
        (None, {"graph_components": 0}, "graph_components needs .*: set it to 300"),
        (
            None,
            {"graph_components": None, "graph_genes": 0},
            "the graph on all genes needs .*: set graph_genes",
        ),
        (negative, {"graph_components": None, "drop_empty": False}, "the graph on all genes needs"),
    ],
)
def test_what_needs_all_cells_in_memory_says_so_in_one_line(change, settings, message, tmp_path):
    source = written(tmp_path, change=change or (lambda adata: None))
    with pytest.raises(InputError, match=message) as error:
        prepared(source, replace(SETTINGS, **{"n_mads": 0.0, "memory_gb": TINY} | settings))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("change", [by_columns, as_dense])
def test_what_is_not_sparse_by_rows_is_read_whole(change, tmp_path):
    found = load(written(tmp_path, change=change), replace(SETTINGS, memory_gb=TINY))
    assert not blocks.is_lazy(found.X) and not any("by blocks" in said for said in found.uns["dataset"]["said"])


def test_damage_is_found_as_blocks_are_read(tmp_path):
    source = written(tmp_path)
    with h5py.File(source.source, "a") as content:
        content["X/indices"][9] = N_GENES
    with pytest.raises(InputError, match="X is no sound sparse matrix .*: write the file again"):
        load(source, replace(SETTINGS, memory_gb=TINY))


def test_sums_over_lazy_cells_are_those_in_memory(tmp_path):
    X, y = made().X, np.random.default_rng(0).normal(size=(N_CELLS, 2))
    file = resolve(str(written(tmp_path).source)).source
    some = np.flatnonzero(np.random.default_rng(1).random(N_CELLS) < 0.7)
    with h5py.File(file) as content:
        for lazy in (blocks.by_blocks(content["X"]), blocks.by_blocks(ad.io.sparse_dataset(content["X"]))):
            for one, other in ((X, lazy), (X[some], blocks.rows_of(lazy, some))):
                for measure in (
                    blocks.gene_means,
                    blocks.variation,
                    blocks.cells_with,
                    blocks.scatter,
                    blocks.n_stored,
                ):
                    same(np.atleast_1d(measure(one)), np.atleast_1d(measure(other)))
                own = y[: one.shape[0]]
                same(blocks.cross_products(one, own), blocks.cross_products(other, own))
                same(blocks.correlations(one, own), blocks.correlations(other, own))
                same(blocks.along(one, np.eye(N_GENES)[:, :3]), blocks.along(other, np.eye(N_GENES)[:, :3]))
                assert [rows.stop - rows.start for rows, _ in blocks.blocks(other, 70)][:-1] == [70] * (len(own) // 70)
        dense_lazy = dask.array.from_array(X.toarray(), chunks=(130, -1))
        same(blocks.scatter(X.toarray()), blocks.scatter(dense_lazy))
        same(features.detected_genes(X), features.detected_genes(dense_lazy))
