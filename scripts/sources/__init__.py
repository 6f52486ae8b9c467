"""What comes from outside: data sets, gene sets, orthologs and markers. Cheap to import."""

from scripts.sources.cells import Source, file_kind, resolve
from scripts.sources.download import fetch, package_folder
from scripts.sources.gene_sets import Libraries, Library, gather, reachable
from scripts.sources.markers import load_markers
from scripts.sources.orthologs import gene_symbols, human_orthologs

__all__ = [
    "Libraries",
    "Library",
    "Source",
    "fetch",
    "file_kind",
    "gather",
    "gene_symbols",
    "human_orthologs",
    "load_markers",
    "package_folder",
    "reachable",
    "resolve",
]
