"""The part of ``halluc data pairs`` that lets copies of a model debate (``--kind consensus``)."""

from typing import TYPE_CHECKING, Any

from halluc_plugin.cli.data_options import Sampling
from halluc_plugin.cli.data_output import open_engine
from halluc_plugin.cli.help import refuse

if TYPE_CHECKING:
    from halluc_plugin.sampling.problems import PosedProblem
    from halluc_plugin.sampling.states import Space


def debate_settings(
    kind: str, rounds: int | None, request: str | None, reward_function: str | None
) -> dict[str, Any]:
    """Return how copies debate, with the defaults of what is not given; nothing for other kinds of pairs.

    Raises:
        SettingsError: Another kind is given settings of a debate, or a debate a scoring function.
    """
    from halluc_plugin.jobs.search_shown import REQUEST
    from halluc_plugin.own_errors.contrast_rows import Kind

    if kind != Kind.CONSENSUS:
        refuse({"rounds": rounds, "request": request}, f"with --kind {kind}", "Leave it out.")
        return {}
    refuse(
        {"reward_function": reward_function}, f"with --kind {kind}",
        "Leave it out: copies vote on what answers come to, which it does not say.",
    )  # fmt: skip
    return {"rounds": rounds or 1, "request": REQUEST if request is None else request}


def consensus_pairs(
    problems: list["PosedProblem"],
    space: "Space",
    tokenizer: Any,
    model: str,
    sampling: Sampling,
    *,
    copies: int,
    most: int,
    rounds: int,
    request: str,
) -> Any:
    """Return what makes pairs of debates, after checking that all answers can be read together.

    Raises:
        SettingsError: There are fewer than two copies, the request is empty, or a prompt outgrows the model's
            positions.
    """
    from halluc_plugin.jobs.search_methods import Method
    from halluc_plugin.jobs.search_shown import check_reading, request_ids, require_reading_room
    from halluc_plugin.own_errors.consensus_rows import ConsensusPairs
    from halluc_plugin.tokens.loading import load_config

    check_reading(Method.DEBATE, None, n=copies, rounds=rounds, request=request)
    ids = request_ids(request, tokenizer)
    config = load_config(model, trust_remote_code=sampling.trust_remote_code)
    prompts = [problem.prompt for problem in problems]
    require_reading_room(config, prompts, ids, n=copies, max_tokens=space.max_tokens)
    engine = open_engine(model, space, sampling)
    return ConsensusPairs(engine, space, tokenizer, copies, rounds, ids, most, sampling.seed)
