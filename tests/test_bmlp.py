import numpy as np
import pytest
import torch

from scripts.bmlp import Config, ScBMLPRegressor
from scripts.datasets import CellDataset, torch_splits


def planted(n_cells=300, n_genes=12, seed=0):
    """Cells whose two targets are products of genes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_cells, n_genes))
    return CellDataset(x, np.stack([x[:, 0] * x[:, 1], x[:, 2] ** 2 - x[:, 3] * x[:, 4]], axis=1))


def small(**changes):
    return Config(**{"d_input": 12, "d_hidden": 8, "d_output": 2, "n_epochs": 60, "lr": 1e-2} | changes)


@pytest.mark.parametrize("loss_fn", ["l1", "mse", "huber"])
def test_products_of_genes_are_learned_and_hold_on_other_cells(loss_fn):
    model = ScBMLPRegressor(small(), loss_fn=loss_fn)
    train_losses, val_losses = model.fit(planted(), planted(100, seed=1))
    assert len(train_losses) == len(val_losses) == 60
    test = planted(100, seed=2)
    error = np.abs(model.predict(test.x) - test.y.numpy()).mean()
    assert error < 0.05 * np.abs(test.y.numpy()).mean()


def test_losses_are_those_of_the_weights():
    model = ScBMLPRegressor(small(n_epochs=5), loss_fn="l1")
    val = planted(100, seed=1)
    _, val_losses = model.fit(planted(), val)
    assert val_losses[-1] == pytest.approx(np.abs(model.predict(val.x) - val.y.numpy()).mean(), rel=1e-5)


def test_same_seed_same_weights_other_seed_others():
    first, same, other = (ScBMLPRegressor(small(n_epochs=3, random_state=seed)) for seed in (0, 0, 1))
    for model in (first, same, other):
        torch.rand(5)  # the global state must not matter
        model.fit(planted(), planted(50, seed=1))
    assert torch.equal(first.w_l, same.w_l) and torch.equal(first.w_p, same.w_p)
    assert not torch.equal(first.w_l, other.w_l)


def test_prediction_is_the_formula_and_no_gradient_is_left():
    model = ScBMLPRegressor(small(n_epochs=2))
    train = planted()
    model.fit(train, train)
    for weight in (model.w_l, model.w_r, model.w_p):
        assert not weight.requires_grad and weight.grad is None
    expected = torch.einsum("fh,hi,hj,ci,cj->cf", model.w_p, model.w_l, model.w_r, train.x, train.x)
    np.testing.assert_allclose(model.predict(train.x.numpy()), expected, rtol=1e-3, atol=1e-5)
    assert isinstance(model.predict(train.x), np.ndarray)
    form = model.form([f"g{i}" for i in range(12)])
    np.testing.assert_allclose(form.predict(train.x.numpy()), model.predict(train.x), atol=1e-5)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="d_hidden=0"):
        small(d_hidden=0)
    with pytest.raises(ValueError, match="lr=-1"):
        small(lr=-1)
    with pytest.raises(ValueError, match="loss_fn='l3'"):
        ScBMLPRegressor(small(), loss_fn="l3")
    with pytest.raises(ValueError, match="7 genes"):
        ScBMLPRegressor(small()).fit(planted(n_genes=7), planted())
    with pytest.raises(ValueError, match="expected \\(n_cells, 12\\)"):
        ScBMLPRegressor(small()).predict(np.zeros((3, 4)))


def test_a_fit_that_diverges_stops_and_says_so():
    model = ScBMLPRegressor(small(lr=1e30), loss_fn="mse")
    with pytest.raises(ValueError, match="choose a smaller lr"):
        model.fit(planted(), planted())
    assert not model.w_l.requires_grad


@pytest.mark.paul15
def test_first_settings_reach_their_validation_error(paul15):
    """128 hidden, 500 epochs, lr 1e-4, l1, batches of 32: the settings the project began with."""
    adata, *_ = paul15
    train, val, test = torch_splits(adata)
    model = ScBMLPRegressor(Config(d_input=3451, d_hidden=128, d_output=5, n_epochs=500, lr=1e-4, batch_size=32), "l1")
    train_losses, val_losses = model.fit(train, val)
    assert val_losses[-1] <= 0.0078
    assert train_losses[-1] < 1e-4  # it learns the training cells by heart
