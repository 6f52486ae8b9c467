"""Simple rivals of the bilinear modules, and how much both agree."""

import shlex

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse, stats
from sklearn.utils import gen_batches

from scripts.blocks import Matrix, correlations, cross_products, dense, evenly, variation
from scripts.cells import COUNTS
from scripts.errors import InputError
from scripts.measures import expected_jaccard, jaccard, overlap_p_value, rank_biased_overlap, strongest
from scripts.reading import poles

N_STRATA, MIN_STRATUM = 20, 20  # of cells by their depth, at most; cells of each, at least where there are so many
BLOCK = 20_000_000  # values that are worked on at a time


def depth_of(adata: ad.AnnData) -> np.ndarray | None:
    """Counts of each cell, which its genes were divided by, (n_cells,); None where counts are not known."""
    return np.asarray(adata.layers[COUNTS].sum(axis=1)).ravel() if COUNTS in adata.layers else None


def given_depth(X: Matrix, y: np.ndarray, depth: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Correlation among cells of the same depth, and how far it is from what chance gives among them.

    Cells are put into strata of depth, up to N_STRATA of equal size. Over all ways to deal a gene's values out within
    the strata, its sum of products with a frequency has a known mean and variance (Strasser & Weber, Mathematical
    Methods of Statistics 8, 220, 1999), so that no permutation need be drawn.

    Parameters
    ----------
    X : (n_cells, n_genes), dense or sparse
    y : (n_cells, n_freq)
    depth : (n_cells,), optional
        None puts all cells into one stratum.

    Returns
    -------
    (n_genes, n_freq), (n_genes, n_freq)
        Partial correlation given the stratum; the sum of products, less its mean, in standard deviations. 0 for what
        does not vary within strata.
    """
    n_cells = len(y)
    n_strata = 1 if depth is None else int(np.clip(n_cells // MIN_STRATUM, 1, N_STRATA))
    order = np.arange(n_cells) if depth is None else np.argsort(depth, kind="stable")
    stratum = np.empty(n_cells, dtype=int)
    stratum[order] = np.arange(n_cells) * n_strata // n_cells
    size = np.bincount(stratum)
    basis = np.eye(n_strata)[stratum] / np.sqrt(size)  # (n_cells, n_strata), orthonormal
    y = y - basis @ (basis.T @ y)
    variance = basis @ (basis.T @ y**2) * (size / (size - 1))[stratum, None]  # of y in the stratum of each cell
    columns = X if isinstance(X, np.ndarray) else sparse.csc_array(X)
    correlation, z = np.zeros((2, X.shape[1], y.shape[1]))
    for genes in gen_batches(X.shape[1], max(1, BLOCK // n_cells)):
        values = dense(columns[:, genes]).astype(np.float64)
        x = values - basis @ (basis.T @ values)
        squares = np.where((x**2).sum(axis=0) > 1e-6 * (values**2).sum(axis=0), x**2, 0)  # more than rounding leaves
        product = x.T @ y
        scales = np.sqrt(np.outer(squares.sum(axis=0), (y**2).sum(axis=0))), np.sqrt(squares.T @ variance)
        for found, scale in zip((correlation, z), scales, strict=True):
            np.divide(product, scale, out=found[genes], where=scale > 0)
    return correlation, z


def driver_table(
    X: Matrix, y: np.ndarray, genes: list[str], depth: np.ndarray | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Genes correlated with each frequency, as CellRank names lineage drivers, and tested among cells of equal depth.

    A cell's depth comes into every gene when it is divided out: a gene that is independent of all else is correlated
    with a frequency that follows depth. The null is therefore a gene dealt out at random among cells of the same depth.
    The interval is of the plain correlation, by Fisher's transform: atanh(r) has the standard error 1 / sqrt(n - 3)
    (Lange et al., Nature Methods 19, 159, 2022).

    Parameters
    ----------
    X : (n_cells, n_genes), dense or sparse
    y : (n_cells, n_freq)
    genes : list of str
    depth : (n_cells,), optional
        As from `depth_of`; None: the null deals genes out among all cells.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        frequency, gene, correlation, ci_low, ci_high, given_depth (partial correlation), p_value (two-sided) and
        q_value (adjusted over all genes of a frequency, Benjamini-Hochberg); the largest absolute correlation first.
    """
    n_cells = len(y)
    if n_cells < 4:
        raise InputError(f"{n_cells} cells are too few for intervals of correlations: at least 4 are needed")
    correlation = correlations(X, y)
    partial, z = given_depth(X, y, depth)
    p = 2 * stats.norm.sf(np.abs(z))
    transformed = np.arctanh(np.clip(correlation, -1 + 1e-12, 1 - 1e-12))
    reach = stats.norm.ppf((1 + level) / 2) / np.sqrt(n_cells - 3)
    tables = []
    for f in range(y.shape[1]):
        columns = {"frequency": f, "gene": genes, "correlation": correlation[:, f]}
        columns |= {"ci_low": np.tanh(transformed[:, f] - reach), "ci_high": np.tanh(transformed[:, f] + reach)}
        columns |= {"given_depth": partial[:, f], "p_value": p[:, f]}
        columns["q_value"] = stats.false_discovery_control(p[:, f])
        tables.append(pd.DataFrame(columns).sort_values("correlation", key=lambda r: -r.abs(), kind="stable"))
    return pd.concat(tables, ignore_index=True)


def group_markers(
    X: Matrix, is_in: np.ndarray, genes: list[str], depth: np.ndarray | None = None, level: float = 0.95
) -> pd.DataFrame:
    """How much higher each gene is in some cells than in all others, with an interval, and tested given depth.

    The interval is Welch's: where a gene is shown by one of a few cells, it reaches below 0. The test is that of
    `given_depth`, which takes no gene for a marker that follows depth alone.

    Parameters
    ----------
    X : (n_cells, n_genes), dense or sparse
    is_in : (n_cells, n_groups) bool
        The cells of each group.
    genes : list of str
    depth : (n_cells,), optional
        As from `depth_of`.
    level : float
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        group, gene, difference (of the means, in standard deviations of the gene over all cells), ci_low, ci_high,
        given_depth (partial correlation with being in the group) and p_value (two-sided); the largest difference of a
        group first. The difference is NaN for what does not vary, and its interval where one of the cells is alone.
    """
    sides = np.hstack([is_in, ~is_in]).astype(float)
    squared = X**2 if isinstance(X, np.ndarray) else X.power(2)
    n_cells = sides.sum(axis=0)
    partial, z = given_depth(X, is_in.astype(float), depth)
    with np.errstate(divide="ignore", invalid="ignore"):  # NaN, as told
        mean, of_squares = cross_products(X, sides) / n_cells, cross_products(squared, sides) / n_cells
        spread = (of_squares - mean**2).clip(0) / (n_cells - 1)  # squared standard error of the mean
        (inside, outside), (a, b) = (np.split(values, 2, axis=1) for values in (mean, spread))
        freedom = (a + b) ** 2 / sum(part**2 / (n - 1) for part, n in zip((a, b), np.split(n_cells, 2), strict=True))
        unit = np.sqrt(variation(X) / len(is_in))[:, None]
        difference, reach = (inside - outside) / unit, stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(a + b) / unit
    columns = {"difference": difference, "ci_low": difference - reach, "ci_high": difference + reach}
    columns |= {"given_depth": partial, "p_value": 2 * stats.norm.sf(np.abs(z))}
    tables = [
        pd.DataFrame({"group": group, "gene": genes, **{name: values[:, group] for name, values in columns.items()}})
        for group in range(is_in.shape[1])
    ]
    return pd.concat([table.sort_values("difference", ascending=False, kind="stable") for table in tables])


def shuffled_drivers(adata: ad.AnnData, n_genes: int = 500, random_state: int = 0) -> pd.DataFrame | None:
    """`driver_table` of genes that follow nothing: how often the test names a gene that it should not.

    Counts of measured genes are permuted over all cells before they are normalised as the run's were. None where counts
    are not known. adata : AnnData, as from `datasets.prepare`; n_genes : of them, spread evenly.
    """
    y, depth = adata.obsm["X_freq"], depth_of(adata)
    if depth is None:
        return None
    counts = dense(adata.layers[COUNTS][:, evenly(adata.n_vars, n_genes)]).astype(np.float32)
    X = np.random.default_rng(random_state).permuted(counts, axis=0)
    if "normalize_total" in adata.uns["dataset"]["steps"]:
        X *= (np.median(depth) / np.maximum(depth, 1))[:, None].astype(np.float32)
    if "log1p" in adata.uns["dataset"]["steps"]:
        X = np.log1p(X)
    return driver_table(X, y, [f"shuffled {i}" for i in range(X.shape[1])], depth)


def ranking_overlap(
    patterns: np.ndarray, correlation: np.ndarray, p: float = 0.98, n_permutations: int = 200, random_state: int = 0
) -> pd.DataFrame:
    """Rank-biased overlap of all genes by |pattern| of the first module with all genes by |correlation|.

    patterns, correlation : (n_genes, n_freq); p : see `rank_biased_overlap`; n_permutations : for chance.
    Returns frequency, rbo, expected_rbo (mean of permutations) and rbo_p_value (of as much overlap by chance).
    """
    random = np.random.default_rng(random_state)
    rows = []
    for f, weights in enumerate(zip(patterns.T, correlation.T, strict=True)):
        module, rival = (np.argsort(strongest(weight)) for weight in weights)
        found = rank_biased_overlap(module, rival, p)
        chance = np.array([rank_biased_overlap(module, random.permutation(rival), p) for _ in range(n_permutations)])
        rows.append((f, found, chance.mean(), (1 + (chance >= found).sum()) / (1 + n_permutations)))
    return pd.DataFrame(rows, columns=["frequency", "rbo", "expected_rbo", "rbo_p_value"])


def compare_with_correlation(
    patterns: np.ndarray, correlation: np.ndarray, genes: list[str], freq_vals: np.ndarray, n_genes: int = 25
) -> pd.DataFrame:
    """First module of each frequency beside the genes most correlated with it.

    Parameters
    ----------
    patterns : (n_genes_in_all, n_freq)
        Of the first modules, see `reading.patterns`.
    correlation : (n_genes_in_all, n_freq)
    genes : list of str
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
    rows = []
    for frequency, pattern in enumerate(patterns.T):
        places = poles(pattern, n_genes)
        module = {pole: [genes[i] for i in own] for pole, own in places.items()}
        rival = [genes[i] for i in strongest(correlation[:, frequency], n_genes)]
        scores = {pole: jaccard(names, rival) for pole, names in module.items()}
        best = max(scores, key=lambda pole: scores[pole])
        shared = [gene for gene in module[best] if gene in rival]
        sizes = (len(module[best]), len(rival), len(genes))
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
