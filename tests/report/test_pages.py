"""Pages: complete, self-contained, and safe to open whatever the data are called."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from urllib.parse import unquote

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from plotly.offline import get_plotlyjs

from scripts import story
from scripts.report import pages
from scripts.report.ledger import Entry
from scripts.report.run import Run

EVIL = "<script>alert('gene')</script>"
PANDAS = "<style scoped>.dataframe{color:red}</style>"
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

    def of_id(self, name):
        return [attributes for _, attributes in self.elements if attributes.get("id") == name]

    def of_class(self, name):
        return [attributes for _, attributes in self.elements if name in (attributes.get("class") or "").split()]


def unpacked(text):
    return gzip.decompress(base64.b64decode(text, validate=True)).decode()


def output(**data):
    return new_output("display_data", data={kind.replace("__", "/"): value for kind, value in data.items()})


def figure(title):
    trace = {"type": "scatter", "x": [1, 2], "y": [3, 4], "text": [EVIL, "</script>"]}
    return new_output("display_data", data={pages.FIGURE: {"data": [trace], "layout": {"title": {"text": title}}}})


@pytest.fixture
def run(tmp_path):
    """A run of two notebooks whose data carry HTML everywhere."""
    run = Run(tmp_path / "first")
    Run(run.folder, "01_data", {"k": 3}).save(facts={"data": f"paul15 {EVIL}: 2,730 cells"})
    Run(run.folder, "07_last").save(key_figures={"Done first": "yes"})
    Run(run.folder, "03_train").save(key_figures={f"Best {EVIL}": f"0.5 {EVIL}"}, alerts=[f"No structure {EVIL}"])
    sentence = f"Gene *{EVIL}* ![p](http://a.example/p.png) <img src=http://a.example/q.png>\n\n```mermaid\n{EVIL}\n```"
    outputs = [
        new_output("stream", name="stdout", text=f"printed {EVIL}"),
        new_output("stream", name="stderr", text="progress 50%"),
        output(text__plain=f"repr {EVIL}"),
        output(text__markdown=sentence, text__plain="<Markdown object>"),
        output(
            text__html=f"{PANDAS}<table class=dataframe><tr><td>&lt;script&gt;alert(2)&lt;/script&gt;</td></tr></table>"
        ),
        figure(f"Frequency {EVIL} <b>0</b>"),
        figure('Quote " and & ä'),
    ]
    cells = [new_markdown_cell("# What are the data?\n\nHow *many*? Many."), new_markdown_cell("## How many *cells*?")]
    ending = [new_markdown_cell("## Save"), new_code_cell("save()")]
    nothing, tag = output(text__html=pages.NOTHING), {"tags": ["optional"]}
    for heading, metadata in {"Kept": {}, "Optional": tag}.items():
        ending += [new_markdown_cell(f"## {heading}\n\nText.", metadata=metadata), new_code_cell("", outputs=[nothing])]
    ending += [new_markdown_cell("## Shown\n\nText.", metadata=tag), new_code_cell("1", outputs=[nothing, outputs[0]])]
    save(run, "01_data", [*cells, new_code_cell("secret_code = 1", outputs=outputs), *ending])
    save(run, "02_look", [new_markdown_cell("# What do we see?")])
    run.path("a & <b>.txt").write_text("x")
    write(run)
    return run


def write(run):
    """Pages and index, as the command line writes them."""
    pages.write_pages(run)
    return story.write(run)


def save(run, stem, cells):
    notebook = new_notebook(cells=cells, metadata={"papermill": {"duration": 12.3}})
    run.write(f"{stem}.ipynb", lambda path: nbformat.write(notebook, path))


def read(run, name):
    return Page(run.path(name).read_text(encoding="utf-8"))


def test_every_figure_is_in_the_page_with_its_text_alternative(run):
    page = read(run, "01_data.html")
    places = page.of_class("plotly-graph-div")
    titles = [f"Frequency {EVIL} 0", 'Quote " and & ä']
    assert [place["aria-label"] for place in places] == [f"{title}. Line chart" for title in titles]
    assert all(title in page.text for title in titles)  # captions
    assert len({place["id"] for place in places}) == 2 and all(place["role"] == "group" for place in places)
    packed = [text for kind, text in page.scripts if kind == "text/plain"]
    figures = [json.loads(unpacked(text)) for text in packed]
    assert [drawn["data"][0]["y"] for drawn in figures] == [[3, 4], [3, 4]]
    assert figures[0]["data"][0]["text"] == [EVIL, "</script>"]


def sheets_of(page):
    return [at["href"] for tag, at in page.elements if tag == "link" and at.get("rel") == "stylesheet"]


def test_plotly_is_shared_and_only_where_needed(run):
    assert [sheets_of(read(run, name)) for name in ("01_data.html", "02_look.html")] == [[pages.PLOTLY], []]
    assert run.path("01_data.html").stat().st_size < 1e5 and run.path("02_look.html").stat().st_size < 5e4
    assert run.path(pages.PLOTLY).stat().st_size < 2e6
    assert pages.PLOTLY not in read(run, "index.html").text  # nothing that a reader would download


def test_plotly_stands_before_all_text_and_the_policy_knows_its_content(run):
    packed = re.fullmatch(r':root { --plotly: "(.*)"; }\n', run.path(pages.PLOTLY).read_text(encoding="utf-8"))[1]
    page, code = read(run, "01_data.html"), unpacked(packed)
    assert code == get_plotlyjs()
    assert sha256(code) in policy_of(page)
    tags = [(tag, attributes.get("rel")) for tag, attributes in page.elements]
    # the page's script takes what the sheet before it says, which a browser waits for
    assert tags.index(("link", "stylesheet")) < tags.index(("script", None)) < tags.index(("body", None))


@pytest.mark.parametrize("name", ["01_data.html", "02_look.html", "index.html"])
def test_pages_ask_for_nothing_from_the_web(run, name):
    page = read(run, name)
    for tag, attributes in page.elements:
        assert tag not in {"iframe", "object", "embed", "base"}
        for attribute in LOADING & attributes.keys():
            assert attributes[attribute].startswith("data:"), (tag, attributes)
        if tag == "link":
            assert attributes["href"] in ("data:,", pages.PLOTLY)
    html = re.sub(r"<script type=.*?</script>", "", run.path(name).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search(r"url\(|@import|\bfetch\(|XMLHttpRequest|\bimport\b *[({]", html)


@pytest.mark.parametrize("name", ["01_data.html", "02_look.html", "index.html"])
def test_text_from_data_stays_text(run, name):
    page = read(run, name)
    running = [text for kind, text in page.scripts if kind == "run"]
    assert running == [pages.SCRIPT]
    assert not any(key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert f"paul15 {EVIL}: 2,730 cells" in page.text


def policy_of(page):
    metas = [attributes for tag, attributes in page.elements if tag == "meta"]
    return next(meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")


def sha256(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_browser_may_run_the_pages_script_and_plotly_alone(run):
    for name in ("01_data.html", "index.html"):
        rules = dict(rule.split(" ", 1) for rule in policy_of(read(run, name)).split("; "))
        assert rules["style-src"] == "'unsafe-inline' 'self' file:"
        assert rules["script-src"] == f"{sha256(pages.SCRIPT)} {sha256(get_plotlyjs())} 'unsafe-eval'"
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
        assert rules.keys() == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}


def test_outputs_are_shown_and_progress_is_not(run):
    text = read(run, "01_data.html").text
    for shown in [f"printed {EVIL}", f"repr {EVIL}", f"Gene {EVIL} p <img src=http://a.example/q.png>"]:
        assert shown in text
    assert "color:red" not in run.path("01_data.html").read_text(encoding="utf-8")  # it would reach other tables
    assert "<script>alert(2)</script>" in text and "progress 50%" not in text and "<Markdown object>" not in text


def test_code_is_hidden_until_asked_for(run):
    page = read(run, "01_data.html")
    assert "secret_code = 1" in page.text and len(page.of_class("code")) == 3
    assert "pre.code { display: none;" in pages.STYLE and "Show code" in page.text


def test_sections_that_show_nothing_go_with_the_code(run):
    page = read(run, "01_data.html")
    assert len(page.of_class("code-only")) == 2
    links = [attributes.get("href") for tag, attributes in page.elements if tag == "a"]
    assert links.count("#Save") == links.count("#Optional") == 1  # the heading's own; none in the contents
    assert links.count("#Kept") == links.count("#Shown") == 2
    assert page.text.count("Nothing to list.") == 2


def test_settings_are_tables_of_text(run):
    text = read(run, "01_data.html").text
    assert re.search(r"Settings and versions\s+01_data\s+datapaul15 <script>", text)
    assert re.search(r"\bk3\s+versions\s+python3\.", text)


def test_contents_and_neighbours_are_linked(run):
    links = [attributes.get("href") for tag, attributes in read(run, "01_data.html").elements if tag == "a"]
    assert {"index.html", "02_look.html"} <= set(links)
    target = next(link for link in links if link.startswith("#How"))
    assert unquote(target[1:]) in [attributes.get("id") for _, attributes in read(run, "01_data.html").elements]


def test_data_come_first(run):
    html = run.path("01_data.html").read_text(encoding="utf-8")
    assert re.search(r'<body>\s*<header class="data">paul15 ', html)


def test_index_lists_pages_key_figures_and_files(run):
    page = read(run, "index.html")
    links = [attributes.get("href") for tag, attributes in page.elements if tag == "a"]
    for link in ["01_data.html", "02_look.html", "01_data.ipynb", "params.yaml", "a%20%26%20%3Cb%3E.txt"]:
        assert link in links
    for text in ["What are the data?", f"Best {EVIL}", f"0.5 {EVIL}", "a & <b>.txt", "computed in 12 s", "How many?"]:
        assert text in page.text
    assert page.text.index(f"No structure {EVIL}") < page.text.index("Best")  # what is to be minded stands first
    assert page.text.index("Best") < page.text.index("Done first")  # in the order of the notebooks
    assert "Settings and versions" in page.text


def test_a_run_without_settings_still_has_pages(tmp_path):
    run = Run(tmp_path / "bare")
    save(run, "02_look", [new_code_cell("1")])
    assert {"index.html", "story.csv"} == set(write(run))
    assert "not recorded" in read(run, "index.html").text
    assert "not recorded" in read(run, "02_look.html").text


def test_an_appendix_stands_apart(run):
    """Below the others on the index; no page leads on to it, and it leads back to the index alone."""
    names = ["01_data", "02_look", "appendix_planted_truth", "appendix_z"]
    for stem in names[2:]:
        save(run, stem, [new_markdown_cell(f"# Title of {stem}")])
    write(run)

    def relations(stem):
        links = [attributes for tag, attributes in read(run, f"{stem}.html").elements if tag == "a"]
        return {link["rel"]: link["href"] for link in links if "rel" in link}

    assert [relations(stem) for stem in names] == [{"next": "02_look.html"}, {"prev": "01_data.html"}, {}, {}]
    links = [attributes for tag, attributes in read(run, names[2] + ".html").elements if tag == "a"]
    assert "index.html" in [link["href"] for link in links]
    text = read(run, "index.html").text
    order = ["Pages", "What do we see?", "Appendix", "Title of appendix_planted_truth", "Title of appendix_z", "Files"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)


def test_key_figures_of_an_appendix_are_of_the_method_and_stand_below_those_of_the_data(run):
    """In a part of their own of the block that is closed at first."""
    Run(run.folder, "03_train").save(key_figures={"Of the data": "0.5"})
    Run(run.folder, "appendix_planted_truth").save(key_figures={"Of the method": f"0.7 {EVIL}"})
    write(run)
    index = read(run, "index.html")
    order = ["How far to trust this", "Of the data", "Planted truth", "Of the method", f"0.7 {EVIL}", "Pages", "Files"]
    places = [index.text.index(words) for words in order]
    assert places == sorted(places)
    assert {"class": "trust"} in [attributes for tag, attributes in index.elements if tag == "details"]


def test_a_run_without_an_appendix_does_not_speak_of_one(run):
    text = read(run, "index.html").text
    assert "Appendix" not in text and "Planted truth" not in text


def test_what_is_out_of_date_is_named_on_its_page_and_on_the_index(tmp_path):
    folder = tmp_path / "first"
    Run(folder, "01_data", {"k": 3}).save(model=SimpleNamespace(save=lambda path: path.write_text("x")))
    reader = Run(folder, "02_look")
    reader.need("model.safetensors")
    reader.save()
    run = Run(folder)
    for stem in ("01_data", "02_look"):
        save(run, stem, [new_markdown_cell(f"# About {stem}")])
        run.enter(stem, f"{stem}.ipynb", Entry("", {}))
    write(run)
    assert not any("Out of date" in read(run, name).text for name in ("01_data.html", "02_look.html", "index.html"))
    Run(folder, "01_data", {"k": 4}).save(model=SimpleNamespace(save=lambda path: path.write_text("y")))
    Run(folder, "03_train").save()
    write(run)
    assert "the files of 01_data were made again" in read(run, "01_data.html").text
    assert "01_data was executed again since. Execute 02_look again." in read(run, "02_look.html").text
    index = read(run, "index.html").text
    assert "01_data: Out of date" in index and "02_look: Out of date" in index
    assert "No executed notebook of 03_train lies in this folder" in index


# what notebooks put over columns beside names of columns: numbers, and sources of gene lists
LABELS = re.compile(r"\d+|(module|program) \d+( pattern| loadings)?")


def test_every_heading_of_a_table_is_explained(small_run):
    found = set()
    for path in small_run.notebooks():
        html = small_run.path(f"{path.stem}.html").read_text(encoding="utf-8").partition("<main ")[2]
        for head in re.findall(r"<table[^>]*mathjax_ignore.*?</thead>", html, re.DOTALL):
            found |= {(path.stem, *heading) for heading in re.findall("<th([^>]*)>([^<]+)</th>", head)}
    unknown = [(stem, text) for stem, tag, text in found if "title=" not in tag and not LABELS.fullmatch(text)]
    assert len(found) > 100 and sorted(unknown) == []
