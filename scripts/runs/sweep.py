"""A run for each combination of settings, in a folder of their own."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from scripts import story
from scripts.console import say
from scripts.errors import InputError, NotebookFailed, one_line
from scripts.report import chain
from scripts.report import settings as schema

LONGEST = 100  # letters of a run's name, which file systems and people can take


def plan_sweep(file: str, dataset: str, name: str | None, reports: str) -> list[chain.Plan]:
    """Check the runs of all combinations before any of them is made.

    Parameters
    ----------
    file : str
        YAML: by setting, one value for all runs, or a list of values to try. Where a value is itself a list, a list of
        lists.
    dataset, name, reports : str
        The options of the command line. The runs lie in `<reports>/<name>/`; name : that of the file if None.

    Raises
    ------
    InputError
        With one line: nothing is to be tried, or a setting, the data set or a folder is wrong.
    """
    from scripts.sources import resolve

    given = schema.from_file(file, chain.notebooks())
    tried = {key: values for key, values in given.items() if isinstance(values, list)}
    if not any(len(values) > 1 for values in tried.values()):
        raise InputError(f"{file}: no setting has several values; list them, such as 'k_neighbors: [5, 10, 20]'")
    if empty := [key for key, values in tried.items() if not values]:
        raise InputError(f"{file}: no value of {empty[0]!r} is listed; name one at least, or leave the setting out")
    name = Path(file).stem if name is None else name
    schema.check_name(name)
    folder = Path(reports).expanduser() / name
    if (folder / "params.yaml").exists():
        raise InputError(f"{folder} is a run, and not a folder of runs: choose another --run or --reports")
    combinations = [dict(zip(tried, values, strict=True)) for values in itertools.product(*tried.values())]
    for notebook, settings in itertools.product(chain.notebooks(), combinations):
        schema.checked(notebook, given | settings)
    source = resolve(dataset)  # once for all runs, and last: it may have to ask the web
    varied = [{key: value for key, value in each.items() if len(tried[key]) > 1} for each in combinations]
    named = zip(run_names(varied), combinations, strict=True)
    return [chain.plan(source, own, given | settings, str(folder)) for own, settings in dict(named).items()]


def run_names(varied: list[dict[str, Any]]) -> list[str]:
    """Names of folders that say what is set, such as "k_neighbors=5,metric=cosine".

    What a folder cannot be called is left out; names that are too long, or the same for other settings, end on a
    checksum of them.
    """
    names = [",".join(f"{key}={_plain(value)}" for key, value in settings.items()) for settings in varied]
    exact = [yaml.safe_dump(settings) for settings in varied]
    shared = Counter(name for name, _ in set(zip(names, exact, strict=True)))
    checksums = [hashlib.sha256(text.encode()).hexdigest()[:6] for text in exact]
    return [
        f"{name[:LONGEST]},{checksum}" if len(name) > LONGEST or shared[name] > 1 else name
        for name, checksum in zip(names, checksums, strict=True)
    ]


def _plain(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True).splitlines()[0]
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")


def execute_sweep(planned: list[chain.Plan], force: bool = False) -> list[Path]:
    """Execute the runs one after the other, and return their folders.

    What a run has in common with one before it is taken over. One that fails does not keep the others from being made.

    Raises
    ------
    NotebookFailed
        At the end, naming the first that failed. KeyboardInterrupt says how many are done.
    """
    done: list[Path] = []
    failed: dict[str, str] = {}
    for number, chosen in enumerate(planned, 1):
        say(f"run {number} of {len(planned)}: {chosen.folder.name}\n")
        try:
            done.append(chain.execute(chosen, story.write, force, done).parent)
        except (NotebookFailed, InputError) as error:
            failed[chosen.folder.name] = one_line(error)
            say(f"{chosen.folder.name} failed: {one_line(error)}\n")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted; {len(done)} of {len(planned)} runs are done: start again") from None
    if failed:
        name, cause = next(iter(failed.items()))
        raise NotebookFailed(f"{len(failed)} of {len(planned)} runs failed, first {name} ({cause}): start again")
    return done
