"""Sentences and tables on a page: names from data stay the text that they are."""

import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from scripts import findings
from scripts.errors import one_line, printable
from scripts.report import pages
from tests.chain_runs import HOSTILE, ROOT

MARKDOWN = {
    "emphasis": ["*a*", "**a**", "_a_", "__a__", "___", "***", "*", "a * b * c", "~~a~~"],
    "links": ["[x](javascript:alert(1))", "[x](https://a.example)", "![p](x.png)", "[a]: https://a.example", "[^1]"],
    "addresses": ["https://a.example", "<https://a.example>", "www.a.example", "a@b.example"],
    "code": ["`a`", "```\na\n```", "    a", "\ta", "$x$", "$$x$$"],
    "blocks": ["# h", "a\n\n# h", "> q", "- a", "+ a", "1. a", "1) a", "---", "=", "| a | b |\n|---|---|\n| c | d |"],
    "HTML": ["<b>a</b>", "<img src=x onerror=alert(1)>", "<!-- a -->", "&lt;b&gt; &amp; &#36;", "<a href='https://a'>"],
    "escapes": ["\\*a\\*", "a\\", "\\", "a  \nb", "a\\\nb"],
    "genes": ["MT_", "_Gapdh", "HLA_DRB1", "-1", "+x", "@x", "H2-K1", "Nkx2.1", "a|b", "A~B", "NA"],
}


NAMES = [*sum(MARKDOWN.values(), []), *HOSTILE.values()]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sentence", ["{}", "{}, {}.", "Frequency 0 runs from {} to {}: 50% of its variance."])
def test_names_in_sentences_are_text(sentence, name):
    sentence = sentence.format(name, name)
    html = pages._exporter().filters["markdown_from_data"](findings.bullets([sentence, "next"]))
    shown = re.fullmatch(r"<ul>\n<li>([^<]*)</li>\n<li>next</li>\n</ul>\n", html)
    assert shown and " ".join(unescape(shown[1]).split()) == " ".join(one_line(sentence).split())


def test_sentences_say_what_they_said_before():
    plain = "Frequency 0: 3 of 5 pairs (p = 0.05, 95% interval -1.2 to 3.4; R² 0.9 ± 0.1), module 1's Mt_a x b."
    assert findings.bullets([plain]) == f"- {plain}"


class Table(HTMLParser):
    """Texts of the cells of a page's tables, and all its tags."""

    def __init__(self, html):
        super().__init__()
        self.cells, self.tags, self.is_cell = [], set(), False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.is_cell = tag in ("td", "th")
        self.cells += [""] if self.is_cell else []

    def handle_endtag(self, tag):
        self.is_cell = False

    def handle_data(self, data):
        if self.is_cell:
            self.cells[-1] += data


ON_A_LINE = [name for name in NAMES if name == " ".join(name.split())]  # pandas shows breaks in its own way


@pytest.mark.parametrize("name", ON_A_LINE)
def test_names_in_tables_are_text(name):
    """As values, columns and row names, on a page as the notebook shows them."""
    index = pd.Index([name, "b"], name=f"i {name}")
    html = findings.table(pd.DataFrame({name: [1.0, -2.0], "gene": [name, "a"]}, index=index)).data
    assert "mathjax_ignore" in html
    output = new_output("display_data", data={"text/html": html})
    page = {
        "title": name,
        "data": name,
        "settings": {name: {name: name}},
        "previous": None,
        "next": None,
        "alert": name,
    }
    found = Table(pages.page_html(new_notebook(cells=[new_code_cell("1", outputs=[output])]), page))
    name = printable(name)
    # in the row, the column, the value and the setting's two
    assert f"i {name}" in found.cells and found.cells.count(name) == 5
    assert not found.tags & {"img", "b", "em"}


def cells_of(frame, **options):
    """Texts of a table, row by row, its headings first."""
    html = findings.table(frame, **options).data
    rows = re.findall("<tr.*?</tr>", html, re.DOTALL)
    return [[unescape(text) for text in re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_tables_have_words_for_true_and_false():
    frame = pd.DataFrame({"needed": [True, False], "confirmed": pd.Series([np.nan, True], dtype=object)})
    assert cells_of(frame) == [["needed", "confirmed"], ["yes", ""], ["no", "yes"]]


def test_no_p_value_is_0_and_one_of_shuffles_is_not_below_what_these_can_give():
    frame = pd.DataFrame({"p_value": [0.0, 1e-20, 0.03], "fdr": [0.0, 0.01, 0.2], "r2": [0.0, 1e-20, 0.5]})
    assert cells_of(frame, shuffles={"fdr": 99}) == [
        ["p", "FDR (99 shuffles)", "R²"],
        ["< 1e-15", "≤ 0.01", "0"],
        ["< 1e-15", "≤ 0.01", "1e-20"],
        ["0.03", "0.2", "0.5"],
    ]


@pytest.mark.parametrize("by", ["called", "trusted", "significant"])
def test_rows_that_are_sure_stand_first_and_keep_their_order(by):
    flags = [i % 3 == 0 for i in range(30)]
    shown = [int(gene) for _, gene in cells_of(pd.DataFrame({by: flags, "gene": range(30)}))[1:]]
    assert shown == [*range(0, 30, 3), *(i for i in range(30) if i % 3)]


def test_headings_are_words_with_their_meaning():
    frame = pd.DataFrame({"agreement_sd": [0.1], "r_0": [0.2], "MT_ND1": ["a"]}, index=pd.Index([3], name="n_clusters"))
    html = findings.table(frame).data
    assert '<th title="How many clusters the cells are divided into.">clusters</th>' in html
    assert re.search(r'<th title="Standard deviation\. Cosine[^"]*">agreement, SD</th>', html)
    assert re.search(r'<th title="Correlation of the program[^"]*">correlation with frequency 0</th>', html)
    assert "<th>MT_ND1</th>" in html  # names of data stay as they are


def test_headings_over_several_columns_and_numbers_of_the_index_are_words_too():
    index = pd.MultiIndex.from_tuples([(0, 0.961964123), (1, np.nan)], names=["branch", "r2"])
    columns = pd.MultiIndex.from_product([["stability_anew"], [1, 2]], names=[None, "module"])
    rows = cells_of(pd.DataFrame(np.eye(2), index=index, columns=columns))
    assert rows[0][-1] == "stability, anew" and rows[1][1:] == ["module", "1", "2"] and rows[2][:2] == ["branch", "R²"]
    assert rows[3] == ["0", "0.962", "1", "0"]


def test_every_entry_of_the_glossary_is_a_sentence_and_explains_another_column():
    lines = (ROOT / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
    entries = [line.split(" | ") for line in lines if line.startswith("| ")][1:]
    columns = [column for _, column, _ in entries]
    assert len(set(columns)) == len(columns) > 100 and all(re.fullmatch("`[^`]+`", column) for column in columns)
    for term, column, meaning in entries:
        assert findings.heading(column.strip("`")) == (term.removeprefix("| "), meaning.removesuffix(" |"))
        assert re.fullmatch(r"[A-Z].*\. \|", meaning)


def test_a_place_without_a_text_is_empty():
    wide = pd.DataFrame({"branch": [0, 0, 1], "rank": [1, 2, 1], "gene": ["a", "b", "c"]})
    assert "NaN" not in findings.table(wide.pivot(index="branch", columns="rank", values=["gene"])).data
