"""Read transformers' generation arguments and a model's generation config, to decode by them here.

``generate`` itself merges arguments and config, makes its logits processors, and passes them to a
``custom_generate`` defined here that takes the place of its loop. A model is therefore sampled as
transformers would sample it, and none of its logic is repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from halluc_plugin.errors import SettingsError

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    # Other ways to decode.
    "num_beams": (None, 1),
    "num_beam_groups": (None, 1),
    "num_return_sequences": (None, 1),
    "penalty_alpha": (None, 0),
    "dola_layers": (None,),
    "prompt_lookup_num_tokens": (None,),
    "assistant_early_exit": (None,),
    "constraints": (None,),
    "force_words_ids": (None,),
    "token_healing": (None, False),
    # Processors with a state or a row of their own, which a rewind or a finished row would leave behind.
    "guidance_scale": (None, 1),
    "watermarking_config": (None,),
    "encoder_repetition_penalty": (None, 1),
    "encoder_no_repeat_ngram_size": (None, 0),
    # Ends, results and caches that are not used here.
    "max_time": (None,),
    "stop_strings": (None,),
    "return_dict_in_generate": (None, False),
    "cache_implementation": (None, "dynamic", "static", "offloaded", "offloaded_static", "hybrid"),
}
"""The generation arguments that cannot be followed here, and the values with which they have no effect."""


@dataclass(frozen=True)
class Generation:
    """The settings by which one batch of prompts is decoded.

    Attributes:
        processors: The logits processors that change the scores of the next token, in order, temperature
            included.
        max_actions: Largest number of tokens of a response.
        samples: Whether to sample; otherwise decoding is greedy.
        eos_ids: Ids that end a response.
    """

    processors: LogitsProcessorList
    max_actions: int
    samples: bool
    eos_ids: frozenset[int]


def prepare(
    model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, arguments: Mapping[str, Any]
) -> Generation:
    """Return the settings by which ``model.generate`` would decode with these arguments.

    Args:
        model: A transformers causal language model.
        input_ids: Prompts padded on the left, Long[B, P].
        attention_mask: 1 for tokens and 0 for padding, Long[B, P].
        arguments: Arguments of ``generate``: fields of a ``GenerationConfig``.

    Returns:
        The settings, with all logits processors.

    Raises:
        SettingsError: An argument is unknown or has a wrong value; or an argument or the model's generation
            config asks for a method that is not a change of next-token scores.
    """
    unknown = sorted(arguments.keys() - vars(GenerationConfig()).keys())
    if unknown:
        raise SettingsError(
            f"transformers has no generation argument {', '.join(unknown)}.",
            "Use the fields of its GenerationConfig, e.g. top_p or repetition_penalty.",
        )
    _refuse_what_is_no_score(arguments)  # before transformers stumbles over some of them
    try:
        processors, config = model.generate(
            input_ids,
            attention_mask=attention_mask,
            custom_generate=_handed_over,
            use_cache=False,  # there is one of our own, none needs to be made ready
            **arguments,
        )
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        raise SettingsError(
            f"transformers refuses to generate: {str(error).strip()}",
            "Mend the generation arguments, or the model's generation_config.json.",
        ) from error
    _refuse_what_is_no_score(vars(config))
    eos = config.eos_token_id
    return Generation(
        processors,
        config.max_length - input_ids.shape[1],
        bool(config.do_sample),
        frozenset(eos if isinstance(eos, list) else [] if eos is None else [eos]),
    )


def _refuse_what_is_no_score(values: Mapping[str, Any]) -> None:
    """Refuse generation arguments that decide by more than scores of the next token."""
    for name, neutral in _NEUTRAL.items():
        if name in values and (value := values[name]) not in neutral:
            raise SettingsError(
                f"The generation arguments, or the model's generation config, set {name}={value!r}, which "
                "cannot be followed beside edits.",
                f"Leave it out, or set {name}={neutral[-1]!r} in generation_config.json.",
            )


def _handed_over(
    model: Any,  # noqa: ARG001 - as transformers calls it
    input_ids: torch.Tensor,  # noqa: ARG001 - same
    logits_processor: LogitsProcessorList,
    stopping_criteria: Any,  # noqa: ARG001 - same
    generation_config: GenerationConfig,
    **kwargs: Any,  # noqa: ARG001 - same
) -> tuple[LogitsProcessorList, GenerationConfig]:
    """Take the place of transformers' decoding loop and return what it was given."""
    return logits_processor, generation_config


class Processing:
    """Logits processors together with the context that they see for each row, padded on the left."""

    def __init__(
        self,
        processors: LogitsProcessorList,
        prompts: Sequence[Sequence[int]],
        max_actions: int,
        pad_id: int,
        device: torch.device,
    ) -> None:
        self._processors = processors
        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        rows = [[*[pad_id] * pads, *prompt] for pads, prompt in zip(padding, prompts, strict=True)]
        self._seen = torch.full((len(rows), width + max_actions), pad_id, device=device)
        self._seen[:, :width] = torch.tensor(rows, device=device)
        self._padding = torch.tensor(padding, device=device)[:, None]

    def __call__(self, ids: torch.Tensor, positions: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Processed scores of rows that have been fed these ids at these positions."""
        columns = self._padding + positions
        # What is fed is the last token that is seen; after an edit, a token that has been fed before.
        self._seen.scatter_(1, columns, ids)
        lengths = columns.squeeze(1) + 1
        for length in lengths.unique().tolist():  # one in soft context
            rows = (lengths == length).nonzero().squeeze(1)
            scores[rows] = self._processors(self._seen[rows, :length], scores[rows])
        return scores

    def select(self, rows: torch.Tensor) -> None:
        """Keep only these rows.

        Args:
            rows: Indices of the rows to keep, Long[R].
        """
        self._seen, self._padding = self._seen[rows], self._padding[rows]
