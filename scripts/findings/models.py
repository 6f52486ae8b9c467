"""Sentences on how well models predict frequencies or classes, and on what comes back in other cells."""

from collections.abc import Mapping

import pandas as pd
from scipy import stats

from scripts import classes, programs
from scripts.cells import ALL_CELLS
from scripts.classes import LabelledCells
from scripts.findings.text import measured
from scripts.programs import Programs

MANY_SPLITS = 10  # more than there are ways to hold donors out
MATTERS = 0.01  # least gain of R2 that calls for a higher order: the digits shown tell it apart
COMES_BACK = 0.5  # Jaccard of a module's genes with its partner's from which on it is the same
KINDS = {2: "pairs", 3: "triples"}  # products of programs, by order
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


def about_orders(performance: pd.DataFrame, orders: Mapping[str, int]) -> list[str]:
    """Which order each frequency needs: the lowest of polynomial kernels that is as good as the best.

    As good: behind it by less than `MATTERS`, or by no more than the standard error over splits.

    performance : as from evaluation.performance_over_splits; orders : {model: order}.
    """
    table = performance[(performance["protocol"] == ALL_CELLS) & performance["model"].isin(orders)].dropna(subset="r2")
    if table.empty:
        return []
    r2 = table.assign(order=table["model"].map(orders)).pivot_table("r2", ["frequency", "split"], "order")
    sentences = []
    for frequency, of_splits in r2.groupby("frequency"):
        best = of_splits.mean().idxmax()
        behind = of_splits[best].to_numpy()[:, None] - of_splits
        error = (behind.std(ddof=1) / len(of_splits) ** 0.5).fillna(0)
        needed = int((behind.mean() <= error.clip(lower=MATTERS)).idxmax())
        told = ", ".join(f"{value:.2f}" for value in of_splits.mean())
        sentences.append(
            f"Frequency {frequency} needs order {needed}: polynomial kernels of order 1 to {max(orders.values())} "
            f"reach R² {told} on the same held-out cells; higher ones add no more than {MATTERS} or the standard error."
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


def about_floor(noise: pd.DataFrame) -> list[str]:
    """What every R2 of these cells is to be held against; noise : as from evaluation.noise_table."""
    if noise.empty:
        return ["Mind that noise lifts R², by how much is not known of these cells: it takes counts (notebook 03)."]
    mean = noise.groupby("model", sort=False)[["structureless_r2", "other_half_r2"]].mean()
    told = "; ".join(
        f"{row.Index} {measured(row.structureless_r2, '.2f')} and {measured(row.other_half_r2, '.2f')}"
        for row in mean.itertuples()
    )
    return [
        "Hold R² against the models' own on cells of the same depths without structure, which is the floor, and from "
        f"counts that the frequencies were not made from, where noise cannot help: {told}."
    ]


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


def figures_of_models(
    performance: pd.DataFrame, stability: pd.DataFrame, cells: str, noise: pd.DataFrame
) -> dict[str, str]:
    """Key figures: held-out R2 of every model, what noise gives, and stability of the first modules.

    performance, noise : as from evaluation.performance_over_splits and evaluation.noise_table; stability : as from
    reading.module_stability; cells : which other cells.
    """
    of_all_cells = performance[performance["protocol"] == ALL_CELLS]
    by_split = of_all_cells.groupby(["model", "split"], sort=False)["r2"].mean()
    by_model = by_split.groupby("model", sort=False).mean()
    first = stability[stability["module"] == 1]
    anew = measured(first["stability_anew"].mean(), ".2f")
    of_noise = noise.groupby("model", sort=False)[["structureless_r2", "other_half_r2"]].mean()
    return {
        **{f"held-out R², {name}": measured(r2, "z.2f") for name, r2 in by_model.items()},
        **{
            f"held-out R², {row.Index}: of cells without structure; from the other half of the counts": (
                f"{measured(row.structureless_r2, 'z.2f')}; {measured(row.other_half_r2, 'z.2f')}"
            )
            for row in of_noise.itertuples()
        },
        f"stability of first modules (matched Jaccard, {cells}; graph built anew)": (
            f"{first['stability'].mean():.2f}; {anew}"
        ),
    }


def about_class_cells(cells: LabelledCells) -> list[str]:
    """Which classes there are, and which cells are left out; or why there are none, as the one sentence."""
    if cells.why_not:
        return [f"There is nothing to tell apart: {cells.why_not}."]
    sentences = [f"{len(cells.labels):,} cells are of {len(cells.names)} classes of obs[{cells.column!r}]."]
    if cells.n_not_drawn:
        sentences.append(f"{cells.n_not_drawn:,} more with a label were not drawn into this sample.")
    if cells.left_out:
        told = ", ".join(f"{name} ({n:,})" for name, n in cells.left_out.items())
        sentences.append(f"Classes of too few cells are left out: {told}.")
    if cells.n_unlabelled:
        sentences.append(f"{cells.n_unlabelled:,} cells without a label are left out.")
    if not cells.splits(MANY_SPLITS):
        sentences.append("They cannot be judged: whichever donors are held out, the others lack some class.")
    return sentences


def about_classes(table: pd.DataFrame) -> list[str]:
    """How well held-out cells are told apart, beside the rivals; table : as from classes.performance_of_classes."""
    if table.empty:
        return []
    by_split = classes.accuracy_by_split(table)["accuracy"].unstack("split")
    mean, spread, n_splits = by_split.mean(axis=1), by_split.std(axis=1, ddof=0), by_split.shape[1]
    own, linear, of_all = classes.BILINEAR, classes.LINEAR, classes.LINEAR_OF_ALL
    lead = mean[own] - mean[linear]
    verdict = "the same as" if abs(lead) < 5e-4 else "more than" if lead > 0 else "less than"
    return [
        f"The bilinear classifier tells {mean[own]:.1%} of the held-out cells right (±{spread[own]:.1%} over "
        f"{n_splits} splits), {verdict} logistic regression on the same inputs ({mean[linear]:.1%}), and is ahead of "
        f"it in {(by_split.loc[own] > by_split.loc[linear]).sum()} of {n_splits} splits; on all genes, that reaches "
        f"{mean[of_all]:.1%}, a black box {mean[classes.BLACK_BOX]:.1%}, and naming the most frequent class "
        f"{mean[classes.COMMONEST]:.1%}."
    ]


def about_confusion(counts: pd.DataFrame, pair: tuple[str, str] | None) -> list[str]:
    """Which classes are told best and worst, and which two are confused most.

    counts : as from classes.confusion; pair : as from classes.most_confused.
    """
    if counts.empty:
        return []
    right = pd.Series(
        {name: counts.loc[name, name] / counts.loc[name].sum() for name in counts if counts.loc[name].any()}
    )
    best, worst = right.idxmax(), right.idxmin()
    sentences = [f"Told right most often: {best} ({right[best]:.0%}); least often: {worst} ({right[worst]:.0%})."]
    if pair:
        a, b = pair
        sentences.append(
            f"Confused most are {a} and {b}: {counts.loc[a, b]} of {counts.loc[a].sum()} held-out cells of {a} are "
            f"taken for {b}, and {counts.loc[b, a]} of {counts.loc[b].sum()} of {b} for {a}."
        )
    return sentences


def figures_of_classes(table: pd.DataFrame) -> dict[str, str]:
    """Key figures: held-out accuracy of the classifier and its rivals; table as for `about_classes`."""
    if table.empty:
        return {}
    mean = classes.summary(table)["accuracy"]
    return {f"held-out accuracy of classes, {name}": f"{mean[name]:.1%}" for name in mean.index}


def about_programs(fitted: Programs | None, ends: pd.DataFrame) -> list[str]:
    """How many programs there are, and what each goes with; ends : as from programs.program_ends."""
    if fitted is None:
        return ["There are too few cells, or donors too unequal, to divide them in halves: no programs are fitted."]
    what = "program is" if len(ends) == 1 else "programs are"
    sentences = [
        f"{len(ends)} {what} fitted to {len(fitted.half):,} cells; what is "
        f"said of cells, ends and predictions here is of the {len(fitted.other):,} others."
    ]
    for row in ends.to_dict("records"):
        r = {name.removeprefix("r_"): value for name, value in row.items() if name.startswith("r_")}
        strongest = max(r, key=lambda name: abs(r[name]))
        most = [f"{row[end] or 'no one label'} at its {end} end" for end in ("high", "low")]
        named = f": {most[0]}, {most[1]}" if row["high"] or row["low"] else ""
        sentences.append(
            f"Program {row['program']} goes most with frequency {strongest} (r {r[strongest]:.2f}){named}."
        )
    return sentences


def about_polynomials(shares: pd.DataFrame) -> list[str]:
    """What carries the prediction of each frequency; shares : as from programs.polynomial_shares."""
    sentences = []
    for frequency, table in shares.groupby("frequency"):
        groups = table.groupby("group")["share"].sum().sort_values(ascending=False)
        told = ", ".join(f"{name} {share:.0%}" for name, share in groups.items())
        best = table.iloc[0]
        names = best["programs"].split()
        who = f"program {names[0]}" if len(names) == 1 else f"programs {', '.join(names)}"
        sentences.append(
            f"Frequency {frequency}: of the variance of its prediction, {told}; the largest part is {who} "
            f"({best['group']}, {best['share']:.0%})."
        )
    return sentences


def about_program_terms(terms: pd.DataFrame, counts: pd.DataFrame) -> list[str]:
    """Which programs together tell which frequencies apart, and whether that would be found again.

    terms, counts : as from programs.program_terms.
    """
    if counts.empty or terms.empty:
        return ["No product of programs is tested: there are too few cells, or there is a single program."]
    sentences = []
    for order, kind in KINDS.items():
        of_order = counts[counts["order"] == order]
        real = of_order[of_order["cells"] == programs.REAL]
        if real.empty:
            sentences.append(f"There are no {kind} of programs to test.")
            continue
        nulls = of_order[of_order["cells"].isin(programs.NULLS)]
        beside = "; ".join(f"{row.cells}: {row.n_called} of {row.n_terms}" for row in nulls.itertuples())
        own = terms[terms["order"] == order]
        sentences.append(
            f"{own['called'].sum()} of {len(own)} {kind} of programs and frequencies are called in the run's division "
            f"(Bonferroni, {programs.LEVEL}; {beside or 'no null was possible'}). Over {real['division'].nunique()} "
            f"divisions of the cells, with programs of either half in turn, {real['n_called'].mean():.1f} are called "
            f"on average; in the other half {_found_again(real)} of them have the same sign and p < {programs.LEVEL}, "
            f"and {_of_those_not_called(real)} of those not called."
        )
        halves = of_order[of_order["cells"] == programs.COUNT_HALVES]
        if halves["n_called"].any():
            sentences.append(
                f"With a half of each cell's counts, {halves['n_called'].sum()} {kind} are called; in the same cells, "
                f"measured by the other half, {_found_again(halves)} of them have the same sign and p < "
                f"{programs.LEVEL}, and {_of_those_not_called(halves)} of those not called."
            )
    called = terms[terms["called"].astype(bool)]
    if called.empty:
        sentences.append("No two or three programs tell a frequency apart together, beyond what each does on its own.")
    return sentences + [_in_words(row) for row in called.sort_values("p").itertuples()]


def _found_again(counts: pd.DataFrame) -> str:
    """Share of the called terms of all divisions that the other half gives again, with its 95% interval."""
    n_called = int(counts["n_called"].sum())
    if not n_called:
        return "none"
    n_again = round((counts["called_replicated"].fillna(0) * counts["n_called"]).sum())
    low, high = stats.binomtest(n_again, n_called).proportion_ci(method="wilson")
    return f"{n_again / n_called:.0%} ({n_again} of {n_called}; 95% interval {low:.0%} to {high:.0%})"


def _of_those_not_called(counts: pd.DataFrame) -> str:
    """Share of the terms not called that the other half gives again."""
    n = counts["n_terms"] - counts["n_called"]
    return f"{(counts['others_replicated'].fillna(0) * n).sum() / max(n.sum(), 1):.0%}"


def _in_words(term) -> str:
    """A called term: the sign of its effect, and whether it came back."""
    *first, last = term.programs.split()
    level = "higher" if term.weight > 0 else "lower"
    back = "the same in the other half" if term.replicated else "not the same in the other half"
    again = "" if pd.isna(term.called_again) else f", called again with {term.called_again:.0%} of the other halves"
    high, beyond = ("both", "one by one") if term.order == 2 else ("all", "alone and in pairs")
    return (
        f"Programs {', '.join(first)} and {last}, {high} high: {level} frequency {term.frequency} than they give "
        f"{beyond} (adjusted p {term.adjusted_p:.1g}; {back}{again})."
    )


def figures_of_programs(counts: pd.DataFrame) -> dict[str, str]:
    """Key figures: called products of programs, and which share of them replicates; counts as above."""
    real = counts[counts["cells"] == programs.REAL]
    figures = {}
    for order, kind in KINDS.items():
        if len(of_order := real[real["order"] == order]):
            figures[f"{kind} of programs called"] = f"{of_order['n_called'].iloc[0]} of {of_order['n_terms'].iloc[0]}"
            again = f"{_found_again(of_order)}; of those not called {_of_those_not_called(of_order)}"
            figures[f"{kind} of programs found again in the other half"] = again
    return figures
