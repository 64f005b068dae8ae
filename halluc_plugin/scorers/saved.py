"""Save scorers of steps to files, and load them for the steps that they were made for.

A scorer is a transformers model whose config says, under ``halluc_step_scorer``, what it was trained on. Its
class is one of transformers, so that it can be loaded without this package.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.errors import TokenizerError
from halluc_plugin.sampling.networks import decoder_shape, load_network
from halluc_plugin.scorers.prefixes import PrefixScorer, Reader
from halluc_plugin.scorers.shared_trunk import SharedTrunk
from halluc_plugin.scorers.step_verdicts import StepVerdicts
from halluc_plugin.scorers.value_head import ValueHead, is_trunk_of, share_trunk
from halluc_plugin.tokens.card import CARD
from halluc_plugin.tokens.loading import load_config, load_token_classifier, on_accelerator, save_tokenizer

FIELD = "halluc_step_scorer"


class Objective(StrEnum):
    """The training objective of a scorer of steps, which decides how its values are read."""

    VALUE = "value"
    """A head's value of each prefix, by Monte-Carlo values: the process reward model."""
    OUTCOME = "outcome"
    """A head's value of the whole response: the outcome reward model, read at every step's end."""
    VERDICT = "verdict"
    """A verdict token after each prefix: the generative process reward model."""
    PAIRWISE = "pairwise"
    """A head's Q of each token, by pairs of a right and a wrong response: the Q-function reward model."""


class Trunk(StrEnum):
    """The model whose trunk a value head uses."""

    OWN = "own"
    """The scorer's own trunk, trained with it."""
    SHARED = "shared"
    """The policy's trunk, which training left unchanged."""


@dataclass(frozen=True)
class Made:
    """The description of what a scorer was made for.

    Attributes:
        objective: The training objective.
        tokenizer: Fingerprint of the tokenizer.
        step_delimiter: Text that ends a step.
        data_sources: Data sources of the problems, in order.
        trunk: The model whose trunk the scorer uses.
        turns: Whether it was trained on answers behind earlier ones, too.
    """

    objective: Objective
    tokenizer: str
    step_delimiter: str
    data_sources: tuple[str, ...]
    trunk: Trunk = Trunk.OWN
    turns: bool = False

    def write(self, config: Any) -> None:
        """Write the description into a transformers config."""
        setattr(config, FIELD, asdict(self) | {"data_sources": list(self.data_sources)})


def save_step_scorer(model: Any, tokenizer: Any, folder: Path, made: Made) -> None:
    """Save a scorer with its tokenizer and a card that explains how it is read.

    Args:
        model: A transformers model: a causal language model for verdicts, else a token classifier.
        tokenizer: Its tokenizer.
        folder: The folder to write to.
        made: What the scorer was made for; it is written into the model's config.

    Raises:
        TokenizerError: The tokenizer is refused by :func:`halluc_plugin.tokens.loading.save_tokenizer`.
    """
    made.write(model.config)
    model.save_pretrained(folder)
    save_scorer_beside(tokenizer, folder, made)


def save_scorer_beside(tokenizer: Any, folder: Path, made: Made) -> None:
    """Save the files of :func:`save_step_scorer` except for the weights."""
    save_tokenizer(tokenizer, folder)
    (folder / CARD).write_text(_card(made), encoding="utf-8")


def _card(made: Made) -> str:
    verdict = made.objective is Objective.VERDICT
    kind = "text-generation" if verdict else "token-classification"
    read = (
        "P(`1`) / (P(`0`) + P(`1`)) of the token that would come next"
        if verdict
        else "the sigmoid of its one logit (`AutoModelForTokenClassification`) at the last token"
    )
    return f"""---
library_name: transformers
pipeline_tag: {kind}
tags:
- halluc
- reward-model
---
# A scorer of steps

It says from 0 to 1 what a response is worth so far, at the end of each step: {read} of the prompt with the
steps up to there. Steps end with {made.step_delimiter!r}. It was trained by halluc on problems of
{", ".join(made.data_sources)}, with the objective `{made.objective}`, and says nothing of others.
"""


def read_made(name: str, *, trust_remote_code: bool = False) -> Made:
    """Return what a saved scorer was made for.

    Args:
        name: The scorer's folder or hub name.
        trust_remote_code: Whether code that comes with it may run.

    Raises:
        TokenizerError: There is no such model, or it is not a scorer of steps.
    """
    said = getattr(load_config(name, trust_remote_code=trust_remote_code), FIELD, None)
    try:
        told = dict(said or {})
        return Made(
            Objective(told["objective"]),
            str(told["tokenizer"]),
            str(told["step_delimiter"]),
            tuple(map(str, told["data_sources"])),
            Trunk(told["trunk"]),
            bool(told.get("turns", False)),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise TokenizerError(
            f"{name!r} is no scorer of steps: its config has no {FIELD} that could be read.",
            "Train one by `halluc train --objective value`, and give its folder.",
        ) from error


def check_made(
    name: str,
    made: Made,
    tokenizer: Any,
    *,
    step_delimiter: str,
    data_sources: Collection[str] | None,
) -> None:
    """Refuse a scorer that was made for other steps.

    Args:
        name: Name of the scorer in error messages.
        made: What the scorer was made for.
        tokenizer: The tokenizer of the steps to be scored.
        step_delimiter: Text that ends these steps.
        data_sources: Data sources of their problems; None if they are known to fit.

    Raises:
        TokenizerError: The scorer was made for another tokenizer, step delimiter or task.
    """
    if made.tokenizer != fingerprint(tokenizer):
        raise TokenizerError(
            f"The scorer {name} reads the ids of tokenizer {made.tokenizer}, the steps are in those of "
            f"{fingerprint(tokenizer)}.",
            "Use a scorer that was trained with the policy's tokenizer.",
        )
    if made.step_delimiter != step_delimiter:
        raise TokenizerError(
            f"The scorer {name} was trained on steps that end with {made.step_delimiter!r}, these end with "
            f"{step_delimiter!r}.",
            f"Give {made.step_delimiter!r} as the step delimiter, or train a scorer on such steps.",
        )
    other = sorted(set(data_sources or ()) - set(made.data_sources))
    if other:
        raise TokenizerError(
            f"The scorer {name} was trained on {', '.join(made.data_sources)}, not on {', '.join(other)}.",
            "Use a scorer of that task, or train this one on its values too.",
        )


def load_step_scorer(
    name: str,
    tokenizer: Any,
    *,
    step_delimiter: str,
    data_sources: Collection[str] | None,
    policy: Any = None,
    trust_remote_code: bool = False,
) -> PrefixScorer:
    """Load a saved scorer of steps in eval mode, on an accelerator if there is one.

    Args:
        name: The scorer's folder or hub name.
        tokenizer: The tokenizer of the steps to be scored.
        step_delimiter: Text that ends these steps.
        data_sources: Data sources of their problems; None if they are known to fit.
        policy: A model whose trunk the scorer shares, so that there is one copy in memory; None loads the
            scorer's own.
        trust_remote_code: Whether code that comes with it may run.

    Returns:
        The scorer.

    Raises:
        TokenizerError: The scorer cannot be loaded, is not a scorer of steps, was made for another tokenizer,
            step delimiter or task, or does not use the policy's trunk.
        SettingsError: The sizes of its network are not known.
    """
    made = read_made(name, trust_remote_code=trust_remote_code)
    check_made(name, made, tokenizer, step_delimiter=step_delimiter, data_sources=data_sources)
    if made.objective is Objective.VERDICT:
        model = load_network(name, trust_remote_code=trust_remote_code)
    else:
        model = on_accelerator(load_token_classifier(name, trust_remote_code=trust_remote_code).eval())
        model = model if policy is None else share_trunk(model, policy)
    return PrefixScorer(reader_of(model, made.objective, tokenizer), decoder_shape(model.config))


def load_on_trunk(
    name: str, policy: Any, ends: Collection[int], *, trust_remote_code: bool = False
) -> SharedTrunk | None:
    """Load a scorer that stands on a policy's trunk, to read what the policy samples.

    Args:
        name: The scorer's folder or hub name; :func:`check_made` has accepted it.
        policy: The policy, loaded.
        ends: Ids that end a step or a response.
        trust_remote_code: Whether code that comes with the scorer may run.

    Returns:
        The scorer, None if its trunk is its own or another policy's.

    Raises:
        TokenizerError: The scorer cannot be loaded, or is not a scorer of steps.
        SettingsError: The sizes of its network are not known.
    """
    made = read_made(name, trust_remote_code=trust_remote_code)
    if made.trunk is not Trunk.SHARED:
        return None
    head = on_accelerator(load_token_classifier(name, trust_remote_code=trust_remote_code).eval())
    if not is_trunk_of(head, policy):
        return None
    from_prompt = made.objective is Objective.VALUE
    shape = decoder_shape(head.config)
    return SharedTrunk(share_trunk(head, policy), shape, ends, from_prompt=from_prompt)


def reader_of(model: Any, objective: Objective, tokenizer: Any) -> Reader:
    """Return the reader for the values of a model that was trained for an objective.

    Args:
        model: The model, in eval mode.
        objective: The training objective of the model.
        tokenizer: The tokenizer of the ids.

    Raises:
        TokenizerError: The tokenizer does not write a verdict as one token.
    """
    if objective is Objective.VERDICT:
        return StepVerdicts(model, tokenizer)
    return ValueHead(model, from_prompt=objective is Objective.VALUE)
