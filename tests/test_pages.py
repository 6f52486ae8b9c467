"""Pages: complete, self-contained, and safe to open whatever the data are called."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from scripts import pages
from scripts.runs import Run

EVIL = "<script>alert('gene')</script>"
LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping"}


class Page(HTMLParser):
    """Elements of a page, the text of its scripts, and its visible text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts, self.text, self.inside = [], [], "", None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = tag
        if tag == "script":
            self.scripts.append([dict(attributes).get("type", "run"), ""])

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1][1] += data
        elif self.inside != "style":
            self.text += data

    def of_class(self, name):
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]


def output(**data):
    return new_output("display_data", data={kind.replace("__", "/"): value for kind, value in data.items()})


def figure(title):
    trace = {"type": "scatter", "x": [1, 2], "y": [3, 4], "text": [EVIL, "</script>"]}
    return new_output("display_data", data={pages.FIGURE: {"data": [trace], "layout": {"title": {"text": title}}}})


@pytest.fixture
def run(tmp_path):
    """A run of two notebooks whose data carry HTML everywhere."""
    run = Run(tmp_path / "first")
    run.record("01_data", {"data": f"paul15 {EVIL}: 2,730 cells", "k": 3})
    run.record_key_figures({f"Best {EVIL}": f"0.5 {EVIL}"})
    sentence = f"Gene *{EVIL}* ![p](http://a.example/p.png) <img src=http://a.example/q.png>\n\n```mermaid\n{EVIL}\n```"
    outputs = [
        new_output("stream", name="stdout", text=f"printed {EVIL}"),
        new_output("stream", name="stderr", text="progress 50%"),
        output(text__plain=f"repr {EVIL}"),
        output(text__markdown=sentence, text__plain="<Markdown object>"),
        output(text__html="<table class='dataframe'><tr><td>&lt;script&gt;alert(2)&lt;/script&gt;</td></tr></table>"),
        figure(f"Frequency {EVIL} <b>0</b>"),
        figure('Quote " and & ä'),
    ]
    cells = [new_markdown_cell("# What are the data?"), new_markdown_cell("## How many *cells*?")]
    save(run, "01_data", [*cells, new_code_cell("secret_code = 1", outputs=outputs)])
    save(run, "02_look", [new_markdown_cell("# What do we see?")])
    run.path("a & <b>.txt").write_text("x")
    pages.write_pages(run)
    return run


def save(run, stem, cells):
    notebook = new_notebook(cells=cells, metadata={"papermill": {"duration": 12.3}})
    run.write(f"{stem}.ipynb", lambda path: nbformat.write(notebook, path))


def read(run, name):
    return Page(run.path(name).read_text(encoding="utf-8"))


def test_every_figure_is_in_the_page_with_its_text_alternative(run):
    page = read(run, "01_data.html")
    places = page.of_class("plotly-graph-div")
    assert [place["aria-label"] for place in places] == [f"Frequency {EVIL} 0", 'Quote " and & ä']
    assert len({place["id"] for place in places}) == 2 and all(place["role"] == "img" for place in places)
    figures = [json.loads(text) for kind, text in page.scripts if kind == "application/json"]
    assert [drawn["data"][0]["y"] for drawn in figures] == [[3, 4], [3, 4]]
    assert figures[0]["data"][0]["text"] == [EVIL, "</script>"]


def test_plotly_is_embedded_once_and_only_where_needed(run):
    packed = [text for kind, text in read(run, "01_data.html").scripts if kind == "text/plain"]
    assert len(packed) == 1 and b"newPlot" in gzip.decompress(base64.b64decode(packed[0]))
    assert run.path("01_data.html").stat().st_size < 2.5e6
    assert run.path("02_look.html").stat().st_size < 5e4


@pytest.mark.parametrize("name", ["01_data.html", "02_look.html", "index.html"])
def test_pages_ask_for_nothing_from_the_web(run, name):
    page = read(run, name)
    for tag, attributes in page.elements:
        assert tag not in {"iframe", "object", "embed", "base"}
        for attribute in LOADING & attributes.keys():
            assert attributes[attribute].startswith("data:"), (tag, attributes)
        if tag == "link":
            assert attributes["href"] == "data:,"
    html = re.sub(r"<script type=.*?</script>", "", run.path(name).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search(r"url\(|@import|\bfetch\(|XMLHttpRequest|\bimport\b *[({]", html)


@pytest.mark.parametrize("name", ["01_data.html", "02_look.html", "index.html"])
def test_text_from_data_stays_text(run, name):
    page = read(run, name)
    running = [text for kind, text in page.scripts if kind == "run"]
    assert running == ([] if name == "index.html" else [pages.SCRIPT])
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert f"paul15 {EVIL}: 2,730 cells" in page.text


def test_the_browser_may_run_this_projects_script_alone(run):
    metas = [attributes for tag, attributes in read(run, "01_data.html").elements if tag == "meta"]
    policy = next(meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{pages.SCRIPT_HASH}'" in policy and policy.startswith("default-src 'none'")


def test_outputs_are_shown_and_progress_is_not(run):
    text = read(run, "01_data.html").text
    for shown in [f"printed {EVIL}", f"repr {EVIL}", f"Gene {EVIL} p <img src=http://a.example/q.png>"]:
        assert shown in text
    assert "<script>alert(2)</script>" in text and "progress 50%" not in text and "<Markdown object>" not in text


def test_code_is_hidden_until_asked_for(run):
    page = read(run, "01_data.html")
    assert "secret_code = 1" in page.text and len(page.of_class("code")) == 1
    assert "pre.code { display: none;" in pages.STYLE and "Show code" in page.text


def test_contents_and_neighbours_are_linked(run):
    links = [attributes.get("href") for tag, attributes in read(run, "01_data.html").elements if tag == "a"]
    assert {"index.html", "02_look.html"} <= set(links)
    target = next(link for link in links if link.startswith("#How"))
    assert unquote(target[1:]) in [attributes.get("id") for _, attributes in read(run, "01_data.html").elements]


def test_data_come_first(run):
    html = run.path("01_data.html").read_text(encoding="utf-8")
    assert re.search(r'<body>\s*<p class="data">paul15 ', html)


def test_index_lists_pages_key_figures_and_files(run):
    page = read(run, "index.html")
    links = [attributes.get("href") for tag, attributes in page.elements if tag == "a"]
    for link in ["01_data.html", "02_look.html", "01_data.ipynb", "params.yaml", "a%20%26%20%3Cb%3E.txt"]:
        assert link in links
    for text in ["What are the data?", f"Best {EVIL}", f"0.5 {EVIL}", "a & <b>.txt", "12"]:
        assert text in page.text


def test_a_run_without_settings_still_has_pages(tmp_path):
    run = Run(tmp_path / "bare")
    save(run, "02_look", [new_code_cell("1")])
    assert pages.write_pages(run) == run.path("index.html")
    assert "not recorded" in read(run, "02_look.html").text
