"""Odd files through all notebooks: `python -m tests.notebooks.fuzz --files 300`.

Each file is drawn from a seed, and the cells of the notebooks are executed in one process, without Jupyter, with small
settings. What comes out is a result, a named error (one line that a user can mend), or a fault of the program.
"""

import argparse
import ast
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

from tests.cells.cases import GENES
from tests.notebooks import odd_files

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SMALL = {
    "n_rebuilt": 2,
    "n_splits": 2,
    "n_subsamples": 2,
    "n_seeds": 2,
    "n_inductive": 1,
    "n_epochs": 5,
    "main_components": 20,
    "pair_components": [4, 6],
    "n_bootstraps": 10,
    "n_surrogates": 1,
    "n_pairs": 5,
    "n_permutations": 5,
    "panel_sizes": [5],
    "panel_genes": 10,
    "n_panel_splits": 1,
    "n_panel_subsamples": 2,
    "n_centres": 20,
    "n_random_lists": 5,
    "ranked_min_size": 3,
    "permutation_num": 5,
    "min_set_size": 2,
}
RESULT, NAMED, FAULT = "result", "named error", "FAULT"
BATCH = 25  # files that a process works on
ALSO = [  # settings that files are read by in turn
    {},
    {"unconnected": "largest"},
    {"unconnected": "largest", "k_neighbors": 3, "model": "gradient descent"},
    {"unconnected": "largest", "label": "cell_type", "k_neighbors": 5, "n_freq_comps": 2, "input_components": 0},
]


def execute(notebook: Path, settings: dict) -> None:
    """Execute the cells of a notebook, with settings in place of its own, and show what each cell ends with."""
    names = {"__name__": "__main__"}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]), notebook.name)
            last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, notebook.name, "exec"), names)
            if last:
                _show(eval(compile(last, notebook.name, "eval"), names))
            if "parameters" in cell["metadata"].get("tags", []):
                names.update(settings)


def _show(value: object) -> None:
    """Write a value out as a page would."""
    if hasattr(value, "to_json"):
        value.to_json() if hasattr(value, "to_plotly_json") else value.to_html()


def outcome(path: Path, folder: Path, settings: dict) -> tuple[str, str]:
    """What becomes of a file of cells, and why; folder : for the run and the gene sets."""
    from scripts.errors import InputError

    sets = folder / "sets.gmt"
    sets.write_text("".join(f"SET{i}\t\t" + "\t".join(GENES[i : i + 10]) + "\n" for i in range(0, 50, 5)))
    given = {"gene_sets": [str(sets)], "dataset": str(path), "run_dir": str(folder / "run")}
    for notebook in NOTEBOOKS:
        try:
            execute(notebook, SMALL | given | settings)
        except InputError as error:
            said = f"{notebook.stem}: {error}"
            return (FAULT if "\n" in said else NAMED), said
        except Exception:
            return FAULT, f"{notebook.stem}: {traceback.format_exc()}"
    return RESULT, ""


def work(seeds: list[int]) -> None:
    """Print a line of JSON before and after each file: seed and oddities, then what became of it and the seconds."""
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.chdir(ROOT / "notebooks")
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as silent, contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                path, oddities = odd_files.draw(seed, Path(folder))
                print(json.dumps({"seed": seed, "oddities": oddities}), file=out)
                begin = time.monotonic()
                kind, said = outcome(path, Path(folder), ALSO[seed % len(ALSO)])
                took = round(time.monotonic() - begin, 1)
                print(json.dumps({"seed": seed, "kind": kind, "said": said, "seconds": took}), file=out)


def run(seeds: list[int]) -> list[dict]:
    """What becomes of the files of some seeds, each {seed, oddities, kind, said, seconds}; a crash is a fault, too."""
    found, left = [], list(seeds)
    while left:
        batch = ",".join(map(str, left[:BATCH]))
        done = subprocess.run(
            [sys.executable, "-m", "tests.notebooks.fuzz", "--work", batch], cwd=ROOT, capture_output=True, text=True
        )
        by_seed: dict[int, dict] = {}
        for line in done.stdout.splitlines():
            told = json.loads(line)
            by_seed.setdefault(told["seed"], {}).update(told)
        crash = {
            "kind": FAULT,
            "said": f"Python ended with status {done.returncode}: {done.stderr[-2000:]}",
            "seconds": 0,
        }
        if not by_seed:
            raise RuntimeError(crash["said"])
        found += [crash | told for told in by_seed.values()]
        left = [seed for seed in left if seed not in by_seed]
    return found


def main() -> int:
    """Command line; 1 where a file is a fault of the program."""
    parser = argparse.ArgumentParser("python -m tests.notebooks.fuzz", description="Odd files through all notebooks.")
    parser.add_argument("--files", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--first", type=int, default=0, help="seed of the first file (default: 0)")
    parser.add_argument("--work", help=argparse.SUPPRESS)  # seeds: what a process of its own is asked for
    options = parser.parse_args()
    if options.work:
        work([int(seed) for seed in options.work.split(",")])
        return 0
    counts: collections.Counter = collections.Counter()
    last = options.first + options.files
    for start in range(options.first, last, BATCH):
        for told in run(list(range(start, min(start + BATCH, last)))):
            counts[told["kind"]] += 1
            said = told["said"] if told["kind"] != NAMED else told["said"][:200]
            print(f"{told['seed']} {told['oddities']} {told['seconds']} s: {told['kind']} {said}", flush=True)
    print(", ".join(f"{kind}: {count}" for kind, count in counts.items()))
    return int(counts[FAULT] > 0)


if __name__ == "__main__":
    sys.exit(main())
