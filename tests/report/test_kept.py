"""Appendices that read no file of a run are executed once, and kept for all runs."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.errors import NotebookFailed
from scripts.report import chain
from scripts.report.ledger import Ledger
from scripts.report.run import Run
from tests.report.tiny_chain import OPEN, execute, executed, plan, save, tiny_notebooks

pytestmark = pytest.mark.slow
ALONE = OPEN.format("appendix_alone") + (
    "import pandas as pd\n"
    "run.save(key_figures={'Found': alone}, alone=pd.DataFrame({'alone': [alone]}))\n"
    "print('computed')"
)


@pytest.fixture
def with_appendix(tmp_path, monkeypatch):
    """A folder of two notebooks, and an appendix that reads no file of the run."""
    notebooks = tiny_notebooks(tmp_path, monkeypatch)
    save(notebooks / "appendix_alone.ipynb", 'run_dir = "lab"\nalone = 1', ALONE, independent=True)
    return notebooks


def kept():
    """Folders of appendices that are kept beside the runs."""
    return sorted(Path("reports/.appendices").iterdir())


def test_an_appendix_is_executed_once_for_all_runs(with_appendix, tmp_path, capsys):
    execute(plan(with_appendix, name="one"))
    assert sorted(executed(capsys)) == ["01_data", "02_look", "appendix_alone"]
    execute(plan(with_appendix, name="two"))
    assert executed(capsys) == ["01_data", "02_look"]
    one, two = (Run(tmp_path / "reports" / name) for name in ("one", "two"))
    assert one.load_table("alone.csv").equals(two.load_table("alone.csv"))
    assert two.settings()["key_figures"]["appendix_alone"] == {"Found": 1}
    assert two.settings()["notebooks"]["appendix_alone"] == {"alone": 1}
    text = two.path("appendix_alone.ipynb").read_text(encoding="utf-8")
    assert "computed" in text and str(two.folder) in text and str(one.folder) not in text
    page = two.path("appendix_alone.html").read_text(encoding="utf-8")
    assert "About appendix_alone" in page and str(one.folder) not in page
    assert "Found" in two.path("index.html").read_text(encoding="utf-8")
    assert len(kept()) == 1 and sorted(os.listdir("reports")) == [".appendices", "one", "two"]


def test_an_appendix_of_other_settings_or_code_is_executed_and_one_of_other_code_is_kept_no_longer(
    with_appendix, tmp_path, capsys
):
    execute(plan(with_appendix, name="one"))
    (tmp_path / "s.yaml").write_text("alone: 2")
    executed(capsys)
    execute(plan(with_appendix, "s.yaml", "two"))
    assert "appendix_alone" in executed(capsys) and len(kept()) == 2
    execute(plan(with_appendix, name="three"))
    assert executed(capsys) == ["01_data", "02_look"]
    assert [Run(f"reports/{name}").load_table("alone.csv")["alone"][0] for name in ("one", "two", "three")] == [1, 2, 1]
    save(with_appendix / "appendix_alone.ipynb", 'run_dir = "lab"\nalone = 1', ALONE + " ", independent=True)
    execute(plan(with_appendix, name="four"))
    assert "appendix_alone" in executed(capsys) and len(kept()) == 1
    execute(plan(with_appendix, name="four"), force=True)
    assert "appendix_alone" in executed(capsys) and len(kept()) == 1


@pytest.mark.parametrize("harm", ["deleted", "changed", "damaged", "a file", "foreign"])
def test_what_is_kept_may_be_deleted_or_damaged(with_appendix, harm, tmp_path, capsys):
    execute(plan(with_appendix, name="one"))
    (folder,) = kept()
    if harm == "deleted":
        shutil.rmtree(folder.parent)
    elif harm == "a file":
        shutil.rmtree(folder.parent)
        folder.parent.write_text("x")
    elif harm == "foreign":
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "mine").touch()
    else:
        file = folder / ("alone.csv" if harm == "changed" else "ledger.json")
        file.unlink()  # it is that of the run, too
        file.write_text("alone\n7\n")
    executed(capsys)
    execute(plan(with_appendix, name="two"))
    assert "appendix_alone" in executed(capsys)
    for name in ("one", "two"):
        assert Run(f"reports/{name}").load_table("alone.csv")["alone"].tolist() == [1]
    assert execute(plan(with_appendix, name="one")).exists() and executed(capsys) == []
    if harm in ("deleted", "changed"):
        execute(plan(with_appendix, name="three"))
        assert executed(capsys) == ["01_data", "02_look"]


def test_runs_at_once_share_what_is_kept(with_appendix, tmp_path):
    """Both may execute an appendix; what is kept is whole, and of one of them."""
    chosen = [plan(with_appendix, name=name) for name in ("one", "two", "three")]
    step = chosen[0].steps[-1]
    for each in chosen:
        execute(each)
        shutil.copytree(each.folder, each.aside)
    shutil.rmtree("reports/.appendices")
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda each: [chain._keep(each, step) for _ in range(5)], chosen))
    (folder,) = kept()
    known = Ledger.load(folder)
    assert known.holds(step, folder, Ledger()) and set(known.files_of(step.stem)) == {
        "alone.csv",
        "appendix_alone.ipynb",
    }


def test_a_failure_keeps_no_run_for_an_appendix_that_is_kept(with_appendix):
    execute(plan(with_appendix, name="one"))
    save(with_appendix / "01_data.ipynb", 'run_dir = "lab"', "1 / 0")
    chosen = plan(with_appendix, name="two")
    with pytest.raises(NotebookFailed, match="01_data: ZeroDivisionError"):
        execute(chosen)
    assert not chosen.aside.exists() and not chosen.folder.exists() and len(kept()) == 1


def test_a_run_stopped_while_it_keeps_an_appendix_leaves_nothing_beside_it(with_appendix, monkeypatch, capsys):
    rename, chosen = os.rename, plan(with_appendix, name="one")

    def stopped(source, target):
        if Path(target) == chosen.kept(chosen.steps[-1]):
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(chain.os, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
        execute(chosen)
    assert [path.name for path in kept()] == [".aside-appendix_alone"]
    monkeypatch.setattr(chain.os, "rename", rename)
    execute(chosen)
    executed(capsys)
    assert [path.name for path in kept()] == [chosen.kept(chosen.steps[-1]).name]
    assert sorted(os.listdir("reports")) == [".appendices", "one"]
    execute(plan(with_appendix, name="two"))
    assert executed(capsys) == ["01_data", "02_look"]
