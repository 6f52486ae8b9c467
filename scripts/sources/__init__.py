"""What comes from outside: data sets, gene sets, orthologs and markers. Cheap to import."""

from scripts.sources.cells import Source, resolve
from scripts.sources.download import fetch, package_folder
from scripts.sources.gene_sets import Libraries, Library, gather, reachable
from scripts.sources.markers import load_markers
from scripts.sources.orthologs import human_orthologs

__all__ = [
    "Libraries",
    "Library",
    "Source",
    "fetch",
    "gather",
    "human_orthologs",
    "load_markers",
    "package_folder",
    "reachable",
    "resolve",
]
