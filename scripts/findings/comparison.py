"""Sentences on the comparison of methods."""

import pandas as pd

from scripts import rankings
from scripts.evaluation import TOGETHER, panel_lead, panel_summary
from scripts.findings.models import UNJUDGED, about_unjudged
from scripts.findings.text import measured


def about_comparison(comparison: pd.DataFrame) -> list[str]:
    """Whether the modules differ from the most correlated genes, beside what chance gives."""
    mean, chance = comparison["best_jaccard"].mean(), comparison["expected_jaccard"].mean()
    n_shared = int((comparison["p_value"] < 0.05).sum())
    sentences = [
        f"The better pole of the first module shares a mean Jaccard of {mean:.3f} with the most correlated genes "
        f"(range {comparison['best_jaccard'].min():.3f} to {comparison['best_jaccard'].max():.3f}; random genes "
        f"{chance:.3f}). The overlap is more than chance (p < 0.05) for {n_shared} of {len(comparison)} frequencies.",
    ]
    if "rbo" in comparison:
        sentences.append(
            f"Ranked over all genes, first module and correlation have a mean rank-biased overlap of "
            f"{comparison['rbo'].mean():.3f} (permuted rankings: {comparison['expected_rbo'].mean():.3f}), more than "
            f"chance for {(comparison['rbo_p_value'] < 0.05).sum()} of {len(comparison)} frequencies."
        )
    return [*sentences, "A low overlap says that the lists differ, not that either is better."]


def about_drivers(drivers: pd.DataFrame, shuffled: pd.DataFrame | None, level: float = 0.05) -> list[str]:
    """How many genes pass the test of lineage drivers, and how many shuffled ones.

    drivers, shuffled : as from evaluation.driver_table and evaluation.shuffled_drivers.
    """
    share = (drivers["q_value"] < level).groupby(drivers["frequency"]).mean()
    among = "cells of any depth, which is not known" if shuffled is None else "cells of the same depth"
    sentences = [
        f"Against genes dealt out at random among {among}, {share.min():.0%} to {share.max():.0%} of all genes are "
        f"correlated with a frequency (q < {level}). In many cells a weak correlation is enough: mind its size."
    ]
    if shuffled is not None:
        passed = (shuffled["p_value"] < level).groupby(shuffled["frequency"]).mean()
        sentences.append(
            f"Of {shuffled['gene'].nunique()} genes whose counts were shuffled over the cells before they were "
            f"normalised, {passed.min():.1%} to {passed.max():.1%} pass by p < {level}; {level:.0%} are due."
        )
    return sentences


def about_panels(panels: pd.DataFrame, n_genes: int = 25) -> list[str]:
    """Which method's genes predict best, by how much, and where; panels : as from panels.panel_table."""
    of_size = panels[panels["n_genes"] == n_genes]
    if of_size["r2"].isna().all():
        return [f"No split can judge the panels: {UNJUDGED} any frequency."]
    summary = panel_summary(of_size).sort_values("mean", ascending=False)
    n_freq, n_splits = of_size["frequency"].nunique(), of_size["split"].nunique()
    told = ", ".join(f"{row.method} {row.mean:.3f} ± {row.sd:.3f}" for row in summary.itertuples(index=False))
    sentences = [
        f"R² on held-out cells of panels of {n_genes} genes, mean over {n_freq} "
        f"{'frequency' if n_freq == 1 else 'frequencies'} (± standard deviation over {n_splits} "
        f"{'split' if n_splits == 1 else 'splits'}): {told}."
    ]
    sentences += [_lead(panels, rival, n_genes) for rival in (rankings.CORRELATION, rankings.LINEAR)]
    by_size = panel_summary(panels).dropna()
    best = by_size.loc[by_size.groupby("n_genes")["mean"].idxmax()]
    sentences.append("Best by size of the panel: " + _listed(best, "n_genes", "{} genes") + ".")
    means = of_size.groupby(["frequency", "method"], sort=False)["r2"].mean().dropna().rename("mean").reset_index()
    best = means.loc[means.groupby("frequency")["mean"].idxmax()]
    sentences.append(f"Best at {n_genes} genes by frequency: " + _listed(best, "frequency", "frequency {}") + ".")
    return sentences + about_unjudged(of_size[of_size["method"] == rankings.PANEL])


def _lead(panels: pd.DataFrame, rival: str, n_genes: int) -> str:
    lead = panel_lead(panels, rankings.PANEL, rival, n_genes)
    ahead = int((lead > 0).sum())
    verdict = "beats" if ahead == len(lead) else "is beaten by" if ahead == 0 else "is not clearly apart from"
    spread = f" ± {lead.std():.3f}" if len(lead) > 1 else ""
    return (
        f"At {n_genes} genes the {rankings.PANEL} {verdict} {_with_article(rival)}: difference of R² "
        f"{lead.mean():+.3f}{spread}, ahead in {ahead} of {len(lead)} splits."
    )


def _with_article(method: str) -> str:
    return (
        f"the {method}, which as greedily avoids repetition but knows no pairs" if method == rankings.LINEAR else method
    )


def _listed(best: pd.DataFrame, column: str, label: str) -> str:
    return ", ".join(f"{label.format(row[column])} {row['method']} ({row['mean']:.3f})" for _, row in best.iterrows())


def about_panel_stability(stability: pd.DataFrame, cells: str, n_genes: int = 25) -> list[str]:
    """Which method's genes come back in other cells (cells : which); stability : as from panels.panel_stability."""
    means = stability.groupby("method")["jaccard"].mean().sort_values(ascending=False)
    random = means.pop(rankings.RANDOM)
    told = ", ".join(f"{method} {value:.2f}" for method, value in means.items())
    return [
        f"Of {n_genes} genes, other training cells ({cells}) share (mean Jaccard): {told}; random genes "
        f"{random:.2f}. A low value need not mean a poor panel: where several genes tell the same, a panel that avoids "
        "repetition can pick another of them each time.",
    ]


def about_rivals(panels: pd.DataFrame, splits: list, missing: list[str]) -> list[str]:
    """Which rivals could not be asked, how to have them, and which name one list for all frequencies.

    panels, splits : as from evaluation.panel_table and panel_splits; missing : as from rankings.missing.
    """
    shown = panels["method"].unique()
    one_list = [method for method in rankings.ONE_LIST if method in shown]
    sentences = [f"One list of genes for all frequencies is named by: {', '.join(one_list)}."]
    if missing:
        sentences.append(
            f"Not installed, and left out: {', '.join(missing)}; pip install -e '.[rivals]' in the project's folder "
            "adds them, and the next run asks them, too."
        )
    left_out = {method: why for _, ranking in splits for method, why in ranking.left_out.items()}
    return sentences + [f"{method} could not rank the genes of a split: {why}." for method, why in left_out.items()]


def about_rivals_won(leads: pd.DataFrame, seconds: pd.Series, n_genes: int) -> list[str]:
    """Where each rival wins, and what each method costs; leads : as from evaluation.where_rivals_win.

    seconds : as from evaluation.panel_seconds.
    """
    asked = {
        "R²": f"R² of {n_genes} genes on held-out cells (± standard deviation over splits)",
        "stability": f"Stability of {n_genes} genes (Jaccard, ± both methods' spread over pairs of subsamples)",
        "markers": "Average precision for published markers (± standard deviation over splits)",
    }
    every, sentences = leads[leads["frequency"] == -1], []
    for measure, told in asked.items():
        rows = every[every["measure"] == measure].dropna()
        if len(rows):
            sentences.append(f"{told}. {_ahead_and_behind(rows)}")
    if every["spread"].isna().any():
        sentences.append("A lead that fewer than two splits judge has no spread: no win is told by it.")
    single = leads[(leads["frequency"] >= 0) & leads["won"]].sort_values(["frequency", "lead"], ascending=[True, False])
    won = [f"at {f} {_with_spread(rows)}" for f, rows in single.groupby("frequency")]
    if won:
        sentences.append("R² frequency by frequency, rivals win " + "; ".join(won) + ".")
    elif leads["frequency"].max() >= 0:
        sentences.append("R² frequency by frequency, no rival wins at any by more than the spread.")
    fit = seconds[list(rankings.BILINEAR)]
    others = ", ".join(f"{method} {value:.2g}" for method, value in seconds.drop(fit.index).items())
    return [
        *sentences,
        f"Seconds of a core for a split, beside what all share: the bilinear methods {fit.min():.2g} to "
        f"{fit.max():.2g}, with the model's fit; {others}.",
    ]


def _ahead_and_behind(leads: pd.DataFrame) -> str:
    """Who beats the bilinear panel, who is beaten by it, and who is within the spread."""
    ordered = leads.sort_values("lead", ascending=False)
    beaten = ordered[ordered["lead"] < -ordered["spread"]]
    level = ordered[ordered["lead"].abs() <= ordered["spread"]]
    parts = {f"Ahead of the {rankings.PANEL}": ordered[ordered["won"]], "behind": beaten, "within the spread": level}
    return "; ".join(f"{part}: {_with_spread(rows) if len(rows) else 'none'}" for part, rows in parts.items()) + "."


def _with_spread(leads: pd.DataFrame) -> str:
    return ", ".join(f"{row.method} {row.lead:+.3f} ± {row.spread:.3f}" for row in leads.itertuples())


def about_markers(summary: pd.DataFrame, n_markers: int, n_genes: int = 25) -> list[str]:
    """Which method names the most published markers; summary : as from markers.recovery_summary."""
    if summary.empty:
        return [
            "The measured genes hold too few published markers of mouse myeloid progenitors: their recovery is not "
            "shown."
        ]
    chance, best = summary.iloc[0]["expected_average_precision"], summary.index[0]
    told = ", ".join(
        f"{method} {row['average_precision']:.3f} ± {row['average_precision_sd']:.3f}"
        for method, row in summary.iterrows()
    )
    most, widest = summary["precision"].idxmax(), summary["lineages"].idxmax()
    return [
        f"{n_markers} published markers were measured. Average precision of each ranking for them: {told} "
        f"(random order: {chance:.3f}); {best} is best.",
        f"Of the first {n_genes} genes, {most} has most markers among them ({summary['precision'].max():.0%}, by "
        f"chance {summary.iloc[0]['expected_precision']:.1%}); {widest} names genes of most "
        f"lineages ({summary['lineages'].max():.1f} a frequency).",
    ]


def about_marker_rival(summary: pd.DataFrame, intervals: pd.DataFrame) -> list[str]:
    """Whether any method names more markers than one line without a model; as from evaluation.marker_intervals."""
    if intervals.empty:
        return []
    best = summary["average_precision"].drop(TOGETHER).idxmax()
    own, other = (_interval(summary, intervals, method) for method in (TOGETHER, best))
    lead, low, high = intervals.loc[best, ["lead", "lead_low", "lead_high"]]
    verdict = "is ahead of" if low > 0 else "is behind" if high < 0 else "is not clearly apart from"
    return [
        "The multiple correlation of each gene with all frequencies together, one line without a model, "
        f"{verdict} the best method for a single frequency: average precision {own}, {best} {other}; difference "
        f"{lead:+.3f} ({low:+.3f} to {high:+.3f}). Intervals are 95%, over markers drawn anew."
    ]


def _interval(summary: pd.DataFrame, intervals: pd.DataFrame, method: str) -> str:
    low, high = intervals.loc[method, ["low", "high"]]
    return f"{summary.loc[method, 'average_precision']:.3f} ({low:.3f} to {high:.3f})"


def about_marker_sources(markers: pd.DataFrame, dataset: str) -> list[str]:
    """How many markers were published with these very cells: no independent proof.

    A paper is the data set's own if the name is that of its first author and year, as in paul15. markers : as from
    sources.load_markers.
    """
    author, year = markers["source"].str.extract(r"^(\w+).*?\b\d\d(\d\d)\b").fillna("").to_numpy(dtype=object).T
    n_own = int((pd.Series(author + year, dtype=object).str.lower() == dataset.lower()).sum())
    if not n_own:
        return []
    return [
        f"{n_own} of these {len(markers)} markers cite the paper of the data set itself: they are no independent proof."
    ]


def figures_of_comparison(comparison: pd.DataFrame, panels: pd.DataFrame, n_genes: int) -> dict[str, str]:
    """Key figures: overlap with the correlated genes, and what a panel of n_genes genes predicts."""
    mean, chance = comparison["best_jaccard"].mean(), comparison["expected_jaccard"].mean()
    r2 = panel_summary(panels[panels["n_genes"] == n_genes]).set_index("method")["mean"]
    methods = (rankings.PANEL, rankings.LINEAR, rankings.CORRELATION)  # the linear panel chooses as greedily
    return {
        "Jaccard of modules and correlated genes": f"{mean:.3f} (random genes: {chance:.3f})",
        f"R² of {n_genes} genes": ", ".join(f"{measured(r2[method], '.3f')} {method}" for method in methods),
    }
