"""Sentences on what else explains a frequency."""

import pandas as pd

from scripts.cells import MEASURES, batch_columns, why_unmeasured
from scripts.evaluation import covariates
from scripts.findings.text import measured

MAY_BE = {  # kind of covariate: what a frequency that follows it may be
    covariates.DEPTH: "it may be depth rather than biology",
    covariates.QUALITY: "it may be the quality of the cells rather than biology",
    covariates.CYCLE: "it may be the cell cycle alone",
    covariates.BATCH: "it may be technical, or tell where cells come from rather than what they are",
    covariates.TOGETHER: "it may be technical rather than biology",
}


def about_covariates(table: pd.DataFrame) -> list[str]:
    """Which frequencies follow a covariate, as a warning; table : as from evaluation.covariate_table."""
    candidates = table[table["kind"].isin(MAY_BE)]
    if candidates.empty:
        return ["Nothing else is known of the cells that could be held against the frequencies."]
    expression, labels = _expression(table), table[table["kind"] == covariates.LABELS].set_index("frequency")
    sentences = []
    for row in _followed(table).itertuples():
        beside = f", {labels['r2'][row.frequency]:.2f} from {labels['covariate'].iloc[0]}" if len(labels) else ""
        sentences.append(
            f"Frequency {row.frequency} follows {row.covariate}: R² on held-out cells {row.r2:.2f} from that alone, "
            f"{expression[row.frequency]:.2f} from expression{beside}; {MAY_BE[row.kind]}."
        )
    if not sentences:
        most = candidates.loc[candidates["r2"].idxmax()]
        by_expression = measured(expression[most["frequency"]], ".2f")
        sentences.append(
            f"No covariate explains more than half of what expression does: the most is {most['r2']:.2f} of frequency "
            f"{most['frequency']}, by {most['covariate']} (expression {by_expression})."
        )
    return [
        *sentences,
        f"Dealt out to the cells at random, the same covariates explain at most {candidates['permuted_r2'].max():.3f}.",
    ]


def about_missing_covariates(adata) -> list[str]:
    """Which covariates are not known of the cells, and why; adata : AnnData, as from `load`."""
    quality = adata.uns["quality"]
    reasons = {MEASURES[name]: why_unmeasured(name, quality) for name in covariates.MEASURED}
    counts = {phase: len(genes) for phase, genes in covariates.cycle_genes(list(adata.var_names)).items()}
    if min(counts.values()) < covariates.MIN_CYCLE:
        told = " and ".join(f"{count} of the {phase} phase" for phase, count in counts.items())
        reasons["cell cycle"] = f"of its genes, {told} are measured, and {covariates.MIN_CYCLE} of each are needed"
    if not batch_columns(adata.obs, adata.uns["label"]):
        reasons["batch"] = "no column of obs is named like one and divides the cells into groups"
    return [f"Left out, {name}: {why}." for name, why in reasons.items() if why]


def figures_of_covariates(table: pd.DataFrame) -> dict[str, str]:
    """Key figure: the frequencies that follow a covariate; none if there are none."""
    expression = _expression(table)
    told = [
        f"{row.frequency}: {row.covariate} (R² {row.r2:.2f}; expression {expression[row.frequency]:.2f})"
        for row in _followed(table).itertuples()
    ]
    return {"frequencies that may not be biology": "; ".join(told)} if told else {}


def _expression(table: pd.DataFrame) -> pd.Series:
    """R2 of the better model of expression; index frequency."""
    return table[table["kind"] == covariates.EXPRESSION].groupby("frequency")["r2"].max()


def _followed(table: pd.DataFrame) -> pd.DataFrame:
    """Of each frequency that is warned of, the covariate that explains most; all together where none does alone."""
    warned = table[table["warned"]].assign(alone=lambda rows: rows["kind"] != covariates.TOGETHER)
    first = warned.sort_values(["frequency", "alone", "r2"], ascending=[True, False, False])
    return first.drop_duplicates("frequency")
