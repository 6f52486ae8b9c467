"""Executed notebooks as HTML pages that open from disk, on any machine, without a network.

A page carries everything it shows, style, script and figures, but for plotly.js, which all pages of a run share: passed
on without it, a page says so in the place of its figures. Its content security policy lets the browser run this
project's script and that plotly.js alone, and load nothing but style sheets from where it lies, so that text from data
can do no harm even where a notebook displays it as HTML.
"""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import itertools
import re
from html import unescape
from pathlib import Path
from urllib.parse import quote

import mistune
import nbformat
from nbconvert import HTMLExporter

from scripts.errors import InputError, printable
from scripts.report.ledger import NAME, Ledger, checksum
from scripts.report.page_figures import figure_html, plotly_hash, plotly_style
from scripts.report.run import NOTHING, Run

FIGURE = "application/vnd.plotly.v1+json"
TEMPLATES = Path(__file__).parent / "templates"
STYLE = (TEMPLATES / "page/page.css").read_text(encoding="utf-8")
SCRIPT = (TEMPLATES / "page/page.js").read_text(encoding="utf-8")
PLOTLY = "plotly.css"  # file of a run folder that holds plotly.js for its pages
OPTIONAL = "optional"  # tag of a heading whose section is left out where there is nothing to show
CONTENTS_HERE = "<!-- contents -->"  # filled in after the conversion
APPENDIX = "appendix"  # how the names of notebooks begin that stand behind the others, and apart
HEADING = re.compile(r'<h([23])\b[^>]*\bid="([^"]*)"[^>]*>(.*?)(?:<a class="anchor-link".*?)?</h\1>', re.DOTALL)
CODE_ONLY = re.compile(r'<section class="code-only">.*?</section>', re.DOTALL)
PANDAS_STYLE = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL)  # meant for one table, but works on all
SHOWN = [FIGURE, "text/html", "text/markdown", "image/png", "text/plain"]  # kinds of outputs, the best first


def write_pages(run: Run) -> None:
    """Write a page for every executed notebook of the run, and the plotly.js that all pages share."""
    notebooks = [(path.stem, _executed(path)) for path in run.notebooks()]
    links = {stem: {"file": f"{stem}.html", "title": _title(stem, notebook)} for stem, notebook in notebooks}
    for stem, notebook in notebooks:
        previous, following = (links.get(other or "") for other in neighbours(stem, list(links)))
        page = {"title": links[stem]["title"], "previous": previous, "next": following, "alert": outdated(run, stem)}
        html = page_html(notebook, page | _data_and_settings(run, first=stem))
        run.write(f"{stem}.html", functools.partial(Path.write_text, data=html, encoding="utf-8"))
    run.write(PLOTLY, functools.partial(Path.write_text, data=plotly_style(), encoding="utf-8"))


def _executed(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except MemoryError:  # which says nothing of the file
        raise
    except Exception:  # whatever the reader stumbles over, the file is no notebook
        raise InputError(f"{path} is damaged or no notebook; run {path.name} again") from None


def outdated(run: Run, stem: str) -> str:
    """Why a page does not show what the run holds now; empty where it does, or nothing is known of it."""
    known, name = Ledger.load(run.folder), f"{stem}.ipynb"
    if stem not in known.notebooks:
        return ""
    if older := known.stale(stem):
        return f"Out of date: {older} was executed again since. Execute {stem} again."
    shown = known.files.get(name)
    if shown and shown["parts"].get(stem) != known.id_of(stem) and checksum(run.path(name)) == shown["sha256"]:
        return f"Out of date: the files of {stem} were made again, with other settings, since this page was executed."
    return ""


def neighbours(stem: str, stems: list[str]) -> tuple[str | None, str | None]:
    """Names of the notebooks before and after one, among all of a run in order; an appendix is no one's neighbour."""
    if stem.startswith(APPENDIX):
        return None, None
    numbered = [None, *(other for other in stems if not other.startswith(APPENDIX)), None]
    place = numbered.index(stem)
    return numbered[place - 1], numbered[place + 1]


def page_html(notebook: nbformat.NotebookNode, page: dict) -> str:
    """HTML of one executed notebook.

    Parameters
    ----------
    notebook : NotebookNode
        With its outputs.
    page : dict
        `title`, `data` (first line), `settings` (dict of dicts), `previous` and `next` (None or a dict with `file` and
        `title`), `alert` (text or empty).
    """
    notebook = _without_empty_sections(notebook)
    fixed = {"style": STYLE, "script": SCRIPT, "policy": policy(), "contents_here": CONTENTS_HERE}
    fixed["plotly"] = PLOTLY if count_figures(notebook) else ""
    exporter, numbers = _exporter(), itertools.count(1)
    exporter.register_filter("figure", lambda figure: figure_html(figure, next(numbers)))
    html, _ = exporter.from_notebook_node(notebook, resources={"page": page | fixed})
    return printable(html.replace(CONTENTS_HERE, _contents(html), 1))


@functools.cache
def policy() -> str:
    """Content security policy of all pages: which scripts a browser may run, by their content, and that it loads none.

    Style sheets may come from where the page lies: from the disk, or from the server that hands the page out.

    The page's script unpacks plotly.js into a script element; the browser runs it if it is the plotly.js of this hash.
    """
    page_hash = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return "; ".join(
        [
            "default-src 'none'",
            # plotly.js, once it runs, compiles what draws with WebGL; nothing else evaluates text
            f"script-src 'sha256-{page_hash}' 'sha256-{plotly_hash()}' 'unsafe-eval'",
            "style-src 'unsafe-inline' 'self' file:",
            "img-src data: blob:",  # embedded pictures, and plotly's "save as PNG"
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def about(run: Run) -> dict:
    """What stands on the first page of a run, whatever it found.

    Returns
    -------
    dict
        `title`; `data` (first line); `settings` (dict of dicts); `alerts` on what is out of date; `pages` and
        `appendices`, a dict with `file`, `title`, `question`, `figures` (count) and `seconds` for each; `date` on which
        the last notebook was executed, or empty; `files` with `name` and `size` (kB).
    """
    files = [path for path in sorted(run.folder.iterdir()) if path.is_file() and path.suffix != ".html"]
    executed = [(path.stem, _executed(path)) for path in run.notebooks()]
    cards = [_card(stem, notebook) for stem, notebook in executed]
    shown = {stem for stem, _ in executed}
    alerts = [f"{stem}: {alert}" for stem in sorted(shown) if (alert := outdated(run, stem))]
    unseen = [stem for stem in Ledger.load(run.folder).notebooks if stem not in shown]
    if unseen:
        alerts.append(f"No executed notebook of {', '.join(unseen)} lies in this folder, so there is no page of it.")
    ends = [str(notebook.metadata.get("papermill", {}).get("end_time") or "")[:10] for _, notebook in executed]
    return {
        "title": run.name,
        "alerts": alerts,
        "pages": [card for card in cards if not card["file"].startswith(APPENDIX)],
        "appendices": [card for card in cards if card["file"].startswith(APPENDIX)],
        "date": max(ends, default=""),
        "files": [
            {"name": path.name, "size": _size(path)}
            for path in files
            if not path.name.startswith(".") and path.name not in (NAME, PLOTLY)
        ],
        **_data_and_settings(run),
    }


def rendered(template: Path, content: dict, style: str = "", plotly: bool = False) -> str:
    """HTML of a page from a template that shares head, style, script and policy with all pages.

    All text of the content is escaped but what the template marks as safe.

    template : of Jinja, which includes `head.html.j2` and others of this room by their names; style : beside that of
    all pages; plotly : whether the page has figures.
    """
    shared = {"style": STYLE + style, "script": SCRIPT, "policy": policy(), "plotly": PLOTLY if plotly else ""}
    environment = _exporter().environment.overlay(autoescape=True)
    return printable(environment.from_string(template.read_text(encoding="utf-8")).render(shared | content))


def _card(stem: str, notebook: nbformat.NotebookNode) -> dict:
    """What the first page shows of one page."""
    seconds = notebook.metadata.get("papermill", {}).get("duration")
    return {
        "file": f"{stem}.html",
        "title": _title(stem, notebook),
        "question": _question(notebook),
        "figures": count_figures(notebook),
        "seconds": "" if seconds is None else f"{seconds:.0f}",
    }


def count_figures(notebook: nbformat.NotebookNode) -> int:
    """Count the plotly figures among the outputs of a notebook."""
    outputs = itertools.chain.from_iterable(cell.get("outputs", []) for cell in notebook.cells)
    return sum(FIGURE in output.get("data", {}) for output in outputs)


class _MarkdownFromData(mistune.HTMLRenderer):
    """Renders sentences that notebooks fill from data: HTML is shown as text, and no picture is fetched."""

    def __init__(self):
        super().__init__(escape=True)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """Text alternative of the picture in its place."""
        return text


@functools.cache
def _exporter() -> HTMLExporter:
    """One for all pages: its templates are compiled once."""
    markdown = mistune.create_markdown(renderer=_MarkdownFromData(), plugins=["strikethrough", "table"])
    exporter = HTMLExporter(
        template_name="page",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=False,
        filters={
            "markdown_from_data": markdown,
            "without_style": lambda html: PANDAS_STYLE.sub("", html),
        },
    )
    exporter.config.NbConvertBase.display_data_priority = SHOWN
    return exporter


def _contents(html: str) -> str:
    """List of links to the headings of a page."""
    entries = [
        f'<li class="level-{level}"><a href="#{quote(unescape(name))}">{re.sub("<[^>]*>", "", text)}</a></li>'
        for level, name, text in HEADING.findall(CODE_ONLY.sub("", html))
    ]
    return f"<ul>{''.join(entries)}</ul>"


def _title(stem: str, notebook: nbformat.NotebookNode) -> str:
    """First heading of a notebook, or else its file name."""
    for cell in notebook.cells:
        heading = re.search(r"^#+\s+(.+)$", cell.source, re.MULTILINE) if cell.cell_type == "markdown" else None
        if heading:
            return re.sub(r"[*`]", "", heading[1]).strip()
    return stem


def _question(notebook: nbformat.NotebookNode) -> str:
    """First sentence of a notebook's text, most often the question it answers; empty where it has no text."""
    for cell in notebook.cells:
        text = "" if cell.cell_type != "markdown" else re.sub(r"^#.*$", "", cell.source, flags=re.MULTILINE)
        found = re.match(r"[^.?!]*[.?!]", re.sub(r"[*`$]", "", " ".join(text.split())))
        if found:
            return found[0]
    return ""


def _without_empty_sections(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Copy of a notebook that marks sections which show nothing: they appear with the code.

    A section is one if its heading has nothing but code below it; one whose heading is tagged as optional also if it
    holds text, and tables without rows.
    """
    notebook = copy.deepcopy(notebook)
    headings = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "markdown" and cell.source.strip()]
    for begin, end in itertools.pairwise([*headings, len(notebook.cells)]):
        heading, *others = notebook.cells[begin:end]
        outputs = [output for cell in others for output in cell.get("outputs", [])]
        is_optional = OPTIONAL in heading.metadata.get("tags", [])
        is_bare = re.fullmatch("##+ .*", heading.source.strip())
        if is_optional and not any(map(_is_more_than_nothing, outputs)):
            for cell in others:
                cell.outputs = []
        elif not is_bare or any(map(_is_shown, outputs)):
            continue
        heading.metadata["code_only"] = True
    return notebook


def _is_more_than_nothing(output: nbformat.NotebookNode) -> bool:
    return _is_shown(output) and output.get("data", {}).get("text/html") != NOTHING


def _is_shown(output: nbformat.NotebookNode) -> bool:
    if output.output_type == "stream":
        return output.name == "stdout"
    return output.output_type == "error" or any(kind in output.data for kind in SHOWN)


def _settings(run: Run) -> dict:
    return run.settings() if run.path("params.yaml").exists() else {}


def _data_and_settings(run: Run, first: str = "") -> dict:
    """First line of every page, and the settings as texts, `{group: {name: text}}`, those of one notebook first."""
    recorded = _settings(run)
    notebooks = dict(sorted(recorded.get("notebooks", {}).items()))  # in their order, whichever was done first
    groups = {first: notebooks.get(first, {}), **notebooks, "versions": recorded.get("versions", {})}
    return {
        "data": str(notebooks.get("01_data", {}).get("data", "Data: not recorded in this run folder")),
        "settings": {
            group: {name: setting(value) for name, value in entries.items()}
            for group, entries in groups.items()
            if entries
        },
    }


def setting(value: object) -> str:
    """A setting as text."""
    if isinstance(value, list):
        return ", ".join(map(setting, value))
    return "not set" if value in (None, "") else str(value).lower() if isinstance(value, bool) else str(value)


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e3:,.1f}"
