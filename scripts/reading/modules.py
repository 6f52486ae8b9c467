"""Modules, branches and interactions as lists of genes, and what the axes of modules are about."""

from collections.abc import Callable

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.utils import gen_batches

from scripts import graph
from scripts.blocks import Matrix, along, correlations
from scripts.cells import labels_of
from scripts.measures import ends, held_out_correlation, held_out_r2
from scripts.models import BilinearForm
from scripts.reading.scoring import N_MODULES

READ = ["stability", "stability_anew", "trusted", "repeats", "axis_correlation", "score_correlation"]  # of a module
END = 0.1  # share of the cells, furthest out on an axis, whose labels name its end
AT_A_TIME = 100  # random axes
BLOCK_VALUES = 2_000_000  # weights of pairs held at a time: 16 MB


def poles(loading: np.ndarray, n_genes: int) -> dict[str, np.ndarray]:
    """Places of the genes of largest positive and of largest negative loading, strongest first.

    loading : (n_all_genes,). Returns {"positive": ..., "negative": ...}, at most n_genes each; no gene is in both.
    """
    high, low = ends(loading, n_genes)
    return {"positive": high[loading[high] > 0], "negative": low[loading[low] < 0]}


def patterns(form: BilinearForm, X: Matrix, n_modules: int = N_MODULES) -> np.ndarray:
    """Correlation of each gene with the axis u . x of each module: what the cells along it have more of.

    Weights say what the model uses: of genes that go together perhaps one, and a gene against it that only takes out
    what disturbs. The pattern says what the cells do (Haufe et al., NeuroImage 87, 96, 2014). There it is the
    covariance, which of standardised genes is the correlation but for one factor of all genes; the correlation is the
    same in whatever units a gene is, so that genes that were not scaled are not named for their variance.

    form : BilinearForm; X : (n_cells, n_genes) of the cells that it was fitted to, dense or sparse. Returns
    (n_freq, n_genes, n_modules), of as many modules as there are; 0 for genes that do not vary.
    """
    _, loadings = form.modules(n_modules)
    found = correlations(X, along(X, np.hstack(list(loadings))))
    return np.stack(np.split(found, form.n_freq, axis=1))


def random_patterns(form: BilinearForm, X: Matrix, n_axes: int = 1000, random_state: int = 0) -> np.ndarray:
    """Patterns of axes that know of no frequency: random directions of the space in which the form has its modules.

    The cells' scores along the basis are made uncorrelated, of equal size, and mixed at random, so that no direction
    comes before another. form, X : as for `patterns`. Returns (1, n_genes, n_axes) float32.
    """
    scores = along(X, form.basis)
    left, sizes, _ = np.linalg.svd(scores - scores.mean(axis=0), full_matrices=False)
    left = left[:, sizes > 1e-6 * sizes[0]]
    mixed = np.random.default_rng(random_state).normal(size=(left.shape[1], n_axes))
    found = np.empty((1, len(form.genes), n_axes), np.float32)
    for some in gen_batches(n_axes, AT_A_TIME):
        found[0, :, some] = correlations(X, left @ mixed[:, some])
    return found


def module_table(
    form: BilinearForm, weights: np.ndarray, n_genes: int, judged: pd.DataFrame | None = None, hidden: str = ""
) -> pd.DataFrame:
    """Tidy table of the leading modules: one row for each gene of each pole.

    Parameters
    ----------
    form : BilinearForm
    weights : (n_freq, n_genes_in_all, n_modules)
        What poles are listed by: `patterns`, or the loadings themselves.
    n_genes : int
        Of each pole.
    judged : DataFrame
        What else is known of the modules, as from `module_axes`; it names all of them.
    hidden : str
        Regular expression of genes to leave out of the poles, such as "^(Rp[ls]|mt-)"; the model keeps them.

    Returns
    -------
    DataFrame
        frequency, module, eigenvalue, pole, rank, gene, pattern (its weight), loading; module and rank count from 1.
        With `judged`, the columns READ and, of the pole, cells and cells_share.
    """
    values, loadings = form.modules(weights.shape[2])
    shown = _shown(form.genes, hidden)
    rows = [
        (f, m + 1, values[f, m], pole, rank, form.genes[i], weights[f, i, m], loadings[f, i, m])
        for f, m in np.ndindex(values.shape)
        for pole, places in poles(weights[f, :, m] * shown, n_genes).items()
        for rank, i in enumerate(places, start=1)
    ]
    columns = ["frequency", "module", "eigenvalue", "pole", "rank", "gene", "pattern", "loading"]
    table = pd.DataFrame(rows, columns=columns)
    if judged is None:
        return table
    own = table.merge(judged, how="left", on=["frequency", "module"])
    is_positive = own["pole"] == "positive"
    for name in ("cells", "cells_share"):
        own[name] = own[f"positive_{name}"].where(is_positive, own[f"negative_{name}"])
    return own[[*columns, *READ, "cells", "cells_share"]]


def _shown(genes: list[str], hidden: str) -> np.ndarray:
    """Genes whose names do not match a regular expression, (n_genes,) bool; all, if it is empty."""
    return ~pd.Series(genes).str.contains(hidden).to_numpy() if hidden else np.ones(len(genes), dtype=bool)


def module_name(frequency: int, module: int) -> str:
    """Name of a module, such as "f0_m1"; module : from 1."""
    return f"f{frequency}_m{module}"


def module_axes(form: BilinearForm, adata: ad.AnnData, trusted: pd.DataFrame, same_axis: float = 0.9) -> pd.DataFrame:
    """Which modules are the same axis again, what each has to do with its frequency, and which cells are at its ends.

    Parameters
    ----------
    form : BilinearForm
        Turned, see there.
    adata : AnnData
        With frequencies and a split, X as the model sees it.
    trusted : DataFrame
        As from `trusted_modules`: one row a module, in the order of frequencies and modules.
    same_axis : float
        Least |correlation| of two axes, over the training cells, that are one.

    Returns
    -------
    DataFrame
        trusted with the columns axis_correlation and score_correlation, of axis and score with the frequency in the
        test cells, NaN where these hardly vary along it; positive_cells and negative_cells, labels that stand out at
        either end, and positive_cells_share and negative_cells_share, as from `graph.named_ends`; and repeats, the name
        of the module of the same axis that comes first, trusted ones before all others, NaN for that one itself.
    """
    frequency, module = trusted["frequency"].to_numpy(), trusted["module"].to_numpy() - 1
    values, loadings = form.modules(module.max() + 1)
    axes = along(adata.X, loadings[frequency, :, module].T)
    y, (train, test) = adata.obsm["X_freq"], (np.flatnonzero(adata.obs["split"] == part) for part in ("train", "test"))
    targets = y[np.ix_(test, frequency)], y[np.ix_(train, frequency)]
    scores = values[frequency, module] * axes[test] ** 2
    n_end, labels, n_axes = max(1, int(END * len(axes))), labels_of(adata), len(frequency)
    names, shares = graph.named_ends(np.hstack([axes, -axes]), [n_end] * (2 * n_axes), labels)
    return trusted.assign(
        axis_correlation=held_out_correlation(targets[0], axes[test], targets[1]),
        score_correlation=held_out_correlation(targets[0], scores, targets[1]),
        positive_cells=names[:n_axes],
        positive_cells_share=shares[:n_axes],
        negative_cells=names[n_axes:],
        negative_cells_share=shares[n_axes:],
        repeats=repeats(np.abs(correlations(axes[train], axes[train])), trusted, same_axis),
    )


def repeats(similarity: np.ndarray, trusted: pd.DataFrame, same_axis: float) -> np.ndarray:
    """Name of the first module of the same axis, NaN for that one itself, (n_modules,) object; see `module_axes`.

    similarity : (n_modules, n_modules).
    """
    names = [module_name(f, m) for f, m in zip(trusted["frequency"], trusted["module"], strict=True)]
    result, firsts = np.full(len(names), np.nan, dtype=object), []
    for place in np.argsort(~trusted["trusted"].to_numpy(bool), kind="stable"):
        same = [first for first in firsts if similarity[place, first] >= same_axis]
        if same:
            result[place] = names[max(same, key=lambda first: similarity[place, first])]
        else:
            firsts.append(place)
    return result


def main_effect_table(form: BilinearForm, n_genes: int, hidden: str = "") -> pd.DataFrame:
    """Genes of the largest positive and negative main effects: frequency, pole, rank (from 1), gene, effect.

    n_genes : of each pole; hidden : as in `module_table`.
    """
    shown = _shown(form.genes, hidden)
    rows = [
        (frequency, pole, rank, form.genes[i], effects[i])
        for frequency, effects in enumerate(form.main)
        for pole, places in poles(effects * shown, n_genes).items()
        for rank, i in enumerate(places, start=1)
    ]
    return pd.DataFrame(rows, columns=["frequency", "pole", "rank", "gene", "effect"])


def branch_genes(form: BilinearForm, adata: ad.AnnData, n_genes: int, hidden: str = "") -> pd.DataFrame:
    """How well each branch is predicted, and which genes rise with its prediction.

    A branch is a sum of frequencies, so the form of its prediction is that sum of forms. Genes are read by their
    pattern, the correlation with the prediction over the training cells: weights say what the model uses, patterns what
    the cells do (Haufe et al., NeuroImage 87, 96, 2014).

    Parameters
    ----------
    form : BilinearForm
        Of the frequencies.
    adata : AnnData
        With branches, as from datasets.add_branches, a split, and X as the model sees it.
    n_genes : int
        Of each branch, those of the largest positive pattern.
    hidden : str
        As in `module_table`.

    Returns
    -------
    DataFrame
        branch, name, r2 (of held-out cells), rank (from 1), gene, pattern; empty where there are no branches.
    """
    columns = ["branch", "name", "r2", "rank", "gene", "pattern"]
    if "branches" not in adata.uns:
        return pd.DataFrame(columns=columns)
    known, truth = adata.uns["branches"], adata.obsm["X_branches"]
    of_branches = form.combined(known["weights"].T, known["constant"])
    train, test = (np.flatnonzero(adata.obs["split"] == part) for part in ("train", "test"))
    r2 = held_out_r2(truth[test], of_branches.predict(adata.X[test]), truth[train])
    patterns = correlations(adata.X[train], of_branches.predict(adata.X[train]))
    shown = _shown(form.genes, hidden)
    rows = [
        (branch, name, r2[branch], rank, form.genes[i], patterns[i, branch])
        for branch, name in enumerate(known["name"])
        for rank, i in enumerate(poles(patterns[:, branch] * shown, n_genes)["positive"], start=1)
    ]
    return pd.DataFrame(rows, columns=columns)


def strongest_pairs(form: BilinearForm, n_pairs: int = 50) -> pd.DataFrame:
    """The gene pairs of largest |2 B_f[i, j]| of each frequency, i < j, exact: what the model says, without a test.

    Weights are computed in blocks from the factors; no genes x genes matrix is kept.

    Returns
    -------
    DataFrame
        frequency, rank (from 1), gene_i, gene_j, weight; at most n_pairs rows a frequency.
    """
    tables = []
    for frequency in range(form.n_freq):
        i, j, weight = _strongest(form, frequency, n_pairs)
        genes = {"gene_i": [form.genes[a] for a in i], "gene_j": [form.genes[b] for b in j]}
        rank = np.arange(1, len(weight) + 1)
        tables.append(pd.DataFrame({"frequency": frequency, "rank": rank, **genes, "weight": weight}))
    return pd.concat(tables, ignore_index=True)


def with_weights(pairs: pd.DataFrame, form: BilinearForm) -> pd.DataFrame:
    """Pairs of `scan_table` with `weight`: of the product in the form, where it is a term of its own; else NaN."""
    terms = np.argwhere(form.pair_weights)
    held = {(f, *np.take(form.genes, form.pairs[k])): form.pair_weights[f, k] for f, k in terms}
    keys = zip(pairs["frequency"], pairs["gene_i"], pairs["gene_j"], strict=True)
    return pairs.assign(weight=np.array([held.get(key, np.nan) for key in keys], dtype=float))


def _strongest(form: BilinearForm, frequency: int, n_pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    best = (np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty(0))

    def visit(genes_i: np.ndarray, genes_j: np.ndarray, weights: np.ndarray) -> float:
        nonlocal best
        floor = np.abs(best[2]).min() if len(best[2]) == n_pairs else 0.0
        a, b = np.nonzero(np.abs(weights) > floor)
        found = (genes_i[a], genes_j[b], weights[a, b])
        best = tuple(np.concatenate(parts) for parts in zip(best, found, strict=True))
        if len(best[2]) > n_pairs:
            kept = np.argpartition(-np.abs(best[2]), n_pairs - 1)[:n_pairs]
            best = tuple(part[kept] for part in best)
        return np.abs(best[2]).min() if len(best[2]) == n_pairs else 0.0

    _visit_pairs(form, frequency, 0.0, visit)
    i, j = np.minimum(*best[:2]), np.maximum(*best[:2])
    order = np.lexsort((j, i, -np.abs(best[2])))
    return i[order], j[order], best[2][order]


def _visit_pairs(form: BilinearForm, frequency: int, floor: float, visit: Callable) -> None:
    """Show all pairs whose |weight| can exceed a floor, in blocks: visit(genes_i, genes_j, weights) -> new floor.

    With a_i the i-th row of V E |D|^(1/2), where S_f = E D E^T, |B_f[i, j]| <= |a_i| |a_j|: with the genes in the order
    of |a_i|, most blocks cannot reach the floor and are not computed.
    """
    values, vectors = form.eigenpairs(frequency)
    rows = form.basis @ (vectors * np.sqrt(np.abs(values)))
    size = np.linalg.norm(rows, axis=1)
    order = np.argsort(-size, kind="stable")
    rows, size = rows[order], size[order]
    start, n_values = 0, BLOCK_VALUES // 40  # the first block only finds a floor
    while start < len(size) - 1:
        in_reach = 2 * size[start] * size >= floor * (1 - 1e-9)  # a bound that rounding must not undercut
        end = int(in_reach.sum())
        if end <= start + 1:
            return
        stop = min(start + max(1, n_values // (end - start)), end)
        weights = np.triu(2 * (rows[start:stop] * np.sign(values)) @ rows[start:end].T, k=1)
        floor = visit(order[start:stop], order[start:end], weights)
        start, n_values = stop, BLOCK_VALUES
