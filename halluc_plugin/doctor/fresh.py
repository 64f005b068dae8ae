"""Call a function in a fresh Python, so that what a host does at import stays out of this one."""

import json
import subprocess
import sys
from typing import Any

MARK = "halluc doctor observed: "
TIMEOUT_S = 300


class FreshPythonError(Exception):
    """The function raised, or its Python died; the message is the last thing it said."""


def call(target: str) -> Any:
    """Call ``module:function`` without arguments in a new process.

    Args:
        target: The function; it returns something JSON can hold.

    Returns:
        What the function returned.

    Raises:
        FreshPythonError: It did not return.
    """
    module, function = target.split(":")
    # Hosts print while they are imported, so the answer is a line with a mark.
    code = f"import json; from {module} import {function} as f; print({MARK!r} + json.dumps(f()), flush=True)"
    command = [sys.executable, "-P", "-c", code]  # -P: nothing of the working directory is imported
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603 - our own code
    except subprocess.TimeoutExpired as error:
        raise FreshPythonError(f"no answer in {TIMEOUT_S} s") from error
    for line in run.stdout.splitlines():
        if line.startswith(MARK):
            return json.loads(line.removeprefix(MARK))
    said = [line for line in run.stderr.splitlines() if line.strip()]
    raise FreshPythonError(said[-1] if said else f"exit status {run.returncode}")
