"""The command as a shell sees it: streams that cannot write every sign, exit codes, errors in one line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from halluc_plugin.cli import app as command
from halluc_plugin.edits import EditVocab
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.trace_log import TraceLog, logged_trace

ROOT = Path(__file__).parents[2]
HALLUC = [sys.executable, "-c", "from halluc_plugin.cli.app import main; main()"]


def run(*arguments, **environment):
    """Run the command in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    asked = [*HALLUC, *map(str, arguments)]
    return subprocess.run(asked, env=env, capture_output=True, timeout=120, check=False)


@pytest.fixture
def logged(tmp_path):
    """A run's folder with 200 logged answers, with signs that few encodings have."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    vocab = EditVocab(len(tokenizer) - 1)
    response = tokenizer.encode(f"4{BACKTRACK_TOKEN}3 ⌫ 数\n")
    traces = [
        logged_trace(
            step=1, answer=f"a{n}", prompt=tokenizer.encode("数 3\n"), response=response,
            response_mask=[1.0] * len(response), advantages=[0.5] * len(response), reward=1.0, scores={},
            tokenizer=tokenizer, vocab=vocab,
        )
        for n in range(200)
    ]  # fmt: skip
    TraceLog(tmp_path, 100).write(1, traces)
    return tmp_path


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_sign_is_an_error(logged, encoding):
    """`halluc view` prints what the stream can write, and something in place of the rest."""
    done = run("view", logged, "--limit", 2, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode(encoding)
    assert "reward" in shown or "1" in shown
    assert ("⌫" in shown) == (encoding == "utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("doctor", "--help"),
        ("data", "--help"),
        ("data", "countdown", "--help"),
        ("theory", "--help"),
    ],
    ids=" ".join,
)
def test_help_in_ascii(arguments):
    """Frames and dashes of help are no errors either, and what is printed is ASCII."""
    done = run(*arguments, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


def test_messages_in_ascii(tmp_path):
    """An error about a name with other signs is one line."""
    done = run("view", tmp_path / "数", PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.isascii()
    assert done.stderr.startswith(b"halluc: ")
    assert len(done.stderr.splitlines()) == 1


def test_names_that_are_no_text(tmp_path):
    """A file name that is no UTF-8 is named in the message, not a second error."""
    done = run("view", os.fsdecode(bytes(tmp_path) + b"/na\xefve"))
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_a_reader_that_goes_away(logged):
    """`halluc view RUN | head -1` ends without a word."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = f'{" ".join(HALLUC[:1])} -c "{HALLUC[2]}" view {logged} --limit 200 | head -1'
    done = subprocess.run(script, shell=True, env=env, capture_output=True, timeout=120, check=False)
    assert done.stdout
    assert done.stderr == b""


def test_interrupted():
    """Ctrl-C ends a command quietly, by the exit code that shells know it by."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    waiting = "import time, typer; typer.echo('started'); time.sleep(60)"
    script = (
        f"from halluc_plugin.cli import app as a\na.app.command('wait')(lambda: exec({waiting!r}))\na.main()"
    )
    asked = [sys.executable, "-u", "-c", script, "wait"]
    with subprocess.Popen(asked, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in told


class TestUnforeseen:
    """Errors that nobody foresaw."""

    def fail(self, monkeypatch, error):
        """Let the command raise this."""

        def raising():
            raise error

        monkeypatch.setattr(command, "app", raising)
        with pytest.raises(SystemExit) as stopped:
            command.main()
        return stopped.value.code

    def test_one_line_and_where_to_look(self, monkeypatch, capfd):
        """The type, the reason, and the variable that shows the traceback."""
        monkeypatch.delenv(command.TRACEBACK, raising=False)
        assert self.fail(monkeypatch, KeyError("nobody\nforesaw")) == 1
        told = capfd.readouterr().err
        assert told == "halluc: KeyError: 'nobody\\nforesaw' (Set HALLUC_TRACEBACK=1 to see where.)\n"

    def test_of_files(self, monkeypatch, capfd):
        """The system's own words name the file."""
        assert self.fail(monkeypatch, OSError(5, "Input/output error", "/bad/x")) == 1
        assert "halluc: [Errno 5] Input/output error: '/bad/x' (" in capfd.readouterr().err

    def test_a_full_disk_is_foreseen(self, monkeypatch, capfd):
        """The line says what to do, and that the same command goes on from there."""
        assert self.fail(monkeypatch, OSError(28, "No space left on device", "/full/x")) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert "No space left on device: '/full/x'. Fix: Make room and start the same command again" in line

    def test_the_traceback(self, monkeypatch, capfd):
        """Is printed where it is asked for, before the line."""
        monkeypatch.setenv(command.TRACEBACK, "1")
        assert self.fail(monkeypatch, ValueError()) == 1
        told = capfd.readouterr().err
        assert told.startswith("Traceback (most recent call last)")
        assert told.endswith("halluc: ValueError: no reason (Set HALLUC_TRACEBACK=1 to see where.)\n")


class TestHome:
    """`HALLUC_HOME` that cannot be used, met by a command that needs the cache."""

    @pytest.mark.parametrize("place", ["file", "file/below", "/proc/halluc", "/dev/full"])
    def test_one_message(self, tmp_path, place):
        """Names the place, and what to do; nothing is trained."""
        (tmp_path / "file").touch()
        home = tmp_path / place
        done = run("warmstart", "--out", tmp_path / "out", "--steps", 1, HALLUC_HOME=str(home))
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.decode().splitlines()
        assert str(home) in line
        assert "Set HALLUC_HOME to a folder" in line
        assert not (tmp_path / "out").exists()

    def test_a_full_disk(self, tmp_path, monkeypatch):
        """Half of an entry is not kept."""
        from halluc_plugin import cache
        from halluc_plugin.errors import SettingsError

        monkeypatch.setenv("HALLUC_HOME", str(tmp_path))

        def build(folder):
            (folder / "half").touch()
            raise OSError(28, "No space left on device")

        with pytest.raises(SettingsError, match=r"HALLUC_HOME.*No space left"):
            cache.load_or_build("x", {}, build)
        assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]

    def test_errors_of_others_are_theirs(self, tmp_path, monkeypatch):
        """A file elsewhere that may not be read is not the cache's fault."""
        from halluc_plugin import cache

        monkeypatch.setenv("HALLUC_HOME", str(tmp_path))

        def build(_):
            raise PermissionError(13, "Permission denied", "/elsewhere/x")

        with pytest.raises(PermissionError):
            cache.load_or_build("x", {}, build)


class TestSearchOut:
    """`halluc search --out`."""

    def test_a_place_that_cannot_be_written_to_is_refused_before_the_work(self, tmp_path):
        """And nothing is left where the work fails: half a file would count as answers."""
        from typer.testing import CliRunner

        (tmp_path / "file").touch()
        asked = ["search", "--model", "/absent/model", "--data", "x.parquet", "--out"]
        blocked = CliRunner().invoke(command.app, [*asked, str(tmp_path / "file" / "out.jsonl")])
        assert "No files can be written" in str(blocked.exception)
        failed = CliRunner().invoke(command.app, [*asked, str(tmp_path / "out.jsonl")])
        assert "No config can be loaded" in str(failed.exception)
        assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_json_is_json_in_any_encoding(tmp_path):
    """What programs read stays whole: signs that the stream lacks are escaped, not replaced."""
    done = run(
        "data", "countdown", "--out", tmp_path, "--train", 4, "--test", 2, "--json", PYTHONIOENCODING="ascii"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_experiments_fail_in_one_line_too(tmp_path):
    """`python -m halluc_plugin.recipes.NAME.run` with a file in the place of its folder."""
    (tmp_path / "file").touch()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    asked = [sys.executable, "-m", "halluc_plugin.recipes.credit.run", "--quick", "--out"]
    done = subprocess.run(
        [*asked, str(tmp_path / "file")], env=env, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.decode("ascii").splitlines()[-1].startswith("halluc: No files can be written to ")
    assert b"Traceback" not in done.stderr
