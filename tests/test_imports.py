"""What may know what: read from the imports of all files, those inside functions and for type checkers included.

Each rule is a function from {module: imports} to the lines that name its faults; no line, no fault.
"""

import ast
import graphlib
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ["scripts", "benchmarks", "notebooks", "tests"]
FLOORS = [  # from the ground up: a package or module of scripts/ imports only from those before it, or from itself
    "errors",
    "measures",
    "regression",
    "parallel",
    "blocks",
    "console",
    "graph",
    "sources",
    "cells",
    "datasets",
    "report",
    "models",
    "bmlp",
    "reading",
    "rankings",
    "evaluation",
    "classes",
    "hierarchy",
    "programs",
    "truth",
    "enrichment",
    "figures",
    "findings",
    "story",
    "runs",
    "__main__",
]
MAX_FILES, MAX_LINES = 9, 450  # in a folder of scripts/; in a file


class Import(NamedTuple):
    """`from module import name`, or `import module` where there is no name."""

    module: str
    name: str = ""


Imports = dict[str, set[Import]]  # of each module


def module_name(path: Path) -> str:
    """Name of a file's module: `scripts.graph` of scripts/graph/__init__.py."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def code_of(path: Path) -> str:
    """Python code of a module or a notebook."""
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


def imports_of(code: str, package: str) -> set[Import]:
    """All imports of a file of a package; `figures.layout`, where figures is from scripts, is `layout` from there."""
    nodes, found, rooms = list(ast.walk(ast.parse(code))), set(), {}
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {Import(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            module = ".".join(filter(None, [*above, node.module]))
            found |= {Import(module, alias.name) for alias in node.names}
            if module == "scripts":
                rooms |= {alias.asname or alias.name: f"scripts.{alias.name}" for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in rooms:
            found.add(Import(rooms[node.value.id], node.attr))
    return found


def read_imports(root: Path) -> Imports:
    """Imports of all modules and notebooks below a folder."""
    found = {}
    for path in python_files(root) + sorted(root.glob("notebooks/*.ipynb")):
        module = module_name(path.relative_to(root))
        found[module] = imports_of(code_of(path), module if path.stem == "__init__" else module.rpartition(".")[0])
    return found


def python_files(root: Path) -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]


def read_doors(root: Path) -> dict[str, list[str]]:
    """What each package of scripts/ hands on: its `__all__`."""
    doors = {}
    for path in root.glob("scripts/*/__init__.py"):
        assigned = [node for node in ast.parse(code_of(path)).body if isinstance(node, ast.Assign)]
        names = [ast.literal_eval(node.value) for node in assigned if ast.unparse(node.targets[0]) == "__all__"]
        doors[module_name(path.relative_to(root))] = names[0] if names else []
    return doors


def read_requirements(root: Path) -> set[str]:
    """Distributions that requirements.txt names."""
    lines = (root / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {normal(line.split("==")[0]) for line in lines if "==" in line}


def normal(distribution: str) -> str:
    """Name of a distribution as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported_modules(imports: Imports) -> dict[str, set[str]]:
    """The repository's own modules that each module imports."""
    return {
        module: {
            next(own for own in (f"{target}.{name}", target) if own in imports)
            for target, name in found
            if target in imports
        }
        for module, found in imports.items()
    }


def circles(imports: Imports) -> list[str]:
    """Modules that import each other, directly or by way of others; the first circle."""
    try:
        graphlib.TopologicalSorter(imported_modules(imports)).prepare()
    except graphlib.CycleError as error:
        return [f"circle: {' <- '.join(error.args[1])}"]
    return []


def upward(imports: Imports) -> list[str]:
    """Imports from a floor above; tests, notebooks and benchmarks stand on top."""
    edges = [(module, used) for module, found in imported_modules(imports).items() for used in found]
    return [
        f"upwards: {module} imports {used}"
        for module, used in edges
        if room(module) != room(used) and floor(used) > floor(module)
    ]


def unplaced(imports: Imports) -> list[str]:
    """Packages and modules of scripts/ that the list of floors does not name."""
    rooms = {room(module) for module in imports} - {f"scripts.{name}" for name in FLOORS}
    return [f"{name} is not among FLOORS" for name in sorted(rooms) if name.startswith("scripts.")]


def room(module: str) -> str:
    """`scripts.graph` of scripts.graph.spectrum; `tests` of whatever lies there."""
    return ".".join(module.split(".")[: 2 if module.startswith("scripts.") else 1])


def floor(module: str) -> int:
    """Place in FLOORS; -1 of scripts itself, the highest of what lies outside."""
    name = room(module).removeprefix("scripts.")
    return -1 if name == "scripts" else FLOORS.index(name) if name in FLOORS else len(FLOORS)


def private(imports: Imports, doors: dict[str, list[str]]) -> list[str]:
    """Imports past the door of a package, or of a name that begins with an underscore; tests may go anywhere."""
    return [
        f"private: {module} imports {used.name} from {used.module}"
        for module, found in imports.items()
        for used in found
        if room(module) not in ("tests", room(used.module)) and not is_open(used, doors)
    ]


def is_open(used: Import, doors: dict[str, list[str]]) -> bool:
    """Whether others may import it: a name at a door, or a public one of a module that is no package."""
    if room(used.module) not in doors:
        return not (used.module.startswith("scripts") and used.name.startswith("_"))
    return used.module in doors and used.name in ["", *doors[used.module]]


def unnamed(imports: Imports, requirements: set[str]) -> list[str]:
    """Imports of packages that come with no distribution of requirements.txt."""
    known = set(FOLDERS) | sys.stdlib_module_names | {"__future__"}
    distributions = packages_distributions()
    faults = []
    for module, found in imports.items():
        for package in sorted({used.module.split(".")[0] for used in found} - known):
            if not {normal(name) for name in distributions.get(package, [package])} & requirements:
                faults.append(f"requirements.txt names no {package}, which {module} imports")
    return faults


def crowded(files: list[Path]) -> list[str]:
    """Folders of too many files."""
    counts = {folder: sum(path.parent == folder for path in files) for folder in {path.parent for path in files}}
    return [f"{folder}: {count} files" for folder, count in counts.items() if count > MAX_FILES]


def long(files: list[Path]) -> list[str]:
    """Files of too many lines."""
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    return [f"{path}: {count} lines" for path, count in counts.items() if count > MAX_LINES]


RULES = {
    "circles": lambda root: circles(read_imports(root)),
    "upward": lambda root: upward(read_imports(root)),
    "unplaced": lambda root: unplaced(read_imports(root)),
    "private": lambda root: private(read_imports(root), read_doors(root)),
    "unnamed": lambda root: unnamed(read_imports(root), read_requirements(root)),
    "crowded": lambda root: crowded([path for path in python_files(root) if path.is_relative_to(root / "scripts")]),
    "long": lambda root: long(python_files(root)),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_repository_obeys(rule):
    faults = RULES[rule](ROOT)
    assert not faults, "\n".join(faults)


SOUND = {
    "requirements.txt": "numpy==1.0\nscikit_learn==1.0  # another name than that of its import\n",
    "scripts/__init__.py": "ROOT = ''",
    "scripts/parallel.py": "import os.path\nfrom scripts import ROOT",
    "scripts/graph/__init__.py": "from scripts.graph.spectrum import waves\n__all__ = ['waves', 'edges']",
    "scripts/graph/spectrum.py": "from . import edges\nfrom scripts.graph.edges import _near",
    "scripts/graph/edges.py": "from scripts import parallel\nparallel.spread",
    "scripts/models/__init__.py": "from scripts.graph import edges, waves\n__all__ = []",
    "benchmarks/speed.py": "import scripts.graph\nfrom tests import oracle",
    "notebooks/01_data.ipynb": "from scripts import graph\ngraph.waves",
    "tests/oracle.py": "import numpy as np\nfrom scripts.graph.spectrum import _hidden",
}
FAULTS = [  # (rule, file, line that is added to it, what is told)
    ("circles", "scripts/graph/edges.py", "import scripts.graph.spectrum", "graph.spectrum"),
    ("circles", "scripts/graph/edges.py", "from .spectrum import waves", "graph.spectrum"),
    ("circles", "scripts/graph/edges.py", "def f():\n    from scripts.graph import waves", "scripts.graph"),
    ("upward", "scripts/graph/edges.py", "from scripts import models", "graph.edges imports scripts.models"),
    ("upward", "scripts/parallel.py", "def f():\n    import scripts.models", "parallel imports scripts.models"),
    ("upward", "scripts/graph/edges.py", "if TYPE_CHECKING:\n    import scripts.models", "scripts.models"),
    ("upward", "scripts/models/__init__.py", "from tests.oracle import slow", "models imports tests.oracle"),
    ("unplaced", "scripts/news.py", "", "scripts.news is not among FLOORS"),
    ("private", "scripts/models/__init__.py", "from scripts.graph.spectrum import waves", "waves from scripts.graph."),
    ("private", "scripts/models/__init__.py", "import scripts.graph.edges", "scripts.graph.edges"),
    ("private", "scripts/models/__init__.py", "from scripts.graph import spectrum", "imports spectrum from"),
    ("private", "scripts/models/__init__.py", "from ..graph.edges import near", "imports near from"),
    ("private", "scripts/models/__init__.py", "from scripts.parallel import _pool", "imports _pool from"),
    ("private", "notebooks/01_data.ipynb", "graph.spectrum.waves", "01_data imports spectrum from scripts.graph"),
    ("private", "benchmarks/speed.py", "from scripts.graph import *", "speed imports * from scripts.graph"),
    ("unnamed", "scripts/parallel.py", "def f():\n    import yaml.nodes", "no yaml, which scripts.parallel imports"),
    ("unnamed", "notebooks/01_data.ipynb", "from torch import nn", "no torch, which notebooks.01_data imports"),
    ("unnamed", "tests/oracle.py", "import not_installed", "no not_installed, which tests.oracle imports"),
    ("long", "tests/oracle.py", "pass\n" * (MAX_LINES + 1), "oracle.py: "),
]


@pytest.fixture
def tree(tmp_path):
    """A small repository without a fault."""
    for name, code in SOUND.items():
        plant(tmp_path / name, code)
    return tmp_path


def plant(path, code):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells if path.exists() else []
        nbformat.write(new_notebook(cells=[*cells, new_code_cell(code)]), path)
    else:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{code}\n")


def test_a_tree_without_a_fault_obeys(tree):
    plant(tree / "scripts/models/__init__.py", "import sklearn.linear_model")
    assert {rule: check(tree) for rule, check in RULES.items()} == {rule: [] for rule in RULES}


@pytest.mark.parametrize(("rule", "file", "code", "told"), FAULTS)
def test_a_planted_fault_is_named(tree, rule, file, code, told):
    plant(tree / file, code)
    fault, *more = RULES[rule](tree)
    assert told in fault and not more


def test_a_crowded_folder_is_named(tree):
    for number in range(MAX_FILES - 3):  # three are there
        plant(tree / f"scripts/graph/part_{number}.py", "")
    assert RULES["crowded"](tree) == []
    plant(tree / "scripts/graph/one_more.py", "")
    assert RULES["crowded"](tree) == [f"{tree / 'scripts/graph'}: 10 files"]
