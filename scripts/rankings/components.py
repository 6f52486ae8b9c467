"""Genes of components that were found without any frequency, weighted by what each says of one."""

import numpy as np
from sklearn.decomposition import PCA

from scripts.blocks import Matrix, along, correlations, gene_means, leading_axes, scatter, sums_pay

N_COMPONENTS = 20


def principal_components(X: Matrix) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n_cells, n_components) and loadings (n_genes, n_components) of standardised cells, dense or sparse."""
    n_components = min(N_COMPONENTS, min(X.shape) - 1)
    if sums_pay(X):
        _, axes = leading_axes(scatter(X), n_components)
        return along(X, axes) - gene_means(X) @ axes, axes
    solver = "randomized" if isinstance(X, np.ndarray) else "arpack"  # which centres sparse columns implicitly
    found = PCA(n_components, svd_solver=solver, random_state=0).fit(X)
    return found.transform(X), found.components_.T


def by_components(scores: np.ndarray, loadings: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Root of the sum over components of squared loading times squared correlation with the frequency.

    scores : (n_cells, n_components); loadings : (n_genes, n_components); y : (n_cells, n_freq).
    Returns (n_genes, n_freq).
    """
    return np.sqrt(loadings**2 @ correlations(scores, y) ** 2)
