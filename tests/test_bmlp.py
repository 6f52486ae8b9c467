from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scripts import bmlp
from scripts.bmlp import Config, ScBMLPRegressor
from scripts.cells.splits import CellDataset, torch_splits
from tests import reference

ROOT = Path(__file__).resolve().parents[1]


def planted(n_cells=300, n_genes=12, seed=0):
    """Cells whose two targets are products of genes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_cells, n_genes))
    return CellDataset(x, np.stack([x[:, 0] * x[:, 1], x[:, 2] ** 2 - x[:, 3] * x[:, 4]], axis=1))


GENES = [f"g{i}" for i in range(12)]


def small(**changes):
    plain = {"input_components": 0, "bias": False, "standardize": False, "l2": 0.0, "patience": 0, "batch_size": 32}
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
    for weight in (model.w_l, model.w_r, model.w_p, model.a, model.b, model.c):
        assert not weight.requires_grad and weight.grad is None
    expected = torch.einsum("fh,hi,hj,ci,cj->cf", model.w_p, model.w_l, model.w_r, train.x, train.x)
    np.testing.assert_allclose(model.predict(train.x.numpy()), expected, rtol=1e-3, atol=1e-5)
    assert isinstance(model.predict(train.x), np.ndarray)
    form = model.form(GENES)
    np.testing.assert_allclose(form.predict(train.x.numpy()), model.predict(train.x), atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that torch finds")
def test_a_gpu_gives_what_the_processor_does():
    test = planted(100, seed=2).x
    fits = [ScBMLPRegressor(small(device=device)) for device in ("cpu", "cuda")]
    for model in fits:
        model.fit(planted(), planted(100, seed=1))
    assert fits[1].w_l.device.type == "cuda"
    on_cpu, on_gpu = (model.predict(test) for model in fits)
    assert np.abs(on_gpu - on_cpu).max() < 0.02 * np.abs(on_cpu).max()


def test_a_device_that_is_not_there_is_named():
    missing = next(name for name in ("mps", "xpu", "cuda") if not getattr(torch, name).is_available())
    with pytest.raises(ValueError, match=f"device='{missing}' cannot be had: torch finds none here; set device: cpu"):
        small(device=missing)
    with pytest.raises(ValueError, match="device='abacus' cannot be had"):
        small(device="abacus")


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="d_hidden=0"):
        small(d_hidden=0)
    with pytest.raises(ValueError, match="lr=-1"):
        small(lr=-1)
    with pytest.raises(ValueError, match="loss_fn='l3'"):
        ScBMLPRegressor(small(), loss_fn="l3")
    with pytest.raises(ValueError, match="order=4 is not possible"):
        small(order=4)
    with pytest.raises(ValueError, match="dropout=1"):
        small(dropout=1.0)
    with pytest.raises(ValueError, match="patience=-1"):
        small(patience=-1)
    with pytest.raises(ValueError, match="7 genes"):
        ScBMLPRegressor(small()).fit(planted(n_genes=7), planted())
    with pytest.raises(ValueError, match="expected \\(n_cells, 12\\)"):
        ScBMLPRegressor(small()).predict(np.zeros((3, 4)))


def test_a_fit_that_diverges_stops_and_says_so():
    model = ScBMLPRegressor(small(lr=1e30), loss_fn="mse")
    with pytest.raises(ValueError, match="choose a smaller lr"):
        model.fit(planted(), planted())


def test_biases_and_components_are_written_into_gene_space():
    model = ScBMLPRegressor(small(bias=True, standardize=True, input_components=9, l2=1e-4))
    train, val = planted(), planted(100, seed=1)
    train.x.add_(0.7)
    model.fit(train, val)
    form = model.form(GENES)
    np.testing.assert_allclose(form.predict(train.x.numpy()), model.predict(train.x), atol=1e-4)
    left, right = train.x @ model.w_l.T + model.a, train.x @ model.w_r.T + model.b
    np.testing.assert_allclose((left * right) @ model.w_p.T + model.c, model.predict(train.x), atol=1e-5)
    assert np.abs(form.main).max() > 0 and form.basis.shape == (12, 12)


def test_several_fits_average_their_interactions():
    settings = {"bias": True, "n_epochs": 5, "input_components": 8}
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


def test_of_many_cells_no_more_are_seen_in_all(monkeypatch):
    model, cells = ScBMLPRegressor(small(), loss_fn="mse"), (planted(100), planted(50, seed=1))
    assert len(model.fit(*cells)[0]) == 60
    monkeypatch.setattr(bmlp, "N_PASSED", 25)
    assert len(model.fit(*cells)[0]) == 15 and model.cfg.n_epochs == 60


def test_network_is_a_module_and_starts_as_promised():
    first, same = (bmlp.BilinearNetwork(9, 50, 3, scale=0.6, generator=torch.Generator().manual_seed(3)) for _ in "ab")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    for weights, fan_in in ((first.w_l, 9), (first.w_r, 9), (first.w_p, 50)):
        bound = 0.6 / np.sqrt(fan_in)
        assert 0.8 * bound < weights.abs().max() <= bound and weights.mean().abs() < 0.3 * bound
    assert not any(biases.any() for biases in (first.a, first.b, first.c))
    with torch.no_grad():
        for weights in first.parameters():
            weights.uniform_(-1, 1)
    z = torch.randn(7, 9)
    expected = ((z @ first.w_l.T + first.a) * (z @ first.w_r.T + first.b)) @ first.w_p.T + first.c
    torch.testing.assert_close(first(z), expected)


def test_penalty_and_decay_make_all_weights_but_the_constant_smaller():
    train, val = planted(), planted(50, seed=1)
    train.y.add_(2.0)
    settings = {"bias": True, "batch_size": 4096, "n_epochs": 200, "lr": 0.05}
    plain, strong, decayed = (
        ScBMLPRegressor(small(**settings, **more)) for more in ({}, {"l2": 10.0}, {"weight_decay": 20.0})
    )
    losses = [model.fit(train, val)[0] for model in (plain, strong, decayed)]
    for name in ("w_l", "w_r", "w_p", "a", "b"):
        norms = [getattr(model, name).norm() for model in (plain, strong, decayed)]
        assert norms[1] < 0.01 * norms[0] and norms[2] < 0.5 * norms[0]
    np.testing.assert_allclose(strong.c, train.y.mean(dim=0), atol=0.2)  # left alone by the penalty
    assert losses[1][-1] == pytest.approx(train.y.numpy().var(axis=0).mean(), rel=0.05)  # reported without it


def test_without_biases_the_form_has_products_alone():
    model = ScBMLPRegressor(small(n_epochs=3))
    model.fit(planted(), planted(50, seed=1))
    assert not any(biases.any() for biases in (model.a, model.b, model.c))


def test_noise_and_dropout_change_the_fit():
    plain, noisy, dropped = (
        ScBMLPRegressor(small(n_epochs=3, **more)) for more in ({}, {"input_noise": 0.5}, {"dropout": 0.5})
    )
    for model in (plain, noisy, dropped):
        model.fit(planted(), planted(50, seed=1))
    assert not torch.equal(plain.w_l, noisy.w_l) and not torch.equal(plain.w_l, dropped.w_l)


def of_three(n_cells=400, seed=0):
    """Cells whose second target is a product of three genes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n_cells, 12))
    return CellDataset(x, np.stack([x[:, 0] * x[:, 1], x[:, 2] * x[:, 3] * x[:, 4]], axis=1))


def test_products_of_three_genes_take_the_third_order():
    test, errors = of_three(200, seed=2), []
    for order in (2, 3):
        model = ScBMLPRegressor(small(order=order, bias=True, d_hidden=12, n_epochs=200, init_scale=1.0), "mse")
        model.fit(of_three(), of_three(100, seed=1))
        errors.append(((model.predict(test.x) - test.y.numpy()) ** 2).mean(axis=0))
    assert errors[0][1] > 0.5 and errors[1][1] < 0.1 and max(errors[0][0], errors[1][0]) < 0.1


def test_trilinear_prediction_is_the_formula_and_its_polynomial():
    model = ScBMLPRegressor(small(order=3, bias=True, standardize=True, input_components=9, n_epochs=5))
    train = of_three()
    train.x.add_(0.5)
    model.fit(train, train)
    factors = [(model.w_l, model.a), (model.w_r, model.b), (model.w_m, model.d)]
    joined = [np.column_stack([bias, weights]).astype(float) for weights, bias in factors]
    X = train.x.numpy().astype(float)
    expected = model.c.numpy() + reference.products(X, joined, model.w_p.numpy().astype(float))
    np.testing.assert_allclose(model.predict(train.x), expected, atol=1e-4)
    form = model.polynomial(GENES)
    np.testing.assert_allclose(form.predict(X), expected, atol=1e-4)
    assert form.cubic.shape == (2, 9, 9, 9) and np.abs(form.cubic).max() > 0
    with pytest.raises(ValueError, match="order 3 is no bilinear form"):
        model.form(GENES)


def test_trilinear_network_begins_as_a_bilinear_one():
    seeded = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    two, three = (kind(9, 50, 3, generator=seeded()) for kind in (bmlp.BilinearNetwork, bmlp.TrilinearNetwork))
    z = torch.randn(7, 9)
    with torch.no_grad():
        three.w_m.zero_()
        torch.testing.assert_close(three(z), two(z))
        for weights in three.parameters():
            weights.uniform_(-1, 1)
        left, right, third = z @ three.w_l.T + three.a, z @ three.w_r.T + three.b, z @ three.w_m.T + three.d
        torch.testing.assert_close(three(z), (left * right * third) @ three.w_p.T + three.c)
        squares = sum((weights**2).sum() for weights in three.parameters()) - (three.c**2).sum()
        torch.testing.assert_close(three.penalty(), squares)


@pytest.mark.paul15
@pytest.mark.slow
def test_first_settings_reach_their_validation_error(paul15):
    """128 hidden, 500 epochs, lr 1e-4, l1, batches of 32: the settings the project began with."""
    adata, *_ = paul15
    train, val, test = torch_splits(adata)
    stored = yaml.safe_load((ROOT / "params" / "seed.yaml").read_text())
    settings = {field.name: stored[field.name] for field in fields(Config) if field.name in stored}
    assert (settings["d_hidden"], settings["n_epochs"], settings["lr"], settings["batch_size"]) == (128, 500, 1e-4, 32)
    model = ScBMLPRegressor(Config(d_input=3451, d_output=5, **settings), stored["loss_fn"])
    train_losses, val_losses = model.fit(train, val)
    assert val_losses[-1] <= 0.0078
    assert train_losses[-1] < 1e-4  # it learns the training cells by heart
