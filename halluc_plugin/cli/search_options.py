"""The options of ``halluc search`` for searches that values of steps guide."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.help import renamed

if TYPE_CHECKING:
    from halluc_plugin.jobs.search import Guidance

_option = partial(typer.Option, rich_help_panel="Search by values of steps")

Scorer = Annotated[
    str | None,
    _option(
        help="What gives values to steps: oracle (the problem's verifier), monte-carlo (rollouts of the "
        "model), likelihood or verdict (of --verifier, or of the model itself), or a scorer's folder.",
        metavar="SCORER",
        show_default="none",
    ),
]
Continuations = Annotated[
    int | None,
    _option(help="Continuations sampled of each prefix (--scorer monte-carlo).", show_default="8"),
]
Rollouts = Annotated[int | None, typer.Option("--rollouts", help="Old name of --continuations.", hidden=True)]
Corrector = Annotated[
    str | None,
    _option(
        help="Model that writes the revised suffixes (revise); it has the same ids.",
        metavar="PATH",
        show_default="the model that answers",
    ),
]
Arm = Annotated[
    choices.Arms | None,
    _option(help="Which step is revised (revise).", show_default="min-advantage"),
]
Better = Annotated[
    choices.Betters | None,
    _option(
        help="Which new answer stays (revise): one of larger final value; progress: of equal final values "
        "one of larger mean value, too.",
        show_default="final",
    ),
]
Turns = Annotated[
    int | None,
    _option(
        help="Most earlier answers that the scorer reads before a new one, for one that was trained on turns "
        "(revise).",
        show_default="none",
    ),
]
Omega = Annotated[
    float | None,
    _option(help="Margin of advantage within which an earlier step is revised (revise).", show_default="0"),
]
PDes = Annotated[
    float | None,
    _option(
        help="Value at which an answer is good enough (revise, ts-llm, lats, subpool).", show_default="0.9"
    ),
]
Revisions = Annotated[int | None, _option(help="Most revisions (revise).", show_default="4")]
Reduction = Annotated[
    choices.Reductions | None,
    _option(help="How values of steps become a score (best-of-n, weighted-majority).", show_default="last"),
]
Lookahead = Annotated[
    int | None,
    _option(help="Greedy steps behind each candidate before it is rated (value-beam).", show_default="0"),
]
Exploration = Annotated[
    float | None,
    _option(help="Weight of what a tree has visited little (ts-llm, lats).", show_default="1"),
]
Reflect = Annotated[
    bool,
    _option(
        "--reflect",
        help="The model says what is wrong with an answer, and reads that the next time (lats).",
    ),
]
Share = Annotated[
    float | None,
    _option(help="Share of the pool that competes in a round (subpool).", show_default="0.5"),
]
Draft = Annotated[
    str | None,
    _option(
        help="Cheaper model that drafts steps (draft-verify); it has the same ids.",
        metavar="PATH",
        show_default="none",
    ),
]
DraftLayers = Annotated[
    int | None,
    _option(
        help="Number of first layers of the model that answers, which draft steps (draft-verify).",
        show_default="none",
    ),
]
Accept = Annotated[
    float | None,
    _option(help="Value from which on a drafted step stays (draft-verify).", show_default="0.5"),
]


@dataclass(frozen=True)
class GuidanceOptions:
    """The options of a guided search; None stands for a method's own default."""

    scorer: Scorer = None
    continuations: Continuations = None
    rollouts: Rollouts = None
    corrector: Corrector = None
    arm: Arm = None
    better: Better = None
    turns: Turns = None
    omega: Omega = None
    p_des: PDes = None
    revisions: Revisions = None
    reduction: Reduction = None
    lookahead: Lookahead = None
    exploration: Exploration = None
    reflect: Reflect = False
    share: Share = None
    draft: Draft = None
    draft_layers: DraftLayers = None
    accept: Accept = None

    def guidance(self) -> "Guidance":
        """Return the settings of a guided search, with members of enums in place of texts."""
        from halluc_plugin.jobs.search import Guidance
        from halluc_plugin.search.ranking import Reduction
        from halluc_plugin.search.revision import Arm, Better
        from halluc_plugin.settings import choose

        given: dict[str, Any] = asdict(self)
        new = given["continuations"]
        given["continuations"] = renamed("--rollouts", given.pop("rollouts"), "--continuations", new)
        for name, kind in (("arm", Arm), ("better", Better), ("reduction", Reduction)):
            if given[name] is not None:
                given[name] = choose(kind, given[name], f"--{name}")
        return Guidance(**given)
