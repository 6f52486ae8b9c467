import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

from scripts import figures
from scripts.errors import UNPRINTABLE, printable
from scripts.figures import layout, style
from scripts.figures.style import safe
from scripts.report import pages
from tests.chain_runs import HOSTILE

EVIL = "<script>alert('x')</script>"


LISTS = [(0, "module 1", "positive"), (0, "module 1", "negative")]


def terms(rows):
    """A table as from enrichment.fold; rows : (term, pole, adjusted p)."""
    table = pd.DataFrame(rows, columns=["term", "pole", "adjusted_p"])
    return table.assign(frequency=0, source="module 1", library="sets", overlap=3, set_size=9, finding=table["term"])


def text_of(figure):
    return json.dumps(figure.to_dict(), default=lambda value: np.asarray(value).tolist())


def test_frequencies_are_centred_at_0_with_lambda_in_the_title():
    random = np.random.default_rng(0)
    figure = figures.frequency_scatter(random.normal(size=(100, 2)), random.normal(size=(100, 5)), np.arange(5) + 0.5)
    assert [note.text for note in figure.layout.annotations] == [f"Frequency {f} (λ={f}.5000)" for f in range(5)]
    assert figure.layout.coloraxis.cmid == 0 and -figure.layout.coloraxis.cmin == figure.layout.coloraxis.cmax
    assert len(figure.data) == 5 and figure.data[0].type == "scatter"


def test_many_cells_are_drawn_with_webgl():
    xy = np.random.default_rng(0).normal(size=(10_001, 2))
    assert figures.frequency_scatter(xy, xy[:, :1], np.ones(1)).data[0].type == "scattergl"
    assert figures.label_scatter(xy, pd.Series(["a"] * len(xy)), "cells").data[0].type == "scattergl"


def test_a_map_offers_types_and_numbers_in_per_cent_of_their_full_colour():
    xy, types = np.random.default_rng(0).normal(size=(4, 2)), pd.Series([EVIL, "b", np.nan, "b"], dtype=object)
    numbers = {"Frequency": {"v": np.array([-2e-3, 0, 1e-3, 2e-3])}, "Gene": {EVIL: np.array([0, 0.5, np.nan, 1])}}
    figure = figures.cell_map({"ours": xy, "own": -xy}, {"Type": {"kind": types}, **numbers}, types, {"Gene": "counts"})
    by_type, v, gene = figure.layout.meta["choices"]
    named = [safe(EVIL), "b", "not labelled", "b"]
    assert list(figure.data[0].text) == [f"cell {cell}<br>{name}" for cell, name in enumerate(named)]
    assert {note.text for note in figure.layout.annotations} == {safe(EVIL), "b"}
    assert [layout["name"] for layout in figure.layout.meta["layouts"]] == ["ours", "own"]
    of_b = [next(note for note in notes if note["text"] == "b") for notes in by_type["annotations"]]
    assert (of_b[0]["x"], of_b[0]["y"]) in [tuple(np.float32(xy[1])), tuple(np.float32(xy[3]))]
    assert of_b[1]["x"] < 0 < of_b[0]["x"] or of_b[0]["x"] < 0 < of_b[1]["x"]
    assert by_type["marker"]["color"][1] == by_type["marker"]["color"][3] != by_type["marker"]["color"][0]
    assert (list(v["marker"]["color"]), v["marker"]["cmid"]) == ([-100, 0, 50, 100], 0)
    assert list(gene["marker"]["color"]) == [0, 51, 0, 100] and "cmid" not in gene["marker"]
    assert v["full"] == pytest.approx(2e-3) and gene["marker"]["colorbar"]["ticktext"][-1].startswith("≥ 0.9")
    assert "counts" in gene["hovertemplate"] and "<script>" not in gene["hovertemplate"]
    assert gene["name"] == EVIL  # which the page's script writes as text


def test_types_lie_along_a_frequency_by_their_median():
    labels = pd.Series(["high", EVIL, EVIL, "high", np.nan], dtype=object)
    figure = figures.frequency_boxes(np.array([4, -1, -3, 2, 9.0]), labels, EVIL)
    assert [box.y[0] for box in figure.data] == [f"{safe(EVIL)} (2)", "high (2)"]
    assert [box.median[0] for box in figure.data] == pytest.approx([-200 / 9, 300 / 9])
    assert "<script>" not in text_of(figure)
    assert figures.frequency_boxes(np.ones(2), pd.Series([np.nan, np.nan], dtype=object), "") is None


def test_pairs_of_genes_are_drawn_by_name():
    x = np.arange(5.0)
    figure = figures.pair_scatter({(EVIL, "b"): (x, -x)}, x - 2, EVIL)
    assert list(figure.data[0].y) == list(-x) and "<script>" not in text_of(figure)
    assert figure.layout.xaxis.title.text == safe(EVIL) and figures.pair_scatter({}, x, "") is None


@pytest.mark.parametrize("kind", ["labels", "counts", "poles", "heatmap", "dots"])
def test_names_from_data_are_escaped(kind):
    xy = np.zeros((3, 2))
    labels = pd.Series([EVIL, "b", "b"])
    if kind == "labels":
        figure = figures.label_scatter(xy, labels, EVIL)
    elif kind == "counts":
        figure = figures.label_counts(labels, EVIL)
    elif kind == "poles":
        figure = figures.pole_bars(pole_of(EVIL), np.ones(1))
    else:
        draw = {"heatmap": figures.enrichment_heatmap, "dots": figures.term_dots}[kind]
        figure = draw(terms([(EVIL, "positive", 0.01)]), LISTS)
    assert "<script>" not in text_of(figure)
    assert "&lt;script&gt;" in text_of(figure)


@pytest.mark.parametrize(
    "name", [*HOSTILE.values(), "a\x00b", "a<br>b", "<a href='https://a.example'>a</a>", "&lt;&#36;"]
)
def test_names_in_figures_are_text(name):
    """Nothing is left for plotly to read as HTML, TeX or a template; its own reading gives the name back."""
    shown = safe(name)
    assert not re.search(r"[<>$]|%{|&(?!(amp|lt|gt|#36|#123);)", shown) and not UNPRINTABLE.search(shown)
    assert unescape(shown) == printable(name)


def test_names_that_are_numbers_stay_names():
    bars = figures.label_counts(pd.Series(["2", "10", "10"]), "clusters")
    assert bars.layout.yaxis.type == "category" and list(bars.data[0].y) == ["10", "2"]
    assert figures.pole_bars(pole_of("-1"), np.ones(1)).layout.yaxis.type == "category"


def pole_of(gene, **others):
    row = {"frequency": 0, "module": 1, "pole": "positive", "rank": 1, "gene": gene, "pattern": 0.5}
    return pd.DataFrame([row | {"stability": 0.7, "stability_anew": 0.6, "repeats": None} | others])


def test_titles_of_first_modules_say_how_stable_they_are_and_whose_axis_they_have():
    (title,) = figures.pole_bars(pole_of("a", stability_anew=np.nan, repeats="f0_m2"), np.ones(1)).layout.annotations
    assert title.text == "Frequency 0 (λ=1.0000)<br>stability 0.70, anew unknown, as f0_m2"
    scores = np.arange(3.0)[:, None]
    (title,) = figures.score_scatter(np.zeros((3, 2)), scores, np.ones(1), pole_of("a")).layout.annotations
    assert title.text.endswith("<br>stability 0.70, anew 0.60")


def test_clusters_sort_by_their_number():
    labels = pd.Series(["10GMP", "2Ery", "Mk"])
    names = [trace.name for trace in figures.label_scatter(np.zeros((3, 2)), labels, "cells").data]
    assert names == ["2Ery", "10GMP", "Mk"]


def test_cells_without_a_label_are_drawn_last_and_named():
    labels = pd.Series(pd.Categorical(["b", None, "a", None, None]))
    figure = figures.label_scatter(np.arange(10.0).reshape(5, 2), labels, "cells")
    assert [trace.name for trace in figure.data] == ["a", "b", "not labelled"]
    assert [len(trace.x) for trace in figure.data] == [1, 1, 3]
    assert [note.text for note in figure.layout.annotations] == ["a", "b"]
    bars = figures.label_counts(labels, "cells").data[0]
    assert dict(zip(bars.y, bars.x, strict=True)) == {"not labelled": 3, "a": 1, "b": 1}


def test_without_any_label_nothing_is_drawn():
    labels = pd.Series(pd.Categorical([None] * 5, []), name="")
    assert figures.label_scatter(np.zeros((5, 2)), labels, "cells") is figures.label_counts(labels, "cells") is None


def test_numbers_are_drawn_on_a_scale():
    numbers = pd.Series([0.5, np.nan, 2.5, 1.5], name="depth")
    coloured, rest = figures.label_scatter(np.zeros((4, 2)), numbers, "cells").data
    assert list(coloured.marker.color) == [0.5, 2.5, 1.5] and rest.name == "not labelled" and len(rest.x) == 1
    assert list(figures.label_counts(numbers, "cells").data[0].x) == [0.5, 2.5, 1.5]


def test_of_very_many_labels_the_rest_is_drawn_as_one():
    labels = pd.Series([f"clone {cell // 2}" for cell in range(300)] + ["clone 7"])
    figure = figures.label_scatter(np.zeros((301, 2)), labels, "cells")
    assert len(figure.data) == 101 and figure.data[-1].name == "50 more labels" and len(figure.data[-1].x) == 100
    bars = figures.label_counts(labels, "cells").data[0]
    assert len(bars.y) == 101 and dict(zip(bars.y, bars.x, strict=True))["clone 7"] == 3


def test_heatmap_shows_minus_log10_keeps_empty_lists_and_clusters_its_rows():
    table = terms([("a", "positive", 0.01), ("b", "positive", 1.0)])
    figure = figures.enrichment_heatmap(table, LISTS)
    np.testing.assert_allclose(figure.data[0].z, [[2, 0], [0, 0]])
    assert list(figure.data[0].x) == ["f0 module 1 +", "f0 module 1 −"]
    alike = [("a", "positive", 1e-5), ("b", "negative", 1e-5), ("c", "positive", 1e-4), ("d", "negative", 1e-4)]
    rows = figures.enrichment_heatmap(terms(alike), LISTS).layout.yaxis.ticktext
    assert {frozenset(rows[:2]), frozenset(rows[2:])} == {frozenset("ac"), frozenset("bd")}


def test_dots_show_overlap_and_significance_of_terms_that_are_not_folded():
    table = terms([("a", "positive", 0.01), ("b", "positive", 0.02), ("c", "negative", 1e-20)])
    table.loc[1, "finding"] = "a"
    dots = figures.term_dots(table, LISTS).data[0]
    np.testing.assert_allclose(dots.marker.color, [2, 20])
    assert dots.marker.cmax == figures.enrichment.SURE < 20  # coloured as all that is sure, told as it is
    np.testing.assert_array_equal(dots.marker.size, [3, 3])
    assert list(figures.term_dots(table, LISTS[:1]).layout.yaxis.ticktext) == ["a"]


@pytest.mark.parametrize("draw", [figures.enrichment_heatmap, figures.term_dots])
def test_figures_without_any_term_say_so(draw):
    assert "No gene set" in text_of(draw(terms([]), LISTS))
    assert "No gene set" in text_of(draw(terms([]), []))


def test_the_other_figures_hold_their_data():
    history = pd.DataFrame({"epoch": [0, 1], "train_loss": [0.2, 0.1], "val_loss": [0.3, 0.2]})
    assert [trace.name for trace in figures.loss_curves(history).data] == ["Train", "Validation"]
    y = np.random.default_rng(0).normal(size=(20, 4))
    assert len(figures.predicted_against_true(y, y, np.ones(4)).data) == 8
    assert len(figures.eigenvalue_spectrum(np.ones((3, 12))).data) == 3
    np.testing.assert_array_equal(figures.spectrum(np.array([0.1, 0.2])).data[0].y, [0.1, 0.2])
    comparison = pd.DataFrame(
        {
            "lambda": [0.1, 0.2],
            "best_jaccard": [0.2, 0.3],
            "jaccard_positive": [0.2, 0.1],
            "jaccard_negative": [0.1, 0.3],
            "expected_jaccard": [0.01, 0.01],
        }
    )
    assert len(figures.jaccard_by_frequency(comparison).data) == 4


def test_covariates_stand_beside_expression_and_half_of_it():
    rows = [(0, "expression", "bilinear", 0.8), (0, "expression", "linear ridge", 0.6), (0, "batch", EVIL, 0.5)]
    table = pd.DataFrame(rows, columns=["frequency", "kind", "covariate", "r2"])
    best, half, batch = figures.covariate_dots(table).data
    assert (best.y[0], half.y[0], batch.y[0]) == pytest.approx((0.8, 0.4, 0.5))
    assert batch.name == safe(EVIL) != EVIL and list(best.x) == list(batch.x)


def test_scales_are_drawn_with_the_worst_time_and_the_floor_where_it_is_known():
    table = pd.DataFrame({"frequency": [0, 1], "canonical_correlations": ["0.99", "0.99 0.50"]})
    for name in ("alone", "together"):
        table[name], table[f"{name}_lowest"] = [0.99, 0.5], [0.9, 0.1]
    table["structureless_together"] = table["structureless_lowest"] = np.nan
    figure = figures.scale_lines(table)
    assert len(figure.data) == 2
    np.testing.assert_allclose(figure.data[0].error_y.arrayminus, [0.09, 0.4])
    assert len(figures.scale_lines(table.fillna(0.2)).data) == 3
    assert figures.scale_lines(table.iloc[:0]) is None


def test_each_cell_is_drawn_at_the_branch_that_it_is_furthest_out_on():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"branch": [0, 1], "name": [EVIL, "no label stands out"]})
    xy, coordinates = random.normal(size=(30, 2)), random.normal(size=(30, 2))
    figure = figures.branch_scatter(xy, coordinates, table)
    drawn = {trace.name: sorted(trace.x) for trace in figure.data}
    first = coordinates[:, 0] > coordinates[:, 1]
    expected = {f"0: {safe(EVIL)}": sorted(xy[first, 0]), "branch 1": sorted(xy[~first, 0])}
    assert drawn == expected
    assert figures.branch_scatter(random.normal(size=(30, 2)), None, table.iloc[:0]) is None


def luminance(colour):
    """Relative luminance of "#rrggbb", as WCAG 2.2 defines it."""
    shares = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


def test_colours_stand_out_on_light_and_dark_pages():
    grounds = set(re.findall(r"--paper: (#\w{6})", pages.STYLE))
    assert len(grounds) == 2
    for ground in map(luminance, grounds):
        for colour in [*style.COLOURS, style.GREY, style.HIGH, style.LOW]:
            high, low = max(luminance(colour), ground), min(luminance(colour), ground)
            assert (high + 0.05) / (low + 0.05) >= 3, colour


def test_text_on_a_colour_can_be_read():
    assert style.ink_on(style.PALE) == "#000000" and style.ink_on("#0000aa") == "#ffffff"
    for colour in [*style.COLOURS, style.PALE]:
        low, high = sorted([luminance(colour), luminance(style.ink_on(colour))])
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour


def test_a_frequency_has_one_colour_in_all_figures():
    rows = pd.DataFrame({"method": "m", "frequency": [3, 1], "r2": [0.1, 0.2], "n_modules": 1, "test_r2": 0.5})
    rows = rows.assign(model="m", split=0, gene="a", correlation=0.5, ci_low=0.4, ci_high=0.6)
    drawn = [
        figures.method_dots(rows, "r2", "", ""),
        figures.truncation_curves(rows),
        figures.performance_dots(rows, pd.DataFrame({"model": [], "structureless_r2": [], "other_half_r2": []})),
        figures.driver_intervals(rows),
    ]
    for figure in drawn:
        found = {
            trace.name: trace.marker.color or trace.line.color for trace in figure.data if "frequency" in trace.name
        }
        assert found == {f"frequency {f}": style.COLOURS[f] for f in (1, 3)}


def test_ends_of_a_frequency_stand_apart_by_colour_and_symbol_with_their_intervals():
    columns = {"gene": ["a", "b<"], "difference": [2.0, 1.5], "ci_low": [1.8, 1.1], "ci_high": [2.3, 1.7]}
    rows = pd.DataFrame(columns)
    high, low = figures.end_intervals({"high": rows, "low": rows[:1]}).data
    assert (high.name, low.name) == ("high end", "low end") and high.marker.color != low.marker.color
    assert high.marker.symbol != low.marker.symbol and list(high.y) == ["a (high)", "b&lt; (high)"]
    np.testing.assert_allclose(high.x + high.error_x.array, columns["ci_high"])
    np.testing.assert_allclose(high.x - high.error_x.arrayminus, columns["ci_low"])
    assert len(figures.end_intervals({"high": rows[:0], "low": rows}).data) == 1
    assert figures.end_intervals({"high": rows[:0], "low": rows[:0]}) is None


@pytest.mark.parametrize(("letters", "orientation"), [(5, None), (40, "h")])
def test_long_names_stand_below_the_cells_that_they_would_leave_no_room(letters, orientation):
    labels = pd.Series(["a" * letters, "b"] * 10)
    figure = figures.label_scatter(np.random.default_rng(0).normal(size=(20, 2)), labels, "")
    assert figure.layout.legend.orientation == orientation


def test_a_type_has_one_colour_whichever_cells_are_drawn():
    labels = pd.Series([f"{number}Type" for number in range(19)] * 10).astype("category")
    xy = np.random.default_rng(0).normal(size=(len(labels), 2))
    looks = {
        trace.name: (trace.marker.color, trace.marker.symbol) for trace in figures.label_scatter(xy, labels, "").data
    }
    assert len(set(looks.values())) == 19
    some = (labels.index % 19 > 4) & (labels.index % 3 > 0)
    shown = figures.cell_map({"": xy[some]}, {"Type": {"type": labels[some]}}, labels[some]).data[0].marker
    assert list(zip(shown.color, shown.symbol, strict=True)) == [looks[name] for name in labels[some]]
    boxes = figures.frequency_boxes(xy[some, 0], labels[some], "").data
    assert {box.name: box.marker.color for box in boxes} == {name: looks[name][0] for name in labels[some].unique()}


def test_names_among_the_cells_do_not_stand_on_each_other():
    random = np.random.default_rng(0)
    labels = pd.Series([f"{number}LongName" for number in range(19)] * 20)
    xy = random.normal(size=(len(labels), 2))  # all types at one place
    notes = figures.label_scatter(xy, labels, "").layout.annotations
    assert len(notes) == 19
    scale = layout.PLOT / np.ptp(xy, axis=0).max()
    moved = [(note.ax, -note.ay) if note.showarrow else (note.xshift, note.yshift) for note in notes]
    at = scale * np.array([(note.x, note.y) for note in notes]) + moved
    size = np.array([(layout.LETTER * len(note.text), layout.LINE) for note in notes])
    gap = np.abs(at[:, None] - at[None]) - (size[:, None] + size[None]) / 2
    assert (gap.max(axis=2)[~np.eye(19, dtype=bool)] > -1).all()
    assert np.abs(moved).max() < layout.PLOT / 2


def test_small_numbers_on_axes_are_powers_not_micro():
    template = figures.spectrum(np.array([1e-4, 2e-4])).layout.template.layout
    assert template.xaxis.exponentformat == template.yaxis.exponentformat == "power"


def test_a_pointer_is_told_the_cell_its_type_and_the_value():
    labels = pd.Series(["a", None], index=["AAC-1", EVIL], name="kind").astype("category")
    figure = figures.frequency_scatter(np.zeros((2, 2)), np.ones((2, 1)), np.ones(1), labels)
    assert list(figure.data[0].text) == ["cell AAC-1<br>a", f"cell {safe(EVIL)}<br>not labelled"]
    assert "%{text}" in figure.data[0].hovertemplate and "%{customdata" in figure.data[0].hovertemplate
