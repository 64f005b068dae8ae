"""Fine-tuning by low-rank updates (LoRA, arXiv 2106.09685): a model keeps more of what it can do.

Its weights stay as they are, but for an update of rank r in each projection and, since a new token must be
learned whole, the embedding rows of the edit tokens. What is saved is a plain model with the updates merged.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError
from halluc_plugin.tokens.loading import save_tokenizer
from halluc_plugin.training.dataset import vocab_of
from halluc_plugin.training.fine_tuning import fine_tune
from halluc_plugin.training.settings import TrainSettings

ADAPTER = "adapter"


def require_peft() -> None:
    """Refuse low-rank updates where the package that makes them is missing.

    Raises:
        SettingsError: peft is not installed.
    """
    if find_spec("peft") is None:
        raise SettingsError("Low-rank updates need peft.", "Run: pip install peft")


def fine_tune_low_rank(
    model: Any,
    tokenizer: Any,
    files: Sequence[Path],
    settings: TrainSettings,
    out: Path,
    *,
    rank: int,
    step_delimiter: str = "\n",
    show_progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Train low-rank updates of all projections and the rows of the edit tokens; save the merged model.

    The updates by themselves, their checkpoints and TensorBoard files are in ``out/adapter``.

    Args:
        model: As :func:`halluc_plugin.training.fine_tune`; its weights may be of half precision.
        tokenizer: As there.
        files: As there.
        settings: As there.
        out: As there.
        rank: Of the updates, which are scaled by two.
        step_delimiter: As there.
        show_progress: As there.
        callbacks: As there.

    Returns:
        As there.

    Raises:
        DataError: As there.
        SettingsError: peft is not installed, or the rank is below 1; or as there.
    """
    require_peft()
    from peft import LoraConfig, get_peft_model

    if rank < 1:
        raise SettingsError(f"The rank is {rank}.", "Give at least 1.")
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        trainable_token_indices=_rows(model, tokenizer, vocab_of(tokenizer, step_delimiter=step_delimiter)),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(settings.seed)
    tuned: Any = get_peft_model(model, config)
    done = fine_tune(
        tuned, tokenizer, files, settings, out / ADAPTER,
        step_delimiter=step_delimiter, show_progress=show_progress, callbacks=callbacks,
    )  # fmt: skip
    tuned.merge_and_unload().save_pretrained(out)
    save_tokenizer(tokenizer, out)
    return done


def _rows(model: Any, tokenizer: Any, vocab: EditVocab) -> dict[str, list[int]] | None:
    """Rows of the embeddings that are trained, by the embedding's name; None where there is no edit token."""
    edits = sorted(token for token in vocab.edit_ids if token < len(tokenizer))
    if not edits:
        return None
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    embeddings = [inputs] if outputs.weight is inputs.weight else [inputs, outputs]
    names = {module: name for name, module in model.named_modules()}
    return {names[embedding]: edits for embedding in embeddings}
