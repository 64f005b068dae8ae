"""Define the methods by which a file of problems can be searched, and the options of each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.search.ranking import Reduction
from halluc_plugin.search.revision import Arm, Better


class Method(StrEnum):
    """The method of a search."""

    BACKTRACK = "backtrack"
    SAMPLE = "sample"
    REFINE = "refine"
    """Answers that the model may refine once they are finished (ReVISE, arXiv 2502.14565)."""
    DEBATE = "debate"
    """Copies that read one another's answers and answer again (arXiv 2305.14325)."""
    ERASE = "erase"
    """Samples of which a signal erases some, without training (docs/signals.md)."""
    GREEDY = "greedy"
    BEAM = "beam"
    BREADTH_FIRST = "breadth-first"
    DEPTH_FIRST = "depth-first"
    REVISE = "revise"
    """Algorithm 1 of OpenReview hJ2BCYGvFg."""
    BEST_OF_N = "best-of-n"
    WEIGHTED_MAJORITY = "weighted-majority"
    VALUE_BEAM = "value-beam"
    TS_LLM = "ts-llm"
    LATS = "lats"
    SUBPOOL = "subpool"
    """Stochastic backtracking (arXiv 2605.25143)."""
    DRAFT_VERIFY = "draft-verify"
    """A cheaper model's steps, accepted or taken back (arXiv 2501.19324)."""


TREES = frozenset({Method.BREADTH_FIRST, Method.DEPTH_FIRST})
RANKED = frozenset({Method.BEST_OF_N, Method.WEIGHTED_MAJORITY})
GROWN = frozenset({Method.TS_LLM, Method.LATS})
GUIDED = RANKED | GROWN | {Method.REVISE, Method.VALUE_BEAM, Method.SUBPOOL, Method.DRAFT_VERIFY}
"""The methods that a scorer of steps guides; they select their answer themselves."""
STOPPING = GROWN | {Method.REVISE, Method.SUBPOOL}
"""The methods that stop at an answer that is good enough."""

MEANING: Mapping[str, frozenset[Method]] = {
    "rounds": frozenset({Method.BACKTRACK, Method.REFINE, Method.DEBATE, Method.SUBPOOL}),
    "budget": TREES | GROWN | {Method.VALUE_BEAM, Method.REVISE},
    "oracle": TREES,
    "tabu": frozenset({Method.BACKTRACK, Method.SAMPLE, Method.ERASE}),
    "ban_edits": frozenset(Method) - {Method.BACKTRACK, Method.REFINE, Method.BEAM, Method.ERASE},
    "rule": frozenset(Method) - GUIDED,
    "scorer": GUIDED,
    "continuations": GUIDED,
    "p_des": STOPPING,
    "corrector": frozenset({Method.REVISE}),
    "omega": frozenset({Method.REVISE}),
    "revisions": frozenset({Method.REVISE}),
    "arm": frozenset({Method.REVISE}),
    "better": frozenset({Method.REVISE}),
    "turns": frozenset({Method.REVISE}),
    "reduction": RANKED,
    "lookahead": frozenset({Method.VALUE_BEAM}),
    "exploration": GROWN,
    "reflect": frozenset({Method.LATS}),
    "share": frozenset({Method.SUBPOOL}),
    "draft": frozenset({Method.DRAFT_VERIFY}),
    "draft_layers": frozenset({Method.DRAFT_VERIFY}),
    "accept": frozenset({Method.DRAFT_VERIFY}),
}
"""The options that not every method has, by their names in :class:`halluc_plugin.jobs.search.SearchJob` and
:class:`Guidance`."""


class ScorerKind(StrEnum):
    """The kinds of scorers of steps that are not loaded from files."""

    ORACLE = "oracle"
    """Whether a right answer can still be reached, by the problem's verifier."""
    MONTE_CARLO = "monte-carlo"
    """The share of right answers among the answering model's continuations."""
    LIKELIHOOD = "likelihood"
    """How likely a model finds the step."""
    VERDICT = "verdict"
    """A model's verdict on the step, in one token."""


STATED = frozenset({ScorerKind.LIKELIHOOD, ScorerKind.VERDICT})
"""The scorers whose values a model states: the one that ``--verifier`` names, or the one that answers."""


@dataclass(frozen=True)
class Guidance:
    """The settings of a guided search; None stands for the method's own default.

    Args:
        scorer: A :class:`ScorerKind`, or the folder or hub name of a scorer of steps.
        continuations: Number of continuations of each prefix, only with :attr:`ScorerKind.MONTE_CARLO`; None
            for 8.
        corrector: Model that writes the revised suffixes; None for the model that answers.
        omega: The tie margin; see :class:`halluc_plugin.search.revision.Revising`.
        p_des: Final value at which an answer is good enough, in [0, 1].
        revisions: Largest number of revisions.
        arm: The step that is revised.
        better: The rule that decides which new answer is kept.
        turns: Largest number of earlier answers that the scorer reads before a new one; None for one that
            reads none.
        reduction: The reduction of the values of an answer's steps to its score; None for the last value.
        lookahead: Number of steps of look-ahead, None for none.
        exploration: Weight of states that a tree has rarely visited.
        reflect: Whether the model states what went wrong and reads it in the next attempt.
        share: Share of the pool that competes.
        draft: Model that drafts steps.
        draft_layers: Number of first layers of the model that answers, which draft steps.
        accept: Value from which on a drafted step stays; None for 0.5.
    """

    scorer: str | None = None
    continuations: int | None = None
    corrector: str | None = None
    omega: float | None = None
    p_des: float | None = None
    revisions: int | None = None
    arm: Arm | None = None
    better: Better | None = None
    turns: int | None = None
    reduction: Reduction | None = None
    lookahead: int | None = None
    exploration: float | None = None
    reflect: bool = False
    share: float | None = None
    draft: str | None = None
    draft_layers: int | None = None
    accept: float | None = None

    @property
    def kind(self) -> ScorerKind | None:
        """The kind of scorer, None for a scorer in files."""
        return ScorerKind(self.scorer) if self.scorer in set(ScorerKind) else None

    def chosen(self, *names: str) -> dict[str, Any]:
        """Return the values of these names that were given; names without a value keep their default."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def given(self) -> frozenset[str]:
        """Return the names of all values that were given."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name) != field.default)

    def described(self) -> dict[str, Any]:
        """Return all settings as a JSON-able mapping."""
        told = asdict(self)
        for name in ("turns", "draft", "draft_layers", "accept"):
            if told[name] is None:
                del told[name]  # answers of before there was a choice are kept
        return told


def require_meaning(method: Method, given: Mapping[str, bool]) -> None:
    """Refuse options that have no meaning for a method.

    Args:
        method: The method of the search.
        given: Whether each option was given, by its name in :data:`MEANING`.

    Raises:
        SettingsError: An option that was given has no meaning for the method.
    """
    for name, was_given in given.items():
        if was_given and method not in MEANING[name]:
            raise SettingsError(
                f"{flag(name)} has no meaning for --method {method}.",
                f"Leave it out, or use {' or '.join(sorted(MEANING[name]))}.",
            )


def flag(name: str) -> str:
    """Return an option as it is typed on the command line."""
    return f"--{name.replace('_', '-')}"
