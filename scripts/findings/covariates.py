"""Sentences on what else explains a frequency."""

import pandas as pd

from scripts.cells import MEASURES, why_unmeasured
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
            f"{measured(expression[row.frequency], '.2f')} from expression{beside}; {MAY_BE[row.kind]}."
        )
    if not sentences:
        most = candidates.loc[candidates["r2"].idxmax()]
        sentences.append(
            "No frequency follows a covariate, by more than half of what expression explains: the most is "
            f"{most['r2']:.2f} of frequency {most['frequency']}, by {most['covariate']} (expression "
            f"{measured(expression[most['frequency']], '.2f')})."
        )
    return [
        *sentences,
        f"Dealt out to the cells at random, the same covariates explain at most {candidates['permuted_r2'].max():.3f}.",
    ]


def about_missing_covariates(table: pd.DataFrame, adata) -> list[str]:
    """Which covariates are not in the table, and why; adata : AnnData, as from `load`."""
    known, kinds = set(table["covariate"]), set(table["kind"])
    reasons = {
        MEASURES[name]: why_unmeasured(name, adata.uns["quality"]) or "it is the same in all cells"
        for name in covariates.MEASURED
        if MEASURES[name] not in known
    }
    if covariates.CYCLE not in kinds:
        own = covariates.cycle_genes(list(adata.var_names))
        told = " and ".join(f"{len(genes)} of the {phase} phase" for phase, genes in own.items())
        needed = f"{covariates.MIN_CYCLE} of each, and others beside them"
        reasons[covariates.CYCLE] = f"of its genes, {told} are measured, and {needed} are needed"
    if covariates.BATCH not in kinds:
        reasons[covariates.BATCH] = "no column of obs is named like one and divides the cells into groups"
    return [f"Left out, {name}: {why}." for name, why in reasons.items()]


def figures_of_covariates(table: pd.DataFrame) -> dict[str, str]:
    """Key figure: the frequencies that follow a covariate; none if there are none."""
    expression = _expression(table)
    told = [
        f"{row.frequency}: {row.covariate} (R² {row.r2:.2f}; expression {measured(expression[row.frequency], '.2f')})"
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
