"""Installing halluc where verl, torch, vLLM and transformers are installed moves none of them."""

import subprocess
import sys
from pathlib import Path

import pytest

UV = Path(sys.executable).parent / "uv"
INSTALLERS = {
    # Without an index: whatever is not satisfied by what is installed makes the resolution fail.
    "uv": (UV, "pip", "install", "--offline", "--dry-run", "--python", sys.executable),
    "pip": (sys.executable, "-m", "pip", "install", "--no-index", "--dry-run", "--disable-pip-version-check"),
}


def dry_run(installer, *requirements):
    """Ask the installer what it would do."""
    command = [*INSTALLERS[installer], *map(str, requirements)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def touched(run):
    """The names an installer would add, remove or replace."""
    names = set()
    for line in (run.stdout + run.stderr).splitlines():
        if line.startswith((" + ", " - ", " ~ ")):  # uv: " + name==version" or " + name @ file"
            names.add(line[3:].partition("==")[0].split()[0])
        elif line.startswith("Would install "):  # pip: "Would install name-version name-version"
            names.update(word.rpartition("-")[0] for word in line.split()[2:] if "-" in word)
    return names


@pytest.mark.parametrize("extras", ["", "[verl,eval]"])
@pytest.mark.parametrize("installer", INSTALLERS)
def test_no_version_changes(wheel, installer, extras):
    """Only halluc itself would be installed or replaced, bare and with the extras for verl and lm-eval."""
    run = dry_run(installer, f"{wheel}{extras}")
    assert run.returncode == 0, run.stderr
    assert touched(run) <= {"halluc"}


@pytest.mark.parametrize("installer", INSTALLERS)
def test_the_check_can_fail(wheel, installer):
    """A requirement that would move torch is refused, so passing means something."""
    assert dry_run(installer, wheel, "torch<2").returncode != 0
