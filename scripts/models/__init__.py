"""The objects in the middle, and the solvers that give them."""

from scripts.models.components import TILT, Components, multiple_correlation, target_components
from scripts.models.contract import Model, PolynomialModel, Predictor, arrays_to_fit, check_device, check_genes
from scripts.models.form import BilinearForm
from scripts.models.kernel import GeneRidge, KernelRidge, polynomial_ridge, solve_kernel
from scripts.models.polynomial import PolynomialForm, monomials
from scripts.models.programs import ProgramRidge
from scripts.models.ridge import BilinearRidge, fit_products

__all__ = [
    "BilinearForm",
    "BilinearRidge",
    "Components",
    "GeneRidge",
    "KernelRidge",
    "Model",
    "PolynomialForm",
    "PolynomialModel",
    "Predictor",
    "ProgramRidge",
    "TILT",
    "arrays_to_fit",
    "check_device",
    "check_genes",
    "fit_products",
    "monomials",
    "multiple_correlation",
    "polynomial_ridge",
    "solve_kernel",
    "target_components",
]
