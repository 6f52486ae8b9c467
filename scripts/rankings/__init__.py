"""In which order each method names the genes of a frequency: the bilinear model's own readings, and their rivals.

All are read from training cells alone. Three rivals are packages that need not be installed: `missing` tells which.
"""

from scripts.rankings.dependence import mutual_information, product_correlations
from scripts.rankings.laplacian import laplacian_scores
from scripts.rankings.methods import (
    BILINEAR,
    CORRELATION,
    GROUPS,
    INFORMATION,
    LAPLACIAN,
    LINEAR,
    MAIN,
    METHODS,
    MODULE,
    MODULES,
    ONE_LIST,
    PANEL,
    PCA,
    PRODUCTS,
    RANDOM,
    Ranking,
    rank_genes,
)
from scripts.rankings.packages import (
    CNMF,
    HAYSTACK,
    HOTSPOT,
    PACKAGES,
    cnmf_programs,
    hotspot_search,
    installed,
    missing,
    quiet,
)
from scripts.rankings.pursuit import greedy
from scripts.rankings.training import Expression, TrainingCells

__all__ = [
    "BILINEAR",
    "CNMF",
    "CORRELATION",
    "Expression",
    "GROUPS",
    "HAYSTACK",
    "HOTSPOT",
    "INFORMATION",
    "LAPLACIAN",
    "LINEAR",
    "MAIN",
    "METHODS",
    "MODULE",
    "MODULES",
    "ONE_LIST",
    "PACKAGES",
    "PANEL",
    "PCA",
    "PRODUCTS",
    "RANDOM",
    "Ranking",
    "TrainingCells",
    "cnmf_programs",
    "greedy",
    "hotspot_search",
    "installed",
    "laplacian_scores",
    "missing",
    "mutual_information",
    "product_correlations",
    "quiet",
    "rank_genes",
]
