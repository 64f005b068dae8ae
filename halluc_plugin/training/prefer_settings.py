"""The settings of training on pairs, and what is refused before a model is loaded."""

from dataclasses import dataclass, field
from typing import Any

from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.losses.preference import Preference, PreferenceSettings
from halluc_plugin.training.settings import TrainSettings


@dataclass(frozen=True)
class PreferSettings:
    """How a model is trained on pairs.

    Args:
        loss: The loss of a preference.
        train: The other settings; ``batch_size`` counts pairs, and there are no shares of the loss.
        held_out: Share of the problems that is held out for the report, at least 0 and below 1.
        low_rank: Rank of low-rank updates; None to train all weights.
        token_rewards: The weight α of T-REG's regulariser (:mod:`halluc_plugin.losses.token_rewards`), for
            DPO; None for none.
        imitation: The weight λ of the chosen side's negative log-likelihood, a mean over its tokens, erased
            ones left out and the beginning that both sides share not, which is added to the loss (Pang et
            al., arXiv 2404.19733; `rpo_alpha` of other trainers).

    Raises:
        SettingsError: A value is out of range, or the treatment of erased tokens has no meaning for pairs.
    """

    loss: PreferenceSettings = field(default_factory=PreferenceSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    held_out: float = 0.1
    low_rank: int | None = None
    token_rewards: float | None = None
    imitation: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.imitation < float("inf"):
            raise SettingsError(
                f"The weight of imitation is {self.imitation}.", "Give at least 0, such as 0.1."
            )
        if not 0 <= self.held_out < 1:
            raise SettingsError(
                f"held_out is {self.held_out}.", "Give a share of the problems of at least 0 and below 1."
            )
        alpha = self.token_rewards
        if alpha is not None and (self.loss.loss is not Preference.DPO or not 0 < alpha < float("inf")):
            raise SettingsError(
                f"Token rewards have the weight {alpha}, and the loss is {self.loss.loss}.",
                "Give a weight above 0, such as 0.25, and the loss dpo.",
            )
        if self.train.shares.given or self.train.erased_tokens is ErasedTokens.WEIGHT:
            raise SettingsError(
                "A preference compares sums of log-probs, in which every token counts alike.",
                "Leave shares of the loss out, and give erased_tokens=mask or keep.",
            )


def check_reference(loss: PreferenceSettings, *, given: bool) -> None:
    """Refuse a loss without the reference that it needs, or with one that it would not read.

    Raises:
        SettingsError: A reference is missing, or given to SimPO.
    """
    if loss.needs_reference and not given:
        raise SettingsError(
            f"{loss.loss} compares with a reference model, and none is given.",
            "Give --reference MODEL, usually the model that training starts from, or take simpo.",
        )
    if given and not loss.needs_reference:
        raise SettingsError("simpo has no reference model, and one is given.", "Leave --reference out.")


def check_same_vocabulary(tokenizer: Any, reference: Any, name: str) -> None:
    """Refuse a reference whose tokenizer gives other ids.

    Args:
        tokenizer: The tokenizer of the model that is trained.
        reference: The tokenizer of the reference.
        name: Name of the reference, for the message.

    Raises:
        TokenizerError: A token has another id, or is in one of the vocabularies alone.
    """
    ours, theirs = tokenizer.get_vocab(), reference.get_vocab()
    if ours != theirs:
        other = sorted(set(ours.items()) ^ set(theirs.items()), key=lambda item: (item[1], item[0]))
        raise TokenizerError(
            f"The reference {name!r} has another vocabulary: {len(theirs)} tokens, the model {len(ours)}; "
            f"the first difference is {other[0][0]!r} (id {other[0][1]}).",
            "Give a reference with the model's tokenizer: a model without the edit token gets it by "
            "`halluc add-token --model MODEL --out FOLDER`.",
        )
