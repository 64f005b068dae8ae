"""Commands and options in the documents are there, and are called as they are now."""

import re
from pathlib import Path

import pytest

from tests.cli.command_tree import COMMANDS, LEAVES, parses, words

ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/*.md", "recipes/**/*.md", "lm_eval_tasks/**/*.md", "benchmarks/*.md")
PAGES = [page for pattern in PATTERNS for page in ROOT.glob(pattern) if page.name != "CHANGELOG.md"]
BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
OLD_NAMES = "command-line.md"
"""The page that tells which names have changed."""
SHOWN, HIDDEN = (
    {
        name
        for command in COMMANDS.values()
        for option in command.params
        if option.hidden is hidden
        for name in (*option.opts, *option.secondary_opts)
    }
    for hidden in (False, True)
)
OTHERS = {
    "--cfg", "--config-dir", "--info", "--multirun",  # Hydra
    "--metadata", "--tasks",  # lm-eval; its others have an underscore, and ours have none
    "--generation-config", "--logits-processors", "--reasoning-parser", "--tool-call-parser",  # vLLM
    "--address", "--head",  # ray start
    "--cpu", "--part",  # scripts/accept_gpu.sh
    "--curricula", "--presets", "--quick", "--seeds", "--stage", "--task",  # experiments
    "--help",
}  # fmt: skip
"""Options of other programs that pages tell of."""


def commands(page):
    """The command lines of a page, each with whether it is whole: in blocks, and between backticks."""
    text = page.read_text(encoding="utf-8")
    # A task that a page writes is a command where it is installed; here another stands in for it.
    for name in re.findall(r"^(\w+) = \"acme_", text, re.MULTILINE):
        text = text.replace(f"halluc data {name} ", "halluc data chain ")
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            for inner in re.findall(r"\$\((halluc [^)]*)\)", line):
                yield inner, True
            for part in re.split(r"&&|\||;", line.split(" #")[0]):
                called = re.sub(r"^\s*(\w+=\S+ +)*", "", part).strip()
                if called.startswith("halluc "):
                    yield called, True
    for line in re.findall(r"`(halluc [a-z][^`]*)`", BLOCK.sub("", text)):
        yield line.replace("\n", " "), False


def documented():
    """All of them, by page."""
    return [
        pytest.param(line, whole, id=f"{page.name}: {line[:60]}")
        for page in PAGES
        for line, whole in commands(page)
    ]


@pytest.mark.parametrize(("line", "whole"), documented())
def test_documented_commands_exist(line, whole):
    """A command in a block can be pasted; one in a sentence has its options, though not all it needs."""
    line = line.replace("...", "").replace("…", "").replace("[NAME ]", "NAME").replace("[NAME]", "NAME")
    if whole:
        assert parses(line)
        return
    line = re.sub(r"[|]\w+", "", line)  # `halluc data addition|chain|dag`
    path, arguments = words(line)
    known = {name for option in COMMANDS[path].params for name in (*option.opts, *option.secondary_opts)}
    if not path or path == ("data",):
        known |= SHOWN
    for word in arguments:
        if word.startswith("-"):
            assert word.split("=")[0] in known, word
    if path and path != ("data",):
        assert path in LEAVES, line


def test_commands_are_found():
    """In blocks and sentences, behind variables and in other commands."""
    found = {line.values for line in documented()}
    assert any(line.startswith("halluc view ") for line, _ in found)
    assert ("halluc lm-eval-path", True) in found
    assert len(found) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documented_options_exist(page):
    """An option between backticks is one of some command of ours, or known to be another program's."""
    outside = BLOCK.sub("", page.read_text(encoding="utf-8"))
    found = {
        name
        for text in re.findall(r"`([^`\n]+)`", outside)
        for name in re.findall(r"(?<![\w-])--[a-z][\w-]*", text)
        if "_" not in name
    }
    known = SHOWN | OTHERS | (HIDDEN if page.name == OLD_NAMES else set())
    assert found - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documented_commands_have_present_names(page):
    """No command in a block has an option by an old name."""
    for line, whole in commands(page):
        if whole:
            path, arguments = words(line)
            old = {name for option in COMMANDS[path].params if option.hidden for name in option.opts}
            assert not old & set(arguments), line
