"""Gene-set libraries and over-representation tests, without a network."""

import importlib.util
from functools import cache
from pathlib import Path

import gseapy
import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from scripts.modules import poles

GeneLists = dict[tuple[int, str], list[str]]  # genes of each (frequency, pole)
GSEAPY_COLUMNS = {
    "Term": "term",
    "Overlap": "overlap",
    "P-value": "p_value",
    "Odds Ratio": "odds_ratio",
    "Genes": "genes",
}
COLUMNS = ["frequency", "pole", "library", "term", "overlap", "p_value", "adjusted_p", "odds_ratio", "genes"]


def find_library(name: str) -> Path:
    """Where a library of gene sets lies on this machine.

    Parameters
    ----------
    name : str
        Path of a .gmt file, or a library that the installed pyenrichr package brings along, for example
        GO_Biological_Process_2023 or KEGG_2021_Human.

    Raises
    ------
    FileNotFoundError
        If there is no such file and no such library.
    """
    file = Path(name).expanduser()
    if file.suffix == ".gmt":
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such gene-set library; check the path in gene_sets")
        return file
    # find_spec, not import: the package loads statsmodels and more on import, for nothing here
    spec = importlib.util.find_spec("pyenrichr")
    bundled = Path(spec.origin).parent / "data" if spec else None
    if bundled is None or not (bundled / name).is_file():
        raise FileNotFoundError(f"{name}: no such gene-set library on this machine; name a .gmt file in gene_sets")
    return bundled / name


@cache  # read once a process, however many lists are tested
def read_library(name: str) -> dict[str, list[str]]:
    """Gene sets of a library in GMT form (term, description, genes, separated by tabs): {term: genes}.

    Raises
    ------
    FileNotFoundError, ValueError
        If the library cannot be found, or holds no gene set.
    """
    library = {}
    for line in find_library(name).read_text(encoding="utf-8").splitlines():
        term, *rest = line.split("\t")
        genes = [gene.split(",")[0] for gene in rest[1:] if gene]  # Enrichr's files may add a weight after a comma
        if genes:
            library[term] = genes
    if not library:
        raise ValueError(f"{name}: no gene set found in it; it must hold lines of term, description and genes, by tabs")
    return library


def match_symbols(measured: list[str], library: dict[str, list[str]]) -> dict[str, str]:
    """Measured genes -> the library's symbols: as they are where known, else in upper case (mouse Mpo -> human MPO).

    Upper-casing stands in for orthology: it is right for most, not all, pairs of mouse and human genes. Genes that
    match neither way stay as they are, so that they count in the background.
    """
    known = {gene for genes in library.values() for gene in genes}
    return {gene: gene if gene in known or gene.upper() not in known else gene.upper() for gene in measured}


def coverage(measured: list[str], libraries: list[str]) -> pd.DataFrame:
    """How many gene sets each library holds, and how many of the measured genes it knows."""
    rows = []
    for name in libraries:
        sets = read_library(name)
        known = {gene for genes in sets.values() for gene in genes}
        n_known = len(known & set(match_symbols(measured, sets).values()))
        rows.append((name, len(sets), n_known, n_known / len(measured)))
    return pd.DataFrame(rows, columns=["library", "gene sets", "measured genes known", "share"]).round(3)


def module_lists(modules: pd.DataFrame, n_genes: int) -> GeneLists:
    """Genes of both poles of the first module of every frequency; modules as from modules.module_table."""
    chosen = modules[(modules["module"] == 1) & (modules["rank"] <= n_genes)].sort_values("rank", kind="stable")
    return {key: list(table["gene"]) for key, table in chosen.groupby(["frequency", "pole"])}


def correlated_lists(correlation: np.ndarray, genes: list[str], n_genes: int) -> GeneLists:
    """Genes of largest positive and of largest negative correlation; correlation : (n_genes, n_freq)."""
    both = {frequency: poles(column, genes, n_genes) for frequency, column in enumerate(correlation.T)}
    return {(frequency, pole): names for frequency, lists in both.items() for pole, names in lists.items()}


def over_representation(gene_lists: GeneLists, measured: list[str], libraries: list[str]) -> pd.DataFrame:
    """Which gene sets hold more genes of a list than chance gives, with the measured genes as the background.

    Parameters
    ----------
    gene_lists : {(frequency, pole): genes}
    measured : list of str
        All genes that could have been drawn.
    libraries : list of str
        See `find_library`.

    Returns
    -------
    DataFrame
        One row for each list and each gene set that shares a gene with it: hypergeometric p-value (gseapy), and its
        Benjamini-Hochberg adjustment over all sets of all libraries tested for that list.
    """
    tables = [
        _test(genes, measured, library).assign(frequency=frequency, pole=pole, library=library)
        for library in libraries
        for (frequency, pole), genes in gene_lists.items()
    ]
    table = pd.concat([table for table in tables if len(table)] or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)
    adjusted = table.groupby(["frequency", "pole"])["p_value"].transform(false_discovery_control)
    return table.assign(adjusted_p=adjusted)[COLUMNS].sort_values(["frequency", "pole", "p_value"], ignore_index=True)


def _test(genes: list[str], measured: list[str], library: str) -> pd.DataFrame:
    """One list against one library."""
    sets = read_library(library)
    symbol = match_symbols(measured, sets)
    background = sorted(set(symbol.values()))
    names = [symbol[gene] for gene in genes]
    if not any(set(names) & set(members) for members in sets.values()):
        return pd.DataFrame()  # gseapy raises where nothing overlaps
    result = gseapy.enrich(names, gene_sets=sets, background=background, outdir=None).results
    return result.rename(columns=GSEAPY_COLUMNS)


def summarise(table: pd.DataFrame, gene_lists: GeneLists, threshold: float = 0.05) -> pd.DataFrame:
    """One row for each gene list: its size, its significant terms, and the most significant one."""
    rows = []
    for (frequency, pole), genes in gene_lists.items():
        found = table[(table["frequency"] == frequency) & (table["pole"] == pole)].sort_values(
            "adjusted_p", kind="stable"
        )
        significant = int((found["adjusted_p"] < threshold).sum())
        top = found.iloc[0] if len(found) else None
        rows.append(
            {
                "frequency": frequency,
                "pole": pole,
                "genes": len(genes),
                "significant_terms": significant,
                "top_term": top["term"] if top is not None else "",
                "top_adjusted_p": top["adjusted_p"] if top is not None else np.nan,
            }
        )
    return pd.DataFrame(rows)
