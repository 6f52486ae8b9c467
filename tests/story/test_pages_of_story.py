"""The index and the frequencies' pages: numbers are in a table, names stay text, and what is missing is told."""

import re
from html import unescape

import gseapy
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

from scripts import __main__, story
from scripts.errors import printable
from scripts.report import Run, chain, page_figures, pages
from scripts.story import cards
from scripts.story.frequencies import frequencies_of
from scripts.story.index import trust
from scripts.story.tables import Tables
from tests.story.runs import GENES, TYPES, filled, tables

NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The small run with its pages."""
    run = filled(tmp_path_factory.mktemp("story") / "mine")
    assert __main__.main(["pages", str(run.folder)]) == 0
    return run


def html_of(run, name):
    return run.path(name).read_text(encoding="utf-8")


def text_of(html):
    """What a reader sees of a part of a page, without its figures."""
    bare = re.sub(r"<(figure|script|style)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", bare).split()))


def part(html, begin, end):
    return html[html.index(begin) : html.index(end)]


def numbers_of(text, names):
    """Numbers of a text in which no name is left, as (value, decimals)."""
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(" ".join(printable(name).split()), " ")
    text = re.sub(r"\b\d\d_\w+", " ", text)  # notebooks
    text = re.sub(r"(frequency|Frequency|module|programs:) \d+( × \d+)?", " ", text)
    return [(float(found.replace(",", "")), len(found.partition(".")[2])) for found in NUMBER.findall(text)]


def test_every_number_of_the_index_is_in_the_table_of_the_story(run):
    html = html_of(run, "index.html")
    told = part(html, '<p class="note"', '<h2 id="trust">')
    known = run.load_table("story.csv")["value"].dropna()
    found = numbers_of(text_of(told), [*GENES, *TYPES, "Heme <b>", "Iron"])
    assert len(found) > 25
    for value, decimals in found:
        assert any(round(number, decimals) == value for number in known), value


def test_the_numbers_of_the_story_are_those_of_the_tables(run):
    table = run.load_table("story.csv")
    first = table[table["frequency"] == 0].set_index("quantity")["value"]
    made = tables()
    assert first["R2 of held-out cells, bilinear"] == 0.81 and first["R2 of held-out cells, black box"] == 0.85
    assert first["comes back, lowest canonical correlation"] == made["02_visualize"]["scales"]["together_lowest"][0]
    assert list(first["covariate, R2":"covariate, R2"]) == [0.05] and first["weight of two programs"] == 0.28
    assert table.set_index("quantity").loc["mean R2 of held-out cells, linear", "value"] == pytest.approx(0.51)


def test_the_first_line_on_the_data_is_followed_by_alerts_and_sentences(run):
    html = html_of(run, "index.html")
    order = [
        "mine: 400 cells",
        "may not be biology",
        "In short",
        "The cells",
        "Frequencies, from",
        "How far to",
        "Methods, to",
    ]
    text = text_of(html[html.index("<body>") :])
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "python -m scripts report --dataset mine.h5ad --run mine" in text
    for package, version in run.settings()["versions"].items():
        assert f"{package} {version}" in part(html, '<p class="methods">', '<ul class="cited">')


@pytest.mark.parametrize("name", ["index.html", "frequency_0.html", "frequency_1.html"])
def test_names_from_data_stay_text_and_nothing_is_asked_from_the_web(run, name):
    html = html_of(run, name)
    scripts = re.findall(r"<script([^>]*)>", html)
    assert scripts.count("") == 1 and set(scripts) <= {"", ' type="text/plain"'}
    body = html[html.index("<body>") :]
    assert not re.search(r"<(b|i|a href='|iframe|object)\b|onerror=(?!x )x|\son\w+=\"", re.sub(r"&\w+;", "", body))
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'<img[^>]*src="([^"]*)"', body))
    assert f'content="{pages.policy()}"'.replace("'", "&#39;") in html or pages.policy() in unescape(html)
    assert printable(TYPES[0]) in text_of(body) or name == "frequency_1.html"


def test_a_frequency_is_told_on_its_own_page(run):
    first, second = (text_of(html_of(run, f"frequency_{number}.html")) for number in (0, 1))
    for said in [
        *(
            "firm",
            "40 cells furthest out",
            "Heme <b>",
            "Correlation of its axis with the frequency: 0.99",
            "program 1 × program 2",
        ),
        *("R² on held-out cells: linear 0.71, bilinear 0.81, third order 0.84, black box 0.85", "correlation: R² 0.66"),
        *("k_neighbors 5 (0.91)", "too little to explain it", "called, the same sign in held-out cells", "not called"),
    ]:
        assert said in first, said
    for said in [
        "doubtful",
        "Repeats frequency 0, module 1",
        "does not tell the ends apart",
        "does not come back by itself",
    ]:
        assert said in second, said
    assert "Elsewhere" not in second  # a term of a module of another axis
    links = re.findall(r'href="([^"]*)"', html_of(run, "frequency_0.html"))
    assert {"index.html", "frequency_1.html"} <= set(links)


def test_the_response_surface_of_its_surest_programs_is_on_the_page_of_each_frequency(tmp_path):
    products = {"frequency": [0, 1], "order": 2, "programs": ["1 2", "1 2"], "weight": [0.3, -0.2], "t": [8.0, -7.0]}
    found = tables()["07_programs"] | {"program_terms": pd.DataFrame(products).assign(called=True, replicated=True)}
    run = filled(tmp_path / "mine", **{"07_programs": found})
    cells, v = Tables(run), run.load_cells().obsm["X_freq"]
    for frequency, sign in zip(frequencies_of(cells), (1, -1), strict=True):
        surface, points = cards._surface(cells, frequency).data
        grid = np.outer(surface["y"], surface["x"])
        shown = np.isfinite(surface["z"])
        assert shown.any() and not shown.all()  # where cells are
        np.testing.assert_allclose(np.asarray(surface["z"])[shown], sign * grid[shown])
        of = v[1::2, frequency.number]  # cells that the programs have not met
        np.testing.assert_allclose(
            points["marker"]["color"], (of - v[:, frequency.number].mean()) / v[:, frequency.number].std()
        )
    story.write(run)
    for number in (0, 1):
        captions = text_of_captions(html_of(run, f"frequency_{number}.html"))
        assert f"Frequency {number} over two programs" in captions


def test_no_surface_is_drawn_where_notebook_07_kept_no_programs(tmp_path):
    run = filled(tmp_path / "mine", without=["program_scores"])
    story.write(run)
    assert "over two programs" not in html_of(run, "frequency_0.html")


def text_of_captions(html):
    return unescape(" ".join(re.findall(r"<figcaption>(.*?)</figcaption>", html)))


def test_gene_lists_load_where_they_are_used(run):
    sets = gseapy.read_gmt(str(run.path("gene_lists.gmt")))
    assert [name for name in sets if "module_1_high" in name] == [
        "frequency_0_module_1_high",
        "frequency_1_module_1_high",
    ]
    assert sets["frequency_0_module_1_high"] == [printable(gene) for gene in GENES[-5:]]
    table = pd.read_csv(run.path("gene_lists.tsv"), sep="\t", keep_default_na=False)
    assert list(table["list"].unique()) == list(sets)
    marked = [gene for gene in table["gene"] if gene.startswith("'")]
    assert marked and not table["gene"].str.startswith(("=", "-", "+", "@")).any()  # csv_safe


def test_gseapy_finds_the_gene_list_that_genes_are_of(run):
    sets, genes = gseapy.read_gmt(str(run.path("gene_lists.gmt"))), [printable(gene) for gene in GENES]
    asked = sets["program_1_positive"] + sets["frequency_0_module_1_high"]
    found = gseapy.enrich(asked, gene_sets=str(run.path("gene_lists.gmt")), background=genes, outdir=None).results
    best = found.sort_values("P-value").iloc[0]
    assert best["Term"] in {"frequency_0_module_1_high", "frequency_1_module_1_high"} and best["Overlap"] == "5/5"


def test_scanpy_scores_cells_by_the_genes_of_an_end(run):
    sets, cells = gseapy.read_gmt(str(run.path("gene_lists.gmt"))), run.load_cells()
    v = cells.obsm["X_freq"][:, 0]
    cells.var_names = [printable(gene) for gene in cells.var_names]
    for side, sign in (("low", -1), ("high", 1)):
        sc.tl.score_genes(cells, sets[f"frequency_0_{side}"], score_name=side, ctrl_size=5, n_bins=2)
        at_end = np.argsort(sign * v)[-40:]
        assert cells.obs[side].iloc[at_end].median() > cells.obs[side].quantile(0.75)


def test_scores_are_those_of_the_cells(run):
    scores, cells = run.load_table("cell_scores.csv"), run.load_cells()
    assert list(scores.columns) == [
        "cell",
        "freq_0",
        "freq_1",
        *(["f0_m1_axis", "f0_m1_score", "f1_m1_axis", "f1_m1_score"]),
        *(["program_1", "program_2"]),
    ]
    assert scores["program_2"].to_numpy() == pytest.approx(run.load_table("program_scores.csv")["program_2"])
    assert scores["freq_1"].to_numpy() == pytest.approx(cells.obsm["X_freq"][:, 1])
    assert scores["f1_m1_axis"].to_numpy() == pytest.approx(cells.obsm["X_axes"][:, 1])


def test_a_run_without_tables_and_one_without_cells_have_an_index_that_says_what_to_run(tmp_path):
    every = {name for of_notebook in tables().values() for name in of_notebook}
    run = filled(tmp_path / "first", without=every)
    assert {"index.html", "frequency_0.html", "frequency_1.html"} <= set(story.write(run))
    for name in ("index.html", "frequency_0.html"):
        text = text_of(html_of(run, name))
        assert "performance.csv is missing; run 03_train.ipynb first." in text and str(tmp_path) not in text
        assert "nan" not in text.split() and "None" not in text
    run.path("cells.h5ad").unlink()
    assert set(story.write(run)) == {"index.html", "story.csv"}
    assert "cells.h5ad is missing; run 01_data.ipynb first." in text_of(html_of(run, "index.html"))


def test_cells_without_labels_and_without_a_layout_are_told_by_their_genes(tmp_path):
    run = filled(tmp_path / "mine")
    cells = run.load_cells()
    cells.uns["label"], cells.X = "", sparse.csr_matrix(cells.X)
    cells.obsm["X_umap_freq"] = np.full((cells.n_obs, 2), np.nan)
    Run(run.folder, "01_data", {"dataset": "auto", "csv_safe": True}).save(cells=cells)
    story.write(run)
    text = text_of(part(html_of(run, "index.html"), "<main id=", '<h2 id="trust">'))
    assert "The layout of the cells failed" in text and "these cells are mine" in text and "Cell types" not in text
    assert f"Frequency 0: from cells high in {GENES[0]}" in text and "nan" not in re.split(r"\W", text)
    assert "Colour by" not in text and 'class="thumbnail"' not in html_of(run, "index.html")
    assert "Frequency 0: from cells high in" in text_of(html_of(run, "frequency_0.html"))


def test_pages_of_a_former_run_are_no_files_of_the_users(tmp_path):
    chosen = chain.Plan(tmp_path / "mine", [], "")
    former = filled(chosen.former)
    former.enter_pages(story.write(former))
    former.write_text("note.txt", "of the user")
    filled(chosen.folder)
    chain._recover(chosen)
    there = {path.name for path in chosen.folder.iterdir()}
    assert "note.txt" in there and not {"frequency_1.html", "story.csv"} & there


def test_rivals_stand_beside_what_they_are_held_against():
    record = {"held-out R², bilinear": "0.87", "held-out R², linear ridge": "0.83", "held-out R², squares only": "0.85"}
    record |= {"held-out R², bilinear: of noise": "0.48"}
    record |= {"trusted modules": "7 of 25", "stability (matched, 80%)": "0.67"}
    assert trust({"key_figures": {"03_train": record, "04_interpret": {}}}) == {
        "03_train": {
            "held-out R²": "bilinear: 0.87 · linear ridge: 0.83",
            "held-out R² of noise": "bilinear: 0.48",
            "trusted modules": "7 of 25",
            "stability (matched, 80%)": "0.67",
        }
    }


def test_the_map_draws_no_more_cells_than_a_page_can_carry_and_says_so(run, monkeypatch):
    monkeypatch.setattr("scripts.story.index.MAX_ON_MAP", 50)
    story.write(run)
    assert "50 of 400 cells are drawn" in text_of(html_of(run, "index.html"))
    monkeypatch.undo()
    story.write(run)
    assert "cells are drawn" not in text_of(html_of(run, "index.html"))
    size = sum(run.path(name).stat().st_size for name in ("index.html", "frequency_0.html", "frequency_1.html"))
    assert size < 3e6 - len(page_figures.plotly_style()) / 2
