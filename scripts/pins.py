"""Write the versions of the running environment as the tested stack: ``make pins``.

The file names packages and versions only, so it serves with any index.
"""

import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parents[1] / "constraints" / "cpu.txt"
HEADER = """\
# The tested CPU stack, Python 3.11, Linux x86_64. Written by `make pins`; install with scripts/bootstrap.py.
"""


def main() -> None:
    """Replace the pins by the versions installed for the running interpreter."""
    uv = Path(sys.executable).parent / "uv"
    freeze = [str(uv), "pip", "freeze", "--python", sys.executable, "--exclude-editable"]
    lines = subprocess.run(freeze, check=True, capture_output=True, text=True).stdout.splitlines()
    # pip is Python's own; a package from a folder or an address is nobody else's.
    pins = [line for line in lines if "==" in line and not line.startswith("pip==")]
    PINS.write_text(HEADER + "\n".join(pins) + "\n")


if __name__ == "__main__":
    main()
