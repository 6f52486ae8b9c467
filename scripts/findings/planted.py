"""Sentences on planted truth, each filled from measured values; what the data does not support is not said."""

import pandas as pd

from scripts.evaluation import recovery as by  # method and task

CLOSE = 0.05  # differences up to this count as none


def _mean(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """Mean over seeds, one row an interaction, one column a method and one for chance."""
    own = table[table["task"] == task]
    wide = own.pivot_table(index="interaction", columns="method", values="value")
    return wide.assign(chance=own.groupby("interaction")["chance"].mean())


def _listed(values) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _first_capital(task: str) -> str:
    return task[0].upper() + task[1:]


def about_pairs(table: pd.DataFrame) -> list[str]:
    """Who finds the planted pairs; table : as planted_sweep."""
    sentences = []
    strongest = table["interaction"].max()
    for task in (by.PAIRS, by.SILENT_PAIRS):
        mean = _mean(table, task)
        at = mean.loc[strongest]
        own = table[(table["task"] == task) & (table["interaction"] == strongest) & (table["method"] == by.BILINEAR)]
        sentences.append(
            f"{_first_capital(task)}, at an interaction of {strongest:g}: the bilinear model on all genes has a mean "
            f"AUPRC of {at[by.BILINEAR]:.3f} (lowest of {len(own)} seeds: {own['value'].min():.3f}); "
            f"correlation of genes {at[by.CORRELATION]:.3f}, linear ridge {at[by.LINEAR]:.3f}, "
            f"co-expression {at[by.CO_EXPRESSION]:.3f}, chance {at['chance']:.3f}."
        )
        blind = (mean[by.CORRELATION] - mean["chance"]).abs() <= CLOSE
        ahead = mean.index[blind & (mean[by.BILINEAR] > mean["chance"] + CLOSE)]
        if len(ahead):
            sentences.append(
                f"{_first_capital(task)}: correlation of genes is within {CLOSE} of chance, the bilinear model is not, "
                f"at an interaction of {_listed(ahead)}."
            )
        both = mean.index[(mean[[by.BILINEAR, by.CORRELATION]].sub(mean["chance"], axis=0).abs() <= CLOSE).all(axis=1)]
        if len(both):
            sentences.append(f"{_first_capital(task)}: both are at chance at an interaction of {_listed(both)}.")
    return sentences


def about_products(table: pd.DataFrame) -> list[str]:
    """Whether the bilinear model finds more than correlating every product of two genes; table as planted_sweep."""
    sentences = []
    for task in (by.PAIRS, by.SILENT_PAIRS):
        mean = _mean(table, task)
        lead = mean[by.BILINEAR] - mean[by.PRODUCTS]
        verdicts = {
            f"ahead by more than {CLOSE}": lead > CLOSE,
            f"behind by more than {CLOSE}": lead < -CLOSE,
            f"equal within {CLOSE}": lead.abs() <= CLOSE,
        }
        found = [f"{name} at an interaction of {_listed(mean.index[at])}" for name, at in verdicts.items() if at.any()]
        sentences.append(
            f"{_first_capital(task)}: against the correlation of every product of two genes, the bilinear model is "
            f"{'; '.join(found)}."
        )
    return sentences


def about_genes(table: pd.DataFrame) -> list[str]:
    """Who finds the single genes; table as planted_sweep."""
    sentences = []
    for task, reading in ((by.PROGRAM_GENES, "main effects"), (by.PAIR_GENES, "strongest pairs")):
        mean = _mean(table, task)
        difference = mean[by.BILINEAR] - mean[by.CORRELATION]
        informative = mean[[by.BILINEAR, by.CORRELATION]].max(axis=1) > mean["chance"] + CLOSE
        for verdict, where in (
            ("find as much as", difference.abs() <= CLOSE),
            ("find more than", difference > CLOSE),
            ("find less than", difference < -CLOSE),
        ):
            sentences += [
                f"{_first_capital(task)}: the bilinear model's {reading} {verdict} correlation at an interaction of "
                f"{value:g} (AUPRC {mean.loc[value, by.BILINEAR]:.2f} and {mean.loc[value, by.CORRELATION]:.2f}, "
                f"chance {mean.loc[value, 'chance']:.2f})."
                for value in mean.index[where & informative]
            ]
    return sentences


def about_named_pairs(table: pd.DataFrame) -> list[str]:
    """What the named pairs predict, at the least and the most interaction; table as planted_sweep."""
    mean = _mean(table, by.PANEL)
    return [
        f"At an interaction of {value:g}, a ridge on the named pairs reaches an R² of "
        f"{mean.loc[value, by.BILINEAR]:.2f} on held-out cells with those of the bilinear model, "
        f"{mean.loc[value, by.PRODUCTS]:.2f} with those of the correlation of products, "
        f"{mean.loc[value, by.CORRELATION]:.2f} with those of the correlation of genes, and "
        f"{mean.loc[value, by.PLANTED]:.2f} with the planted ones."
        for value in (mean.index.min(), mean.index.max())
    ]


def about_components(table: pd.DataFrame, seen: pd.DataFrame) -> list[str]:
    """Whether components hide the pairs; table as planted_sweep, seen as seen_by_components."""
    mean = _mean(table, by.PAIRS).loc[table["interaction"].max()]
    share = seen.set_index("genes").loc["pair"]
    verdict = "hide" if mean[by.COMPONENTS] < mean[by.BILINEAR] - CLOSE else "do not hide"
    return [
        f"Components {verdict} the pairs here: the same model finds them with an AUPRC of {mean[by.COMPONENTS]:.3f} on "
        f"components and {mean[by.BILINEAR]:.3f} on all genes (chance {mean['chance']:.3f}). Of a gene of a pair, "
        f"{share['share_in_components']:.1%} lie in the components; {share['if_random']:.1%} would in random ones."
    ]


def about_network(table: pd.DataFrame) -> list[str]:
    """Which method is nearest to the published network; table as krumsiek_recovery."""
    sentences = []
    for measure, own in table.groupby("measure", sort=False):
        mean = own.groupby("method", sort=False)["value"].mean()
        rest = ", ".join(f"{method} {value:.2f}" for method, value in mean.drop(by.BILINEAR).items())
        place = int((mean > mean[by.BILINEAR]).sum()) + 1
        sentences.append(
            f"{measure}: {by.BILINEAR} {mean[by.BILINEAR]:.2f}, place {place} of {len(mean)}; {rest}; chance "
            f"{own['chance'].mean():.2f}."
        )
    return sentences


def planted_key_figure(table: pd.DataFrame) -> str:
    """One line for the index page; table as planted_sweep."""
    mean = _mean(table, by.PAIRS).loc[table["interaction"].max()]
    return f"{mean[by.BILINEAR]:.2f} (correlation of genes: {mean[by.CORRELATION]:.3f}, chance: {mean['chance']:.3f})"
