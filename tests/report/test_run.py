"""Run folders and the chain of notebooks."""

import io
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from scripts import REPOSITORY, __main__
from scripts.report import chain
from scripts.report.chain import NotebookFailed
from scripts.report.run import ASIDE, MAKERS, Run

FIRST = 'from scripts.report import Run\nRun(run_dir).record("01_data", {"data": "tiny: 2 cells", "k": k, "lr": lr})'
MEET = """\
import pathlib, time
pathlib.Path(mine).touch()
end = time.monotonic() + 600
while not pathlib.Path(other).exists():
    assert time.monotonic() < end, "the other notebook does not run at the same time"
    time.sleep(0.05)
"""
SECOND = 'import plotly.express as px\npx.bar(x=["a"], y=[1], title="One bar")'


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "reports" / "first")


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder of two notebooks, on a data set that always resolves."""
    source = SimpleNamespace(name="tiny", reason="tiny: asked for by name", source="/data/tiny.h5ad")
    monkeypatch.setattr("scripts.sources.resolve", lambda name: source)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    save(folder / "01_data.ipynb", 'dataset = "auto"\nrun_dir = ""\nk = 3  # neighbours\nlr = 0.5  # rate', FIRST)
    save(folder / "02_look.ipynb", 'run_dir = ""\nlr = 0.1', SECOND)
    return folder


def save(path, parameters, code, **metadata):
    cells = [new_markdown_cell(f"# About {path.stem}"), new_code_cell(parameters), new_code_cell(code)]
    cells[1].metadata.tags = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel, **metadata}), path)


def plan(notebooks, params=None, name=None):
    return chain.plan("tiny", name, params, "reports", notebooks)


def test_failing_writer_leaves_the_old_file_and_nothing_aside(run):
    run.write("history.csv", lambda path: path.write_text("old"))

    def half(path):
        path.write_text("hal")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run.write("history.csv", half)
    assert [path.name for path in run.folder.iterdir()] == ["history.csv"]
    assert run.path("history.csv").read_text() == "old"


@pytest.mark.parametrize(("name", "maker"), MAKERS.items())
def test_need_names_the_file_and_the_notebook(run, name, maker):
    with pytest.raises(FileNotFoundError) as raised:
        run.need(name)
    message = str(raised.value)
    assert str(run.path(name)) in message and f"run {maker}.ipynb first" in message and "\n" not in message


def test_record_merges_plain_types(run):
    run.record("01_data", {"k": np.int64(3), "file": Path("a/b"), "rates": (np.float32(0.5),), "none": None})
    run.record("03_train", {"seed": 0})
    run.record_key_figures("02", {"MAE": np.float64(0.25)})
    run.record("03_train", {"seed": 1})
    settings = run.settings()
    assert settings["notebooks"] == {
        "01_data": {"k": 3, "file": "a/b", "rates": [0.5], "none": None},
        "03_train": {"seed": 1},
    }
    assert settings["key_figures"] == {"02": {"MAE": 0.25}}
    assert {"python", "torch", "scanpy", "gseapy"} <= settings["versions"].keys()


def test_many_that_record_at_once_lose_nothing(run):
    code = """if True:
        import sys
        from concurrent.futures import ThreadPoolExecutor
        from scripts.report.run import Run
        def record(number):
            Run(sys.argv[1]).record(f"{sys.argv[2]} {number}", {"number": number})
            Run(sys.argv[1]).record_key_figures(f"{sys.argv[2]} {number}", {"number": number})
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(record, range(8)))
    """

    def start(process):
        command = [sys.executable, "-c", code, str(run.folder), str(process)]
        return subprocess.run(command, cwd=REPOSITORY, check=True, timeout=600)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(start, range(3)))
    expected = {f"{process} {number}" for process in range(3) for number in range(8)}
    assert set(run.settings()["notebooks"]) == set(run.settings()["key_figures"]) == expected
    assert [path.name for path in run.folder.iterdir()] == ["params.yaml"]


def test_start_deletes_only_what_a_run_makes(run):
    run.folder.mkdir(parents=True)
    for name in [
        "cells.h5ad",
        "01_data.ipynb",
        "01_data.html",
        "index.html",
        ASIDE + "pairs.csv",
        "notes.ipynb",
        "my.csv",
    ]:
        run.path(name).write_text("x")
    run.start()
    assert sorted(path.name for path in run.folder.iterdir()) == ["my.csv", "notes.ipynb"]


def test_tables_come_back_as_they_were(run):
    frame = pd.DataFrame({"gene": ["NA", "7"], "loading": [0.1 + 0.2, np.nan], "rank": [1, 2]})
    run.save_table("modules.csv", frame)
    pd.testing.assert_frame_equal(run.load_table("modules.csv"), frame, check_exact=True)


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("cells.h5ad", Run.load_cells),
        ("params.yaml", Run.settings),
        ("modules.csv", lambda run: run.load_table("modules.csv")),
    ],
)
def test_damaged_files_are_named_with_the_remedy(run, name, load):
    run.write(name, lambda path: path.write_bytes(b'\xff\x00"'))
    with pytest.raises(ValueError, match=f"{name} is damaged or of another format; run .*ipynb again") as raised:
        load(run)
    assert "\n" not in str(raised.value)


def test_chain_fills_the_run_folder(notebooks, tmp_path):
    (tmp_path / "s.yaml").write_text("k: 5\nlr: 1e-3\n")
    run, steps, reason = plan(notebooks, "s.yaml")
    assert not run.folder.exists() and reason == "tiny: asked for by name"
    assert steps[0][1] == {"dataset": "/data/tiny.h5ad", "run_dir": str(run.folder.resolve()), "k": 5, "lr": 0.001}
    assert steps[1][1].keys() == {"run_dir", "lr"}
    chain.execute(run, steps)
    assert [path.name for path in run.notebooks()] == ["01_data.ipynb", "02_look.ipynb"]
    assert run.settings()["notebooks"]["01_data"] == {"data": "tiny: 2 cells", "k": 5, "lr": 0.001}
    output = nbformat.read(run.path("02_look.ipynb"), as_version=4).cells[-1].outputs[0]
    assert "application/vnd.plotly.v1+json" in output.data


def test_a_notebook_that_stops_leaves_no_half_written_file(notebooks, capsys):
    save(notebooks / "02_look.ipynb", 'run_dir = ""', 'raise ValueError("two\\nlines")')
    run, steps, _ = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^02_look: two lines$"):
        chain.execute(run, steps)
    assert sorted(path.name for path in run.folder.iterdir()) == ["01_data.ipynb", "params.yaml"]
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_in_the_first_notebook_shows_its_traceback_and_leaves_no_folder(notebooks, capsys):
    save(notebooks / "01_data.ipynb", 'run_dir = ""', "from scripts.report import Run\nRun(run_dir).start()\n1 / 0")
    run, steps, _ = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^01_data: ZeroDivisionError: division by zero$"):
        chain.execute(run, steps)
    assert "Traceback" in capsys.readouterr().err and not run.folder.exists()


def test_names_of_one_notebook_are_gone_in_the_next(notebooks):
    save(notebooks / "01_data.ipynb", 'run_dir = ""', "left = 1")
    save(notebooks / "02_look.ipynb", 'run_dir = ""', "left")
    run, steps, _ = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^02_look: NameError: name 'left' is not defined$"):
        chain.execute(run, steps)


@pytest.mark.parametrize("independent", [False, True])
def test_a_process_that_dies_stops_the_chain(notebooks, independent, capsys):
    save(notebooks / "02_look.ipynb", 'run_dir = ""', "import os\nos.kill(os.getpid(), 9)", independent=independent)
    run, steps, _ = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^02_look: Python died, perhaps for lack of memory$"):
        chain.execute(run, steps)
    assert all(" ... " in line for line in capsys.readouterr().err.splitlines())


def test_an_independent_notebook_runs_beside_the_others(notebooks, tmp_path, capsys):
    save(notebooks / "01_data.ipynb", f"mine = {str(tmp_path / 'a')!r}\nother = {str(tmp_path / 'b')!r}", MEET)
    save(
        notebooks / "03_alone.ipynb",
        f"mine = {str(tmp_path / 'b')!r}\nother = {str(tmp_path / 'a')!r}",
        MEET,
        independent=True,
    )
    run, steps, _ = plan(notebooks)
    chain.execute(run, steps)
    assert [path.name for path in run.notebooks()] == ["01_data.ipynb", "02_look.ipynb", "03_alone.ipynb"]
    lines = capsys.readouterr().err.splitlines()
    stems = ["[1/3] 01_data", "[2/3] 02_look", "[3/3] 03_alone"]
    assert [re.fullmatch(r"(.*) \.\.\. \d+ s", line)[1] for line in sorted(lines)] == stems


def test_the_first_notebook_keeps_what_an_independent_one_has_written(notebooks):
    wait = "import pathlib, time\nwhile not pathlib.Path(run_dir, '03_alone.ipynb').exists():\n    time.sleep(0.05)\n"
    save(notebooks / "01_data.ipynb", 'run_dir = ""', f"{wait}from scripts.report import Run\nRun(run_dir).start()")
    record = "from scripts.report import Run\nRun(run_dir).record('03_alone', {'a': 1})"
    save(notebooks / "03_alone.ipynb", 'run_dir = ""', record, independent=True)
    run, steps, _ = plan(notebooks)
    chain.execute(run, steps)
    assert len(run.notebooks()) == 3 and run.settings()["notebooks"] == {"03_alone": {"a": 1}}


def test_an_independent_notebook_that_fails_stops_the_chain(notebooks, tmp_path, monkeypatch):
    class Pool(ThreadPoolExecutor):
        def submit(self, *args, **kwargs):
            future = super().submit(*args, **kwargs)
            future.add_done_callback(lambda _: (tmp_path / "done").touch())
            return future

    monkeypatch.setattr(chain, "ThreadPoolExecutor", Pool)
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'done')!r}).exists():\n    time.sleep(0.05)"
    save(notebooks / "01_data.ipynb", 'run_dir = ""', wait)
    save(notebooks / "02_look.ipynb", 'run_dir = ""', "1 / 0")
    save(notebooks / "03_alone.ipynb", 'run_dir = ""', 'raise ValueError("not\\nplanted")', independent=True)
    run, steps, _ = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^03_alone: not planted$"):  # noticed before the second one starts
        chain.execute(run, steps)
    assert [path.name for path in run.folder.iterdir()] == ["01_data.ipynb"]


def test_an_independent_notebook_stops_with_the_others_and_leaves_nothing(notebooks, tmp_path, capsys):
    begun, ended, code = tmp_path / "begun", tmp_path / "ended", "import pathlib, time\n"
    wait = f"{code}while not pathlib.Path({str(begun)!r}).exists():\n    time.sleep(0.05)\nraise ValueError('no cells')"
    save(notebooks / "01_data.ipynb", 'run_dir = ""', wait)
    end = f"time.sleep(600)\npathlib.Path({str(ended)!r}).touch()"
    half = f"pathlib.Path(run_dir, '{ASIDE}planted.csv').touch()\npathlib.Path({str(begun)!r}).touch()\n"
    save(notebooks / "03_alone.ipynb", 'run_dir = ""', f"{code}{half}{end}", independent=True)
    run, steps, _ = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^01_data: no cells$"):
        chain.execute(run, steps)
    assert not run.folder.exists() and not ended.exists()
    assert not psutil.Process().children(recursive=True)
    assert all(" ... " in line for line in capsys.readouterr().err.splitlines())


def test_notebooks_that_are_all_independent_run_in_order(notebooks):
    for name in ["01_data", "02_look"]:
        save(notebooks / f"{name}.ipynb", 'run_dir = ""', "1 + 1", independent=True)
    run, steps, _ = plan(notebooks)
    chain.execute(run, steps)
    assert len(run.notebooks()) == 2


def test_lines_on_a_terminal_replace_the_running_one(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    seconds = 0
    monkeypatch.setattr(chain, "time", SimpleNamespace(monotonic=lambda: seconds))
    with chain.clock("[1/2] 01_data"):
        while "01_data ... 0 s" not in terminal.getvalue():
            time.sleep(0.05)
        with chain.clock("[2/2] 02_alone", is_beside=True):
            pass
        seconds = 1
        while "01_data ... 1 s" not in terminal.getvalue():
            time.sleep(0.05)
    erase = "\r\x1b[K"
    *running, last = terminal.getvalue().split(erase)[1:]
    zero, one, alone = "[1/2] 01_data ... 0 s", "[1/2] 01_data ... 1 s", "[2/2] 02_alone ... 0 s\n"
    assert last == f"{one}\n" and running.index(alone) > 0
    running.remove(alone)
    assert list(dict.fromkeys(running)) == [zero, one]  # again each second, however long the machine takes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kk: 3", "did you mean 'k'"),
        ("k: many", "setting 'k': expected a whole number, found 'many'"),
        ("k: 2.5", "setting 'k': expected a whole number"),
        ("k: true", "setting 'k': expected a whole number"),
        ("dataset: x", "'dataset' is set by --dataset"),
        ("- k", "expected lines such as"),
        ("k: [", "is no YAML file"),
    ],
)
def test_wrong_settings_are_one_line_and_nothing_is_made(notebooks, tmp_path, text, message):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ValueError, match=".*") as raised:
        plan(notebooks, "s.yaml")
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("name", ["../up", ".hidden", "", "a b", "a/b"])
def test_wrong_run_names(notebooks, name):
    with pytest.raises(ValueError, match="run name"):
        plan(notebooks, name=name)


@pytest.mark.parametrize("option", ["--run=../up", "--params=missing.yaml", "--unknown=1"])
def test_exit_status_of_wrong_options(tmp_path, option):
    command = [
        sys.executable,
        "-m",
        "scripts",
        "report",
        "--dataset=krumsiek11",
        f"--reports={tmp_path / 'r'}",
        option,
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "error: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and not (tmp_path / "r").exists()


@pytest.mark.slow
def test_interrupting_leaves_no_process_and_no_folder(tmp_path):
    command = [sys.executable, "-m", "scripts", "report", "--dataset=krumsiek11", f"--reports={tmp_path / 'r'}"]
    chained = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    try:
        assert chained.stderr.readline() == "bundled with scanpy, as named\n"
        while len(kernels := psutil.Process(chained.pid).children()) < 2:  # the second one is that of 07_planted_truth
            assert chained.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        chained.send_signal(signal.SIGINT)
        _, written = chained.communicate(timeout=60)
    finally:
        chained.kill()
    assert chained.returncode == 130 and written.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in written and not (tmp_path / "r" / "krumsiek11").exists()
    assert not any(kernel.is_running() for kernel in kernels)


def test_main_stops_its_kernel_and_tells_a_failed_notebook(notebooks, monkeypatch, capsys):
    monkeypatch.setattr(chain, "NOTEBOOKS", notebooks)
    monkeypatch.setattr("scripts.report.kernel.SLOW_MODULES", ["no_such_module"])
    monkeypatch.setattr(chain.plan, "__defaults__", (notebooks,))
    save(notebooks / "01_data.ipynb", 'run_dir = ""', 'raise ValueError("no\\ncells")')
    assert __main__.main(["report"]) == 1
    assert __main__.main(["report", "--run=../up"]) == 2
    reason, clock, failed, wrong = capsys.readouterr().err.splitlines()
    assert reason == "tiny: asked for by name" and clock.startswith("[1/2] 01_data ... ")
    assert failed == "error: 01_data: no cells" and wrong.startswith("error: run name '../up'")
    assert not psutil.Process().children(recursive=True) and not Path("reports/tiny").exists()
