"""Damaged and foreign files of a run folder: each is named with the notebook to run, and none is accepted."""

import json
import re
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml

from scripts import REPOSITORY
from scripts.errors import InputError
from scripts.models import BilinearForm
from scripts.report import pages
from scripts.report.run import MAKERS, Run
from tests.report.test_chain import save as save_notebook

GENES = ["Gata1", "NA", "7", "Spi1"]
# file -> the first notebook that reads it
READERS = {
    "params.yaml": "02_visualize",
    "cells.h5ad": "02_visualize",
    "scales.csv": "03_train",
    "model.safetensors": "04_interpret",
    "stability.csv": "04_interpret",
    "truncation.csv": "04_interpret",
    "modules.csv": "06_go_terms",
    "performance.csv": "06_go_terms",
    "noise.csv": "05_compare",
    "main_effects.csv": "06_go_terms",
    "pairs.csv": "06_go_terms",
    "comparison.csv": "06_go_terms",
}
TABLES = [name for name in READERS if name.endswith(".csv")]
COLUMNS = {  # of tables without genes and loadings
    "pairs.csv": ("gene_i", "t"),
    "performance.csv": ("model", "r2"),
    "noise.csv": ("model", "r2"),
}
CHAIN = ("01_data", "02_visualize", "03_train", "04_interpret", "05_compare")


def cells(seed):
    random = np.random.default_rng(seed)
    adata = ad.AnnData(random.random((12, 4), np.float32), var=pd.DataFrame(index=GENES))
    adata.obsm["X_freq"], adata.uns["freq_vals"] = random.random((12, 2)), np.array([0.1, 0.2])
    return adata


def form(seed, genes=GENES):
    random = np.random.default_rng(seed)
    return BilinearForm.from_factors(*random.random((2, 1, 4)), random.random((2, 1)), genes=genes)


def table(name, seed):
    text, number = COLUMNS.get(name, ("gene", "loading"))
    values = np.random.default_rng(seed).random(6)
    return pd.DataFrame({"frequency": [0, 0, 0, 1, 1, 1], text: ["NA", "7", "Spi1"] * 2, number: values})


def execute(folder, stem, seed=0):
    """What a notebook reads and saves, in small."""
    run = Run(folder, stem, {"seed": seed})
    if stem == "01_data":
        return run.save(cells=cells(seed), facts={"data": f"tiny {seed}"})
    adata = run.load_cells()
    if stem == "02_visualize":
        return run.save(cells=adata, scales=table("scales.csv", seed))
    if stem != "03_train":
        BilinearForm.load(run.need("model.safetensors"), adata.var_names)
    tables = {name.removesuffix(".csv"): table(name, seed) for name in TABLES if MAKERS[name] == stem}
    return run.save(model=form(seed) if stem == "03_train" else None, **tables)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two whole runs, alike but for the seed."""
    folders = [tmp_path_factory.mktemp("runs") / name for name in ("first", "other")]
    for seed, folder in enumerate(folders):
        for stem in CHAIN:
            execute(folder, stem, seed)
    return folders


@pytest.fixture
def filled(runs, tmp_path):
    return shutil.copytree(runs[0], tmp_path / "first")


@pytest.fixture
def other(runs):
    return runs[1]


def read(folder, name):
    """Read a file as the first notebook does that reads it."""
    run = Run(folder, READERS[name])
    if name == "params.yaml":
        return run.data
    if name == "cells.h5ad":
        return run.load_cells()
    if name == "model.safetensors":
        return BilinearForm.load(run.need(name), GENES)
    return run.load_table(name)


BYTES = {
    "empty": lambda content: b"",
    "cut after a tenth": lambda content: content[: len(content) // 10],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "last byte lost": lambda content: content[:-1],
    "first byte changed": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "byte in the middle changed": lambda content: (
        content[: (at := len(content) // 2)] + bytes([content[at] ^ 1]) + content[at + 1 :]
    ),
    "last byte changed": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "something added": lambda content: content + b"\n",
    "text": lambda content: b"no cells",
    "zeros": lambda content: bytes(len(content)),
}
# files that are whole in themselves, written by another hand
OF_TABLES = {
    "column renamed": lambda frame: frame.rename(columns={frame.columns[1]: "name"}),
    "column missing": lambda frame: frame.iloc[:, :2],
    "column added": lambda frame: frame.assign(more=1),
    "columns in another order": lambda frame: frame.iloc[:, ::-1],
    "number as text": lambda frame: frame.assign(frequency="coarse"),
    "half of the rows": lambda frame: frame.iloc[:3],
    "no rows": lambda frame: frame.iloc[:0],
    "last row lost": lambda frame: frame.iloc[:-1],
    "rows twice": lambda frame: pd.concat([frame, frame]),
    "rows reversed": lambda frame: frame.iloc[::-1],
    "genes in another order": lambda frame: frame.assign(**{frame.columns[1]: frame.iloc[::-1, 1].to_numpy()}),
    "values rounded": lambda frame: frame.round(3),
}
OF_CELLS = {
    "genes reversed": lambda adata: adata[:, ::-1].copy(),
    "names of genes reversed": lambda adata: ad.AnnData(adata.X, adata.obs, adata.var[::-1], obsm=dict(adata.obsm)),
    "genes cut": lambda adata: adata[:, :2].copy(),
    "cells cut": lambda adata: adata[:6].copy(),
    "cells in another order": lambda adata: adata[::-1].copy(),
    "no frequencies": lambda adata: ad.AnnData(adata.X, adata.obs, adata.var),
    "fewer frequencies": lambda adata: ad.AnnData(
        adata.X, adata.obs, adata.var, obsm={"X_freq": adata.obsm["X_freq"][:, :1]}, uns=adata.uns
    ),
    "values changed": lambda adata: ad.AnnData(2 * adata.X, adata.obs, adata.var, obsm=dict(adata.obsm)),
}
OF_MODELS = {
    "genes reversed": lambda old: BilinearForm(old.basis, old.core, old.main, old.constant, old.genes[::-1]),
    "genes of other cells": lambda old: form(0, ["a", "b", "c", "d"]),
    "fewer frequencies": lambda old: BilinearForm(old.basis, old.core[:1], old.main[:1], old.constant[:1], old.genes),
    "NaN": lambda old: BilinearForm(old.basis, np.nan * old.core, old.main, old.constant, old.genes),
    "turned basis": lambda old: BilinearForm(old.basis[::-1], old.core, old.main, old.constant, old.genes),
}
OF_PARAMS = {
    "setting changed": lambda record: record | {"notebooks": record["notebooks"] | {"03_train": {"seed": 9}}},
    "notebook missing": lambda record: record | {"notebooks": {"01_data": record["notebooks"]["01_data"]}},
    "no notebooks": lambda record: {"versions": record["versions"]},
    "a list": lambda record: list(record),
    "another order": lambda record: dict(reversed(record.items())),
}


def rewritten(name, change):
    """A file read, changed and written by another program."""

    def of(folder, other):
        path = folder / name
        if name.endswith(".csv"):
            change(Run(folder).load_table(name)).to_csv(path, index=False)
        elif name == "cells.h5ad":
            change(ad.read_h5ad(path)).write_h5ad(path)
        elif name == "model.safetensors":
            change(BilinearForm.load(path)).save(path)
        else:
            path.write_text(yaml.safe_dump(change(yaml.safe_load(path.read_text())), sort_keys=False))

    return of


def changed(name, change):
    return lambda folder, other: (folder / name).write_bytes(change((folder / name).read_bytes()))


def taken_from(name, source, of_other):
    def of(folder, other):
        path = (other if of_other else folder) / source
        content = path.read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(content)

    return of


def lost(name):
    return lambda folder, other: (folder / name).unlink()


def as_folder(name):
    def of(folder, other):
        (folder / name).unlink()
        (folder / name).mkdir()

    return of


def damages_of(name):
    """All damages of a file, by name: functions of the run folder and that of another run."""
    kinds = {"cells.h5ad": OF_CELLS, "model.safetensors": OF_MODELS, "params.yaml": OF_PARAMS}
    found = {kind: changed(name, change) for kind, change in BYTES.items()}
    of_kind = kinds.get(name, OF_TABLES if name.endswith(".csv") else {})
    found |= {kind: rewritten(name, change) for kind, change in of_kind.items()}
    for source in {"cells.h5ad", "params.yaml", "pairs.csv", "ledger.json"} - {name}:
        found[f"in truth {source}"] = taken_from(name, source, of_other=False)
    found["of another run"] = taken_from(name, name, of_other=True)
    found["a folder"] = as_folder(name)
    found["lost"] = lost(name)
    return found


DAMAGES = {(name, kind): make for name in READERS for kind, make in sorted(damages_of(name).items())}


def test_these_are_the_files_that_notebooks_read():
    found, calls = {"params.yaml", "cells.h5ad"}, r'run\.(?:need|load_table)\(\\"([^"\\]+)\\"\)'
    for path in (REPOSITORY / "notebooks").glob("*.ipynb"):
        found |= set(re.findall(calls, path.read_text(encoding="utf-8")))
    assert found == set(READERS) and len(DAMAGES) >= 86


def test_what_is_whole_is_read(filled):
    for name in READERS:
        read(filled, name)


@pytest.mark.parametrize("ledger", ["with", "without"])
@pytest.mark.parametrize(("name", "damage"), [pytest.param(*pair, id=" ".join(pair)) for pair in DAMAGES])
def test_a_damaged_or_foreign_file_is_named_with_the_notebook_to_run(filled, other, name, damage, ledger):
    DAMAGES[name, damage](filled, other)
    if ledger == "without":
        (filled / "ledger.json").unlink()
    with pytest.raises(InputError) as raised:
        read(filled, name)
    line = str(raised.value)
    assert line.startswith(str(filled / name)) and f"run {MAKERS[name]}.ipynb" in line and len(line.splitlines()) == 1


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("ledger", ["lost", "of another run"])
def test_whole_files_without_a_ledger_of_theirs_are_not_accepted(filled, other, name, ledger):
    (filled / "ledger.json").unlink()
    if ledger == "of another run":
        shutil.copy(other / "ledger.json", filled)
    with pytest.raises(InputError, match=f"{name} is .*; run {MAKERS[name]}.ipynb again"):
        read(filled, name)


def entry_without(key):
    def change(text):
        content = json.loads(text)
        content["files"]["cells.h5ad"].pop(key)
        return json.dumps(content)

    return change


LEDGERS = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "text": lambda text: "no ledger",
    "a list": lambda text: "[]",
    "of another program": lambda text: text.replace("bilinear frequencies", "something else"),
    "no files": lambda text: text.replace('"files"', '"fils"'),
    "files without entries": lambda text: re.sub(r'"files": \{.*\}, "pages"', '"files": {"a": 1}, "pages"', text),
    "entry of another form": lambda text: text.replace('"reads"', '"read"'),
    **{f"entry without {key}": entry_without(key) for key in ("sha256", "maker", "parts")},
}


@pytest.mark.parametrize("damage", LEDGERS)
def test_a_damaged_ledger_is_named(filled, damage):
    path = filled / "ledger.json"
    text = json.dumps(json.loads(path.read_text()))  # on one line
    assert LEDGERS[damage](text) != text
    path.write_text(LEDGERS[damage](text))
    with pytest.raises(InputError, match="ledger.json is damaged or of another program: run 01_data.ipynb again"):
        Run(filled).load_cells()


@pytest.mark.parametrize("damage", ["empty", "of another run", "lost"])
@pytest.mark.parametrize("name", [*READERS, "ledger.json"])
def test_the_remedy_that_is_named_mends_the_run(filled, other, name, damage):
    damages_of(name)[damage](filled, other)
    for _ in range(12):  # a notebook may name another one first
        try:
            for each in READERS:
                read(filled, each)
            break
        except InputError as error:
            stem = re.search(r"run (\w+).ipynb", str(error))[1]
        try:
            execute(filled, stem)
        except InputError as error:
            execute(filled, re.search(r"run (\w+).ipynb", str(error))[1])
    for each in READERS:
        read(filled, each)
    assert read(filled, "params.yaml") == "tiny 0" and Run(filled).of("01_data")["seed"] == 0


@pytest.mark.parametrize("content", ["", "text", "{}", "[]", "null", '{"cells": [', '{"nbformat": 4, "cells": [3]}'])
def test_pages_name_an_executed_notebook_that_is_none(filled, content):
    save_notebook(filled / "01_data.ipynb", "k = 3", "1 + 1")
    (filled / "02_visualize.ipynb").write_text(content)
    with pytest.raises(InputError, match="02_visualize.ipynb is damaged or no notebook; run 02_visualize.ipynb again"):
        pages.write_pages(Run(filled))
