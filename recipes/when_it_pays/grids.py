"""The models of each part of the experiment, by name."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum

from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.recipes.when_it_pays.scale import Scale
from halluc_plugin.recipes.when_it_pays.specs import Form, Judge, Spec
from halluc_plugin.scratch.model import Shape, Size
from halluc_plugin.tasks.sat.problems import SatProblems
from halluc_plugin.tasks.sudoku.problems import SudokuProblems
from halluc_plugin.tasks.word.automaton import Check
from halluc_plugin.tasks.word.problems import WordProblems

Specs = Mapping[str, Spec]

WORD = WordProblems(states=10, letters=3, length=6, starts=4)
"""The word problem of the other recipes: a tenth of a second of training a step."""
MORE = "clean, more steps"
FALSE_ALARMS = 0.05
"""False alarms of the judges by whose traces starts of a known D are made."""
DISCRIMINATION = (0.0, 0.05, 0.2, 0.5)
"""D of the judges: a start that imitates one comes to about as much."""
TRIES = 3
"""Tries for each start: of even draws from four, 98 in 100 find the right one among 13."""
SMALLEST = Shape(hidden=64, intermediate=128, layers=4, heads=4)


class Part(StrEnum):
    """A part of the experiment."""

    GRID = "grid"
    """All arms on the word problem."""
    WHERE = "where"
    """Clean, soft and hard over length, starts and blanks."""
    ERASED = "erased"
    """What erased tokens, the check and the share of decisions change, in hard context."""
    SIZES = "sizes"
    """Clean, soft and hard at three sizes."""
    LEARNING = "learning"
    """GRPO from starts of a known D."""
    OTHERS = "others"
    """Clean, twin, soft and hard on satisfiability and Sudoku."""


def specs(part: Part, scale: Scale) -> Specs:
    """Return the models of a part."""
    return {
        Part.GRID: _grid, Part.WHERE: _where, Part.ERASED: _erased, Part.SIZES: _sizes,
        Part.LEARNING: _starts, Part.OTHERS: _others,
    }[part](scale)  # fmt: skip


def _grid(scale: Scale) -> Specs:
    arms = {str(form): Spec(WORD, form, scale.steps) for form in Form}
    # Each rejection takes four tokens, and not one.
    arms[str(Form.STREAM)] = replace(arms[str(Form.STREAM)], max_tokens=180)
    return arms | {MORE: Spec(WORD, Form.CLEAN, scale.steps * scale.more)}


def _where(scale: Scale) -> Specs:
    changed = {
        **{f"length {length}": replace(WORD, length=length) for length in (2, 4, 8)},
        **{f"{starts} starts": replace(WORD, starts=starts) for starts in (2, 8)},
        **{f"{blanks} blanks": replace(WORD, length=4, starts=2, blanks=blanks) for blanks in (1, 2)},
    }
    return {
        f"{name}, {form}": _long(Spec(problems, form, scale.steps, tries=TRIES * max(problems.starts, 4)))
        for name, problems in changed.items()
        for form in (Form.CLEAN, Form.SOFT, Form.HARD)
    }


def _long(spec: Spec) -> Spec:
    """Give an answer room for as many lines as a trace may have, each with its edit."""
    assert isinstance(spec.problems, WordProblems)
    return replace(spec, max_tokens=(spec.tries + 1) * (spec.problems.length + 4))


def _erased(scale: Scale) -> Specs:
    checks = {"check": WORD, "no check": replace(WORD, check=Check.LEFT_OUT)}
    treatments = (ErasedTokens.KEEP, ErasedTokens.MASK, ErasedTokens.WEIGHT)
    return {
        f"{check}, {erased}, {'even' if share is None else share}": Spec(
            problems, Form.HARD, scale.steps, erased_tokens=erased, decisions=share
        )
        for check, problems in checks.items()
        for erased in treatments
        for share in (None, 0.5)
    }


def _sizes(scale: Scale) -> Specs:
    sizes: Mapping[str, Size | Shape] = {"0.2M": SMALLEST, "3M": Size.SMALL}
    return {
        f"{name}, {form}": Spec(WORD, form, scale.steps, size=size)
        for name, size in sizes.items()
        for form in (Form.CLEAN, Form.SOFT, Form.HARD)
    }


def _starts(scale: Scale) -> Specs:
    """Describe starts of each D; those above 0 see already, since a judge who errs does not teach it."""
    blind = Spec(WORD, Form.HARD, scale.steps)
    sees = replace(blind, steps=scale.weak_steps, after=blind)
    return {
        f"D {d:g}": replace(
            sees if d else blind,
            tries=4,
            judge=Judge(missed=1 - d - FALSE_ALARMS, false_alarms=FALSE_ALARMS),
        )
        for d in DISCRIMINATION
    }


def _others(scale: Scale) -> Specs:
    sat = SatProblems(sizes=replace(SatProblems().sizes, smallest=4, largest=6, longest=7))
    tasks = {"sat": Spec(sat, Form.CLEAN, scale.steps, max_tokens=100)}
    # Of the rows that a Sudoku allows one in up to 24 is right: drawn evenly, a trace would not end.
    tasks["sudoku"] = Spec(SudokuProblems(), Form.CLEAN, scale.steps, rate=0.6, max_tokens=200)
    return {
        f"{name}, {form}": replace(spec, form=form)
        for name, spec in tasks.items()
        for form in (Form.CLEAN, Form.TWIN, Form.SOFT, Form.HARD)
    }
