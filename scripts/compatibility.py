"""Write docs/compatibility.md from the pins and from pyproject.toml: ``make docs``."""

import tomllib
from itertools import chain
from pathlib import Path

from packaging.utils import canonicalize_name

from halluc_plugin.doctor.packages import HOSTS, TESTED_PYTHON, accepted, tested_versions

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
INTRODUCTION = """\
# Compatibility

This page tells you which versions halluc was tested with, and what happens with yours.

Written by `make docs` from `constraints/cpu.txt` and `pyproject.toml`.

*Tested* is the version all tests run with. *Accepted* is what `pip` is told; empty means any, so that an
installation next to verl 0.9.1 or later and TransferQueue 0.1.11 or later moves nothing. (With an older verl
the extra `verl` upgrades it, and its own requirements move transformers and numpy.) Other versions may work,
but are not tested: `halluc doctor` shows where yours differ. Another verl than 0.9.1 to below 0.10 installs
all the same, and is refused when a run selects a name of halluc; another vLLM than 0.24 to below 0.30 when an
engine is to rewind.

What needs neither verl, vLLM nor lm-eval has also been tested on a host with an accelerator (one H200),
with Python 3.12, torch 2.11 and transformers 5.17: of `tests/` the folders `accelerator`, `credit`,
`decoding`, `edits`, `hard`, `jobs`, `losses`, `metrics`, `probes`, `recipes`, `rewards`, `rl`, `sampling`,
`scorers`, `scratch`, `search`, `theory`, `tokens`, `traces`, `training`. On the accelerator itself ran what
`tests/accelerator` asks for, the trainers, the searches and the experiments. Not run there: its test of
low-rank updates, which is younger (the experiments trained such updates there), and `tests/settings`, which
needs omegaconf.

Never run on an accelerator by us: verl, vLLM and lm-eval, and with them hard decoding in vLLM, our engine on
FSDP2, and what `halluc doctor --plan` says of memory and time there. These have run on CPUs only.

| package | tested | accepted |
| --- | --- | --- |
"""


def page() -> str:
    """Return the text of the page."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(chain(project["dependencies"], *project["optional-dependencies"].values()))
    tested = tested_versions((ROOT / "constraints" / "cpu.txt").read_text())
    rows = [f"| Python | {TESTED_PYTHON} | {project['requires-python']} |"]
    for host in HOSTS:
        pinned = [name for name in host.distributions if canonicalize_name(name) in tested]
        rows += [
            f"| {name} | {tested[canonicalize_name(name)]} | {accepted(requirements, name)} |"
            for name in pinned
        ]
    return INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
