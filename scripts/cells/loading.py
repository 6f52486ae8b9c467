"""From a source to checked and normalised cells."""

import contextlib
import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse

from scripts import graph
from scripts.blocks import MAX_GENES, Lazy, Matrix, blocks, dense, is_finite, is_lazy, least, memory_of, variation
from scripts.cells.counts import COUNTS, STEPS, check, choose, log1p, normalize_total, scale_sparse, steps_for
from scripts.cells.labels import as_labels, set_label
from scripts.cells.names import name_genes
from scripts.cells.quality import MEASURES, MIN_CELLS, MIN_GENES, Filters, sound_cells, why_unmeasured
from scripts.cells.reading import (
    LOGS,
    NUMBERS,
    OWN,
    compact,
    keep_layouts,
    name_in_file,
    read,
    set_aside,
    stored,
    with_values,
)
from scripts.errors import InputError, one_line
from scripts.regression import features, regress_out
from scripts.sources import Source, species_of

GRAPH_GENES, GRAPH_COMPONENTS = 3000, 300  # that the graph of a file is built on, where no setting says otherwise
COVARIATES = "X_covariates"  # key of obsm with what expression and frequencies are regressed on, where they are
N_SCALES = 10  # frequencies that are looked for, at least, where the graph is built anew, and kept at most by that
CELLS_A_FEATURE = 10  # at least, for these not to explain by chance what they do not know
MAX_DENSE = 150_000_000  # values up to which sparse expression is made dense: .6 GB
MAX_CORRECTED = 1_000_000_000  # the same where a batch or covariates are taken out, which makes all values dense


@dataclass(frozen=True)
class Preparation(Filters):
    """Settings of everything between the counts and the training data."""

    normalize_total: bool | None = None  # scale each cell to the median total; None: if the data set needs it
    log1p: bool | None = None  # logarithm of 1 + x; None: if the data set needs it
    scale: bool | None = None  # each gene to mean 0 and standard deviation 1; None: if the data set needs it
    memory_gb: float = 0.0  # that expression of all cells may take, else it is read by blocks; 0: half of the machine's
    layer: str = ""  # layer that holds the counts, or raw; empty: the first of X, counts, raw_counts, raw that does
    label: str = ""  # column of obs with the known cell types; empty: the data set's own, or the likely one
    batch: str = ""  # column of obs with batches that ComBat takes out; three or more are held out whole; empty: none
    regress: list[str] = field(default_factory=list)  # columns of obs to take out of expression and frequencies
    k_neighbors: int = 10  # neighbours of each cell in the graph, itself not counted
    n_freq_comps: int = 0  # frequencies kept, from the lowest; 0: as many as come back
    metric: str = "cosine"  # distance between cells: cosine or euclidean
    graph_genes: int | None = None  # variable genes that the graph is built on; 0: all; None: 3,000 for files, else all
    graph_components: int | None = None  # components of them; 0: genes themselves; None: 300 of variable genes, else 0
    use_rep: str = ""  # key of obsm with an embedding that the graph is built on instead, such as X_pca
    use_graph: str = ""  # key of obsp with a graph of cells that is taken instead, such as connectivities
    graph_weights: str = "unweighted"  # edges of the graph: unweighted, gaussian or fuzzy
    laplacian: str = "unnormalized"  # or normalized: D^-1/2 L D^-1/2
    unconnected: str = "error"  # a graph in parts: "error", or "largest" keeps the largest part
    max_judged_cells: int = 10_000  # cells that all but the graph is fitted to and judged on, of more a sample; 0: all
    random_state: int = 0  # seed of the splits, and of that sample


def load(source: Source, settings: Preparation) -> ad.AnnData:
    """Read a data set, check and normalise it.

    Returns
    -------
    AnnData
        X (n_cells, n_genes) float32, normalised as the settings say; layers["logs"] holds it before genes were scaled,
        if they were; uns["dataset"] says where it comes from and, in sentences, what was found and done ("said"), and
        how many cells were left out and why ("left_out"), and which keys of obsm are layouts of the file's ("layouts");
        uns["quality"] and columns of obs say how sound each cell is, as measured before normalisation;
        layers["counts"] holds the counts, if there are any; uns["label"] says which column of obs holds the known cell
        types ("" if none does). Sparse values of many cells stay sparse: each gene is then scaled to standard
        deviation 1 without being centred, as scanpy does it. Those of a file that would take more than
        settings.memory_gb are lazy, X and layers: dask arrays of sparse blocks, read when they are asked for.

    Raises
    ------
    ValueError
        If the values are not finite or all zero, or there are too few of them.
    """
    adata, steps, said = _named_data(source, settings) if source.read else _from_file(source, settings)
    said = [*said, *_own_set_aside(adata, settings)]
    adata.uns["dataset"] = {
        "name": source.name,
        "reason": source.reason,
        "sha256": _checksum(adata),
        "species": species_of(list(adata.var_names)),
        "said": np.array(said, dtype=str),
        "left_out": np.array([], dtype=str),
        "batch": settings.batch,
        "layouts": np.array(keep_layouts(adata, settings.use_rep), dtype=str),
    }
    adata.X = adata.X.astype(np.float32, copy=False)
    adata = sound_cells(adata, settings, has_counts="normalize_total" in steps)
    wanted = {name: getattr(settings, name) for name in STEPS}
    done = [name for name in STEPS if (name in steps if wanted[name] is None else wanted[name])]
    if "normalize_total" in steps:
        adata.layers[COUNTS] = adata.X if is_lazy(adata.X) else sparse.csr_matrix(adata.X)
        if sparse.issparse(adata.X):
            adata.X = with_values(adata.layers[COUNTS], adata.layers[COUNTS].data.copy())
    adata.uns["dataset"]["steps"] = done
    _normalise(adata, done, settings)
    of_kind = 0 if source.read else GRAPH_GENES
    adata.uns["dataset"]["graph_genes"] = of_kind if settings.graph_genes is None else settings.graph_genes
    adata.uns["label"], unusable = set_label(adata, settings.label or source.label)
    adata.uns["dataset"]["said"] = np.array([*adata.uns["dataset"]["said"], *unusable], dtype=str)
    return adata


def _named_data(source: Source, settings: Preparation) -> tuple[ad.AnnData, Sequence[str], list[str]]:
    """A data set whose values are known: cells, steps that they need, and nothing to be said."""
    assert source.read is not None, "a file is read by _from_file"
    adata = source.read()
    if settings.layer:
        adata, _, _ = choose(adata, settings.layer, source.name)
    check(adata.X, f"{source.name}: X")
    return adata, source.steps, []


def _from_file(source: Source, settings: Preparation) -> tuple[ad.AnnData, Sequence[str], list[str]]:
    """Cells of a file, steps of normalisation that they need, and sentences on what was found and done."""
    memory = memory_of(settings.memory_gb)
    adata = read(Path(source.source), _taken(settings), settings.layer, memory)
    adata, place, found = named_counts(adata, settings.layer, source.name)
    if is_lazy(adata.X):
        _check_by_blocks(adata.n_obs, settings, source.name)
        found.append(
            f"Expression of all cells would take more than {memory / 1e9:.3g} GB (memory_gb): it is read from the file "
            "by blocks, each time that it is wanted."
        )
    if adata.n_obs < MIN_CELLS or adata.n_vars < MIN_GENES:
        raise InputError(
            f"{source.name} holds {adata.n_obs} cells x {adata.n_vars} genes: at least {MIN_CELLS} x {MIN_GENES} are "
            "needed; name another file"
        )
    check(adata.X, f"{source.name}: {place}")
    steps, judged = steps_for(adata.X, place)
    given = settings.normalize_total is not None and settings.log1p is not None
    return adata, steps, [*found, *([] if given else judged)]


def _check_by_blocks(n_cells: int, settings: Preparation, name: str) -> None:
    """InputError for settings that need expression of all cells in memory, where it is read by blocks."""
    takes_all = not 0 < settings.max_judged_cells < n_cells
    is_built = not (settings.use_rep or settings.use_graph)
    for setting, is_wrong, remedy in [
        ("batch", settings.batch, "leave it empty and name an embedding (use_rep)"),
        ("regress", settings.regress, "leave it empty"),
        ("max_judged_cells", takes_all, f"set it below {n_cells:,}"),
        ("graph_components", is_built and settings.graph_components == 0, f"set it to {GRAPH_COMPONENTS}"),
    ]:
        if is_wrong:
            raise InputError(f"{name}: {setting} needs {_in_memory(n_cells)}: {remedy}, or set memory_gb higher")


def _in_memory(n_cells: int) -> str:
    return f"expression of all {n_cells:,} cells, which would take more than memory_gb"


def named_counts(adata: ad.AnnData, layer: str, name: str) -> tuple[ad.AnnData, str, list[str]]:
    """Cells with the matrix to go on with as X, and its genes under their symbols.

    Parameters
    ----------
    adata : AnnData
        As from `read` or `needed`.
    layer : str
        That holds the counts, "raw" for raw.X; empty: where they are found.
    name : str
        Of the file, for messages.

    Returns
    -------
    AnnData, str, list of str
        The cells, where the matrix was, and a sentence for each thing that was found or done.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names made unique: said in a sentence
        adata, place, found = choose(adata, layer, name)
        adata, named = name_genes(adata, name)
    return adata, place, [*found, *named]


def _own_set_aside(adata: ad.AnnData, settings: Preparation) -> list[str]:
    """Set aside what the cells hold where the run will write, in place; a sentence on it, if there is any."""
    names = OWN | {"obs": [*OWN["obs"], *(f"freq_{f}" for f in range(settings.n_freq_comps or N_SCALES))]}
    aside = {part: set_aside(adata, part, of_part) for part, of_part in names.items()}
    pairs = [(f"{part}[{a!r}]", f"{part}[{b!r}]") for part, renamed in aside.items() for a, b in renamed.items()]
    if not pairs:
        return []
    held, kept = (", ".join(places) for places in zip(*pairs, strict=True))
    return [f"What the file holds as {held} is kept as {kept}, as the run writes its own there."]


def _taken(settings: Preparation) -> list[str]:
    """Places in a file of what is taken instead of a graph of its expression."""
    taken = {"obsm": settings.use_rep, "obsp": settings.use_graph}
    return [f"{place}/{key}" for place, key in taken.items() if key]


def with_counts(adata: ad.AnnData, counts: sparse.csr_matrix, settings: Preparation) -> ad.AnnData:
    """The same cells with other counts, normalised as they were, and corrected by the depth that these give.

    adata : AnnData, as from `load` with the same settings; counts : (n_cells, n_genes), sparse.
    """
    dataset = adata.uns["dataset"]
    made = ad.AnnData(counts.astype(np.float32), adata.obs.copy(), pd.DataFrame(index=adata.var_names))
    made.obs["total_counts"], made.obs["n_genes_by_counts"] = counts.sum(axis=1).A1, (counts > 0).sum(axis=1).A1
    made.layers[COUNTS] = made.X.copy()
    made.uns |= {"dataset": dict(dataset), "label": adata.uns["label"]}
    _normalise(made, list(dataset["steps"]), settings)
    return made


def _normalise(adata: ad.AnnData, steps: list[str], settings: Preparation) -> None:
    """The steps, in place, and before genes are scaled the corrections; what is no count may be taken as it is."""
    name = adata.uns["dataset"]["name"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zero totals and logarithms of negative values: told below
        if "normalize_total" in steps:
            normalize_total(adata)
        if "log1p" in steps:
            log1p(adata)
    if not is_finite(adata.X):
        raise InputError(
            f"{name}: {' and '.join(steps[:2])} make negative values NaN or infinite: "
            "set normalize_total: false and log1p: false"
        )
    adata.uns["dataset"]["sparse"] = stays_sparse(adata, bool(settings.batch or settings.regress))
    if sparse.issparse(adata.X) and not adata.uns["dataset"]["sparse"]:
        adata.X = adata.X.toarray()
    if settings.batch:
        _correct(adata, settings.batch, name)
    if settings.regress:
        _regress(adata, settings.regress, name)
    if "scale" in steps and not isinstance(adata.X, np.ndarray):
        scale_sparse(adata)
    elif "scale" in steps:
        adata.layers[LOGS] = compact(adata.X).copy()  # not changed with X
        varies = (variation(adata.X) > np.finfo(np.float32).tiny).astype(np.float32)
        if not varies.all():  # scanpy makes some constant or tiny genes NaN, by the root of what rounding leaves
            adata.X = adata.X * varies
        sc.pp.scale(adata)
        adata.var["std"] *= varies  # scanpy has 1 for genes that are constant


def stays_sparse(adata: ad.AnnData, is_corrected: bool = False) -> bool:
    """Whether expression is sparse and has too many values to be made dense; is_corrected : for batch or covariates."""
    is_large = adata.n_obs * adata.n_vars > (MAX_CORRECTED if is_corrected else MAX_DENSE)
    return is_lazy(adata.X) or sparse.issparse(adata.X) and is_large


def _correct(adata: ad.AnnData, batch: str, name: str) -> None:
    """Take the differences between batches out of the expression, in place (ComBat: Johnson et al. 2007)."""
    if batch not in adata.obs:
        raise InputError(
            f"{name} has no column {batch!r} in obs for the batches: it has {', '.join(adata.obs) or 'none'}"
        )
    groups = as_labels(adata.obs[batch])
    sizes = groups.value_counts()
    if groups.dtype.kind == "f" or groups.isna().any() or len(sizes) < 2 or sizes.min() < 2:
        raise InputError(
            f"{name}: obs[{batch!r}] names no batches (it needs two values or more, of two cells each, and one in "
            "every cell): name another column, or leave the setting batch empty"
        )
    if sparse.issparse(adata.X):
        raise InputError(
            f"{name}: {adata.n_obs:,} cells are too many to correct for batch: name an embedding (use_rep)"
        )
    varies = variation(adata.X) > 0
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")
        cells = ad.AnnData(adata.X[:, varies], pd.DataFrame({batch: groups}))
        adata.X[:, varies] = np.nan_to_num(sc.pp.combat(cells, batch, inplace=False))
    said = f"Expression is corrected for obs[{batch!r}] ({len(sizes)} batches) by ComBat."
    adata.uns["dataset"]["said"] = np.append(adata.uns["dataset"]["said"], said)


def _regress(adata: ad.AnnData, columns: list[str], name: str) -> None:
    """Take out of the expression what columns of obs explain of it, in place, and keep these as obsm[COVARIATES]."""
    if sparse.issparse(adata.X):
        raise InputError(
            f"{name}: {adata.n_obs:,} cells x {adata.n_vars:,} genes are too many to be regressed on covariates: leave "
            "out genes that few cells show (min_cells), or leave the setting regress empty"
        )
    adata.obsm[COVARIATES] = np.hstack([_covariate(adata, column, name) for column in columns])
    n_features = adata.obsm[COVARIATES].shape[1]
    if n_features * CELLS_A_FEATURE > adata.n_obs:
        raise InputError(
            f"{name}: regress names columns of {n_features} features (7 of a number, 1 of a group), of which "
            f"{adata.n_obs:,} cells bear {adata.n_obs // CELLS_A_FEATURE}: name fewer columns, or of fewer groups"
        )
    before = variation(adata.X).sum()
    adata.X = regress_out(adata.X, adata.obsm[COVARIATES])
    share = 1 - variation(adata.X).sum() / before
    said = (
        f"Expression is regressed on {', '.join(map(repr, columns))} of obs: {share:.1%} of its variance is taken out."
    )
    adata.uns["dataset"]["said"] = np.append(adata.uns["dataset"]["said"], said)


def _covariate(adata: ad.AnnData, column: str, name: str) -> np.ndarray:
    """Features of a column of obs, (n_cells, n_features), once it is clear that it has some."""
    leave = "take it out of the setting regress"
    if column not in adata.obs and column in MEASURES:
        why = why_unmeasured(column, adata.uns["quality"])
        raise InputError(f"{name}: regress needs {MEASURES[column]}, which cannot be measured, as {why}: {leave}")
    if column not in adata.obs:
        raise InputError(
            f"{name} has no column {column!r} in obs to regress on: it has {', '.join(adata.obs) or 'none'}"
        )
    values = adata.obs[column]
    if column not in MEASURES or values.dtype.kind not in NUMBERS:
        values = as_labels(values)
    if n_missing := values.isna().sum():
        raise InputError(f"{name}: obs[{column!r}] has no value in {n_missing:,} cells: fill it in, or {leave}")
    if values.nunique() < 2:
        raise InputError(f"{name}: obs[{column!r}] is the same in all cells: {leave}")
    if isinstance(values.dtype, pd.CategoricalDtype) and (alone := (values.value_counts() < 2).sum()):
        raise InputError(f"{name}: obs[{column!r}] has {alone:,} values of a single cell: join them, or {leave}")
    return features(values)


def _checksum(adata: ad.AnnData) -> str:
    """SHA-256 of the values as dense little-endian float32 in C order, whatever form they are stored in."""
    digest = hashlib.sha256()
    for _, block in blocks(adata.X, 1000):
        digest.update(dense(block).astype("<f4").tobytes())
    return digest.hexdigest()


def graph_features(
    adata: ad.AnnData,
    settings: Preparation,
    units: Callable[[Matrix], Matrix] | None = None,
    fit_rows: np.ndarray | slice = slice(None),
) -> tuple[Matrix, str]:
    """What the graph is built on, and its name: an embedding, all genes, or variable genes and components.

    Parameters
    ----------
    adata : AnnData
        As from `load`.
    settings : Preparation
    units : function, optional
        From adata.X to the units that all genes are taken in, where they are.
    fit_rows : (n_fit,) int or slice
        Cells by which genes are chosen and weighted and whose components are taken.

    Returns
    -------
    (n_cells, n_features), dense or sparse; str
    """
    if settings.use_rep:
        return _embedding(adata, settings.use_rep), f"obsm[{settings.use_rep!r}]"
    genes = _variable_genes(adata, fit_rows)
    if genes is None:
        features, basis = adata.X if units is None else units(adata.X), "all genes"
    else:
        unit = adata.var["std"].to_numpy() if "scale" in adata.uns["dataset"]["steps"] else np.ones(adata.n_vars)
        features, basis = graph.pareto_scaled(adata.X, genes, unit, fit_rows), f"{genes.sum():,} variable genes"
    n_fit = features.shape[0] if isinstance(fit_rows, slice) else len(fit_rows)
    most, n_components = min(n_fit, features.shape[1]) - 1, settings.graph_components
    if n_components is None:
        n_components = 0 if genes is None else min(GRAPH_COMPONENTS, most)
    if is_lazy(features) and (n_components == 0 or features.shape[1] > MAX_GENES):
        raise InputError(
            f"{adata.uns['dataset']['name']}: the graph on {basis} needs {_in_memory(adata.n_obs)}: set graph_genes to "
            f"{GRAPH_GENES}, name a layer that holds counts, or set memory_gb higher"
        )
    if n_components == 0:
        return features if genes is None else features[:], basis
    if n_components > most:
        raise InputError(f"graph_components={n_components} is not possible: choose 0 (all genes) to {most}")
    found = graph.components(features, n_components, fit_rows, settings.random_state)
    return found, f"{n_components} components of {basis}"


def _variable_genes(adata: ad.AnnData, fit_rows: np.ndarray | slice) -> np.ndarray | None:
    """Variable genes of the cells fit_rows, (n_genes,) bool; None where all genes are wanted, or can be had alone."""
    n_genes = adata.uns["dataset"].get("graph_genes", 0)
    if n_genes == 0:
        return None
    if COUNTS in adata.layers:
        found = graph.variable_genes(_of_rows(adata.layers[COUNTS], fit_rows), n_genes, counts=True)
    else:
        logs = _of_rows(adata.layers.get(LOGS, adata.X), fit_rows)
        if least(logs) < 0:
            return None  # neither counts nor logarithms: nothing to rank the genes by
        found = graph.variable_genes(logs, n_genes, counts=False)
    return found if found.sum() >= MIN_GENES else None


def _of_rows(X: Matrix | Lazy, rows: np.ndarray | slice) -> Matrix:
    return X if isinstance(rows, slice) else X[rows]  # of all cells no copy


def _embedding(adata: ad.AnnData, key: str) -> np.ndarray:
    place = name_in_file("obsm", key)
    if place not in adata.obsm:
        raise InputError(f"{adata.uns['dataset']['name']} has no obsm[{key!r}]: it has {sorted(adata.obsm) or 'none'}")
    values = np.asarray(adata.obsm[place])
    if values.dtype.kind not in NUMBERS or not np.isfinite(values).all():
        raise InputError(f"obsm[{key!r}] holds values that are no finite numbers: compute the embedding again")
    return values.astype(np.float32)


def with_counts_alone(adata: ad.AnnData) -> ad.AnnData:
    """The cells as they came, for a file that is hardly larger than theirs: X is the counts, where there are any.

    adata : AnnData, as from `load`. Returns another AnnData: X (n_cells, n_genes) counts, else as from `stored`.
    """
    if COUNTS not in adata.layers:
        return stored(adata)
    parts = {name: dict(getattr(adata, name)) for name in ("obsm", "obsp")}
    return ad.AnnData(adata.layers[COUNTS], adata.obs, adata.var, uns=adata.uns, **parts)


def n_of_graph(adata: ad.AnnData) -> int:
    """Number of cells that the frequencies are of, of which these may be a sample; adata : AnnData with frequencies."""
    return int(adata.uns["graph"].get("parts", [adata.n_obs])[0])


def describe(adata: ad.AnnData) -> str:
    """One line for the reader: which data set, its size, why it was taken, what was left out, and what was done."""
    dataset = adata.uns["dataset"]
    line = f"{dataset['name']}: {adata.n_obs:,} cells x {adata.n_vars:,} genes ({dataset['reason']})"
    left_out = dataset["left_out"] if len(dataset["left_out"]) else ["No cell left out"]
    return one_line(". ".join([line, *(sentence.rstrip(".") for sentence in [*left_out, *dataset["said"]])]))
