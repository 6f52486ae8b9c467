"""Sentences for the reports, each filled from measured values; what the data does not support is not said."""

import numpy as np
import pandas as pd


def label_separation(freqs: np.ndarray, labels: pd.Series) -> pd.DataFrame:
    """Which known labels each frequency sets apart.

    Parameters
    ----------
    freqs : (n_cells, n_freq)
    labels : (n_cells,)

    Returns
    -------
    DataFrame
        One row a frequency: the share of its variance that lies between labels (eta squared), the share that as many
        random groups of these sizes give, and the labels of the lowest and of the highest mean.
    """
    codes, names = pd.factorize(labels)
    sizes = np.bincount(codes)
    rows = []
    for frequency, values in enumerate(freqs.T):
        means = np.bincount(codes, values) / sizes
        share = (sizes * (means - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum()
        rows.append(
            (frequency, share, (len(names) - 1) / (len(values) - 1), names[means.argmin()], names[means.argmax()])
        )
    columns = ["frequency", "variance_between_labels", "expected_by_chance", "lowest", "highest"]
    return pd.DataFrame(rows, columns=columns)


def about_labels(separation: pd.DataFrame, label: str) -> list[str]:
    """One sentence for each frequency that known labels explain to more than half."""
    return [
        f"Frequency {row.frequency} runs from {row.lowest} to {row.highest}: "
        f"{row.variance_between_labels:.0%} of its variance lies between the {label} "
        f"(random groups: {row.expected_by_chance:.1%})."
        for row in separation.itertuples()
        if row.variance_between_labels > 0.5
    ]


def about_prediction(performance: pd.DataFrame) -> list[str]:
    """What the held-out cells say of the model and of the linear rival.

    performance : columns model, frequency, r2, mae, train_mae; the models "bilinear" and "linear ridge".
    """
    means = performance.groupby("model")[["r2", "mae", "train_mae"]].mean()
    bilinear, linear = means.loc["bilinear"], means.loc["linear ridge"]
    lead = bilinear["r2"] - linear["r2"]
    verdict = "better than" if lead > 0 else "no better than"
    sentences = [
        f"On held-out cells the bilinear model reaches a mean R² of {bilinear['r2']:.2f}, {verdict} a linear ridge on "
        f"the same cells ({linear['r2']:.2f}); predicting the mean gives 0."
    ]
    if bilinear["mae"] > 2 * bilinear["train_mae"]:
        sentences.append(
            f"It overfits: its mean absolute error is {bilinear['mae']:.4f} on held-out cells and "
            f"{bilinear['train_mae']:.4f} on the cells it was trained on. Read its modules with that in mind."
        )
    return sentences


def about_comparison(comparison: pd.DataFrame) -> list[str]:
    """Whether the modules differ from the most correlated genes, beside what chance gives."""
    mean, chance = comparison["best_jaccard"].mean(), comparison["expected_jaccard"].mean()
    n_shared = int((comparison["p_value"] < 0.05).sum())
    return [
        f"The better pole of the first module shares a mean Jaccard of {mean:.3f} with the most correlated genes "
        f"(range {comparison['best_jaccard'].min():.3f} to {comparison['best_jaccard'].max():.3f}; random genes "
        f"{chance:.3f}). The overlap is more than chance (p < 0.05) for {n_shared} of {len(comparison)} frequencies.",
        "A low overlap says that the lists differ, not that either is better.",
    ]


def about_enrichment(summary: pd.DataFrame, rival: pd.DataFrame, fdr: float) -> list[str]:
    """How many gene lists have a significant term, the modules' beside the rival's; both as enrichment.summarise."""
    n_found, n_rival = ((table["significant_terms"] > 0).sum() for table in (summary, rival))
    verdict = "more than" if n_found > n_rival else "as many as" if n_found == n_rival else "fewer than"
    sentences = [
        f"{n_found} of {len(summary)} module poles have a gene-set term at FDR {fdr} with the measured genes as the "
        f"background, {verdict} the poles of the plain correlation ({n_rival} of {len(rival)})."
    ]
    found = summary[summary["significant_terms"] > 0]
    sentences += [
        f"Frequency {row.frequency}, {row.pole} pole: {row.top_term} (adjusted p {row.top_adjusted_p:.1e}, "
        f"{row.significant_terms} significant terms)."
        for row in found.itertuples()
    ]
    return sentences


def bullets(sentences: list[str]) -> str:
    """Sentences as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
