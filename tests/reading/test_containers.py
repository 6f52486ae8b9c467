"""Modules beside the cells, in AnnData and MuData, are those of the formulas, with the signs of scored cells."""

import anndata as ad
import mudata
import numpy as np
import pytest
from scipy import sparse

from scripts import cells
from scripts.blocks import dense
from scripts.errors import MissingError
from scripts.reading import add_modules, as_mudata, score
from tests.cells import cases
from tests.reading.test_scoring import N_FREQ, made

RANK = 8  # of the form: four products


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return made(lambda adata: None, tmp_path_factory.mktemp("cells"))


def read(fitted, n_modules: int, folder) -> ad.AnnData:
    """What a run stores of its cells with their modules."""
    adata, model = fitted[0].copy(), fitted[1]
    add_modules(adata, model.form, n_modules)
    cells.stored(adata).write_h5ad(folder / "cells.h5ad")
    return ad.read_h5ad(folder / "cells.h5ad")


def of_frequency(adata, f: int) -> np.ndarray:
    return adata.uns["bmlp"]["frequency"] == f


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
def test_scores_main_effects_and_constant_add_up_to_the_prediction(form, fitted):
    adata, model = fitted[0].copy(), fitted[1]
    X, adata.X = adata.X, form(adata.X)
    add_modules(adata, model.form, RANK)
    predicted = model.form.predict(X)
    for f in range(N_FREQ):
        added = adata.obsm["X_modules"][:, of_frequency(adata, f)].sum(axis=1)
        np.testing.assert_allclose(
            model.form.constant[f] + X @ model.form.main[f] + added, predicted[:, f], rtol=1e-4, atol=1e-3
        )


def test_axes_and_scores_are_those_of_scored_cells_and_of_the_loadings(fitted, tmp_path):
    adata = read(fitted, 3, tmp_path)
    about, X = adata.uns["bmlp"], cells.scaled(adata.copy()).X
    assert list(about["columns"]) == [f"f{f}_m{m}" for f in range(N_FREQ) for m in (1, 2, 3)]
    scores = score(cases.base(), fitted[1], n_modules=3)
    for kind, key in (("axis", "X_axes"), ("score", "X_modules")):
        expected = scores[[f"{name}_{kind}" for name in about["columns"]]]
        np.testing.assert_allclose(adata.obsm[key], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(adata.obsm["X_axes"], X @ adata.varm["modules"], atol=1e-5)
    np.testing.assert_allclose(adata.obsm["X_modules"], about["eigenvalue"] * adata.obsm["X_axes"] ** 2)
    _, loadings = fitted[1].form.modules(3)
    np.testing.assert_array_equal(adata.varm["modules"], np.hstack(list(loadings)))
    high = [
        np.corrcoef(axis, adata.obsm["X_freq"][:, f])[0, 1]
        for axis, f in zip(adata.obsm["X_axes"].T, about["frequency"], strict=True)
    ]
    assert min(high) > 0


@pytest.mark.parametrize(("n_modules", "n_kept"), [(1, 1), (RANK, RANK), (50, RANK)])
def test_a_form_of_low_rank_has_fewer_modules(n_modules, n_kept, fitted, tmp_path):
    adata = read(fitted, n_modules, tmp_path)
    assert adata.obsm["X_axes"].shape == adata.obsm["X_modules"].shape == (adata.n_obs, N_FREQ * n_kept)
    assert adata.varm["modules"].shape == (adata.n_vars, N_FREQ * n_kept)
    assert [of_frequency(adata, f).sum() for f in range(N_FREQ)] == [n_kept] * N_FREQ
    assert adata.uns["bmlp"]["module"].max() == n_kept and len(set(adata.uns["bmlp"]["columns"])) == N_FREQ * n_kept


@pytest.mark.filterwarnings("ignore:From 0.4")  # of mudata, which copies columns of obs where it writes
@pytest.mark.parametrize("is_stored", [False, True])
def test_the_programs_of_a_mudata_go_to_disk_and_come_back(is_stored, fitted, tmp_path):
    adata = held = read(fitted, 2, tmp_path)
    if not is_stored:
        adata = cells.scaled(held.copy())
    as_mudata(adata).write(tmp_path / "cells.h5mu")
    found = mudata.read_h5mu(tmp_path / "cells.h5mu")
    rna, programs = found["rna"], found["prog"]
    assert set(found.mod) == {"rna", "prog"} and list(rna.obs_names) == list(programs.obs_names)
    np.testing.assert_array_equal(dense(rna.X), dense(held.X))
    assert list(rna.obs) == list(held.obs) and set(rna.layers) == {"counts"}
    assert list(programs.var_names) == list(held.uns["bmlp"]["columns"])
    np.testing.assert_array_equal(programs.X, held.obsm["X_axes"])
    np.testing.assert_array_equal(programs.layers["scores"], held.obsm["X_modules"])
    np.testing.assert_array_equal(programs.varm["loadings"], held.varm["modules"].T)
    assert programs.uns["var_names"].ndim == 1 and list(programs.uns["var_names"]) == list(rna.var_names)
    np.testing.assert_allclose(programs.X, cells.scaled(rna.copy()).X @ programs.varm["loadings"].T, atol=1e-5)
    assert programs.var["module"].tolist() == [1, 2] * N_FREQ


def test_cells_without_modules_are_told_what_to_run(fitted):
    with pytest.raises(MissingError, match="no modules .*: run 04_interpret.ipynb first"):
        as_mudata(fitted[0])
