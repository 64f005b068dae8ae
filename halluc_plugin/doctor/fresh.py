"""Call functions in a fresh Python process, so that what hosts do at import does not affect this one."""

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from signal import SIGKILL
from threading import Lock, Timer
from types import TracebackType
from typing import Any, Protocol, Self


class Call(Protocol):
    """Calls functions in another Python process."""

    def __call__(self, target: str, *, beside: str | None = None) -> Any:
        """Call ``module:function`` without arguments.

        Args:
            target: The function; it returns something JSON can hold.
            beside: A host whose import is most of what the call costs: calls that name the same one share a
                Python. None for a Python of its own.

        Returns:
            What the function returned.

        Raises:
            FreshPythonError: It did not return.
        """


MARK = "halluc doctor observed: "
TIMEOUT_S = 300

# Hosts print while they are imported, so an answer is a line with a mark.
_SERVE = f"""
import sys, json
from importlib import import_module
for line in sys.stdin:
    module, function = line.split()
    print({MARK!r} + json.dumps(getattr(import_module(module), function)()), flush=True)
"""


class FreshPythonError(Exception):
    """The function raised an error, or its process died; the message is the last line it printed."""


class FreshPython:
    """A Python process in which functions are called one after the other.

    Importing a host takes most of the time, and hosts import each other, so what the next function needs is
    often imported already. Calls from other threads wait for their turn. A call that fails ends this process.
    If another call was made in it before, the failed call is repeated once in a new process, so that no
    function fails because of what another left behind.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed on exit

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._said.close()

    def call(self, target: str) -> Any:
        """Call ``module:function`` without arguments.

        Args:
            target: The function as ``module:function``. It must return a JSON-able value.

        Returns:
            What the function returned.

        Raises:
            FreshPythonError: The function raised an error, or its process died.
        """
        with self._lock:
            used = self._process is not None
            try:
                return self._call(target)
            except FreshPythonError:
                if not used:
                    raise
            return self._call(target)

    def _call(self, target: str) -> Any:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        late = Timer(TIMEOUT_S, process.kill)
        late.start()
        try:
            with suppress(BrokenPipeError):  # it is dead, and has said why
                process.stdin.write(target.replace(":", " ") + "\n")
                process.stdin.flush()
            for line in process.stdout:
                if line.startswith(MARK):
                    return json.loads(line.removeprefix(MARK))
        finally:
            late.cancel()
        raise FreshPythonError(self._last_words(process))

    def _start(self) -> "subprocess.Popen[str]":
        self._said.seek(0)
        self._said.truncate()
        return subprocess.Popen(  # noqa: S603 - our own code
            [sys.executable, "-P", "-c", _SERVE],  # -P: nothing of the working directory is imported
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
            encoding="utf-8", errors="replace",
        )  # fmt: skip

    def _last_words(self, process: "subprocess.Popen[str]") -> str:
        status = process.wait()
        self._end()
        if status == -SIGKILL:
            return f"no answer in {TIMEOUT_S} s, or killed for want of memory"
        self._said.seek(0)
        said = [line.strip() for line in self._said if line.strip()]
        return said[-1] if said else f"exit status {status}"

    def _end(self) -> None:
        """It has answered: nothing is waited for that a host does at exit."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(BrokenPipeError), process:
                pass


class FreshPythons:
    """Python processes for calls from several threads; see :class:`Call`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._shared: dict[str, FreshPython] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def call(self, target: str, *, beside: str | None = None) -> Any:
        """Call ``module:function`` without arguments and return its result; see :class:`Call`.

        Args:
            target: The function as ``module:function``.
            beside: A host whose import takes most of the time. Calls that name the same host share a process;
                None for a process of its own.

        Raises:
            FreshPythonError: The function raised an error, or its process died.
        """
        if beside is None:
            return call(target)
        with self._lock:
            if beside not in self._shared:
                self._shared[beside] = self._open.enter_context(FreshPython())
        return self._shared[beside].call(target)


def call(target: str) -> Any:
    """Call one function in a Python process of its own; see :meth:`FreshPython.call`."""
    with FreshPython() as python:
        return python.call(target)
