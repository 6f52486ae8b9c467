"""Which column of obs holds the known cell types."""

import re

import pandas as pd

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
    *("tissue", "disease", "organism", "id", "clone", "site", "study", "split", "phase"),
}
MAX_VALUES = 100


def set_label(adata, wanted: str | None) -> str:
    """The column of obs with the cell types, made categorical; "" if there is none; adata : AnnData, changed in place.

    Cells without a value stay without one, and categories without cells are dropped.
    """
    if wanted and wanted not in adata.obs:
        raise InputError(
            f"there is no column {wanted!r} in obs for the labels: it has {', '.join(adata.obs) or 'none'}"
        )
    label = wanted or likely_label(adata.obs)
    if label:
        column = adata.obs[label]
        if not isinstance(column.dtype, pd.CategoricalDtype):
            values = sorted(column.dropna().unique())
            column = pd.Series(pd.Categorical(column, values), column.index).cat.rename_categories(str)
        adata.obs[label] = column.cat.remove_unused_categories()
    return label


def likely_label(obs: pd.DataFrame) -> str:
    """A column that is named as cell types are; else the first of text or categories that may be.

    Of the columns named so, those of several values come first. Others must have 2 to MAX_VALUES values, fewer than
    half as many as there are cells, and no name of a batch.
    """
    values = {name: obs[name].nunique() for name in obs}
    named = [name for place in range(len(NAMES)) for name in obs if _place(name) == place and _is_label(obs[name])]
    may_be = [name for name in named if 2 <= values[name] < len(obs) / 2]
    others = [name for name in obs if _is_text(obs[name]) and not _words(name) & BATCHES]
    may_be += [name for name in others if 2 <= values[name] <= MAX_VALUES and values[name] < len(obs) / 2]
    return next(iter([*may_be, *(name for name in named if values[name] == 1)]), "")


def _place(name: str) -> int:
    letters = re.sub("[^a-z]", "", str(name).lower())
    return next((place for place, names in enumerate(NAMES) if letters in names), len(NAMES))


def _words(name: str) -> set[str]:
    parts = re.sub("([a-z])([A-Z])", r"\1 \2", str(name)).lower()
    words = set(re.split("[^a-z]+", parts))
    return words | {word.removesuffix("s") for word in words}


def _is_text(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object


def _is_label(column: pd.Series) -> bool:
    return _is_text(column) or column.dtype.kind in "bui"
