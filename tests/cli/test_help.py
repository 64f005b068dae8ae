"""Every command's help: whole sentences, right defaults, choices, long names, examples that can be pasted."""

import re
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli import choices
from halluc_plugin.cli.app import app
from halluc_plugin.data.value_turns import Returns
from halluc_plugin.decoding import Tabu
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.jobs.samplers import Backend
from halluc_plugin.jobs.search import Method
from halluc_plugin.jobs.search_erasing import READ, Erase
from halluc_plugin.jobs.signals.asked import HEADS
from halluc_plugin.losses import Divergence
from halluc_plugin.losses.preference import Preference
from halluc_plugin.own_errors.contrast_rows import Kind
from halluc_plugin.own_errors.corrections import Depth
from halluc_plugin.own_errors.pair_rows import Negatives
from halluc_plugin.own_errors.step_values import Labels
from halluc_plugin.problem_sets.raw_traces import Edit, Ending
from halluc_plugin.problem_sets.step_traces import Pairing
from halluc_plugin.problem_sets.steps import Form
from halluc_plugin.scorers.likelihood import Says
from halluc_plugin.scorers.monte_carlo import Probing
from halluc_plugin.scorers.saved import Objective, Trunk
from halluc_plugin.scratch.model import Size
from halluc_plugin.search import Rule
from halluc_plugin.search.ranking import Reduction
from halluc_plugin.search.revision import Arm, Better
from halluc_plugin.settings import WarmStartTraces
from halluc_plugin.tokens.initialisation import Initialisation
from tests.cli.command_tree import COMMANDS, OPTIONS, parses, shown, words

CHOICES = {
    "backend", "context", "depth", "divergence", "edit", "ending", "erased_tokens", "form", "init", "method",
    "pairing", "rule", "size", "tabu", "traces", "verifier_says", "arm", "better", "reduction",
    "answers", "back", "check", "form_of_maps", "labels", "memory", "notice", "objective", "proposal",
    "returns", "trunk", "kind", "negatives", "format", "signal", "erase", "reset_after",
}  # fmt: skip


def flat(text):
    """A help without frames and line breaks: the words of the last column, in order."""
    cells = [line.strip("│ ").split("  ")[-1].strip() for line in text.splitlines()]
    return re.sub(r"\s+", " ", " ".join(cells))


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_an_option_says_what_it_is(path, option):
    """Each option has a sentence, which is shown as it was written: nothing is read as markup."""
    assert re.fullmatch(r"[A-Z\w].*\.", option.help, re.DOTALL), option.help
    assert len(option.help.split()) > 2, f"a fragment: {option.help}"
    assert option.help in flat(shown(path))


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_an_option_shows_its_default(path, option):
    """Each value that can be left out has a default that can be read; a flag is off."""
    if option.required or getattr(option, "is_flag", False):
        return
    text = flat(shown(path)).split(option.help, 1)[1]
    default = option.default if option.show_default in (True, None) else f"({option.show_default})"
    assert default is not None, "there is a default, and no word about it"
    assert str(default).strip()
    assert text.startswith((f" [default: {default}]", f" [default: {default};"))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_flag_has_no_value(path):
    """Nothing looks as if `--json` took one."""
    assert "<bool>" not in shown(path)


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_a_short_option_has_a_long_name(path, option):
    """`-k` is for the fingers, `--samples` for whoever reads the script."""
    if option.param_type_name == "option":
        assert any(name.startswith("--") for name in option.opts), option.opts


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_nothing_is_cut_off(path):
    """At 80 columns no word of a help is too long for its column."""
    assert "…" not in shown(path)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_help_ends_with_examples(path):
    """They can be pasted as they stand in a terminal of 80 columns, and the command takes them."""
    text = re.split(r"Examples?:\s*\n", shown(path))[1]
    found = [line.strip() for line in re.sub(r"\\\s*\n\s*", "", text).splitlines() if line.strip()]
    assert found
    for example in found:
        assert example.startswith("halluc"), example
        assert parses(example)
        assert words(example)[0][: len(path)] == path


@pytest.mark.parametrize(
    ("literal", "values"),
    [
        (choices.Edits, Edit), (choices.Endings, Ending), (choices.Pairings, Pairing), (choices.Forms, Form),
        (choices.Depths, Depth), (choices.Contexts, Context), (choices.Backends, {"auto", *Backend}),
        (choices.Methods, Method), (choices.Rules, Rule), (choices.Arms, Arm), (choices.Betters, Better),
        (choices.Reductions, Reduction), (choices.Sayings, Says), (choices.Tabus, Tabu),
        (choices.Starts, Initialisation), (choices.Divergences, Divergence), (choices.Sizes, Size),
        (choices.Objectives, {*Objective, *Preference}), (choices.Trunks, Trunk),
        (choices.PairKinds, Kind), (choices.Negatives, Negatives),
        (choices.Signals, {*HEADS, *READ}), (choices.Erasings, Erase),
        (choices.Labels, Labels), (choices.Probings, Probing), (choices.Returns, Returns),
        (choices.ErasedTokens, set(ErasedTokens) - {ErasedTokens.NEGATIVE}),
        (choices.WarmStarts, set(WarmStartTraces) - {WarmStartTraces.TURNS}),
    ],
)  # fmt: skip
def test_choices_are_those_of_the_code(literal, values):
    """What help lists is what the code knows."""
    assert set(get_args(literal)) == {str(value) for value in values}


def test_every_choice_is_compared():
    """No list of choices is left out above."""
    literals = [value for value in vars(choices).values() if get_origin(value) is Literal]
    (mark,) = test_choices_are_those_of_the_code.pytestmark
    assert len(literals) == len(mark.args[1])


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_choices_are_listed_and_held_to(path, option):
    """An option of a few values lists them all, and another value is one message that names them."""
    hint = get_type_hints(COMMANDS[path].callback)[option.name]
    parts = [part for part in (hint, *get_args(hint)) if get_origin(part) is Literal]  # or None next to it
    values = get_args(parts[0]) if parts else ()
    assert bool(values) == (option.name in CHOICES)
    text = re.sub(r"[│ \n]+", "", shown(path))
    for value in values:
        assert value in text
    if values:
        done = CliRunner().invoke(app, [*path, option.opts[0], "nonsense"])
        assert done.exit_code == 2
        assert all(f"'{value}'" in re.sub(r"[│ \n]+", "", done.output) for value in ("nonsense", *values))


@pytest.mark.parametrize("name", ["--version", "-h", "--help"])
def test_the_command_itself(name):
    """Its version and its help."""
    assert CliRunner().invoke(app, [name]).exit_code == 0
