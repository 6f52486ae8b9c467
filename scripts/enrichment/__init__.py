"""What gene lists stand for: tested gene sets, over-representation, full rankings, and chance."""

from scripts.enrichment.by_chance import (
    DIRECTIONS,
    chance,
    counted,
    counted_by_chance,
    direction_lists,
    mean_expression,
)
from scripts.enrichment.enrichr import ONLINE, SERVICE, ask
from scripts.enrichment.gene_lists import (
    GeneLists,
    axis_correlations,
    end_lists,
    module_lists,
    of_their_frequency,
    pole_lists,
    program_lists,
)
from scripts.enrichment.ranking import ranked
from scripts.enrichment.sets import OTHER_NAME, WAYS, TestedSets, coverage, expressed, symbol_counts, tested_sets
from scripts.enrichment.terms import (
    LIST,
    kind_of,
    over_representation,
    summarise,
    term_table,
    terms_by_source,
    with_axis_correlation,
    with_findings,
)

__all__ = [
    "DIRECTIONS",
    "GeneLists",
    "LIST",
    "ONLINE",
    "OTHER_NAME",
    "SERVICE",
    "TestedSets",
    "WAYS",
    "ask",
    "axis_correlations",
    "chance",
    "counted",
    "counted_by_chance",
    "coverage",
    "direction_lists",
    "end_lists",
    "expressed",
    "kind_of",
    "mean_expression",
    "module_lists",
    "of_their_frequency",
    "over_representation",
    "pole_lists",
    "program_lists",
    "ranked",
    "summarise",
    "symbol_counts",
    "term_table",
    "terms_by_source",
    "tested_sets",
    "with_axis_correlation",
    "with_findings",
]
