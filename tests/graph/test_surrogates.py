import numpy as np
import pytest

from scripts.graph import spectrum
from scripts.graph.edges import knn_graph
from scripts.graph.spectrum import laplacian


@pytest.fixture(scope="module")
def graph():
    return knn_graph(np.random.default_rng(0).normal(size=(120, 5)), 8)


def test_each_coefficient_keeps_its_size_and_draws_its_sign(graph):
    signals = np.random.default_rng(1).normal(size=(120, 2))
    made = spectrum.spectral_surrogates(graph, signals, 20, random_state=0)
    assert made.shape == (20, 120, 2)
    _, vectors = np.linalg.eigh(laplacian(graph).toarray())
    np.testing.assert_allclose(np.abs(vectors.T @ made), np.abs(vectors.T @ signals)[None].repeat(20, 0), atol=1e-6)
    same_sign = (vectors.T @ made) * (vectors.T @ signals) > 0
    assert 0.4 < same_sign.mean() < 0.6 and same_sign.any(axis=0).mean() > 0.99


def test_few_bands_keep_the_signal_and_its_smoothness(graph, monkeypatch):
    monkeypatch.setattr(spectrum, "N_STEPS", 10)
    signal, L = np.random.default_rng(1).normal(size=(120, 1)), laplacian(graph)
    np.testing.assert_allclose(spectrum._ritz_parts(L, signal[:, 0]).sum(axis=0), signal[:, 0])
    for made in spectrum.spectral_surrogates(graph, signal, 5):
        np.testing.assert_allclose(np.linalg.norm(made), np.linalg.norm(signal))
        np.testing.assert_allclose((made * (L @ made)).sum(), (signal * (L @ signal)).sum(), rtol=0.15)


def test_a_signal_of_few_eigenvectors_or_none_stops_nothing(graph):
    _, vectors = np.linalg.eigh(laplacian(graph).toarray())
    signals = np.stack([vectors[:, 3], np.zeros(120)], axis=1)
    made = spectrum.spectral_surrogates(graph, signals, 3)
    np.testing.assert_allclose(np.abs(made[:, :, 0]), np.abs(vectors[:, 3])[None].repeat(3, 0), atol=1e-6)
    assert not made[:, :, 1].any()
