"""A run for each combination of settings: what is planned, resumed, taken over, and said of what fails."""

from pathlib import Path

import nbformat
import pytest

from scripts import __main__, runs, sources
from scripts.errors import InputError, NotebookFailed
from scripts.report import chain, settings
from scripts.report.run import Run
from scripts.runs.sweep import run_names
from tests.report.tiny_chain import OPEN, executed, save, tiny_notebooks

pytestmark = pytest.mark.slow
MAKE = "import pandas as pd\nrun.save(table=pd.DataFrame({'k': [k]}), facts={'data': 'tiny: 2 cells'})"
READ = "run.load_table('table.csv')\nrun.save()"


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder of two notebooks, on a data set that always resolves."""
    return tiny_notebooks(tmp_path, monkeypatch)


@pytest.fixture
def lab(notebooks, tmp_path, monkeypatch):
    """The chain of two notebooks as the command line's; a function that writes tried.yaml and plans its runs."""
    monkeypatch.setattr(chain.plan, "__defaults__", (notebooks,))
    monkeypatch.setattr(chain.notebooks, "__defaults__", (notebooks,))
    save(notebooks / "01_data.ipynb", 'run_dir = "lab"\nk = 3  # neighbours\nname = "a"', OPEN.format("01_data") + MAKE)
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"\nlr = 0.1', OPEN.format("02_look") + READ)

    def planned(text):
        (tmp_path / "tried.yaml").write_text(text)
        return runs.plan_sweep("tried.yaml", "tiny", None, "reports")

    return planned


def test_every_combination_is_a_run_in_a_folder_of_its_own(lab, tmp_path):
    planned = lab("k: [3, 5]\nlr: [0.1, 0.2]\nname: b")
    names = ["k=3,lr=0.1", "k=3,lr=0.2", "k=5,lr=0.1", "k=5,lr=0.2"]
    assert [chosen.folder for chosen in planned] == [tmp_path / "reports" / "tried" / name for name in names]
    assert [(s.settings["k"], s.settings["name"]) for p in planned for s in p.steps[:1]] == [
        *[(3, "b")] * 2,
        *[(5, "b")] * 2,
    ]
    assert [p.steps[1].settings["lr"] for p in planned] == [0.1, 0.2] * 2
    assert not Path("reports").exists()


def test_all_runs_are_of_the_data_set_that_was_found_first(lab, monkeypatch):
    found, asked = sources.resolve("tiny"), []
    monkeypatch.setattr("scripts.sources.resolve", lambda dataset: asked.append(dataset) or found)
    planned = lab("k: [3, 5, 7]")
    assert asked == ["tiny"] and [chosen.reason for chosen in planned] == [found.reason] * 3


def test_what_runs_have_in_common_is_executed_once_and_nothing_twice(lab, capsys):
    planned = lab("lr: [0.1, 0.2, 0.3]")
    done = runs.execute_sweep(planned)
    assert [folder.name for folder in done] == ["lr=0.1", "lr=0.2", "lr=0.3"]
    assert executed(capsys) == ["01_data", *["02_look"] * 3]
    for folder, lr in zip(done, [0.1, 0.2, 0.3], strict=True):
        assert Run(folder).settings()["notebooks"]["02_look"]["lr"] == lr
        told = nbformat.read(folder / "01_data.ipynb", as_version=4).metadata.papermill.parameters["run_dir"]
        assert told == str(folder)
    assert runs.execute_sweep(lab("lr: [0.1, 0.2, 0.3]")) == done
    assert executed(capsys) == []
    runs.execute_sweep(lab("lr: [0.3, 0.4]"))
    assert executed(capsys) == ["02_look"]
    runs.execute_sweep(lab("lr: [0.3, 0.4]"), force=True)
    assert executed(capsys) == ["01_data", "02_look"] * 2


def test_a_run_that_fails_keeps_no_other_from_being_made_and_is_named(lab, notebooks, capsys):
    fail = "from scripts.errors import InputError\nif k == 5:\n    raise InputError('no cells')\n"
    save(notebooks / "01_data.ipynb", 'run_dir = "lab"\nk = 3', OPEN.format("01_data") + fail + MAKE)
    with pytest.raises(NotebookFailed, match=r"^1 of 3 runs failed, first k=5 \(01_data: no cells\)"):
        runs.execute_sweep(lab("k: [3, 5, 7]"))
    assert sorted(path.name for path in Path("reports/tried").iterdir()) == ["k=3", "k=7"]
    said = [line for line in capsys.readouterr().err.splitlines() if " ... " not in line]
    assert said == ["run 1 of 3: k=3", "run 2 of 3: k=5", "k=5 failed: 01_data: no cells", "run 3 of 3: k=7"]


def test_an_interrupt_says_how_many_are_done(lab, monkeypatch):
    def interrupted(chosen, tell, force, others):
        if others:
            raise KeyboardInterrupt
        return chosen.folder / "index.html"

    planned = lab("k: [3, 5, 7]")
    monkeypatch.setattr(chain, "execute", interrupted)
    with pytest.raises(KeyboardInterrupt, match="^interrupted; 1 of 3 runs are done: start again"):
        runs.execute_sweep(planned)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("k: 3", "no setting has several values; list them"),
        ("k: [3]", "no setting has several values"),
        ("k: [3, 5]\nlr: []", "no value of 'lr' is listed"),
        ("k: [3, few]", "setting 'k': expected a whole number, found 'few'"),
        ("kk: [3, 5]", "no notebook has a setting 'kk'; did you mean 'k'"),
        ("run_dir: [a, b]", "'run_dir' is set by --run"),
    ],
)
def test_all_runs_are_checked_before_one_is_made(lab, monkeypatch, text, message):
    monkeypatch.setattr("scripts.sources.resolve", lambda dataset: pytest.fail("which may ask the web"))
    with pytest.raises(InputError, match=message):
        lab(text)
    assert not Path("reports").exists()


def test_a_run_is_no_folder_of_runs(lab):
    Run("reports/tried", "01_data").save()
    with pytest.raises(InputError, match="tried is a run, and not a folder of runs: choose another --run"):
        lab("k: [3, 5]")
    assert sorted(path.name for path in Path("reports/tried").iterdir()) == ["ledger.json", "params.yaml"]


def test_names_of_runs_are_names_of_folders_and_tell_settings_apart():
    varied = [{"hide": value} for value in ("^a/b", "a/b", "x" * 300, "x" * 299, ["a", "b"], None, True, "..", "")]
    names = run_names(varied)
    assert len(set(names)) == len(names) and names == run_names(varied)
    assert names[5:7] == ["hide=null", "hide=true"] and names[0].startswith("hide=a-b,")
    for name in names:
        settings.check_name(name)
        assert len(name) < 120


def test_the_command_line_makes_the_runs_and_compares_them(lab, capsys):
    lab("lr: [0.1, 0.2]")
    assert __main__.main(["sweep", "tried.yaml", "--dataset=tiny", "--run=here"]) == 0
    *_, last = said = capsys.readouterr().out.splitlines()
    assert last.startswith("reports/here/compare.html (0 min")
    assert any(line.split() == ["02_look:", "lr", "0.1", "0.2"] for line in said)
    assert sorted(path.name for path in Path("reports/here").iterdir()) == [
        "compare.csv",
        "compare.html",
        "lr=0.1",
        "lr=0.2",
    ]
