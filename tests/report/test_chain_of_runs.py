"""The chain beside other runs: how long notebooks took before, and what is taken over from them."""

import contextlib
import os

import nbformat
import pytest

from scripts.errors import NotebookFailed
from scripts.parallel import LOCAL, cluster
from scripts.report import chain
from scripts.report.run import SHARED, Run
from tests.report.tiny_chain import OPEN, SECOND, content, execute, executed, plan, save, tiny_notebooks

pytestmark = pytest.mark.slow


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder of two notebooks, on a data set that always resolves."""
    return tiny_notebooks(tmp_path, monkeypatch)


def test_a_notebook_is_shown_from_its_beginning_with_its_cells_and_how_long_it_took_before(notebooks, capsys):
    chosen = plan(notebooks)
    execute(chosen)
    assert "[1/2] 01_data ... begun: 3 cells\n" in capsys.readouterr().err
    executed = nbformat.read(chosen.folder / "01_data.ipynb", as_version=4)
    executed.metadata.papermill.duration = 75.4
    nbformat.write(executed, chosen.folder / "01_data.ipynb")
    (chosen.folder / "02_look.ipynb").unlink()
    execute(plan(notebooks), force=True)
    lines = capsys.readouterr().err.splitlines()
    assert "[1/2] 01_data ... begun: 3 cells, about 75 s" in lines and "[2/2] 02_look ... begun: 3 cells" in lines


def test_every_cell_that_is_executed_is_counted(notebooks, monkeypatch):
    counts = {}

    @contextlib.contextmanager
    def line(self, label, n_cells=0, seconds=None):
        counts[label] = [n_cells, 0]

        def advance():
            counts[label][1] += 1

        yield advance

    monkeypatch.setattr(chain.Progress, "line", line)
    execute(plan(notebooks))
    assert counts == {"[1/2] 01_data": [3, 3], "[2/2] 02_look": [3, 3], "pages": [0, 0]}


def test_a_run_takes_over_notebooks_of_another_one(notebooks, tmp_path, capsys):
    """And its executed notebooks name its own folder."""
    first, second = plan(notebooks, name="first"), plan(notebooks, name="second")
    execute(first)
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"\nlr = 0.1', SECOND + " ")
    before = content(first.folder)
    executed(capsys)
    execute(plan(notebooks, name="second"), others=[first.folder])
    assert executed(capsys) == ["02_look"] and content(first.folder) == before
    parameters = nbformat.read(second.folder / "01_data.ipynb", as_version=4).metadata.papermill.parameters
    assert parameters["run_dir"] == str(second.folder)
    execute(plan(notebooks, name="second"))
    assert executed(capsys) == []


def test_notebooks_hand_work_to_the_workers_of_the_cluster_that_the_report_names(notebooks, tmp_path):
    code = OPEN.format("01_data") + (
        "import os\nimport pandas as pd\nfrom scripts.parallel import in_files, side_by_side\n"
        "found = side_by_side(lambda _: os.getpid(), range(8))\n"
        "with in_files(8) as folder:\n    is_there = folder is not None and folder.is_relative_to(run_dir)\n"
        "run.save(workers=pd.DataFrame({'worker': found, 'notebook': os.getpid(), 'files': is_there}))"
    )
    save(notebooks / "01_data.ipynb", 'run_dir = "lab"', code)
    chosen = plan(notebooks)
    execute(chosen)
    table = Run(chosen.folder).load_table("workers.csv")
    assert (table["worker"] == table["notebook"]).all() and not table["files"].any()
    with cluster(LOCAL, chain.version):
        execute(chosen, force=True)
    assert not (chosen.folder / SHARED).exists()
    table = Run(chosen.folder).load_table("workers.csv")
    assert table["files"].all()
    assert not (table["worker"] == table["notebook"]).any() and os.getpid() not in set(table["worker"])


def test_files_that_a_killed_run_left_for_workers_are_deleted(notebooks):
    chosen = plan(notebooks)
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"\nlr = 0.1', "raise ValueError")
    with pytest.raises(NotebookFailed):
        execute(chosen)
    (chosen.aside / SHARED).mkdir()
    (chosen.aside / SHARED / "values.npy").write_text("many cells")
    save(notebooks / "02_look.ipynb", 'run_dir = "lab"\nlr = 0.1', SECOND)
    execute(plan(notebooks))
    assert not (chosen.folder / SHARED).exists()
