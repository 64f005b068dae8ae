"""Open the model that a search samples, after checking what it may write and whether that fits."""

import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from halluc_plugin.decoding.limits import require_room, require_rows
from halluc_plugin.decoding.triggers import Trigger
from halluc_plugin.edits import find_delimiters
from halluc_plugin.errors import HostVersionError, SettingsError, TokenizerError, in_one_line
from halluc_plugin.sampling.driver import Sampler
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import load_network, parameters_of
from halluc_plugin.sampling.states import Space
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab, vocab_of
from halluc_plugin.tokens.ends import end_ids
from halluc_plugin.tokens.loading import load_config, load_generation_config

LARGE = 50_000_000
"""Number of parameters from which on vLLM samples unless another engine is asked for: it takes most of a
minute to start on a CPU, in which transformers sample a smaller model for a whole file."""


VLLM_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
"""What vLLM is told by its environment variables unless they are set: gibibytes of the cache on a CPU, where
it would otherwise ask for nearly all of the host's memory; to keep its core in this process, since in one of
its own it begins when the first request arrives, so that chance decides which requests share random numbers;
and to leave the terminal to the progress."""


class Backend(StrEnum):
    """The engine that samples."""

    HF = "hf"
    VLLM = "vllm"


def usual_backend(
    model: str, only_hf: str | None = None, *, trust_remote_code: bool = False
) -> tuple[Backend, str]:
    """Return the engine to sample a model with if none is asked for, and why.

    That is vLLM where it is installed and the model is so large (:data:`LARGE`) that its start pays.

    Args:
        model: Model folder or hub name; only its config is loaded.
        only_hf: Why only transformers can do what is asked; None if vLLM can, too.
        trust_remote_code: Whether code that comes with the model may run.
    """
    from importlib.util import find_spec

    if only_hf is not None:
        return Backend.HF, only_hf
    if find_spec("vllm") is None:
        return Backend.HF, "vLLM is not installed"
    size = parameters_of(model, trust_remote_code=trust_remote_code)
    told = f"the model has {size / 1e6:.1f}M parameters"
    if size < LARGE:
        return Backend.HF, f"{told}, for which starting vLLM does not pay"
    return Backend.VLLM, f"it is installed, and {told}"


def edit_free_space(
    model: str, tokenizer: Any, *, step_delimiter: str, max_tokens: int, temperature: float
) -> Space:
    """Return the space in which a model answers several times without taking back by itself.

    Raises:
        TokenizerError: The tokenizer has no usable edit token, or no id ends an answer.
        SettingsError: All answers would be the same, or a value is out of range.
    """
    if temperature == 0:
        raise SettingsError("At temperature 0 all answers would be the same.", "Give a temperature above 0.")
    vocab = edit_vocab(tokenizer, step_delimiter=step_delimiter)
    ends = find_delimiters(tokenizer, step_delimiter, edit_ids=vocab.edit_ids)
    return Space(vocab, answer_ends(model, tokenizer), ends, max_tokens, temperature, edits_banned=True)


def policy_space(
    model: str, tokenizer: Any, *, step_delimiter: str, max_tokens: int, temperature: float
) -> Space:
    """Return the space in which a model writes steps without edits, whether it has edit tokens or not.

    Raises:
        EditVocabError: No token ends with the delimiter.
        TokenizerError: No id ends an answer.
        SettingsError: A value is out of range.
    """
    vocab = vocab_of(tokenizer, step_delimiter=step_delimiter)
    ends = find_delimiters(tokenizer, step_delimiter, edit_ids=vocab.edit_ids)
    known = BACKTRACK_TOKEN in tokenizer.get_vocab()
    return Space(vocab, answer_ends(model, tokenizer), ends, max_tokens, temperature, edits_banned=known)


def answer_ends(model: str, tokenizer: Any) -> frozenset[int]:
    """Return the ids that end an answer: the tokenizer's EOS and those of the generation config.

    Raises:
        TokenizerError: There is no such id.
    """
    by_config = getattr(load_generation_config(model), "eos_token_id", None)  # a model may have none
    found = end_ids(tokenizer, by_config, ())
    if not found:
        raise TokenizerError(
            "Neither tokenizer nor generation config has an EOS token, so no answer would ever end.",
            "Set one in the tokenizer, and save it.",
        )
    return found


def require_fit(
    model: str,
    prompts: Sequence[Sequence[int]],
    space: Space,
    *,
    max_tokens: int | None = None,
    trust_remote_code: bool = False,
) -> None:
    """Refuse a model that has too few positions for what is to be sampled, or no row for an edit token.

    Args:
        model: Model folder or hub name; only its config is loaded.
        prompts: Token ids of the prompts.
        space: The space in which the model is sampled.
        max_tokens: Largest number of tokens after a prompt; None for that of an answer.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        SettingsError: A prompt does not fit together with what follows it.
        TokenizerError: The model has no row for an edit token.
    """
    config = load_config(model, trust_remote_code=trust_remote_code)
    require_room(config, prompts, space.max_tokens if max_tokens is None else max_tokens)
    require_rows(config, space.vocab)


def open_sampler(
    model: str,
    backend: Backend,
    space: Space,
    seed: int,
    *,
    trust_remote_code: bool = False,
    trigger: Trigger | None = None,
) -> Sampler:
    """Load a model to be sampled from.

    Args:
        model: Model folder or hub name.
        backend: The engine that samples.
        space: The space in which the model is sampled.
        seed: Seed of all samples.
        trust_remote_code: Whether code that comes with the model may run.
        trigger: The settings by which a signal takes text back; None for none.

    Returns:
        The sampler.

    Raises:
        TokenizerError: The model cannot be loaded.
        HostVersionError: vLLM is asked for and not installed.
    """
    if backend is Backend.HF:
        network = load_network(model, trust_remote_code=trust_remote_code)
        return HFSampler(network, space, seed=seed, trigger=trigger)
    for name, value in VLLM_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError as error:
        raise HostVersionError(
            f"--backend vllm needs vLLM ({error}).",
            "Install the build for your machine, or use --backend hf.",
        ) from error

    from halluc_plugin.vllm_engine.launch import ENGINE_ARGS, KNOWN_IDS, PROCESSOR, RESEEDING
    from halluc_plugin.vllm_engine.sampler import VLLMSampler

    arguments: dict[str, Any] = {"logits_processors": [KNOWN_IDS]}
    if trigger is not None:
        arguments = {**ENGINE_ARGS, "logits_processors": [KNOWN_IDS, PROCESSOR]}
    try:
        llm = LLM(
            model,
            **_on_this_platform(),
            worker_extension_cls=RESEEDING,
            logprobs_mode="processed_logprobs",
            **arguments,
            enable_prefix_caching=True,
            seed=seed,
            trust_remote_code=trust_remote_code,
        )
    except (RuntimeError, ValueError) as error:  # whatever its processes stumble over arrives as one of them
        raise HostVersionError(
            f"vLLM could not be started for {model} ({in_one_line(error)}).",
            "Read what it says above, or use --backend hf.",
        ) from error
    return VLLMSampler(llm, space, trigger)


def _on_this_platform() -> dict[str, Any]:
    """Arguments of the engine that a CPU needs."""
    from vllm.platforms import current_platform

    from halluc_plugin.processor import multiplies_bfloat16

    if not current_platform.is_cpu():
        return {}
    # Blocks have 128 tokens by default there, and no shorter prefix is ever found in the cache.
    return {"block_size": 32, "dtype": "bfloat16" if multiplies_bfloat16() else "float32"}
