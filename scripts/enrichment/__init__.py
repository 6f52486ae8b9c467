"""What gene lists stand for: tested gene sets, over-representation, full rankings, and chance."""

from scripts.enrichment.by_chance import chance, mean_expression
from scripts.enrichment.enrichr import ONLINE, SERVICE, ask
from scripts.enrichment.gene_lists import GeneLists, end_lists, module_lists, pole_lists
from scripts.enrichment.ranking import ranked
from scripts.enrichment.sets import OTHER_NAME, WAYS, TestedSets, coverage, symbol_counts, tested_sets
from scripts.enrichment.terms import LIST, fold, over_representation, summarise, term_table, terms_by_source

__all__ = [
    "GeneLists",
    "LIST",
    "ONLINE",
    "OTHER_NAME",
    "SERVICE",
    "TestedSets",
    "WAYS",
    "ask",
    "chance",
    "coverage",
    "end_lists",
    "fold",
    "mean_expression",
    "module_lists",
    "over_representation",
    "pole_lists",
    "ranked",
    "summarise",
    "symbol_counts",
    "term_table",
    "terms_by_source",
    "tested_sets",
]
