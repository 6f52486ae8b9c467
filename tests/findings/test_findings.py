import numpy as np
import pandas as pd

from scripts import findings, graph


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
    assert len(sentences) == 1 and sentences[0].startswith("Frequency 0 runs from a to b")


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
    stability = pd.DataFrame({"module": [1], "stability": [0.5]})
    table["protocol"] = "frequencies from all cells"
    assert findings.figures_of_models(table, stability)["held-out R², bilinear"] == "not judged"
    assert findings.about_inductive(3, 3) == [] and "1 can be used" in findings.about_inductive(1, 3)[0]
    panels = pd.DataFrame({"method": ["bilinear panel", "correlation"], "n_genes": 25, "r2": np.nan, "split": 0})
    assert "No split can judge" in findings.about_panels(panels.assign(frequency=0), 25)[0]


def test_the_least_stable_frequency_is_named():
    table = pd.DataFrame({"frequency": [0, 1], "first_module_jaccard": [0.8, 0.4]})
    (sentence,) = findings.about_stability(table)
    assert "0.60" in sentence and "least for frequency 1 (0.40)" in sentence
    table["first_module_jaccard"] = [0.7, np.nan]
    assert "0.70" in findings.about_stability(table)[0]
    assert "no modules" in findings.about_stability(table.iloc[1:])[0]


def test_untrusted_modules_are_not_praised():
    table = pd.DataFrame(
        {
            "frequency": [0, 0, 1, 1, 2, 2],
            "module": [1, 2] * 3,
            "needed": [True, True, False, False, True, False],
            "trusted": [True, False, False, False, False, False],
            "judged": True,
        }
    )
    (unjudged,) = findings.about_trusted(table[table["frequency"] == 1].assign(judged=False))
    assert "cannot say which modules" in unjudged and "main effects" not in unjudged
    first, second, third = findings.about_trusted(table)
    assert "module 1 can be trusted" in first and "prediction needs 2" in first
    assert "main effects alone predict as well" in second and "none comes back" in third


def test_enrichment_is_told_beside_the_rival():
    summary = pd.DataFrame(
        {
            "frequency": [0, 0],
            "pole": ["positive", "negative"],
            "significant_terms": [2, 0],
            "top_term": ["heme", ""],
            "top_adjusted_p": [0.01, np.nan],
        }
    )
    rival = summary.assign(significant_terms=[1, 1])
    sentences = findings.about_enrichment(summary, rival, 0.05)
    assert "1 of 2 module poles" in sentences[0] and "fewer than" in sentences[0] and "(2 of 2)" in sentences[0]
    assert len(sentences) == 2 and "heme" in sentences[1]


def test_comparison_counts_what_exceeds_chance():
    table = pd.DataFrame({"best_jaccard": [0.1, 0.3], "expected_jaccard": [0.01, 0.01], "p_value": [0.2, 0.001]})
    sentence = findings.about_comparison(table)[0]
    assert "0.200" in sentence and "0.100 to 0.300" in sentence and "1 of 2" in sentence
