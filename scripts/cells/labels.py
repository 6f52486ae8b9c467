"""Which columns of obs hold the known cell types, and which ones say where the cells come from."""

import re

import numpy as np
import pandas as pd

from scripts.cells.reading import name_in_file
from scripts.errors import InputError

NAMES = (  # of columns of cell types, most likely first, in lower case and without other letters than a to z
    ("celltype", "celltypes", "annotatedcelltype", "celltypeannotation", "celltypelabel", "celltypefine"),
    ("annotation", "annotations", "cellannotation", "cellontologyclass", "celllabel", "cellidentity", "celltypeist"),
    ("label", "labels", "celllabels"),
    ("cluster", "clusters", "leiden", "louvain", "seuratclusters", "clusterid", "cellcluster"),
)
BATCHES = {  # words in the names of columns that say where a cell comes from, not what it is
    *("batch", "sample", "donor", "patient", "subject", "individual", "library", "replicate", "rep", "plate", "lane"),
    *("chip", "run", "experiment", "dataset", "barcode", "orig", "ident", "channel", "pool", "well", "sex", "assay"),
    *("tissue", "disease", "organism", "id", "clone", "site", "study", "split", "phase", "condition", "treatment"),
    *("genotype", "strain", "species", "gender", "stage", "age", "day", "time", "timepoint", "cohort", "chemistry"),
    *("method", "protocol", "technology", "tech", "flowcell", "hashtag", "project"),
}
GROUPS = ("cell_group", name_in_file("obs", "cell_group"))  # of a run, which are no known types
MAX_WHOLE = 2**53  # up to which float64 tells whole numbers apart
MAX_PARTS = 6  # of a graph that are described
MAX_VALUES = 100  # of a column of numbers or of no known name, for its values to be groups


def set_label(adata, wanted: str | None) -> tuple[str, list[str]]:
    """The column of obs with the cell types, "" if there is none, and a sentence if the one wanted cannot be used.

    The column is read as `as_labels` does, in place; adata : AnnData.
    """
    if wanted and wanted not in adata.obs:
        raise InputError(
            f"there is no column {wanted!r} in obs for the labels: it has {', '.join(adata.obs) or 'none'}"
        )
    label = wanted or next(iter(label_columns(adata.obs)), "")
    if not label:
        return "", []
    labels = as_labels(adata.obs[label])
    n_labelled, n_values = labels.notna().sum(), labels.nunique()
    if not n_labelled:
        return "", [f"obs[{label!r}] has no value in any cell: it is not used as labels."]
    if _is_groups(labels) and n_values > max(1, n_labelled / 2):
        return "", [
            f"obs[{label!r}] has {n_values:,} values in {n_labelled:,} cells, fewer than two cells for each: it is "
            "not used as labels."
        ]
    adata.obs[label] = labels
    return label, []


def labels_of(adata) -> pd.Series:
    """The known labels, (n_cells,), named as their column: categories or, of a column of numbers, float64.

    NaN where a cell has none: everywhere, under the name "", if no labels are known. adata : AnnData, as from `load`.
    """
    label = adata.uns["label"]
    nothing = pd.Categorical([None] * adata.n_obs, [])
    return adata.obs[label] if label else pd.Series(nothing, adata.obs_names, name="")


def as_labels(column: pd.Series) -> pd.Series:
    """A column as categories, without those that have no cell; as float64, NaN for infinite, if it holds numbers.

    Whole numbers are groups, as of clusters, if they are at most MAX_VALUES and fewer than half as many as the cells.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.remove_unused_categories()
    if column.dtype.kind in "iuf":
        numbers = column.astype(float).replace([np.inf, -np.inf], np.nan)
        known = numbers.dropna()
        is_whole = ((known == known.round()) & (known.abs() < MAX_WHOLE)).all()
        if not is_whole or known.nunique() > min(MAX_VALUES, len(known) / 2):
            return numbers
        column = numbers.astype("Int64")
    values = sorted(column.dropna().unique())
    return pd.Series(pd.Categorical(column, values), column.index, name=column.name).cat.rename_categories(str)


def label_columns(obs: pd.DataFrame) -> list[str]:
    """Columns that may hold cell types, the likeliest first.

    Columns that are named as cell types are come first, of text, categories or whole numbers; then others of text or
    categories, of at most MAX_VALUES values and without the name of a batch. All must have at least two values and
    fewer than half as many as there are cells; columns of a known name and a single value are the last resort.
    """
    values = {name: obs[name].nunique() for name in obs}
    named = [name for place in range(len(NAMES)) for name in obs if _place(name) == place and _may_group(obs[name])]
    others = [
        name
        for name in obs
        if name not in named and name not in GROUPS and _is_text(obs[name]) and not _words(name) & BATCHES
    ]
    may_be = [*named, *(name for name in others if values[name] <= MAX_VALUES)]
    several = [name for name in may_be if 2 <= values[name] < len(obs) / 2]
    return [*several, *(name for name in named if values[name] == 1)]


def batch_columns(obs: pd.DataFrame, label: str) -> list[str]:
    """Columns that by their names say where cells come from: candidates for covariates.

    They are groups of at least two cells, at most MAX_VALUES. Those that divide the cells as the label or an earlier
    column does, and the run's own split and that of the file, which may be a run's, are left out.
    """
    splits = ("split", name_in_file("obs", "split"))
    seen = {_partition(as_labels(obs[label]))} if label else set()
    found = []
    for name in obs:
        if name in (label, *splits) or not _words(name) & BATCHES or not _may_group(obs[name]):
            continue
        if 2 <= obs[name].nunique() <= min(MAX_VALUES, len(obs) / 2):
            divided = _partition(obs[name])
            found += [] if divided in seen else [name]
            seen.add(divided)
    return found


def named_parts(adata, part: np.ndarray) -> str:
    """The largest parts of the cells, each with its size and the commonest value of label and batch columns.

    adata : AnnData, as from `load`; part : (n_cells,) int, 0 the largest.
    """
    names = [name for name in (adata.uns["label"], *batch_columns(adata.obs, adata.uns["label"])) if name]
    groups = {name: as_labels(adata.obs[name]) for name in names}
    told = []
    for number, size in enumerate(np.bincount(part)[:MAX_PARTS]):
        inside = {name: labels[part == number].value_counts(normalize=True) for name, labels in groups.items()}
        most = [f"{name} {shares.index[0]} {shares.iloc[0]:.0%}" for name, shares in inside.items() if len(shares)]
        told.append(f"{size:,} cells" + (f" ({', '.join(most)})" if most else ""))
    n_more = part.max() + 1 - len(told)
    return "; ".join([*told, *([f"{n_more:,} more"] if n_more > 0 else [])])


def _partition(column: pd.Series) -> bytes:
    """The same for columns that divide the cells alike, whatever their values are called."""
    return pd.factorize(column)[0].tobytes()


def _place(name: str) -> int:
    letters = re.sub("[^a-z]", "", str(name).lower())
    return next((place for place, names in enumerate(NAMES) if letters in names), len(NAMES))


def _words(name: str) -> set[str]:
    parts = re.sub("([a-z])([A-Z])", r"\1 \2", str(name)).lower()
    words = set(re.split("[^a-z]+", parts))
    return words | {word.removesuffix("s") for word in words}


def _is_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object


def _is_groups(labels: pd.Series) -> bool:
    return isinstance(labels.dtype, pd.CategoricalDtype)


def _may_group(column: pd.Series) -> bool:
    return _is_text(column) or column.dtype.kind == "b" or _is_groups(as_labels(column))
