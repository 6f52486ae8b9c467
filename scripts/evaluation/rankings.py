"""In which order each method names the genes of a frequency, read from training cells alone."""

import numpy as np

from scripts.blocks import Matrix, Standard, correlations, dense
from scripts.measures import ends, strongest
from scripts.models import BilinearForm, multiple_correlation
from scripts.reading import patterns

PANEL, MODULE, MODULES, MAIN = "bilinear panel", "first module", "all modules", "main effects"
LINEAR, CORRELATION, INFORMATION, RANDOM = "linear panel", "correlation", "mutual information", "random genes"
METHODS = (PANEL, MODULE, MODULES, MAIN, LINEAR, CORRELATION, INFORMATION, RANDOM)
BILINEAR = METHODS[:4]  # those that read the bilinear form
LIMIT = 5.0  # standard deviations that expression is limited to: rare genes reach 50, and few cells would decide
N_SCREENED = 1_000  # genes of largest multiple correlation with all frequencies, among which the greedy panels choose
N_DIRECTIONS = 20  # leading modules that the bilinear panel rebuilds


class Expression(Standard):
    """Standardised and limited expression, by the means and standard deviations of the training cells."""

    def columns(self, X: Matrix, genes: np.ndarray) -> np.ndarray:
        """(n_cells, n_chosen) float32 of the chosen genes, centred; genes : (n_chosen,) int."""
        chosen = (dense(X[:, genes]) - self.mean[genes]) / self.deviation[genes]
        return np.clip(chosen, -LIMIT, LIMIT).astype(np.float32)


def greedy(gram: np.ndarray, cross: np.ndarray, n_genes: int) -> np.ndarray:
    """Genes whose linear combinations rebuild the targets best, chosen one after the other.

    Simultaneous orthogonal matching pursuit (Tropp et al., Signal Processing 86, 572, 2006), with the exact gain of
    each gene: what chosen genes say already counts no more, so that no program is named twice. All that it needs to
    know of the cells are scalar products: the choice is the order of pivots of a Cholesky factor of the genes' own.

    Parameters
    ----------
    gram : (n_candidates, n_candidates) float64
        Scalar products of the candidate genes' expression, centred.
    cross : (n_candidates, n_targets) float64
        Theirs with the targets, whose variances say how much each matters.
    n_genes : int

    Returns
    -------
    (n_genes,) int, indices of candidates in the order of choice; fewer where no further one adds anything.
    """
    start, left = gram.diagonal(), cross.copy()
    norm, free, chosen = start.copy(), start > 0, []
    factor = np.zeros((min(n_genes, len(gram)), len(gram)))
    for number, row in enumerate(factor):
        free &= norm > 1e-3 * start
        if not free.any():
            break
        gain = np.divide((left**2).sum(axis=1), norm, out=np.full(len(norm), -1.0), where=free)
        chosen.append(best := int(gain.argmax()))
        free[best] = False
        size = np.sqrt(norm[best])
        row[:] = (gram[best] - factor[:number, best] @ factor[:number]) / size
        left -= np.outer(row, left[best] / size)
        norm = np.clip(norm - row**2, 0, None)
    return np.array(chosen, dtype=int)


def form_targets(form: BilinearForm, X: Matrix, frequency: int) -> np.ndarray:
    """What a panel must rebuild so that the form can be evaluated: main effects w . x and the modules' u . x.

    Each is scaled to the standard deviation of what it adds to the prediction: w . x itself, or lambda (u . x)^2.
    X : (n_cells, n_genes). Returns (n_cells, 1 + n_modules) float64.
    """
    values, vectors = (leading[..., :N_DIRECTIONS] for leading in form.eigenpairs(frequency))
    directions = np.column_stack([form.main[frequency], form.basis @ vectors])
    scores = np.asarray(X @ directions.astype(X.dtype), dtype=np.float64)
    scores -= scores.mean(axis=0)
    size = scores.std(axis=0)
    added = np.concatenate([size[:1], np.abs(values) * (scores[:, 1:] ** 2).std(axis=0)])
    return scores * np.divide(added, size, out=np.zeros_like(size), where=size > 0)


def mutual_information(X: np.ndarray, y: np.ndarray, n_bins: int = 8) -> np.ndarray:
    """Mutual information of each gene with each frequency, both in bins of equally many cells, in nats.

    Equal values share a bin, so that a gene of many zeros has fewer. The bias of the counts is taken off to first order
    (Miller 1955): (bins - 1)(bins' - 1) / 2n. X : (n_cells, n_genes); y : (n_cells, n_freq). Returns (n_genes, n_freq).
    """
    (n_cells, n_freq), n_genes, inner = y.shape, X.shape[1], np.linspace(0, 1, n_bins + 1)[1:-1]
    edges = np.quantile(y, inner, axis=0).T
    bins = [np.searchsorted(edges_of_f, y_of_f) for edges_of_f, y_of_f in zip(edges, y.T, strict=True)]
    member = np.hstack([np.eye(n_bins, dtype=np.float32)[of_f] for of_f in bins])  # (n_cells, n_freq * n_bins)
    above = [np.tile(member.sum(axis=0), (n_genes, 1))]
    above += [(limit < X).T.astype(np.float32) @ member for limit in np.quantile(X, inner, axis=0)]
    counts = -np.diff(np.stack([*above, np.zeros_like(above[0])]), axis=0)
    joint = counts.reshape(n_bins, n_genes, n_freq, n_bins).astype(np.float64) / n_cells
    apart = joint.sum(axis=3, keepdims=True) * joint.sum(axis=0, keepdims=True)
    terms = joint * np.log(np.divide(joint, apart, out=np.ones_like(joint), where=joint > 0))
    used = (joint.sum(axis=3) > 0).sum(axis=0)
    return terms.sum(axis=(0, 3)) - (used - 1) * (n_bins - 1) / (2 * n_cells)


def _both_poles(loading: np.ndarray, n_genes: int) -> np.ndarray:
    """Half of the genes from each pole, in turns."""
    turns = np.column_stack(ends(loading)).ravel()
    return turns[np.sort(np.unique(turns, return_index=True)[1])][:n_genes]


def rank_genes(form: BilinearForm, train, n_genes: int, random_state: int = 0) -> dict[tuple[str, int], np.ndarray]:
    """The genes that each method names for each frequency, the first the most important.

    Parameters
    ----------
    form : BilinearForm
        Fitted to the same training cells.
    train : CellDataset
        Training cells; no other cells are looked at.
    n_genes : int
        How many each names.
    random_state : int
        Seed of the random genes.

    Returns
    -------
    {(method, frequency): (n_genes,) int}, methods in the order of METHODS.
    """
    X, y = train.arrays()
    expression = Expression.of(X)
    screened = strongest(multiple_correlation(X, y), max(N_SCREENED, n_genes))
    known = expression.columns(X, screened)
    correlation, information = correlations(known, y), mutual_information(known, y)
    centred = known - known.mean(axis=0)
    gram = (centred.T @ centred).astype(np.float64)

    def rebuild(targets: np.ndarray) -> np.ndarray:
        return screened[greedy(gram, (centred.T @ targets.astype(centred.dtype)).astype(np.float64), n_genes)]

    random = np.random.default_rng(random_state)
    first_modules = patterns(form, X, 1)[:, :, 0]
    found = {}
    for f in range(form.n_freq):
        found[PANEL, f] = rebuild(form_targets(form, X, f))
        found[MODULE, f] = _both_poles(first_modules[f], n_genes)
        rows = np.linalg.norm(form.basis @ form.core[f], axis=1)  # of B_f, as the basis is orthonormal
        found[MODULES, f] = strongest(rows * expression.deviation, n_genes)
        found[MAIN, f] = strongest(form.main[f] * expression.deviation, n_genes)
        found[LINEAR, f] = rebuild(y[:, [f]])
        found[CORRELATION, f] = screened[strongest(correlation[:, f], n_genes)]
        found[INFORMATION, f] = screened[ends(information[:, f], n_genes)[0]]
        found[RANDOM, f] = random.permutation(X.shape[1])[:n_genes]
    order = [(method, f) for method in METHODS for f in range(form.n_freq)]
    return {key: found[key] for key in order}
