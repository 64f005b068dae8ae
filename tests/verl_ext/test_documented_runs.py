"""Training commands and settings in the documents are ones that Hydra, verl and our block take."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from halluc_plugin.rewards import components
from halluc_plugin.settings import load

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/*.md", "recipes/**/*.md", "lm_eval_tasks/**/*.md")
OTHERS = {
    "CHANGELOG.md": "tells of what was",
    "host-settings.md": "is written from verl's own settings, and tested",
}
PAGES = [page for pattern in PATTERNS for page in ROOT.glob(pattern) if page.name not in OTHERS]
PROGRAMS = {"main_ppo": "ppo_trainer", "sft_trainer": "sft_trainer_engine"}
BLOCK = re.compile(r"^```(?:bash|sh|console)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
KEY = re.compile(r"\+{0,2}([a-z_]+(?:\.[a-z_0-9]+)+)(?:=.*)?")
NO_SETTINGS = {
    "halluc.commands": "a group of entry points",
    "halluc.doctor": "another",
    "halluc.rewards": "another",
    "halluc.tasks": "another",
    "reward_model.ground_truth": "a field of a row",
}
ABSENT = object()


def lines(page):
    """The command lines of a page's blocks, each whole."""
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        yield from block.replace("\\\n", " ").splitlines()


def runs():
    """Program and overrides of each training command, once."""
    found = {}
    for page in PAGES:
        for line in lines(page):
            told = re.search(r"-m verl\.trainer\.(main_ppo|sft_trainer)\b(.*)", line)
            if told and "--config-dir" not in line:  # a file of the reader's own
                words = [word for word in shlex.split(told[2], comments=True) if word != "..."]
                found.setdefault((told[1], *words), page.name)
    return [
        pytest.param(PROGRAMS[program], overrides, id=f"{name}: {' '.join(overrides)}"[:90])
        for (program, *overrides), name in found.items()
    ]


@cache
def composed(program, *overrides):
    """The config of verl's trainer with these overrides."""
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose(program, list(overrides))


@pytest.mark.parametrize(("program", "overrides"), runs())
def test_a_documented_run_composes(program, overrides):
    """Hydra knows each group and key, and our block takes its values."""
    config = composed(program, *overrides)
    load(config.halluc)


def test_runs_are_found():
    """The first command of the README is among them."""
    found = [tuple(param.values[1]) for param in runs()]
    assert ("+recipe=halluc_grpo",) in found
    assert len(found) > 10


@cache
def known_keys():
    """Keys of our block, as its page has them; a test of its own holds that page to the code."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| \**`(halluc\.[\w.]+)`", page, re.MULTILINE)) | {
        f"halluc.reward.weights.{name}" for name in components()
    }


def is_known(key):
    """Whether a run has such a setting, or it is known to be none."""
    if key in NO_SETTINGS or any(known == key or known.startswith(f"{key}.") for known in known_keys()):
        return True
    configs = (
        composed("ppo_trainer", "+recipe=halluc_grpo"),
        composed("sft_trainer_engine", "+recipe=halluc_sft"),
    )
    return any(OmegaConf.select(config, key, default=ABSENT) is not ABSENT for config in configs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documented_settings_exist(page):
    """Each key between backticks that begins as a setting of a run does is one."""
    roots = {
        *composed("ppo_trainer", "+recipe=halluc_grpo"),
        *composed("sft_trainer_engine", "+recipe=halluc_sft"),
    }
    words = [
        word for text in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")) for word in text.split()
    ]
    keys = {told[1] for word in words if (told := KEY.fullmatch(word))}
    unknown = {key for key in keys if key.split(".")[0] in roots and not is_known(key)}
    assert not unknown


def test_a_key_that_does_not_exist_is_found():
    """The test above can fail."""
    assert is_known("halluc.guard.enabled")
    assert is_known("trainer.experiment_name")
    assert not is_known("halluc.guard.enable")
    assert not is_known("trainer.experiment")
