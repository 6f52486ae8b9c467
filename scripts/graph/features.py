"""What a graph of cells is built on where all genes are too many: the variable ones, weighted, and their components."""

import warnings
from functools import partial

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

from scripts.blocks import (
    BLOCK,
    Lazy,
    Matrix,
    Some,
    Weighted,
    blocks,
    cells_with,
    evenly,
    gene_means,
    in_parts,
    is_lazy,
    leading_axes,
    loaded,
    rows_of,
    scatter,
    shared,
    sums_pay,
    variation,
)
from scripts.parallel import in_order

MIN_DETECTED = 0.01  # share of the cells that a variable gene is detected in: what fewer cells do is noise to a graph
MIN_CELLS = 3  # of them, at least
N_JUDGED = 50_000  # cells that genes are judged by
PROJECTED = 10_000  # cells whose components are computed at a time
CHUNK = 500  # genes whose residuals are held at a time


def detected_genes(X: Matrix | Lazy) -> np.ndarray:
    """Genes with values other than 0 in at least `MIN_DETECTED` of the cells, and `MIN_CELLS`; (n_genes,) bool.

    X : (n_cells, n_genes), counts or their logarithms; sparse ones by rows.
    """
    return cells_with(X) >= max(MIN_CELLS, MIN_DETECTED * X.shape[0])


def variable_genes(X: Matrix | Lazy, n_genes: int, counts: bool) -> np.ndarray:
    """The most variable of the detected genes, as scanpy's highly_variable_genes ranks them; (n_genes,) bool.

    Parameters
    ----------
    X : (n_cells, n_genes)
        Counts, or logarithms of normalised counts.
    n_genes : int
        How many to take, if so many are detected.
    counts : bool
        Counts are ranked by the variance of their Pearson residuals (Lause, Berens & Kobak, Genome Biology 22, 258,
        2021), logarithms by their dispersion among genes of like mean (Zheng et al., Nature Communications 8, 14049,
        2017).
    """
    import anndata as ad
    import scanpy as sc  # takes seconds: imported where it is wanted

    chosen = detected_genes(X)
    if chosen.sum() <= n_genes:
        return chosen
    judged = loaded(rows_of(X, evenly(X.shape[0], N_JUDGED)))[0][:, chosen]
    cells = ad.AnnData(judged if isinstance(judged, np.ndarray) else sparse.csr_matrix(judged))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fractional counts, and of bins of a single gene
        if counts:
            found = sc.experimental.pp.highly_variable_genes(cells, n_top_genes=n_genes, chunksize=CHUNK, inplace=False)
        else:
            found = sc.pp.highly_variable_genes(cells, flavor="cell_ranger", n_top_genes=n_genes, inplace=False)
    chosen[chosen] = found["highly_variable"].to_numpy()
    return chosen


def pareto_scaled(X: Matrix | Lazy, genes: np.ndarray, unit: np.ndarray, fit_rows: np.ndarray | slice) -> Weighted:
    """Some genes, each divided by the square root of its standard deviation over the cells fit_rows.

    Between no scaling, where few genes decide, and scaling to variance 1, where noise counts as much as signal (van den
    Berg et al., BMC Genomics 7, 142, 2006).

    X : (n_cells, n_genes), maybe in units of its own; unit : (n_genes,) what these are; genes : (n_genes,) bool.
    Returns (n_cells, n_chosen), sparse or lazy if X is, made when rows are asked for.
    """
    chosen = np.flatnonzero(genes)
    fitted = X if isinstance(fit_rows, slice) else X[fit_rows]
    deviation = np.sqrt(variation(fitted)[chosen] / fitted.shape[0])
    weight = np.zeros_like(deviation)
    np.divide(np.sqrt(deviation * unit[genes]), deviation, out=weight, where=deviation > 0)
    return Weighted(X, chosen, weight)


def components(
    X: Matrix | Weighted | Lazy, n_components: int, fit_rows: np.ndarray | slice, random_state: int
) -> np.ndarray:
    """Principal components, those of the cells fit_rows; sparse columns are centred implicitly, never made dense.

    X : (n_cells, n_features), of at most MAX_GENES features where it is lazy, all cells then being fitted. Returns
    (n_cells, n_components) float32.
    """
    fitted = X if isinstance(fit_rows, slice) and sums_pay(X) else X[fit_rows]
    if sums_pay(fitted):
        axes = np.ascontiguousarray(leading_axes(scatter(fitted), n_components, random_state)[1])
        mean = fitted.means if isinstance(fitted, Weighted) else gene_means(fitted)
        parts = list(in_parts(X.shape[0], PROJECTED))
        found = np.empty((X.shape[0], n_components), np.float32)
        with shared(X, len(parts)) as cells:
            made = in_order(partial(_projected, mean, axes), [Some(cells, rows) for rows in parts], is_lazy(X))
            for rows, coordinates in zip(parts, made, strict=True):
                found[rows] = coordinates
        return found
    every = X[:]
    solver = "randomized" if isinstance(every, np.ndarray) else "arpack"
    found = PCA(n_components, svd_solver=solver, random_state=random_state).fit(fitted)
    return found.transform(every).astype(np.float32)


def _projected(mean: np.ndarray, axes: np.ndarray, cells: Some) -> np.ndarray:
    """Coordinates of some cells along axes, (n_rows, n_axes) float32."""
    return np.concatenate(
        [(block @ axes - mean @ axes).astype(np.float32) for _, block in blocks(cells.values(), BLOCK)]
    )
