"""Simple rivals of the bilinear modules, and how much both agree."""

import numpy as np
import pandas as pd
from scipy import sparse, stats

from scripts.components import variation
from scripts.modules import BilinearForm, poles


def correlations(X: np.ndarray | sparse.spmatrix, y: np.ndarray) -> np.ndarray:
    """Pearson correlation of every gene with every frequency.

    X : (n_cells, n_genes), dense or sparse; y : (n_cells, n_freq). Returns (n_genes, n_freq); 0 for what does not vary.
    """
    y = y - y.mean(axis=0, dtype=np.float64)
    size = np.sqrt(variation(X))[:, None] * np.linalg.norm(y, axis=0)
    return np.divide(X.T @ y, size, out=np.zeros_like(size), where=size > 0)


def top_genes(weights: np.ndarray, genes: list[str], n_genes: int) -> list[str]:
    """The n_genes genes of largest absolute weight, strongest first; weights : (n_genes_in_all,)."""
    return [genes[i] for i in np.argsort(-np.abs(weights), kind="stable")[:n_genes]]


def jaccard(a: list[str], b: list[str]) -> float:
    """Shared genes over all genes of two lists; 0 for two empty ones."""
    union = set(a) | set(b)
    return len(set(a) & set(b)) / len(union) if union else 0.0


def expected_jaccard(n_a: int, n_b: int, n_genes: int) -> float:
    """Mean Jaccard of two random lists of n_a and n_b out of n_genes genes (hypergeometric overlap)."""
    overlap = np.arange(min(n_a, n_b) + 1)
    chance = stats.hypergeom(n_genes, n_a, n_b).pmf(overlap)
    return float((chance * overlap / (n_a + n_b - overlap)).sum())


def overlap_p_value(n_shared: int, n_a: int, n_b: int, n_genes: int) -> float:
    """Probability that two random lists of n_a and n_b out of n_genes genes share n_shared genes or more."""
    return float(stats.hypergeom(n_genes, n_a, n_b).sf(n_shared - 1))


def compare_with_correlation(
    form: BilinearForm, correlation: np.ndarray, freq_vals: np.ndarray, n_genes: int = 25
) -> pd.DataFrame:
    """First module of each frequency beside the genes most correlated with it.

    Parameters
    ----------
    form : BilinearForm
    correlation : (n_genes_in_all, n_freq)
    freq_vals : (n_freq,)
        Eigenvalues of the Laplacian, for the table.
    n_genes : int
        Genes of each pole, and correlated genes of largest absolute value.

    Returns
    -------
    DataFrame
        One row a frequency: both poles' Jaccard with the correlated genes, the better pole, the genes it shares with
        them, the Jaccard expected of random genes, and the p-value of the overlap (twice the better pole's, as there
        were two to choose from).
    """
    _, loadings = form.modules(1)
    rows = []
    for frequency in range(form.n_freq):
        module = poles(loadings[frequency, :, 0], form.genes, n_genes)
        rival = top_genes(correlation[:, frequency], form.genes, n_genes)
        scores = {pole: jaccard(names, rival) for pole, names in module.items()}
        best = max(scores, key=scores.get)
        shared = [gene for gene in module[best] if gene in rival]
        sizes = (len(module[best]), len(rival), len(form.genes))
        rows.append(
            {
                "frequency": frequency,
                "lambda": freq_vals[frequency],
                "jaccard_positive": scores["positive"],
                "jaccard_negative": scores["negative"],
                "best_pole": best,
                "best_jaccard": scores[best],
                "expected_jaccard": expected_jaccard(*sizes),
                "p_value": min(1.0, 2 * overlap_p_value(len(shared), *sizes)),
                "n_shared": len(shared),
                "shared_genes": " ".join(shared),
                "bilinear_genes": " ".join(module[best]),
                "correlated_genes": " ".join(rival),
            }
        )
    return pd.DataFrame(rows)
