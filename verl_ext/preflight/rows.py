"""Check the data files of a run before any worker starts, for what verl would fail at or ignore."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from halluc_plugin.data.parquet import checked_rows
from halluc_plugin.data.prompts import TEMPLATE_KWARGS, check_prompt, template_kwargs
from halluc_plugin.data.rows import Message, messages, reference_answer, text_of
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.tasks import truth_fault
from verl_ext.run_settings import OUR_LOOPS, has_reward_function, judged_by_model

Rows = list[dict[str, Any]]
SUFFIXES = (".parquet", ".json", ".jsonl")
OWN_DATASET = {"path": "pkg://verl_ext.rows_dataset", "name": "RowsDataset"}


def data_files(config: DictConfig, key: str) -> list[Path]:
    """Return the files that a key of the config names, one or several.

    Raises:
        SettingsError: No file is named, or one is not a local path.
    """
    given = OmegaConf.select(config, key)
    paths = [given] if isinstance(given, str) else list(given or ())
    for path in paths:
        if not isinstance(path, str) or "://" in path:
            raise SettingsError(f"{key} holds {path!r}, no local path.", "Copy the file to this machine.")
    if not paths or "" in paths:
        raise SettingsError(f"{key} names no file.", f"Give {key}=FILE, or '{key}=[FILE,FILE]'.")
    return [Path(path).expanduser() for path in paths]


def asked_with(config: DictConfig) -> dict[str, Any]:
    """Return the further arguments of the chat template.

    Raises:
        SettingsError: The arguments are refused by :func:`halluc_plugin.data.prompts.template_kwargs`.
    """
    given = OmegaConf.select(config, f"data.{TEMPLATE_KWARGS}")
    if OmegaConf.is_config(given):
        given = OmegaConf.to_container(given, resolve=True)
    return template_kwargs(given)


def check_files(config: DictConfig, tokenizer: Any) -> dict[Path, Rows]:
    """Check every data file of a run, and return the rows of each.

    Raises:
        DataError: A file is missing or malformed, or the model's chat template cannot render a prompt.
        SettingsError: No file is named, or ``data.apply_chat_template_kwargs`` are not the template's
            arguments.
    """
    kwargs = asked_with(config)
    found = {}
    for key in ("data.train_files", "data.val_files"):
        for path in data_files(config, key):
            if path not in found:
                found[path] = _check_file(path, key, config, tokenizer, kwargs)
    return found


def _check_file(path: Path, key: str, config: DictConfig, tokenizer: Any, kwargs: Mapping[str, Any]) -> Rows:
    if not path.exists():
        raise DataError(f"{path} does not exist.", f"Give a file by {key}=... .")
    if not path.name.endswith(SUFFIXES):
        raise DataError(
            f"{path}: verl reads {', '.join(SUFFIXES)} files and tells them by their names.", "Rename it."
        )
    own_judge = has_reward_function(config) or judged_by_model(config)
    judged = not own_judge and config.reward.reward_manager.source == "register"
    rows = checked_rows(path, prompt_key=config.data.prompt_key, truth_fault=truth_fault if judged else None)
    _check_prompts(path, [messages(row, config.data.prompt_key) for row in rows], config, tokenizer, kwargs)
    _warn_long_references(path, rows, int(config.data.max_response_length), tokenizer)
    return rows


def _check_prompts(
    path: Path,
    prompts: Sequence[Sequence[Message]],
    config: DictConfig,
    tokenizer: Any,
    kwargs: Mapping[str, Any],
) -> None:
    """Write some prompts: verl drops those that its filter cannot write, without an end where it is all."""
    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    tried: set[tuple[Any, ...]] = set()
    for number, prompt in enumerate(prompts):
        if loop in OUR_LOOPS and None in [text_of(message.get("content")) for message in prompt]:
            raise DataError(
                f"{path}, row {number} asks with more than text, and the agent loop {loop} takes text alone.",
                "Give text, or set actor_rollout_ref.rollout.agent.default_agent_loop=single_turn_agent.",
            )
        # Prompts of one shape are all written, or none is.
        shape = tuple((message["role"], type(message.get("content"))) for message in prompt)
        if shape in tried or config.data.custom_cls.path is not None:
            continue
        tried.add(shape)
        try:
            check_prompt(tokenizer, prompt, kwargs)
        except DataError as error:
            raise DataError(f"{path}, row {number}: {error.cause}", error.fix) from error


def _warn_long_references(path: Path, rows: Rows, limit: int, tokenizer: Any) -> None:
    """A reference that cannot fit the response length can never be produced: say how many there are."""
    answers = (reference_answer(row) for row in rows)
    references = [answer for answer in answers if isinstance(answer, str) and answer]
    too_long = sum(len(tokenizer.encode(text, add_special_tokens=False)) + 1 > limit for text in references)
    if too_long:
        share = 100 * too_long / len(references)
        warnings.warn(
            f"{path}: {too_long} of {len(references)} references ({share:.1f} %) are longer than "
            f"data.max_response_length={limit} tokens; raise it or drop those rows.",
            stacklevel=2,
        )


def complete_rows(config: DictConfig, rows: Iterable[Mapping[str, Any]]) -> None:
    """Select halluc's data set class if rows need it; a data set of the user's is not changed.

    Args:
        config: verl's whole config, writable.
        rows: The rows of all data files.
    """
    if _needs_own_dataset(config, rows):
        config.data.custom_cls.update(OWN_DATASET)


def require_rows(config: DictConfig, rows: Iterable[Mapping[str, Any]]) -> None:
    """Refuse rows that need halluc's data set class if it is not selected.

    Raises:
        SettingsError: The class is not selected; the message names the settings that select it.
    """
    if _needs_own_dataset(config, rows):
        wanted = " ".join(f"data.custom_cls.{key}={value}" for key, value in OWN_DATASET.items())
        raise SettingsError("Rows have an extra_info that verl's data set cannot read.", f"Set {wanted}.")


def _needs_own_dataset(config: DictConfig, rows: Iterable[Mapping[str, Any]]) -> bool:
    """Verl 0.9.1 takes ``extra_info`` for a mapping, and fails at the first row where it is none."""
    if config.data.custom_cls.path is not None:
        return False
    return not all(isinstance(row.get("extra_info"), Mapping | None) for row in rows)
