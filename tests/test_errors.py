"""What is printed: one line that no terminal obeys, whatever files and names are called."""

from pathlib import Path

import pytest

from scripts import __main__
from scripts.errors import UNPRINTABLE, one_line, printable
from scripts.report import chain
from scripts.report.run import Run
from tests.chain_runs import HOSTILE

NAMES = {
    "colour": "\x1b[31mred\x1b[0m",
    "title of the window": "\x1b]0;owned\x07",
    "erased": "good\r\x1b[Kbad\x08\x08",
    "two lines": "a\nerror: b",
    "C1": "a\x9b31mb\x85c",
    "turned": "exe.\u202egpj",
    "isolated": "a\u2066b\u2069c\u200f",
    "line separator": "a\u2028b\u2029c",
    "unseen": "a\u200bb\ufeffc\xadd\U000e0041",
    "not UTF-8": "caf\udce9",
}


@pytest.mark.parametrize("name", [*NAMES.values(), "nul\x00", *HOSTILE.values()])
def test_a_line_can_be_printed(name):
    line = one_line(f"{name}: {name}")
    assert len(line.splitlines()) == 1 and not UNPRINTABLE.search(line)
    line.encode()  # no half of a letter
    assert line.isprintable()
    assert [letter for letter in line if letter.isalnum()] == [
        letter for letter in f"{name}: {name}" if letter.isalnum()
    ]


@pytest.mark.parametrize("text", ["two\nlines\tand a tab", "  spaces  ", "ä 遺伝子 β ى‌ا 👩‍🔬", ""])
def test_what_can_be_printed_stays(text):
    assert printable(text) == text


def test_a_line_has_no_breaks_and_keeps_its_spaces():
    assert one_line(" no\n   cells\r\nin  a\tfile\n") == "no cells in  a file"


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
@pytest.mark.parametrize(
    "command",
    [
        ["report", "--dataset={}.h5ad"],
        ["report", "--dataset=krumsiek11", "--run={}"],
        ["report", "--dataset=krumsiek11", "--params={}.yaml"],
        ["report", "--dataset=krumsiek11", "--reports={}/file/reports"],
        ["pages", "{}"],
        ["score", "--run={}", "krumsiek11"],
        ["score", "--run=reports", "{}.h5ad"],
        ["{}"],
        ["report", "{}"],
    ],
    ids=["data set", "run", "settings", "reports", "pages", "run of scores", "cells", "command", "rest"],
)
def test_the_command_line_says_what_is_wrong_in_print(command, name, tmp_path, capsys, monkeypatch):
    """Files and folders of such names exist, where there is something to be said of what they hold."""
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.h5ad").write_text("no cells")
    Path(f"{name}.yaml").write_text("'not\\e[31m\\na setting': 1")
    (tmp_path / name).mkdir()
    (tmp_path / name / "file").touch()
    try:
        status = __main__.main([part.format(name) for part in command])
    except SystemExit as ended:  # of argparse
        status = ended.code
    said = capsys.readouterr()
    assert status == 2 and not said.out
    *usage, line = said.err.splitlines()
    assert "error: " in line and not UNPRINTABLE.search(said.err)
    assert not [part for part in usage if "error" in part]


def test_the_way_to_the_pages_can_be_printed(tmp_path, capsys):
    folder = tmp_path / "a\x1b[31m\nerror: b"
    Run(folder, "01_data").save(facts={"data": "made up"})
    assert __main__.main(["pages", str(folder)]) == 0
    assert capsys.readouterr().out == f"{one_line(folder)}/index.html\n"


def test_the_reason_for_a_data_set_can_be_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(chain, "plan", lambda *options: chain.Plan(tmp_path / "run", [], "found in \x1b[31m\na"))
    monkeypatch.setattr(chain, "execute", lambda chosen, tell, force: tmp_path / "\x1b[31m" / "index.html")
    assert __main__.main(["report"]) == 0
    said = capsys.readouterr()
    assert said.err == "found in \N{REPLACEMENT CHARACTER}[31m a\n" and not UNPRINTABLE.search(said.out)
