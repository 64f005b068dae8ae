"""Keep every dependence on a version of verl in one place, with the version in the condition."""

from importlib.metadata import version
from typing import Any

from packaging.version import Version

from halluc_plugin.errors import HostVersionError
from halluc_plugin.window import VERL, nearest_run

ALWAYS_CONTINUOUS_TOKENS = Version("0.9.1")
"""From here on every agent loop has a builder of continuous tokens; before, only where
``data.continuous_token.enable`` is set."""


def require_tested_verl() -> None:
    """Refuse a verl outside the tested window.

    It is called when one of halluc's names is selected, never on installation.

    Raises:
        HostVersionError: verl is too old or too new.
    """
    installed = _installed()
    if installed not in VERL:
        near = nearest_run(installed, "verl")
        raise HostVersionError(
            f"verl {installed} is installed; halluc is tested with verl{VERL}{near}.",
            f"Run `pip install 'verl{VERL}'`, or take a release of halluc for your verl.",
        )


async def initial_ids(loop: Any, messages: list[dict[str, Any]]) -> list[int]:
    """Return the ids of a prompt of text, as verl's own agent loops make them.

    Args:
        loop: An agent loop of verl.
        messages: The messages of the prompt.
    """
    if _installed() >= ALWAYS_CONTINUOUS_TOKENS or loop.continuous_token_builder is not None:
        return list(await loop.ct_build_initial_tokens(messages))
    return list(await loop.apply_chat_template(messages))


async def merged_turn(
    loop: Any, before: list[dict[str, Any]], after: list[dict[str, Any]], ids: list[int]
) -> Any:
    """Return verl's merge of the messages that ``after`` adds to ``before`` into the ids of ``before``.

    verl 0.9.0 merges with the same builders, but makes one only if ``data.continuous_token.enable`` is set,
    and chooses it by the model's name. Else it is made here, chosen for Qwen by the model's type as later
    versions do, unless ``data.continuous_token.model_family`` names another.

    Args:
        loop: An agent loop of verl.
        before: The messages that ``ids`` hold.
        after: The same, and others after them.
        ids: The ids so far, those that were sampled included.

    Returns:
        The result of verl's builder: ``token_ids``, and ``removed_prefix_token_count``.
    """
    if _installed() >= ALWAYS_CONTINUOUS_TOKENS:
        merged, _, _ = await loop.ct_merge_context_msg(before, after, ids, [])
        return merged
    if loop.continuous_token_builder is None:
        loop.continuous_token_builder = _builder_of_0_9_0(loop)
    merged, _, _ = await loop.ct_merge_non_assistant_msg(before, after, ids, [])
    return merged


def _builder_of_0_9_0(loop: Any) -> Any:
    from verl.utils.tokenizer.continuous_token_wiring import create_continuous_token_builder

    model, family = loop.config.actor_rollout_ref.model, loop.data_config.continuous_token.model_family
    if family == "auto" and _model_type(model.path).startswith("qwen"):
        family = "qwen"
    return create_continuous_token_builder(
        loop.tokenizer,
        model_family=family,
        model_path=model.path,
        tokenizer_name_or_path=model.tokenizer_path,
        chat_template_kwargs=loop.apply_chat_template_kwargs,
    )


def _model_type(path: str) -> str:
    from transformers import AutoConfig

    try:
        return str(AutoConfig.from_pretrained(path).model_type)
    except (OSError, ValueError):  # not where this process can read it, or of code of its own
        return ""


class AnswersToSync:
    """A trainer that verl must treat as its synchronous one.

    verl 0.9 compares ``trainer_mode``, the name a trainer is registered under, with the literal "sync" in
    six places (trainer_base.py). A subclass under a name of its own answers "sync" there.
    """

    @property
    def trainer_mode(self) -> str:
        """The mode that verl reads, always ``sync``."""
        return "sync"

    @trainer_mode.setter
    def trainer_mode(self, _registered_name: Any) -> None:
        """Ignore the registered name, which the base class assigns."""


def _installed() -> Version:
    return Version(version("verl"))
