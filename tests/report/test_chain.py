"""The chain of notebooks: built aside, taken over where nothing changed, put in place when done."""

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest

from scripts import REPOSITORY, __main__
from scripts.errors import InputError, NotebookFailed
from scripts.report import chain, ledger
from scripts.report.ledger import Ledger
from scripts.report.run import ASIDE, Run, holding
from tests.report.tiny_chain import FIRST, OPEN, SECOND, content, execute, executed, plan, save, tiny_notebooks

pytestmark = pytest.mark.slow
MEET = """\
import pathlib, time
pathlib.Path(mine).touch()
end = time.monotonic() + 60
while not pathlib.Path(other).exists():
    assert time.monotonic() < end, "the other notebook does not run at the same time"
    time.sleep(0.05)
"""


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder of two notebooks, on a data set that always resolves."""
    return tiny_notebooks(tmp_path, monkeypatch)


def test_chain_fills_the_run_folder(notebooks, tmp_path):
    (tmp_path / "s.yaml").write_text("k: 5\nlr: 1e-3\n")
    chosen = plan(notebooks, "s.yaml")
    assert not chosen.folder.exists() and chosen.reason == "tiny: asked for by name"
    assert chosen.steps[0].settings == {"dataset": "/data/tiny.h5ad", "k": 5, "lr": 0.001}
    assert chosen.steps[1].settings == {"lr": 0.001}
    assert execute(chosen) == tmp_path / "reports" / "tiny" / "index.html"
    run = Run(chosen.folder)
    assert [path.name for path in run.notebooks()] == ["01_data.ipynb", "02_look.ipynb"]
    recorded = run.settings()["notebooks"]["01_data"]
    assert recorded == {"dataset": "/data/tiny.h5ad", "data": "tiny: 2 cells", "k": 5, "lr": 0.001}
    output = nbformat.read(run.path("02_look.ipynb"), as_version=4).cells[-1].outputs[0]
    assert "application/vnd.plotly.v1+json" in output.data
    made = {
        "01_data.ipynb",
        "01_data.html",
        "02_look.ipynb",
        "02_look.html",
        "index.html",
        *("ledger.json", "params.yaml", "plotly.css", "story.csv"),
    }
    assert {path.name for path in chosen.folder.iterdir()} == made
    assert [path.name for path in chosen.folder.parent.iterdir()] == ["tiny"]  # no lock, nothing aside
    assert "<title>tiny" in run.path("index.html").read_text() or "tiny" in run.path("index.html").read_text()


def test_nothing_is_executed_again_that_has_not_changed(notebooks, tmp_path, capsys):
    execute(plan(notebooks))
    assert executed(capsys) == ["01_data", "02_look"]
    before = content(tmp_path / "reports" / "tiny")
    execute(plan(notebooks))
    assert executed(capsys) == [] and content(tmp_path / "reports" / "tiny") == before
    (tmp_path / "s.yaml").write_text("lr: 0.2")
    execute(plan(notebooks, "s.yaml"))
    assert executed(capsys) == ["01_data", "02_look"]  # both have it
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"\nlr = 0.1', SECOND + " ")
    execute(plan(notebooks, "s.yaml"))
    assert executed(capsys) == ["02_look"]
    execute(plan(notebooks, "s.yaml"), force=True)
    assert executed(capsys) == ["01_data", "02_look"]


def test_what_reads_a_notebook_that_changed_is_executed_again(notebooks, tmp_path, capsys):
    code = FIRST + "\nimport pandas as pd\nrun.save(table=pd.DataFrame({'k': [k]}))"
    save(notebooks / "01_data.ipynb", 'run_dir = "lab"\nk = 3', code)
    read = OPEN.format("02_look") + 'run.load_table("table.csv")\nrun.save()'
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"', read)
    save(notebooks / "03_alone.ipynb", 'run_dir = "lab"', "1 + 1")
    execute(plan(notebooks))
    (tmp_path / "s.yaml").write_text("k: 4")
    executed(capsys)
    execute(plan(notebooks, "s.yaml"))
    assert executed(capsys) == ["01_data", "02_look"]
    table = Path("reports/tiny/table.csv")
    table.write_text(table.read_text() + "5\n")  # a file that was changed by hand is made again
    execute(plan(notebooks, "s.yaml"))
    assert executed(capsys)[0] == "01_data" and table.read_text() == "k\n4\n"


def test_a_notebook_that_stops_leaves_the_finished_run_as_it_was(notebooks, tmp_path, capsys):
    execute(plan(notebooks))
    before = content(tmp_path / "reports" / "tiny")
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"', 'raise ValueError("two\\nlines")')
    (tmp_path / "s.yaml").write_text("k: 5")
    chosen = plan(notebooks, "s.yaml")
    with pytest.raises(NotebookFailed, match=r"^02_look: ValueError: two lines \(traceback in .*tiny.log\)$"):
        execute(chosen)
    assert content(chosen.folder) == before
    assert "two" in (chosen.folder.parent / "tiny.log").read_text() and "Traceback" not in capsys.readouterr().err
    assert str(chosen.aside) in chain.unfinished(chosen) and "as it was" in chain.unfinished(chosen)
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"\nlr = 0.1', SECOND)
    execute(plan(notebooks, "s.yaml"))
    assert executed(capsys) == ["02_look"]  # 01 was done before the other stopped
    assert Run(chosen.folder).settings()["notebooks"]["01_data"]["k"] == 5
    assert [path.name for path in chosen.folder.parent.iterdir()] == ["tiny"]


def test_errors_that_a_user_can_mend_have_no_log(notebooks):
    save(
        notebooks / "01_data.ipynb",
        'run_dir = "lab"',
        'from scripts.errors import InputError\nraise InputError("no\\ncells")',
    )
    chosen = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^01_data: no cells$"):
        execute(chosen)
    assert chain.unfinished(chosen) == "" and not Path("reports").exists()


def test_names_of_one_notebook_are_gone_in_the_next(notebooks):
    save(notebooks / "01_data.ipynb", 'run_dir = "lab"', "left = 1")
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"', "left")
    with pytest.raises(NotebookFailed, match="^02_look: NameError: name 'left' is not defined"):
        execute(plan(notebooks))


def test_options_of_pandas_are_gone_in_the_next(notebooks):
    save(
        notebooks / "01_data.ipynb",
        'run_dir = "lab"',
        "import pandas as pd\npd.options.display.float_format = '{:.0f}'.format",
    )
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"', "import pandas as pd\npd.Series([0.25])")
    chosen = plan(notebooks)
    execute(chosen)
    output = nbformat.read(chosen.folder / "02_look.ipynb", as_version=4).cells[-1].outputs[0]
    assert "0.25" in output.data["text/plain"]


@pytest.mark.parametrize("independent", [False, True])
def test_a_process_that_dies_stops_the_chain(notebooks, independent, capsys):
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"', "import os\nos.kill(os.getpid(), 9)", independent=independent)
    with pytest.raises(NotebookFailed, match="^02_look: Python died, perhaps for lack of memory$"):
        execute(plan(notebooks))
    assert all(" ... " in line for line in capsys.readouterr().err.splitlines())


def test_an_independent_notebook_runs_beside_the_others(notebooks, tmp_path, capsys):
    save(notebooks / "01_data.ipynb", f"mine = {str(tmp_path / 'a')!r}\nother = {str(tmp_path / 'b')!r}", MEET)
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"', "1 + 1")
    alone = f"mine = {str(tmp_path / 'b')!r}\nother = {str(tmp_path / 'a')!r}"
    save(notebooks / "appendix_alone.ipynb", alone, MEET, independent=True)
    chosen = plan(notebooks)
    execute(chosen)
    names = ["01_data.ipynb", "02_look.ipynb", "appendix_alone.ipynb"]
    assert [path.name for path in Run(chosen.folder).notebooks()] == names
    lines = [
        line for line in capsys.readouterr().err.splitlines() if not line.startswith("pages") and "begun" not in line
    ]
    stems = ["[1/3] 01_data", "[2/3] 02_look", "[3/3] appendix_alone"]
    assert [re.fullmatch(r"(.*) \.\.\. \d+ s", line)[1] for line in sorted(lines)] == stems


def test_an_independent_notebook_that_fails_stops_the_chain(notebooks):
    save(notebooks / "01_data.ipynb", 'run_dir = "lab"', "import time\ntime.sleep(4)")
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"', "1 / 0")
    code = 'from scripts.errors import InputError\nraise InputError("not\\nplanted")'
    save(notebooks / "appendix_alone.ipynb", 'run_dir = "lab"', code, independent=True)
    chosen = plan(notebooks)
    with pytest.raises(NotebookFailed, match="^appendix_alone: not planted$"):  # noticed before the second one starts
        execute(chosen)
    assert "01_data" in Ledger.load(chosen.aside).notebooks and not chosen.folder.exists()


def test_an_independent_notebook_stops_with_the_others_and_leaves_nothing(notebooks, tmp_path, capsys):
    begun, code = tmp_path / "begun", "import pathlib, time\n"
    wait = f"{code}while not pathlib.Path({str(begun)!r}).exists():\n    time.sleep(0.05)\n"
    stop = "from scripts.errors import InputError\nraise InputError('no cells')"
    save(notebooks / "01_data.ipynb", 'run_dir = "lab"', wait + stop)
    half = f"pathlib.Path(run_dir, '{ASIDE}planted.csv').touch()\npathlib.Path({str(begun)!r}).touch()\n"
    save(notebooks / "appendix_alone.ipynb", 'run_dir = "lab"', f"{code}{half}time.sleep(600)", independent=True)
    with pytest.raises(NotebookFailed, match="^01_data: no cells$"):
        execute(plan(notebooks))
    assert not Path("reports").exists() and not psutil.Process().children(recursive=True)
    assert all(" ... " in line for line in capsys.readouterr().err.splitlines())


def test_notebooks_that_are_all_independent_run_in_order(notebooks):
    for name in ["01_data", "02_look"]:
        save(notebooks / f"{name}.ipynb", 'run_dir = "lab"', "1 + 1", independent=True)
    chosen = plan(notebooks)
    execute(chosen)
    assert len(Run(chosen.folder).notebooks()) == 2


def test_files_of_the_user_stay_in_the_run_folder(notebooks, tmp_path):
    chosen = plan(notebooks)
    execute(chosen)
    for name in ("notes.txt", "my.ipynb", "figure.html"):
        (chosen.folder / name).write_text(name)
    (chosen.folder / "more").mkdir()
    (chosen.folder / "more" / "x").touch()
    (tmp_path / "s.yaml").write_text("k: 5")
    execute(plan(notebooks, "s.yaml"))
    assert (chosen.folder / "notes.txt").read_text() == "notes.txt" and (chosen.folder / "more" / "x").exists()
    assert (chosen.folder / "my.ipynb").exists() and (chosen.folder / "figure.html").exists()
    assert [path.name for path in chosen.folder.parent.iterdir()] == ["tiny"]


@pytest.mark.parametrize("killed", ["before the new one came", "before the old one went"])
def test_a_replacement_that_was_killed_is_finished_or_undone(notebooks, killed):
    chosen = plan(notebooks)
    execute(chosen)
    before = content(chosen.folder)
    os.rename(chosen.folder, chosen.former)
    if killed == "before the old one went":
        execute(chosen)  # puts it back
        (chosen.folder / "note.txt").write_text("mine")
        before = content(chosen.folder)
        os.rename(chosen.folder, chosen.former)
        chosen.folder.mkdir()
        for name, text in before.items():
            if name != "note.txt":
                (chosen.folder / name).write_bytes(text)
    execute(chosen)
    assert content(chosen.folder) == before and not chosen.former.exists()


def test_what_is_not_the_programs_is_never_replaced(notebooks, tmp_path, monkeypatch):
    reports = tmp_path / "reports"
    (reports / "plain").mkdir(parents=True)
    (reports / "plain" / "thesis.txt").write_text("mine")
    (reports / "link").symlink_to(reports / "plain")
    (reports / "file").write_text("mine")
    for name, message in [
        ("plain", "holds files, but no run of this program"),
        ("link", "is a link"),
        ("file", "is a file"),
        ("..", "run name"),
        ("", "run name"),
        ("a/b", "run name"),
        (".hidden", "run name"),
        ("a\nb", "run name"),
    ]:
        with pytest.raises(InputError, match=message) as raised:
            plan(notebooks, name=name)
        assert "\n" not in str(raised.value)
    chosen = plan(notebooks, name="inside")
    execute(chosen)
    lies_inside = SimpleNamespace(name="x", reason="", source="", files=(chosen.folder / "cells.h5ad",))
    monkeypatch.setattr("scripts.sources.resolve", lambda name: lies_inside)
    with pytest.raises(InputError, match="cells.h5ad lies in .*inside, which the run would replace"):
        plan(notebooks, name="inside")
    unnamed = SimpleNamespace(name="..", reason="", source="", files=())  # of a file called "...h5ad"
    monkeypatch.setattr("scripts.sources.resolve", lambda name: unnamed)
    with pytest.raises(InputError, match="run name '..'.*name the run with --run"):
        plan(notebooks)
    assert (reports / "plain" / "thesis.txt").read_text() == "mine"


def test_the_notebooks_themselves_are_never_replaced(notebooks, tmp_path):
    with pytest.raises(InputError, match="holds files, but no run of this program"):
        chain.plan("tiny", "notebooks", None, str(tmp_path), notebooks)


def test_a_second_run_into_the_same_folder_says_who_holds_it(notebooks):
    chosen = plan(notebooks)
    with holding(chosen.folder), pytest.raises(InputError, match=f"being written by process {os.getpid()}: wait"):
        execute(chosen)
    execute(chosen)


def test_an_unfinished_folder_that_is_not_the_programs_is_left_alone(notebooks):
    chosen = plan(notebooks)
    chosen.aside.mkdir(parents=True)
    (chosen.aside / "x").write_text("mine")
    with pytest.raises(InputError, match="is in the way, and was not made by this program"):
        execute(chosen)
    assert (chosen.aside / "x").read_text() == "mine"


@pytest.mark.parametrize("killed", ["while files are taken over", "while the first file was written", "before it was"])
def test_a_run_that_was_killed_at_its_start_stands_in_nobodys_way(notebooks, monkeypatch, killed):
    chosen = plan(notebooks)
    execute(chosen)
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"\nlr = 0.1', SECOND + " ")
    if killed == "while files are taken over":

        def end(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(chain, "_leave", lambda chosen: None)  # which is not reached
            patched.setattr(os, "link", end)
            execute(plan(notebooks))
        assert ledger.is_made_here(chosen.aside)
    else:
        chosen.aside.mkdir()
        if killed == "while the first file was written":
            (chosen.aside / f"{ASIDE}ledger.json").write_text("{")
    execute(plan(notebooks))
    assert [path.name for path in chosen.folder.parent.iterdir()] == ["tiny"]
    assert not list(chosen.folder.glob(".*"))


@pytest.mark.parametrize("name", ["ledger.json", "params.yaml", "01_data.ipynb"])
def test_a_finished_run_that_was_damaged_is_made_again(notebooks, capsys, name):
    chosen = plan(notebooks)
    execute(chosen)
    whole = Run(chosen.folder).settings()
    content_of = (chosen.folder / name).read_bytes()
    (chosen.folder / name).write_bytes(content_of[: len(content_of) - 20])
    executed(capsys)
    execute(plan(notebooks))
    assert "01_data" in executed(capsys) and Run(chosen.folder).settings() == whole
    assert [path.name for path in chosen.folder.parent.iterdir()] == ["tiny"]


def test_main_says_in_one_line_what_failed(notebooks, monkeypatch, capsys):
    monkeypatch.setattr(chain, "NOTEBOOKS", notebooks)
    monkeypatch.setattr(chain.plan, "__defaults__", (notebooks,))
    save(
        notebooks / "01_data.ipynb",
        'run_dir = "lab"',
        'from scripts.errors import InputError\nraise InputError("no\\ncells")',
    )
    assert __main__.main(["report"]) == 1
    assert __main__.main(["report", "--run=../up"]) == 2
    monkeypatch.setattr("scripts.sources.resolve", lambda name: 1 / 0)
    assert __main__.main(["report"]) == 1
    reason, begun, clock, failed, wrong, fault = capsys.readouterr().err.splitlines()
    assert reason == "tiny: asked for by name" and begun.startswith("[1/2] 01_data ... begun")
    assert re.fullmatch(r"\[1/2\] 01_data \.\.\. \d+ s", clock)
    assert failed == "error: 01_data: no cells" and wrong.startswith("error: run name '../up'")
    log = Path(re.fullmatch(r"error: ZeroDivisionError: division by zero \(traceback in (.*)\)", fault)[1])
    assert "Traceback" in log.read_text()
    log.unlink()
    assert not psutil.Process().children(recursive=True) and not Path("reports/tiny").exists()


@pytest.mark.parametrize("option", ["--run=../up", "--params=missing.yaml", "--unknown=1"])
def test_exit_status_of_wrong_options(tmp_path, option):
    command = [sys.executable, "-m", "scripts", "report", "--dataset=krumsiek11", f"--reports={tmp_path / 'r'}", option]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "error: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("sent", "of_ctrl_c"),
    [
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGTERM, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_IGN),  # as shells have it for what runs in the background
    ],
)
def test_interrupting_leaves_no_process_and_nothing_of_a_new_run(tmp_path, sent, of_ctrl_c):
    command = [sys.executable, "-m", "scripts", "report", "--dataset=krumsiek11", f"--reports={tmp_path / 'r'}"]
    inherit = partial(signal.signal, signal.SIGINT, of_ctrl_c)  # whatever this process has inherited itself
    chained = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, preexec_fn=inherit)
    try:
        assert chained.stderr.readline() == "bundled with scanpy, as named\n"
        while len(kernels := psutil.Process(chained.pid).children()) < 2:  # the second one is that of the appendix
            time.sleep(0.05)
        chained.send_signal(sent)
        _, written = chained.communicate(timeout=60)
    finally:
        chained.kill()
    assert chained.returncode == 130 and written.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in written and not list(tmp_path.rglob("*")), written
    end = time.monotonic() + 60  # one that was just being started ends by itself when it misses its parent
    while any(kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE for kernel in kernels):
        assert time.monotonic() < end, "a kernel is left"
        time.sleep(0.1)


def test_settings_are_listed_as_yaml_with_defaults_and_meanings(capsys):
    import yaml

    assert __main__.main(["settings"]) == 0
    listed = capsys.readouterr().out
    assert yaml.safe_load(listed)["k_neighbors"] == 10 and "neighbours of each cell" in listed
    assert "run_dir" not in listed
