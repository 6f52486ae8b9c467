"""Executed notebooks as HTML pages that open from disk, on any machine, without a network.

A page carries everything it shows: style, script, figures, and plotly.js once, compressed. Its content security policy
lets the browser run this project's script alone and load nothing, so that text from data can do no harm even where a
notebook displays it as HTML.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import itertools
import json
import re
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import mistune
import nbformat
import yaml
from nbconvert import HTMLExporter

if TYPE_CHECKING:
    from scripts.runs import Run

FIGURE = "application/vnd.plotly.v1+json"
TEMPLATES = Path(__file__).parent / "templates"
STYLE = (TEMPLATES / "page/page.css").read_text(encoding="utf-8")
SCRIPT = (TEMPLATES / "page/page.js").read_text(encoding="utf-8")
SCRIPT_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = "; ".join(
    [
        "default-src 'none'",
        f"script-src 'sha256-{SCRIPT_HASH}' 'unsafe-eval'",  # plotly.js is inflated, then evaluated
        "style-src 'unsafe-inline'",
        "img-src data: blob:",  # embedded pictures, and plotly's "save as PNG"
        "base-uri 'none'",
        "form-action 'none'",
    ]
)
CONTENTS_HERE, PLOTLY_HERE = "<!-- contents -->", "<!-- plotly.js -->"  # filled in after the conversion
HEADING = re.compile(r'<h([23])\b[^>]*\bid="([^"]*)"[^>]*>(.*?)(?:<a class="anchor-link".*?)?</h\1>', re.DOTALL)
PLOTLY_TAG = re.compile(r"</?(?:a|b|br|em|i|span|sub|sup|u)\b[^<>]*>")  # the tags plotly understands in its texts


def write_pages(run: Run) -> Path:
    """Write a page for every executed notebook of the run, and `index.html`.

    Returns
    -------
    Path
        `index.html` of the run folder.
    """
    notebooks = [(path.stem, nbformat.read(path, as_version=4)) for path in run.notebooks()]
    links = [None, *({"file": f"{stem}.html", "title": _title(stem, notebook)} for stem, notebook in notebooks), None]
    for (stem, notebook), previous, here, following in zip(notebooks, links, links[1:], links[2:], strict=False):
        page = {"title": here["title"], "previous": previous, "next": following, **_data_and_settings(run)}
        html = page_html(notebook, page)
        run.write(f"{stem}.html", functools.partial(Path.write_text, data=html, encoding="utf-8"))
    return write_index(run)


def page_html(notebook: nbformat.NotebookNode, page: dict) -> str:
    """HTML of one executed notebook.

    Parameters
    ----------
    notebook : NotebookNode
        With its outputs.
    page : dict
        `title`, `data` (first line), `settings` (text), `previous` and `next` (None or a dict with `file`, `title`).
    """
    fixed = {"style": STYLE, "script": SCRIPT, "policy": POLICY}
    fixed |= {"contents_here": CONTENTS_HERE, "plotly_here": PLOTLY_HERE}
    html, _ = _exporter().from_notebook_node(notebook, resources={"page": page | fixed})
    plotly = _packed_plotly() if count_figures(notebook) else ""
    return html.replace(CONTENTS_HERE, _contents(html), 1).replace(PLOTLY_HERE, plotly, 1)


def write_index(run: Run) -> Path:
    """Write `index.html`: the data, the run's key figures, its pages and its files."""
    pages = []
    for path in run.notebooks():
        notebook = nbformat.read(path, as_version=4)
        seconds = notebook.metadata.get("papermill", {}).get("duration")
        pages.append(
            {
                "file": f"{path.stem}.html",
                "title": _title(path.stem, notebook),
                "figures": count_figures(notebook),
                "seconds": "" if seconds is None else f"{seconds:.0f}",
            }
        )
    files = [path for path in sorted(run.folder.iterdir()) if path.is_file() and path.suffix != ".html"]
    html = (
        _exporter()
        .environment.get_template("run.html.j2")
        .render(
            title=run.folder.resolve().name,
            style=STYLE,
            policy=POLICY,
            pages=pages,
            files=[{"name": path.name, "size": _size(path)} for path in files if not path.name.startswith(".")],
            key_figures=_settings(run).get("key_figures", {}),
            **_data_and_settings(run),
        )
    )
    return run.write("index.html", lambda aside: aside.write_text(html, encoding="utf-8"))


def count_figures(notebook: nbformat.NotebookNode) -> int:
    """Count the plotly figures among the outputs of a notebook."""
    outputs = itertools.chain.from_iterable(cell.get("outputs", []) for cell in notebook.cells)
    return sum(FIGURE in output.get("data", {}) for output in outputs)


def figure_html(figure: dict, number: int) -> str:
    """Place of one figure and its JSON, which the page's script draws.

    Parameters
    ----------
    figure : dict
        `data` and `layout` of a plotly figure.
    number : int
        Makes its id unique in the page.
    """
    layout = figure.get("layout", {})
    title = layout.get("title") or "Figure"
    title = title.get("text") or "Figure" if isinstance(title, dict) else title
    label = unescape(" ".join(PLOTLY_TAG.sub(" ", title).split()))
    drawn = json.dumps({"data": figure.get("data", []), "layout": layout}, ensure_ascii=False).replace("<", r"\u003c")
    height = int(
        layout.get("height") or 450
    )  # plotly's default; the text below keeps its place while figures are drawn
    return (
        f'<div class="figure"><div class="plotly-graph-div" id="figure-{number}" role="img" '
        f'aria-label="{escape(label)}" style="min-height:{height}px"></div>'
        f'<script type="application/json">{drawn}</script></div>'
    )


class _MarkdownFromData(mistune.HTMLRenderer):
    """Renders sentences that notebooks fill from data: HTML is shown as text, and no picture is fetched."""

    def __init__(self):
        super().__init__(escape=True)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return text


def _exporter() -> HTMLExporter:
    numbers = itertools.count(1)
    markdown = mistune.create_markdown(renderer=_MarkdownFromData(), plugins=["strikethrough", "table"])
    exporter = HTMLExporter(
        template_name="page",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=False,
        filters={"markdown_from_data": markdown, "figure": lambda figure: figure_html(figure, next(numbers))},
    )
    kinds = ["text/html", "text/markdown", "image/png", "text/plain"]
    exporter.config.NbConvertBase.display_data_priority = [FIGURE, *kinds]
    return exporter


@functools.cache
def _packed_plotly() -> str:
    from plotly.offline import get_plotlyjs

    packed = base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
    return f'<script type="text/plain" id="plotly-js">{packed}</script>'


def _contents(html: str) -> str:
    """List of links to the headings of a page."""
    entries = [
        f'<li class="level-{level}"><a href="#{quote(unescape(name))}">{re.sub("<[^>]*>", "", text)}</a></li>'
        for level, name, text in HEADING.findall(html)
    ]
    return f"<ul>{''.join(entries)}</ul>"


def _title(stem: str, notebook: nbformat.NotebookNode) -> str:
    """First heading of a notebook, or else its file name."""
    for cell in notebook.cells:
        heading = re.search(r"^#+\s+(.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading:
            return re.sub(r"[*`]", "", heading[1]).strip()
    return stem


def _settings(run: Run) -> dict:
    return run.settings() if run.path("params.yaml").exists() else {}


def _data_and_settings(run: Run) -> dict[str, str]:
    settings = _settings(run)
    shown = {key: value for key, value in settings.items() if key != "key_figures"}
    data = settings.get("notebooks", {}).get("01_data", {}).get("data", "Data: not recorded in this run folder")
    return {"data": str(data), "settings": yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)}


def _size(path: Path) -> str:
    size = path.stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
