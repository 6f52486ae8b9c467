"""The command line: what it lists, how fast, how far a run is shown to be, and how it ends."""

import io
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from scripts import REPOSITORY, __main__, console
from scripts.report import chain, settings

COMMANDS = ["report", "sweep", "compare", "pages", "settings", "score"]
SLOW = ["anndata", "nbconvert", "nbformat", "numpy", "pandas", "papermill", "plotly", "scanpy", "torch"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def seen(text):
    """What is left to read where running lines are erased and colours obeyed, line by line."""
    return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line.split("\r")[-1]) for line in text.splitlines()]


def terminal(monkeypatch, stream, columns=80, kind="xterm"):
    """Let a stream be a terminal; not in a fixture, after which pytest puts its own stream back."""
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(f"sys.{stream}", Terminal())
    return getattr(sys, stream)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_slow(command):
    code = f"""
import sys
from scripts.__main__ import main
status = main(sys.argv[1:])
print(sorted(set({SLOW}) & set(sys.modules)), status)
"""
    arguments = [*filter(None, [command]), "--help"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=REPOSITORY, capture_output=True, text=True)
    *said, last = done.stdout.splitlines()
    assert last == "[] 0", done.stderr
    assert all(name in "\n".join(said) for name in [command] if name) and "--help" in "\n".join(said)


def test_help_names_every_command_with_its_purpose(capsys):
    assert __main__.main(["--help"]) == 0
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^│ {command} +\w+", said, re.MULTILINE), command
    assert "exit status: 0 done" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["reprot"], "No such command 'reprot'. Did you mean 'report'"),
        (["report", "--datset=x"], "No such option: --datset"),
        (["pages"], "Missing argument"),
        (["score", "x.h5ad"], "Missing option '--run'"),
        (["compare", "one"], "two run folders or more are needed"),
        (["compare", "one", "./one"], "two run folders or more are needed, each named once"),
        (["compare", "one", "two"], "params.yaml is missing; run 01_data.ipynb first"),
        (["sweep", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_made(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert __main__.main(arguments) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("error: ") and said.err.count("\n") == 1 and message in said.err
    assert not list(tmp_path.iterdir())


def test_settings_are_a_table_on_a_terminal_and_yaml_elsewhere(monkeypatch, capsys):
    assert __main__.main(["settings"]) == 0
    listed = yaml.safe_load(capsys.readouterr().out)
    shown = terminal(monkeypatch, "stdout", columns=200)
    assert __main__.main(["settings"]) == 0
    lines = seen(shown.getvalue())
    for notebook in chain.notebooks():
        assert notebook.stem in lines
        for name, default, _ in settings.listed(notebook):
            assert any(re.match(rf"{name} +{re.escape(default[:20])}", line) for line in lines), name
            assert name in listed


def test_completion_names_commands_and_options():
    def completed(words):
        asked = {"_BMLP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        code = "import sys; sys.argv[0] = 'bmlp'; from scripts.__main__ import main; sys.exit(main())"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=REPOSITORY, env=os.environ | asked, capture_output=True, text=True)
        return done.stdout.split()

    assert completed("bmlp s") == ["sweep", "settings", "score"]
    assert {"--dataset", "--params"} <= set(completed("bmlp report --"))


def test_a_log_says_what_begins_and_what_is_done(capsys):
    with console.Progress() as progress:
        with progress.line("[1/2] 01_data", 3, 40.2) as advance:
            advance()
        with progress.line("[2/2] 02_look", 2):
            pass
        with progress.line("pages"):
            pass
    assert capsys.readouterr().err.splitlines() == [
        "[1/2] 01_data ... begun: 3 cells, about 40 s",
        "[1/2] 01_data ... 0 s",
        "[2/2] 02_look ... begun: 2 cells",
        "[2/2] 02_look ... 0 s",
        "pages ... 0 s",
    ]


def test_a_terminal_shows_cells_done_and_what_is_left_and_keeps_one_line_of_each(monkeypatch):
    shown = terminal(monkeypatch, "stderr")
    with console.Progress() as progress, progress.line("[1/2] 01_[b]data", 4, 60) as advance:
        with progress.line("[2/2] 02_beside", 2):
            time.sleep(0.3)
        advance()
        time.sleep(0.3)
    written = "\n".join(seen(shown.getvalue()))
    assert re.search(r"\[1/2\] 01_\[b\]data .* 1/4 cells 0 s, about 60 s left", written)
    assert "[2/2] 02_beside" in written and "0/2 cells" in written
    kept = [line.rstrip() for line in seen(shown.getvalue()) if " ... " in line]
    assert kept == ["[2/2] 02_beside ... 0 s", "[1/2] 01_[b]data ... 1 s"]


def test_nothing_is_said_to_be_left_beyond_what_it_took(monkeypatch):
    shown = terminal(monkeypatch, "stderr")
    with console.Progress() as progress, progress.line("late", 2, 0.01):
        time.sleep(0.3)
    assert "left" not in shown.getvalue() and "0/2 cells" in shown.getvalue()


def test_a_terminal_that_can_do_little_reads_a_log(monkeypatch):
    shown = terminal(monkeypatch, "stderr", kind="dumb")
    with console.Progress() as progress, progress.line("a", 1):
        pass
    assert shown.getvalue() == "a ... begun: 1 cell\na ... 0 s\n"


def test_lines_of_threads_do_not_mix(capsys):
    def work(number):
        with progress.line(f"part {number}", 1) as advance:
            advance()

    with console.Progress() as progress, ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(50)))
    lines = capsys.readouterr().err.splitlines()
    assert sorted(lines) == sorted(f"part {n} ... {end}" for n in range(50) for end in ["begun: 1 cell", "0 s"])


def test_a_table_shows_names_as_they_are(capsys):
    names = ["[red]gene[/red]", "Ген β", "a\x1b[31m\nb", ":smile:"]
    text = console.text_table(["name", "n"], [(name, number) for number, name in enumerate(names)], ["n"])
    assert "[red]gene[/red]" in text and "Ген β" in text and ":smile:" in text and "\x1b" not in text
    assert len(text.splitlines()) == 2 + len(names)
