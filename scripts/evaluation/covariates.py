"""What else explains a frequency: depth, quality, cell cycle and batch, beside expression and known labels."""

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict

from scripts.blocks import dense, evenly
from scripts.cells import ALL_CELLS, LOGS, MEASURES, as_labels, batch_columns, labels_of
from scripts.evaluation.rivals import LINEAR
from scripts.measures import r2
from scripts.regression import features

DEPTH, QUALITY, CYCLE, BATCH, TOGETHER, LABELS, EXPRESSION = KINDS = (
    "depth",
    "quality",
    "cell cycle",
    "batch",
    "together",
    "labels",
    "expression",
)
ALL = "all covariates together"
MEASURED = {"total_counts": DEPTH, "n_genes_by_counts": DEPTH, "pct_counts_mt": QUALITY}  # column of obs: kind
SHARE = 0.5  # of what expression explains, from which on a covariate is warned of
LEAST = 0.1  # R2 below which no covariate is warned of, however little expression explains
N_FOLDS = 5
MIN_CYCLE = 10  # genes of each phase that must be measured for its score
MAX_POOL = 2_000  # genes among which those that a phase is held against are drawn
PHASES = {  # genes of the phases: Tirosh et al., Science 352, 189, 2016; renamed ones under both names
    "S": (
        "ATAD2 BLM BRIP1 CASP8AP2 CCNE2 CDC45 CDC6 CDCA7 CENPU CHAF1B CLSPN DSCC1 DTL E2F8 EXO1 FEN1 GINS2 GMNN HELLS "
        "MCM2 MCM4 MCM5 MCM6 MLF1IP MSH2 NASP PCNA POLA1 POLD3 PRIM1 RAD51 RAD51AP1 RFC2 RPA2 RRM1 RRM2 SLBP TIPIN "
        "TYMS UBR7 UHRF1 UNG USP1 WDR76"
    ),
    "G2M": (
        "ANLN ANP32E AURKA AURKB BIRC5 BUB1 CBX5 CCNB2 CDC20 CDC25C CDCA2 CDCA3 CDCA8 CDK1 CENPA CENPE CENPF CKAP2 "
        "CKAP2L CKAP5 CKS1B CKS2 CTCF DLGAP5 ECT2 FAM64A G2E3 GAS2L3 GTSE1 HJURP HMGB2 HMMR HN1 JPT1 KIF11 KIF20B "
        "KIF23 KIF2C LBR MKI67 NCAPD2 NDC80 NEK2 NUF2 NUSAP1 PIMREG PSRC1 RANGAP1 SMC4 TACC3 TMPO TOP2A TPX2 TTK "
        "TUBB4B UBE2C"
    ),
}


def covariate_table(adata: ad.AnnData, performance: pd.DataFrame, random_state: int = 0) -> pd.DataFrame:
    """Share of each frequency's held-out variance that each covariate explains, beside expression and labels.

    Parameters
    ----------
    adata : AnnData
        As from `datasets.prepare`.
    performance : DataFrame
        As in performance.csv: columns protocol, split, model, frequency, r2, chosen.
    random_state : int
        Of the folds and of the permutation.

    Returns
    -------
    DataFrame
        frequency, kind (one of KINDS), covariate, r2 (cross-validated; of expression, the mean over the splits of the
        chosen model and of the linear rival), permuted_r2 (of the same covariate dealt out to the cells at random; NaN
        for expression) and warned: whether r2 is at least LEAST and more than SHARE of what expression explains, by
        the better of both models, or of all where neither could be judged. Labels are biology and not warned of.
    """
    explained = variance_explained(adata.obsm["X_freq"], known_covariates(adata), random_state)
    own = performance[
        (performance["protocol"] == ALL_CELLS) & (performance["chosen"] | (performance["model"] == LINEAR))
    ]
    of_models = own.groupby(["frequency", "model"], sort=False)["r2"].mean().reset_index()
    of_models = of_models.rename(columns={"model": "covariate"}).assign(kind=EXPRESSION)
    table = pd.concat([part for part in (of_models, explained) if len(part)], ignore_index=True)
    enough = SHARE * table["frequency"].map(of_models.groupby("frequency")["r2"].max()).fillna(1.0)
    may_be_warned = ~table["kind"].isin([EXPRESSION, LABELS])
    table["warned"] = may_be_warned & (table["r2"] >= LEAST) & (table["r2"] > enough)
    return table.reindex(columns=["frequency", "kind", "covariate", "r2", "permuted_r2", "warned"])


def known_covariates(adata: ad.AnnData) -> dict[tuple[str, str], pd.DataFrame]:
    """What may explain a frequency without being biology, and the known labels: {(kind, name): (n_cells, n_columns)}.

    Numbers, or categories; what is not known of the cells, or the same in all of them, is left out. adata : AnnData, as
    from `load`.
    """
    obs, label = adata.obs, adata.uns["label"]
    found = {(kind, MEASURES[name]): obs[[name]] for name, kind in MEASURED.items() if name in adata.uns["quality"]}
    if (scores := cycle_scores(adata)) is not None:
        found[CYCLE, CYCLE] = scores
    found |= {(BATCH, name): as_labels(obs[name]).to_frame() for name in batch_columns(obs, label)}
    if label:
        found[LABELS, label] = labels_of(adata).to_frame()
    return {key: columns for key, columns in found.items() if (columns.nunique() > 1).all()}


def cycle_genes(genes: list[str]) -> dict[str, list[str]]:
    """Measured genes of the phases of the cell cycle, in any spelling: MCM5 in human is Mcm5 in mouse."""
    known = {phase: set(names.split()) for phase, names in PHASES.items()}
    return {phase: [gene for gene in genes if gene.upper() in names] for phase, names in known.items()}


def cycle_scores(adata: ad.AnnData) -> pd.DataFrame | None:
    """S_score and G2M_score of each cell, as scanpy scores them; None where too few of their genes are measured."""
    own = cycle_genes(list(adata.var_names))
    if min(map(len, own.values())) < MIN_CYCLE:
        return None
    pool = np.union1d(evenly(adata.n_vars, MAX_POOL), adata.var_names.get_indexer([*own["S"], *own["G2M"]]))
    logs = adata.layers.get(LOGS, adata.X)  # scanpy holds genes against others of the same mean
    cells = ad.AnnData(dense(logs[:, pool]), adata.obs[[]].copy(), adata.var[[]].iloc[pool].copy())
    try:
        sc.tl.score_genes_cell_cycle(cells, s_genes=own["S"], g2m_genes=own["G2M"])
    except RuntimeError:  # hardly any other genes are measured to hold them against
        return None
    return cells.obs[["S_score", "G2M_score"]]


def variance_explained(
    frequencies: np.ndarray, covariates: dict[tuple[str, str], pd.DataFrame], random_state: int = 0
) -> pd.DataFrame:
    """Cross-validated R2 of each frequency from each covariate, and from all but the labels together.

    Ridge on cubic splines of the ranks of numbers, and on one column for each group; the same folds for all.

    Parameters
    ----------
    frequencies : (n_cells, n_freq)
    covariates : {(kind, name): (n_cells, n_columns)}
        As from `known_covariates`.

    Returns
    -------
    DataFrame
        frequency, kind, covariate, r2, and permuted_r2 of the covariate dealt out to the cells at random; empty where
        there are no covariates.
    """
    columns_of = {key: np.hstack([features(columns[name]) for name in columns]) for key, columns in covariates.items()}
    if len(technical := [own for (kind, _), own in columns_of.items() if kind != LABELS]) > 1:
        columns_of[TOGETHER, ALL] = np.hstack(technical)
    folds = KFold(N_FOLDS, shuffle=True, random_state=random_state)
    dealt = np.random.default_rng(random_state).permutation(len(frequencies))

    def held_out(own: np.ndarray) -> np.ndarray:
        predicted = cross_val_predict(Ridge(), own, frequencies, cv=folds)
        return r2(frequencies, predicted.reshape(frequencies.shape))

    tables = []
    for (kind, name), own in sorted(columns_of.items(), key=lambda item: KINDS.index(item[0][0])):
        columns = {"frequency": np.arange(frequencies.shape[1]), "kind": kind, "covariate": name}
        tables.append(pd.DataFrame({**columns, "r2": held_out(own), "permuted_r2": held_out(own[dealt])}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
