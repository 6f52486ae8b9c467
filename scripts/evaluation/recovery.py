"""Who finds what is known: planted genes and pairs, and the edges of a published network."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.linear_model import RidgeCV
from sklearn.metrics import average_precision_score, roc_auc_score

from scripts.blocks import correlations, share_shown
from scripts.cells import CellDataset, PlantedCells, Planting, Preparation, plant, split_rows, torch_splits, with_pairs
from scripts.datasets import prepare
from scripts.measures import expected_average_precision, strongest
from scripts.models import BilinearForm, BilinearRidge, GeneRidge
from scripts.reading import ConditionedCells, PairScan, condition, scan_pairs
from scripts.sources import resolve

BILINEAR, COMPONENTS, LINEAR, CORRELATION, PRODUCTS, CO_EXPRESSION, PLANTED = (
    "bilinear, all genes",
    "bilinear, components",
    "linear ridge",
    "correlation of genes",
    "correlation of products",
    "co-expression",
    "planted pairs",
)
PAIRS, SILENT_PAIRS, PAIR_GENES, PROGRAM_GENES, PANEL = (
    "pairs among all pairs",
    "pairs among genes without signal of their own",
    "genes of the pairs",
    "program genes of A1 and A2",
    "named pairs predict held-out cells",
)
RECOVERY = ["frequency", "auprc", "n_called", "precision", "recall"]  # columns
# Regulators of each gene in the Boolean rules of Krumsiek et al., PLoS ONE 6, e22649 (2011), Table 1; its effect on
# itself is left out, as a pair has two genes
KRUMSIEK_REGULATORS = {
    "Gata2": ("Gata1", "Fog1", "Pu.1"),
    "Gata1": ("Gata2", "Fli1", "Pu.1"),
    "Fog1": ("Gata1",),
    "EKLF": ("Gata1", "Fli1"),
    "Fli1": ("Gata1", "EKLF"),
    "SCL": ("Gata1", "Pu.1"),
    "Cebpa": ("Gata1", "Fog1", "SCL"),
    "Pu.1": ("Cebpa", "Gata1", "Gata2"),
    "cJun": ("Pu.1", "Gfi1"),
    "EgrNab": ("Pu.1", "cJun", "Gfi1"),
    "Gfi1": ("Cebpa", "EgrNab"),
}


def all_pair_weights(form: BilinearForm, mix: np.ndarray) -> np.ndarray:
    """|2 B[i, j]| of every pair of genes i < j, as np.triu_indices lists them, (n_pairs,); for hundreds of genes.

    mix : (n_mixed, n_freq), sums of frequencies to read; of several, the root of the sum of squares is taken.
    """
    basis, core = form.basis, np.tensordot(mix, form.core, axes=1)
    rows = [(basis[i] @ core) @ basis[i + 1 :].T for i in range(len(basis))]
    return 2 * np.linalg.norm(np.concatenate(rows, axis=1), axis=0)


def product_correlations(X: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """|correlation| of x_i x_j with the targets for every pair of genes, (n_pairs,): each pair on its own.

    X : (n_cells, n_genes), each gene of mean 0; targets : (n_cells, n_targets), over which the root of the
    sum of squares is taken.
    """
    i, j = np.triu_indices(X.shape[1], 1)
    second, fourth = X.T @ X / len(X), (X**2).T @ (X**2) / len(X)
    sd = np.sqrt(np.maximum(fourth - second**2, 1e-12))
    standard = (targets - targets.mean(axis=0)) / targets.std(axis=0)
    found = np.stack([(X * t[:, None]).T @ X / len(X) / sd for t in standard.T])
    return np.linalg.norm(found, axis=0)[i, j]


def fitted_forms(train: CellDataset, val: CellDataset, genes: list[str]) -> dict[str, BilinearForm]:
    """The bilinear model on all genes and on components, and the linear model, {method: form}."""
    models = {BILINEAR: GeneRidge(), COMPONENTS: BilinearRidge(), LINEAR: GeneRidge(pair_penalties=(np.inf,))}
    for model in models.values():
        model.fit(train, val)
    return {name: model.form(genes) for name, model in models.items()}


def pair_scores(forms: dict[str, BilinearForm], X: np.ndarray, y: np.ndarray, mix: np.ndarray) -> dict:
    """Score of every pair of genes by every method, {method: (n_pairs,)}.

    forms : as `fitted_forms`; X (n_cells, n_genes), genes of mean 0 and variance 1, and y (n_cells, n_freq) of the
    training cells; mix as in `all_pair_weights`. Methods that score genes score a pair by the product.
    """
    i, j = np.triu_indices(X.shape[1], 1)
    X = np.asarray(X - X.mean(axis=0), dtype=np.float64)
    targets = y @ mix.T
    by_gene = {LINEAR: mix @ forms[LINEAR].main, CORRELATION: correlations(X, targets).T}
    return {
        **{name: all_pair_weights(forms[name], mix) for name in (BILINEAR, COMPONENTS)},
        **{name: np.linalg.norm(score[:, i] * score[:, j], axis=0) for name, score in by_gene.items()},
        PRODUCTS: product_correlations(X, targets),
        CO_EXPRESSION: np.abs(np.corrcoef(X.T)[i, j]),
    }


def strongest_pair(scores: np.ndarray, n_genes: int) -> np.ndarray:
    """Score of each gene's strongest pair, (n_genes,); scores : (n_pairs,) as np.triu_indices lists them."""
    strongest = np.zeros(n_genes)
    for side in np.triu_indices(n_genes, 1):
        np.maximum.at(strongest, side, scores)
    return strongest


def planted_recovery(cells: PlantedCells, random_state: int = 0) -> pd.DataFrame:
    """How well each method finds what was planted, from 70 % of the cells.

    Returns
    -------
    DataFrame
        task, method, measure ("AUPRC", or "R2" of the panel on held-out cells), value, and what chance gives.
    """
    train, val, test = split_rows(len(cells.y), random_state)
    known, held_out = (CellDataset(cells.X[rows], cells.y[rows]) for rows in (train, val))
    forms = fitted_forms(known, held_out, cells.genes)
    scores = pair_scores(forms, cells.X[train], cells.y[train], cells.contrast)
    n_genes = len(cells.genes)
    i, j = np.triu_indices(n_genes, 1)
    true = np.isin(i * n_genes + j, cells.pairs @ [n_genes, 1])
    rows = [
        *_precision(PAIRS, scores, true, np.full(true.shape, True)),
        *_precision(SILENT_PAIRS, scores, true, cells.silent[i] & cells.silent[j]),
        *_gene_rows(cells, forms, scores, train),
    ]
    target, fit = (cells.y @ cells.contrast.T)[:, 0], np.concatenate([train, val])
    for method, score in {**scores, PLANTED: true.astype(float)}.items():
        best = strongest(score, len(cells.pairs))
        rows.append((PANEL, method, "R2", pair_panel_r2(cells.X, target, i[best], j[best], fit, test), 0.0))
    return pd.DataFrame(rows, columns=["task", "method", "measure", "value", "chance"])


def _gene_rows(cells: PlantedCells, forms: dict[str, BilinearForm], scores: dict, train: np.ndarray) -> list[tuple]:
    """Genes of the pairs, by the strongest pair of each, and program genes, by main effects; both among the noise."""
    mix, program = cells.contrast, cells.split_program
    correlation = np.abs(correlations(cells.X[train], cells.y[train] @ mix.T))[:, 0]
    main = {name: np.abs(mix @ form.main)[0] for name, form in forms.items()}
    single = {LINEAR: main[LINEAR], CORRELATION: correlation}
    strongest = {name: strongest_pair(scores[name], len(program)) for name in (BILINEAR, COMPONENTS, PRODUCTS)}
    return [
        *_precision(PAIR_GENES, strongest | single, cells.role == "pair", cells.silent),
        *_precision(PROGRAM_GENES, main | single, program, program | (cells.role == "noise")),
    ]


def _precision(task: str, scores: dict[str, np.ndarray], true: np.ndarray, among: np.ndarray) -> list[tuple]:
    n = int(among.sum())
    chance = expected_average_precision(n, int(true[among].sum()), n)
    return [
        (task, method, "AUPRC", float(average_precision_score(true[among], score[among])), chance)
        for method, score in scores.items()
    ]


def pair_panel_r2(
    X: np.ndarray, target: np.ndarray, i: np.ndarray, j: np.ndarray, fit: np.ndarray, test: np.ndarray
) -> float:
    """R2 on held-out cells of a ridge on the named pairs: their products and their genes.

    X : (n_cells, n_genes); target : (n_cells,); i, j : genes of the pairs; fit, test : rows.
    """
    features = np.concatenate([X[:, i] * X[:, j], X[:, np.union1d(i, j)]], axis=1)
    return RidgeCV(np.logspace(0, 4, 9)).fit(features[fit], target[fit]).score(features[test], target[test])


def planted_sweep(settings: Planting, interactions: list[float], n_seeds: int) -> pd.DataFrame:
    """Recovery as the difference between A1 and A2 moves from single genes into pairs.

    Returns
    -------
    DataFrame
        interaction, seed, and the columns of `planted_recovery`.
    """
    tables = []
    for seed in range(settings.random_state, settings.random_state + n_seeds):
        for interaction in interactions:
            cells = plant(replace(settings, interaction=interaction, random_state=seed))
            tables.append(planted_recovery(cells, seed).assign(interaction=float(interaction), seed=seed))
    table = pd.concat(tables, ignore_index=True)
    return table[["interaction", "seed", "task", "method", "measure", "value", "chance"]]


def seen_by_components(cells: PlantedCells, random_state: int = 0) -> pd.DataFrame:
    """How much of each kind of gene lies in the components whose products the model on components can use.

    Returns
    -------
    DataFrame
        genes, n_genes, share_in_components (of a gene's direction, mean), and if_random: that of any gene in as many
        random components.
    """
    train, val, _ = split_rows(len(cells.y), random_state)
    model = BilinearRidge()
    model.fit(*(CellDataset(cells.X[rows], cells.y[rows]) for rows in (train, val)))
    basis = model.form(cells.genes).basis
    table = pd.DataFrame({"genes": cells.role, "share_in_components": (basis**2).sum(axis=1)})
    table = table.groupby("genes", sort=False)["share_in_components"].agg(n_genes="size", share_in_components="mean")
    return table.assign(if_random=basis.shape[1] / len(basis)).reset_index()


def scan_recovery(found: PairScan, cells: ConditionedCells, pairs: np.ndarray) -> pd.DataFrame:
    """How well a scan finds planted pairs among all pairs; pairs : (n_freq, n_pairs, 2) int, planted in each frequency.

    Returns
    -------
    DataFrame
        frequency, auprc (average precision among all pairs of the frequency), n_called (pairs past the threshold),
        precision (share of them that are planted, NaN where none is), recall (share of the planted that are called).
        A pair that shares a gene with a planted one counts as false.
    """
    rows = []
    for frequency, planted in enumerate(pairs):
        places = pd.DataFrame({"frequency": frequency, "i": planted.min(axis=1), "j": planted.max(axis=1)})
        t = np.sort(np.nan_to_num(np.abs(cells.statistics(places))))[::-1]
        hits = np.arange(1, len(t) + 1)
        precision = hits / np.maximum(found.at_least(t, frequency), hits)
        n_called = int(found.at_least(np.array([found.threshold]), frequency)[0])
        n_true = int((t >= found.threshold).sum())
        rows.append((frequency, precision.mean(), n_called, n_true / n_called if n_called else np.nan, n_true / len(t)))
    return pd.DataFrame(rows, columns=RECOVERY)


def pair_power(
    X: np.ndarray | sparse.csr_array,
    y: np.ndarray,
    covariates: np.ndarray | None = None,
    shares: tuple[float, ...] = (0.005, 0.01, 0.02),
    n_pairs: int = 10,
    random_state: int = 0,
    least_cells: float = 0.25,
) -> pd.DataFrame:
    """How well the scan would have found pairs of these genes in these cells, had there been any.

    Pairs of genes are planted into the frequencies as they are (`cells.with_pairs`), and all pairs are scanned.

    Parameters
    ----------
    X : (n_cells, n_genes) float32, dense or sparse; y : (n_cells, n_freq)
    covariates : (n_cells, n_features), optional
    shares : tuple of float
        Of a frequency's variance that each pair makes up; each takes as long as the scan.
    n_pairs : int
        Planted in each frequency; fewer where there are not so many genes, none where there are not two.
    random_state : int
    least_cells : float
        Share of the cells that show a gene of a pair: of genes that few cells show, few pairs are found.

    Returns
    -------
    DataFrame
        share, and the columns of `scan_recovery`; no rows where nothing can be planted.
    """
    n_pairs = min(n_pairs, int((share_shown(X) >= least_cells).sum()) // 2)
    columns, rows = ["share", *RECOVERY], []
    for share in shares if n_pairs else ():
        targets, pairs = with_pairs(X, y, n_pairs, share, random_state, least_cells)
        cells = condition(X, targets, covariates)
        rows.append(scan_recovery(scan_pairs(cells), cells, pairs).assign(share=share)[columns])
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def krumsiek_edges(genes: list[str]) -> np.ndarray:
    """Which pairs of genes are an edge of the published network, direction left out; (n_pairs,) bool."""
    edges = {frozenset((gene, other)) for gene, others in KRUMSIEK_REGULATORS.items() for other in others}
    return np.array(
        [frozenset((genes[i], genes[j])) in edges for i, j in zip(*np.triu_indices(len(genes), 1), strict=True)]
    )


def krumsiek_recovery(k_neighbors: int = 10, n_freq: int = 5, n_seeds: int = 3) -> pd.DataFrame:
    """How well each method finds the edges of the network that krumsiek11 was simulated from.

    Returns
    -------
    DataFrame
        seed (of the split into training and validation cells), method, measure ("AUPRC", "AUROC"), value, chance.
    """
    rows = []
    for seed in range(n_seeds):
        settings = Preparation(k_neighbors=k_neighbors, n_freq_comps=n_freq, random_state=seed)
        adata = prepare(resolve("krumsiek11"), settings)
        genes = list(adata.var_names)
        train, val, _ = torch_splits(adata)
        X, y = train.arrays()
        true = krumsiek_edges(genes)
        scores = pair_scores(fitted_forms(train, val, genes), X, y, np.diag(1 / y.std(axis=0)))
        chance = expected_average_precision(len(true), int(true.sum()), len(true))
        for method, score in scores.items():
            auprc, auroc = average_precision_score(true, score), roc_auc_score(true, score)
            rows.append((seed, method, "AUPRC", auprc, chance))
            rows.append((seed, method, "AUROC", auroc, 0.5))
    return pd.DataFrame(rows, columns=["seed", "method", "measure", "value", "chance"])
