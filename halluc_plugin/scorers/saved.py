"""Scorers of steps in files: what a saved model says of itself, and loading it for the steps that it is for.

A scorer is a transformers model whose config says, under ``halluc_step_scorer``, what it was trained on; its
own class is one of transformers, so that others load it without this package.
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
from halluc_plugin.scorers.step_verdicts import StepVerdicts
from halluc_plugin.scorers.value_head import ValueHead, share_trunk
from halluc_plugin.tokens.card import CARD
from halluc_plugin.tokens.loading import load_config, load_token_classifier, on_accelerator, save_tokenizer

FIELD = "halluc_step_scorer"


class Objective(StrEnum):
    """What a scorer of steps is trained for, and so how its values are read."""

    VALUE = "value"
    """A head's value of each prefix, by Monte-Carlo values: the process reward model."""
    OUTCOME = "outcome"
    """A head's value of the whole response: the outcome reward model, read at every step's end."""
    VERDICT = "verdict"
    """A verdict token behind each prefix: the generative process reward model."""
    PAIRWISE = "pairwise"
    """A head's Q of each token, by pairs of a right and a wrong response: the Q-function reward model."""


class Trunk(StrEnum):
    """Whose trunk a head stands on."""

    OWN = "own"
    """Its own, trained with it."""
    SHARED = "shared"
    """The policy's, which training left as it was."""


@dataclass(frozen=True)
class Made:
    """What a scorer was made for.

    Attributes:
        objective: How it was trained.
        tokenizer: Fingerprint of its tokenizer.
        step_delimiter: Text that ends a step.
        data_sources: Of the problems, in order.
        trunk: Whose it is.
    """

    objective: Objective
    tokenizer: str
    step_delimiter: str
    data_sources: tuple[str, ...]
    trunk: Trunk = Trunk.OWN

    def write(self, config: Any) -> None:
        """Say it in a transformers config."""
        setattr(config, FIELD, asdict(self) | {"data_sources": list(self.data_sources)})


def save_step_scorer(model: Any, tokenizer: Any, folder: Path, made: Made) -> None:
    """Save a scorer with its tokenizer and a card that says how it is read.

    Args:
        model: A transformers model: of verdicts a causal language model, else a token classifier.
        tokenizer: Its tokenizer.
        folder: Where to.
        made: What it was made for; the model's config says it from now on.

    Raises:
        TokenizerError: As :func:`halluc_plugin.tokens.loading.save_tokenizer`.
    """
    made.write(model.config)
    model.save_pretrained(folder)
    save_scorer_beside(tokenizer, folder, made)


def save_scorer_beside(tokenizer: Any, folder: Path, made: Made) -> None:
    """Save what belongs beside a scorer's weights: as :func:`save_step_scorer`, without them."""
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
    """What a saved scorer was made for.

    Args:
        name: Its folder or hub name.
        trust_remote_code: Whether code that comes with it may run.

    Raises:
        TokenizerError: There is no such model, or it is no scorer of steps.
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
        name: What it is called in errors.
        made: What it was made for.
        tokenizer: Of the steps to be scored.
        step_delimiter: Text that ends them.
        data_sources: Of their problems; None where they are known to fit.

    Raises:
        TokenizerError: It was made for another tokenizer, step delimiter or task.
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
    """A saved scorer of steps, in eval mode, on an accelerator if there is one.

    Args:
        name: Its folder or hub name.
        tokenizer: Of the steps that it is to score.
        step_delimiter: Text that ends them.
        data_sources: Of their problems; None where they are known to fit.
        policy: A model whose trunk it shares, so that there is one copy in memory; None loads its own.
        trust_remote_code: Whether code that comes with it may run.

    Raises:
        TokenizerError: It cannot be loaded, is no scorer of steps, was made for another tokenizer, step
            delimiter or task, or does not stand on the policy's trunk.
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


def reader_of(model: Any, objective: Objective, tokenizer: Any) -> Reader:
    """What reads the values of a model that was trained for an objective.

    Args:
        model: The model, in eval mode.
        objective: What it was trained for.
        tokenizer: Of the ids.

    Raises:
        TokenizerError: A verdict is not one token.
    """
    if objective is Objective.VERDICT:
        return StepVerdicts(model, tokenizer)
    return ValueHead(model, from_prompt=objective is Objective.VALUE)
