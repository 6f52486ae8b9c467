import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scripts import classes, figures, findings
from scripts.classes import ClassSettings, labelled_cells

SMALL = ClassSettings(class_components=8, class_products=16, class_epochs=150, class_splits=2)


def of_types(n_cells=240, seed=0, **obs):
    """Cells of types a, b, c, each with three genes of its own, and a rare type; some cells have no label."""
    random = np.random.default_rng(seed)
    kind = np.arange(n_cells) % 3
    X = random.normal(size=(n_cells, 20)).astype(np.float32)
    for k in range(3):
        X[kind == k, 3 * k : 3 * k + 3] += 3
    names = np.array(["a", "b", "c"], dtype=object)[kind]
    names[:4], names[4:10] = "rare", np.nan
    table = pd.DataFrame({"type": pd.Categorical(names), **obs}, index=[f"c{i}" for i in range(n_cells)])
    adata = ad.AnnData(X, table, pd.DataFrame(index=[f"g{i}" for i in range(20)]))
    adata.uns |= {"label": "type", "dataset": {"batch": ""}}
    return adata


def of_pairs(n_cells=600, seed=0):
    """Cells of two types that are told by the sign of a product of two genes."""
    adata = of_types(n_cells, seed)
    X = np.random.default_rng(seed + 1).normal(size=(n_cells, 20)).astype(np.float32)
    X[:, 2:] *= 0.3
    adata.X = X
    adata.obs["type"] = pd.Categorical(np.where(X[:, 0] * X[:, 1] > 0, "same", "other"))
    return adata


@pytest.fixture(scope="module")
def judged():
    cells = labelled_cells(of_types())
    return cells, *classes.performance_of_classes(cells, SMALL)


def test_cells_without_a_label_and_rare_classes_are_left_out_and_named():
    cells = labelled_cells(of_types())
    assert list(cells.names) == ["a", "b", "c"] and len(cells.labels) == 230
    assert cells.n_unlabelled == 6 and cells.left_out == {"rare": 4}
    said = " ".join(findings.about_class_cells(cells))
    assert "230 cells are of 3 classes of obs['type']" in said and "rare (4)" in said and "6 cells without" in said
    for train, val, test in cells.splits(3):
        assert sorted([*train, *val, *test]) == list(range(230))
        for part in (train, val, test):
            shares = pd.Series(cells.labels[part]).value_counts(normalize=True)
            assert len(shares) == 3 and shares.between(0.3, 0.37).all()


def test_another_column_can_hold_the_classes():
    halves = pd.Categorical(np.where(np.arange(240) % 2, "odd", "even"))
    assert list(labelled_cells(of_types(half=halves), "half").names) == ["even", "odd"]
    with pytest.raises(ValueError, match="no column 'kind' in obs for the classes: it has type"):
        labelled_cells(of_types(), "kind")


@pytest.mark.parametrize("what", ["no label", "numbers", "one class"])
def test_where_there_are_no_classes_one_sentence_says_so_and_nothing_else_is_shown(what):
    adata = of_types(value=np.random.default_rng(0).random(240), one="x")
    if what == "no label":
        adata.uns["label"] = ""
    cells = labelled_cells(adata, {"no label": "", "numbers": "value", "one class": "one"}[what])
    table, model = classes.performance_of_classes(cells, SMALL)
    counts = classes.confusion(table)
    pair = classes.most_confused(counts)
    accuracy, modules = classes.summary(table), classes.class_modules(model, cells.genes, pair)
    assert table.empty and counts.empty and accuracy.empty and modules.empty and model is None and pair is None
    assert figures.accuracy_dots(accuracy) is None and figures.confusion_cells(counts) is None
    assert findings.about_classes(table) == findings.about_confusion(counts, pair) == []
    assert findings.figures_of_classes(table) == {} and len(findings.about_class_cells(cells)) == 1


def test_whole_donors_are_held_out():
    adata = of_types(donor=pd.Categorical(np.arange(240) // 60))
    adata.uns["dataset"]["batch"] = "donor"
    cells = labelled_cells(adata)
    for _, _, test in cells.splits(3):
        held_out = set(cells.donors[test])
        assert (np.isin(cells.donors, list(held_out)) == np.isin(np.arange(230), test)).all()


def test_classes_that_are_those_of_single_donors_are_not_judged_and_a_sentence_says_so():
    donor = pd.Categorical(np.arange(240) // 60)
    adata = of_types(donor=donor, condition=donor)
    adata.uns["dataset"]["batch"] = "donor"
    cells = labelled_cells(adata, "condition")
    table, model = classes.performance_of_classes(cells, SMALL)
    assert table.empty and model is None and "others lack some class" in findings.about_class_cells(cells)[-1]


def test_every_method_is_judged_on_the_same_cells(judged):
    cells, table, model = judged
    totals = table.groupby(["method", "split", "true_class"])["n_cells"].sum().unstack("method")
    assert totals.shape[1] == 5 and totals.nunique(axis=1).eq(1).all() and table["split"].nunique() == 2
    accuracy = classes.summary(table)
    assert accuracy.loc[classes.COMMONEST, "balanced_accuracy"] == pytest.approx(1 / 3)
    assert (accuracy.drop(index=classes.COMMONEST)["accuracy"] > 0.9).all()
    again, _ = classes.performance_of_classes(cells, SMALL)
    pd.testing.assert_frame_equal(again, table)
    sure = findings.about_classes(table)[0]
    assert f"tells {accuracy.loc[classes.BILINEAR, 'accuracy']:.1%} of the held-out cells right" in sure


def test_classes_that_only_pairs_tell_apart_are_beyond_logistic_regression():
    settings = ClassSettings(20, 16, 300, class_splits=2)
    accuracy = classes.summary(classes.performance_of_classes(labelled_cells(of_pairs()), settings)[0])["accuracy"]
    chance = accuracy[classes.COMMONEST]
    assert max(accuracy[classes.LINEAR], accuracy[classes.LINEAR_OF_ALL]) < chance + 0.12
    assert accuracy[classes.BILINEAR] > chance + 0.25


def test_sparse_cells_are_told_apart_as_dense_ones(judged):
    adata = of_types()
    adata.X = sparse.csr_matrix(adata.X)
    table, _ = classes.performance_of_classes(labelled_cells(adata), SMALL)
    dense = classes.summary(judged[1])["accuracy"]
    np.testing.assert_allclose(classes.summary(table)["accuracy"][dense.index], dense, atol=0.03)


def test_genes_of_a_class_speak_for_it(judged):
    cells, _, model = judged
    modules = classes.class_modules(model, cells.genes, ("a", "b"), n_modules=2, n_genes=3)
    assert modules["direction"].drop_duplicates().tolist() == ["a", "b", "c", "a - b"]
    assert set(modules["source"]) == {"main effects", "module 1", "module 2"}
    own = modules[(modules["source"] == "main effects") & (modules["pole"] == "positive")]
    for k, name in enumerate("abc"):
        assert len({f"g{3 * k + i}" for i in range(3)} & set(own.loc[own["direction"] == name, "gene"])) >= 2
    contrast = modules[(modules["direction"] == "a - b") & (modules["source"] == "main effects")]
    negative = contrast.loc[contrast["pole"] == "negative", "gene"]
    assert len({"g3", "g4", "g5"} & set(negative)) >= 2


def test_confusion_names_the_two_classes_that_are_mistaken_for_each_other():
    rows = [("a", "a", 8), ("a", "b", 2), ("b", "b", 7), ("b", "a", 3), ("c", "c", 9), ("c", "a", 1)]
    table = pd.DataFrame(
        [(0, classes.BILINEAR, *row) for row in rows],
        columns=["split", "method", "true_class", "predicted_class", "n_cells"],
    )
    counts = classes.confusion(table)
    assert counts.loc["b", "a"] == 3 and counts.loc["a", "c"] == 0 and counts.to_numpy().sum() == 30
    pair = classes.most_confused(counts)
    assert pair == ("a", "b")
    said = " ".join(findings.about_confusion(counts, pair))
    assert "best" not in said and "c (90%)" in said and "b (70%)" in said and "2 of 10 held-out cells of a" in said
    assert classes.summary(table).loc[classes.BILINEAR, "accuracy"] == pytest.approx(0.8)
    certain = table[table["true_class"] == table["predicted_class"]]
    assert classes.most_confused(classes.confusion(certain)) is None
    shares = figures.confusion_cells(counts).data[0].z
    np.testing.assert_allclose(shares, [[0.8, 0.2, 0], [0.3, 0.7, 0], [0.1, 0, 0.9]])


def test_lists_of_genes_have_a_row_for_each_direction_and_source(judged):
    cells, _, model = judged
    modules = classes.class_modules(model, cells.genes, ("a", "b"), n_modules=1, n_genes=3)
    lists = classes.gene_lists(modules, 2)
    assert lists.shape == (8, 3) and list(lists.columns) == ["eigenvalue", "positive", "negative"]
    assert lists.index[0] == ("a", "main effects") and lists.index[-1] == ("a - b", "module 1")
    first = modules[(modules["source"] == "main effects") & (modules["pole"] == "positive")].head(2)["gene"]
    assert lists.loc[("a", "main effects"), "positive"] == ", ".join(first)
    assert classes.gene_lists(modules[:0], 2).empty


def test_of_many_cells_a_sample_is_taken():
    cells = labelled_cells(of_types(), max_cells=60)
    assert len(cells.labels) + sum(cells.left_out.values()) == 60
    assert cells.n_unlabelled == 6 and cells.n_not_drawn == 174
    assert "174 more with a label were not drawn" in findings.about_class_cells(cells)[1]
