"""A triple of genes whose pairs say nothing is found by third order, and not by second."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from scripts.cells import CellDataset
from scripts.models import polynomial_ridge
from scripts.programs import gene_triples, gene_triples_of_pairs

N_GENES, PLANTED = 20, {("g1", "g5", "g9"), ("g2", "g7", "g12")}


@pytest.fixture(scope="module")
def forms():
    """Polynomials of third and of second order in Gaussian genes of which six, three by three, are multiplied."""
    random = np.random.default_rng(0)
    X = random.normal(size=(2_000, N_GENES))
    y = np.stack([X[:, 1] * X[:, 5] * X[:, 9], X[:, 2] * X[:, 7] * X[:, 12]], axis=1)
    y += 0.5 * random.normal(size=y.shape)
    genes = [f"g{i}" for i in range(N_GENES)]
    forms = {}
    for order in (2, 3):
        model = polynomial_ridge(order)
        model.fit(CellDataset(X[:1_600], y[:1_600]), CellDataset(X[1_600:], y[1_600:]))
        forms[order] = model.polynomial(genes)
    return forms, genes


def test_third_order_finds_the_triples_and_second_order_does_not(forms):
    forms, genes = forms
    triples, weights = gene_triples(forms[3], genes)
    true = [triple in PLANTED for triple in triples]
    assert sum(true) == 2
    assert average_precision_score(true, weights) >= 0.8
    assert average_precision_score(true, gene_triples_of_pairs(forms[2], genes)) < 0.1


def test_weights_are_third_derivatives(forms):
    forms, genes = forms
    form, size = forms[3], 1.0
    triples, weights = gene_triples(form, genes[:5])
    at = np.zeros((8, N_GENES))
    corners = np.array([*np.ndindex(2, 2, 2)])
    at[:, [0, 2, 4]] = size * corners
    change = (-1.0) ** (3 - corners.sum(axis=1)) @ form.predict(at)
    assert weights[triples.index(("g0", "g2", "g4"))] == pytest.approx(np.linalg.norm(change), rel=1e-6)
