"""Measured genes and gene-set libraries brought together: symbols, background, and the sets that are tested."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from scripts.blocks import cells_with
from scripts.cells import COUNTS, LOGS
from scripts.errors import InputError
from scripts.sources import Libraries, Library, human_orthologs

# how a measured gene came to a symbol that the libraries know, if it did
WAYS = ("as they are", "by ortholog (Ensembl)", "by upper-casing", "unmapped")
OTHER_NAME = "of orthologs, not the name in upper case"


def match_symbols(measured: list[str], known: set[str]) -> dict[str, str]:
    """Measured genes -> human symbols, as the libraries have them.

    The first that applies: a symbol that the libraries know stays as it is; a mouse gene becomes its human ortholog
    (Cd8b1 -> CD8B), whether or not the libraries know that one, so that it is not they who choose; the name in upper
    case, if they know it; else the gene stays as it is. Upper-casing is no true orthology: it stands in where the table
    has no ortholog, as of Hspa8 and of outdated names.

    Parameters
    ----------
    measured : list of str
    known : set of str
        All symbols of the libraries.
    """
    orthologs = human_orthologs()

    def match(gene: str) -> str:
        if gene in known:
            return gene
        if gene in orthologs:
            return orthologs[gene]
        return gene.upper() if gene.upper() in known else gene

    return {gene: match(gene) for gene in measured}


@dataclass(frozen=True)
class TestedSets:
    """The background and the gene sets that are tested against it.

    Attributes
    ----------
    symbol : {measured gene: its symbol}
        All genes that were measured.
    position : {gene: place of its symbol in the background}
        Of the measured genes that stand in the background.
    background : list of str
        Distinct symbols of the genes that are expressed and known to a library; two genes of one symbol count once.
    known : {library: (n_known,) int}
        Places of the background genes that stand in any set of a library: its sets are tested against these.
    names : list of (library, term)
    members : list of (n_members,) int
        Places in the background of the genes of each set.
    """

    symbol: dict[str, str]
    position: dict[str, int]
    background: list[str]
    known: dict[str, np.ndarray]
    names: list[tuple[str, str]]
    members: list[np.ndarray]

    @cached_property
    def membership(self) -> sparse.csr_array:
        """(n_sets, n_background) of 0 and 1."""
        return self._rows(self.members)

    @cached_property
    def knowledge(self) -> sparse.csr_array:
        """Which genes the library of each set knows, (n_sets, n_background) of 0 and 1."""
        of_library = {library: row for row, library in enumerate(self.known)}
        return self._rows([*self.known.values()])[[of_library[library] for library, _ in self.names]]

    @cached_property
    def codes(self) -> dict[str, list[str]]:
        """{number of a set: codes of its genes}, in the form that gseapy takes; see `code`."""
        return {str(number): [code(place) for place in places] for number, places in enumerate(self.members)}

    def inside(self, genes: Iterable[str]) -> list[str]:
        """Those of some genes that stand in the background, in the same order."""
        return [gene for gene in genes if gene in self.position]

    def _rows(self, places: list[np.ndarray]) -> sparse.csr_array:
        ends = np.concatenate([[0], np.cumsum([len(of_row) for of_row in places])]).astype(int)
        columns = np.concatenate([*places, np.empty(0, dtype=int)])
        return sparse.csr_array((np.ones(len(columns)), columns, ends), shape=(len(places), len(self.background)))


def code(place: int) -> str:
    """Name of a background gene for gseapy, which would take real ones for Entrez ids or turn them into upper case."""
    return f"G{place}"


def expressed(adata: ad.AnnData, least: float = 0.01) -> np.ndarray:
    """Which genes are on in at least a share of the cells, (n_genes,) bool.

    A gene that is on in a tenth of the cells at an end of an axis, itself a tenth of all, is on in 1% of all cells or
    more: what is rarer marks no end. adata : AnnData, as from `cells.scaled`; a gene is on where its count is not 0, or
    its value before scaling. All genes are taken for expressed where the cells came scaled, as none is 0 there.
    """
    values = adata.layers.get(COUNTS, adata.layers.get(LOGS, adata.X))
    if values.min() < 0:
        return np.ones(adata.n_vars, dtype=bool)
    return cells_with(sparse.csr_array(values)) >= max(1, least * adata.n_obs)


def tested_sets(
    measured: list[str],
    libraries: Libraries,
    min_size: int = 5,
    max_size: int = 500,
    is_expressed: np.ndarray | None = None,
) -> TestedSets:
    """Match measured genes to the libraries' symbols, and keep the gene sets of suitable size.

    Only a gene that could have been drawn together with a set stands in the background: one that is expressed, and that
    a library has annotated at all (Timmons et al., Genome Biology 16, 186, 2015). Others would make every list of known
    genes look chosen.

    Parameters
    ----------
    measured : list of str
    libraries : Libraries
    min_size, max_size : int
        Limits of a set's genes that stand in the background.
    is_expressed : (n_measured,) bool, optional
        As from `expressed`; without it, every gene is.

    Raises
    ------
    InputError
        If the limits leave no size.
    """
    if not 1 <= min_size <= max_size:
        raise InputError(f"gene sets of {min_size} to {max_size} genes: choose 1 <= smallest size <= largest size")
    symbol = match_symbols(measured, _known(libraries.sets))
    chosen = measured if is_expressed is None else [gene for gene, on in zip(measured, is_expressed, strict=True) if on]
    background = sorted({symbol[gene] for gene in chosen} & _known(libraries.sets))
    place = {name: number for number, name in enumerate(background)}
    kept = {
        (library, term): places
        for library, term, genes in _every_set(libraries.sets)
        if min_size <= len(places := _places(genes, place)) <= max_size
    }
    position = {gene: place[symbol[gene]] for gene in chosen if symbol[gene] in place}
    known = {name: _places(_known({name: library}), place) for name, library in libraries.sets.items()}
    return TestedSets(symbol, position, background, known, list(kept), list(kept.values()))


def _places(genes: Iterable[str], place: dict[str, int]) -> np.ndarray:
    """Places of genes in the background, as far as they stand in it, (n_found,) int."""
    return np.array(sorted({place[gene] for gene in genes if gene in place}), dtype=int)


def _every_set(sets: dict[str, Library]) -> Iterator[tuple[str, str, list[str]]]:
    return ((name, term, genes) for name, library in sets.items() for term, genes in library.items())


def _known(sets: dict[str, Library]) -> set[str]:
    return {gene for _, _, genes in _every_set(sets) for gene in genes}


def coverage(libraries: Libraries, tested: TestedSets) -> pd.DataFrame:
    """One row a library: where it was found, how many gene sets it holds and are tested, how many genes it knows."""
    of_library = pd.Series([library for library, _ in tested.names], dtype=object).value_counts()
    symbols, rows = set(tested.symbol.values()), []
    for name, library in libraries.sets.items():
        n_known = len(_known({name: library}) & symbols)
        n_sets = len(library), of_library.get(name, 0)
        share = round(n_known / len(symbols), 3)
        rows.append((name, libraries.origin[name], *n_sets, n_known, share, len(tested.known[name])))
    columns = ["library", "found in", "gene sets", "of tested size", "measured genes known", "share", "background"]
    return pd.DataFrame(rows, columns=columns)


def symbol_counts(libraries: Libraries, tested: TestedSets) -> pd.Series:
    """How many measured genes have a symbol that the libraries know, by each of the `WAYS` of `match_symbols`.

    Two more rows count some of these genes again: those whose ortholog upper-casing would have missed, or taken for
    another gene, and those beyond the first of a symbol.
    """
    known, orthologs = _known(libraries.sets), human_orthologs()
    genes = pd.DataFrame({"gene": [*tested.symbol], "symbol": [*tested.symbol.values()]}, dtype=object)
    is_mapped, is_known = genes["symbol"].isin(known), genes["gene"].isin(known)
    by_ortholog = is_mapped & ~is_known & genes["gene"].isin(orthologs)
    of_way = (is_known, by_ortholog, is_mapped & ~is_known & ~by_ortholog, ~is_mapped)
    counts = {name: chosen.sum() for name, chosen in zip(WAYS, of_way, strict=True)}
    counts[OTHER_NAME] = (by_ortholog & (genes["symbol"] != genes["gene"].str.upper())).sum()
    counts["of a symbol that another gene has, too"] = len(genes) - genes["symbol"].nunique()
    return pd.Series(counts, name="measured genes")
