"""Commands that are printed to be pasted: shell and host read back what was meant, whatever is in a path."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from halluc_plugin.commands import export, model_args, override, shell

ROOT = Path(__file__).parents[1]
SHIPPED = ("halluc_plugin", "verl_ext", "lm_eval_tasks", "hydra_plugins", "recipes")

# All that a file system of POSIX takes, and that can be printed.
CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
ODD = st.sampled_from(list(" ,=\"'$`\\{}[]()~#!*?&|;<>:%-\n\té"))
TEXTS = st.text(CHARACTERS | ODD, min_size=1, max_size=12)
HOSTILE = (
    "a b", "a,b", "a=b", "a'b", 'a"b', "$HOME", "${x}", "\\${x}", "\\\\", "a\\", "-rf", "--help", "~",
    "~root", "é", "[bold]", ":car:", "None", "1e5", "007", "true", "???", "{", "#", "a\nb",
    "'", "''", "\\'", "a\\\n",
)  # fmt: skip


def hostile(test):
    """A test of all texts, and of those that have broken somebody's command."""
    for text in HOSTILE:
        test = example(text)(test)
    return given(TEXTS)(test)


@hostile
def test_words_come_back(text):
    """A shell's own lexer gives back every word."""
    assert shlex.split(shell("halluc", "view", text)) == ["halluc", "view", text]


@hostile
def test_a_path_is_no_option_and_no_home(text):
    """A path that begins with a dash or a tilde still leads where it did."""
    path = Path(text)
    _, _, word = shlex.split(shell("halluc", "view", path))
    assert not word.startswith(("-", "~"))
    assert Path(word) == path


@pytest.mark.parametrize("text", HOSTILE)
def test_a_shell_agrees(text):
    """What sh makes of the printed line: arguments and environment."""
    show = "import os, sys; sys.stdout.write(os.environ['X'] + '\\0' + sys.argv[1])"
    line = shell(sys.executable, "-c", show, text, X=text)
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=True, encoding="utf-8")
    assert done.stdout.split("\0") == [text, text]
    done = subprocess.run(
        ["sh", "-c", f'{export("X", Path(text))}; printf %s "$X"'],
        capture_output=True, check=True, encoding="utf-8",
    )  # fmt: skip
    assert Path(done.stdout) == Path(text)


@pytest.fixture(scope="module")
def lm_eval_reads():
    """What lm-eval's own parser makes of a printed command line."""
    harness = pytest.importorskip("lm_eval._cli.harness").HarnessCLI()

    def read(line):
        program, *words = shlex.split(line)
        assert program == "lm_eval"
        return harness._parser.parse_args(["run", *words])

    return read


def test_lm_eval_takes_the_model(lm_eval_reads):
    """A model is the same text in lm-eval's arguments: never split, never a number, never None."""

    @hostile
    def check(text):
        for model in (text, f"/models/{text}"):
            line = shell(
                "lm_eval", "--model", "hf-backtrack", "--model_args", model_args(model), "--tasks", "x"
            )
            assert lm_eval_reads(line).model_args == {"pretrained": model}

    check()
    assert model_args("/runs/a-1/global_step_30") == "pretrained=/runs/a-1/global_step_30"
    assert model_args("Qwen/Qwen2.5-0.5B") == "pretrained=Qwen/Qwen2.5-0.5B"


def test_hydra_takes_the_value():
    """An override sets the same text in the config, neither parsed, nor split, nor interpolated."""
    overrides_parser = pytest.importorskip("hydra.core.override_parser.overrides_parser")
    from omegaconf import OmegaConf

    parser = overrides_parser.OverridesParser.create()

    @hostile
    def check(text):
        for value in (text, f"/models/{text}"):
            (word,) = shlex.split(shell(override("actor_rollout_ref.model.path", value)))
            found = parser.parse_override(word)
            assert found.key_or_group == "actor_rollout_ref.model.path"
            if value != "???":  # OmegaConf's own word for a value that is missing
                assert OmegaConf.create({"path": found.value()}).path == value

    check()
    assert override("model.path", "/runs/a-1") == "model.path=/runs/a-1"


def installs():
    """Whatever of ours tells a user to install, with what stands before and behind it."""
    for folder in SHIPPED:
        for file in sorted((ROOT / folder).rglob("*.py")):
            text = file.read_text(encoding="utf-8")
            for found in re.finditer(r"(.)(pip install [^`\"]+)(.)", text):
                yield pytest.param(*found.groups(), id=f"{file.name}: {found[2]}")


@pytest.mark.parametrize(("before", "command", "behind"), installs())
def test_what_installs_can_be_pasted(before, command, behind):
    """Each `pip install` is a text of its own or stands between backticks, and its words are requirements."""
    assert before == behind
    assert before in '`"'
    for word in shlex.split(re.sub(r"\{[^}]+\}", "1", command))[2:]:
        assert word.startswith("-") or Requirement(word)
