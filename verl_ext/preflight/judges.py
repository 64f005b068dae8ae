"""Check that something judges answers, and states on the way to them, before any worker starts."""

from collections.abc import Collection
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.settings import ResetAt, Settings, ValueSource
from halluc_plugin.tasks import broken_note, find_verifier, known_sources
from halluc_plugin.verifiers import PrefixVerifier
from verl_ext.host_settings.keys import REWARD_FUNCTION
from verl_ext.run_settings import has_reward_function, judged_by_model


def require_scorers(path: Path, sources: Collection[Any], config: DictConfig) -> None:
    """Refuse rows whose answers nothing can score.

    Args:
        path: The file of the rows, for the message.
        sources: The data sources of the rows.
        config: verl's whole config.

    Raises:
        DataError: Neither the run's own reward function or model, nor a verifier, nor verl scores a source.
    """
    manager = config.reward.reward_manager
    if has_reward_function(config) or judged_by_model(config) or manager.source != "register":
        return
    for source in sorted(sources, key=str):
        if manager.name != "backtrack" or find_verifier(source) is None:
            _require_host_scorer(path, source, config)


def _require_host_scorer(path: Path, source: Any, config: DictConfig) -> None:
    from verl.utils.reward_score import default_compute_score

    if not isinstance(source, str):  # verl compares it with names
        raise unknown_source(source, f" ({path})")
    try:
        with redirect_stdout(None):  # some print what they miss
            default_compute_score(source, None, None)
    except NotImplementedError as error:
        raise unknown_source(source, f" ({path})") from error
    except ImportError as error:
        if OmegaConf.select(config, "reward.sandbox_fusion.url"):
            return  # the answers are run elsewhere
        raise DataError(
            f"verl's scorer of the data source {source!r} ({path}) cannot be imported: {error}.",
            f"Install what it needs, or give {REWARD_FUNCTION}.",
        ) from error
    except Exception:  # noqa: BLE001 - there is a scorer; it was given no answer, and each says so in its own way
        return


def unknown_source(data_source: Any, where: str = "") -> DataError:
    """Return the error for a data source that nothing can score.

    Args:
        data_source: The source.
        where: Text that continues the name of the source in the message.
    """
    return DataError(
        f"Nothing can score the data source {data_source!r}{where}.{broken_note()}",
        f"Use one of ours ({', '.join(known_sources())}), one that verl.utils.reward_score knows "
        f"(openai/gsm8k, lighteval/MATH, ...), or give {REWARD_FUNCTION}.",
    )


def require_judges(path: Path, sources: Collection[str], config: DictConfig, settings: Settings) -> None:
    """Refuse a weight for values of states that nothing judges, as they would silently be 0."""
    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    if loop == "resets":
        _require_resets(path, sources, config, settings)
    scored = settings.values.source is ValueSource.PRM
    if scored and loop == "refine":
        raise SettingsError(
            "halluc.values.source=prm, and the agent loop refine has turns, which a scorer of steps does not "
            "read.",
            "Set ++halluc.values.source=verifier, or another agent loop.",
        )
    for source in sorted(sources, key=str):
        verifier = None if has_reward_function(config) else find_verifier(source)
        sampled = settings.values.sampled_for(verifier)
        if loop == "refine":
            # The first attempt is an answer: whoever scores answers judges it. Steps are not answers.
            if settings.pays_steps and (sampled or not isinstance(verifier, PrefixVerifier)):
                raise SettingsError(
                    f"A reward pays for values after steps, and with the agent loop refine nothing judges "
                    f"those of {source} ({path}).",
                    "Leave halluc.reward.weights.process out, or use data whose verifier judges prefixes, "
                    "with halluc.values.source=verifier.",
                )
            continue
        if sampled and loop != "backtrack":
            raise SettingsError(
                f"halluc.values.source={settings.values.source} values states of {source} by continuations, "
                f"which the agent loop {loop} does not sample.",
                "Set actor_rollout_ref.rollout.agent.default_agent_loop=backtrack, or "
                "++halluc.values.source=verifier and pay the outcome alone.",
            )
        paid = ", ".join(settings.paid_values)
        if paid and not sampled and not scored and not isinstance(verifier, PrefixVerifier):
            raise SettingsError(
                f"{paid} pays for values of states, and nothing judges states of {source} ({path}).",
                "Set ++halluc.values.source=auto (answers sampled from each state where no verifier judges), "
                "++halluc.credit.values=prefix_tree for the credit, or pay the outcome alone.",
            )


def _require_resets(path: Path, sources: Collection[str], config: DictConfig, settings: Settings) -> None:
    """Refuse a run that resets failed answers, and would not know which fail, or where to reset them."""
    rollout, at = config.actor_rollout_ref.rollout, settings.resets.at
    if has_reward_function(config) or judged_by_model(config):
        raise SettingsError(
            "The agent loop resets judges answers while it samples, by the verifiers of halluc alone.",
            f"Leave {REWARD_FUNCTION} and reward.reward_model out, or use another agent loop.",
        )
    if int(rollout.n) < 2 or int(rollout.val_kwargs.n) != 1:
        raise SettingsError(
            f"The agent loop resets has groups of {rollout.n}, and {rollout.val_kwargs.n} in validation.",
            "Set actor_rollout_ref.rollout.n to at least 2, and val_kwargs.n=1: later answers are resets.",
        )
    if at is ResetAt.LEAST_LIKELY and not rollout.calculate_log_probs:
        raise SettingsError(
            "halluc.resets.at=least-likely reads log-probs, which the engine does not return.",
            "Set actor_rollout_ref.rollout.calculate_log_probs=true.",
        )
    for source in sorted(sources, key=str):
        verifier = find_verifier(source)
        if verifier is None or (at is ResetAt.FIRST_ERROR and not isinstance(verifier, PrefixVerifier)):
            what = "answers" if verifier is None else "prefixes of answers"
            raise SettingsError(
                f"The agent loop resets, with halluc.resets.at={at}, and nothing of halluc judges {what} of "
                f"{source} ({path}).",
                "Use data of one of halluc's tasks, halluc.resets.at=random, or another agent loop.",
            )


def require_step_scorer(
    path: Path, sources: Collection[str], config: DictConfig, settings: Settings, tokenizer: Any
) -> None:
    """Refuse a scorer of steps that is missing, or that was made for other steps than the run's.

    Args:
        path: The data file.
        sources: The data sources of its problems.
        config: The config of the run.
        settings: The ``halluc:`` block.
        tokenizer: The policy's tokenizer.

    Raises:
        TokenizerError: The scorer cannot be loaded, or was made for another tokenizer, step delimiter or
            task.
        SettingsError: Its logits are to be the Q of tokens, and it was not trained so.
    """
    name = settings.values.scorer
    if name is None:
        return
    from halluc_plugin.rl.scored_states import require_q
    from halluc_plugin.scorers.saved import check_made, read_made

    trust = bool(config.actor_rollout_ref.model.get("trust_remote_code", False))
    made = read_made(name, trust_remote_code=trust)
    require_q(name, made, settings)
    delimiter = settings.tokens.step_delimiter
    where = f"{name} (halluc.values.scorer, for {path})"
    check_made(where, made, tokenizer, step_delimiter=delimiter, data_sources=sources)
