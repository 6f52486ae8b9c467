"""The online service Enrichr, for those who ask for it: it is sent the gene lists and the background."""

import contextlib
import io
import time

import gseapy
import pandas as pd

from scripts.enrichment.gene_lists import GeneLists
from scripts.enrichment.sets import TestedSets
from scripts.enrichment.terms import LIST
from scripts.errors import OfflineError
from scripts.parallel import within
from scripts.sources import is_enrichrs, reachable

ONLINE_COLUMNS = {"Gene_set": "library", "Term": "term", "P-value": "p_value", "Adjusted P-value": "adjusted_p"}
ONLINE = [*LIST, *ONLINE_COLUMNS.values(), "genes"]  # columns of what the service answers
SERVICE = "Enrichr (maayanlab.cloud)"
LATER = "; try again later. What was sent until then stays there"


def ask(gene_lists: GeneLists, tested: TestedSets, libraries: list[str], limit: float = 120.0) -> pd.DataFrame:
    """Over-representation as Enrichr computes it, with the same background.

    Parameters
    ----------
    gene_lists : {(frequency, source, pole): genes}
    tested : TestedSets
    libraries : list of str
        Names of Enrichr's libraries; .gmt files are left out.
    limit : float
        Seconds for all lists.

    Returns
    -------
    DataFrame
        Enrichr's terms for each list; adjusted_p is its own, within a library and over the sets it returns.

    Raises
    ------
    OfflineError
        If no name is one of Enrichr's, or it is out of reach, or does not answer as it should within the limit.
    """
    names = [name for name in libraries if is_enrichrs(name)]
    if not names:
        raise OfflineError("gene_sets names none of its libraries. Nothing was sent")
    if not reachable():
        raise OfflineError("it is out of reach; check the network. Nothing was sent")
    end = time.monotonic() + limit
    tables = [pd.DataFrame(columns=ONLINE)]
    for key, genes in gene_lists.items():
        symbols = [tested.symbol[gene] for gene in tested.inside(genes)]
        try:
            found = within(max(0.0, end - time.monotonic()), lambda sent=symbols: _send(sent, names, tested.background))
        except TimeoutError:
            raise OfflineError(f"it did not answer all within {limit:.0f} s{LATER}") from None
        except MemoryError:  # which says nothing of the answer
            raise
        except Exception as problem:  # whatever its client stumbles over, the answer was none that can be read
            cause = " ".join(str(problem).split())[:200] or type(problem).__name__
            raise OfflineError(f"it did not answer as it should ({cause}){LATER}") from None
        if len(found):
            tables.append(found.assign(**dict(zip(LIST, key, strict=True))))
    return pd.concat(tables[1:] or tables, ignore_index=True)[ONLINE]


def _send(symbols: list[str], libraries: list[str], background: list[str]) -> pd.DataFrame:
    with contextlib.redirect_stderr(io.StringIO()):  # its client logs what the caller is told anyway
        found = gseapy.enrichr(symbols, gene_sets=libraries, background=background, outdir=None, no_plot=True).results
    if not len(found):
        return pd.DataFrame()
    return found.rename(columns=ONLINE_COLUMNS).assign(genes=found["Genes"].str.replace(";", " "))
