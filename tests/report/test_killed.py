"""Runs that are killed, or meet a full disk, over a finished one, or start together: nothing is lost or mixed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from scripts import REPOSITORY
from scripts.report import chain
from tests.report.test_chain import OPEN, content, execute, save

pytestmark = pytest.mark.slow
CODE = """\
import sys
from pathlib import Path
from scripts import __main__
from scripts.report import chain, kernel
kernel.SLOW_MODULES = []
chain.NOTEBOOKS = Path(sys.argv.pop(1))
chain.plan.__defaults__ = (chain.NOTEBOOKS,)
sys.exit(__main__.main(sys.argv[1:]))
"""
NEW_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
STEP = """
import time
import pandas as pd
{read}
time.sleep(0.4)
run.save({name}=pd.DataFrame({{"k": [k] * 1000}}))
"""


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """Three notebooks, each of which reads the table of the one before, and one beside them."""
    folder = tmp_path_factory.mktemp("notebooks")
    for stem, name, read in [
        ("01_data", "one", ""),
        ("02_visualize", "two", 'run.load_table("one.csv")'),
        ("03_train", "three", 'run.load_table("two.csv")'),
    ]:
        save(folder / f"{stem}.ipynb", 'run_dir = "lab"\nk = 1', OPEN.format(stem) + STEP.format(name=name, read=read))
    beside = OPEN.format("appendix_planted_truth") + STEP.format(name="planted", read="")
    save(folder / "appendix_planted_truth.ipynb", 'run_dir = "lab"\nk = 1', beside, independent=True)
    return folder


def start(notebooks, reports, k, *more, before=(), env=None):
    (reports.parent / f"{k}.yaml").write_text(f"k: {k}")
    command = [*before, sys.executable, "-c", CODE, str(notebooks), "report", "--dataset=krumsiek11", "--run=x", *more]
    command += [f"--reports={reports}", f"--params={reports.parent / f'{k}.yaml'}"]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=REPOSITORY, env=env, **piped)


def end(process):
    out, err = process.communicate(timeout=300)
    return process.returncode, err.splitlines(), out


def results(folder):
    """Everything but what holds times of execution."""
    return {name: text for name, text in content(folder).items() if not name.endswith((".ipynb", ".html", ".json"))}


def runs_in(reports):
    """What lies in the folder of all runs, beside the appendices that are kept there: nothing but those, whole ones."""
    kept = reports / ".appendices"
    assert not kept.exists() or all(path.name.startswith("appendix") for path in kept.iterdir())
    return [path.name for path in reports.iterdir() if path != kept]


@pytest.fixture(scope="module")
def uninterrupted(notebooks, tmp_path_factory):
    """Results of whole runs for k = 1 and 2, the folder of the first, and how long the second took over it."""
    reports = tmp_path_factory.mktemp("whole") / "reports"
    found = {}
    for k in (1, 2):
        begin = time.monotonic()
        status, said, _ = end(start(notebooks, reports, k))
        assert status == 0, said
        found[k] = results(reports / "x")
        if k == 1:
            shutil.copytree(reports / "x", reports.parent / "finished")
    return found, reports.parent / "finished", time.monotonic() - begin


@pytest.mark.parametrize(
    ("sent", "moment"),
    [*((signal.SIGKILL, place / 12) for place in range(12)), *((signal.SIGTERM, p / 5) for p in range(5))],
)
def test_a_run_that_is_killed_leaves_the_finished_one_and_is_resumed(notebooks, uninterrupted, tmp_path, sent, moment):
    expected, finished, seconds = uninterrupted
    reports = tmp_path / "reports"
    shutil.copytree(finished, reports / "x")
    before = content(reports / "x")
    process = start(notebooks, reports, 2)
    time.sleep(0.5 + moment * seconds)
    process.send_signal(sent)
    status, said, _ = end(process)
    if results(reports / "x") == expected[2]:  # it was done before the signal came
        return
    assert status and content(reports / "x") == before
    if sent == signal.SIGTERM and said:  # else it came before the program had started
        assert status == 130 and said[-1].startswith("error: interrupted")
    status, said, _ = end(start(notebooks, reports, 2))
    assert status == 0, said
    assert results(reports / "x") == expected[2]
    assert runs_in(reports) == ["x"]  # no lock, nothing aside, no log


@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_of_two_runs_into_one_folder_one_says_who_holds_it(notebooks, uninterrupted, tmp_path, lag):
    reports = tmp_path / "reports"
    first = start(notebooks, reports, 1)
    time.sleep(lag)
    second = start(notebooks, reports, 2)
    ends = {1: end(first), 2: end(second)}
    winner = next(k for k, (status, *_) in ends.items() if status == 0)
    status, said, _ = ends[3 - winner]
    if status == 0:  # the first was done when the second began
        winner = 2
    else:
        assert status == 2 and re.search(r"is being written by (process \d+|another process): wait for it", said[-1])
    assert results(reports / "x") == uninterrupted[0][winner]
    assert runs_in(reports) == ["x"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_was_done_of_a_new_run_is_kept_and_not_done_again(notebooks, tmp_path, sent):
    reports = tmp_path / "reports"
    process = start(notebooks, reports, 1)
    known = reports / ".x.unfinished" / "ledger.json"
    while not (known.exists() and "02_visualize.ipynb" in known.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(sent)
    status, said, _ = end(process)
    if sent != signal.SIGKILL:
        kept = f"what is done lies in {known.parent}: start again to go on from there"
        assert (status, said[-1]) == (130, f"error: interrupted; {kept}")
        assert runs_in(reports) == [known.parent.name]  # no lock, no file of a kernel
        assert not list(known.parent.glob(".*"))
    assert not (reports / "x").exists()
    status, said, _ = end(start(notebooks, reports, 1))
    assert status == 0 and not any("01_data" in line or "02_visualize" in line for line in said)
    assert any("03_train" in line for line in said)
    assert runs_in(reports) == ["x"]


CELLS = """
import anndata, numpy, scipy.sparse
values = scipy.sparse.random(1000, 300, 0.1, random_state=k, format="csr")
run.save(cells=anndata.AnnData(values, layers={"counts": values.copy()}))
"""
ON_SMALL_DISK = """\
mount -t tmpfs -o size="$ROOM" tmpfs "$REPORTS" || exit 99
cp -r "$FINISHED" "$REPORTS/x"
"$@"
status=$?
cp -r "$REPORTS/." "$LEFT"
exit $status
"""


@pytest.fixture(scope="module")
def cells_run(tmp_path_factory):
    """Notebooks that save cells and read them, and a finished run of them."""
    trial = [*NEW_MOUNTS, 'mount -t tmpfs tmpfs "$0"', str(tmp_path_factory.mktemp("trial"))]
    if not shutil.which("unshare") or subprocess.run(trial, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a small disk; tests/report/test_files.py stands in")
    folder = tmp_path_factory.mktemp("cells") / "notebooks"
    folder.mkdir()
    save(folder / "01_data.ipynb", 'run_dir = "lab"\nk = 1', OPEN.format("01_data") + CELLS)
    look = OPEN.format("02_look") + "run.load_cells()\nrun.save()\nprint('0' * 1_500_000)"
    save(folder / "02_look.ipynb", 'run_dir = "lab"\nk = 1', look)
    status, said, _ = end(start(folder, folder.parent / "reports", 1))
    assert status == 0, said
    return folder, folder.parent / "reports" / "x"


@pytest.mark.parametrize(
    ("kilobytes", "name"),
    [(0, "ledger.json"), (8, ""), (12, ""), (1000, "cells.h5ad"), (2000, "02_look.ipynb"), (3000, "02_look.html")],
)
def test_a_full_disk_is_one_line_and_leaves_the_finished_run(cells_run, tmp_path, kilobytes, name):
    notebooks, finished = cells_run
    reports, left = tmp_path / "reports", tmp_path / "left"
    for folder in (reports, left):
        folder.mkdir()
    kilobytes += sum(-(-path.stat().st_size // 4096) * 4 for path in finished.iterdir())
    where = {"ROOM": f"{kilobytes}k", "REPORTS": str(reports), "FINISHED": str(finished), "LEFT": str(left)}
    process = start(notebooks, reports, 2, before=[*NEW_MOUNTS, ON_SMALL_DISK, "sh"], env=os.environ | where)
    status, said, _ = end(process)
    assert status == 1, said
    full = rf"error: .*{name} could not be written \(the disk is full: make room and start again\); .*x is as it was"
    assert re.match(full, said[-1]) and content(left / "x") == content(finished)
    kept = {"x", ".x.unfinished"} if name.startswith("02") else {"x"}  # of the others, no notebook was done
    assert {path.name for path in left.iterdir()} == kept


def test_a_signal_while_a_run_takes_its_place_comes_too_late(notebooks, tmp_path, monkeypatch):
    put = chain._put_in_place

    def disturbed(chosen):
        signal.raise_signal(signal.SIGINT)
        put(chosen)

    monkeypatch.setattr(chain, "_put_in_place", disturbed)
    assert execute(chain.plan("krumsiek11", "x", None, str(tmp_path / "reports"), notebooks)).exists()
