"""Programs of one half of the cells, read, and their products tested on the other half."""

from scripts.programs.divisions import Programs, divided, fit_programs, halves
from scripts.programs.reading import (
    Response,
    gene_lists,
    polynomial_shares,
    program_ends,
    program_table,
    response,
    score_table,
    strongest_response,
)
from scripts.programs.terms import (
    COUNT_HALVES,
    LEVEL,
    NULLS,
    REAL,
    linear_targets,
    program_terms,
    term_table,
)
from scripts.programs.triples import gene_triples, gene_triples_of_pairs

__all__ = [
    "COUNT_HALVES",
    "LEVEL",
    "NULLS",
    "REAL",
    "Programs",
    "Response",
    "divided",
    "fit_programs",
    "gene_lists",
    "gene_triples",
    "gene_triples_of_pairs",
    "halves",
    "linear_targets",
    "polynomial_shares",
    "program_ends",
    "program_table",
    "program_terms",
    "response",
    "score_table",
    "strongest_response",
    "term_table",
]
