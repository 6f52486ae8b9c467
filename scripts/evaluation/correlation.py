"""Simple rivals of the bilinear modules, and how much both agree."""

import shlex

import numpy as np
import pandas as pd
from scipy import stats

from scripts.blocks import Matrix, variation
from scripts.errors import InputError
from scripts.measures import expected_jaccard, jaccard, overlap_p_value, rank_biased_overlap, strongest
from scripts.models import BilinearForm
from scripts.reading import poles


def correlations(X: Matrix, y: np.ndarray) -> np.ndarray:
    """Pearson correlation of every gene with every frequency.

    X : (n_cells, n_genes), dense or sparse; y : (n_cells, n_freq). Returns (n_genes, n_freq); 0 for what does not vary.
    """
    y = y - y.mean(axis=0, dtype=np.float64)
    size = np.sqrt(variation(X))[:, None] * np.linalg.norm(y, axis=0)
    return np.divide(X.T @ y, size, out=np.zeros_like(size), where=size > 0)


def driver_table(correlation: np.ndarray, n_cells: int, genes: list[str], level: float = 0.95) -> pd.DataFrame:
    """Correlated genes with intervals and adjusted p-values, as CellRank tests lineage drivers.

    Fisher's transform: atanh(r) has the standard error 1 / sqrt(n - 3) (Lange et al., Nature Methods 19, 159, 2022; the
    test is two-sided). It takes cells for independent, which neighbours on a cell graph are not: q-values are lower
    bounds. They are adjusted over all genes of a frequency (Benjamini-Hochberg).

    Parameters
    ----------
    correlation : (n_genes, n_freq)
        As from `correlations`.
    n_cells : int
        Cells that it was measured on.
    genes : list of str
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        frequency, gene, correlation, ci_low, ci_high, p_value, q_value; the largest absolute correlation first.
    """
    if n_cells < 4:
        raise InputError(f"{n_cells} cells are too few for intervals of correlations: at least 4 are needed")
    z = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))
    error = 1 / np.sqrt(n_cells - 3)
    reach = stats.norm.ppf((1 + level) / 2) * error
    p = 2 * stats.norm.sf(np.abs(z) / error)
    tables = []
    for f in range(correlation.shape[1]):
        columns = {"frequency": f, "gene": genes, "correlation": correlation[:, f]}
        columns |= {"ci_low": np.tanh(z[:, f] - reach), "ci_high": np.tanh(z[:, f] + reach), "p_value": p[:, f]}
        columns["q_value"] = stats.false_discovery_control(p[:, f])
        tables.append(pd.DataFrame(columns).sort_values("correlation", key=lambda r: -r.abs(), kind="stable"))
    return pd.concat(tables, ignore_index=True)


def ranking_overlap(
    form: BilinearForm, correlation: np.ndarray, p: float = 0.98, n_permutations: int = 200, random_state: int = 0
) -> pd.DataFrame:
    """Rank-biased overlap of all genes by |loading| on the first module with all genes by |correlation|.

    correlation : (n_genes, n_freq); p : see `rank_biased_overlap`; n_permutations : of the second ranking, for chance.
    Returns frequency, rbo, expected_rbo (mean of permutations) and rbo_p_value (of as much overlap by chance).
    """
    _, loadings = form.modules(1)
    random = np.random.default_rng(random_state)
    rows = []
    for f in range(form.n_freq):
        module, rival = (np.argsort(strongest(weights)) for weights in (loadings[f, :, 0], correlation[:, f]))
        found = rank_biased_overlap(module, rival, p)
        chance = np.array([rank_biased_overlap(module, random.permutation(rival), p) for _ in range(n_permutations)])
        rows.append((f, found, chance.mean(), (1 + (chance >= found).sum()) / (1 + n_permutations)))
    return pd.DataFrame(rows, columns=["frequency", "rbo", "expected_rbo", "rbo_p_value"])


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
        places = poles(loadings[frequency, :, 0], n_genes)
        module = {pole: [form.genes[i] for i in own] for pole, own in places.items()}
        rival = [form.genes[i] for i in strongest(correlation[:, frequency], n_genes)]
        scores = {pole: jaccard(names, rival) for pole, names in module.items()}
        best = max(scores, key=lambda pole: scores[pole])
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
                "shared_genes": shlex.join(shared),
                "bilinear_genes": shlex.join(module[best]),
                "correlated_genes": shlex.join(rival),
            }
        )
    return pd.DataFrame(rows)
