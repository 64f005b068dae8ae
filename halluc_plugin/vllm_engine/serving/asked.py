"""Read a client's request: the form of the text, and the request to vLLM in its place."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.tokens.ends import end_marks
from halluc_plugin.vllm_engine.request import KEYS, PREFIX, EditRequest, as_ours
from halluc_plugin.vllm_engine.served import Served
from halluc_plugin.vllm_engine.serving.answer import AnswerText, TextForm

SWITCH = "halluc_text"
"""The key of ``vllm_xargs`` that chooses the form; without it a request and its answer are vLLM's own."""

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
MOST_STOPS = 64
"""Largest number of stop strings, as live text is searched for each of them again and again."""

_IDS = frozenset({"backtrack", "step", "step_delimiters", "restart"})

_KNOWN = frozenset({
    "add_generation_prompt", "add_special_tokens", "allowed_token_ids", "bad_words", "cache_salt",
    "chat_template", "chat_template_kwargs", "continue_final_message", "documents", "frequency_penalty",
    "ignore_eos", "include_reasoning", "length_penalty", "logit_bias", "max_completion_tokens",
    "max_tokens", "media_io_kwargs", "messages", "metadata", "min_p", "min_tokens", "mm_processor_kwargs",
    "model", "n", "parallel_tool_calls", "presence_penalty", "priority", "prompt", "prompt_cache_key",
    "prompt_embeds", "prompt_logprobs", "reasoning_effort", "repetition_penalty", "request_id",
    "return_prompt_text", "return_token_ids", "return_tokens_as_token_ids", "safety_identifier", "seed",
    "service_tier", "session_id", "skip_special_tokens", "stop", "stop_token_ids", "store", "stream",
    "stream_interval", "stream_options", "temperature", "top_k", "top_p", "truncate_prompt_tokens",
    "truncation_side", "user", "vllm_xargs",
})  # fmt: skip
"""Fields that change neither the content of an answer's text nor the other fields of the answer."""

_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "response_format": ({"type": "text"},),
    "routed_experts_prompt_start": (0,),
    "spaces_between_special_tokens": (True,),
    "thinking_token_budget": (-1,),
    "tool_choice": ("none", "auto"),
    "top_logprobs": (0,),
}
"""The values of other fields that have no effect; null, false and empty values have none either."""


@dataclass(frozen=True)
class Asked:
    """A request for a form of text.

    Attributes:
        form: The form of the text.
        body: The body of the request to vLLM.
        vocab: The edit vocabulary of the ids; None for raw text.
        stops: Stop strings.
        marks: The stop strings that are a token which ends answers, by its id.
        wants_ids: Whether the answer shows ids.
        skip_special: Whether special tokens are left out of the text.
        tokenizer: The tokenizer that decodes.
    """

    form: TextForm
    body: dict[str, Any]
    vocab: EditVocab | None = None
    stops: tuple[str, ...] = ()
    marks: Mapping[int, str] = field(default_factory=dict)
    wants_ids: bool = False
    skip_special: bool = True
    tokenizer: Any = None

    def answer(self) -> AnswerText:
        """Return an empty text for one answer to the request."""
        assert self.vocab is not None
        return AnswerText(self.vocab, self._decode, self.stops, self.form)

    def _decode(self, ids: Any) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=self.skip_special))


def chosen_form(body: Mapping[str, Any]) -> TextForm:
    """Return the form that the JSON of a request chooses.

    Raises:
        SettingsError: There is no such form.
    """
    extra = body.get("vllm_xargs")
    if not isinstance(extra, dict) or SWITCH not in extra:
        return TextForm.RAW
    value = extra[SWITCH]
    if not isinstance(value, str) or value not in list(TextForm):
        raise SettingsError(f"{SWITCH} is {reprlib.repr(value)}.", f"Give one of: {', '.join(TextForm)}.")
    return TextForm(value)


def asks(path: str, body: Any) -> bool:
    """Return whether a request chooses a form of text.

    Args:
        path: Path of the request.
        body: Parsed JSON of the request.

    Raises:
        SettingsError: The request chooses a form in a place or spelling that would be ignored.
    """
    if not isinstance(body, dict):
        return False
    if SWITCH in body:
        raise SettingsError(
            f"{SWITCH} is a field of the request, where nothing reads it.",
            f'Put it into vllm_xargs: "vllm_xargs": {{"{SWITCH}": ...}}.',
        )
    extra = body.get("vllm_xargs")
    if not isinstance(extra, dict):
        return False
    _require_spelt_rightly(extra)
    if SWITCH not in extra:
        return False
    if path not in {COMPLETIONS, CHAT}:
        raise SettingsError(
            f"{SWITCH} is asked of {path}, whose text is raw.", f"Ask {COMPLETIONS} or {CHAT}."
        )
    return True


def read_request(path: str, body: Mapping[str, Any], served: Served) -> Asked:
    """Read a request for which :func:`asks` is true.

    Args:
        path: Path of the request.
        body: Parsed JSON of the request.
        served: The description of the server.

    Raises:
        SettingsError: The form is unknown, or the request has a field that collapsed text cannot honour.
        TokenizerError: The model has no backtrack token, and the request names none.
        EditVocabError: The ids that the request names contradict each other.
    """
    form = chosen_form(body)
    extra = {key: value for key, value in body["vllm_xargs"].items() if key != SWITCH}
    if form is TextForm.RAW:
        return Asked(form, _with_extra(body, extra))
    _require_collapsible(path, body, served)
    edits, extra = _edits(extra, served)
    stop_ids = body.get("stop_token_ids")
    if isinstance(stop_ids, list) and edits.edit_ids.intersection(i for i in stop_ids if isinstance(i, int)):
        raise SettingsError(
            "An edit token is among stop_token_ids, and text that it erases would stay.", "Leave it out."
        )
    asked = _with_extra(body, extra) | {"return_token_ids": True}
    stops = _stops(body)
    marks = end_marks(served.tokenizer, stops)
    if stops:
        del asked["stop"]
    if marks:
        asked["stop_token_ids"] = [*(stop_ids or []), *marks]
    return Asked(
        form,
        asked,
        edits,
        stops,
        marks,
        wants_ids=bool(body.get("return_token_ids")),
        skip_special=_flag(body, "skip_special_tokens", default=True),
        tokenizer=served.tokenizer,
    )


def _require_spelt_rightly(extra: Iterable[str]) -> None:
    known = {SWITCH, *(PREFIX + key for key in KEYS)}
    for key in extra:
        plain = as_ours(key)[:64]
        ours = plain.startswith(PREFIX) and key not in known
        if ours and difflib.get_close_matches(plain, known, n=1, cutoff=0.8) == [SWITCH]:
            raise SettingsError(f"A request sets {reprlib.repr(key)}.", f"Did you mean {SWITCH}?")


def _with_extra(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """``body`` with other extra arguments; with none where there are none."""
    rest = {key: value for key, value in body.items() if key != "vllm_xargs"}
    return rest | ({"vllm_xargs": dict(extra)} if extra else {})


def _require_collapsible(path: str, body: Mapping[str, Any], served: Served) -> None:
    if served.tokenizer is None:
        raise TokenizerError(
            f"{SWITCH} is asked of a server without a transformers tokenizer.",
            "Start it without --skip-tokenizer-init and with --tokenizer-mode hf, or ask for raw text.",
        )
    for name, value in body.items():
        empty = value is None or value is False or value in ("", [], {})
        if name not in _KNOWN and not empty and value not in _HARMLESS.get(name, ()):
            raise SettingsError(
                f"{name[:64]} is asked for with {SWITCH}, which cannot honour it.",
                "Leave it out, or ask for raw.",
            )
    if path == CHAT and served.parses_chats:
        raise SettingsError(
            "This server takes chat answers apart (it has a parser of reasoning or tools) by their raw text.",
            f"Ask {COMPLETIONS}, start the server without parsers, or ask for raw.",
        )
    if len(_stops(body)) > MOST_STOPS:
        raise SettingsError(
            f"{len(_stops(body))} stop strings are asked for with {SWITCH}.", f"Give at most {MOST_STOPS}."
        )
    if body.get("stop") and body.get("min_tokens"):
        raise SettingsError(
            f"min_tokens and stop are asked for with {SWITCH}: stop strings apply when the answer has ended.",
            "Leave one of them out.",
        )


def _edits(extra: dict[str, Any], served: Served) -> tuple[EditVocab, dict[str, Any]]:
    """Which ids edit, and the extra arguments; with the ids where these say anything of edits."""
    ours = {key.removeprefix(PREFIX) for key in extra if key.startswith(PREFIX)}
    if ours - _IDS and not served.limits_edits:
        raise SettingsError(
            f"{PREFIX}{min(ours - _IDS)[:64]} is asked of an engine that does not know it.",
            "Start the server as docs/engine.md says, or leave it out.",
        )
    if ours and not ours & _IDS:
        extra = EditRequest(served.vocab).to_extra_args() | extra
    request = EditRequest.from_extra_args(extra)
    return (served.vocab if request is None else request.vocab), extra


def _stops(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The stop strings; none where vLLM will refuse them."""
    stop = body.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, list) or not all(isinstance(text, str) and text for text in stops):
        return ()
    return tuple(stops)


def _flag(body: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise SettingsError(f"{name} is {value!r}.", "Give true or false.")
    return value
