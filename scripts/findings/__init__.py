"""Sentences for the reports, each filled from measured values; what the data does not support is not said."""

from scripts.findings.cells import about_labels, about_spectrum
from scripts.findings.comparison import (
    about_comparison,
    about_drivers,
    about_markers,
    about_panel_stability,
    about_panels,
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
from scripts.findings.models import about_prediction, about_stability, about_unjudged
from scripts.findings.planted import (
    about_components,
    about_genes,
    about_named_pairs,
    about_network,
    about_pairs,
    about_products,
    planted_key_figure,
)
from scripts.findings.reading import about_cell, about_tested_pairs, about_trusted
from scripts.findings.text import bullets

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
    "about_spectrum",
    "about_stability",
    "about_symbols",
    "about_tested_pairs",
    "about_trusted",
    "about_unjudged",
    "bullets",
    "planted_key_figure",
    "terms_key_figure",
]
