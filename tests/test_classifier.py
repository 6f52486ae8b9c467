from functools import partial

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from scripts.bmlp import Config, ScBMLPClassifier
from scripts.cells.splits import CellDataset

N_GENES = 12
GENES = [f"g{i}" for i in range(N_GENES)]
CLASSES = np.array(["both up or down", "one of each", "neither"])
OF_PAIRS = partial(Config, N_GENES, 16, 3, n_epochs=150, input_components=0, batch_size=64, lr=1e-2)
OF_COMPONENTS = partial(Config, N_GENES, 8, 3, n_epochs=30, input_components=9)


def of_pairs(n_cells=300, seed=0):
    """Cells whose class is that of the product of two genes, which no single gene knows of; their names of classes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_cells, N_GENES))
    names = CLASSES[np.choose(np.digitize(x[:, 0] * x[:, 1], [-0.3, 0.3]), [1, 2, 0])]
    return CellDataset(x, names[:, None] == CLASSES), names


def fitted(cfg, train=None, val=None):
    model = ScBMLPClassifier(cfg, CLASSES)
    model.fit(train or of_pairs()[0], val or of_pairs(100, 1)[0])
    return model


def test_classes_that_only_pairs_of_genes_tell_apart_are_told_apart():
    (train, names), (test, truth) = of_pairs(600), of_pairs(400, 2)
    chance = max((truth == name).mean() for name in CLASSES)
    linear = LogisticRegression(C=0.1).fit(train.x.numpy(), names)
    model = fitted(OF_PAIRS(), train, of_pairs(200, 1)[0])
    assert linear.score(test.x.numpy(), truth) < chance + 0.08
    assert (model.predict(test.x) == truth).mean() > chance + 0.35


def test_losses_are_cross_entropies_of_the_probabilities():
    val, truth = of_pairs(100, 1)
    model = ScBMLPClassifier(OF_COMPONENTS(patience=0), CLASSES)
    _, val_losses = model.fit(of_pairs()[0], val)
    probability = model.predict_proba(val.x)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)
    assert (CLASSES[probability.argmax(axis=1)] == model.predict(val.x)).all()
    own = probability[truth[:, None] == CLASSES]
    assert val_losses[-1] == pytest.approx(-np.log(own).mean(), rel=1e-3)


@pytest.mark.parametrize("make", [OF_PAIRS, OF_COMPONENTS], ids=["all genes", "components"])
def test_form_is_that_of_the_logits(make):
    model, X = fitted(make(n_epochs=5)), of_pairs(50, 3)[0].x.numpy()
    form = model.form(GENES)
    logits = form.predict(X)
    np.testing.assert_allclose(functional.softmax(torch.as_tensor(logits), dim=1), model.predict_proba(X), atol=1e-5)
    contrast = form.combined(np.array([[1.0, -1.0, 0.0]]))
    np.testing.assert_allclose(contrast.predict(X)[:, 0], logits[:, 0] - logits[:, 1], atol=1e-10)
    assert contrast.genes == GENES and contrast.n_freq == 1


def test_the_same_from_a_second_fit_and_from_sparse_cells():
    train, val, new = of_pairs()[0], of_pairs(100, 1)[0], of_pairs(50, 3)[0].x.numpy()
    model = fitted(OF_COMPONENTS())
    probability = model.predict_proba(new)
    np.testing.assert_array_equal(fitted(OF_COMPONENTS()).predict_proba(new), probability)
    np.testing.assert_allclose(model.predict_proba(sparse.csr_array(new)), probability, atol=1e-5)
    in_sparse = [CellDataset(sparse.csr_array(cells.x.numpy()), cells.y) for cells in (train, val)]
    np.testing.assert_allclose(fitted(OF_COMPONENTS(), *in_sparse).predict_proba(new), probability, atol=1e-2)


def test_genes_in_another_order_give_the_same_classes():
    order = np.random.default_rng(5).permutation(N_GENES)
    train, val, new = (of_pairs(*what)[0] for what in ((300, 0), (100, 1), (50, 3)))
    turned = [CellDataset(cells.x[:, order], cells.y) for cells in (train, val)]
    expected = fitted(OF_COMPONENTS(), train, val).predict_proba(new.x)
    np.testing.assert_allclose(fitted(OF_COMPONENTS(), *turned).predict_proba(new.x[:, order]), expected, atol=1e-2)


def test_cells_and_names_that_are_not_classes_are_refused():
    train, val = of_pairs()[0], of_pairs(100, 1)[0]
    unlabelled = CellDataset(train.x, train.y * (torch.arange(len(train)) != 3)[:, None])
    with pytest.raises(ValueError, match="some cells are not of one class"):
        fitted(OF_COMPONENTS(), unlabelled)
    with pytest.raises(ValueError, match="some cells are not of one class"):
        fitted(OF_COMPONENTS(), train, CellDataset(val.x, val.y / 2))
    known = train.y[:, 1] == 0
    with pytest.raises(ValueError, match="no training cell is of one of each"):
        fitted(OF_COMPONENTS(), CellDataset(train.x[known], train.y[known]))
    with pytest.raises(ValueError, match="must be 3, all different"):
        ScBMLPClassifier(OF_COMPONENTS(), ["a", "b", "a"])
    with pytest.raises(ValueError, match="12 genes and 2 classes"):
        fitted(OF_COMPONENTS(), CellDataset(train.x, train.y[:, :2]))
