from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scripts import bmlp
from scripts.bmlp import Config, ScBMLPRegressor, SquaredError
from scripts.cells.splits import CellDataset, torch_splits

ROOT = Path(__file__).resolve().parents[1]


def planted(n_cells=300, n_genes=12, seed=0):
    """Cells whose two targets are products of genes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_cells, n_genes))
    return CellDataset(x, np.stack([x[:, 0] * x[:, 1], x[:, 2] ** 2 - x[:, 3] * x[:, 4]], axis=1))


GENES = [f"g{i}" for i in range(12)]


def small(**changes):
    plain = {"n_components": 0, "bias": False, "standardize": False, "l2": 0.0, "patience": 0, "batch_size": 32}
    return Config(**{"d_input": 12, "d_hidden": 8, "d_output": 2, "n_epochs": 60, "lr": 1e-2} | plain | changes)


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
    form = model.form(GENES)
    np.testing.assert_allclose(form.predict(train.x.numpy()), model.predict(train.x), atol=1e-5)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="d_hidden=0"):
        small(d_hidden=0)
    with pytest.raises(ValueError, match="lr=-1"):
        small(lr=-1)
    with pytest.raises(ValueError, match="loss_fn='l3'"):
        ScBMLPRegressor(small(), loss_fn="l3")
    with pytest.raises(ValueError, match="dropout=1"):
        small(dropout=1.0)
    with pytest.raises(ValueError, match="patience=-1"):
        small(patience=-1)
    with pytest.raises(ValueError, match="7 genes"):
        ScBMLPRegressor(small()).fit(planted(n_genes=7), planted())
    with pytest.raises(ValueError, match="expected \\(n_cells, 12\\)"):
        ScBMLPRegressor(small()).predict(np.zeros((3, 4)))
    constant = planted()
    constant.y[:, 1] = 2.0
    with pytest.raises(ValueError, match="frequency 1 is the same"):
        ScBMLPRegressor(small()).fit(constant, planted())


def test_a_fit_that_diverges_stops_and_says_so():
    model = ScBMLPRegressor(small(lr=1e30), loss_fn="mse")
    with pytest.raises(ValueError, match="choose a smaller lr"):
        model.fit(planted(), planted())


def test_biases_and_components_are_written_into_gene_space():
    model = ScBMLPRegressor(small(bias=True, standardize=True, n_components=9, l2=1e-4))
    train, val = planted(), planted(100, seed=1)
    train.x.add_(0.7)
    model.fit(train, val)
    form = model.form(GENES)
    np.testing.assert_allclose(form.predict(train.x.numpy()), model.predict(train.x), atol=1e-4)
    left, right = train.x @ model.w_l.T + model.a, train.x @ model.w_r.T + model.b
    np.testing.assert_allclose((left * right) @ model.w_p.T + model.c, model.predict(train.x), atol=1e-5)
    assert np.abs(form.main).max() > 0 and form.basis.shape == (12, 12)


def test_several_fits_average_their_interactions():
    settings = {"bias": True, "n_epochs": 5, "n_components": 8}
    train, val = planted(), planted(100, seed=1)
    several, first, second = (
        ScBMLPRegressor(small(**settings, **more)) for more in ({"n_fits": 2}, {}, {"random_state": 1})
    )
    for model in (several, first, second):
        model.fit(train, val)
    mean = (first.predict(val.x) + second.predict(val.x)) / 2
    np.testing.assert_allclose(several.predict(val.x), mean, atol=1e-5)


def test_early_stopping_keeps_the_best_weights():
    model = ScBMLPRegressor(small(lr=0.1, n_epochs=200, patience=10), loss_fn="mse")
    val = planted(60, seed=1)
    _, val_losses = model.fit(planted(40), val)
    assert len(val_losses) < 200 and int(np.argmin(val_losses)) == len(val_losses) - 11
    assert min(val_losses) == pytest.approx(((model.predict(val.x) - val.y.numpy()) ** 2).mean(), rel=1e-4)


def test_gradients_are_those_of_autograd():
    torch.manual_seed(0)
    network = bmlp.Network(torch.randn(5, 6), torch.randn(6), torch.randn(2, 3), torch.randn(2))
    leaves = [tensor.requires_grad_() for tensor in network.copy().tensors()]
    z, y = torch.randn(7, 5), torch.randn(7, 2)
    reference = bmlp.Network(*leaves)
    penalty = 0.1 * sum((tensor**2).sum() for tensor in leaves[:3])
    (((reference(z) - y) ** 2).mean() + penalty).backward()
    for tensor in network.tensors():
        tensor.grad = torch.zeros_like(tensor)
    left, right = torch.addmm(network.b_lr, z, network.w_lr).chunk(2, dim=1)
    gradient = 2 * (network(z) - y) / y.numel()
    bmlp._write_gradients(network, z, left, right, left * right, None, gradient, 0.1)
    for tensor, leaf in zip(network.tensors(), leaves, strict=True):
        torch.testing.assert_close(tensor.grad, leaf.grad)


def test_moments_give_the_error_of_all_cells_and_its_gradients(monkeypatch):
    monkeypatch.setattr("scripts.bmlp.CHUNK", 3)
    torch.manual_seed(1)
    network = bmlp.Network(torch.randn(5, 6), torch.randn(6), torch.randn(2, 3), torch.randn(2))
    leaves = [tensor.requires_grad_() for tensor in network.copy().tensors()]
    z, y = torch.randn(7, 5), torch.randn(7, 2)
    expected = ((bmlp.Network(*leaves)(z) - y) ** 2).mean()
    expected.backward()
    error = SquaredError.of(z, y)
    torch.testing.assert_close(error.value(network), expected.detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(error.write_gradients(network), expected.detach(), rtol=1e-4, atol=1e-4)
    for tensor, leaf in zip(network.tensors(), leaves, strict=True):
        torch.testing.assert_close(tensor.grad, leaf.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_fit_by_moments_is_the_fit_by_cells(bias, monkeypatch):
    train, val = planted(400), planted(100, seed=1)
    settings = small(n_epochs=30, n_components=6, batch_size=400, l2=1e-3, bias=bias)
    by_moments, by_cells = (ScBMLPRegressor(settings, loss_fn="mse") for _ in range(2))
    used = []
    step_on = bmlp._step_on
    monkeypatch.setattr(bmlp, "_step_on", lambda *given: used.append(1) or step_on(*given))
    losses = by_moments.fit(train, val)
    assert len(used) == 30
    monkeypatch.setattr(bmlp, "_moments_are_enough", lambda *_: False)
    np.testing.assert_allclose(losses, by_cells.fit(train, val), rtol=1e-3)
    np.testing.assert_allclose(by_moments.predict(val.x), by_cells.predict(val.x), atol=1e-3 * val.y.numpy().std())


@pytest.mark.parametrize("other", [{"batch_size": 399}, {"dropout": 0.1}, {"input_noise": 0.1}, {"n_components": 0}])
def test_moments_are_not_enough_where_a_step_sees_less_than_all_cells_or_they_cost_more(other):
    z, y = torch.zeros(400, 6 if other.get("n_components", 6) else 100), torch.zeros(400, 2)
    assert bmlp._moments_are_enough(z[:, :6], y, small(batch_size=400), "mse")
    assert not bmlp._moments_are_enough(z, y, small(**{"batch_size": 400} | other), "mse")
    assert not bmlp._moments_are_enough(z[:, :6], y, small(batch_size=400), "l1")


def test_noise_and_dropout_change_the_fit():
    plain, noisy, dropped = (
        ScBMLPRegressor(small(n_epochs=3, **more)) for more in ({}, {"input_noise": 0.5}, {"dropout": 0.5})
    )
    for model in (plain, noisy, dropped):
        model.fit(planted(), planted(50, seed=1))
    assert not torch.equal(plain.w_l, noisy.w_l) and not torch.equal(plain.w_l, dropped.w_l)


@pytest.mark.paul15
@pytest.mark.slow
def test_first_settings_reach_their_validation_error(paul15):
    """128 hidden, 500 epochs, lr 1e-4, l1, batches of 32: the settings the project began with."""
    adata, *_ = paul15
    train, val, test = torch_splits(adata)
    stored = yaml.safe_load((ROOT / "params" / "seed.yaml").read_text())
    stored["n_components"] = stored["input_components"]
    settings = {field.name: stored[field.name] for field in fields(Config) if field.name in stored}
    assert (settings["d_hidden"], settings["n_epochs"], settings["lr"], settings["batch_size"]) == (128, 500, 1e-4, 32)
    model = ScBMLPRegressor(Config(d_input=3451, d_output=5, **settings), stored["loss_fn"])
    train_losses, val_losses = model.fit(train, val)
    assert val_losses[-1] <= 0.0078
    assert train_losses[-1] < 1e-4  # it learns the training cells by heart
