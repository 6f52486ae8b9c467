"""Under which terms gene-set libraries may be used, as far as that is known."""

from importlib.metadata import PackageNotFoundError, files

SOURCES = {  # how names of libraries begin, and whose gene sets they hold
    "GO_": "Gene Ontology, CC BY 4.0",
    "KEGG_": "KEGG, free for academic use alone",
    "MSigDB_Hallmark": "MSigDB Hallmark, CC BY 4.0",
}
PYENRICHR = "the pyenrichr package"  # where a library was found


def is_enrichrs(name: str) -> bool:
    """Whether a library is one of Enrichr's, for non-commercial use, and not a file of the user's."""
    return not name.endswith(".gmt")


def terms_of_use(name: str, origin: str) -> str:
    """Terms of a library and of what it was made from; name, origin : as of `Libraries`."""
    if not is_enrichrs(name):
        return "those of its makers: it is a file of yours"
    source = next((terms for start, terms in SOURCES.items() if name.startswith(start)), "the terms of its makers")
    compiled = "compiled by Enrichr, free for academic, non-profit use"
    carried = f"; in pyenrichr, under the {licence('pyenrichr')}" if origin == PYENRICHR else ""
    return f"{source}; {compiled}{carried}"


def licence(package: str) -> str:
    """First line of the licence that an installed package brings."""
    try:
        found = [path for path in files(package) or [] if path.name.upper().startswith("LICEN")]
    except PackageNotFoundError:
        found = []
    lines = [line.strip() for path in found for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return lines[0] if lines else "licence of its makers"
