"""Gene-set libraries: found by name, read, and downloaded once.

Only names of libraries are ever sent to the web, and those only for libraries that are not on this machine.
"""

import io
import os
import re
import time
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts import REPOSITORY
from scripts.errors import InputError, MissingError, OfflineError
from scripts.parallel import within
from scripts.sources import download
from scripts.sources.diseases import without_diseases
from scripts.sources.terms_of_use import PYENRICHR, is_enrichrs, terms_of_use

ENRICHR = "https://maayanlab.cloud/Enrichr"
WAITS = (0.5, 1.0, 2.0)  # seconds before each further attempt
CONNECT = 2.0  # seconds after which a server that does not even take up the call counts as out of reach
Library = dict[str, list[str]]  # genes of each term


@dataclass
class Libraries:
    """What became of a list of libraries.

    Attributes
    ----------
    sets : {library: {term: genes}}
    origin : {library: where it was found}
    missing : {library: why it cannot be had}, one line each
    files : {library: the file it was read from}
    terms : {library: its terms of use}
    diseases : {library: how many gene sets of diseases were left out of it}, of those that lost some
    """

    sets: dict[str, Library] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    terms: dict[str, str] = field(default_factory=dict)
    diseases: dict[str, int] = field(default_factory=dict)


def gather(names: list[str], limit: float = 60.0, noncommercial: bool = True, disease_sets: bool = False) -> Libraries:
    """All libraries that can be had, and the reason for each that cannot; raises nothing for those.

    Parameters
    ----------
    names : list of str
        Paths of .gmt files, or names of libraries: see `local_library`; what is not on this machine is downloaded from
        Enrichr into data/genesets/.
    limit : float
        Seconds for all downloads. Without a network they cost one attempt to connect.
    noncommercial : bool
        Whether Enrichr's libraries, which are for non-commercial use, are used; if not, .gmt files alone are.
    disease_sets : bool
        Whether KEGG's pathways of diseases are kept; see `without_diseases`.
    """
    found = Libraries()
    end = time.monotonic() + limit
    is_online = None  # not asked yet: with all libraries on this machine, the web is left alone
    for name in dict.fromkeys([names] if isinstance(names, str) else names):
        try:
            if is_enrichrs(name) and not noncommercial:
                raise InputError(
                    f"{name} is a library of Enrichr, for non-commercial use, which noncommercial_sets rules out: name "
                    "a .gmt file whose terms you know"
                )
            place = local_library(name)
            if place is None:
                is_online = reachable() if is_online is None else is_online
                if not is_online:
                    raise OfflineError(f"{name} is not on this machine and Enrichr is out of reach{_remedy(name)}")
                target = download.DATA_FOLDER / "genesets" / f"{name}.gmt"
                place = download_library(name, target, end - time.monotonic()), "downloaded from Enrichr"
            whole = read_library(place[0])
            found.sets[name] = whole if disease_sets else without_diseases(name, whole)
            if n_left_out := len(whole) - len(found.sets[name]):
                found.diseases[name] = n_left_out
            found.files[name], found.origin[name] = place
            found.terms[name] = terms_of_use(name, found.origin[name])
        except (OSError, ValueError) as problem:  # what the web or a file on disk can do wrong, and nothing else
            found.missing[name] = " ".join(str(problem).split())
    return found


def _remedy(name: str) -> str:
    return f": put {name}.gmt into data/genesets/"


def local_library(name: str) -> tuple[Path, str] | None:
    """Where a library lies on this machine, and that place's name; None if it does not.

    Parameters
    ----------
    name : str
        Path of a .gmt file (from here, or from the project's folder), or a library's name, which is looked for in
        genesets/ of the folder BMLP_DATA_DIR, in data/genesets/, and in the installed pyenrichr package.

    Raises
    ------
    MissingError, InputError
        If a .gmt file does not exist, or the name cannot be one of a library.
    """
    if name.endswith(".gmt"):
        file = Path(name).expanduser()
        for candidate in (file, REPOSITORY / file):
            if candidate.is_file():
                return candidate, "the file as named"
        raise MissingError(f"{name}: no such file; check the path in gene_sets")
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise InputError(f"{name!r} is no name of a library: use one of {ENRICHR}/#libraries, or a path ending in .gmt")
    shared = os.environ.get("BMLP_DATA_DIR")
    places = [(Path(shared) / "genesets" / f"{name}.gmt", "BMLP_DATA_DIR")] if shared else []
    places.append((download.DATA_FOLDER / "genesets" / f"{name}.gmt", "data/genesets"))
    package = download.package_folder("pyenrichr")
    if package:
        places.append((package / "data" / name, PYENRICHR))
    return next(((file, origin) for file, origin in places if file.is_file()), None)


def read_library(file: Path) -> Library:
    """Gene sets of a file in GMT form: a term, a description and the genes to a line, separated by tabs.

    Raises
    ------
    InputError
        If it holds no gene set.
    """
    library = {}
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        term, *rest = line.split("\t")
        genes = [gene.split(",")[0] for gene in rest[1:] if gene]  # Enrichr's files may add a weight after a comma
        if term and genes:
            library[term] = genes
    if not library:
        raise InputError(f"{file} holds no gene set: it must hold a term, a description and genes to a line, by tabs")
    return library


def reachable() -> bool:
    """Whether Enrichr's server takes up a call; at most `CONNECT` seconds, whatever the network does."""
    import requests

    try:
        within(1.25 * CONNECT, lambda: requests.head(ENRICHR, timeout=CONNECT))
    except requests.ReadTimeout:
        return True  # slow, but there
    except (requests.RequestException, TimeoutError):
        return False
    return True


def download_library(name: str, target: Path, limit: float = 60.0) -> Path:
    """A library from Enrichr, whole or not at all.

    Parameters
    ----------
    name : str
    target : Path
        Where the file goes; its folder is made. What arrives is checked aside and then renamed.
    limit : float
        Seconds for all attempts.

    Raises
    ------
    OfflineError
        With the last attempt's failure, in one line. A refusal (status 4xx) is not asked again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + limit
    address = f"{ENRICHR}/geneSetLibrary?mode=text&libraryName={name}"
    cause = "no time left"
    for wait in (0.0, *WAITS):
        if time.monotonic() + wait >= end:
            break
        time.sleep(wait)
        try:
            return _attempt(address, target, end - time.monotonic())
        except (ConnectionError, TimeoutError, ValueError) as problem:
            cause, is_final = _cause(problem)
        if is_final:
            break
    raise OfflineError(f"{name} could not be downloaded from Enrichr ({cause}){_remedy(name)}")


def _attempt(address: str, target: Path, limit: float) -> Path:
    """One download: checked aside, then renamed."""
    # a progress bar's control characters, and warnings of how it can be drawn, have no place on a page
    with TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as aside, redirect_stderr(io.StringIO()):
        # fetch looks at the clock each time a kilobyte has come, which may never be
        file = within(limit, lambda: download.fetch(address, Path(aside) / target.name, limit))
        _check_whole(file)
        file.chmod(0o644)
        os.replace(file, target)
    return target


def _check_whole(file: Path) -> None:
    """InputError for an answer that is no library, or not all of one."""
    text = file.read_text(encoding="utf-8", errors="replace")
    if not text.strip():
        raise InputError("an empty answer")
    if re.search(r"<(!doctype|html)", text[:1000], re.IGNORECASE):
        raise InputError("a web page in place of a library")
    try:
        read_library(file)
    except ValueError:
        raise InputError("no gene set in the answer") from None
    first, last = text.split("\n", 1)[0], text.rsplit("\n", 1)[-1]
    if last and first.endswith("\t") and not last.endswith("\t"):  # Enrichr ends every line of a library alike
        raise InputError("an answer that breaks off")


def _cause(problem: Exception) -> tuple[str, bool]:
    """Why an attempt failed, and whether a further one is in vain."""
    answer = getattr(problem.__context__, "response", None)  # of the failure that `fetch` puts into words
    if answer is not None:
        is_refused = answer.status_code < 500 and answer.status_code not in (408, 429)  # those two mean: later
        return f"status {answer.status_code}", is_refused
    if isinstance(problem, TimeoutError):
        return "no answer in time", True
    return str(problem).rpartition("(")[2].rstrip(")"), False  # of `fetch`, the words in brackets
