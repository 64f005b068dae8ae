"""Of a command only progress, warnings of ours and the report are shown; the log has the rest."""

import io
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from halluc_plugin.errors import SettingsError
from halluc_plugin.quiet import run_quietly

SPEAKS = """
import sys, warnings
from halluc_plugin.progress import report, tell
print("a wall of metrics")
tell("making problems", 0, 3); tell("making problems", 3, 3)
print("(TaskRunner pid=7) WARNING: halluc: nothing is taken back", file=sys.stderr, flush=True)
print("(TaskRunner pid=7) WARNING: halluc: nothing is taken back", file=sys.stderr, flush=True)
tell("training")
with report():
    print("accuracy 75.5 %")
print("goodbye")
"""


@pytest.fixture
def run(tmp_path):
    """Runs Python code; returns status, what was shown and what was logged."""

    def run(code, **console):
        shown = Console(width=100, record=True, file=io.StringIO(), **console)
        log = tmp_path / "logs" / "run.log"
        status = run_quietly([sys.executable, "-c", code], log, shown)
        return status, shown.export_text(), log.read_text()

    return run


def test_what_is_shown(run):
    """The log's path, phases with their time, each warning of ours once, the report; no walls."""
    status, shown, _ = run(SPEAKS)
    assert status == 0
    assert "run.log" in shown
    assert re.search(r"making problems: \d+ s", shown)
    assert re.search(r"training: \d+ s", shown)
    assert shown.count("halluc: nothing is taken back") == 1
    assert "accuracy 75.5 %" in shown
    assert "wall" not in shown
    assert "goodbye" not in shown


def test_bars_on_a_terminal(run):
    """There each phase has a bar with how much of how much."""
    _, shown, _ = run(SPEAKS, force_terminal=True)
    assert re.search(r"making problems .*3/3", shown)


def test_the_log_has_all_but_the_marks(run):
    """Both streams in order, the report in plain text, no escapes of terminals and no marks."""
    _, _, logged = run(SPEAKS + "print('\\x1b[31mred\\x1b[0m')", force_terminal=True)
    lines = logged.splitlines()
    assert lines[0] == "a wall of metrics"
    assert lines.index("accuracy 75.5 %") < lines.index("goodbye") < lines.index("red")
    assert "halluc-progress" not in logged
    assert "halluc-report" not in logged


def test_a_report_for_a_terminal_has_its_colours(run):
    """It is told that it goes to one, of which width; elsewhere it is plain."""
    code = (
        "from halluc_plugin.progress import report\n"
        "from rich.console import Console\n"
        "with report():\n    c = Console(); c.print(c.is_terminal, c.width)"
    )
    assert "True 100" in run(code, force_terminal=True)[1]
    assert "False 100" in run(code)[1]


def test_a_failure_shows_its_cause(run):
    """The status is the command's; the end of the log, the last error and the log's path come last."""
    status, shown, _ = run("print('before'); raise ValueError('the cause of it')")
    assert status == 1
    told = shown.splitlines()
    assert "  before" in told
    assert told[-2] == "ValueError: the cause of it"
    assert told[-1].startswith("The command ended with status 1; all that it printed: ")


def test_a_failed_phase_is_not_done(run):
    """Only phases that ended have a time."""
    code = "from halluc_plugin.progress import tell\ntell('training', 1, 9)\nraise SystemExit(3)"
    status, shown, _ = run(code)
    assert status == 3
    assert not re.search(r"training: \d+ s", shown)


def test_a_report_that_fails_shows_what_it_had(run):
    """What was printed before the error is still shown."""
    code = (
        "from halluc_plugin.progress import report\n"
        "with report():\n    print('half'); raise ValueError('the rest')"
    )
    _, shown, _ = run(code)
    assert "half" in shown
    assert "ValueError: the rest" in shown


def test_nothing_is_told_to_nobody():
    """Without a reader no mark is printed, and a report is printed as it is."""
    done = subprocess.run([sys.executable, "-c", SPEAKS], capture_output=True, text=True, check=True)
    assert "accuracy 75.5 %" in done.stdout
    assert "halluc-progress" not in done.stdout + done.stderr
    assert "halluc-report" not in done.stdout + done.stderr


def test_an_interruption_reaches_the_command(tmp_path):
    """Both end, the status is that of an interruption, and what was said on the way is logged."""
    code = "import time\nprint('begun', flush=True)\ntry: time.sleep(60)\nfinally: print('put away')"
    main = "from halluc_plugin.cli.app import main; main()"
    log = tmp_path / "run.log"
    process = subprocess.Popen(
        [sys.executable, "-c", main, "quiet", "--log", str(log), sys.executable, "-c", code],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    while not (log.exists() and "begun" in log.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "put away" in log.read_text()
    assert "The command was interrupted" in said


@pytest.mark.parametrize("command", [["no-such-program-at-all"], ["/"]])
def test_what_is_no_program(tmp_path, command):
    """Is one line."""
    with pytest.raises(SettingsError, match="cannot be started"):
        run_quietly(command, tmp_path / "run.log")
