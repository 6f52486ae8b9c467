import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy.sparse import csr_array

from scripts.errors import InputError
from scripts.models.form import BilinearForm
from scripts.models.polynomial import PolynomialForm, monomials
from scripts.reading.cells import module_scores
from scripts.reading.modules import main_effect_table, module_table, poles, strongest_pairs
from tests import reference

GENES = [f"g{i}" for i in range(40)]


def test_modules_equal_the_dense_eigenvectors(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    values, loadings = form.modules(n_modules=12)
    for frequency, (dense_values, dense_vectors) in enumerate(
        reference.modules(reference.interaction_matrices(*weights))
    ):
        np.testing.assert_allclose(values[frequency], dense_values[:12], rtol=1e-5)
        cosines = (loadings[frequency] * dense_vectors[:, :12]).sum(axis=0)
        np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-8)
    np.testing.assert_allclose(form.eigenvalues()[:, :12], values, rtol=1e-8)
    assert ((loadings**3).sum(axis=1) > 0).all()


@pytest.mark.parametrize("kind", [np.asarray, csr_array])
def test_axes_of_a_turned_form_rise_with_their_frequency_whatever_is_made_of_it(kind, weights, tmp_path):
    random = np.random.default_rng(3)
    X, y = random.normal(size=(2300, 40)).astype(np.float32) + 1, random.normal(size=(2300, 3)) - 4
    form = BilinearForm.from_factors(*weights, genes=GENES).turned(kind(X), y)
    form.save(tmp_path / "form.safetensors")
    mixed = np.array([[1.0, -2, 0], [0, 0.5, -1]])
    derived = [(form, y), (BilinearForm.load(tmp_path / "form.safetensors"), y), (form.truncated(12), y)]
    for made, targets in [*derived, (form.combined(mixed, 3.0), y @ mixed.T)]:
        for f, loadings in enumerate(made.modules(8)[1]):
            assert min(np.corrcoef(X @ loading, targets[:, f])[0, 1] for loading in loadings.T) > 0
    turned, plain = form.modules(8), BilinearForm.from_factors(*weights, genes=GENES).modules(8)
    np.testing.assert_array_equal(turned[0], plain[0])
    signs = (turned[1] * plain[1]).sum(axis=1)
    np.testing.assert_allclose(np.abs(signs), 1)
    assert set(np.sign(signs).ravel()) == {-1, 1}


def test_prediction_is_the_formula_and_the_sum_of_all_module_scores(weights):
    w_l, w_r, w_p = weights
    X = np.random.default_rng(1).normal(size=(15, 40))
    form = BilinearForm.from_factors(*weights, genes=GENES)
    expected = ((X @ w_l.T) * (X @ w_r.T)) @ w_p.T
    np.testing.assert_allclose(form.predict(X), expected, rtol=1e-8)
    values, loadings = form.modules(n_modules=12)
    for frequency in range(3):
        scores = module_scores(X, values[frequency], loadings[frequency])
        np.testing.assert_allclose(scores.sum(axis=1), expected[:, frequency], rtol=1e-8)


def test_main_effects_and_constant_are_part_of_the_prediction(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    X = np.random.default_rng(1).normal(size=(15, 40))
    before = form.predict(X)
    form.main = np.random.default_rng(2).normal(size=(3, 40))
    form.constant = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(form.predict(X), before + X @ form.main.T + form.constant)


def test_agreement_equals_the_dense_formula(weights):
    w_l, w_r, w_p = weights
    other = (w_l + 0.5 * w_r, w_r, w_p[::-1])
    A, B = reference.interaction_matrices(*weights), reference.interaction_matrices(*other)
    expected = [np.trace(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(A, B, strict=True)]
    form = BilinearForm.from_factors(*weights, genes=GENES)
    np.testing.assert_allclose(form.agreement(BilinearForm.from_factors(*other, genes=GENES)), expected, rtol=1e-8)
    np.testing.assert_allclose(form.agreement(form), 1)


def test_hidden_units_may_be_permuted_and_rescaled(weights):
    w_l, w_r, w_p = weights
    order = [3, 1, 0, 2, 5, 4]
    same = BilinearForm.from_factors(2 * w_l[order], w_r[order], w_p[:, order] / 2, genes=GENES)
    np.testing.assert_allclose(same.agreement(BilinearForm.from_factors(*weights, genes=GENES)), 1)


def test_biases_become_main_effects_and_constants(weights):
    w_l, w_r, w_p = weights
    random = np.random.default_rng(4)
    a, b, c, X = random.normal(size=6), random.normal(size=6), random.normal(size=3), random.normal(size=(15, 40))
    form = BilinearForm.from_factors(*weights, a, b, c, genes=GENES)
    np.testing.assert_allclose(form.predict(X), ((X @ w_l.T + a) * (X @ w_r.T + b)) @ w_p.T + c, rtol=1e-8)


def test_truncation_keeps_the_leading_modules(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    values, loadings = form.modules(12)
    kept = form.truncated(3)
    np.testing.assert_allclose(kept.modules(3)[0], values[:, :3], rtol=1e-8)
    B = kept.basis @ kept.core[1] @ kept.basis.T
    np.testing.assert_allclose(B, (loadings[1, :, :3] * values[1, :3]) @ loadings[1, :, :3].T, atol=1e-8)


def test_poles_never_share_a_gene():
    loading = np.array([0.5, -0.1, 0.2, 0.0, -0.7])
    for n_genes in (2, 4):
        found = poles(loading, n_genes)
        assert {pole: list(places) for pole, places in found.items()} == {"positive": [0, 2], "negative": [4, 1]}


def test_table_is_tidy_and_ranked(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    patterns = np.random.default_rng(0).normal(size=(3, 40, 2))
    table = module_table(form, patterns, n_genes=5)
    assert len(table) == 3 * 2 * 2 * 5
    positive = table.query("frequency == 1 and module == 2 and pole == 'positive'")
    assert positive["rank"].tolist() == [1, 2, 3, 4, 5]
    assert positive["pattern"].is_monotonic_decreasing and (positive["pattern"] > 0).all()
    _, loadings = form.modules(2)
    first = patterns[1, :, 1].argmax()
    assert positive["gene"].iloc[0] == GENES[first] and positive["loading"].iloc[0] == loadings[1, first, 1]


def test_hidden_genes_leave_the_tables_alone(weights):
    form = BilinearForm.from_factors(*weights, 1.0, 2.0, genes=GENES)
    table = module_table(form, form.modules(2)[1], 8, hidden="^g1")
    assert not table["gene"].str.startswith("g1").any() and len(table) == 3 * 2 * 2 * 8
    effects = main_effect_table(form, 5, hidden="^g1")
    top = effects[(effects["frequency"] == 2) & (effects["rank"] == 1) & (effects["pole"] == "positive")].iloc[0]
    kept = [i for i in range(40) if not GENES[i].startswith("g1")]
    assert top["gene"] == GENES[max(kept, key=lambda i: form.main[2, i])] and top["effect"] == form.main[2, kept].max()


def test_saved_form_is_read_back(weights, tmp_path):
    genes = ["<b>", "β-globin", *GENES[2:]]
    form = BilinearForm.from_factors(*weights, genes=genes)
    form.save(tmp_path / "model.safetensors")
    again = BilinearForm.load(tmp_path / "model.safetensors")
    assert again.genes == genes
    for name in ("basis", "core", "main", "constant"):
        np.testing.assert_array_equal(getattr(again, name), getattr(form, name))
    (tmp_path / "damaged.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="does not hold a fitted model.*run 03_train"):
        BilinearForm.load(tmp_path / "damaged.safetensors")


PAIRS = np.array([[3, 8], [0, 3], [5, 5], [17, 39]])


def with_products(weights):
    """A form with products of its own, the same dense, and the form without."""
    form = BilinearForm.from_factors(*weights, 0.5, -1.0, [1.0, 2.0, 3.0], genes=GENES)
    pair_weights = 20 * np.random.default_rng(5).normal(size=(3, len(PAIRS)))
    dense = reference.with_products(reference.interaction_matrices(*weights), PAIRS, pair_weights)
    return form.with_products(PAIRS, pair_weights), dense, form


def test_products_are_part_of_all_that_is_read(weights):
    form, dense, plain = with_products(weights)
    X = np.random.default_rng(1).normal(size=(15, 40))
    expected = plain.constant + X @ plain.main.T + np.einsum("ci,fij,cj->cf", X, dense, X)
    np.testing.assert_allclose(form.predict(X), expected, rtol=1e-8)
    np.testing.assert_allclose(form.norm(), np.linalg.norm(dense, axis=(1, 2)), rtol=1e-8)
    plain_dense = reference.interaction_matrices(*weights)
    cosine = [np.trace(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(dense, plain_dense, strict=True)]
    np.testing.assert_allclose(form.agreement(plain), cosine, rtol=1e-8)
    np.testing.assert_allclose(plain.agreement(form), cosine, rtol=1e-8)
    assert max(cosine) < 0.99
    values, loadings = form.modules(8)
    for f, (dense_values, dense_vectors) in enumerate(reference.modules(dense)):
        np.testing.assert_allclose(values[f], dense_values[:8], rtol=1e-8)
        np.testing.assert_allclose(np.abs((loadings[f] * dense_vectors[:, :8]).sum(axis=0)), 1, atol=1e-8)
    mix = np.array([[1.0, -2.0, 0.0], [0.5, 0.5, 0.5]])
    combined = form.combined(mix)
    np.testing.assert_allclose(combined.predict(X), expected @ mix.T, rtol=1e-8)
    np.testing.assert_allclose(combined.without_products().predict(X), plain.predict(X) @ mix.T, rtol=1e-8)
    i, j = np.triu_indices(40, 1)
    strongest = np.argsort(-np.abs(dense[1, i, j]))[:20]
    listed = strongest_pairs(form, 20).query("frequency == 1")
    assert listed["gene_i"].tolist() == [GENES[g] for g in i[strongest]]
    np.testing.assert_allclose(listed["weight"], 2 * dense[1, i, j][strongest], rtol=1e-8)
    np.testing.assert_allclose(PolynomialForm.from_bilinear(form).predict(X), expected, rtol=1e-8)


def test_products_taken_off_leave_the_form_as_it_was(weights):
    form, _, plain = with_products(weights)
    for found, expected in zip(form.without_products().modules(12), plain.modules(12), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-8)
    assert form.without_products().basis.shape == plain.basis.shape and not len(form.without_products().pairs)
    assert plain.without_products() is plain
    again = form.with_products(PAIRS[:1], np.ones((3, 1)))  # in a basis that holds these genes already
    X = np.random.default_rng(1).normal(size=(5, 40))
    np.testing.assert_allclose(again.predict(X) - form.predict(X), np.outer(X[:, 3] * X[:, 8], np.ones(3)), atol=1e-8)
    np.testing.assert_allclose(again.without_products().predict(X), plain.predict(X), rtol=1e-8)
    whole = BilinearForm(np.eye(40), reference.interaction_matrices(*weights), plain.main, plain.constant, GENES)
    grown = whole.with_products(PAIRS, form.pair_weights)
    assert grown.basis.shape == (40, 40)
    np.testing.assert_allclose(grown.predict(X), form.predict(X), rtol=1e-8)


def test_products_are_read_back_and_a_file_without_them_is_as_it_was(weights, tmp_path):
    form, _, plain = with_products(weights)
    form.save(path := tmp_path / "model.safetensors")
    again = BilinearForm.load(path, GENES)
    for name in ("basis", "core", "pairs", "pair_weights"):
        np.testing.assert_array_equal(getattr(again, name), getattr(form, name))
    plain.save(path)
    with safe_open(path, framework="np") as file:
        assert set(file.keys()) == {"basis", "core", "main", "constant", "toward"}
    assert BilinearForm.load(path).pair_weights.shape == (3, 0)
    arrays = {name: getattr(form, name) for name in (*BilinearForm.ARRAYS, "pairs", "pair_weights")}
    for changed, message in (
        ({"pairs": PAIRS + 30}, "pairs name other genes"),
        ({"pair_weights": form.pair_weights[:, :2].copy()}, "do not fit each other"),
        ({"pair_weights": np.nan * form.pair_weights}, "no finite numbers"),
    ):
        save_file(arrays | changed, path, metadata={"genes": json.dumps(GENES)})
        with pytest.raises(InputError, match=f"{message}.*: run 03_train.ipynb again"):
            BilinearForm.load(path)


PARTS = {
    "not finite": ({"core": np.full((3, 12, 12), np.nan)}, "no finite numbers"),
    "no numbers": ({"main": np.ones((3, 40), bool)}, "no finite numbers"),
    "basis of other lengths": ({"basis": np.full((40, 12), 0.1)}, "basis is not orthonormal"),
    "fewer genes": ({"main": np.ones((3, 39))}, "do not fit each other"),
    "fewer frequencies": ({"constant": np.ones(2)}, "do not fit each other"),
    "one axis too few": ({"basis": np.ones(40)}, "does not hold a fitted model"),
    "a part too few": ({"constant": None}, "does not contain tensor constant"),
    "no genes": ({"genes": None}, "does not hold a fitted model"),
    "genes reversed": ({"genes": json.dumps(GENES[::-1])}, "fitted to other genes, or in another order"),
    "genes as one text": ({"genes": json.dumps("g" * 40)}, "fitted to other genes"),
    "genes as a number": ({"genes": "40"}, "does not hold a fitted model"),
    "genes cut": ({"genes": json.dumps(GENES)[:-9]}, "does not hold a fitted model"),
}


@pytest.mark.parametrize("damage", PARTS)
def test_a_file_of_unsound_parts_is_one_line_with_the_notebook_to_run(weights, tmp_path, damage):
    form, path = BilinearForm.from_factors(*weights, genes=GENES), tmp_path / "model.safetensors"
    changed, message = PARTS[damage]
    parts = {name: getattr(form, name) for name in BilinearForm.ARRAYS}
    parts |= {"genes": json.dumps(GENES)} | changed
    genes = parts.pop("genes")
    arrays = {name: np.ascontiguousarray(array) for name, array in parts.items() if array is not None}
    save_file(arrays, path, metadata={"genes": genes} if genes else None)
    with pytest.raises(InputError, match=f"{message}.*: run 03_train.ipynb again") as raised:
        BilinearForm.load(path, GENES)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


def test_parts_that_do_not_fit_are_named(weights):
    form = BilinearForm.from_factors(*weights, genes=GENES)
    with pytest.raises(ValueError, match="do not fit"):
        BilinearForm(form.basis, form.core, form.main, form.constant, GENES[:-1])


def cubic_form(bound=0.0, n_axes=4, n_freq=2):
    """A polynomial form of random weights, and those weights."""
    random = np.random.default_rng(3)
    axes, offset = 0.3 * random.normal(size=(40, n_axes)), random.normal(size=n_axes)
    weights = random.normal(size=(n_freq, len(monomials(n_axes))))
    return PolynomialForm.from_monomials(axes, offset, weights, np.array([1.0, -2.0]), bound, genes=GENES), weights


@pytest.mark.parametrize("bound", [0.0, 3.0])
def test_polynomial_equals_its_explicit_monomials_and_the_sum_of_contributions(bound):
    form, weights = cubic_form(bound)
    X = np.random.default_rng(1).normal(size=(15, 40))
    expected = reference.polynomial(X, form.axes, form.offset, bound, weights, form.constant)
    np.testing.assert_allclose(form.predict(X), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(form.predict(csr_array(X)), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(form.constant + form.contributions(X).sum(axis=2), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(form.weights, weights)
    assert form.predict(X[:0]).shape == (0, 2)


def test_cells_far_out_move_a_bounded_form_no_further():
    form, _ = cubic_form(bound=3.0)
    X = np.random.default_rng(1).normal(size=(15, 40))
    np.testing.assert_allclose(form.predict(1e3 * X), form.predict(1e4 * X), rtol=1e-6)
    assert np.abs(form.coordinates(1e4 * X)).max() <= 3


@pytest.mark.parametrize("order", [1, 2, 3])
def test_products_of_linear_functions_become_symmetric_cores(order):
    random = np.random.default_rng(4)
    axes, offset, X = random.normal(size=(40, 5)), random.normal(size=5), random.normal(size=(15, 40))
    factors, w_p = [random.normal(size=(7, 6)) for _ in range(order)], random.normal(size=(2, 7))
    form = PolynomialForm.from_products(axes, offset, factors, w_p, np.array([1.0, -2.0]), genes=GENES)
    expected = [1.0, -2.0] + reference.products(X @ axes - offset, factors, w_p)
    np.testing.assert_allclose(form.predict(X), expected, rtol=1e-9)
    for turned in ((0, 1, 3, 2), (0, 2, 1, 3), (0, 3, 1, 2)):
        np.testing.assert_allclose(form.cubic, form.cubic.transpose(turned), atol=1e-12)
    np.testing.assert_allclose(form.quadratic, form.quadratic.swapaxes(1, 2), atol=1e-12)


def test_bilinear_form_is_a_polynomial_as_well(weights):
    form = BilinearForm.from_factors(*weights, 0.5, -1.0, [1.0, 2.0, 3.0], genes=GENES)
    form.main = form.main + np.random.default_rng(2).normal(size=(3, 40))  # of genes outside the basis, too
    X = np.random.default_rng(1).normal(size=(15, 40))
    same = PolynomialForm.from_bilinear(form)
    np.testing.assert_allclose(same.predict(X), form.predict(X), rtol=1e-9)
    np.testing.assert_allclose(same.basis.T @ same.basis, np.eye(15), atol=1e-12)
    assert not same.cubic.any() and same.genes == GENES


def test_saved_polynomial_is_read_back_and_no_other_kind_of_form(weights, tmp_path):
    form, path = cubic_form(bound=3.0)[0], tmp_path / "model.safetensors"
    form.save(path)
    again = PolynomialForm.load(path, GENES)
    for name in PolynomialForm.ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(form, name))
    with pytest.raises(InputError, match="does not hold a fitted model"):
        BilinearForm.load(path)
    with pytest.raises(InputError, match="fitted to other genes"):
        PolynomialForm.load(path, GENES[::-1])
    with pytest.raises(InputError, match="the model was fitted to other genes"):
        form.predict(np.zeros((1, 40)), GENES[::-1])
    form.cubic = form.cubic[:1]
    form.save(path)
    with pytest.raises(InputError, match="do not fit each other"):
        PolynomialForm.load(path)
