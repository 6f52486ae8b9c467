"""Whether modules come back: agreement of fits to other cells, or from other seeds. Knows bilinear forms only."""

from collections.abc import Collection
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from scripts.measures import ends, jaccard
from scripts.models import BilinearForm

N_POLE_GENES = 25  # genes of each pole that are compared
N_MATCHED = 3  # leading modules among which partners are looked for


def pole_sets(loadings: np.ndarray, n_genes: int = N_POLE_GENES) -> list[tuple[set[int], set[int]]]:
    """Genes of largest positive and of largest negative loading of each module; loadings : (n_all_genes, n_modules)."""
    both = (ends(loading, n_genes) for loading in loadings.T)
    return [(set(high.tolist()), set(low.tolist())) for high, low in both]


def pole_jaccard(first: tuple[set[int], set[int]], second: tuple[set[int], set[int]]) -> float:
    """Mean Jaccard of two modules' poles, whichever way round fits better: the sign of a module is a convention."""
    same = jaccard(first[0], second[0]) + jaccard(first[1], second[1])
    turned = jaccard(first[0], second[1]) + jaccard(first[1], second[0])
    return max(same, turned) / 2


def match(first: list, second: list) -> np.ndarray:
    """Partner of each module of one fit among those of another, by assignment of the largest total Jaccard.

    first, second : poles as from `pole_sets`, equally many. Returns (n_modules,) indices into second.
    """
    similarity = np.array([[pole_jaccard(a, b) for b in second] for a in first])
    return linear_sum_assignment(-similarity)[1]


def matched_jaccard(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Jaccard of the poles of each module of one fit with its partner's in the other, (n_freq, n_modules).

    a, b : (n_freq, n_genes, n_modules) loadings.
    """
    result = []
    for first, second in zip(a, b, strict=True):
        poles, others = pole_sets(first), pole_sets(second)
        result.append([pole_jaccard(mine, others[j]) for mine, j in zip(poles, match(poles, others), strict=True)])
    return np.array(result)


def subspace_cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines of the principal angles between the leading modules of two fits, (n_freq, n_modules), largest first.

    a, b : (n_freq, n_genes, n_modules) loadings.
    """
    return np.linalg.svd(a.swapaxes(1, 2) @ b, compute_uv=False).clip(0, 1)


def agreement_table(forms: list[BilinearForm]) -> pd.DataFrame:
    """How much fits agree, over all pairs of them.

    Returns
    -------
    DataFrame
        One row a frequency: agreement, tr(B B') / (|B| |B'|); subspace_cosine, of the largest principal angle between
        the leading modules; first_module_jaccard, of the first module's poles with its partner's; each with its spread
        (standard deviation over pairs) in a column of the same name and _sd. Fits without interactions have neither
        agreement nor first modules: NaN.
    """
    measures = {"agreement": [], "subspace_cosine": [], "first_module_jaccard": []}
    n_modules = min(N_MATCHED, *(form.basis.shape[1] for form in forms))
    leading = [form.modules(n_modules)[1] for form in forms]
    for (a, a_modules), (b, b_modules) in combinations(zip(forms, leading, strict=True), 2):
        measures["agreement"].append(agreement := a.agreement(b))
        measures["subspace_cosine"].append(subspace_cosines(a_modules, b_modules)[:, -1])
        jaccards = matched_jaccard(a_modules, b_modules)[:, 0]
        measures["first_module_jaccard"].append(np.where(np.isnan(agreement), np.nan, jaccards))
    columns = {"frequency": np.arange(forms[0].n_freq)}
    for name, values in measures.items():
        columns[name], columns[f"{name}_sd"] = np.mean(values, axis=0), np.std(values, axis=0)
    return pd.DataFrame(columns)


def trusted_modules(
    stability: pd.DataFrame,
    truncation: pd.DataFrame,
    min_stability: float = 0.5,
    tolerance: float = 0.005,
    without_structure: Collection[int] = (),
) -> pd.DataFrame:
    """Which modules are worth reading: those that prediction needs and that come back in other cells.

    Parameters
    ----------
    stability : DataFrame
        As from `module_stability`.
    truncation : DataFrame
        As from protocols.truncation_curve; the validation cells decide.
    min_stability : float
        Least stability.
    tolerance : float
        A frequency needs the fewest modules whose R2 is within this of the best.
    without_structure : collection of int
        Frequencies that may be depth and noise alone: none of their modules is trusted.

    Returns
    -------
    DataFrame
        stability with the columns needed, trusted, judged and structure (all bool) added. A frequency is not judged
        where the validation cells hardly vary along it: its modules are neither needed nor trusted.
    """
    best = truncation.groupby("frequency")["val_r2"].transform("max")
    enough = truncation[truncation["val_r2"] >= best - tolerance].groupby("frequency")["n_modules"].min()
    needed = stability["module"] <= stability["frequency"].map(enough)
    judged, structure = stability["frequency"].isin(enough.index), ~stability["frequency"].isin(without_structure)
    trusted = needed & structure & (stability["stability"] >= min_stability)
    return stability.assign(needed=needed, trusted=trusted, judged=judged, structure=structure)


def recurrence(form: BilinearForm, others: dict[str, BilinearForm], n_modules: int = 5) -> pd.DataFrame:
    """How much of each module of a fit comes back in others, such as fits to the cells of one donor each.

    Returns
    -------
    DataFrame
        frequency, module (from 1), donor (name of the other fit), jaccard (of the module's poles with its partner's).
    """
    tables = []
    for name, other in others.items():
        n_both = min(n_modules, form.basis.shape[1], other.basis.shape[1])
        jaccards = matched_jaccard(form.modules(n_both)[1], other.modules(n_both)[1])
        frequency, module = np.indices(jaccards.shape).reshape(2, -1)
        columns = {"frequency": frequency, "module": module + 1, "donor": name, "jaccard": jaccards.ravel()}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables) if tables else pd.DataFrame(columns=["frequency", "module", "donor", "jaccard"])


def module_stability(form: BilinearForm, others: list[BilinearForm], n_modules: int = 5) -> pd.DataFrame:
    """How much of each module of a fit comes back in fits to other cells.

    Returns
    -------
    DataFrame
        frequency, module (from 1), stability: the mean, over all pairs of subsamples, of the Jaccard of the poles of
        the two modules that are its partners there.
    """
    n_modules = min(n_modules, *(fit.basis.shape[1] for fit in [form, *others]))
    poles = [[pole_sets(loadings) for loadings in fit.modules(n_modules)[1]] for fit in [form, *others]]
    rows = []
    for frequency in range(form.n_freq):
        own = poles[0][frequency]
        partners = [[fit[frequency][j] for j in match(own, fit[frequency])] for fit in poles[1:]]
        for module in range(n_modules):
            pairs = combinations([found[module] for found in partners], 2)
            rows.append((frequency, module + 1, np.mean([pole_jaccard(a, b) for a, b in pairs])))
    return pd.DataFrame(rows, columns=["frequency", "module", "stability"])
