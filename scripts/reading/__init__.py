"""What weights say: modules, their stability, pairs, and single cells."""

from scripts.reading.cells import explain_cell, first_modules, module_scores
from scripts.reading.modules import main_effect_table, module_table, pole_loadings, poles
from scripts.reading.pairs import FDR, is_significant, pair_null, pair_table, resample, strongest_pairs
from scripts.reading.resampling import loading_intervals, strongest_of_first_modules
from scripts.reading.stability import agreement_table, module_stability, trusted_modules

__all__ = [
    "FDR",
    "agreement_table",
    "explain_cell",
    "first_modules",
    "is_significant",
    "loading_intervals",
    "main_effect_table",
    "module_scores",
    "module_stability",
    "module_table",
    "pair_null",
    "pair_table",
    "pole_loadings",
    "poles",
    "resample",
    "strongest_of_first_modules",
    "strongest_pairs",
    "trusted_modules",
]
