"""What weights say: modules, their stability, pairs, single cells, and cells never seen.

`anew` also names what it compares.
"""

from scripts.reading import anew
from scripts.reading.anew import (
    fitted_patterns,
    patterns_anew,
    patterns_of_donors,
    patterns_of_fields,
    patterns_of_subsamples,
    pole_stability,
)
from scripts.reading.cells import explain_cell, module_scores
from scripts.reading.containers import add_modules, as_mudata
from scripts.reading.modules import (
    branch_genes,
    main_effect_table,
    module_axes,
    module_table,
    patterns,
    poles,
    random_patterns,
    strongest_pairs,
    with_weights,
)
from scripts.reading.resampling import loading_intervals, resampled_loadings, strongest_of_first_modules
from scripts.reading.scan import (
    ConditionedCells,
    PairScan,
    condition,
    is_confirmed,
    largest_of_surrogates,
    scan_pairs,
    scan_table,
)
from scripts.reading.scoring import N_MODULES, Scorer, as_cells, score
from scripts.reading.stability import (
    agreement_table,
    module_stability,
    recurrence,
    replication_rates,
    trusted_modules,
)

__all__ = [
    "ConditionedCells",
    "N_MODULES",
    "PairScan",
    "Scorer",
    "add_modules",
    "agreement_table",
    "anew",
    "as_cells",
    "as_mudata",
    "branch_genes",
    "condition",
    "explain_cell",
    "fitted_patterns",
    "is_confirmed",
    "largest_of_surrogates",
    "loading_intervals",
    "main_effect_table",
    "module_axes",
    "module_scores",
    "module_stability",
    "module_table",
    "patterns",
    "patterns_anew",
    "patterns_of_donors",
    "patterns_of_fields",
    "patterns_of_subsamples",
    "pole_stability",
    "poles",
    "random_patterns",
    "recurrence",
    "replication_rates",
    "resampled_loadings",
    "scan_pairs",
    "scan_table",
    "score",
    "strongest_of_first_modules",
    "strongest_pairs",
    "trusted_modules",
    "with_weights",
]
