"""Gene pairs whose product says of a frequency what genes and programs do not: a scan of all of them, with its test.

r_f is what components, their products, single genes and covariates leave of frequency f, e_i what components and
covariates leave of gene i, and

    T_fij = sum_c r_f e_i e_j / sqrt(sum_c (r_f e_i e_j)^2)

a self-normalised sum, close to N(0, 1) where the product says nothing, and with lighter tails where few cells make it
up (de la Pena, Lai & Shao, Self-Normalized Processes, 2009). Both sums are matrix products over blocks of genes.

Where no cell shows both genes, e_i e_j is -c_j e_i - c_i e_j but for a constant: effects of single genes, too small to
be picked, add up to a pair. T of the strongest pairs is therefore taken anew, beside what their genes say alone.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import linalg, sparse, stats

from scripts.blocks import Matrix, cross_products, dense, share_shown, variation
from scripts.graph import spectral_surrogates
from scripts.models import target_components

N_COMPONENTS = 50  # taken out of frequencies and genes
N_MULTIPLIED = 12  # of them, the leading ones, whose products are taken out of frequencies
CELLS_EACH = 20  # cells for each component, and for each product, at least; genes likewise
RANK = 1e-8  # singular value, in units of the largest, below which columns say the same
OWN_T = 4.0  # |t| of a gene, beside components and their products, from which on its own effect is taken out
MOST_OWN = 200  # such genes, and at most one for 40 cells
LEFT = 1e-6  # share of the variance that must be left of a gene or a frequency
BLOCK_VALUES, MIN_BLOCK, MAX_BLOCK = 8_000_000, 256, 1024  # values of a block of genes; genes in it
MOST_GENES = 10_000  # whose pairs are scanned: those that most cells show, as of others few pairs would be seen
NO_SIZE = np.float32(1e-12)  # in place of 0, the size of a product that no cell has, whose sum is 0 as well
BINS, MAX_T = 1000, 50  # of the counts of |T|: bins for each 1, and the end of the last
N_STRONGEST = 1000  # pairs of each frequency that are kept
ALPHA = 0.05
CONFIRMED = 0.05  # two-sided p in other cells, with the same sign
COLUMNS = ["frequency", "rank", "gene_i", "gene_j", "t", "p_value", "adjusted_p", "fdr", "called", "confirmed"]


@dataclass(frozen=True)
class ConditionedCells:
    """Frequencies and genes with what they are conditioned on taken out, genes when they are asked for.

    Attributes
    ----------
    X : (n_cells, n_genes) float32, dense, or sparse by columns
    conditions : (n_cells, n_conditions) float64
        Orthonormal: a constant and all that `condition` takes out of frequencies.
    left : (n_cells, n_freq) float64
        Of the frequencies, to variance 1; 0 where nothing is left.
    linear : (n_cells, n_linear) float32
        Orthonormal: constant, components, covariates, as taken out of genes.
    coefficients : (n_linear, n_genes) float32
    deviation : (n_genes,) float32
        Of what is left of each gene.
    tested : (n_tested,) int
        Genes of which something is left: constant ones are left out.
    """

    X: Matrix
    conditions: np.ndarray
    left: np.ndarray
    linear: np.ndarray
    coefficients: np.ndarray
    deviation: np.ndarray
    tested: np.ndarray

    def genes(self, columns: np.ndarray) -> np.ndarray:
        """What is left of some genes, to variance 1; columns : (n_columns,) int. Returns (n_cells, n_columns)."""
        e = dense(self.X[:, columns]) - self.linear @ self.coefficients[:, columns]
        e /= self.deviation[columns]
        return e

    @property
    def scanned(self) -> np.ndarray:
        """Those of the tested genes whose pairs are scanned, (n_scanned,) int."""
        if len(self.tested) <= MOST_GENES:
            return self.tested
        shown = share_shown(self.X)[self.tested]
        return np.sort(self.tested[np.argsort(-shown, kind="stable")[:MOST_GENES]])

    def of(self, y: np.ndarray) -> "ConditionedCells":
        """The same cells with other frequencies; y : (n_cells, n_freq)."""
        return replace(self, left=_left_of(y, self.conditions))

    def statistics(self, pairs: pd.DataFrame) -> np.ndarray:
        """T in float64 of pairs (frequency, i, j), beside their genes and squares; NaN where a gene is not tested."""
        t = np.full(len(pairs), np.nan)
        places = pairs[["frequency", "i", "j"]].to_numpy()
        known = np.flatnonzero(np.isin(places[:, 1:], self.tested).all(axis=1))
        conditions = self.conditions.astype(np.float32)  # products of float64 would take twice as long
        for some in _batches(len(known), max(1, BLOCK_VALUES // (4 * len(self.left)))):
            f, *pair = places[known[some]].T
            genes, place = np.unique(pair, return_inverse=True)
            one, other = place.reshape(2, -1)
            e = self.genes(genes)
            alone = np.stack([e, e**2])
            alone /= np.linalg.norm(alone, axis=1, keepdims=True)
            alone -= conditions @ (conditions.T @ alone)
            columns = np.concatenate([alone[..., one], alone[..., other]], dtype=np.float64)
            t[known[some]] = _self_normalised(_left_beside(self.left[:, f], columns) * e[:, one] * e[:, other])
        return t


def _self_normalised(products: np.ndarray) -> np.ndarray:
    size = np.sqrt((products**2).sum(axis=0))
    return np.divide(products.sum(axis=0), size, out=np.zeros_like(size), where=size > 0)


def _left_beside(y: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What is left of each y, (n_cells, n_pairs), beside columns of its own, (n_columns, n_cells, n_pairs)."""
    values, vectors = np.linalg.eigh(np.einsum("acp,bcp->pab", columns, columns))
    inverse = np.divide(1, values, out=np.zeros_like(values), where=values > RANK)
    weights = np.einsum("pak,pk,pbk,bcp,cp->ap", vectors, inverse, vectors, columns, y, optimize=True)
    return y - np.einsum("ap,acp->cp", weights, columns)


def _left_of(y: np.ndarray, conditions: np.ndarray) -> np.ndarray:
    left = y - conditions @ (conditions.T @ y)
    size = left.std(axis=0)
    some = size > np.maximum(np.sqrt(LEFT) * y.std(axis=0), RANK * np.abs(y).max(axis=0))
    return np.divide(left, size, out=np.zeros_like(left), where=some)


def _orthonormal(columns: np.ndarray) -> np.ndarray:
    """Basis of a constant and all columns, those that vary to the same size; (n_cells, rank)."""
    centred = columns - columns.mean(axis=0)
    size = np.linalg.norm(centred, axis=0)
    varying = size > RANK * np.linalg.norm(columns, axis=0)
    basis = linalg.orth(centred[:, varying] / size[varying], rcond=RANK) if varying.any() else centred[:, :0]
    return np.column_stack([np.full(len(columns), len(columns) ** -0.5), basis])


def condition(
    X: Matrix, y: np.ndarray, covariates: np.ndarray | None = None, n_components: int = N_COMPONENTS
) -> ConditionedCells:
    """Take out of frequencies and genes what a pair must say more than.

    Of frequencies: components (those of `models.target_components`), products of the leading ones, covariates, genes
    with effects of their own beside these, linear and squared, and the square and cube of all that is linear. Of genes:
    components and covariates. Of each kind there is at most one for 20 cells. Where genes are few, a twentieth of their
    number of components are taken out of them, and multiplied: more would leave nothing of them.

    Parameters
    ----------
    X : (n_cells, n_genes) float32
        Dense or sparse.
    y : (n_cells, n_freq)
    covariates : (n_cells, n_features), optional
        As from `regression.features`, side by side.
    n_components : int
    """
    n_cells, n_genes = X.shape
    X = sparse.csc_array(X) if sparse.issparse(X) else X
    if min(X.shape) < 2 or not variation(X).any():  # no pair, or nothing to tell it by
        constant = _orthonormal(np.empty((n_cells, 0)))
        return _with_genes(X, constant, np.zeros(y.shape), constant)
    n_linear = max(1, min(n_components, n_cells // CELLS_EACH, n_genes - 1))
    z = target_components(X, y, n_linear).coordinates(X)
    z /= z.std(axis=0)
    n_taken = min(z.shape[1], n_genes // CELLS_EACH)
    # k (k + 1) / 2 products of k components
    n_multiplied = min(N_MULTIPLIED, n_taken, int(np.sqrt(2 * n_cells / CELLS_EACH + 0.25) - 0.5))
    i, j = np.triu_indices(n_multiplied)
    covariates = np.empty((n_cells, 0)) if covariates is None else covariates
    programs = np.hstack([z, z[:, i] * z[:, j], covariates])
    own = _of_single_genes(X, y, programs)
    curves = _curves(y, np.hstack([z, covariates, own]))
    conditions = _orthonormal(np.hstack([programs, own, own**2, curves]))
    return _with_genes(X, conditions, _left_of(y, conditions), _orthonormal(np.hstack([z[:, :n_taken], covariates])))


def _of_single_genes(X: Matrix, y: np.ndarray, programs: np.ndarray) -> np.ndarray:
    """Genes that say of a frequency what programs leave, picked one by one for each; (n_cells, n_picked), variance 1.

    What is left of the effect of one gene would pass for its products with all genes that are skewed as it is.
    """
    n_cells, deviation = len(y), np.sqrt(variation(X) / len(y))
    deviation[deviation == 0] = np.inf
    basis, picked, most = _orthonormal(programs), np.empty(0, int), min(MOST_OWN, n_cells // (2 * CELLS_EACH))
    while len(picked) < most:
        t = np.abs(cross_products(X, _left_of(y, basis))) / deviation[:, None] / np.sqrt(n_cells)
        new = np.setdiff1d(t.argmax(axis=0)[t.max(axis=0) > OWN_T], picked)[: most - len(picked)]
        if not len(new):
            break
        picked, columns = np.concatenate([picked, new]), dense(X[:, new]).astype(np.float64)
        for _ in range(2):  # once is not enough to stay orthogonal
            columns -= basis @ (basis.T @ columns)
        basis = np.hstack([basis, linalg.orth(columns, rcond=RANK)])
    own = dense(X[:, picked]).astype(np.float64)
    return (own - own.mean(axis=0)) / own.std(axis=0)


def _curves(y: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Square and cube of each frequency's linear fit: a curve of one index is no pair (Tukey, Biometrics 5, 232, 1949).

    (n_cells, 2 n_freq), of at least 20 cells for each; else (n_cells, 0).
    """
    basis = _orthonormal(linear)[:, 1:]
    fit = basis @ (basis.T @ y)
    size = fit.std(axis=0)
    fit = fit[:, size > 0] / size[size > 0]
    return np.hstack([fit**2, fit**3])[:, : 2 * y.shape[1] if 2 * CELLS_EACH * y.shape[1] <= len(y) else 0]


def _with_genes(X: Matrix, conditions: np.ndarray, left: np.ndarray, linear: np.ndarray) -> ConditionedCells:
    n_cells, n_genes = X.shape
    coefficients, size = np.empty((linear.shape[1], n_genes)), np.empty(n_genes)
    for genes in _batches(n_genes, _block(n_cells)):
        x = dense(X[:, genes]).astype(np.float64)
        coefficients[:, genes] = linear.T @ x
        size[genes] = (x - linear @ coefficients[:, genes]).std(axis=0)
    total = variation(X)
    varies = (size**2 * n_cells > LEFT * total) & (total > 0)
    deviation = np.where(varies, size, 1)
    parts = (part.astype(np.float32) for part in (linear, coefficients, deviation))
    return ConditionedCells(X, conditions, left, *parts, tested=np.flatnonzero(varies))


def _batches(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def _block(n_cells: int) -> int:
    return int(np.clip(BLOCK_VALUES // n_cells, MIN_BLOCK, MAX_BLOCK))


@dataclass(frozen=True)
class PairScan:
    """What a scan of all pairs keeps.

    Attributes
    ----------
    strongest : DataFrame
        frequency, rank (from 1), i, j (places of the genes, i < j), t; the strongest of each frequency.
    counts : (n_freq, n_bins) int
        Pairs by |T|, in bins of 0.001; of pairs that are not kept, T is not beside what their genes say alone.
    n_scanned, n_genes : int
        Genes whose pairs were scanned, and those that could be tested.
    """

    strongest: pd.DataFrame
    counts: np.ndarray
    n_scanned: int
    n_genes: int

    @property
    def n_tests(self) -> int:
        """Pairs times frequencies."""
        return int(self.counts.sum())

    @property
    def threshold(self) -> float:
        """|T| from which on a pair is called: p <= 0.05 after Bonferroni over all pairs and frequencies."""
        return float(stats.norm.isf(ALPHA / (2 * max(self.n_tests, 1))))

    @property
    def largest(self) -> float:
        """Largest |T| of all; 0 where nothing was tested."""
        return float(self.strongest["t"].abs().max()) if len(self.strongest) else 0.0

    def at_least(self, t: np.ndarray, frequency: int) -> np.ndarray:
        """How many pairs of a frequency have |T| >= |t|, or less by at most 0.001; as t."""
        return np.cumsum(self.counts[frequency, ::-1])[::-1][_bin(np.abs(t))]

    def false_discovery_rate(self, t: np.ndarray) -> np.ndarray:
        """Adjusted p of Benjamini & Hochberg (JRSS B 57, 289, 1995) over all pairs and frequencies, as t.

        From counts: |T| is rounded down by at most 0.001, which makes it up to 0.1 |T| percent too large.
        """
        above = np.cumsum(self.counts.sum(axis=0)[::-1])[::-1]
        p = 2 * stats.norm.sf(np.arange(len(above)) / BINS)
        rate = np.minimum(1, self.n_tests * p / np.maximum(above, 1))
        return np.minimum.accumulate(rate)[_bin(np.abs(t))]


def _bin(size: np.ndarray) -> np.ndarray:
    places = size * BINS
    return np.minimum(places, MAX_T * BINS - 1, out=places).astype(np.intp)


def scan_pairs(cells: ConditionedCells, n_strongest: int = N_STRONGEST) -> PairScan:
    """T of all pairs of scanned genes and all frequencies, in blocks; no genes x genes matrix is kept.

    Products are of float32; T of the pairs that are kept is `ConditionedCells.statistics`. n_strongest : pairs kept of
    each frequency: those of largest |T| before what their genes say alone is taken out.
    """
    counts = np.zeros((cells.left.shape[1], MAX_T * BINS), np.int64)
    strongest = _strongest(cells, n_strongest, counts)
    screened, strongest["t"] = strongest["t"], cells.statistics(strongest)
    for t, change in ((screened, -1), (strongest["t"], 1)):
        np.add.at(counts, (strongest["frequency"], _bin(t.abs().to_numpy())), change)
    order = np.lexsort((strongest["j"], strongest["i"], -strongest["t"].abs(), strongest["frequency"]))
    strongest = strongest.iloc[order].reset_index(drop=True)
    strongest.insert(1, "rank", strongest.groupby("frequency").cumcount() + 1)
    return PairScan(strongest, counts, len(cells.scanned), len(cells.tested))


def _strongest(cells: ConditionedCells, n: int, counts: np.ndarray | None = None) -> pd.DataFrame:
    """The n pairs of each frequency of largest |T|, before what their genes say alone is taken out.

    counts : (n_freq, n_bins) int; pairs by |T| are added to it. Returns frequency, i, j, t.
    """
    kept = [(np.empty(0, int), np.empty(0, int), np.empty(0, np.float32))] * cells.left.shape[1]
    for f, genes_i, genes_j, t in _blocks(cells):
        if genes_i is genes_j:
            t = np.triu(t, k=1)
        size = np.abs(t)
        kept[f] = _merged(kept[f], genes_i, genes_j, t, size, n)
        if counts is not None:
            counts[f] += np.bincount(_bin(size).ravel(), minlength=MAX_T * BINS)
            if genes_i is genes_j:
                counts[f, 0] -= len(t) * (len(t) + 1) // 2  # each pair once; a gene with itself is none
    tables = [pd.DataFrame({"frequency": f, "i": i, "j": j, "t": t}) for f, (i, j, t) in enumerate(kept)]
    return pd.concat(tables, ignore_index=True)


def _blocks(cells: ConditionedCells) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """(frequency, genes_i, genes_j, T (n_i, n_j)) for blocks of genes; the same array twice for a block with itself."""
    left, scanned = cells.left.astype(np.float32), cells.scanned
    blocks = [scanned[genes] for genes in _batches(len(scanned), _block(len(left)))]
    for place, genes_i in enumerate(blocks):
        e_i = cells.genes(genes_i)
        for genes_j in blocks[place:]:
            e_j = e_i if genes_j is genes_i else cells.genes(genes_j)
            squared = e_j**2
            for f, r in enumerate(left.T):
                weighted = r[:, None] * e_i
                t = weighted.T @ e_j
                size = np.square(weighted, out=weighted).T @ squared
                np.maximum(np.sqrt(size, out=size), NO_SIZE, out=size)
                yield f, genes_i, genes_j, np.divide(t, size, out=t)


def _merged(kept: tuple, genes_i: np.ndarray, genes_j: np.ndarray, t: np.ndarray, size: np.ndarray, n: int) -> tuple:
    """The n strongest of those kept, (i, j, t), and of a block."""
    floor = np.abs(kept[2]).min() if len(kept[2]) == n else 0.0
    a, b = np.nonzero(size > floor)
    i, j, t = (np.concatenate(parts) for parts in zip(kept, (genes_i[a], genes_j[b], t[a, b]), strict=True))
    best = np.argpartition(-np.abs(t), n)[:n] if len(t) > n else slice(None)
    return i[best], j[best], t[best]


def scan_table(
    found: PairScan, genes: list[str], confirmation: np.ndarray | None = None, without_structure: Collection[int] = ()
) -> pd.DataFrame:
    """Tidy table of the strongest pairs, as saved in pairs.csv.

    Parameters
    ----------
    found : PairScan
    genes : list of str
    confirmation : (n_strongest,), optional
        Their T in cells that the scan has not seen, as from `ConditionedCells.statistics`.
    without_structure : collection of int
        Frequencies that may be depth and noise alone: their pairs are not called, and p_value, adjusted_p and fdr are
        NaN.

    Returns
    -------
    DataFrame
        frequency, rank, gene_i, gene_j, t, p_value (two-sided, against N(0, 1)), adjusted_p (Bonferroni over all pairs
        and frequencies), fdr, called (adjusted_p <= 0.05), and confirmed (same sign and p < 0.05 in the other cells;
        NaN where there are none). A pair that is not called may be one all the same: `evaluation.recovery.pair_power`
        says how large it must be.
    """
    gene_i, gene_j = (np.take(genes, found.strongest[place]) for place in ("i", "j"))
    table = found.strongest.assign(gene_i=gene_i, gene_j=gene_j)
    table["p_value"] = 2 * stats.norm.sf(table["t"].abs())
    table["adjusted_p"] = np.minimum(1, found.n_tests * table["p_value"])
    table["called"] = table["adjusted_p"] <= ALPHA
    table["fdr"] = found.false_discovery_rate(table["t"].to_numpy())
    table["confirmed"] = np.nan if confirmation is None else is_confirmed(table["t"].to_numpy(), confirmation)
    lacking = table["frequency"].isin(without_structure)
    table.loc[lacking, ["p_value", "adjusted_p", "fdr"]] = np.nan
    table["called"] &= ~lacking
    return table[COLUMNS]


def is_confirmed(t: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Same sign, and p < 0.05, in other cells; t and other : (n_pairs,) T of the same pairs. NaN is not confirmed."""
    return (t * other > 0) & (np.abs(other) > stats.norm.isf(CONFIRMED / 2))


def largest_of_surrogates(
    cells: ConditionedCells, adjacency: sparse.csr_array, n_surrogates: int = 5, random_state: int = 0
) -> np.ndarray:
    """Largest |T| of all pairs for frequencies without pairs: the check of N(0, 1), (n_surrogates,).

    As smooth on the cell graph as what is left of the frequencies, but anywhere: see `graph.spectral_surrogates`.
    Where a frequency lives on few cells, its surrogates live on more: of such ones they say less.
    adjacency : (n_cells, n_cells). Each takes as long as the scan.
    """
    made = spectral_surrogates(adjacency, cells.left, n_surrogates, random_state)
    found = [(other, _strongest(other, N_STRONGEST)) for other in map(cells.of, made)]
    return np.array([np.abs(other.statistics(pairs)).max(initial=0) for other, pairs in found])
