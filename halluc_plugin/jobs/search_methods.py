"""How a file of problems can be searched: the methods, and which option has a meaning for which."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.search.ranking import Reduction
from halluc_plugin.search.revision import Arm, Better


class Method(StrEnum):
    """How to search."""

    BACKTRACK = "backtrack"
    SAMPLE = "sample"
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


TREES = frozenset({Method.BREADTH_FIRST, Method.DEPTH_FIRST})
RANKED = frozenset({Method.BEST_OF_N, Method.WEIGHTED_MAJORITY})
GROWN = frozenset({Method.TS_LLM, Method.LATS})
GUIDED = RANKED | GROWN | {Method.REVISE, Method.VALUE_BEAM, Method.SUBPOOL}
"""Those that a scorer of steps guides; they find their answer themselves."""
STOPPING = GROWN | {Method.REVISE, Method.SUBPOOL}
"""Those that stop at an answer that is good enough."""

MEANING: Mapping[str, frozenset[Method]] = {
    "rounds": frozenset({Method.BACKTRACK, Method.SUBPOOL}),
    "budget": TREES | GROWN | {Method.VALUE_BEAM, Method.REVISE},
    "oracle": TREES,
    "tabu": frozenset({Method.BACKTRACK, Method.SAMPLE}),
    "ban_edits": frozenset(Method) - {Method.BACKTRACK, Method.BEAM},
    "rule": frozenset(Method) - GUIDED,
    "scorer": GUIDED,
    "continuations": GUIDED,
    "p_des": STOPPING,
    "corrector": frozenset({Method.REVISE}),
    "omega": frozenset({Method.REVISE}),
    "revisions": frozenset({Method.REVISE}),
    "arm": frozenset({Method.REVISE}),
    "better": frozenset({Method.REVISE}),
    "reduction": RANKED,
    "lookahead": frozenset({Method.VALUE_BEAM}),
    "exploration": GROWN,
    "reflect": frozenset({Method.LATS}),
    "share": frozenset({Method.SUBPOOL}),
}
"""The options that not every method has, by their names in :class:`halluc_plugin.jobs.search.SearchJob` and
:class:`Guidance`."""


class ScorerKind(StrEnum):
    """What rates steps, where it is not a scorer in files."""

    ORACLE = "oracle"
    """Whether a right answer can still be reached, by the problem's verifier."""
    MONTE_CARLO = "monte-carlo"
    """How often the answering model comes to a right answer from there."""
    LIKELIHOOD = "likelihood"
    """How likely a model finds the step."""
    VERDICT = "verdict"
    """What a model says of it, in a token."""


STATED = frozenset({ScorerKind.LIKELIHOOD, ScorerKind.VERDICT})
"""Those that a model states: the one that ``--verifier`` names, or the one that answers."""


@dataclass(frozen=True)
class Guidance:
    """What guides a search, and how; None for a method's own default.

    Args:
        scorer: A :class:`ScorerKind`, or the folder or hub name of a scorer of steps.
        continuations: Continuations of each prefix, with :attr:`ScorerKind.MONTE_CARLO` alone; None for 8.
        corrector: Model that writes the revised suffixes; None for the one that answers.
        omega: See :class:`halluc_plugin.search.revision.Revising`.
        p_des: Final value at which an answer is good enough.
        revisions: Most revisions.
        arm: Which step is revised.
        better: Which new answer stays.
        reduction: How the values of an answer's steps become its score; None for the last.
        lookahead: Steps of look-ahead, None for none.
        exploration: Weight of what a tree has visited little.
        reflect: Whether the model says what went wrong, and reads it the next time.
        share: Share of the pool that competes.
    """

    scorer: str | None = None
    continuations: int | None = None
    corrector: str | None = None
    omega: float | None = None
    p_des: float | None = None
    revisions: int | None = None
    arm: Arm | None = None
    better: Better | None = None
    reduction: Reduction | None = None
    lookahead: int | None = None
    exploration: float | None = None
    reflect: bool = False
    share: float | None = None

    @property
    def kind(self) -> ScorerKind | None:
        """The kind of scorer, None for one in files."""
        return ScorerKind(self.scorer) if self.scorer in set(ScorerKind) else None

    def chosen(self, *names: str) -> dict[str, Any]:
        """The values that were given, of these names: what was not keeps its default."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def given(self) -> frozenset[str]:
        """Names of all that was given."""
        return frozenset(field.name for field in fields(self) if getattr(self, field.name) != field.default)

    def described(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return asdict(self)


def require_meaning(method: Method, given: Mapping[str, bool]) -> None:
    """Refuse what has no meaning for a method.

    Args:
        method: The method.
        given: Whether each option was given, by its name in :data:`MEANING`.

    Raises:
        SettingsError: One that was given has none.
    """
    for name, was_given in given.items():
        if was_given and method not in MEANING[name]:
            raise SettingsError(
                f"{flag(name)} has no meaning for --method {method}.",
                f"Leave it out, or use {' or '.join(sorted(MEANING[name]))}.",
            )


def flag(name: str) -> str:
    """An option as it is typed."""
    return f"--{name.replace('_', '-')}"
