"""The command ``halluc data pairs``: pairs of raw traces, of which one is preferred."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from halluc_plugin.cli import choices
from halluc_plugin.cli.cards import tell
from halluc_plugin.cli.data_options import (
    Json,
    Limit,
    Quiet,
    RewardFunction,
    Sampling,
    problems_together,
)
from halluc_plugin.cli.data_output import open_engine, trained_folder, with_engine, write_file
from halluc_plugin.cli.help import refuse
from halluc_plugin.cli.pair_consensus import consensus_pairs, debate_settings
from halluc_plugin.cli.pair_words import NOTHING
from halluc_plugin.commands import shell

if TYPE_CHECKING:
    from halluc_plugin.sampling.problems import PosedProblem
    from halluc_plugin.sampling.states import Space

SAMPLED = Sampling()
ORACLE = "oracle"


def pairs(
    data: Annotated[
        Path, typer.Option(help="Trace file (moved, kept), or problems: a file of verl's rows (the others).")
    ],
    model: Annotated[
        str,
        typer.Option(
            help="Model folder or hub name: its tokenizer reads traces, it answers problems.", metavar="PATH"
        ),
    ],
    out: Annotated[Path, typer.Option(help="File of pairs to write; its card goes beside it.")],
    kind: Annotated[
        choices.PairKinds,
        typer.Option(
            help="A trace against its twin with an edit at a wrong place (moved) or ended where it took back "
            "(kept); right against wrong answers; steps after one prefix, of which one can still be right "
            "(siblings); for ReVISE, finished answers that stand against the same restarted (verify), "
            "and restarted and corrected (correct); or, for MACA, what most copies of the model come to in a "
            "debate against what others do (consensus).",
            metavar="KIND",
        ),
    ],
    most: Annotated[int, typer.Option(help="Most pairs of a trace or problem.", min=1)] = 4,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            "-k",
            help="Answers sampled of each problem, steps after each prefix, or copies that debate.",
            min=1,
            show_default="8; consensus: 3",
        ),
    ] = None,
    negatives: Annotated[
        choices.Negatives | None,
        typer.Option(
            help="With --kind answers: wrong answers closest to a right one, or those the model likes best.",
            show_default="closest",
        ),
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            help="With --kind siblings: folder of a scorer of steps, or oracle for the problems' verifier.",
            metavar="SCORER",
            show_default=ORACLE,
        ),
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option(
            help="With --kind siblings: least difference of the values of two steps.", show_default="0.5"
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            help="With --kind consensus: rounds in which copies read one another's answers.",
            min=1,
            show_default="1",
        ),
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(
            help="With --kind consensus: text behind answers that are read, to ask for another.",
            metavar="TEXT",
            show_default="a sentence that asks to answer again",
        ),
    ] = None,
    better_request: Annotated[
        str | None,
        typer.Option(
            help="Request for a better answer, a system message, for token rewards (T-REG).",
            metavar="TEXT",
            show_default="no token rewards",
        ),
    ] = None,
    worse_request: Annotated[
        str | None,
        typer.Option(
            help="The opposite request; both or neither are given.",
            metavar="TEXT",
            show_default="no token rewards",
        ),
    ] = None,
    limit: Limit = None,
    reward_function: RewardFunction = None,
    sampling: Sampling = SAMPLED,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write pairs of raw traces of one problem, of which one is preferred, for preference losses."""
    from halluc_plugin.data.prompts import TEMPLATE_KWARGS
    from halluc_plugin.data.resumable import named, named_function, named_model
    from halluc_plugin.own_errors.contrast_rows import Kind
    from halluc_plugin.own_errors.opposite_prompts import WithOpposites, opposite_prompts
    from halluc_plugin.settings import choose
    from halluc_plugin.tokens.loading import load_tokenizer

    what = choose(Kind, kind, "--kind")
    known = load_tokenizer(model, trust_remote_code=sampling.trust_remote_code)
    described: dict[str, Any] = {
        "how": "pairs",
        "kind": kind,
        "data": named(data),
        "limit": limit,
        "most": most,
    }
    debate = debate_settings(kind, rounds, request, reward_function)
    prompts = None
    if better_request is not None or worse_request is not None:  # before a model is loaded
        requests, kwargs = (better_request or "", worse_request or ""), sampling.template_kwargs
        prompts = opposite_prompts(data, known, *requests, limit=limit, template_kwargs=kwargs)
        described |= {"requests": requests, TEMPLATE_KWARGS: kwargs}
    if what in {Kind.MOVED, Kind.KEPT}:
        _refuse_sampling(kind, sampling, samples, reward_function)
        refuse({"negatives": negatives, "scorer": scorer, "gap": gap}, f"with --kind {kind}", "Leave it out.")
        make, items = _contrasts(what, data, known, model, most, sampling, limit)
        described |= {"step_delimiter": sampling.step_delimiter}
        part, of = 256, "traces read"
    else:
        others = {} if what is Kind.SIBLINGS else {"scorer": scorer, "gap": gap}
        others |= {} if what is Kind.ANSWERS else {"negatives": negatives}
        refuse(others, f"with --kind {kind}", "Leave it out.")
        each = samples or (3 if what is Kind.CONSENSUS else 8)
        sampling = with_engine(sampling, model, quiet=quiet)
        how: dict[str, Any] = debate
        if what is Kind.ANSWERS:
            how = {"negatives": negatives or "closest"}
        elif what is Kind.SIBLINGS:
            how = {"scorer": scorer or ORACLE, "gap": 0.5 if gap is None else gap}
        described |= {"model": model, "samples": each, **how, **sampling.described}
        if scorer not in {None, ORACLE}:
            described["scorer_files"] = named_model(str(scorer))
        described["reward_function"] = named_function(reward_function)
        refines = what in {Kind.VERIFY, Kind.CORRECT}
        items, space = _problems(data, known, model, sampling, limit, reward_function, refines=refines)
        make = _sampled(kind, items, space, known, model, sampling, samples=each, most=most, **how)
        part, of = problems_together(sampling.backend, each), "problems"
    if prompts is not None:
        make = WithOpposites(make, prompts)
    card = write_file(
        out,
        items,
        known,
        make,
        described,
        sampling.seed,
        part=part,
        of=of,
        quiet=quiet,
        nothing=NOTHING[kind],
    )
    train = ("halluc", "train", "--model", model, "--data", out, "--objective", "dpo", "--reference", model)
    tell(
        card,
        f"To train on these: {shell(*train, '--out', trained_folder(out))}",
        as_json=as_json,
        quiet=quiet,
    )


def _refuse_sampling(kind: str, sampling: Sampling, samples: int | None, reward_function: str | None) -> None:
    """Refuse what would sample, where nothing is sampled."""
    names = ("temperature", "max_tokens", "backend")
    given = {name: getattr(sampling, name) for name in names}
    changed = {name: value for name, value in given.items() if value != getattr(SAMPLED, name)}
    changed |= {"samples": samples, "reward_function": reward_function}
    refuse(changed, f"with --kind {kind}", "Leave it out: the traces are given.")


def _contrasts(
    kind: Any, data: Path, tokenizer: Any, model: str, most: int, sampling: Sampling, limit: int | None
) -> tuple[Any, list[Any]]:
    """What makes contrastive pairs, and the traces."""
    from halluc_plugin.jobs.samplers import answer_ends
    from halluc_plugin.own_errors.contrast_rows import Contrasts, read_traced_problems
    from halluc_plugin.tokens import edit_vocab

    vocab = edit_vocab(tokenizer, step_delimiter=sampling.step_delimiter)
    ends = answer_ends(model, tokenizer)
    traces = read_traced_problems(data, tokenizer, limit)
    return Contrasts(kind, vocab, ends, tokenizer, most, sampling.seed), traces


def _problems(
    data: Path,
    tokenizer: Any,
    model: str,
    sampling: Sampling,
    limit: int | None,
    reward_function: str | None,
    *,
    refines: bool,
) -> tuple[list["PosedProblem"], "Space"]:
    """The problems, and the space in which the model is sampled; checked before a model is loaded."""
    from dataclasses import replace

    from halluc_plugin.errors import SettingsError
    from halluc_plugin.jobs.resets import reset_vocab
    from halluc_plugin.jobs.samplers import policy_space, require_fit
    from halluc_plugin.sampling.problems import read_problems

    if not sampling.temperature > 0:
        raise SettingsError("At temperature 0 all samples would be the same.", "Give one above 0.")
    space = policy_space(model, tokenizer, **sampling.space_settings)
    if refines:  # a model that would refine ends its attempts by the token
        reset_vocab(model, tokenizer, trust_remote_code=sampling.trust_remote_code)
        space = replace(space, edits_banned=False)
    problems = read_problems(
        data, tokenizer, limit, reward_function=reward_function, template_kwargs=sampling.template_kwargs
    )
    prompts = [problem.prompt for problem in problems]
    require_fit(model, prompts, space, trust_remote_code=sampling.trust_remote_code)
    return problems, space


def _sampled(
    kind: str,
    problems: list["PosedProblem"],
    space: "Space",
    tokenizer: Any,
    model: str,
    sampling: Sampling,
    *,
    samples: int,
    most: int,
    negatives: str | None = None,
    scorer: str | None = None,
    gap: float = 0.5,
    **debate: Any,
) -> Any:
    """What makes pairs of what the model samples."""
    from halluc_plugin.own_errors.pair_rows import AnswerPairs, Negatives, SiblingPairs, require_several
    from halluc_plugin.own_errors.refine_rows import RefinementPairs
    from halluc_plugin.scorers.saved import load_step_scorer
    from halluc_plugin.scorers.step_oracle import StepOracle
    from halluc_plugin.settings import choose
    from halluc_plugin.traces.refinements import Stage

    seed = sampling.seed
    if debate:
        return consensus_pairs(
            problems, space, tokenizer, model, sampling, copies=samples, most=most, **debate
        )
    if kind in set(Stage):
        engine = open_engine(model, space, sampling)
        return RefinementPairs(engine, space, tokenizer, Stage(kind), samples, most, seed)
    require_several(samples, "samples")
    if negatives is not None:
        how = choose(Negatives, negatives, "--negatives")
        engine = open_engine(model, space, sampling)
        return AnswerPairs(engine, space, tokenizer, samples, how, most, seed)
    rater: Any
    if scorer == ORACLE:
        rater = StepOracle(problems, tokenizer, space.eos_ids)
    else:
        assert scorer is not None
        sources = {problem.data_source for problem in problems}
        rater = load_step_scorer(
            scorer, tokenizer, step_delimiter=sampling.step_delimiter, data_sources=sources,
            trust_remote_code=sampling.trust_remote_code,
        )  # fmt: skip
    return SiblingPairs(open_engine(model, space, sampling), space, rater, samples, gap, most, seed)
