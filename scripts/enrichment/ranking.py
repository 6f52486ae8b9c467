"""Gene sets that gather at either end of a full ranking of the genes."""

import contextlib
import io
import shlex

import gseapy
import numpy as np
import pandas as pd

from scripts.enrichment.sets import TestedSets, code
from scripts.enrichment.terms import names_of
from scripts.parallel import side_by_side

RANKED_COLUMNS = ["frequency", "library", "term", "set_size", "nes", "fdr", "leading_genes"]


def ranked(
    weights: np.ndarray,
    genes: list[str],
    tested: TestedSets,
    min_size: int = 40,
    permutation_num: int = 75,
    seed: int = 0,
) -> pd.DataFrame:
    """Gene sets that gather at either end of a ranking of all background genes (gseapy.prerank), the surest first.

    Parameters
    ----------
    weights : (n_genes, n_freq)
        Loadings that rank the genes, for each frequency.
    genes : list of str
    tested : TestedSets
    min_size : int
        Smaller sets are not tested: a running sum over a few genes says little, and time grows with the sets.
    permutation_num : int
        Random sets for each gene set; the false discovery rate pools those of all sets.
    seed : int

    Returns
    -------
    DataFrame
        Normalised enrichment score (nes, positive: towards the positive pole), false discovery rate over all sets of
        the frequency, and the genes that make up the score.
    """
    n_genes = len(tested.background)  # a set of them all gathers nowhere, and gseapy refuses it
    sets = {number: members for number, members in tested.codes.items() if min_size <= len(members) < n_genes}
    options = {"min_size": min_size, "max_size": len(genes), "permutation_num": permutation_num, "seed": seed}
    rows_of = {
        code(tested.position[gene]): row for row, gene in reversed([*enumerate(genes)]) if gene in tested.position
    }
    gene_of = {name: genes[row] for name, row in rows_of.items()}

    def table(frequency: int) -> pd.DataFrame:
        weight = weights[:, frequency]
        found = _prerank(pd.Series(weight[[*rows_of.values()]], index=[*rows_of]), sets, options)
        columns = {
            "frequency": frequency,
            **names_of(found["Term"], tested),
            "set_size": [len(sets[number]) for number in found["Term"]],
            "nes": found["NES"].astype(float),
            "fdr": found["FDR q-val"].astype(float),
            "leading_genes": [shlex.join(gene_of[name] for name in names.split(";")) for names in found["Lead_genes"]],
        }
        return pd.DataFrame(columns).sort_values("fdr", kind="stable")

    frequencies = np.flatnonzero(weights.any(axis=0)).tolist() if sets else []  # weights of 0 rank nothing
    # gseapy logs that some genes rank alike, and its own threads gain less than one for each frequency
    with contextlib.redirect_stderr(io.StringIO()):
        tables = side_by_side(table, frequencies)
    return pd.concat(tables or [pd.DataFrame(columns=RANKED_COLUMNS)], ignore_index=True)


def _prerank(ranking: pd.Series, sets: dict[str, list[str]], options: dict) -> pd.DataFrame:
    # a set whose genes all weigh 0 would have no score, at which gseapy breaks down
    ranking = ranking.mask(ranking == 0, 1e-9 * ranking.abs().max())
    return gseapy.prerank(ranking, sets, threads=1, outdir=None, no_plot=True, **options).res2d
