"""Keep every dependence on a version of verl in one place, with the version in the condition."""

from importlib.metadata import version
from typing import Any

from packaging.version import Version

from halluc_plugin.errors import HostVersionError

OLDEST_VERL = Version("0.9.1")
FIRST_UNTESTED_VERL = Version("0.10")


def require_tested_verl() -> None:
    """Refuse a verl outside the tested window.

    It is called when one of halluc's names is selected, never on installation.

    Raises:
        HostVersionError: verl is too old or too new.
    """
    installed = Version(version("verl"))
    window = f"verl>={OLDEST_VERL},<{FIRST_UNTESTED_VERL}"
    if not OLDEST_VERL <= installed < FIRST_UNTESTED_VERL:
        raise HostVersionError(
            f"verl {installed} is installed; halluc is tested with {window}.",
            f"Run `pip install '{window}'`, or take a release of halluc for your verl.",
        )


class AnswersToSync:
    """A trainer that verl must treat as its synchronous one.

    verl 0.9.1 compares ``trainer_mode``, the name a trainer is registered under, with the literal "sync" in
    six places (trainer_base.py). A subclass under a name of its own answers "sync" there.
    """

    @property
    def trainer_mode(self) -> str:
        """The mode that verl reads, always ``sync``."""
        return "sync"

    @trainer_mode.setter
    def trainer_mode(self, _registered_name: Any) -> None:
        """Ignore the registered name, which the base class assigns."""
