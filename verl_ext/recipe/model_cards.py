"""Write cards for the models in a run's checkpoints, which verl saves without one."""

import os
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

MODEL_BLOCKS = ("actor_rollout_ref.model", "model")
"""Keys under which reinforcement learning and fine-tuning name the model they start from."""


def write_cards(config: DictConfig, run: Path) -> None:
    """Write the card into each ``huggingface`` folder below a run's checkpoints.

    Args:
        config: The config of the run.
        run: Folder of the run's checkpoints.

    Raises:
        TokenizerError: A checkpoint's tokenizer cannot be loaded.
    """
    from halluc_plugin.tokens.card import write_card
    from halluc_plugin.tokens.loading import load_tokenizer

    if int(os.environ.get("RANK", "0")):
        return  # one of torchrun's processes writes for all
    block = next(found for key in MODEL_BLOCKS if (found := OmegaConf.select(config, key)) is not None)
    for path in sorted(run.glob("global_step_*/**/huggingface/config.json")):
        folder = path.parent
        tokenizer = load_tokenizer(str(folder), trust_remote_code=bool(block.get("trust_remote_code", False)))
        delimiter = str(OmegaConf.select(config, "halluc.tokens.step_delimiter", default="\n"))
        write_card(folder, tokenizer, base=str(block.path), step_delimiter=delimiter)
