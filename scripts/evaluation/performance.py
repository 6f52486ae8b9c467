"""All models on the same held-out cells, and the refits that stability is read from."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import gen_batches

from scripts import graph
from scripts.blocks import evenly
from scripts.bmlp import Config, ScBMLPRegressor
from scripts.cells import (
    ALL_CELLS,
    COUNTS,
    Preparation,
    Split,
    are_counts,
    subsamples,
    transductive_split,
    with_counts,
)
from scripts.datasets import add_frequencies, further, graph_frequencies, other_graphs, scale_table
from scripts.errors import InputError
from scripts.evaluation.correlation import depth_of
from scripts.measures import held_out_r2
from scripts.models import BilinearForm, BilinearRidge, Model, Predictor
from scripts.parallel import side_by_side
from scripts.regression import features, regress_out

MIN_DEPTH, MAX_DEPTH = 4, 2**31 - 1  # counts of cells that can be split in two, in the middle and at most
NOISE = ["r2", "structureless_r2", "same_half_r2", "other_half_r2"]
STRUCTURE = 0.1  # share of a frequency that the other half of the counts predicts beyond depth, if there is structure
HALVES, CHANGES = "halves of the counts", ["changed", "frequency", "together"]
BLOCK = 500  # cells that are drawn at a time
N_KNOWN = 10_000  # training cells that the error of cells that a model knows is taken of, at most


def performance(
    split: Split, models: dict[str, Callable[[], Predictor]], fitted: dict[str, Predictor] | None = None
) -> pd.DataFrame:
    """Every model fitted on the split's training and validation cells and judged on its test cells.

    Parameters
    ----------
    split : Split
    models : {name: function}
        Each gives a new model.
    fitted : {name: model}, optional
        Models that are fitted to this split already.

    Returns
    -------
    DataFrame with the columns protocol, split, held_out (donors), model, frequency, r2 and mae (test cells) and
    train_mae, of at most 10,000 of the training cells; r2 is NaN where the test cells hardly vary, see
    `metrics.held_out_r2`.
    """
    tables, y_train = [], split.train.targets()
    for name, make in models.items():
        model = (fitted or {}).get(name)
        if model is None:
            model = make()
            model.fit(split.train, split.val)
        (X, y), (X_known, y_known) = split.test.arrays(), split.train.some(evenly(len(split.train), N_KNOWN)).arrays()
        predicted = model.predict(X)
        columns = {"r2": held_out_r2(y, predicted, y_train), "mae": np.abs(y - predicted).mean(axis=0)}
        columns["train_mae"] = np.abs(y_known - model.predict(X_known)).mean(axis=0)
        keys = {"protocol": split.protocol, "split": split.number, "held_out": split.held_out, "model": name}
        keys["frequency"] = np.arange(y.shape[1])
        tables.append(pd.DataFrame({**keys, **columns}))
    return pd.concat(tables, ignore_index=True)


def refit(make: Callable[[], Model], split: Split, genes: list[str]) -> Callable[[np.ndarray], BilinearForm]:
    """Function that fits a new model to some of a split's training cells, given by index; make : gives a new model."""

    def fit(rows: np.ndarray) -> BilinearForm:
        model = make()
        model.fit(split.train.some(rows), split.val)
        return model.form(genes)

    return fit


def forms_of_subsamples(
    make: Callable[[], Model], split: Split, genes: list[str], n_subsamples: int
) -> list[BilinearForm]:
    """Fits on 80 % subsamples of a split's training cells, or without some of its donors; make : gives a new model."""
    return side_by_side(refit(make, split, genes), subsamples(split.train, n_subsamples))


def truncation_curve(form: BilinearForm, split: Split, max_modules: int = 10) -> pd.DataFrame:
    """What each further module adds: frequency, n_modules, val_r2 and test_r2 of the form with that many modules."""
    (X_val, y_val), (X, y), y_train = split.val.arrays(), split.test.arrays(), split.train.targets()
    tables = []
    for n_modules in range(min(max_modules, form.basis.shape[1]) + 1):
        kept = form.truncated(n_modules)
        judged = {"val_r2": (X_val, y_val), "test_r2": (X, y)}
        columns = {name: held_out_r2(truth, kept.predict(cells), y_train) for name, (cells, truth) in judged.items()}
        tables.append(pd.DataFrame({"frequency": np.arange(form.n_freq), "n_modules": n_modules, **columns}))
    return pd.concat(tables, ignore_index=True)


def gain_of_products(form: BilinearForm, whole: BilinearForm, split: Split) -> pd.DataFrame:
    """What products of two genes add to a form: frequency, n_products, and R2 without and with them.

    whole : as from `models.fit_products`. R2 in val_r2, val_r2_with, test_r2 and test_r2_with, of the held-out cells.
    """
    (X_val, y_val), (X, y), y_train = split.val.arrays(), split.test.arrays(), split.train.targets()
    table = pd.DataFrame({"frequency": np.arange(form.n_freq), "n_products": (whole.pair_weights != 0).sum(axis=1)})
    for part, cells, truth in (("val", X_val, y_val), ("test", X, y)):
        for end, model in (("", form), ("_with", whole)):
            table[f"{part}_r2{end}"] = held_out_r2(truth, model.predict(cells), y_train)
    return table


def inductive_table(performance: pd.DataFrame, splits: list[Split]) -> pd.DataFrame:
    """R2 of each model by frequency, mean over inductive splits that judge, beside the extension's own R2."""
    table = performance.groupby(["frequency", "model"], sort=False)["r2"].mean().unstack("model")
    if splits:
        extension = pd.DataFrame([split.extension_r2 for split in splits])
        table["extension_r2"], table["extension_r2_sd"] = extension.mean(), extension.std(ddof=0)
    return table


def forms_of_seeds(cfg: Config, loss_fn: str, split: Split, genes: list[str], n_seeds: int) -> list[BilinearForm]:
    """Gradient descent on the same cells from the seeds after that of the configuration."""
    seeds = range(cfg.random_state + 1, cfg.random_state + 1 + n_seeds)
    makers = [partial(ScBMLPRegressor, replace(cfg, random_state=seed), loss_fn) for seed in seeds]
    every = np.arange(len(split.train))
    return side_by_side(lambda make: refit(make, split, genes)(every), makers)


def performance_over_splits(
    splits: list[Split], models: dict[str, Callable[[], Predictor]], fitted: dict[str, Predictor] | None = None
) -> pd.DataFrame:
    """`performance` on several splits, all fits side by side; an empty table of the same columns for no split.

    fitted : {name: model}, those that are fitted to the first split already.
    """
    columns = ["protocol", "split", "held_out", "model", "frequency", "r2", "mae", "train_mae"]
    fits = [
        (split, {name: make}, fitted if split is splits[0] else None)
        for split in splits
        for name, make in models.items()
    ]
    tables = side_by_side(lambda number: performance(*fits[number]), range(len(fits)))  # all share their cells
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def over_splits(performance: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Mean and standard deviation over splits: a row for each model, columns for each frequency; measure: r2 or mae."""
    return performance.groupby(["model", "frequency"], sort=False)[measure].agg(["mean", "std"]).unstack("frequency")


def noise_table(
    adata: ad.AnnData, settings: Preparation, models: dict[str, Callable[[], Predictor]], judged: pd.DataFrame
) -> pd.DataFrame:
    """Held-out R2 beside what noise can give: by `count_splitting`, and of cells without structure.

    Structureless cells go through the same recipe at the same depths, so that their R2 is what depth and noise alone
    give to it.

    Parameters
    ----------
    adata : AnnData
        As from `datasets.prepare`.
    settings : Preparation
    models : {name: function}
        Each gives a new model.
    judged : DataFrame
        As from `performance_over_splits`, of these models and others.

    Returns
    -------
    DataFrame
        model, frequency, r2 (of the run's own split), structureless_r2, same_half_r2 and other_half_r2. Frequencies of
        structureless cells have the same numbers, and nothing else in common. Empty where counts cannot be split:
        attrs["why"] says so.
    """
    keys = ["model", "frequency"]
    own = judged[(judged["protocol"] == ALL_CELLS) & (judged["split"] == 0)]
    try:
        halves = count_splitting(adata, settings, models, settings.random_state)
        floor = performance(transductive_split(structureless_cells(adata, settings), settings.random_state, 0), models)
    except InputError as error:
        found = pd.DataFrame(columns=[*keys, *NOISE])
        found.attrs["why"] = str(error)
        return found
    floor = floor.rename(columns={"r2": "structureless_r2"})
    return halves.merge(own[[*keys, "r2"]], on=keys).merge(floor[[*keys, "structureless_r2"]], on=keys)[[*keys, *NOISE]]


def scales(adata: ad.AnnData, settings: Preparation, n_rebuilt: int) -> pd.DataFrame:
    """Which frequencies come back where the graph is built anew, and which hold structure beyond depth and noise.

    Parameters
    ----------
    adata, settings, n_rebuilt
        As for `datasets.scale_table`.

    Returns
    -------
    DataFrame
        As from `datasets.scale_table`, with structureless_together and structureless_lowest: together and
        together_lowest of cells of the same depths that differ in nothing else, whose frequencies have the same
        numbers, and nothing else in common; beyond_depth_r2, as from `beyond_depth`; and structure, whether that is at
        least STRUCTURE: "yes" or "no". NaN where counts are not known, the last two also of frequencies that are not
        kept.
    """
    table = scale_table(adata, settings, n_rebuilt, depth_of(adata))
    floor, beyond = table.iloc[:0], pd.Series(dtype=float)
    if len(table):
        with contextlib.suppress(InputError):
            floor = scale_table(structureless_cells(adata, settings), settings, n_rebuilt)
            beyond = pd.Series(beyond_depth(adata, settings, len(table)))
    for name in ("together", "together_lowest"):
        table[f"structureless_{name.removeprefix('together_')}"] = floor[name].reindex(table.index).astype(float)
    table["beyond_depth_r2"] = beyond.reindex(table.index)
    table["structure"] = (table["beyond_depth_r2"] >= STRUCTURE).map({True: "yes", False: "no"})
    table["structure"] = table["structure"].where(table["beyond_depth_r2"].notna())
    return table


def without_structure(scales: pd.DataFrame) -> list[int]:
    """Frequencies of which no structure beyond depth and noise is shown; none where that is not known.

    scales : as from `scales`.
    """
    return scales.loc[scales["structure"] == "no", "frequency"].tolist()


def beyond_depth(adata: ad.AnnData, settings: Preparation, n_found: int) -> np.ndarray:
    """Share of each frequency that counts it was not made from predict, and that depth does not.

    Of cells that differ in nothing but depth, one half of the counts says nothing of the other among cells of the same
    depth: what the bilinear model predicts from one half of frequencies of the other, depth taken out, has on average a
    held-out R2 of 0 or less, however many cells, genes and counts there are. No cells without structure need be drawn.

    Parameters
    ----------
    adata : AnnData
        With frequencies, and counts.
    settings : Preparation
        Of the graph; of one that falls into parts, the largest is used.
    n_found : int
        Frequencies of the half in which those of all counts are looked for; more than these, as they change places.

    Returns
    -------
    (n_freq,)
        Squared correlation with each frequency of the half times that one's R2 (0 where held-out cells cannot judge
        it), summed over them.

    Raises
    ------
    InputError
        If there are no counts, or the graph is not made from them.
    """
    halves = count_halves(adata, replace(settings, n_freq_comps=n_found), settings.random_state)
    own = next(halves)
    found, names, depth = own.obsm["X_freq"], own.obs_names, depth_of(own)
    del own
    other = next(halves)
    other.obsm["X_freq"] = regress_out(found, features(pd.Series(depth)))
    judged = performance(transductive_split(other, settings.random_state, 0), {"bilinear": BilinearRidge})["r2"]
    n_freq = adata.obsm["X_freq"].shape[1]
    shared = np.corrcoef(adata[names].obsm["X_freq"], found, rowvar=False)[:n_freq, n_freq:] ** 2
    return shared @ judged.fillna(0).clip(lower=0).to_numpy()


def scale_changes(adata: ad.AnnData, settings: Preparation, scales: pd.DataFrame) -> pd.DataFrame:
    """Which numbers of leading frequencies come back where the graph is built in another way, of the same cells.

    With other numbers of neighbours and another representation, beside the run's own graph; and from either half of the
    counts, as in `count_splitting`, beside that of the other half.

    Parameters
    ----------
    adata, settings
        As for `datasets.scale_table`.
    scales : DataFrame
        As from `scales`; where it is empty, so is this.

    Returns
    -------
    DataFrame
        changed; frequency; together, the smallest canonical correlation of all frequencies up to this one, NaN where
        the other graph has too few.
    """
    tables, n_freq = [], len(scales)
    if n_freq:
        own = np.arange(adata.n_obs), further(adata, settings, n_freq)
        pairs = {name: (own, other) for name, other in other_graphs(adata, settings, n_freq).items()}
        with contextlib.suppress(InputError):
            halves = _split_counts(_counts(adata, settings), settings.random_state)
            one, other = (graph_frequencies(with_counts(adata, half, settings), settings, n_freq) for half in halves)
            pairs[HALVES] = one, other
        for name, (one, other) in pairs.items():
            _, mine, theirs = np.intersect1d(one[0], other[0], return_indices=True)
            together = graph.canonical_correlations(one[1][mine], other[1][theirs]).diagonal()
            tables.append(pd.DataFrame({"changed": name, "frequency": np.arange(len(together)), "together": together}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=CHANGES)


def count_splitting(
    adata: ad.AnnData, settings: Preparation, models: dict[str, Callable[[], Predictor]], random_state: int = 0
) -> pd.DataFrame:
    """Held-out R2 that noise cannot lift: frequencies from one half of the counts, expression from the other.

    Each count goes to either half at random, which makes the halves of Poisson counts independent (Neufeld et al.,
    Biostatistics 25, 270, 2024). A frequency that only follows the noise of the counts that it was made from is not
    predicted from the other half.

    Parameters
    ----------
    adata : AnnData
        As from `load`, with counts.
    settings : Preparation
        Of the graph; of one that falls into parts, the largest is used.
    models : {name: function}
        Each gives a new model.
    random_state : int
        Of the halves and the split of the cells.

    Returns
    -------
    DataFrame
        model, frequency, same_half_r2 and other_half_r2: from expression of the counts that the frequencies were made
        from, and of the others, at the same depth and on the same test cells.

    Raises
    ------
    InputError
        If there are no counts, or the graph is not made from them.
    """
    halves = count_halves(adata, settings, random_state)
    same, others = (performance(transductive_split(next(halves), random_state, 0), models) for _ in range(2))
    return same[["model", "frequency"]].assign(same_half_r2=same["r2"], other_half_r2=others["r2"])


def count_halves(adata: ad.AnnData, settings: Preparation, random_state: int = 0) -> Iterator[ad.AnnData]:
    """The cells with one half of their counts and the frequencies that these give, then with the other half and those.

    Of a graph in parts, the largest. Each is made when it is asked for, so that the first can be let go of before.
    adata, settings and errors as for `count_splitting`.
    """
    half, rest = _split_counts(_counts(adata, settings), random_state)
    own = _with_own_frequencies(adata, half, settings)
    names, frequencies = own.obs_names, own.obsm["X_freq"]
    yield own
    del own, half
    other = with_counts(adata, rest, settings)
    other = other if len(names) == other.n_obs else other[names].copy()
    other.obsm["X_freq"] = frequencies
    yield other


def _with_own_frequencies(adata: ad.AnnData, counts: sparse.csr_matrix, settings: Preparation) -> ad.AnnData:
    """The same cells with other counts and the frequencies that these give; of a graph in parts, the largest."""
    return add_frequencies(with_counts(adata, counts, settings), _as_many(adata, settings))


def _split_counts(counts: sparse.csr_matrix, random_state: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Each count to either half at random."""
    half = counts.copy()
    half.data = np.random.default_rng(random_state).binomial(counts.data.astype(int), 0.5).astype(float)
    return half, counts - half


def _counts(adata: ad.AnnData, settings: Preparation) -> sparse.csr_matrix:
    """The counts that the graph was made from, whole numbers as float64."""
    known = COUNTS in adata.layers and are_counts(adata.layers[COUNTS])
    if not known or settings.use_graph or settings.use_rep:
        raise InputError(
            f"{adata.uns['dataset']['name']}: counts can be split only where they are known and the graph is built on "
            "them: name the layer that holds counts, and set neither use_graph nor use_rep"
        )
    counts = sparse.csr_matrix(adata.layers[COUNTS], dtype=np.float64)
    counts.data = np.rint(counts.data)
    depth = counts.sum(axis=1).A1
    if np.median(depth) < MIN_DEPTH or depth.max() > MAX_DEPTH:
        raise InputError(
            f"{adata.uns['dataset']['name']}: cells of {np.median(depth):,.0f} counts (median), {depth.max():,.0f} at "
            f"most, cannot be split: {MIN_DEPTH} to {MAX_DEPTH:,} are needed; name the layer that holds counts"
        )
    return counts


def structureless_cells(adata: ad.AnnData, settings: Preparation) -> ad.AnnData:
    """Cells of the same depths that differ in nothing else, through the same recipe; of a graph in parts, the largest.

    adata : AnnData, as from `load`. InputError where there are no counts, or the graph is not made from them.
    """
    return _with_own_frequencies(adata, structureless(_counts(adata, settings), settings.random_state), settings)


def _as_many(adata: ad.AnnData, settings: Preparation) -> Preparation:
    """The recipe for the largest part of a graph, and as many frequencies as the cells have where no number is set."""
    n_freq = settings.n_freq_comps or (adata.obsm["X_freq"].shape[1] if "X_freq" in adata.obsm else 0)
    return replace(settings, n_freq_comps=n_freq, unconnected="largest")


def structureless(counts: sparse.csr_matrix, random_state: int = 0) -> sparse.csr_matrix:
    """Counts of cells that differ in nothing but their depth: each is drawn from the mean profile of all cells.

    counts : (n_cells, n_genes), whole numbers. Returns (n_cells, n_genes) with the same total in each cell.
    """
    random = np.random.default_rng(random_state)
    depth, of_genes = counts.sum(axis=1).A1.astype(int), counts.sum(axis=0).A1
    blocks = gen_batches(len(depth), BLOCK)
    drawn = [sparse.csr_matrix(random.multinomial(depth[rows], of_genes / of_genes.sum())) for rows in blocks]
    return sparse.vstack(drawn, format="csr").astype(np.float64)
