"""What a fresh clone relies on: pinned packages, metadata, make, clean notebooks, and texts that stay short."""

import ast
import fnmatch
import importlib
import os
import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from scripts.rankings import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_every_requirement_is_pinned():
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    for line in filter(None, lines):
        assert re.fullmatch(r"[A-Za-z0-9_.\[\]-]+==[0-9][A-Za-z0-9.]*", line), line


def test_optional_packages_are_pinned_and_are_those_that_rank_genes():
    pins = PYPROJECT["project"]["optional-dependencies"]["rivals"]
    assert all(re.fullmatch(r"[A-Za-z0-9]+==[0-9.]+", pin) for pin in pins)
    assert [pin.split("==")[0] for pin in pins] == [package for package, *_ in PACKAGES.values()]


def test_the_lock_holds_every_pin_and_the_checksums_of_all_files():
    """Names of packages are compared as the index writes them: in lower case, with hyphens."""
    pins = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    lock = (ROOT / "requirements.lock").read_text()
    entries = re.findall(
        r"^([\w.-]+)==(\S+)((?:.*\\\n)(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", lock, re.MULTILINE
    )
    locked = {(name, version) for name, version, _ in entries}
    for name, version in pins:
        assert (re.sub(r"[-_.]+", "-", name).lower(), version) in locked, f"make requirements.lock anew: {name}"
    assert len(entries) == len(re.findall(r"^\S+==", lock, re.MULTILINE)) > len(pins)
    assert "://" not in lock  # no address: pip's own setting says where packages come from


def test_conda_takes_its_pins_from_the_same_file():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge"]
    python, pip, pinned = environment["dependencies"]
    assert re.fullmatch(r"python=3\.1[123]", python) and pip == "pip"
    assert pinned == {"pip": ["-r requirements.txt"]}


def test_pip_takes_its_pins_from_the_same_file():
    assert "dependencies" in PYPROJECT["project"]["dynamic"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"] == {"dependencies": {"file": ["requirements.txt"]}}


def test_every_file_of_scripts_is_installed():
    setuptools = PYPROJECT["tool"]["setuptools"]
    files = [
        path
        for path in sorted((ROOT / "scripts").rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and path.name[0] != "."
    ]
    packages = {path.parent for path in files if path.name == "__init__.py"}
    assert ROOT / "scripts" in packages
    for package in packages:
        name = ".".join(package.relative_to(ROOT).parts)
        assert any(fnmatch.fnmatch(name, pattern) for pattern in setuptools["packages"]["find"]["include"]), name
        assert package.parent == ROOT or package.parent in packages, f"{package.parent} lacks an __init__.py"
    data = {
        file
        for package, patterns in setuptools["package-data"].items()
        for pattern in patterns
        for file in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    for file in files:
        assert file in data or (file.suffix == ".py" and file.parent in packages), f"{file} would not be installed"


def test_metadata_and_citation_say_the_same():
    project = PYPROJECT["project"]
    assert project["version"] == CITATION["version"]
    assert project["license"] == CITATION["license"]
    assert [author["name"] for author in project["authors"]] == [author["name"] for author in CITATION["authors"]]
    assert re.search(rf"^## \[{re.escape(project['version'])}\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_command_is_there():
    module, function = PYPROJECT["project"]["scripts"]["bmlp"].split(":")
    assert getattr(importlib.import_module(module), function)(["--help"]) == 0


def test_make_installs_again_only_when_the_requirements_change(tmp_path):
    for name in ["Makefile", "requirements.txt"]:
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".venv").mkdir()
    stamp = tmp_path / ".venv/installed"
    stamp.touch()

    def asks_for_install():
        done = subprocess.run(["make", "-n", "report"], cwd=tmp_path, capture_output=True, text=True, check=True)
        return "pip install" in done.stdout

    for age, expected in [(-10, False), (10, True)]:
        os.utime(tmp_path / "requirements.txt", (stamp.stat().st_mtime + age,) * 2)
        assert asks_for_install() is expected


def test_make_says_what_it_installs_and_leaves_logs_without_pips_lines(tmp_path):
    for name in ["Makefile", "requirements.txt"]:
        (tmp_path / name).write_text((ROOT / name).read_text())
    python = tmp_path / "python"
    lines = [
        "#!/bin/sh",
        '[ "$1" = -c ] && exit',
        'echo "$@"',
        "mkdir -p .venv/bin",
        'cp "$0" .venv/bin/python 2>/dev/null',
    ]
    python.write_text("\n".join([*lines, "exit 0\n"]))
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "--no-print-directory", ".venv/installed", f"PYTHON={python}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    venv, pip = done.stdout.splitlines()
    assert venv == "-m venv .venv" and pip.startswith("-m pip install --quiet") and "requirements.txt" in pip
    assert [line[:5] for line in done.stderr.splitlines()] == ["[1/2]", "[2/2]"]
    assert (tmp_path / ".venv/installed").exists()


@pytest.fixture
def made(tmp_path):
    """A function that runs make with options, where Python prints its arguments and those for pytest."""
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "requirements.txt").touch()
    folder = tmp_path / ".venv/bin"
    folder.mkdir(parents=True)
    for name in ["python", "ruff", "basedpyright"]:
        body = 'printf "%s\\n" "$@" "$PYTEST_ADDOPTS"' if name == "python" else "exit 0"
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    (tmp_path / ".venv/installed").touch()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST_ADDOPTS"))}

    def make(target, *options, **environment):
        command = ["make", target, *options]
        return subprocess.run(command, cwd=tmp_path, env=own | environment, capture_output=True, text=True)

    return make


HARM = [
    "my 'cells'.h5ad",
    "$(shell touch harm)",
    "${shell touch harm}",
    "`touch harm`",
    "$(touch harm) $$(touch harm) $HOME $$HOME",
    '"; touch harm; "',
    "'; touch harm; '",
    "a\ntouch harm\nb",
    "a # b",
    "-x \\ \\n %s \\",
]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("by", ["command line", "environment"])
def test_make_passes_options_as_they_are(made, tmp_path, harm, by):
    """Neither make nor the shell expands what an option holds, wherever it was set."""
    given = {"DATASET": harm, "RUN": harm, "PARAMS": harm}
    options = [f"{name}={value}" for name, value in given.items()] if by == "command line" else []
    done = made("report", *options, **({} if options else given))
    assert done.stdout == f"-m\nscripts\nreport\n--dataset={harm}\n--run={harm}\n--params={harm}\n\n", done.stderr
    options = [f"TESTARGS={harm}"] if options else []
    for target in ("check", "test"):
        assert made(target, *options, **({} if options else {"TESTARGS": harm})).stdout.endswith(f"\n {harm}\n")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("harm", HARM)
def test_make_names_a_python_that_is_not_there_as_it_was_given(made, tmp_path, harm):
    os.utime(tmp_path / "requirements.txt", (2e9, 2e9))  # newer than what is installed
    done = made("report", f"PYTHON={harm}")
    assert done.returncode != 0 and f"error: {harm} not found; install Python 3.11 or newer" in done.stderr
    assert not (tmp_path / "harm").exists()


def test_make_opens_the_lab_from_a_folder_of_any_name(tmp_path):
    folder = tmp_path / """it's "$(touch harm)" `touch harm`"""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "Makefile").write_text((ROOT / "Makefile").read_text())
    (folder / "requirements.txt").touch()
    (folder / ".venv/installed").touch()
    (folder / ".venv/bin/jupyter").write_text('#!/bin/sh\nprintf "%s\\n" "$PYTHONPATH"\n')
    (folder / ".venv/bin/jupyter").chmod(0o755)
    done = subprocess.run(["make", "--no-print-directory", "lab"], cwd=folder, capture_output=True, text=True)
    assert done.stdout == f"{folder}\n", done.stderr
    assert not (folder / "harm").exists()


def test_make_refuses_unknown_options(made):
    done = made("report", "DATASTE=paul15", "RUN=a b")
    assert done.returncode != 0 and not done.stdout and "unknown option DATASTE: the options are DATASET" in done.stderr


@pytest.mark.parametrize("given", ["/of/the/user", None])
def test_all_checks_take_the_data_folder_that_is_set(tmp_path, given):
    script = tmp_path / "project/.ci/run"
    stand_ins = {script.parents[1] / ".venv/bin/python": "exit 0", tmp_path / "bin/make": 'echo "$* $BMLP_DATA_DIR"'}
    for path, body in stand_ins.items():
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    script.parent.mkdir()
    script.write_text((ROOT / ".ci/run").read_text())
    environment = {name: value for name, value in os.environ.items() if name != "BMLP_DATA_DIR"}
    environment |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "BMLP_CHROMIUM": "sh"}
    environment |= {"BMLP_DATA_DIR": given} if given else {}
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=True)
    command, folder = done.stdout.split()
    assert command == "test"
    assert folder == given or (given is None and Path(folder).is_absolute())


def test_there_are_notebooks():
    assert [path.name[:2] for path in NOTEBOOKS[:6]] == ["01", "02", "03", "04", "05", "06"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_define_nothing(path):
    forbidden = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Try
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            found = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, forbidden)]
            assert not found, f"cell of {path.name} belongs into scripts/:\n{cell.source}"


def test_the_readme_is_short():
    assert 300 < len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 900


TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_links_between_texts_lead_somewhere(path):
    links = re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text(encoding="utf-8"))
    assert links or path.stem in ("benchmarks", "outputs")
    for link in links:
        assert (path.parent / link).exists(), f"{path.name} links to {link}"


def test_those_who_began_it_are_named():
    named = {reference["title"].split(":")[0] for reference in CITATION["references"]}
    assert {"ScBMLP", "Bilinear MLPs enable weight-based mechanistic interpretability"} <= named
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "https://github.com/kmaherx/ScBMLP" in readme and "https://arxiv.org/abs/2410.08417" in readme


def test_files_that_are_no_code_are_in_the_package():
    packed = PYPROJECT["tool"]["setuptools"]["package-data"]
    folders = {package: ROOT / package.replace(".", "/") for package in packed}
    found = {path for package, folder in folders.items() for name in packed[package] for path in folder.glob(name)}
    files = [path for path in (ROOT / "scripts").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert len(files) > 5 and set(files) <= found
