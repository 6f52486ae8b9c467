"""Sentences on how well models predict, and on what comes back in other cells."""

import pandas as pd

from scripts.cells import ALL_CELLS
from scripts.findings.text import measured

COMES_BACK = 0.5  # Jaccard of a module's genes with its partner's from which on it is the same
UNJUDGED = "the held-out cells, or the training cells, hardly vary along"


def about_prediction(performance: pd.DataFrame) -> list[str]:
    """What the held-out cells say of the chosen model and of the linear rival, for each way to hold cells out.

    performance : columns protocol, split, model, frequency, r2, mae, train_mae, chosen; "linear ridge" is the rival.
    """
    sentences = []
    for protocol, table in performance.groupby("protocol", sort=False):
        by_split = table.groupby(["split", "model"])["r2"].mean().unstack("model").dropna(how="all")
        if by_split.empty:
            sentences.append(f"With {protocol}, no split can judge the model: {UNJUDGED} any frequency.")
            continue
        name = table.loc[table["chosen"], "model"].iloc[0]
        bilinear, linear = by_split[name], by_split["linear ridge"]
        verdict = "better than" if bilinear.mean() > linear.mean() else "no better than"
        spread = f" (±{bilinear.std():.3f} over {len(by_split)} splits)" if len(by_split) > 1 else " (one split)"
        sentences.append(
            f"With {protocol}, the {name} model reaches a mean R² of {bilinear.mean():.2f}{spread} on held-out cells, "
            f"{verdict} a linear ridge on the same cells ({linear.mean():.2f}); predicting the mean gives 0. "
            f"It is ahead of the ridge in {(bilinear > linear).sum()} of {len(by_split)} splits."
        )
        if bilinear.mean() <= 0:
            sentences.append("It predicts held-out cells no better than the mean of the training cells does.")
        sentences += about_unjudged(table[table["chosen"]])
        errors = table[table["chosen"]][["mae", "train_mae"]].mean()
        if errors["mae"] > 2 * errors["train_mae"]:
            sentences.append(
                f"It overfits: its mean absolute error is {errors['mae']:.4f} on held-out cells and "
                f"{errors['train_mae']:.4f} on the cells it was trained on. Read its modules with that in mind."
            )
    return sentences


def about_unjudged(scores: pd.DataFrame) -> list[str]:
    """Where held-out cells cannot tell; scores : columns split, frequency, r2 of one model, see metrics.held_out_r2."""
    n_splits = scores["split"].nunique()
    unjudged = scores[scores["r2"].isna()].groupby("frequency")["split"].nunique()
    return [
        f"Frequency {frequency} is not judged in {count} of {n_splits} splits: {UNJUDGED} it."
        for frequency, count in unjudged.items()
    ]


def about_inductive(n_made: int, n_wanted: int) -> list[str]:
    """How many splits made before the graph can be used; as from cells.inductive_splits."""
    if n_made == n_wanted:
        return []
    return [
        f"Of {n_wanted} splits made before the graph, {n_made} can be used: of others, the training cells alone give "
        "too small a graph, or one that reaches no held-out cell; for weighted edges and normalised Laplacians, the "
        "extension to new cells is not defined."
    ]


def about_noise(table: pd.DataFrame) -> list[str]:
    """What of the held-out R2 noise may give, and what it cannot; table : as from evaluation.noise_table."""
    if table.empty:
        return [f"What noise adds to R² was not measured: {why}."] if (why := table.attrs.get("why")) else []
    mean = table.groupby("model", sort=False)[["r2", "structureless_r2", "same_half_r2", "other_half_r2"]].mean()
    sentences = [
        f"In the run's own split, the {row.Index} model reaches R² {measured(row.r2, '.2f')}, and on cells of the same "
        f"depths without structure {measured(row.structureless_r2, '.2f')}, which depth and noise alone give. With "
        "frequencies from one half of the counts, it reaches "
        f"{measured(row.other_half_r2, '.2f')} from the other half, where noise cannot help, and "
        f"{measured(row.same_half_r2, '.2f')} from the same half."
        for row in mean.itertuples()
    ]
    known = mean.dropna()
    if len(known) and (own := known["r2"].idxmax()) != (other := known["other_half_r2"].idxmax()):
        sentences.append(f"The {own} model is ahead in the run's own split, from the other half the {other} model is.")
    return sentences


def about_stability(subsamples: pd.DataFrame, cells: str) -> list[str]:
    """How much of the first modules comes back in other cells; as from stability.agreement_table, cells : which."""
    subsamples = subsamples.dropna(subset="first_module_jaccard")
    if subsamples.empty:
        return ["No frequency has interactions in all fits to subsamples: there are no modules to compare."]
    mean = subsamples["first_module_jaccard"].mean()
    weakest = subsamples.loc[subsamples["first_module_jaccard"].idxmin()]
    return [
        f"Fits to other training cells ({cells}) share a mean Jaccard of {mean:.2f} of the genes at the poles of their "
        f"first modules; least for frequency {weakest['frequency']:.0f} "
        f"({weakest['first_module_jaccard']:.2f})."
    ]


def about_donors(performance: pd.DataFrame, recurrence: pd.DataFrame) -> list[str]:
    """What donors say whom the model has not met, and in how many of them alone the first modules come back.

    performance : as from evaluation.performance_over_splits, with the column chosen; recurrence : as from
    reading.recurrence. Empty where donors are not known.
    """
    of_donors = performance[(performance["held_out"] != "") & performance["chosen"]]
    sentences = []
    for protocol, table in of_donors.groupby("protocol", sort=False):
        r2 = table.groupby("held_out", sort=False)["r2"].mean()
        told = "; ".join(f"{name}: {value:.2f}" for name, value in r2.dropna().items())
        sentences.append(f"With {protocol}, mean R² on the cells of donors that the model has not met: {told}.")
    for frequency, table in recurrence[recurrence["module"] == 1].groupby("frequency"):
        back = table[table["jaccard"] >= COMES_BACK]
        sentences.append(
            f"The first module of frequency {frequency} comes back in {len(back)} of {len(table)} donors alone "
            f"(Jaccard of its genes {COMES_BACK} or more; mean {table['jaccard'].mean():.2f})."
        )
    return sentences


def figures_of_models(performance: pd.DataFrame, stability: pd.DataFrame, cells: str) -> dict[str, str]:
    """Key figures: held-out R2 of every model, and stability of the first modules in other cells (cells : which)."""
    of_all_cells = performance[performance["protocol"] == ALL_CELLS]
    by_split = of_all_cells.groupby(["model", "split"], sort=False)["r2"].mean()
    by_model = by_split.groupby("model", sort=False).mean()
    first = stability[stability["module"] == 1]["stability"].mean()
    return {
        **{f"held-out R², {name}": measured(r2, "z.2f") for name, r2 in by_model.items()},
        f"stability of first modules (matched Jaccard, {cells})": f"{first:.2f}",
    }
