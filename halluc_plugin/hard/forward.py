"""Compute every action's log-prob by one forward pass over the raw traces, in hard or soft context."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from halluc_plugin.edits import Context, EditVocab, Resolution
from halluc_plugin.errors import TraceError
from halluc_plugin.hard.head import ACTIONS, ActionOutput, ActionQuery, causal_model, reading_actions
from halluc_plugin.hard.inputs import ModelInputs, lay_out
from halluc_plugin.hard.statistics import Statistic

ALL_OF_A_POLICY = (Statistic.LOG_PROB, Statistic.ENTROPY, Statistic.EDIT_MASS)


@dataclass(frozen=True)
class ActionScores:
    """A policy's statistics of the valid actions of B raw traces of width T.

    Attributes:
        resolution: The resolution of the traces.
        read: Each statistic that was asked for, Float[B, T], 0 at padding: of the distributions that the
            actions were sampled from, without banned tokens and ids that are not tokens.
    """

    resolution: Resolution
    read: Mapping[Statistic, torch.Tensor]

    @classmethod
    def of(
        cls, resolution: Resolution, output: ActionOutput, wanted: Collection[Statistic]
    ) -> "ActionScores":
        """Return the scores as rows, from the output of a forward pass for the N valid actions.

        Args:
            resolution: The resolution of B traces of width T.
            output: What the forward pass returned.
            wanted: The statistics to keep.
        """
        valid = resolution.valid

        def in_rows(values: torch.Tensor) -> torch.Tensor:
            return values.new_zeros(valid.shape).masked_scatter(valid, values)

        return cls(resolution, {name: in_rows(output[name.value]) for name in wanted})

    @property
    def log_probs(self) -> torch.Tensor:
        """Float[B, T], log-probability of each action in nats, erased tokens included; 0 at padding."""
        return self._of(Statistic.LOG_PROB)

    @property
    def entropy(self) -> torch.Tensor:
        """Float[B, T], entropy of the distribution each action was sampled from, in nats; 0 at padding."""
        return self._of(Statistic.ENTROPY)

    @property
    def edit_mass(self) -> torch.Tensor:
        """Float[B, T], probability before each action that it is any edit token; 0 at padding."""
        return self._of(Statistic.EDIT_MASS)

    @property
    def normalizer(self) -> torch.Tensor:
        """Float[B, T], log-sum-exp of the logits that each action was sampled from; 0 at padding."""
        return self._of(Statistic.NORMALIZER)

    def _of(self, name: Statistic) -> torch.Tensor:
        if name not in self.read:
            raise TraceError(f"{name} was not read.", f"Ask for it: wanted=(..., Statistic.{name.name}).")
        return self.read[name]


def score_actions(
    model: Any,
    prompt_ids: torch.Tensor,
    prompt_valid: torch.Tensor,
    resolution: Resolution,
    *,
    context: Context = Context.HARD,
    temperature: float = 1.0,
    edits_banned: torch.Tensor | None = None,
    unknown_banned: bool = True,
    wanted: Collection[Statistic] = ALL_OF_A_POLICY,
    chunk: int | None = None,
    asked: torch.Tensor | None = None,
) -> ActionScores:
    """Score raw traces, with gradients.

    In hard context the result equals that of one forward pass from the collapsed prefix for each action: a
    tree mask lets an action see the prompt and what was live, positions count live tokens only, and an
    action's logits are those of the last live token before it.

    Args:
        model: A transformers causal language model, also in peft's or torch's wrappers. Hard context needs
            full attention, and a model loaded with ``sdpa``, ``eager`` or ``flex_attention``. From then on
            the model also attends to packed rows; it treats other inputs as before.
        prompt_ids: The token ids of the prompts, Long[B, P], padded on either side.
        prompt_valid: Which positions hold a prompt token, Bool[B, P].
        resolution: The resolution of the B responses of width T.
        context: What each action saw, soft or hard.
        temperature: The sampling temperature.
        edits_banned: Which actions were sampled while edit tokens were banned, Bool[B, T]
            (:func:`halluc_plugin.edits.budget_mask`); None for none.
        unknown_banned: Whether ids that are not tokens were banned during sampling.
        wanted: The statistics to compute.
        chunk: Number of actions whose logits are held at once; None for as many as are fast.
        asked: Other ids in the places of the actions, Long[B, T], whose log-probabilities are read in the
            states in which the actions were taken; None for the actions themselves.

    Returns:
        The statistics of every valid action.

    Raises:
        SettingsError: The model's attention cannot follow a tree, or a chunk does not fit into memory.
        TokenizerError: The model's head has no row for an action.
        TraceError: The temperature is not positive, or the shapes do not fit.
    """
    if temperature <= 0:
        raise TraceError(f"The temperature is {temperature}.", "Pass that of the sampling, above 0.")
    wanted = tuple(wanted)
    inputs = lay_out(causal_model(model), prompt_ids, prompt_valid, resolution, context)
    query = query_of(
        resolution, inputs, wanted=wanted, chunk=chunk, banned=edits_banned, unknown_banned=unknown_banned,
        temperature=None if temperature == 1 else temperature,
    )  # fmt: skip
    if asked is not None:
        query = replace(query, ids=asked[resolution.valid])
    with reading_actions(model):
        output = model(**inputs.arguments, **{ACTIONS: query}, use_cache=False)
    return ActionScores.of(resolution, output, wanted)


def query_of(
    resolution: Resolution,
    inputs: ModelInputs,
    *,
    wanted: tuple[Statistic, ...],
    temperature: float | torch.Tensor | None = None,
    banned: torch.Tensor | None = None,
    unknown_banned: bool = True,
    chunk: int | None = None,
) -> ActionQuery:
    """Return the query for the valid actions of traces that are laid out for a forward pass.

    Args:
        resolution: The resolution of B traces of width T.
        inputs: The inputs that they are laid out as.
        wanted: The statistics to compute.
        temperature: The sampling temperature of all actions, or of each action, Float[N]; None for 1.
        banned: Which actions were sampled while edits were banned, Bool[B, T]; None for none.
        unknown_banned: Whether ids that are not tokens were banned during sampling.
        chunk: Number of actions whose logits are held at once; None for as many as are fast.
    """
    valid, vocab = resolution.valid, resolution.vocab
    ids = resolution.ids[valid]
    if temperature is not None:
        temperature = torch.as_tensor(temperature, dtype=torch.float32, device=ids.device).expand(len(ids))
    return ActionQuery(
        index=inputs.index,
        ids=ids,
        edit_ids=vocab.edit_ids,
        unknown=vocab.unknown_ids if unknown_banned else None,
        temperature=temperature,
        banned=None if banned is None else banned[valid],
        wanted=wanted,
        chunk=chunk,
    )


def without_unknown(logits: torch.Tensor, vocab: EditVocab) -> torch.Tensor:
    """Return logits, Float[..., V], with -inf at the ids that are not tokens."""
    unknown = vocab.unknown_ids(logits.shape[-1])
    if not unknown:
        return logits
    return logits.index_fill(-1, torch.tensor(unknown, device=logits.device), -torch.inf)
