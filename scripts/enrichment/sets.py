"""Measured genes and gene-set libraries brought together: symbols, background, and the sets that are tested."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse

from scripts.errors import InputError
from scripts.sources import Libraries, Library, human_orthologs

# how a measured gene came to a symbol that the libraries know, if it did
WAYS = ("as they are", "by ortholog (Ensembl)", "by upper-casing", "unmapped")
OTHER_NAME = "of orthologs, not the name in upper case"


def match_symbols(measured: list[str], known: set[str]) -> dict[str, str]:
    """Measured genes -> human symbols, as the libraries have them.

    The first that applies: a symbol that the libraries know stays as it is; a mouse gene becomes its human ortholog
    (Cd8b1 -> CD8B), whether or not the libraries know that one, so that it is not they who choose; the name in upper
    case, if they know it; else the gene stays as it is, so that it counts in the background. Upper-casing is no true
    orthology: it stands in where the table has no ortholog, as of Hspa8 and of outdated names.

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
    measured : list of str
        All genes that could have been drawn.
    position : {measured gene: place of its symbol in the background}
    background : list of str
        Distinct symbols of the measured genes; two genes of one symbol count once.
    names : list of (library, term)
    members : list of (n_members,) int
        Places in the background of the genes of each set.
    """

    measured: list[str]
    position: dict[str, int]
    background: list[str]
    names: list[tuple[str, str]]
    members: list[np.ndarray]

    @cached_property
    def membership(self) -> sparse.csr_array:
        """(n_sets, n_background) of 0 and 1."""
        ends = np.concatenate([[0], np.cumsum([len(places) for places in self.members])]).astype(int)
        places = np.concatenate([*self.members, np.empty(0, dtype=int)])
        return sparse.csr_array((np.ones(len(places)), places, ends), shape=(len(self.members), len(self.background)))

    @cached_property
    def codes(self) -> dict[str, list[str]]:
        """{number of a set: codes of its genes}, in the form that gseapy takes; see `code`."""
        return {str(number): [code(place) for place in places] for number, places in enumerate(self.members)}


def code(place: int) -> str:
    """Name of a background gene for gseapy, which would take real ones for Entrez ids or turn them into upper case."""
    return f"G{place}"


def tested_sets(measured: list[str], libraries: Libraries, min_size: int = 5, max_size: int = 500) -> TestedSets:
    """Match measured genes to the libraries' symbols, and keep the gene sets of suitable size.

    Parameters
    ----------
    measured : list of str
    libraries : Libraries
    min_size, max_size : int
        Limits of a set's genes that were measured.

    Raises
    ------
    InputError
        If the limits leave no size.
    """
    if not 1 <= min_size <= max_size:
        raise InputError(f"gene sets of {min_size} to {max_size} genes: choose 1 <= smallest size <= largest size")
    symbol = match_symbols(measured, _known(libraries.sets))
    background = sorted(set(symbol.values()))
    place = {name: number for number, name in enumerate(background)}
    kept = {
        (library, term): places
        for library, term, genes in _every_set(libraries.sets)
        if min_size <= len(places := np.array(sorted({place[gene] for gene in genes if gene in place}))) <= max_size
    }
    position = {gene: place[symbol[gene]] for gene in measured}
    return TestedSets(measured, position, background, list(kept), list(kept.values()))


def _every_set(sets: dict[str, Library]) -> Iterator[tuple[str, str, list[str]]]:
    return ((name, term, genes) for name, library in sets.items() for term, genes in library.items())


def _known(sets: dict[str, Library]) -> set[str]:
    return {gene for _, _, genes in _every_set(sets) for gene in genes}


def coverage(libraries: Libraries, tested: TestedSets) -> pd.DataFrame:
    """One row a library: where it was found, how many gene sets it holds and are tested, how many genes it knows."""
    of_library = pd.Series([library for library, _ in tested.names], dtype=object).value_counts()
    rows = []
    for name, library in libraries.sets.items():
        n_known = len(_known({name: library}) & set(tested.background))
        share = round(n_known / len(tested.background), 3)
        rows.append((name, libraries.origin[name], len(library), of_library.get(name, 0), n_known, share))
    columns = ["library", "found in", "gene sets", "of tested size", "measured genes known", "share"]
    return pd.DataFrame(rows, columns=columns)


def symbol_counts(libraries: Libraries, tested: TestedSets) -> pd.Series:
    """How many measured genes have a symbol that the libraries know, by each of the `WAYS` of `match_symbols`.

    Two more rows count some of these genes again: those whose ortholog upper-casing would have missed, or taken for
    another gene, and those beyond the first of a symbol.
    """
    known, orthologs = _known(libraries.sets), human_orthologs()
    genes = pd.DataFrame({"gene": tested.measured}, dtype=object)
    genes["symbol"] = [tested.background[tested.position[gene]] for gene in tested.measured]
    is_mapped, is_known = genes["symbol"].isin(known), genes["gene"].isin(known)
    by_ortholog = is_mapped & ~is_known & genes["gene"].isin(orthologs)
    of_way = (is_known, by_ortholog, is_mapped & ~is_known & ~by_ortholog, ~is_mapped)
    counts = {name: chosen.sum() for name, chosen in zip(WAYS, of_way, strict=True)}
    counts[OTHER_NAME] = (by_ortholog & (genes["symbol"] != genes["gene"].str.upper())).sum()
    counts["of a symbol that another gene has, too"] = len(tested.measured) - len(tested.background)
    return pd.Series(counts, name="measured genes")
