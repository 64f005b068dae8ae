"""Create the environment that `make demo` and `make test` use. Needs Python 3.11 and nothing else.

    python3.11 scripts/bootstrap.py .venv

The CPU build of torch comes from the find-links configured for pip when there are any, else from PyTorch's
own CPU index, which uv knows by name. uv reads none of pip's configuration, so it is passed on.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "constraints" / "cpu.txt"
OVERRIDES = ROOT / "constraints" / "cpu-overrides.txt"

PIP_TO_UV = {
    # pip's setting   -> uv's variable, and what separates its values
    "find-links": ("UV_FIND_LINKS", ","),
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "cert": ("SSL_CERT_FILE", ""),
}


def pip_settings(listing: str) -> dict[str, list[str]]:
    """Parse ``pip config list``; pip's precedence is environment, then ``[install]``, then ``[global]``."""
    found: dict[str, list[str]] = {}
    for scope in ("global.", "install.", ":env:."):
        for line in listing.splitlines():
            if line.startswith(scope):
                key, _, value = line.removeprefix(scope).partition("=")
                found[key] = str(ast.literal_eval(value)).split()
    return found


def uv_environment(settings: dict[str, list[str]]) -> dict[str, str]:
    """Return the variables that pass pip's settings to uv; the user's own ``UV_...`` variables win."""
    handed_over = {
        variable: separator.join(settings[key])
        for key, (variable, separator) in PIP_TO_UV.items()
        if settings.get(key)
    }
    if "UV_INDEX" in handed_over:
        # As pip: the best version of all indexes, not only of the first that knows the name.
        handed_over["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return handed_over | os.environ


def torch_source(environment: dict[str, str]) -> list[str]:
    """Return the option for PyTorch's CPU index, which uv takes torch from if no find-links have it."""
    return [] if environment.get("UV_FIND_LINKS") else ["--torch-backend", "cpu"]


def main(folder: Path) -> None:
    """Create or complete the environment in ``folder``; existing parts are kept."""
    python, uv = folder / "bin" / "python", folder / "bin" / "uv"
    if not python.exists():
        run(sys.executable, "-m", "venv", folder)
    if not uv.exists():
        run(python, "-m", "pip", "install", "--quiet", "--constraint", PINS, "uv")
    listing = [str(python), "-m", "pip", "config", "list"]
    configured = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    environment = uv_environment(pip_settings(configured))
    install: list[str | Path] = [uv, "pip", "install", "--python", python, *torch_source(environment)]
    install += ["--constraint", PINS, "--override", OVERRIDES, "--editable", f"{ROOT}[cpu,dev]"]
    # Once here, not by each of the dozen processes of a run: where Python may not write bytecode
    # (PYTHONDONTWRITEBYTECODE), every one of them would compile all that it imports.
    install.append("--compile-bytecode")
    run(*install, environment=environment)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> None:
    """Print a command, then run it, so that a failure shows what failed."""
    print("+", *command, flush=True)
    subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).absolute())
    except subprocess.CalledProcessError as error:
        sys.exit(f"bootstrap: the last command failed (exit status {error.returncode}); see above.")
