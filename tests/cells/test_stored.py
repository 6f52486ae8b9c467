"""What a file of a run holds of the cells: expression that others can use, and that gives the model's back exactly."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

from scripts import datasets, figures
from scripts.blocks import dense
from scripts.cells import Preparation, graph_features, leave_out, load, loading, own_layouts, scaled, stored
from scripts.errors import InputError
from scripts.sources import resolve
from tests.cells import cases


def loaded(change, folder, **settings) -> ad.AnnData:
    return load(resolve(str(cases.written(change, folder / "cells.h5ad"))), Preparation(**settings))


def read_back(adata, folder) -> ad.AnnData:
    stored(adata).write_h5ad(folder / "stored.h5ad")
    return ad.read_h5ad(folder / "stored.h5ad")


def with_constant_genes(adata):
    adata.X[:, 0], adata.X[:, 1] = 0, 0.3 * adata.X.sum(axis=1)


def with_batches(adata):
    adata.obs["donor"] = np.array(["a", "b"])[np.arange(cases.N_CELLS) % 2]
    adata.X[::2, :30] *= 2


def constant_logs(adata):
    cases.log_normalised(adata)
    adata.X[:, 4] = 0.7


def as_sparse(adata):
    adata.X = sparse.csc_matrix(adata.X)


CHANGES = {
    "counts": (lambda adata: None, {}),
    "sparse counts": (as_sparse, {}),
    "constant genes": (with_constant_genes, {}),
    "constant logarithms": (constant_logs, {}),
    "fractional": (cases.fractional, {}),
    "logarithms": (cases.log_normalised, {}),
    "scaled": (cases.scaled, {}),
    "corrected for batches": (with_batches, {"batch": "donor"}),
    "not scaled": (lambda adata: None, {"scale": False}),
}
CORRECTED = ("corrected for batches", True)  # which expression that stays sparse cannot be


@pytest.mark.parametrize(
    ("kind", "stays_sparse"),
    [(kind, stays) for kind in CHANGES for stays in (False, True) if (kind, stays) != CORRECTED],
)
def test_the_file_gives_back_what_the_model_sees_to_the_last_bit(kind, stays_sparse, tmp_path, monkeypatch):
    change, settings = CHANGES[kind]
    if stays_sparse:
        monkeypatch.setattr(loading, "MAX_DENSE", 10)
        of_kind = change
        change = lambda adata: (of_kind(adata), as_sparse(adata))  # noqa: E731
    adata = loaded(change, tmp_path, **settings)
    assert sparse.issparse(adata.X) == stays_sparse
    again = scaled(read_back(adata, tmp_path))
    assert sparse.issparse(again.X) == stays_sparse and again.X.dtype == np.float32
    np.testing.assert_array_equal(dense(again.X), dense(adata.X))
    assert set(again.layers) == set(adata.layers)
    for name in adata.layers:
        np.testing.assert_array_equal(dense(again.layers[name]), dense(adata.layers[name]))


def test_cells_that_are_left_out_later_do_not_change_the_others(tmp_path):
    adata = loaded(lambda adata: None, tmp_path)
    adata = leave_out(adata, {"for a test": np.arange(adata.n_obs) % 3 == 0})
    np.testing.assert_array_equal(scaled(read_back(adata, tmp_path)).X, adata.X)


@pytest.mark.parametrize("change", [lambda adata: None, as_sparse, cases.in_layer("counts")])
def test_the_file_holds_logarithms_of_its_own_counts(change, tmp_path):
    held = read_back(loaded(change, tmp_path), tmp_path)
    of_counts = ad.AnnData(held.layers["counts"].copy())
    sc.pp.normalize_total(of_counts)
    sc.pp.log1p(of_counts)
    assert sparse.isspmatrix_csr(held.X) and held.X.dtype == np.float32 and list(held.layers) == ["counts"]
    np.testing.assert_allclose(held.X.toarray(), of_counts.X.toarray(), rtol=1e-6)


def test_values_that_came_scaled_are_held_as_they_came(tmp_path):
    held = read_back(loaded(cases.scaled, tmp_path), tmp_path)
    np.testing.assert_array_equal(held.X, ad.read_h5ad(tmp_path / "cells.h5ad").X.astype(np.float32))


def test_cells_can_be_stored_and_scaled_again_and_again(tmp_path):
    adata = loaded(lambda adata: None, tmp_path)
    before = adata.X.copy()
    held = stored(stored(adata))
    logs = held.X.copy()
    again = scaled(scaled(held))
    np.testing.assert_array_equal(again.X, before)
    np.testing.assert_array_equal(adata.X, before)  # of the cells that were stored nothing is changed
    np.testing.assert_array_equal(dense(adata.layers["logs"]), dense(logs))
    np.testing.assert_array_equal(dense(stored(again).X), dense(logs))


def test_cells_of_an_earlier_version_are_not_scaled_twice(tmp_path):
    adata = stored(loaded(lambda adata: None, tmp_path))
    adata.uns["dataset"] = {key: value for key, value in adata.uns["dataset"].items() if key != "sparse"}
    with pytest.raises(InputError, match="earlier version, which stored them scaled: run 01_data.ipynb again"):
        scaled(adata)


CONNECTED = {"n_freq_comps": 2, "k_neighbors": 150}  # of three types of 133 cells
CONFLICTS = {  # part of the file: key
    "obs": ["split", "freq_0", "freq_1", "total_counts"],
    "obsm": ["X_freq", "X_umap_freq", "X_axes", "X_modules"],
    "obsp": ["connectivities"],
}


def own_values(adata, part, key):
    """Something of the user's under a name of the run, in place."""
    random = np.random.default_rng(3)
    n = adata.n_vars if part == "var" else adata.n_obs
    if part in ("obs", "var"):
        getattr(adata, part)[key] = (
            random.random(n) if key != "split" else np.array(["mine", "other"])[np.arange(n) % 2]
        )
    else:
        getattr(adata, part)[key] = adata.X.copy() if part == "obsm" else sparse.csr_matrix(adata.X @ adata.X.T)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "key"), [(part, key) for part in CONFLICTS for key in CONFLICTS[part]])
def test_nothing_of_the_file_is_overwritten(part, key, tmp_path):
    settings = {"obsm": {"use_rep": key}, "obsp": {"use_graph": key}}.get(part, {})
    kept = prepared(lambda adata: own_values(adata, part, key), tmp_path, **settings)
    own = ad.read_h5ad(tmp_path / "cells.h5ad")
    before, after = getattr(own, part)[key], getattr(kept, part)[f"{key}_in_file"]
    if part == "obs":
        assert list(after) == list(before)
    else:
        np.testing.assert_allclose(dense(after), dense(before))
    (said,) = [sentence for sentence in kept.uns["dataset"]["said"] if f"{key}_in_file" in sentence]
    assert "kept as" in said
    plain = prepared(lambda adata: None, tmp_path)
    for place in ("obs", "obsm", "obsp"):  # and all that the run writes is there, under its own name
        assert set(getattr(plain, place)) <= set(getattr(kept, place))
    if part == "obs":
        assert list(kept.obs[key]) == list(plain.obs[key])


def prepared(change, folder, **settings) -> ad.AnnData:
    found = datasets.prepare(
        resolve(str(cases.written(change, folder / "cells.h5ad"))),
        Preparation(**CONNECTED, **settings),
    )
    return read_back(found, folder)


def test_frequencies_can_be_extended_though_the_embedding_has_their_name(tmp_path):
    adata = prepared(lambda adata: own_values(adata, "obsm", "X_freq"), tmp_path, use_rep="X_freq")
    features, basis = graph_features(adata, Preparation(use_rep="X_freq"))
    np.testing.assert_array_equal(features, cases.base().X)
    assert basis == "obsm['X_freq']" and adata.obsm["X_freq"].shape == (cases.N_CELLS, 2)


@pytest.mark.slow
def test_the_file_of_a_run_can_begin_another_run(tmp_path):
    adata = prepared(lambda adata: None, tmp_path)
    source = resolve(str(tmp_path / "stored.h5ad"))
    again = datasets.prepare(source, Preparation(**CONNECTED))
    np.testing.assert_allclose(again.X, scaled(adata).X, atol=1e-5)
    np.testing.assert_allclose(again.obs["freq_0_in_file"], adata.obs["freq_0"])
    assert "total_counts_in_file" not in again.obs  # it is the same


@pytest.mark.slow
@pytest.mark.parametrize("basis", ["umap", "X_umap_freq"])
def test_scanpy_draws_frequencies_and_genes(basis, tmp_path):
    adata = prepared(lambda adata: None, tmp_path)
    figures.add_layout(adata, figures.lay_out(adata, 300, random_state=1))
    held = read_back(adata, tmp_path)
    for color in ("freq_0", cases.GENES[0], "split"):
        axes = sc.pl.embedding(held, basis, color=color, show=False)
        (points,) = [drawn for drawn in axes.collections if len(drawn.get_offsets()) == cases.N_CELLS]
        assert color in axes.get_title() and np.isfinite(points.get_offsets().filled(np.nan)).any()
        plt.close(axes.figure)


LAYOUT = np.random.default_rng(4).normal(size=(cases.N_CELLS, 2))
KEPT = {"as it is": LAYOUT, "holes": np.where(np.arange(cases.N_CELLS)[:, None] < 50, np.nan, LAYOUT)}
LEFT = {"three columns": np.c_[LAYOUT, LAYOUT[:, 0]], "no place": np.full(LAYOUT.shape, np.nan)}


@pytest.mark.parametrize("key", ["X_umap", "X_tsne"])
@pytest.mark.parametrize("case", [*KEPT, *LEFT])
def test_a_layout_of_the_file_is_kept_and_drawn_beside_that_of_the_frequencies(key, case, tmp_path):
    xy = (KEPT | LEFT)[case]
    adata = prepared(lambda adata: adata.obsm.update({key: xy}), tmp_path)
    drawn = figures.lay_out(adata, 300)
    figures.add_layout(adata, drawn)
    held = read_back(adata, tmp_path)
    own = own_layouts(held[drawn.obs_names])
    figure = figures.own_layout_scatter(own, drawn.obsm["X_freq"], adata.uns["freq_vals"], drawn.obs["split"])
    if case in LEFT:
        assert own == {} and figure is None
        assert np.array_equal(held.obsm["X_umap"], held.obsm["X_umap_freq"], equal_nan=True)
        return
    np.testing.assert_array_equal(held.obsm[key], xy)
    placed = own[key][np.isfinite(own[key]).all(axis=1)]
    assert len(figure.data) == 2 and len(placed) >= 250
    for trace in figure.data:
        np.testing.assert_array_equal(np.c_[trace.x, trace.y], placed)
    assert f"{key} of the file" in figure.layout.title.text


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_a_umap_of_the_file_stays_where_scanpy_looks_for_it(own, tmp_path):
    settings = {"use_rep": "X_umap"} if own else {}
    adata = prepared(lambda adata: own_values(adata, "obsm", "X_umap"), tmp_path, **settings)
    figures.add_layout(adata, figures.lay_out(adata, 400))
    assert np.array_equal(adata.obsm["X_umap"], cases.base().X) == own
    assert np.array_equal(adata.obsm["X_umap"], adata.obsm["X_umap_freq"]) == (not own)
