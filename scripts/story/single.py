"""The whole report of a run as one page, to be passed on: it needs no other file."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser
from urllib.parse import quote, unquote

from scripts.errors import InputError
from scripts.report import Run, page_figures, pages
from scripts.story.cards import STYLE, TEMPLATES

INDEX = "index"
WHOLE_ONLY = ("noscript", "button")  # elements that the whole has once
SKIP = "skip"  # class of the link past what all pages have, of which the whole has one
SETTINGS = "settings"  # class of an element that is the same on all pages, but for its order


def single_file(run: Run) -> str:
    """Name of the page."""
    return f"{run.name}.html"


def write_single(run: Run) -> str:
    """Write one page of all pages of a run, as they lie in its folder; returns its name.

    Raises
    ------
    InputError
        If the run has the name of one of its pages.
    """
    name, notebooks = single_file(run), [path.stem for path in run.notebooks()]
    numbers = [path.stem.removeprefix("frequency_") for path in run.folder.glob("frequency_*.html")]
    cards = [f"frequency_{number}" for number in sorted(filter(str.isdecimal, numbers), key=int)]
    stems = [INDEX, *cards, *notebooks]
    if name.removesuffix(".html") in stems:
        raise InputError(f"{run.path(name)} is a page of the run already: give the run another name for --single-file")
    parts = {stem: _part(run.path(f"{stem}.html").read_text(encoding="utf-8"), stem, stems) for stem in stems}
    content = {
        "title": run.name,
        "parts": parts,
        "groups": {"Frequencies": {stem: stem.removeprefix("frequency_") for stem in cards}}
        | {"Notebooks": {stem: stem.replace("_", " ") for stem in notebooks}},
    }
    html = pages.rendered(TEMPLATES / "single.html.j2", content, STYLE + page_figures.plotly_style())
    return run.write_text(name, html).name


def _part(html: str, stem: str, stems: list[str]) -> str:
    """Body of a page as a part of the whole."""
    part = _Part(stem, stems)
    part.feed(html[html.index("<body>") + len("<body>") : html.rindex("</body>")])
    part.close()
    return "".join(part.written)


class _Part(HTMLParser):
    """Copies a page, with its name before all names in it, and links to other pages as links within the whole.

    Links to files become text; what the whole has once is left out of its parts.
    """

    def __init__(self, stem: str, stems: list[str]):
        super().__init__(convert_charrefs=False)
        self.stem, self.stems, self.written = stem, stems, []
        self._left_out = []  # the open element that is left out, and open ones of its kind within it

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Copy a tag."""
        if self._left_out:
            self._left_out += [tag] if tag == self._left_out[0] else []
            return
        given = dict(attrs)
        kind = given.get("class")
        if tag in WHOLE_ONLY or kind == SKIP or (kind == SETTINGS and self.stem != INDEX):
            self._left_out = [tag]
            return
        if tag == "main":  # of which a page has one
            tag, given = "div", {"class": "main"}
        if name := given.get("id"):
            given["id"] = f"{self.stem}-{name}"
        if tag == "a" and not str(given.get("href")).startswith(("http:", "https:", "mailto:")):
            given = {key: value for key, value in given.items() if key != "href"} | self._link(given.get("href") or "")
        written = "".join(
            f' {key}="{escape(value)}"' if value is not None else f" {key}" for key, value in given.items()
        )
        self.written.append(f"<{tag}{written}>")

    def _link(self, address: str) -> dict[str, str]:
        page, _, place = address.partition("#")
        stem = unquote(page.removesuffix(".html")) if page else self.stem
        if not address or (page and not page.endswith(".html")) or stem not in self.stems:
            return {}
        return {"href": f"#{quote(stem)}-{place}" if place else f"#{quote(stem)}"}

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Copy a tag that ends itself, as `<br/>`: of HTML, such an element has no end."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Copy the end of an element."""
        if not self._left_out:
            self.written.append("</div>" if tag == "main" else f"</{tag}>")
        elif tag == self._left_out[0]:
            self._left_out.pop()

    def handle_data(self, data: str) -> None:
        """Copy text."""
        if not self._left_out:
            self.written.append(data)

    def handle_entityref(self, name: str) -> None:
        """Copy a character by name."""
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        """Copy a character by number."""
        self.handle_data(f"&#{name};")
