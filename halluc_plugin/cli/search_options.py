"""Options of ``halluc search`` for searches that values of steps guide."""

from typing import Annotated

import typer

from halluc_plugin.cli import choices

Scorer = Annotated[
    str | None,
    typer.Option(
        help="What gives values to steps: oracle (the problem's verifier), monte-carlo (rollouts of the "
        "model), likelihood or verdict (of --verifier, or of the model itself), or a scorer's folder.",
        metavar="SCORER",
        show_default="none",
    ),
]
Rollouts = Annotated[
    int | None,
    typer.Option(help="Continuations of each prefix (--scorer monte-carlo).", show_default="8"),
]
Corrector = Annotated[
    str | None,
    typer.Option(
        help="Model that writes the revised suffixes (revise); it has the same ids.",
        metavar="PATH",
        show_default="the model that answers",
    ),
]
Arm = Annotated[
    choices.Arms | None,
    typer.Option(help="Which step is revised (revise).", show_default="min-advantage"),
]
Better = Annotated[
    choices.Betters | None,
    typer.Option(
        help="Which new answer stays (revise): one of larger final value; progress: of equal final values "
        "one of larger mean value, too.",
        show_default="final",
    ),
]
Omega = Annotated[
    float | None,
    typer.Option(
        help="Margin of advantage within which an earlier step is revised (revise).", show_default="0"
    ),
]
PDes = Annotated[
    float | None,
    typer.Option(
        help="Value at which an answer is good enough (revise, ts-llm, lats, subpool).", show_default="0.9"
    ),
]
Revisions = Annotated[int | None, typer.Option(help="Most revisions (revise).", show_default="4")]
Reduction = Annotated[
    choices.Reductions | None,
    typer.Option(
        help="How values of steps become a score (best-of-n, weighted-majority).", show_default="last"
    ),
]
Lookahead = Annotated[
    int | None,
    typer.Option(
        help="Greedy steps behind each candidate before it is rated (value-beam).", show_default="0"
    ),
]
Exploration = Annotated[
    float | None,
    typer.Option(help="Weight of what a tree has visited little (ts-llm, lats).", show_default="1"),
]
Reflect = Annotated[
    bool,
    typer.Option(
        "--reflect",
        help="The model says what is wrong with an answer, and reads that the next time (lats).",
    ),
]
Share = Annotated[
    float | None,
    typer.Option(help="Share of the pool that competes in a round (subpool).", show_default="0.5"),
]
