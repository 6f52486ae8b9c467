"""Who finds planted pairs and triples: in made cells, and among real genes, whose products are added."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeCV
from sklearn.metrics import average_precision_score

from scripts.blocks import correlations
from scripts.cells import CellDataset, PlantedCells, Planting, Preparation, plant, split_rows, with_pairs
from scripts.datasets import prepare
from scripts.measures import average_precision_of_ranks, expected_average_precision
from scripts.models import BilinearForm, BilinearRidge, polynomial_ridge
from scripts.programs import gene_triples, gene_triples_of_pairs
from scripts.sources import resolve
from scripts.truth.scores import (
    AUPRC,
    CALLED,
    CORRELATION,
    PRECISION,
    RECALL,
    SCAN,
    fitted_forms,
    ranked_pairs,
)

MADE, REAL, TRIPLES_DATA = "made cells", "pbmc68k_reduced", "twenty made genes"
PAIRS, PROGRAM_GENES, PANEL, TRIPLES = (
    "pairs among all pairs",
    "program genes of A1 and A2",
    "named pairs predict held-out cells",
    "triples among all triples",
)
PLANTED, THIRD, SECOND = "planted pairs", "third order", "second order"  # beside the methods of pairs
R2 = "R2"
COLUMNS = ["data", "interaction", "share", "seed", "task", "method", "measure", "value", "chance"]
N_REAL_FREQ, REAL_LEAST_CELLS = 3, 0.25
N_TRIPLE_CELLS, N_TRIPLE_GENES, N_TRIPLES, TRIPLE_NOISE = 2_000, 20, 2, 0.5


def made_recovery(cells: PlantedCells, random_state: int = 0) -> pd.DataFrame:
    """How well each method finds what was planted in made cells, from 70% of them.

    Returns
    -------
    DataFrame
        task, method, measure (`AUPRC`, those of the pairs called, or "R2" of the named pairs on held-out cells), value,
        and what chance gives.
    """
    train, val, test = split_rows(len(cells.y), random_state)
    known, held_out = (CellDataset(cells.X[rows], cells.y[rows]) for rows in (train, val))
    forms, mix, n_pairs = fitted_forms(known, held_out), cells.contrast[0], len(cells.pairs)
    target, fit, rows = cells.y @ mix, np.concatenate([train, val]), []
    chance = chance_of_pairs(len(cells.genes), n_pairs)
    for method, found in ranked_pairs(forms, known, mix, cells.pairs, n_pairs):
        rows += [(PAIRS, method, AUPRC, found.auprc, chance)]
        rows += [(PAIRS, method, measure, value, np.nan) for measure, value in found.called.items()]
        rows.append((PANEL, method, R2, pair_panel_r2(cells.X, target, found.first, fit, test), 0.0))
    rows.append((PANEL, PLANTED, R2, pair_panel_r2(cells.X, target, cells.pairs, fit, test), 0.0))
    rows += _program_rows(cells, forms, train, target)
    return pd.DataFrame(rows, columns=["task", "method", "measure", "value", "chance"])


def chance_of_pairs(n_genes: int, n_true: int) -> float:
    """Average precision of a random order of all pairs."""
    n = n_genes * (n_genes - 1) // 2
    return expected_average_precision(n, n_true, n)


def _program_rows(
    cells: PlantedCells, forms: dict[str, BilinearForm], train: np.ndarray, target: np.ndarray
) -> list[tuple]:
    """Genes of the programs of A1 and A2 among the noise, by main effects and by correlation."""
    program, mix = cells.split_program, cells.contrast
    among = program | (cells.role == "noise")
    scores = {name: np.abs(mix @ form.main)[0] for name, form in forms.items()}
    scores[CORRELATION] = np.abs(correlations(cells.X[train], target[train, None]))[:, 0]
    chance = expected_average_precision(int(among.sum()), int(program.sum()), int(among.sum()))
    return [
        (PROGRAM_GENES, name, AUPRC, float(average_precision_score(program[among], score[among])), chance)
        for name, score in scores.items()
    ]


def pair_panel_r2(X: np.ndarray, target: np.ndarray, pairs: np.ndarray, fit: np.ndarray, test: np.ndarray) -> float:
    """R2 on held-out cells of a ridge on the named pairs: their products and their genes.

    X : (n_cells, n_genes); target : (n_cells,); pairs : (n_pairs, 2) int; fit, test : rows.
    """
    i, j = pairs.T
    features = np.concatenate([X[:, i] * X[:, j], X[:, np.union1d(i, j)]], axis=1)
    return RidgeCV(np.logspace(0, 4, 9)).fit(features[fit], target[fit]).score(features[test], target[test])


def made_sweep(settings: Planting, interactions: list[float], n_seeds: int) -> pd.DataFrame:
    """Recovery as the difference between A1 and A2 moves from single genes into pairs; columns `COLUMNS`."""
    tables = []
    for seed in range(settings.random_state, settings.random_state + n_seeds):
        for interaction in interactions:
            cells = plant(replace(settings, interaction=interaction, random_state=seed))
            tables.append(made_recovery(cells, seed).assign(interaction=float(interaction), seed=seed))
    return pd.concat(tables, ignore_index=True).assign(data=MADE, share=np.nan)[COLUMNS]


def real_sweep(shares: list[float], n_pairs: int, n_seeds: int, dataset: str = REAL) -> pd.DataFrame:
    """How well each method finds products of real genes that were added to real frequencies (`cells.with_pairs`).

    Genes and frequencies are as correlated, skewed and full of programs as they are; other pairs for each frequency.

    Parameters
    ----------
    shares : list of float
        Of a frequency's variance that each pair makes up.
    n_pairs : int
        Planted in each of three frequencies.
    n_seeds : int
        Drawings of pairs, each with its own training cells.

    Returns
    -------
    DataFrame
        `COLUMNS`: means over frequencies, of the pairs called those of all.
    """
    adata = prepare(resolve(dataset), Preparation(n_freq_comps=N_REAL_FREQ))
    X, y, tables = np.asarray(adata.X, np.float32), adata.obsm["X_freq"], []
    for seed in range(n_seeds):
        train, val, _ = split_rows(len(y), seed)
        for share in shares:
            targets, pairs = with_pairs(X, y, n_pairs, share, seed, REAL_LEAST_CELLS)
            known, held_out = (CellDataset(X[rows], targets[rows]) for rows in (train, val))
            tables.append(_real_recovery(known, held_out, pairs).assign(share=share, seed=seed))
    return pd.concat(tables, ignore_index=True).assign(data=dataset, interaction=np.nan, task=PAIRS)[COLUMNS]


def _real_recovery(train: CellDataset, val: CellDataset, pairs: np.ndarray) -> pd.DataFrame:
    """method, measure, value and chance; pairs : (n_freq, n_pairs, 2) int."""
    forms, found = fitted_forms(train, val), []
    for mix, true in zip(np.eye(len(pairs)), pairs, strict=True):
        found += [(method, ranked) for method, ranked in ranked_pairs(forms, train, mix, true, 1)]
    each = pd.DataFrame({"method": [method for method, _ in found], "value": [ranked.auprc for _, ranked in found]})
    table = each.groupby("method", sort=False)["value"].mean().reset_index().assign(measure=AUPRC)
    table["chance"] = chance_of_pairs(train.n_genes, pairs.shape[1])
    called = pd.DataFrame([ranked.called for method, ranked in found if method == SCAN])
    n_called, n_true = called[CALLED].sum(), called[RECALL].sum() * pairs.shape[1]
    values = {CALLED: n_called, PRECISION: n_true / n_called if n_called else np.nan, RECALL: called[RECALL].mean()}
    rows = [{"method": SCAN, "measure": measure, "value": value} for measure, value in values.items()]
    return pd.concat([table, pd.DataFrame(rows)], ignore_index=True)


def triple_sweep(n_seeds: int) -> pd.DataFrame:
    """Who finds two planted triples among all triples of twenty independent genes; columns `COLUMNS`.

    A target is the product of three genes with noise; no gene and no pair says anything of it. Third order ranks
    triples by third derivatives of a cubic kernel ridge, second order by the pairs in them of a quadratic one.
    """
    rows = []
    for seed in range(n_seeds):
        random = np.random.default_rng(seed)
        X = random.normal(size=(N_TRIPLE_CELLS, N_TRIPLE_GENES))
        planted = np.sort(random.permutation(N_TRIPLE_GENES)[: 3 * N_TRIPLES].reshape(N_TRIPLES, 3), axis=1)
        y = X[:, planted].prod(axis=2) + TRIPLE_NOISE * random.normal(size=(N_TRIPLE_CELLS, N_TRIPLES))
        train, val, _ = split_rows(N_TRIPLE_CELLS, seed)
        cells, genes = [CellDataset(X[part], y[part]) for part in (train, val)], [str(g) for g in range(N_TRIPLE_GENES)]
        cubic, quadratic = polynomial_ridge(3), polynomial_ridge(2)
        cubic.fit(*cells)
        quadratic.fit(*cells)
        scores = {
            THIRD: gene_triples(cubic.polynomial(genes), genes)[1],
            SECOND: gene_triples_of_pairs(quadratic.polynomial(genes), genes),
        }
        triples = np.array([*combinations(range(N_TRIPLE_GENES), 3)])
        true = (triples[:, None] == planted).all(axis=2).any(axis=1)
        chance = expected_average_precision(len(true), N_TRIPLES, len(true))
        for method, score in scores.items():
            at_least = (score >= score[true][:, None]).sum(axis=1)
            rows.append((seed, method, average_precision_of_ranks(at_least), chance))
    table = pd.DataFrame(rows, columns=["seed", "method", "value", "chance"])
    fixed = {"data": TRIPLES_DATA, "interaction": np.nan, "share": np.nan, "task": TRIPLES, "measure": AUPRC}
    return table.assign(**fixed)[COLUMNS]


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
