"""Whether modules come back, in fits to other cells, with another graph, or from other seeds; and pairs, in others."""

from collections.abc import Collection
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import sparse

from scripts.blocks import Matrix, dense, in_parts, share_shown
from scripts.models import BilinearForm
from scripts.reading.modules import poles
from scripts.reading.scan import BLOCK_VALUES, ConditionedCells, is_confirmed

N_POLE_GENES = 25  # genes of each pole that are compared
Poles = tuple[sparse.csc_array, sparse.csc_array]  # positive and negative, as from `pole_members`
N_MATCHED = 3  # leading modules whose subspaces are compared
LEAST_R2 = 0.1  # of validation cells, below which a frequency is not predicted: nothing is to be read from its modules
N_LIKE, LIKE_RANKS = 20, 0.02  # random pairs for each pair; how near in rank their genes are
LEVEL = 0.05  # at which random axes, as many as there are modules, may hold one that comes back as often as is asked


def pole_members(*weights: np.ndarray, n_genes: int = N_POLE_GENES) -> Poles:
    """Genes of the positive and of the negative pole of each axis, two of (n_all_genes, n_axes), 0 or 1.

    weights : (n_all_genes, n_axes) each, patterns or loadings, whose axes are taken together. A gene of weight 0 is at
    no pole.
    """
    found = [poles(weight, n_genes) for each in weights for weight in each.T]
    high, low = (_members([of_axis[pole] for of_axis in found], len(weights[0])) for pole in ("positive", "negative"))
    return high, low


def _members(genes: list[np.ndarray], n_all: int) -> sparse.csc_array:
    places = np.concatenate(genes) if genes else np.empty(0, int)
    ends_at = np.cumsum([0, *map(len, genes)])
    return sparse.csc_array((np.ones(len(places)), places, ends_at), shape=(n_all, len(genes)))


def pole_jaccards(a: np.ndarray, b: np.ndarray, n_genes: int = N_POLE_GENES) -> tuple[np.ndarray, np.ndarray]:
    """Jaccard of the genes at the poles of all axes of one fit with those of another, (n_a, n_b) each.

    The first is the mean of both poles, whichever way round fits better: the sign of an axis is a convention. The
    second is of the positive poles alone. a : (n_all_genes, n_a); b : (n_all_genes, n_b).
    """
    return _jaccards(pole_members(a, n_genes=n_genes), pole_members(b, n_genes=n_genes))


def _jaccards(
    own: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    (high, low), (other_high, other_low) = own, other
    positive = _jaccard(high, other_high)
    same = positive + _jaccard(low, other_low)
    turned = _jaccard(high, other_low) + _jaccard(low, other_high)
    return np.maximum(same, turned) / 2, positive


def _jaccard(a: sparse.csc_array, b: sparse.csc_array) -> np.ndarray:
    shared = (a.T @ b).toarray()
    return shared / np.maximum(a.sum(axis=0)[:, None] + b.sum(axis=0) - shared, 1)


def partner_jaccards(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Jaccard of each module's poles with those of its best partner among all modules of another fit.

    Of all frequencies: where the graph is another, these change places and rotate into each other.

    own : (n_freq, n_genes, n_modules), as from modules.patterns; other : the same of a fit of any number of them.
    Returns (n_freq, n_modules).
    """
    n_freq, _, n_modules = own.shape
    both, _ = pole_jaccards(np.hstack(list(own)), np.hstack(list(other)))
    return both.max(axis=1).reshape(n_freq, n_modules)


def subspace_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of the principal angles between the leading modules of two fits, (n_freq, n_modules), largest first.

    a, b : (n_freq, n_genes, n_modules) loadings.
    """
    return np.linalg.svd(a.swapaxes(1, 2) @ b, compute_uv=False).clip(0, 1)


def agreement_table(forms: list[BilinearForm], patterns: list[np.ndarray]) -> pd.DataFrame:
    """How much fits agree, over all pairs of them; patterns : of each fit, as from modules.patterns.

    Returns
    -------
    DataFrame
        One row a frequency: agreement, tr(B B') / (|B| |B'|); subspace_cosine, of the largest principal angle between
        the leading modules; first_module_jaccard, of the first module's poles with its partner's, the mean of both
        ways; each with its spread (standard deviation over pairs) in a column of the same name and _sd. Fits without
        interactions have neither agreement nor first modules: NaN.
    """
    measures = {"agreement": [], "subspace_cosine": [], "first_module_jaccard": []}
    n_modules = min(N_MATCHED, *(form.basis.shape[1] for form in forms))
    fits = [(form, form.modules(n_modules)[1], own) for form, own in zip(forms, patterns, strict=True)]
    for (a, a_modules, a_patterns), (b, b_modules, b_patterns) in combinations(fits, 2):
        measures["agreement"].append(agreement := a.agreement(b))
        measures["subspace_cosine"].append(subspace_cosines(a_modules, b_modules)[:, -1])
        both_ways = partner_jaccards(a_patterns, b_patterns) + partner_jaccards(b_patterns, a_patterns)
        measures["first_module_jaccard"].append(np.where(np.isnan(agreement), np.nan, both_ways[:, 0] / 2))
    columns = {"frequency": np.arange(forms[0].n_freq)}
    for name, values in measures.items():
        columns[name], columns[f"{name}_sd"] = np.mean(values, axis=0), np.std(values, axis=0)
    return pd.DataFrame(columns)


def module_stability(
    own: np.ndarray, same_graph: list[np.ndarray], anew: list[np.ndarray], by_chance: np.ndarray
) -> pd.DataFrame:
    """How many of the genes at a module's poles come back: in other cells, and where the graph is built anew as well.

    Parameters
    ----------
    own : (n_freq, n_genes, n_modules)
        As from modules.patterns.
    same_graph, anew : list of arrays like own
        Of fits to other cells, with the frequencies as they are, and with those of graphs built anew; none of the
        latter where none could be built.
    by_chance : (1, n_genes, n_axes)
        As from modules.random_patterns.

    Returns
    -------
    DataFrame
        frequency, module (from 1), stability and stability_anew, the mean over the fits of the Jaccard with the best
        partner, see `partner_jaccards`; chance and chance_anew, what all of as many random axes stay below in 19 of 20
        draws. NaN without fits.
    """
    table = _places(own)
    every = pole_members(*own, *by_chance)
    for end, fits in (("", same_graph), ("_anew", anew)):
        best = [_jaccards(every, pole_members(*fit))[0].max(axis=1) for fit in fits]
        found = np.mean(best or [np.full(every[0].shape[1], np.nan)], axis=0)
        table[f"stability{end}"] = found[: len(table)]
        table[f"chance{end}"] = np.quantile(found[len(table) :], 1 - LEVEL / len(table))
    return table


def _places(own: np.ndarray) -> pd.DataFrame:
    """Frequency and module (from 1) of each of (n_freq, n_genes, n_modules)."""
    frequency, module = (place.ravel() for place in np.indices((own.shape[0], own.shape[2])))
    return pd.DataFrame({"frequency": frequency, "module": module + 1})


def trusted_modules(
    stability: pd.DataFrame,
    truncation: pd.DataFrame,
    min_stability: float = 0.5,
    tolerance: float = 0.005,
    without_structure: Collection[int] = (),
) -> pd.DataFrame:
    """Which modules are worth reading: those that prediction needs and that come back.

    Parameters
    ----------
    stability : DataFrame
        As from `module_stability`.
    truncation : DataFrame
        As from protocols.truncation_curve; the validation cells decide.
    min_stability : float
        Least stability, in other cells and with the graph built anew, if that could be measured. At 0.5 two lists of
        25 genes share 17; where chance reaches more, more is asked for.
    tolerance : float
        A frequency needs the fewest modules whose R2 is within this of the best.
    without_structure : collection of int
        Frequencies that may be depth and noise alone: none of their modules is trusted.

    Returns
    -------
    DataFrame
        stability with the columns needed, trusted, judged, predicted and structure (all bool) added. A frequency is
        not judged where the validation cells hardly vary along it, and not predicted where their R2 is below LEAST_R2:
        its modules are neither needed nor trusted.
    """
    best = truncation.groupby("frequency")["val_r2"].max()
    is_enough = truncation["val_r2"] >= truncation["frequency"].map(best) - tolerance
    enough = truncation[is_enough].groupby("frequency")["n_modules"].min()
    reached = stability["frequency"].map(best)
    judged, predicted = reached.notna(), reached >= LEAST_R2
    structure = ~stability["frequency"].isin(without_structure)
    needed = predicted & (stability["module"] <= stability["frequency"].map(enough))
    returns = stability["stability"] >= np.maximum(min_stability, stability["chance"])
    anew = stability["stability_anew"] >= np.maximum(min_stability, stability["chance_anew"])
    trusted = needed & structure & returns & (anew | stability["stability_anew"].isna())
    facts = {"judged": judged, "predicted": predicted, "structure": structure}
    return stability.assign(needed=needed, trusted=trusted, **facts)


def recurrence(own: np.ndarray, others: dict[str, np.ndarray]) -> pd.DataFrame:
    """How much of each module of a fit comes back in others, such as fits to the cells of one donor each.

    own, others : as from modules.patterns; others by their names.

    Returns
    -------
    DataFrame
        frequency, module (from 1), donor (name of the other fit), jaccard, see `partner_jaccards`.
    """
    tables = [
        _places(own).assign(donor=name, jaccard=partner_jaccards(own, fit).ravel()) for name, fit in others.items()
    ]
    return pd.concat(tables) if tables else pd.DataFrame(columns=["frequency", "module", "donor", "jaccard"])


def replication_rates(
    pairs: pd.DataFrame, first: ConditionedCells, other: ConditionedCells, random_state: int = 0
) -> pd.DataFrame:
    """How many pairs have the same sign and p < 0.05 in other cells, beside random pairs that are like them.

    What frequencies are conditioned on leaves the same behind in all cells, and replicates too: a rate says something
    beside that of random pairs alone.

    Parameters
    ----------
    pairs : DataFrame
        frequency, i, j: found in the first cells alone, as `PairScan.strongest`.
    first, other : ConditionedCells
        Each conditioned on its own.
    random_state : int

    Returns
    -------
    DataFrame
        pairs ("found", "random, of like expression": of genes that as many cells show; "random, of like correlation":
        with each other), n_pairs, replicated (share; NaN of none).
    """
    random = np.random.default_rng(random_state)
    drawn = pairs.loc[pairs.index.repeat(N_LIKE), ["frequency", "i", "j"]]
    tested = np.intersect1d(first.tested, other.tested)
    if len(tested) < 2:
        pairs = drawn = pairs.iloc[:0]
    like = {
        "found": pairs,
        "random, of like expression": _of_like_expression(drawn, first.X, tested, random),
        "random, of like correlation": _of_like_correlation(drawn, first.X, tested, random),
    }
    again = {name: is_confirmed(first.statistics(some), other.statistics(some)) for name, some in like.items()}
    rows = [(name, len(found), found.mean() if len(found) else np.nan) for name, found in again.items()]
    return pd.DataFrame(rows, columns=["pairs", "n_pairs", "replicated"])


def _of_like_expression(
    pairs: pd.DataFrame, X: Matrix, tested: np.ndarray, random: np.random.Generator
) -> pd.DataFrame:
    if pairs.empty:
        return pairs
    order = tested[np.argsort(share_shown(X)[tested], kind="stable")]
    reach = max(1, int(LIKE_RANKS * len(order)))
    place = np.zeros(X.shape[1], int)
    place[order] = np.arange(len(order))
    near = place[pairs[["i", "j"]].to_numpy()] + random.integers(-reach, reach + 1, (len(pairs), 2))
    i, j = order[np.clip(near, 0, len(order) - 1)].T
    return pairs.assign(i=i, j=j)[i != j]


def _of_like_correlation(
    pairs: pd.DataFrame, X: Matrix, tested: np.ndarray, random: np.random.Generator
) -> pd.DataFrame:
    if pairs.empty:
        return pairs
    pool = random.choice(tested, (max(10_000, 10 * len(pairs)), 2))
    pool = pool[pool[:, 0] != pool[:, 1]]
    correlation = _correlations(X, pool)
    order = np.argsort(correlation)
    wanted = _correlations(X, pairs[["i", "j"]].to_numpy())
    place = np.searchsorted(correlation[order], wanted) + random.integers(-N_LIKE, N_LIKE + 1, len(pairs))
    i, j = pool[order[np.clip(place, 0, len(order) - 1)]].T
    return pairs.assign(i=i, j=j)


def _correlations(X: Matrix, pairs: np.ndarray) -> np.ndarray:
    """Correlation of the two genes of each pair, (n_pairs,); pairs : (n_pairs, 2) int."""
    found = []
    for some in in_parts(len(pairs), max(1, BLOCK_VALUES // (4 * X.shape[0]))):
        one, other = (dense(X[:, genes]) for genes in pairs[some].T)
        one, other = one - one.mean(axis=0), other - other.mean(axis=0)
        found.append((one * other).sum(axis=0) / np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0)))
    return np.concatenate(found) if found else np.empty(0)
