"""Is it true: models and methods judged on cells that they have not met, and against what is known.

`covariates`, `recovery` and `rivals` also name what they compare.
"""

from scripts.blocks import correlations
from scripts.evaluation import covariates, recovery, rivals
from scripts.evaluation.correlation import (
    compare_with_correlation,
    depth_of,
    driver_table,
    group_markers,
    ranking_overlap,
    shuffled_drivers,
)
from scripts.evaluation.covariates import covariate_table
from scripts.evaluation.markers import TOGETHER, marker_intervals, marker_recovery, marker_summary, with_rival
from scripts.evaluation.panels import (
    panel_lead,
    panel_seconds,
    panel_splits,
    panel_stability,
    panel_summary,
    panel_table,
)
from scripts.evaluation.performance import (
    STRUCTURE,
    beyond_depth,
    count_halves,
    forms_of_seeds,
    forms_of_subsamples,
    gain_of_products,
    inductive_table,
    noise_table,
    over_splits,
    performance_over_splits,
    scale_changes,
    scales,
    structureless,
    structureless_cells,
    truncation_curve,
    without_structure,
)
from scripts.evaluation.wins import where_rivals_win

__all__ = [
    "TOGETHER",
    "STRUCTURE",
    "beyond_depth",
    "count_halves",
    "compare_with_correlation",
    "correlations",
    "covariate_table",
    "covariates",
    "depth_of",
    "driver_table",
    "group_markers",
    "forms_of_seeds",
    "forms_of_subsamples",
    "gain_of_products",
    "inductive_table",
    "marker_intervals",
    "marker_recovery",
    "marker_summary",
    "noise_table",
    "over_splits",
    "panel_lead",
    "panel_seconds",
    "panel_splits",
    "panel_stability",
    "panel_summary",
    "panel_table",
    "performance_over_splits",
    "ranking_overlap",
    "recovery",
    "rivals",
    "scale_changes",
    "scales",
    "shuffled_drivers",
    "structureless",
    "structureless_cells",
    "truncation_curve",
    "where_rivals_win",
    "without_structure",
    "with_rival",
]
