"""Sentences on modules, pairs and single cells."""

import pandas as pd

from scripts.findings.text import measured
from scripts.models import BilinearForm
from scripts.reading import FDR, anew, is_significant


def about_trusted(trusted: pd.DataFrame) -> list[str]:
    """Which modules are worth reading; as from stability.trusted_modules."""
    sentences = []
    for frequency, table in trusted.groupby("frequency"):
        kept = table.loc[table["trusted"], "module"].tolist()
        if kept:
            named = f"module{'s' if len(kept) > 1 else ''} {', '.join(map(str, kept))}"
            sentences.append(
                f"Frequency {frequency}: {named} can be trusted; prediction needs {table['needed'].sum()}."
            )
        elif not table["judged"].all():
            sentences.append(
                f"Frequency {frequency}: the validation cells hardly vary along it and cannot say which modules "
                "prediction needs; none is trusted."
            )
        elif not table["needed"].any():
            sentences.append(f"Frequency {frequency}: main effects alone predict as well; no module is worth reading.")
        else:
            sentences.append(
                f"Frequency {frequency}: prediction needs {table['needed'].sum()} of the modules, but none comes back "
                "in other cells as it is; read them together, with caution."
            )
    return sentences


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
    sentences.append(
        f"Building the graph anew takes {lost[anew.CORRELATION]:.2f} from correlation with single frequencies; most, "
        f"{lost.max():.2f}, from {lost.idxmax()}."
    )
    return sentences


def about_cell(table: pd.DataFrame, cell: str) -> list[str]:
    """How main effects and modules share in one cell's predictions; table as from `explain_cell`."""
    sums = table.pivot_table(index="frequency", columns="kind", values="contribution", aggfunc="sum")
    return [
        f"Cell {cell}, frequency {frequency}: predicted {row.sum():.4g} = constant {row['constant']:.4g} + "
        f"main effects {row['main effects']:.4g} + modules {row['modules']:.4g}."
        for frequency, row in sums.iterrows()
    ]


def about_tested_pairs(table: pd.DataFrame, fdr: float = FDR) -> list[str]:
    """How many pairs of each frequency are significant, and which is the strongest; table as from `pair_table`."""
    sentences = []
    for frequency, listed in table.groupby("frequency"):
        found = listed[is_significant(listed, fdr)]
        if found.empty:
            least = listed["adjusted_p"].min()
            sentences.append(
                f"Frequency {frequency}: none of the {len(listed)} strongest pairs is significant at FDR {fdr} with an "
                f"interval that leaves out 0 (smallest adjusted p {least:.2g})."
            )
            continue
        top = found.loc[found["rank"].idxmin()]
        sentences.append(
            f"Frequency {frequency}: {len(found)} of the {len(listed)} strongest pairs "
            f"{'is' if len(found) == 1 else 'are'} significant at FDR {fdr}; the strongest is {top['gene_i']} x "
            f"{top['gene_j']} (weight {top['weight']:.2g}, 95% interval {top['low']:.2g} to {top['high']:.2g}, "
            f"adjusted p {top['adjusted_p']:.2g})."
        )
    return sentences


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


def figures_of_reading(trusted: pd.DataFrame, tested: pd.DataFrame, fdr: float = FDR) -> dict[str, str]:
    """Key figures: trusted modules and significant pairs; as from reading.trusted_modules and reading.pair_table."""
    return {
        "trusted modules": f"{trusted['trusted'].sum()} of {len(trusted)}",
        "significant gene pairs": f"{is_significant(tested, fdr).sum()} of {len(tested)} tested",
    }
