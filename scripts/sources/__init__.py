"""What comes from outside: data sets, gene sets, orthologs and markers. Cheap to import."""

from scripts.sources.cells import Source, file_kind, resolve
from scripts.sources.download import DATA_FOLDER, fetch, package_folder
from scripts.sources.gene_sets import Libraries, Library, gather, reachable
from scripts.sources.markers import load_markers
from scripts.sources.orthologs import human_orthologs
from scripts.sources.species import UNKNOWN, ensembl_symbols, gene_symbols, name_counts, species_of
from scripts.sources.terms_of_use import is_enrichrs

__all__ = [
    "DATA_FOLDER",
    "Libraries",
    "Library",
    "Source",
    "UNKNOWN",
    "ensembl_symbols",
    "fetch",
    "file_kind",
    "gather",
    "gene_symbols",
    "human_orthologs",
    "is_enrichrs",
    "load_markers",
    "name_counts",
    "package_folder",
    "reachable",
    "resolve",
    "species_of",
]
