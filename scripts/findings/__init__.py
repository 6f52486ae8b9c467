"""Sentences for the reports, each filled from measured values; what the data does not support is not said."""

from scripts.findings.cells import about_labels, about_spectrum, facts_of_cells, facts_of_graph
from scripts.findings.comparison import (
    about_comparison,
    about_drivers,
    about_markers,
    about_panel_stability,
    about_panels,
    figures_of_comparison,
)
from scripts.findings.enrichment import (
    about_chance,
    about_enrichment,
    about_frequencies,
    about_libraries,
    about_lists,
    about_online,
    about_symbols,
    terms_key_figure,
)
from scripts.findings.models import (
    about_inductive,
    about_prediction,
    about_stability,
    about_unjudged,
    figures_of_models,
)
from scripts.findings.planted import (
    about_components,
    about_genes,
    about_named_pairs,
    about_network,
    about_pairs,
    about_products,
    planted_key_figure,
)
from scripts.findings.reading import (
    about_cell,
    about_single_genes,
    about_tested_pairs,
    about_trusted,
    facts_of_form,
    figures_of_reading,
)
from scripts.findings.text import bullets, say, table

__all__ = [
    "about_cell",
    "about_chance",
    "about_comparison",
    "about_components",
    "about_drivers",
    "about_enrichment",
    "about_frequencies",
    "about_genes",
    "about_labels",
    "about_inductive",
    "about_libraries",
    "about_lists",
    "about_markers",
    "about_named_pairs",
    "about_network",
    "about_online",
    "about_pairs",
    "about_panel_stability",
    "about_panels",
    "about_prediction",
    "about_products",
    "about_single_genes",
    "about_spectrum",
    "about_stability",
    "about_symbols",
    "about_tested_pairs",
    "about_trusted",
    "about_unjudged",
    "bullets",
    "facts_of_cells",
    "facts_of_form",
    "facts_of_graph",
    "figures_of_comparison",
    "figures_of_models",
    "figures_of_reading",
    "planted_key_figure",
    "say",
    "table",
    "terms_key_figure",
]
