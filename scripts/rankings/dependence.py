"""What single genes, and products of two, say of each frequency."""

import numpy as np

LEAST = 0.05  # share of a product's variance that its two genes must leave unsaid for it to be asked


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


def product_correlations(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much each gene's products say that neither gene says: largest |partial correlation| over all other genes.

    For genes i and j the correlation of x_i x_j with v_f, once both are freed from x_i, x_j and a constant. All moments
    that this takes are matrix products: no regression is solved pair by pair. Pairs whose product, or frequency, the
    two genes leave less than 5% of are not asked.

    X : (n_cells, n_genes), y : (n_cells, n_freq), both centred. Returns (n_genes, n_freq), 0 where nothing is asked.
    """
    n_cells = len(X)
    x, v = (np.divide(a, s, out=np.zeros_like(a), where=s > 0) for a, s in ((X, X.std(axis=0)), (y, y.std(axis=0))))
    squares = x * x
    shared, skew = x.T @ x / n_cells, squares.T @ x / n_cells  # E x_i x_j, E x_i^2 x_j
    apart = 1 - shared**2
    asked = apart > LEAST
    np.fill_diagonal(asked, False)
    scale = np.divide(1, apart, out=np.zeros_like(apart), where=asked)
    whole = squares.T @ squares / n_cells - shared**2
    left = whole - scale * (skew**2 + skew.T**2 - 2 * shared * skew * skew.T)
    asked &= left > LEAST * whole
    own, found = x.T @ v.astype(x.dtype) / n_cells, np.zeros((x.shape[1], v.shape[1]))
    for f, r in enumerate(own.T):
        joint = (x * v[:, [f]].astype(x.dtype)).T @ x / n_cells
        joint -= scale * (skew * (r[:, None] - shared * r) + skew.T * (r - shared * r[:, None]))
        unsaid = 1 - scale * (r[:, None] ** 2 + r**2 - 2 * shared * r[:, None] * r)
        usable = asked & (unsaid > LEAST)
        size = np.sqrt(left * unsaid, out=np.ones_like(left), where=usable)
        found[:, f] = np.where(usable, np.abs(joint / size), 0).max(axis=1, initial=0)
    return found
