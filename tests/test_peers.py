"""The comparison with packages of others: on few cells, all that needs no package which is not a requirement."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from benchmarks import peers
from scripts import rankings

N_CELLS, N_GENES = 600, 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("peers"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "N_CELLS_OF_GENES", N_CELLS)
        patch.setattr(peers, "N_GENES", N_GENES)
        patch.setattr(peers, "FEW", (slice(200), slice(None, None, 2)))
        peers.make(folder, N_CELLS, N_GENES)
        yield folder


def test_recall_counts_true_neighbours():
    points = np.random.default_rng(0).normal(size=(300, 5))
    search = NearestNeighbors(n_neighbors=peers.K, metric=peers.METRIC, algorithm="brute").fit(points)
    true = search.kneighbors(return_distance=False)
    assert peers.recall(points, true) == 1
    assert peers.recall(points, true[:, : peers.K // 2]) == 0.5


def test_own_steps_are_measured_and_judged(folder):
    own = peers.own_graph(folder)
    assert own["recall"] == 1 and own["residual"] < 1e-6
    modules = peers.own_modules(folder)
    assert modules["n_lists"] == 2 * peers.N_FREQ
    assert modules["together"] > 0.2 > abs(peers.by_chance(folder))
    for row in (step for found in (own, modules) for step in found["steps"].values()):
        assert row["CPU s"] >= 0 and row["wall s"] > 0 and row["peak GB"] > 0.05


def test_packages_that_are_not_there_have_a_line_and_the_others_rows(monkeypatch, capsys, folder):
    found = {"steps": {"modules": {"CPU s": 1.0, "wall s": 1.0, "peak GB": 1.0}}, "n_lists": 3, "together": 0.5}
    monkeypatch.setattr(rankings, "installed", lambda: (rankings.CNMF,))
    monkeypatch.setattr(peers, "in_own_process", lambda function, *_, module: found)
    monkeypatch.setattr(peers, "by_chance", lambda _: 0.0)
    peers.compare_modules(folder)
    lines = capsys.readouterr().out.splitlines()
    assert f"{rankings.HOTSPOT}: not installed (make rivals)" in lines
    assert f"{rankings.CNMF}: genes of a list correlate by 0.50 as planted (mean of 3 lists)" in lines
