"""Run folders: files whole or not at all, and a ledger that knows what was made from what."""

import csv
import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scripts import REPOSITORY
from scripts.errors import InputError, MissingError
from scripts.report import ledger
from scripts.report.ledger import Ledger
from scripts.report.run import MAKERS, Run, holding, open_run


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "reports" / "first"


def notebook(folder, stem, **settings):
    """The run, as a notebook has opened it."""
    return Run(folder, stem, settings)


def cells(value=1.0):
    return AnnData(np.full((3, 2), value, np.float32), var=pd.DataFrame(index=["a", "b"]))


class Model:
    """Writes itself, as fitted forms do."""

    def __init__(self, text):
        self.text = text

    def save(self, path):
        path.write_text(self.text)


@pytest.fixture
def filled(folder):
    """A run of four notebooks: 02 adds to the cells, 03 reads them, 04 reads the model and adds to the cells."""
    notebook(folder, "01_data", k=3).save(cells=cells(), facts={"data": "tiny: 3 cells"})
    look = notebook(folder, "02_visualize", seed=1)
    look.save(cells=look.load_cells())
    train = notebook(folder, "03_train", lr=0.1)
    train.load_cells()
    train.save(model=Model("fitted"), history=pd.DataFrame({"epoch": [1]}))
    read = notebook(folder, "04_interpret", n_pairs=50)
    adata = read.load_cells()
    read.need("model.safetensors")
    read.save(cells=adata, modules=pd.DataFrame({"gene": ["NA", "7"], "loading": [0.1 + 0.2, np.nan]}))
    return folder


def test_failing_writer_leaves_the_old_file_and_nothing_aside(folder):
    run = Run(folder)
    run.write_text("history.csv", "old")

    def half(path):
        path.write_text("hal")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InputError, match="history.csv could not be written .the disk is full"):
        run.write("history.csv", half)
    assert [path.name for path in run.folder.iterdir()] == ["history.csv"]
    assert run.path("history.csv").read_text() == "old"


@pytest.mark.parametrize(("name", "maker"), MAKERS.items())
def test_need_names_the_file_and_the_notebook(folder, name, maker):
    with pytest.raises(MissingError) as raised:
        Run(folder).need(name)
    message = str(raised.value)
    assert str(folder / name) in message and f"run {maker}.ipynb first" in message and "\n" not in message


def test_settings_and_key_figures_are_recorded_in_plain_types(folder):
    notebook(folder, "03_train", k=np.int64(3), file=Path("a/b"), rates=(np.float32(0.5),), none=None).save()
    notebook(folder, "01_data", seed=0).save(
        facts={"data": "d"}, key_figures={"MAE": np.float64(0.25)}, alerts=["mind"]
    )
    settings = Run(folder).settings()
    assert settings["notebooks"] == {
        "01_data": {"seed": 0, "data": "d"},
        "03_train": {"k": 3, "file": "a/b", "rates": [0.5], "none": None},
    }
    assert list(settings["notebooks"]) == ["01_data", "03_train"]
    assert settings["key_figures"] == {"01_data": {"MAE": 0.25}, "03_train": {}}
    assert settings["alerts"] == {"01_data": ["mind"], "03_train": []}
    assert {"python", "torch", "scanpy", "gseapy"} <= settings["versions"].keys()


def test_many_that_save_at_once_lose_nothing(folder):
    code = """if True:
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from scripts.report import Run
        def save(number):
            Run(sys.argv[1], f"{sys.argv[2]} {number}", {"number": number}).save(key_figures={"number": number})
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(save, range(6)))
    """

    def start(process):
        command = [sys.executable, "-c", code, str(folder), str(process)]
        return subprocess.run(command, cwd=REPOSITORY, check=True, timeout=300)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(start, range(3)))
    expected = {f"{process} {number}" for process in range(3) for number in range(6)}
    settings = Run(folder).settings()
    assert set(settings["notebooks"]) == set(settings["key_figures"]) == set(Ledger.load(folder).notebooks) == expected
    assert sorted(path.name for path in folder.iterdir()) == ["ledger.json", "params.yaml"]
    assert [path.name for path in folder.parent.iterdir()] == ["first"]  # no lock is left


def test_tables_come_back_as_they_were(filled):
    frame = pd.DataFrame({"gene": ["NA", "7"], "loading": [0.1 + 0.2, np.nan]})
    pd.testing.assert_frame_equal(Run(filled).load_table("modules.csv"), frame, check_exact=True)


FORMULAS = [
    "=cmd|' /C calc'!A0",
    "-1",
    "+x",
    "@x",
    "\tx",
    "\rx",
    "＝1",
    "'",
    "'=x",
    "''",
    '"=x"',
    "NA",
    "Gapdh",
    "a, b",
]


@pytest.mark.parametrize("is_safe", [False, True])
def test_names_that_spreadsheets_would_compute_come_back_as_they_were(folder, is_safe):
    names = FORMULAS if is_safe else [name for name in FORMULAS if "\r" not in name]
    numbers = np.linspace(-1, 1, len(names), dtype=np.float32)
    frame = pd.DataFrame({"gene": names, "loading": numbers, "rank": -np.arange(len(names)), "trusted": numbers > 0})
    frame["genes"], frame["low"] = [f"{name} Actb" for name in names], np.where(numbers > 0, -0.1, np.nan)
    frame["pole"] = pd.Categorical(["-"] * len(names))
    notebook(folder, "01_data", csv_safe=is_safe).save()
    notebook(folder, "04_interpret").save(modules=frame)
    found = Run(folder).load_table("modules.csv")
    shortest = [float(str(number)) for number in numbers]  # that give the same in single precision
    expected = frame.astype({"pole": object}).assign(loading=shortest)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    with (folder / "modules.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rank"] for row in rows] == [str(rank) for rank in frame["rank"]]  # numbers are as they are
    harmful = [row for row in rows for column in ("gene", "genes", "pole") if row[column][0] in "=+-@\t\r＝"]
    assert not harmful if is_safe else harmful


def test_a_file_that_the_ledger_does_not_know_is_refused(filled):
    (filled / "pairs.csv").write_text("gene_i,gene_j\n")
    with pytest.raises(InputError, match=r"pairs.csv is not of this run .*; run 04_interpret.ipynb again"):
        Run(filled).load_table("pairs.csv")


def test_what_is_older_than_its_source_is_refused_with_the_notebook_to_run(filled):
    notebook(filled, "01_data", k=4).save(cells=cells(2.0))
    with pytest.raises(
        InputError, match=r"model.safetensors is older than what 01_data.* since; run 03_train.ipynb again"
    ):
        notebook(filled, "04_interpret").need("model.safetensors")
    again = notebook(filled, "03_train", lr=0.1)
    again.load_cells()  # what 02 had added is gone with the old cells, and asks for nothing
    again.save(model=Model("fitted again"))
    assert notebook(filled, "04_interpret").need("model.safetensors").read_text() == "fitted again"
    with pytest.raises(
        InputError, match=r"modules.csv is older than what 01_data.* since; run 04_interpret.ipynb again"
    ):
        notebook(filled, "06_go_terms").load_table("modules.csv")


def test_equal_settings_make_equal_ids_and_nothing_stale(filled):
    before = Ledger.load(filled)
    notebook(filled, "01_data", k=3).save(cells=cells(), facts={"data": "tiny: 3 cells"})
    after = Ledger.load(filled)
    assert {stem: after.id_of(stem) for stem in after.notebooks} == {
        stem: before.id_of(stem) for stem in before.notebooks
    }
    assert notebook(filled, "04_interpret").need("model.safetensors").exists()


def test_files_from_outside_are_part_of_the_id(folder, tmp_path):
    source = tmp_path / "genes.gmt"

    def saved(text):
        source.write_text(text)
        run = notebook(folder, "06_go_terms")
        run.uses([source])
        run.save()
        return Ledger.load(folder).id_of("06_go_terms")

    first = saved("one")
    assert saved("another") != first and saved("one") == first


def test_a_run_that_is_held_says_by_whom(folder):
    code = f"""if True:
        import sys, pathlib
        from scripts.report.run import holding
        with holding(pathlib.Path({str(folder)!r})):
            print("held", flush=True)
            sys.stdin.read()
    """
    held = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert held.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=f"first is being written by process {held.pid}: wait for it"):
            open_run("01_data", {"run_dir": str(folder)})
    finally:
        held.communicate(timeout=60)
    with holding(folder):
        pass
    assert not folder.parent.exists()  # neither lock nor folder is left


def test_opening_a_run_checks_and_converts_the_parameters(folder):
    names = {"run_dir": str(folder), "k_neighbors": "12", "log1p": "false", "other": object()}
    run = open_run("01_data", names)
    assert names["k_neighbors"] == 12 and names["log1p"] is False and run.parameters["log1p"] is False
    assert "run_dir" not in run.parameters and "other" not in run.parameters
    with pytest.raises(InputError, match="setting 'k_neighbors': expected at least 1, found 0"):
        open_run("01_data", names | {"k_neighbors": 0})


def test_only_folders_of_this_program_count_as_made_here(filled, tmp_path):
    (tmp_path / "link").symlink_to(filled)
    (tmp_path / "plain").mkdir()
    assert ledger.is_made_here(filled)
    assert not ledger.is_made_here(tmp_path / "link") and not ledger.is_made_here(tmp_path / "plain")
