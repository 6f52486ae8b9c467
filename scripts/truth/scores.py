"""How each method that pages use ranks all pairs of genes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scripts.blocks import correlations
from scripts.bmlp import Config, ScBMLPRegressor
from scripts.cells import CellDataset
from scripts.evaluation import recovery
from scripts.measures import average_precision_of_ranks
from scripts.models import BilinearForm, BilinearRidge, GeneRidge
from scripts.reading import condition, scan_pairs

SCAN, COMPONENTS, DESCENT, ALL_GENES, PRODUCTS, CORRELATION, CO_EXPRESSION = (
    "scan of pairs",
    "bilinear, components",
    "bilinear, gradient descent",
    "bilinear, all genes",
    "correlation of products",
    "correlation of genes",
    "co-expression",
)
MODELS, RIVALS = (COMPONENTS, DESCENT, ALL_GENES), (PRODUCTS, CORRELATION, CO_EXPRESSION)
N_HIDDEN = 64  # products of the model that gradient descent fits
AUPRC, CALLED, PRECISION, RECALL = "AUPRC", "pairs called", "precision of those called", "recall of those called"


@dataclass(frozen=True)
class Ranked:
    """What a method makes of the pairs for one target.

    Attributes
    ----------
    auprc : float
        Area under the precision-recall curve of the true pairs among all pairs.
    first : (n_first, 2) int
        The pairs of highest score.
    called : {measure: float}
        `CALLED`, `PRECISION` (NaN of none) and `RECALL` of the pairs past the scan's threshold; empty for others.
    """

    auprc: float
    first: np.ndarray
    called: dict[str, float]


def fitted_forms(train: CellDataset, val: CellDataset) -> dict[str, BilinearForm]:
    """Each bilinear model as fitted, {method: form}."""
    n_genes, n_freq = (part.shape[1] for part in train.arrays())
    models = {
        COMPONENTS: BilinearRidge(),
        DESCENT: ScBMLPRegressor(Config(n_genes, N_HIDDEN, n_freq)),
        ALL_GENES: GeneRidge(),
    }
    genes = [str(gene) for gene in range(n_genes)]
    for model in models.values():
        model.fit(train, val)
    return {name: model.form(genes) for name, model in models.items()}


def ranked_pairs(
    forms: dict[str, BilinearForm], train: CellDataset, mix: np.ndarray, true: np.ndarray, n_first: int
) -> Iterator[tuple[str, Ranked]]:
    """(method, what it makes of all pairs) for one sum of frequencies.

    Parameters
    ----------
    forms : as from `fitted_forms`
    train : CellDataset
    mix : (n_freq,)
        The sum of frequencies that is read, the same for every method.
    true : (n_true, 2) int
        The pairs to be found.
    n_first : int
        Pairs of highest score to give.
    """
    X, y = train.arrays()
    target = y @ mix
    cells = condition(X, target[:, None])
    found = scan_pairs(cells)
    (own,) = recovery.scan_recovery(found, cells, true[None]).to_dict("records")
    called = {CALLED: own["n_called"], PRECISION: own["precision"], RECALL: own["recall"]}
    yield SCAN, Ranked(own["auprc"], found.strongest[["i", "j"]].to_numpy()[:n_first], called)
    for method, scores in pair_scores(forms, X, target, mix):
        np.fill_diagonal(scores, -1)  # below all others: a gene with itself is no pair
        at_least = [int((scores >= scores[i, j]).sum()) // 2 for i, j in true]
        yield method, Ranked(average_precision_of_ranks(np.array(at_least)), first_pairs(scores, n_first), {})


def pair_scores(
    forms: dict[str, BilinearForm], X: np.ndarray, target: np.ndarray, mix: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    """(method, score of every pair, (n_genes, n_genes) symmetric): all but the scan, one matrix at a time.

    Models by |2 B[i, j]|; correlation of genes by the product of both genes' |correlation| with the target.
    X : (n_cells, n_genes); target : (n_cells,); mix : (n_freq,).
    """
    for method, form in forms.items():
        yield method, pair_weights(form, mix)
    X = X - X.mean(axis=0)
    alone = np.abs(correlations(X, target[:, None]))[:, 0]
    yield PRODUCTS, product_correlations(X, target)
    yield CORRELATION, np.outer(alone, alone)
    size = np.maximum(np.linalg.norm(X, axis=0), 1e-12)
    yield CO_EXPRESSION, np.abs((X / size).T @ (X / size))


def pair_weights(form: BilinearForm, mix: np.ndarray) -> np.ndarray:
    """|2 B[i, j]| of every pair of genes for a sum of frequencies, (n_genes, n_genes); mix : (n_freq,)."""
    basis = form.basis.astype(np.float32)
    core = np.tensordot(mix, form.core, axes=1).astype(np.float32)
    scores = np.abs(2 * (basis @ core) @ basis.T)
    return np.maximum(scores, scores.T)  # the same to the last bit


def product_correlations(X: np.ndarray, target: np.ndarray) -> np.ndarray:
    """|correlation| of x_i x_j with the target for every pair of genes, each on its own, (n_genes, n_genes).

    X : (n_cells, n_genes), each gene of mean 0; target : (n_cells,).
    """
    squared, standard = X**2, ((target - target.mean()) / target.std()).astype(X.dtype)
    variance = squared.T @ squared / len(X) - (X.T @ X / len(X)) ** 2
    found = np.abs((X * standard[:, None]).T @ X / len(X) / np.sqrt(np.maximum(variance, 1e-12)))
    return np.maximum(found, found.T)


def first_pairs(scores: np.ndarray, n: int) -> np.ndarray:
    """The n pairs i < j of highest score, (n, 2); scores : (n_genes, n_genes) symmetric, lowest on the diagonal."""
    best = np.argpartition(-scores, 2 * n, axis=None)[: 2 * n]
    i, j = np.unravel_index(best, scores.shape)
    pairs = np.unique(np.sort(np.stack([i, j], axis=1), axis=1), axis=0)
    return pairs[np.argsort(-scores[pairs[:, 0], pairs[:, 1]], kind="stable")][:n]
