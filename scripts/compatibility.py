"""Write docs/compatibility.md from the records of what was run, the pins and pyproject: ``make docs``."""

import json
import tomllib
from itertools import chain
from pathlib import Path

from packaging.utils import canonicalize_name

from halluc_plugin import window
from halluc_plugin.doctor.packages import HOSTS, accepted, tested_versions
from halluc_plugin.window import Outcome, Record

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
KINDS = ROOT / "scripts" / "model_kinds.json"
WORKS = "works"
INTRODUCTION = """\
# Compatibility

This page tells you which versions halluc was run with, and what happens with yours. `halluc doctor` says it
of each version that is installed: run, inside the window but not run itself, or outside, with the nearest
version that was run.

Written by `make docs` from the records of `scripts/window.py`, `constraints/cpu.txt` and `pyproject.toml`.

## Versions

*All tests* is the version that every change is tested with. *Run* are the versions of which a check below
passed that depends on them, where none failed. *Window* is what halluc takes: another verl is refused when
a run selects a name of halluc, another vLLM when an engine is to rewind or, on model runner V2, to limit
edits. *pip* is what `pip` is told; empty means any, so that an installation next to verl 0.9.0 or later and
TransferQueue 0.1.8 or later moves nothing. (With an older verl the extra `verl` upgrades it, and its own
requirements move transformers and numpy.)

TABLE

verl 0.9.0 and 0.9.1 take transformers below 5.11, and vLLM wants 5.16.1 or later from 0.32 on: with verl,
vLLM ends at 0.31, and 0.32 is for an environment without verl (doctor, search, lm-eval).

From vLLM 0.31 on, model runner V2, its choice on a GPU, takes logits processors of an interface of its own.
Limits on edits in soft context work on it; an engine in hard context does not start there, and says to set
`VLLM_USE_V2_MODEL_RUNNER=0`. Before, a logits processor makes vLLM choose runner V1.

lm-eval has no newer release than the one that was run. Its main branch finds models, filters and (in a pull
request) tasks by groups of entry points; ours have their names. That was only read.

## Kinds of models

Which commands work on which models, tried by `python scripts/model_kinds.py` on tiny random models of these
kinds (made from their configs, not downloaded) with byte-level tokenizers or tokenizers with a sign for the
space, on CPUs with the transformers of the first table. `add-token` counts as working if the model says of
old tokens what it said before, read back from the files; `hf-backtrack` is lm-eval's model. vLLM was not
tried on these kinds, and nothing is said of what a model learns.

KINDS

## Records

Each is an environment of its own, in which `scripts/window.py run` went through the checks, on CPUs;
`resolution` is of metadata alone. Between the versions that were run, the engine's tests were once exact with
vLLM 0.25 to 0.29, and the trial of `halluc doctor --engine` with 0.30; that was not repeated since. Limits on
edits on model runner V2 were checked against a stand-in for the runner, with vLLM 0.28 and 0.31, and never on
the runner itself (`tests/vllm_engine/soft_on_v2.py` does that). The kernels of vLLM 0.24 are compiled for
torch 2.11: with torch 2.13 it is imported, and no engine starts.

RECORDS

## Accelerators

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
forward and backward. These have run on CPUs only. [A script](#on-a-gpu) tries them on yours. What verl's own
images hold (`constraints/verl-image.txt`) was resolved, and never run.
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
optimizer's states where full logits held 345 MiB, and `--plan` says 150. All four checks of the part `verl`
pass with `--cpu`, too, in 336 seconds (commit 16e869a).
"""


MARKS = {Outcome.PASSED: "passed", Outcome.SKIPPED: "not run", Outcome.FAILED: "**failed**"}


def page() -> str:
    """Return the text of the page."""
    shown = {"TABLE": _table(), "KINDS": _kinds(), "RECORDS": "\n\n".join(map(_record, window.records()))}
    text = INTRODUCTION + ACCEPTANCE
    for place, part in shown.items():
        text = text.replace(f"\n{place}\n", f"\n{part}\n")
    return text


def _table() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = list(chain(project["dependencies"], *project["optional-dependencies"].values()))
    tested = tested_versions((ROOT / "constraints" / "cpu.txt").read_text())
    pythons = sorted({".".join(record.python.split(".")[:2]) for record in window.records() if record.sound})
    rows = [("Python", "3.11", ", ".join(pythons), str(window.PYTHON), project["requires-python"])]
    for host in HOSTS:
        run = ", ".join(map(str, window.versions_run(*host.distributions)))
        rows += [
            (
                name,
                tested[canonicalize_name(name)],
                run,
                str(window.WINDOWS.get(name, "")),
                accepted(requirements, name),
            )
            for name in host.distributions
            if canonicalize_name(name) in tested
        ]
    head = ("package", "all tests", "run", "window", "pip")
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def _kinds() -> str:
    """A table of what works, and below it why the rest does not."""
    found: dict[str, dict[str, str]] = json.loads(KINDS.read_text(encoding="utf-8"))
    checks = list(next(iter(found.values())))
    reasons: dict[str, int] = {}
    rows = []
    for kind, results in found.items():
        cells = [kind]
        for check in checks:
            result = results[check]
            number = None if result == WORKS else reasons.setdefault(result, len(reasons) + 1)
            cells.append("yes" if number is None else f"no ({number})")
        rows.append(tuple(cells))
    head = ("model", *checks)
    table = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
    return "\n".join([*table, "", *(f"{number}. {reason}" for reason, number in reasons.items())])


def _record(record: Record) -> str:
    hosts = ", ".join(f"{name} {version}" for name, version in record.packages.items()) or "no host"
    lines = [
        f"### {record.name}", "",
        f"Python {record.python}; {hosts}. {record.date}, commit `{record.commit}`, {record.machine}."
        + (f" {record.note}" if record.note else ""), "",
        "| check | | seconds | |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += [
        f"| {each.check} | {MARKS[each.outcome]} | {each.seconds:.0f} | {_in_a_cell(each.detail)} |"
        for each in record.findings
    ]
    return "\n".join(lines)


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
