"""Figures: each function takes data and returns one plotly figure; none shows it.

Names that come from data (genes, cell types, terms) are escaped, as plotly reads a subset of HTML in every text.
"""

from scripts.figures.cells import (
    branch_scatter,
    cell_map,
    frequency_boxes,
    frequency_scatter,
    label_counts,
    label_scatter,
    own_layout_scatter,
    pair_scatter,
    quality_violins,
    scale_lines,
    spectrum,
)
from scripts.figures.comparison import (
    covariate_dots,
    driver_intervals,
    end_intervals,
    jaccard_by_frequency,
    method_dots,
    panel_curves,
)
from scripts.figures.enrichment import enrichment_heatmap, term_dots
from scripts.figures.layout import add_layout, lay_out, sample_cells
from scripts.figures.models import (
    accuracy_dots,
    agreement_bars,
    confusion_cells,
    loss_curves,
    performance_dots,
    predicted_against_true,
    response_surface,
    truncation_curves,
)
from scripts.figures.planted import network_bars, pair_cells, recovery_curves
from scripts.figures.reading import (
    cell_tree_boxes,
    cell_waterfall,
    cluster_agreement_lines,
    eigenvalue_spectrum,
    main_effect_bars,
    nestedness_dots,
    pair_network,
    pole_bars,
    score_scatter,
    stability_bars,
)

__all__ = [
    "accuracy_dots",
    "add_layout",
    "agreement_bars",
    "cell_map",
    "cell_tree_boxes",
    "branch_scatter",
    "cell_waterfall",
    "cluster_agreement_lines",
    "confusion_cells",
    "covariate_dots",
    "driver_intervals",
    "eigenvalue_spectrum",
    "end_intervals",
    "enrichment_heatmap",
    "frequency_boxes",
    "frequency_scatter",
    "jaccard_by_frequency",
    "label_counts",
    "label_scatter",
    "lay_out",
    "loss_curves",
    "main_effect_bars",
    "method_dots",
    "nestedness_dots",
    "network_bars",
    "pair_cells",
    "pair_network",
    "own_layout_scatter",
    "pair_scatter",
    "panel_curves",
    "performance_dots",
    "pole_bars",
    "predicted_against_true",
    "quality_violins",
    "recovery_curves",
    "response_surface",
    "sample_cells",
    "scale_lines",
    "score_scatter",
    "spectrum",
    "stability_bars",
    "term_dots",
    "truncation_curves",
]
