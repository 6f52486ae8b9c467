import numpy as np
import pytest
from scipy import sparse

from scripts.figures.reading import cell_waterfall
from scripts.findings.reading import about_cell
from scripts.models.form import BilinearForm
from scripts.reading.cells import explain_cell

GENES = [f"<g{i}>" for i in range(40)]


@pytest.fixture
def form(weights):
    random = np.random.default_rng(1)
    return BilinearForm.from_factors(
        *weights, a=random.normal(size=6), b=random.normal(size=6), c=random.normal(size=3), genes=GENES
    )


def test_contributions_add_up_to_the_prediction(form):
    X = np.random.default_rng(2).normal(size=(4, 40))
    for n_modules, n_genes in [(0, 0), (3, 5), (50, 50)]:
        for x, expected in zip(X, form.predict(X), strict=True):
            table = explain_cell(form, x, n_modules, n_genes)
            np.testing.assert_allclose(table.groupby("frequency")["contribution"].sum(), expected, rtol=1e-5)


def test_named_genes_are_the_largest_main_effects(form):
    x = np.random.default_rng(2).normal(size=40)
    table = explain_cell(form, x, n_modules=2, n_genes=3)
    of_1 = table[(table["frequency"] == 1) & (table["kind"] == "main effects")]
    effects = form.main[1] * x
    order = np.argsort(-np.abs(effects))
    assert of_1["part"].tolist() == [GENES[i] for i in order[:3]] + ["other genes"]
    np.testing.assert_allclose(of_1["contribution"], [*effects[order[:3]], effects[order[3:]].sum()])
    assert table[table["kind"] == "modules"]["part"].unique().tolist() == ["module 1", "module 2", "other modules"]


def test_products_are_terms_beside_the_modules_of_the_rest(form):
    x = np.random.default_rng(2).normal(size=40)
    weights = np.array([[2.0, 0.0, -5.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    whole = form.with_products(np.array([[3, 8], [1, 2], [0, 39]]), weights)
    table, without = explain_cell(whole, x, n_genes=1), explain_cell(form, x, n_genes=1)
    np.testing.assert_allclose(table.groupby("frequency")["contribution"].sum(), whole.predict(x[None])[0])
    rest = table[table["kind"] != "products"].reset_index(drop=True)
    assert rest.drop(columns="contribution").equals(without.drop(columns="contribution"))
    np.testing.assert_allclose(rest["contribution"], without["contribution"], rtol=1e-6)
    terms = {"<g3> x <g8>": 2 * x[3] * x[8], "<g0> x <g39>": -5 * x[0] * x[39]}
    first = max(terms, key=lambda name: abs(terms[name]))
    products = table[table["kind"] == "products"]
    assert products["part"].tolist() == [first, "other products", "<g1> x <g2>"]
    np.testing.assert_allclose(
        products["contribution"], [terms[first], sum(terms.values()) - terms[first], x[1] * x[2]]
    )
    said = about_cell(table, "c1")
    assert f"+ products {sum(terms.values()):.4g}." in said[0] and "products" not in said[1]
    assert "&lt;g3&gt; x &lt;g8&gt;" in "".join(cell_waterfall(explain_cell(whole, x), "c1").data[0].y)


def test_paul15_cell_adds_up(paul15):
    from scripts.models.ridge import BilinearRidge

    adata, train, val, test = paul15
    model = BilinearRidge()
    model.fit(train, val)
    X = test.arrays()[0]
    table = explain_cell(model.form(list(adata.var_names)), X[0])
    np.testing.assert_allclose(table.groupby("frequency")["contribution"].sum(), model.predict(X[:1])[0], atol=1e-5)


def test_a_sparse_row_is_a_cell_and_a_wrong_one_is_named(form):
    x = np.arange(40) % 3
    np.testing.assert_allclose(
        explain_cell(form, sparse.csr_array(x[None]))["contribution"], explain_cell(form, x)["contribution"]
    )
    with pytest.raises(ValueError, match="39 values, the model 40 genes"):
        explain_cell(form, x[1:])


def test_figure_and_sentences_show_the_sum(form):
    table = explain_cell(form, np.ones(40))
    figure = cell_waterfall(table, "<cell>")
    assert len(figure.data) == 3 and "&lt;cell&gt;" in figure.layout.title.text
    total = table.loc[table["frequency"] == 0, "contribution"].sum()
    assert figure.data[0].x[-1] == pytest.approx(total)
    assert "&lt;g" in figure.data[0].y[1]
    assert f"predicted {total:.4g}" in about_cell(table, "c1")[0]
