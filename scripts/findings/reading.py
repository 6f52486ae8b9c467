"""Sentences on modules, pairs, single cells, and groups within groups of cells."""

import numpy as np
import pandas as pd

from scripts import hierarchy
from scripts.findings.text import measured
from scripts.models import BilinearForm
from scripts.reading import PairScan, anew

RETURNS = 0.5  # adjusted Rand index from which on clusters of frequencies come back well enough to be compared with


def about_trusted(trusted: pd.DataFrame) -> list[str]:
    """Which modules are worth reading; as from reading.module_axes."""
    sentences = []
    for frequency, table in trusted.groupby("frequency"):
        kept = table.loc[table["trusted"], "module"].tolist()
        if not table["structure"].all():
            sentences.append(
                f"Frequency {frequency}: no structure beyond depth and noise is shown; no module is trusted."
            )
        elif kept:
            named = f"module{'s' if len(kept) > 1 else ''} {', '.join(map(str, kept))}"
            again = table[table["trusted"] & table["repeats"].notna()]
            told = [f"module {row.module} is the axis of {row.repeats} again" for row in again.itertuples()]
            sentences.append(
                f"Frequency {frequency}: {'; '.join([f'{named} can be trusted', *told])}. Prediction needs "
                f"{table['needed'].sum()}."
            )
        elif not table["judged"].all():
            sentences.append(
                f"Frequency {frequency}: the validation cells hardly vary along it and cannot say which modules "
                "prediction needs; none is trusted."
            )
        elif not table["predicted"].all():
            sentences.append(f"Frequency {frequency}: the model does not predict it; no module is worth reading.")
        elif not table["needed"].any():
            sentences.append(f"Frequency {frequency}: main effects alone predict as well; no module is worth reading.")
        else:
            sentences.append(
                f"Frequency {frequency}: prediction needs {table['needed'].sum()} of the modules, but none comes back "
                "as often as is asked; read them together, with caution."
            )
    n_trusted, n_axes = trusted["trusted"].sum(), is_read(trusted).sum()
    return [*sentences, f"In all, {n_trusted} of {len(trusted)} modules are trusted, on {_axes(n_axes)}."]


def is_read(modules: pd.DataFrame) -> pd.Series:
    """Modules to read: trusted, and of those with the same axis the first; as from reading.module_axes."""
    return modules["trusted"].eq(True) & modules["repeats"].isna()


def _axes(n: int) -> str:
    return f"{n} distinct {'axis' if n == 1 else 'axes'}"


def about_chance_of_modules(stability: pd.DataFrame, min_stability: float) -> list[str]:
    """How often the genes of a module must come back, and those of random axes do; as from reading.module_stability."""
    sentences = []
    for end, where in (("", "in other cells"), ("_anew", "where the graph is built anew")):
        chance = stability[f"chance{end}"].iloc[0]
        if pd.isna(chance):
            sentences.append(f"What comes back {where} could not be measured, and is not asked for.")
        else:
            sentences.append(
                f"Among {len(stability)} random axes of the same components, the genes of the best one come back "
                f"{where} by less than {chance:.2f} (Jaccard) in 19 of 20 draws; {max(chance, min_stability):.2f} is "
                "asked for."
            )
    return sentences


def about_fields(stability: pd.DataFrame, of_fields: pd.DataFrame) -> list[str]:
    """What coming back is worth: how often first modules, and those of random smooth fields, have a partner elsewhere.

    stability, of_fields : as from reading.module_stability.
    """
    firsts = [table[table["module"] == 1] for table in (stability, of_fields)]
    told, as_often = [], False
    for column, where in (("stability", "in other cells"), ("stability_anew", "where the graph is built anew")):
        own, fields = (table[column].mean() for table in firsts)
        if not np.isnan(own):
            told.append(f"{fields:.2f} {where} (those of the frequencies by {own:.2f})")
            as_often |= fields >= own
    worth = (
        ": that a module comes back says that it is an axis of the tissue; what it has to do with its frequency, the "
        "correlation with it says (notebook 04)"
    )
    return [
        f"Genes of the first modules of {len(firsts[1])} random smooth fields on this graph are found again among the "
        f"modules of the frequencies by {' and '.join(told)}{worth if as_often else ''}."
    ]


def about_module_axes(modules: pd.DataFrame) -> list[str]:
    """What each trusted module has to do with its frequency, and the cells at its ends; as from reading.module_axes."""
    return [
        f"f{row.frequency}_m{row.module}, correlation with frequency {row.frequency} in held-out cells: axis "
        f"{measured(row.axis_correlation, '+.2f')}, score {measured(row.score_correlation, '+.2f')}. "
        f"At its + end: {_cells(row.positive_cells, row.positive_cells_share)}; "
        f"at its - end: {_cells(row.negative_cells, row.negative_cells_share)}."
        for row in modules[is_read(modules)].itertuples()
    ]


def _cells(names: str, share: float) -> str:
    return names if pd.isna(share) else f"{names} ({share:.0%} of the labelled cells there)"


def about_branch_genes(table: pd.DataFrame, n_genes: int = 5) -> list[str]:
    """How well each branch is predicted, and by which genes it is marked; table : as from reading.branch_genes."""
    return [
        f"Branch {branch} ({name}): held-out R² {measured(of_branch['r2'].iloc[0], '.2f')}; "
        f"with its prediction rise {', '.join(of_branch['gene'][of_branch['rank'] <= n_genes])}."
        for (branch, name), of_branch in table.groupby(["branch", "name"])
    ]


def about_pole_stability(table: pd.DataFrame) -> list[str]:
    """Which way to read poles comes back most, with the graph built anew and as it is; as from `pole_stability`."""
    if table.empty:
        return [f"What comes back with the graph built anew was not measured: {table.attrs.get('why', 'unknown')}."]
    sentences = []
    for name, of_graph in table.groupby("graph", sort=False):
        shared = of_graph.set_index("method").sort_values("both_poles", ascending=False)
        told = [f"{row.Index} {row.both_poles:.2f} ({row.positive_pole:.2f})" for row in shared.itertuples()]
        model, rival = (shared.index[shared.index.isin(kind)][0] for kind in (anew.OF_MODELS, anew.OF_CELLS))
        lead = shared["both_poles"][model] - shared["both_poles"][rival]
        verdict = "ahead of" if lead > 0 else "behind" if lead < 0 else "level with"
        sentences.append(
            f"With the graph {name}, subsamples share of their poles (mean Jaccard; the positive ones in brackets): "
            f"{', '.join(told)}. What a model gives is {verdict} what correlation gives: {model} and {rival} differ by "
            f"{lead:+.3f}, with a standard deviation of {shared['both_poles_sd'][model]:.3f} and "
            f"{shared['both_poles_sd'][rival]:.3f} over pairs of subsamples."
        )
    both = table.pivot(index="method", columns="graph", values="both_poles")
    lost = both[anew.SAME] - both[anew.ANEW]
    of_single = f"; from {anew.CORRELATION}, {lost[anew.CORRELATION]:.2f}" if lost.idxmax() != anew.CORRELATION else ""
    sentences.append(
        f"Building the graph anew takes most from {lost.idxmax()}: {lost.max():.2f} of that Jaccard{of_single}."
    )
    return sentences


def about_cell(table: pd.DataFrame, cell: str) -> list[str]:
    """How main effects, modules and products share in one cell's predictions; table as from `explain_cell`."""
    sums = table.pivot_table(index="frequency", columns="kind", values="contribution", aggfunc="sum")
    return [
        f"Cell {cell}, frequency {frequency}: predicted {row.sum():.4g} = "
        f"{' + '.join(f'{kind} {share:.4g}' for kind, share in row.dropna().items())}."
        for frequency, row in sums.iterrows()
    ]


def about_tested_pairs(table: pd.DataFrame) -> list[str]:
    """Which pairs of genes say of each frequency what programs and single genes do not; as from `scan_table`."""
    sentences, without = [], []
    for frequency, listed in table.groupby("frequency"):
        called = listed[listed["called"]]
        if listed["p_value"].isna().all():
            sentences.append(
                f"Frequency {frequency}: its pairs are not tested, as no structure beyond depth and noise is shown."
            )
        elif called.empty:
            without.append(frequency)
        else:
            top = called.loc[called["rank"].idxmin()]
            sentences.append(
                f"Frequency {frequency}: {len(called)} {'pair' if len(called) == 1 else 'pairs'} of genes called, "
                f"{called['confirmed'].sum()} confirmed in held-out cells; the strongest is "
                f"{top['gene_i']} x {top['gene_j']} (T {top['t']:.1f}, adjusted p {top['adjusted_p']:.2g}): both high, "
                f"{'higher' if top['t'] > 0 else 'lower'} frequency {frequency}."
            )
    if without:
        largest = table.loc[table["frequency"].isin(without), "t"].abs().max()
        sentences.append(
            f"No pair of genes is seen to say more of {_frequencies(without)} than programs and single genes "
            f"(largest |T| {largest:.2f}): read pairs as pairs of programs (notebook 07)."
        )
    return sentences or ["No pair of genes can be tested: fewer than two genes vary."]


def _frequencies(numbers: list[int]) -> str:
    return f"frequenc{'y' if len(numbers) == 1 else 'ies'} {', '.join(map(str, numbers))}"


def about_pair_scan(found: PairScan, surrogates: np.ndarray, power: pd.DataFrame, rates: pd.DataFrame) -> list[str]:
    """How far the scan of pairs can be trusted, and what it would have seen.

    As from scan_pairs, largest_of_surrogates, evaluation.recovery.pair_power, and replication_rates.
    """
    some = f"the {found.n_scanned:,} of {found.n_genes:,} genes that most cells show"
    which = "genes" if found.n_scanned == found.n_genes else some
    sentences = [
        f"{found.n_tests:,} products are tested, of all pairs of {which} with each frequency; a pair is called from "
        f"|T| {found.threshold:.2f} on, and the largest |T| is {found.largest:.2f}."
    ]
    if len(surrogates):
        several = len(surrogates) > 1
        reach = f"{surrogates.min():.2f} to {surrogates.max():.2f}" if several else f"{surrogates.max():.2f}"
        sentences.append(
            f"The largest |T| of {len(surrogates)} surrogate{'s' if several else ''}, without any pair, is {reach}."
        )
    for share, planted in power.groupby("share"):
        n_called = planted["n_called"].sum()
        precision = (planted["precision"] * planted["n_called"]).sum() / n_called if n_called else np.nan
        sentences.append(
            f"Of pairs planted that make up {share:.1%} of a frequency's variance each, {planted['recall'].mean():.0%} "
            f"are called; of what is called then, {measured(precision, '.0%')} is planted."
        )
    of_found, *random = rates.itertuples()
    if of_found.n_pairs:
        kinds = [f"{measured(row.replicated, '.0%')} of those {row.pairs.removeprefix('random, ')}" for row in random]
        sentences.append(
            f"Of the {of_found.n_pairs} pairs looked for in the held-out cells, {of_found.replicated:.0%} have the "
            f"same sign and p < 0.05 there; of random pairs {', '.join(kinds)}."
        )
    return sentences


def about_products_held(n_called: int, gained: pd.DataFrame) -> list[str]:
    """Which called pairs the model holds, and what they add; gained : as from evaluation.gain_of_products."""
    if not n_called:
        return ["No pair was called: the model holds no product of two genes as a term of its own."]
    held = gained[gained["n_products"] > 0]
    if held.empty:
        return [
            f"Of {n_called} called {'pair' if n_called == 1 else 'pairs'}, none raises the R² of validation cells: the "
            "model holds no product of two genes as a term of its own."
        ]
    return [
        f"Frequency {row.frequency}: with {row.n_products} of the called pairs as terms of their own, R² is "
        f"{measured(row.val_r2_with, '.3f')} instead of {measured(row.val_r2, '.3f')} in validation cells, which chose "
        f"that, and {measured(row.test_r2_with, '.3f')} instead of {measured(row.test_r2, '.3f')} in test cells."
        for row in held.itertuples()
    ]


def facts_of_form(form: BilinearForm) -> pd.DataFrame:
    """Sizes of a fitted form."""
    facts = {
        "transcriptional scales (frequencies)": form.n_freq,
        "genes": len(form.genes),
        "gene pairs of each matrix": len(form.genes) * (len(form.genes) + 1) // 2,
        "rank of each matrix, at most": form.basis.shape[1],
    }
    return pd.Series(facts, name="value").to_frame()


def about_single_genes(main_effects: pd.DataFrame, n_genes: int = 5) -> list[str]:
    """Which genes alone tell the ends of each frequency apart; main_effects : as from reading.main_effect_table."""
    sentences = []
    for frequency, table in main_effects[main_effects["rank"] <= n_genes].groupby("frequency"):
        ends = [
            f"{where}: {', '.join(table.loc[table['pole'] == pole, 'gene'])}"
            for pole, where in (("positive", "higher at its high end"), ("negative", "higher at its low end"))
            if (table["pole"] == pole).any()
        ]
        sentences.append(f"Frequency {frequency}, genes of the largest effects of their own, {'; '.join(ends)}.")
    return sentences


def figures_of_reading(trusted: pd.DataFrame, tested: pd.DataFrame, n_tests: int) -> dict[str, str]:
    """Key figures: trusted modules and pairs that are called, of n_tests; as from module_axes and scan_table."""
    return {
        "trusted modules": f"{_axes(is_read(trusted).sum())} ({trusted['trusted'].sum()} of {len(trusted)} modules)",
        "gene pairs called": f"{tested['called'].sum()} of {n_tests:,} tested",
    }


def about_cell_spaces(spaces: hierarchy.CellSpaces) -> list[str]:
    """Which cells are clustered, and at which levels; as from hierarchy.cell_spaces."""
    n_cells = len(spaces.rows)
    of_all = f" of {spaces.n_all:,}, spread evenly over the file," if n_cells < spaces.n_all else ""
    sentences = [f"{n_cells:,} cells{of_all} are clustered in these spaces: {', '.join(spaces.coordinates)}."]
    if len(spaces.numbers) < 2:
        return [*sentences, "They are too few, or too much alike, for clusters within clusters: nothing is nested."]
    return [*sentences, f"The levels, from coarse to fine, are of {', '.join(map(str, spaces.numbers))} clusters."]


def _steps(steps: pd.DataFrame) -> str:
    return "; ".join(
        f"{row.n_clusters} clusters in {row.n_coarse} {row.value:.2f} ±{row.value_sd:.2f}, Gaussian {row.chance:.2f} "
        f"±{row.chance_sd:.2f}"
        for row in steps.itertuples()
    )


def about_divided(table: pd.DataFrame) -> list[str]:
    """Whether each further frequency divides one cluster; as from hierarchy.divided_by_further."""
    return [
        f"Frequency {row.frequency} has {measured(row.value, '.0%')} (±{measured(row.value_sd, '.0%')}) of what it "
        f"varies within {row.n_clusters} clusters of the frequencies before it in one cluster, which holds "
        f"{measured(row.chance, '.0%')} of the cells."
        for row in table.itertuples()
    ]


def about_hierarchy(nested: pd.DataFrame, agreement: pd.DataFrame, labelled: pd.DataFrame) -> list[str]:
    """Answer whether clustering by modules is hierarchical, and the same as clustering by frequencies.

    As from hierarchy.nestedness_table, agreement_with_spaces and agreement_with_labels.
    """
    spaces = [
        space for space in (hierarchy.FREQUENCIES, hierarchy.AXES, hierarchy.SCORES) if space in set(nested["space"])
    ]
    sentences = [_is_hierarchical(space, nested[nested["space"] == space]) for space in spaces]
    k_means = agreement[agreement["method"] == hierarchy.K_MEANS].set_index(["space", "n_clusters"])
    for space in spaces[1:]:
        sentences.append(_is_same(space, k_means.loc[space], k_means.loc[hierarchy.FREQUENCIES]))
    best = labelled[(labelled["measure"] == "ARI") & labelled["space"].isin(nested["space"])]
    for method, of_method in best.groupby("method", sort=False):
        top = of_method.loc[of_method.groupby("space", sort=False)["value"].idxmax()]
        told = ", ".join(f"{row.space} {row.value:.2f} (at {row.n_clusters})" for row in top.itertuples())
        sentences.append(f"{method}'s clusters agree with the known labels, at the number where most, by ARI: {told}.")
    return sentences or ["There are too few cells to say whether clusters are hierarchical."]


def _is_hierarchical(space: str, steps: pd.DataFrame) -> str:
    n_nested, n_steps = hierarchy.is_nested(steps).sum(), len(steps)
    verdict = "Not shown" if not n_nested else "Nested as it must be" if n_nested == n_steps else "In part"
    return (
        f"Is clustering by {space} hierarchical? {verdict}: on {n_nested} of {n_steps} steps, more cells lie where "
        f"most of their finer cluster lies than in a Gaussian of the same covariance ({_steps(steps)}; mean lead "
        f"{(steps['value'] - steps['chance']).mean():.2f})."
    )


def _is_same(space: str, cross: pd.DataFrame, own: pd.DataFrame) -> str:
    judged = own.index[own["value"] >= RETURNS]
    is_same = (cross["value"] + cross["value_sd"] >= own["value"] - own["value_sd"])[judged]
    told = ", ".join(
        f"{cross['value'][k]:.2f} ±{cross['value_sd'][k]:.2f} at {k} clusters (by frequencies twice "
        f"{own['value'][k]:.2f} ±{own['value_sd'][k]:.2f})"
        for k in own.index
    )
    levels = ", ".join(map(str, judged[is_same]))
    verdict = "Yes" if is_same.all() else f"No, but at {levels} clusters" if is_same.any() else "No"
    if judged.empty:
        verdict = "Cannot be said, as clusters of frequencies do not come back"
    return (
        f"Is it the same by {space} as by frequencies? {verdict}: the clusters agree by ARI {told}, where chance is 0; "
        f"levels at which those by frequencies come back by less than {RETURNS} are not judged."
    )


def about_cell_tree(tree: hierarchy.CellTree) -> list[str]:
    """How well few genes tell the sides of the splits; as from hierarchy.cell_tree."""
    splits = tree.splits
    if splits.empty:
        return ["The cells are not parted into groups: there are too few of them."]
    judged = splits.dropna(subset="accuracy")
    sentences = [f"{len(splits)} splits give {len(splits) + 1} groups; {len(judged)} splits can be judged."]
    if len(judged):
        clear = judged["accuracy"] > judged["random_accuracy"] + 2 * judged["random_accuracy_sd"]
        worst, best = judged.loc[judged["accuracy"].idxmin()], judged.loc[judged["accuracy"].idxmax()]
        sentences.append(
            f"On held-out cells, the genes of a split tell its sides with a balanced accuracy of "
            f"{worst['accuracy']:.2f} (of {worst['group']}) to {best['accuracy']:.2f} (of {best['group']}), on average "
            f"{judged['accuracy'].mean():.2f}; as many random genes {judged['random_accuracy'].mean():.2f}, chance "
            f"0.5. They lead random ones by more than two standard deviations in {clear.sum()} of {len(judged)}."
        )
    return sentences


def figures_of_hierarchy(nested: pd.DataFrame, tree: hierarchy.CellTree) -> dict[str, str]:
    """Key figures: nestedness of clusters of frequencies and module axes, and how well splits are told."""
    shown = nested[nested["space"].isin([hierarchy.FREQUENCIES, hierarchy.AXES])]
    means = shown.groupby("space", sort=False)[["value", "chance"]].mean()
    told = {
        f"clusters nested in coarser ones, {name}": f"{row.value:.2f} (Gaussian: {row.chance:.2f})"
        for name, row in zip(means.index, means.itertuples(), strict=True)
    }
    accuracy = tree.splits["accuracy"].mean()
    return told | {"splits of cell groups told by few genes, held-out": measured(accuracy, ".2f")}
