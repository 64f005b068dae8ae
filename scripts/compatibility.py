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
FSDP2, and what `halluc doctor --plan` says of memory and time there; and what is younger than that run, above
all log-probs from packed rows and from logits in chunks, which an accelerator computes by flex attention,
forward and backward. These have run on CPUs only. [A script](#on-a-gpu) tries them on yours.

| package | tested | accepted |
| --- | --- | --- |
"""

ACCEPTANCE = """
## On a GPU

```bash
scripts/accept_gpu.sh --part hf      # torch and transformers alone, from a clone; nothing is downloaded
scripts/accept_gpu.sh --part verl    # with verl and vLLM
```

Each part is made to take less than ten minutes, and writes `accept-PART.json` (`--out FILE`): the names and
sizes of the hardware, versions, and for each check its outcome, figures and seconds. Exit status 1 says that
a check failed; please report the file. `--cpu` tries the script itself on small models, and is how both parts
are tested.

| part | check | what is compared |
| --- | --- | --- |
| hf | `hard_attention` | log-probs of raw traces in one pass; a pass of its own for each action's live text |
| hf | `flex_forward`, `flex_backward` | log-probs and gradients by flex attention; by plain products |
| hf | `hard_decode` | decoding that rewinds its cache, sampled and greedy; re-prompting |
| hf | `packed_step` | log-probs and gradients of packed rows; of padded rows with full logits |
| hf | `packed_memory` | peak of a packed step of AdamW; one with full logits; what `--plan` says |
| verl | `doctor_engine` | `halluc doctor --engine` has no red line |
| verl | `vllm_hard_decode` | vLLM in hard context, with preemption and CUDA graphs; transformers |
| verl | `halluc_grpo_steps`, `halluc_grpo_hard_steps` | two steps in verl: nothing fails, all is logged |

**No GPU could be had since the script was written, so there are no figures of one here.** On a CPU (two
cores, the versions above) all checks of the part `hf` pass with `--cpu`, but for `flex_backward`, which is
skipped there: torch has no backward pass of flex attention on a CPU. The packed step held 150 MiB beyond the
optimizer's states where full logits held 345 MiB, and `--plan` says 150. Of the part `verl` the engine's two
checks have passed on a CPU; its steps of GRPO have not been run by this script to their end (tests of their
own run both recipes on a CPU).
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
    return INTRODUCTION + "\n".join(rows) + "\n" + ACCEPTANCE


if __name__ == "__main__":
    PAGE.write_text(page())
