from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scripts.blocks import dense
from scripts.cells import loading, splits, with_counts
from scripts.cells.loading import Preparation
from scripts.datasets import add_frequencies, prepare, scale_table
from scripts.graph import SCALES, components, n_to_keep
from scripts.sources import download
from scripts.sources.cells import resolve


def counts(n_cells=60, n_genes=20, seed=0):
    random = np.random.default_rng(seed)
    obs = pd.DataFrame(
        {"type": pd.Categorical(random.choice(["a", "b"], n_cells))}, index=[f"c{i}" for i in range(n_cells)]
    )
    return ad.AnnData(random.poisson(3, (n_cells, n_genes)).astype(np.float32), obs=obs)


@pytest.mark.paul15
def test_paul15_is_prepared_as_published(paul15):
    adata, train, val, test = paul15
    assert adata.shape == (2730, 3451)
    assert (len(train), len(val), len(test)) == (1910, 409, 411)
    np.testing.assert_allclose(
        adata.uns["freq_vals"], [0.1749376, 1.0704699, 2.3625546, 2.7446396, 2.9050238], rtol=0, atol=1e-4
    )
    x, y = train[3]
    assert x.shape == (3451,) and y.shape == (5,)
    assert str(x.dtype) == str(y.dtype) == "torch.float32"
    together = np.concatenate([part.y.numpy() for part in (train, val, test)])
    np.testing.assert_allclose(np.sort(together[:, 0]), np.sort(adata.obsm["X_freq"][:, 0]).astype(np.float32))


def test_splits_do_not_overlap_and_follow_the_seed(pbmc):
    again = splits.add_split(pbmc.copy(), random_state=0).obs["split"]
    other = splits.add_split(pbmc.copy(), random_state=5).obs["split"]
    assert (again == pbmc.obs["split"]).all()
    assert (other != pbmc.obs["split"]).any()
    assert again.value_counts().to_dict() == {"train": 489, "val": 105, "test": 106}


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_data_sets_share_the_expression_and_take_rows_of_it_when_asked(form):
    random = np.random.default_rng(0)
    X, y, rows = random.random((9, 4), dtype=np.float32), random.random((5, 2)), np.array([7, 1, 1, 8, 0])
    donors = np.array([0, 0, 1, 2, 2])
    shared = form(X)
    cells = splits.CellDataset(shared, y, donors=donors, rows=rows, units=lambda part: part * 2)
    assert len(cells) == 5 and cells.n_genes == 4
    np.testing.assert_array_equal(sp.csr_array(cells.x).toarray() if form is sp.csr_array else cells.x, 2 * X[rows])
    for index in (3, slice(1, 3), [0, 4]):
        np.testing.assert_array_equal(cells[index][0], 2 * X[rows][index])
        np.testing.assert_array_equal(cells[index][1], y.astype(np.float32)[index])
    some = cells.some(np.array([4, 2]))
    np.testing.assert_array_equal(some.donors, [2, 1])
    np.testing.assert_array_equal(some[:][0], 2 * X[[0, 1]])
    np.testing.assert_allclose(some.targets(), y[[4, 2]], rtol=1e-6)
    assert splits.CellDataset(shared, y[[0] * 9]).some(np.array([3]))[0][0].tolist() == X[3].tolist()
    (shared if form is np.asarray else shared.data)[:] = 0  # no data set holds a copy
    assert not cells[:][0].any() and not some[:][0].any()


def test_fewer_cells_than_the_fits_to_subsamples_need_are_refused_at_the_door():
    n_train = len(splits.split_rows(splits.MIN_SPLIT)[0])
    cells = splits.CellDataset(np.zeros((n_train, 2)), np.zeros((n_train, 1)))
    assert len(splits.subsamples(cells, 2)[0]) == splits.MIN_TRAINING
    with pytest.raises(ValueError, match="18 cells are too few to split .* at least 19 are needed"):
        splits.split_rows(splits.MIN_SPLIT - 1)


def test_normalisation_equals_the_formulas(tmp_path):
    adata = counts()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    total = adata.X.sum(axis=1, keepdims=True)
    expected = np.log1p(adata.X / total * np.median(total))
    expected = (expected - expected.mean(axis=0)) / expected.std(axis=0, ddof=1)
    found = loading.load(resolve(str(tmp_path / "cells.h5ad")), Preparation())
    np.testing.assert_allclose(found.X, expected, atol=1e-4)
    assert found.uns["label"] == "type"
    raw = loading.load(
        resolve(str(tmp_path / "cells.h5ad")), Preparation(normalize_total=False, log1p=False, scale=False)
    )
    np.testing.assert_array_equal(raw.X, adata.X)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("max_dense", [10**9, 0])
def test_genes_that_are_the_same_in_all_cells_are_scaled_to_0(form, max_dense, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "MAX_DENSE", max_dense)
    counts = np.random.default_rng(0).poisson(2, size=(60, 8)).astype(np.float32)
    counts[:, 3] = 26.0  # its logarithm is no number that float32 holds exactly
    ad.AnnData(form(counts)).write_h5ad(tmp_path / "cells.h5ad")
    settings = Preparation(normalize_total=False, log1p=True, scale=True)
    X = dense(loading.load(resolve(str(tmp_path / "cells.h5ad")), settings).X)
    assert np.isfinite(X).all() and (X[:, 3] == 0).all() and (X.std(axis=0)[[0, 7]] > 0.9).all()


def test_sparse_files_and_layers_give_the_same_cells(tmp_path):
    adata = counts()
    sparse = ad.AnnData(sp.csr_matrix(np.zeros(adata.shape, np.float32)), obs=adata.obs)
    sparse.layers["counts"] = sp.csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "dense.h5ad")
    sparse.write_h5ad(tmp_path / "sparse.h5ad")
    dense = prepare(resolve(str(tmp_path / "dense.h5ad")), Preparation(k_neighbors=5))
    layered = prepare(resolve(str(tmp_path / "sparse.h5ad")), Preparation(k_neighbors=5, layer="counts"))
    np.testing.assert_allclose(dense.X, layered.X, atol=1e-5)
    assert dense.uns["dataset"]["sha256"] == layered.uns["dataset"]["sha256"]


@pytest.mark.parametrize(
    ("change", "message", "steps"),
    [
        (lambda X: X - 1, "negative values", ["scale"]),
        (lambda X: X + 0.5, "fractional values", ["normalize_total", "log1p", "scale"]),
        (lambda X: np.log1p(X / X.sum(axis=1, keepdims=True) * 1e4), "logarithms", ["scale"]),
    ],
)
def test_values_that_are_no_counts_are_named_and_normalised_as_they_need(tmp_path, change, message, steps):
    adata = counts()
    adata.X = change(adata.X).astype(np.float32)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    found = loading.load(resolve(str(tmp_path / "cells.h5ad")), Preparation())
    (sentence,) = found.uns["dataset"]["said"]
    assert message in sentence and sentence.rstrip(".") in loading.describe(found)
    assert found.uns["dataset"]["steps"] == steps
    told = Preparation(normalize_total=False, log1p=False, scale=False)
    plain = loading.load(resolve(str(tmp_path / "cells.h5ad")), told)
    np.testing.assert_array_equal(plain.X, adata.X)
    assert not len(plain.uns["dataset"]["said"])


def test_values_that_cannot_be_used_are_refused(tmp_path):
    adata = counts()
    adata.X = np.where(adata.X > 5, np.nan, adata.X)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    with pytest.raises(ValueError, match="NaN"):
        loading.load(resolve(str(tmp_path / "cells.h5ad")), Preparation())


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.h5ad.*check the path"):
        resolve(str(tmp_path / "nothing.h5ad"))
    (tmp_path / "text.h5ad").write_text("no cells")
    with pytest.raises(ValueError, match=r"text\.h5ad is not an \.h5ad file"):
        resolve(str(tmp_path / "text.h5ad"))
    with pytest.raises(ValueError, match="no column 'nowhere'"):
        loading.load(resolve("krumsiek11"), Preparation(label="nowhere"))
    with pytest.raises(ValueError, match="no layer 'nowhere'"):
        loading.load(resolve("krumsiek11"), Preparation(layer="nowhere"))


def test_without_a_network_auto_falls_back_and_paul15_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise ConnectionError("paul15.h5 could not be downloaded from somewhere (refused)")

    monkeypatch.delenv("BMLP_DATA_DIR", raising=False)
    monkeypatch.setattr(download, "DATA_FOLDER", tmp_path / "data")
    monkeypatch.setattr(download, "fetch", refuse)
    source = resolve("auto")
    assert source.name == "pbmc68k_reduced"
    assert "paul15" in source.reason and "refused" in source.reason
    with pytest.raises(ConnectionError, match="BMLP_DATA_DIR"):
        resolve("paul15")
    assert not (tmp_path / "data").exists()


def test_a_wrong_paul15_is_refused(tmp_path, monkeypatch):
    counts().write_h5ad(tmp_path / "paul15.h5ad")
    monkeypatch.setenv("BMLP_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="does not hold paul15"):
        resolve("paul15").read()


def test_a_download_is_whole_or_not_there(tmp_path):
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * (1000 if self.path == "/whole" else 10))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        assert download.fetch(f"{address}/whole", tmp_path / "whole").read_bytes() == b"x" * 1000
        with pytest.raises(ConnectionError, match="part could not be downloaded"):
            download.fetch(f"{address}/part", tmp_path / "part")
    finally:
        server.shutdown()
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_a_slow_download_is_given_up(tmp_path):
    bar = download._BarWithLimit(limit=-1, name="slow")
    with pytest.raises(TimeoutError, match="not finished"):
        bar.update(1)
    bar.close()


def test_large_sparse_files_stay_sparse_to_the_end(tmp_path, monkeypatch):
    adata = counts(200, 40)
    adata.X = sp.csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "sparse.h5ad")
    source = resolve(str(tmp_path / "sparse.h5ad"))
    settings = Preparation(k_neighbors=10, graph_components=10, n_freq_comps=2)
    dense = prepare(source, settings)
    monkeypatch.setattr(loading, "MAX_DENSE", 100)
    kept = prepare(source, settings)
    assert sp.issparse(kept.X) and kept.uns["dataset"]["sha256"] == dense.uns["dataset"]["sha256"]
    np.testing.assert_allclose(np.asarray(kept.X.toarray()).std(axis=0, ddof=1), 1, rtol=1e-4)
    np.testing.assert_allclose(kept.uns["freq_vals"], dense.uns["freq_vals"], rtol=0.2)
    train, val, test = splits.torch_splits(kept)
    assert sp.issparse(train.x) and train[3][0].shape == (40,) and train[3][0].dtype == train[3][1].dtype


def test_a_graph_in_parts_is_an_error_or_its_largest_part(tmp_path):
    adata = counts(60)
    adata.X[:20, :10] += 100  # two kinds of cells that share no neighbour
    adata.X[20:, 10:] += 100
    adata.write_h5ad(tmp_path / "parts.h5ad")
    source = resolve(str(tmp_path / "parts.h5ad"))
    with pytest.raises(
        ValueError, match=r"2 parts: 40 cells \(type a 50%\); 20 cells \(type b 70%\); raise k_neighbors"
    ):
        prepare(source, Preparation(k_neighbors=5))
    largest = prepare(source, Preparation(k_neighbors=5, unconnected="largest"))
    assert largest.n_obs == 40
    assert "20 of 60 cells (33%) left out: 20 outside the largest part of the graph" in loading.describe(largest)
    with pytest.raises(ValueError, match="unconnected='some'"):
        prepare(source, Preparation(unconnected="some"))


def test_components_are_those_of_a_full_decomposition_sparse_or_dense(pbmc):
    X = np.where(pbmc.X > 0.5, pbmc.X, 0)
    centred = X - X.mean(axis=0)
    U, s, _ = np.linalg.svd(centred, full_matrices=False)
    for matrix in (X, sp.csr_matrix(X)):
        found = components(matrix, 5, slice(None), random_state=0)
        assert found.shape == (700, 5)
        overlap = np.abs((found / np.linalg.norm(found, axis=0) * U[:, :5]).sum(axis=0))
        np.testing.assert_allclose(overlap, 1, atol=1e-2)
        np.testing.assert_allclose(np.linalg.norm(found, axis=0), s[:5], rtol=1e-2)


def test_a_graph_on_components_says_so():
    source = resolve("pbmc68k_reduced")
    adata = prepare(source, Preparation(graph_components=20, n_freq_comps=3, unconnected="largest"))
    assert adata.uns["graph"]["built on"] == "20 components of all genes"
    assert prepare(source, Preparation(n_freq_comps=3)).uns["graph"]["built on"] == "all genes"
    with pytest.raises(ValueError, match="graph_components=900"):
        prepare(source, Preparation(graph_components=900))
    with pytest.raises(ValueError, match="laplacian='other'"):
        prepare(source, Preparation(laplacian="other"))


RECIPE = Preparation(k_neighbors=15, n_freq_comps=2, unconnected="largest")


def drawn(shares, seed=0, settings=RECIPE):
    """Cells of 2,000 counts each, with their frequencies; shares : (n_cells, n_genes)."""
    made = ad.AnnData(np.random.default_rng(seed).poisson(2000 * shares).astype(np.float32))
    made.uns["dataset"] = {"name": "made", "steps": ["normalize_total", "log1p", "scale"], "left_out": [], "said": []}
    made.uns["label"] = ""
    return add_frequencies(with_counts(made, sp.csr_matrix(made.X), settings), settings)


@pytest.fixture(scope="module")
def four_kinds():
    """Cells of four kinds in a row, and a few between neighbouring kinds: place, and shares of (n_cells, n_genes)."""
    random = np.random.default_rng(0)
    place = np.where(random.random(400) < 0.9, random.integers(4, size=400), 3 * random.random(400))
    kinds = random.dirichlet(np.ones(60), 4)
    return place, np.stack([np.interp(place, np.arange(4), kind) for kind in kinds.T], axis=1)


def test_what_tells_four_kinds_apart_comes_back_and_no_more(four_kinds):
    cells = drawn(four_kinds[1])
    depth = cells.layers["counts"].sum(axis=1).A1
    table = scale_table(cells, RECIPE, 5, depth)
    assert table["comes_back"].tolist()[:4] == [True, True, True, False] and len(table) == 10
    assert n_to_keep(table["comes_back"].to_numpy(), 2) == 3
    assert (table["alone"][:3] > 0.9).all()
    assert table["depth_correlation"].between(0, 0.5).all() and table["participation"].between(1, 400).all()
    np.testing.assert_allclose(table["eigenvalue"][:2], cells.uns["freq_vals"], rtol=1e-6)
    pd.testing.assert_frame_equal(table, scale_table(cells, RECIPE, 5, depth))


def test_nothing_of_structureless_cells_comes_back(four_kinds):
    for seed in range(3):
        table = scale_table(drawn(four_kinds[1][:1].repeat(400, axis=0), seed), RECIPE, 3)
        assert not table["comes_back"].any() and table["group"].isna().all()
        assert table["depth_correlation"].isna().all()


def test_donors_are_left_out_whole_where_they_are_known(four_kinds):
    place, shares = four_kinds
    cells = drawn(shares)
    cells.uns["dataset"]["batch"] = "donor"
    cells.obs["donor"] = [f"donor {n % 4}" for n in range(400)]  # each has cells of all kinds
    assert scale_table(cells, RECIPE, 4)["comes_back"][:3].all()
    cells.obs["donor"] = [f"donor {n:.0f}" for n in place]  # each is a kind, and not there when left out
    assert not scale_table(cells, RECIPE, 4)["comes_back"][2]


def test_why_a_graph_cannot_be_built_anew_is_told(four_kinds):
    cells = drawn(four_kinds[1])
    for settings, why in ((Preparation(use_graph="old"), "came with the cells"), (Preparation(use_rep="X_no"), "X_no")):
        table = scale_table(cells, settings, 3)
        assert table.empty and list(table) == SCALES and why in table.attrs["why"]


def test_as_many_are_kept_as_come_back_where_no_number_is_set(four_kinds):
    settings = replace(RECIPE, n_freq_comps=0)
    cells = drawn(four_kinds[1], settings=settings)
    assert cells.obsm["X_freq"].shape[1] == 3 == len(cells.uns["graph"]["participation"])
    assert "3 frequencies are kept: the first 3 of 10 come back" in cells.uns["dataset"]["said"][-1]
    none = drawn(four_kinds[1][:1].repeat(400, axis=0), settings=settings)
    assert none.obsm["X_freq"].shape[1] == 5 and "no number of them comes back" in none.uns["dataset"]["said"][-1]
    cells.obsp["old"] = cells.obsp["connectivities"]
    given = add_frequencies(cells, replace(settings, use_graph="old"))
    assert (
        given.obsm["X_freq"].shape[1] == 5
        and "5 frequencies are kept: the graph came" in given.uns["dataset"]["said"][-1]
    )


@pytest.mark.paul15
def test_six_frequencies_of_paul15_come_back(paul15):
    table = scale_table(paul15[0], Preparation(), 5)
    assert n_to_keep(table["comes_back"].to_numpy(), 5) == 6
    assert table["together_lowest"][5] > 0.95 and not table["comes_back"][6] and not table["comes_back"][8:].any()
