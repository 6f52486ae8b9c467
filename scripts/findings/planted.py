"""Sentences on planted truth, each filled from measured values; what the data does not support is not said."""

import pandas as pd

from scripts import truth

CLOSE = 0.05  # differences up to this count as none
AT = {"interaction": "At an interaction of {:g}", "share": "Of pairs of {:.1%} of a frequency's variance each"}


def _means(table: pd.DataFrame, task: str, by: str) -> pd.DataFrame:
    """Mean AUPRC or R2 over seeds, one row a setting, one column a method and one for chance."""
    own = table[(table["task"] == task) & table["measure"].isin([truth.AUPRC, truth.R2])]
    wide = own.pivot_table(index=by, columns="method", values="value")
    return wide.assign(chance=own.groupby(by)["chance"].mean())


def _best(mean: pd.Series, methods: tuple[str, ...]) -> str:
    """The method of the highest mean among some of them."""
    return str(mean[[method for method in methods if method in mean]].idxmax())


def _against(value: float, other: float) -> str:
    return "ahead of" if value > other + CLOSE else "behind" if value < other - CLOSE else "no better or worse than"


def _about_calls(table: pd.DataFrame) -> str:
    """How many pairs the scan calls, and how many of them are planted; table : of one setting."""
    scan = table[(table["method"] == truth.SCAN) & table["measure"].isin([truth.CALLED, truth.PRECISION, truth.RECALL])]
    own = scan.pivot(index="seed", columns="measure", values="value")
    n = own[truth.CALLED]
    if not n.sum():
        return "It calls no pair."
    precision = (n * own[truth.PRECISION].fillna(0)).sum() / n.sum()
    return (
        f"It calls {n.mean():.1f} pairs on average; {precision:.0%} of them are planted, and "
        f"{own[truth.RECALL].mean():.0%} of the planted are called."
    )


def about_pairs(table: pd.DataFrame, by: str) -> list[str]:
    """Who finds the planted pairs, the scan first, which writes pairs.csv; table : as made_sweep or real_sweep.

    by : "interaction" or "share".
    """
    sentences = []
    for at, mean in _means(table, truth.PAIRS, by).iterrows():
        own = table[(table["task"] == truth.PAIRS) & (table[by] == at)]
        seeds = own[(own["method"] == truth.SCAN) & (own["measure"] == truth.AUPRC)]["value"]
        rival, model = _best(mean, truth.RIVALS), _best(mean, truth.MODELS)
        sentences.append(
            f"{AT[by].format(at)}, the scan, which writes pairs.csv, has a mean AUPRC of {mean[truth.SCAN]:.3f} "
            f"({seeds.min():.3f} to {seeds.max():.3f} over {len(seeds)} seeds; chance {mean['chance']:.2g}): "
            f"{_against(mean[truth.SCAN], mean[rival])} the best simple rival, {rival} ({mean[rival]:.3f}), and "
            f"{_against(mean[truth.SCAN], mean[model])} the best model's weights, {model} ({mean[model]:.3f}). "
            f"{_about_calls(own)}"
        )
    return sentences


def about_triples(table: pd.DataFrame) -> list[str]:
    """Whether third order finds what second order cannot; table : as triple_sweep."""
    each = table.groupby("method")["value"]
    mean, least = each.mean(), each.min()
    return [
        f"Planted triples: third order has a mean AUPRC of {mean[truth.THIRD]:.2f} (lowest of "
        f"{table['seed'].nunique()} seeds: {least[truth.THIRD]:.2f}), "
        f"{_against(mean[truth.THIRD], mean[truth.SECOND])} second order ({mean[truth.SECOND]:.3f}); chance "
        f"{table['chance'].mean():.3f}."
    ]


def about_genes(table: pd.DataFrame) -> list[str]:
    """Who finds the single genes; table : as made_sweep."""
    return [
        f"At an interaction of {at:g}, main effects of {(model := _best(mean, truth.MODELS))} find the program genes "
        f"with an AUPRC of {mean[model]:.2f}, {_against(mean[model], mean[truth.CORRELATION])} correlation "
        f"({mean[truth.CORRELATION]:.2f}); chance {mean['chance']:.2f}."
        for at, mean in _means(table, truth.PROGRAM_GENES, "interaction").iterrows()
    ]


def about_named_pairs(table: pd.DataFrame) -> list[str]:
    """What the named pairs predict; table : as made_sweep."""
    return [
        f"At an interaction of {at:g}, a ridge on the named pairs reaches an R² of {mean[truth.SCAN]:.2f} on held-out "
        f"cells with those of the scan, {mean[(rival := _best(mean, truth.RIVALS))]:.2f} with those of the best simple "
        f"rival ({rival}), and {mean[truth.PLANTED]:.2f} with the planted ones."
        for at, mean in _means(table, truth.PANEL, "interaction").iterrows()
    ]


def about_components(table: pd.DataFrame, seen: pd.DataFrame) -> list[str]:
    """Whether components hide the pairs; table : as made_sweep, seen as seen_by_components."""
    mean = _means(table, truth.PAIRS, "interaction").loc[table["interaction"].max()]
    share = seen.set_index("genes").loc["pair"]
    best = mean.drop([truth.COMPONENTS, "chance"]).max()
    verdict = "hide" if mean[truth.COMPONENTS] < best - CLOSE else "do not hide"
    return [
        f"Components {verdict} the pairs here: the model on components finds them with an AUPRC of "
        f"{mean[truth.COMPONENTS]:.3f}, the best method with {best:.3f} (chance {mean['chance']:.2g}). Of a gene of a "
        f"pair, {share['share_in_components']:.1%} lie in the components; {share['if_random']:.1%} would in "
        f"random ones."
    ]


def _of_networks(table: pd.DataFrame) -> pd.Series:
    """`krumsiek11`, or SERGIO for all of its networks, as table."""
    return table["data"].str.split(",").str[0]


def about_network(table: pd.DataFrame) -> list[str]:
    """That a pair is not an edge, and by how much; table : as network_recovery."""
    return [_about_edges(network, own) for network, own in table.groupby(_of_networks(table), sort=False)]


def _edges(own: pd.DataFrame) -> tuple[str, float, float]:
    """Of the pairs called, or of the strongest where none is: which, the share that are edges, and chance."""
    scan = own[own["method"] == truth.SCAN]
    n = scan[scan["measure"] == truth.CALLED].set_index(["data", "seed"])["value"]
    which = truth.PRECISION if n.sum() else truth.STRONGEST
    rows = scan[scan["measure"] == which].set_index(["data", "seed"])
    weight = n if n.sum() else n * 0 + 1
    share = (rows["value"].fillna(0) * weight).sum() / weight.sum()
    named = f"{n.sum():.0f} pairs called" if n.sum() else f"{truth.N_STRONGEST} strongest pairs, as none is called"
    return named, share, (rows["chance"] * weight).sum() / weight.sum()


def _about_edges(network: str, own: pd.DataFrame) -> str:
    named, share, chance = _edges(own)
    wide = own[own["measure"].isin([truth.AUPRC, truth.STRONGEST])]
    mean = wide.pivot_table(index="method", columns="measure", values="value")
    model, rival = (_best(mean[truth.AUPRC], group) for group in (truth.MODELS, truth.RIVALS))
    expected = own[own["measure"] == truth.AUPRC]["chance"].mean()
    return (
        f"{network}: a pair is not an edge. Of the scan's {named}, {share:.0%} are edges (chance {chance:.0%}). "
        f"Of the {truth.N_STRONGEST} pairs of highest weight by {model}, {mean.loc[model, truth.STRONGEST]:.0%} are, "
        f"and by the best simple rival, {rival}, {mean.loc[rival, truth.STRONGEST]:.0%}. AUPRC: scan "
        f"{mean.loc[truth.SCAN, truth.AUPRC]:.2f}, {model} {mean.loc[model, truth.AUPRC]:.2f}, {rival} "
        f"{mean.loc[rival, truth.AUPRC]:.2f}, chance {expected:.2f}."
    )


def network_table(table: pd.DataFrame) -> pd.DataFrame:
    """Means over networks and divisions, one row a method and measure, one column a kind of network, chance beside."""
    wide = table.assign(network=_of_networks(table)).groupby(["measure", "method", "network"], sort=False)
    return wide[["value", "chance"]].mean().reset_index()


def planted_key_figures(made: pd.DataFrame, real: pd.DataFrame, network: pd.DataFrame) -> dict[str, str]:
    """Lines for the index page; tables : as made_sweep, real_sweep and network_recovery."""
    lines = {}
    for where, table, by in (("made cells", made, "interaction"), ("real genes", real, "share")):
        mean = _means(table, truth.PAIRS, by).iloc[-1]
        rival = _best(mean, truth.RIVALS)
        lines[f"pairs planted in {where}, found (AUPRC)"] = (
            f"{mean[truth.SCAN]:.2f} ({rival}: {mean[rival]:.2f}, chance: {mean['chance']:.2g})"
        )
    for kind, own in network.groupby(_of_networks(network), sort=False):
        named, share, chance = _edges(own)
        lines[f"pairs that are edges, {kind}"] = f"{share:.0%} of the {named} (chance: {chance:.0%})"
    return lines
