"""Functions called in another Python."""

import os
import sys

import pytest

from halluc_plugin.doctor import fresh

GUESTS = r"""
import os, sys
left_behind = []
def first():
    print("noise" * 100_000)
    sys.stderr.write("noise" * 100_000)
    left_behind.append(1)
    return os.getpid()
def alone():
    assert not left_behind, "somebody was here"
    return os.getpid()
def sleeps():
    import time
    time.sleep(60)
def dies():
    os.write(2, "last words, in \xe9\n".encode("latin-1"))
    os.abort()
"""


class TestFresh:
    """Calling functions in another Python."""

    @pytest.fixture(autouse=True)
    def _guests(self, tmp_path, monkeypatch):
        """Functions that can be called there."""
        (tmp_path / "guests.py").write_text(GUESTS)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def test_returns_the_answer_whatever_is_printed(self):
        """The answer is JSON and survives what else is printed."""
        assert fresh.call("platform:python_version_tuple") == [str(part) for part in sys.version_info[:3]]

    def test_tells_the_last_thing_said(self):
        """A function that does not return gives its last line on stderr."""
        with pytest.raises(
            fresh.FreshPythonError, match="ModuleNotFoundError: No module named 'absent_module'"
        ):
            fresh.call("absent_module:function")
        with pytest.raises(fresh.FreshPythonError, match="last words, in "):
            fresh.call("guests:dies")

    def test_calls_share_what_was_imported(self):
        """One Python answers one call after the other, however much is printed."""
        with fresh.FreshPython() as python:
            assert len({python.call("guests:first") for _ in range(3)}) == 1

    def test_nothing_fails_by_what_another_left_behind(self):
        """A call that fails beside another is made once more alone; then others go on in that Python."""
        with fresh.FreshPython() as python:
            first = python.call("guests:first")
            alone = python.call("guests:alone")
            assert first != alone == python.call("guests:first")
            with pytest.raises(fresh.FreshPythonError, match="last words"):
                python.call("guests:dies")
            assert python.call("guests:alone") != alone

    def test_calls_beside_a_host_share_a_python(self):
        """Calls that name the same host share what was imported; the others stand alone."""
        with fresh.FreshPythons() as pythons:
            beside = {pythons.call("guests:first", beside="a host") for _ in range(2)}
            assert len(beside) == 1
            others = [pythons.call("guests:first", beside="another"), pythons.call("guests:first")]
            assert len({*beside, *others}) == 3

    def test_silence_has_an_end(self, monkeypatch):
        """A host that hangs is one red line."""
        monkeypatch.setattr(fresh, "TIMEOUT_S", 0.5)
        with fresh.FreshPython() as python, pytest.raises(fresh.FreshPythonError, match="no answer in"):
            python.call("guests:sleeps")
