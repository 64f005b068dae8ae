"""Checks of a composed verl config before any worker starts: each failure is one clear message."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from halluc_plugin.errors import DataError


def check_run(config: DictConfig, settings: Any) -> None:
    """Check model, tokenizer and data of a run.

    Args:
        config: The composed verl config, with real paths.
        settings: The parsed ``halluc:`` block.

    Raises:
        TokenizerError: The backtrack agent loop is selected and the tokenizer is not ready for it.
        DataError: A parquet file is missing or malformed.
    """
    tokenizer = _load_tokenizer(config)
    if config.actor_rollout_ref.rollout.agent.default_agent_loop == "backtrack":
        from halluc_plugin.tokens import edit_vocab

        edit_vocab(tokenizer, step_delimiter=settings.tokens.step_delimiter)
    for path in _paths(config.data.train_files, config.data.val_files):
        _check_file(path, config, tokenizer)


def _load_tokenizer(config: DictConfig) -> Any:
    from halluc_plugin.tokens.loading import load_tokenizer

    model = config.actor_rollout_ref.model
    return load_tokenizer(
        str(model.get("tokenizer_path") or model.path),
        trust_remote_code=bool(model.get("trust_remote_code", False)),
    )


def _paths(*groups: Any) -> Iterable[Path]:
    for group in groups:
        for path in [group] if isinstance(group, str) else group:
            yield Path(path).expanduser()


def _check_file(path: Path, config: DictConfig, tokenizer: Any) -> None:
    from halluc_plugin.data.parquet import check_rows

    if not path.exists():
        raise DataError(
            f"{path} does not exist.", "Give a parquet file by data.train_files=... or data.val_files=... ."
        )
    rows = check_rows(path, prompt_key=config.data.prompt_key)
    _warn_long_references(path, rows, int(config.data.max_response_length), tokenizer)


def _warn_long_references(path: Path, rows: Any, limit: int, tokenizer: Any) -> None:
    """A reference that cannot fit the response length can never be produced: say how many there are."""
    references = [r["extra_info"]["answer"] for r in rows if (r.get("extra_info") or {}).get("answer")]
    too_long = sum(len(tokenizer.encode(text, add_special_tokens=False)) + 1 > limit for text in references)
    if too_long:
        share = 100 * too_long / len(references)
        warnings.warn(
            f"{path}: {too_long} of {len(references)} references ({share:.1f} %) are longer than "
            f" data.max_response_length={limit} tokens; raise it or drop those rows.",
            stacklevel=2,
        )
