import numpy as np
import pytest
from scipy import sparse

from scripts import evaluation, findings, rankings
from scripts.rankings import packages
from tests.rankings.cases import make_model, planted_cells, ranked


@pytest.mark.parametrize("name", rankings.PACKAGES)
def test_package_names_the_genes_of_planted_programs(name):
    pytest.importorskip(rankings.PACKAGES[name][1])
    adata = planted_cells()
    adata.layers["counts"][:, 40] = 0
    with rankings.quiet():
        found = ranked(adata, (name,))[1]
    assert not found.left_out and found.seconds[name] > 0
    named = found.orders[name, 0]
    assert len(set(named)) == 25 and len(set(named[:11]) & set(range(11))) >= 9


@pytest.mark.parametrize("name", rankings.PACKAGES)
def test_package_takes_sparse_expression(name):
    pytest.importorskip(rankings.PACKAGES[name][1])
    adata = planted_cells()
    X = sparse.csr_array(np.log1p(adata.layers["counts"].toarray()).astype(np.float32))
    known = rankings.TrainingCells(
        X,
        adata.obsm["X_freq"],
        sparse.csr_array(adata.obsp["connectivities"]),
        sparse.csr_array(adata.layers["counts"]),
    )
    with rankings.quiet():
        scores = rankings.PACKAGES[name][2](known)
    assert len(set(np.argsort(-scores[:, 0])[:11]) & set(range(11))) >= 9


def test_what_is_not_installed_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda module: None)
    assert rankings.installed() == () and len(rankings.missing()) == len(rankings.PACKAGES)
    adata = planted_cells()
    splits = evaluation.panel_splits(adata, make_model, 1, 10, packages=rankings.installed())
    panels = evaluation.panel_table(splits, list(adata.var_names), (5, 10))
    one_list, remedy = findings.about_rivals(panels, splits, rankings.missing())
    assert one_list.endswith(f": {rankings.LAPLACIAN}.")
    assert "Hotspot (hotspotsc)" in remedy and "pip install -e '.[rivals]'" in remedy
    assert not set(panels["method"]) & set(rankings.PACKAGES)
    monkeypatch.undo()
    monkeypatch.setattr(packages, "find_spec", lambda module: True)
    assert rankings.installed() == tuple(rankings.PACKAGES) and rankings.missing() == []
    assert findings.about_rivals(panels, splits, []) == [one_list]


def test_package_that_fails_on_some_cells_is_left_out_and_said(monkeypatch):
    calls = []

    def fails_at_times(cells):
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError("too few\ncells")
        return np.arange(60.0)[:, None]

    monkeypatch.setitem(packages.PACKAGES, rankings.HOTSPOT, ("hotspotsc", "hotspot", fails_at_times))
    adata = planted_cells()
    splits = evaluation.panel_splits(adata, make_model, 2, 10, packages=(rankings.HOTSPOT,))
    told = [ranking.left_out.get(rankings.HOTSPOT) for _, ranking in splits]
    assert sorted(told, key=str) == [None, "too few cells"]
    panels = evaluation.panel_table(splits, list(adata.var_names), (5, 10))
    assert "Hotspot could not rank the genes of a split: too few cells." in findings.about_rivals(panels, splits, [])
    assert panels.loc[panels["method"] == rankings.HOTSPOT, "genes"].iloc[0].split()[0] == "g59"
    stability = evaluation.panel_stability(adata, splits[0][0], make_model, 10, 2, (rankings.HOTSPOT,))
    assert rankings.HOTSPOT not in set(stability["method"])


def test_counts_that_are_not_known_are_asked_for():
    adata = planted_cells()
    del adata.layers["counts"]
    known = rankings.TrainingCells(adata.X, adata.obsm["X_freq"], sparse.csr_array(adata.obsp["connectivities"]))
    with pytest.raises(ValueError, match="Hotspot needs counts"):
        packages._counts(known, rankings.HOTSPOT)
