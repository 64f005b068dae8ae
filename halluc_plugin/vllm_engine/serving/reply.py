"""Rewrite vLLM's answers to one request, whole or as server-sent events."""

import json
from collections import defaultdict
from typing import Any

from halluc_plugin.errors import HallucError, HostVersionError
from halluc_plugin.vllm_engine.serving.answer import AnswerText, Piece
from halluc_plugin.vllm_engine.serving.asked import Asked

KEEP = "halluc_keep"
"""Field next to a piece of live text: the number of characters sent so far after which it is appended."""

_EVENT_END = b"\n\n"
_DATA = b"data: "


class Reply:
    """The answers to one request; there are several with ``n`` or several prompts.

    Args:
        asked: The request.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._answers: defaultdict[int, AnswerText] = defaultdict(asked.answer)
        self._rest = b""

    def whole(self, body: bytes) -> bytes:
        """Return the rewritten body of an answer that is not streamed."""
        return _dumped(self._rewritten(json.loads(body), "message", streamed=False))

    def part(self, data: bytes) -> bytes:
        """Return the rewritten form of further bytes of a stream, which may end anywhere."""
        *events, self._rest = (self._rest + data).split(_EVENT_END)
        return b"".join(self._event(event) + _EVENT_END for event in events)

    def end(self) -> bytes:
        """Return the remaining bytes when the stream has ended."""
        return self._rest

    def _event(self, event: bytes) -> bytes:
        if not event.startswith(_DATA + b"{"):
            return event
        chunk = json.loads(event.removeprefix(_DATA))
        return _DATA + _dumped(self._rewritten(chunk, "delta", streamed=True))

    def _rewritten(self, body: dict[str, Any], message: str, *, streamed: bool) -> dict[str, Any]:
        """An answer or a chunk of one; what has no choices (errors, usage) stays as it is."""
        for choice in body.get("choices") or ():
            holder, name = (choice[message], "content") if message in choice else (choice, "text")
            ids = choice.get("token_ids")
            if ids is None:
                if holder.get(name):
                    raise HostVersionError(
                        "vLLM answered without token ids.", "Ask for raw text, or use a tested vLLM."
                    )
                continue  # the chunk that opens a chat
            piece = self._piece(choice, ids, streamed=streamed)
            holder[name] = piece.text
            if piece.keep is not None:
                choice[KEEP] = piece.keep
        if not self._asked.wants_ids:
            for holder in (body, *(body.get("choices") or ())):
                holder |= {name: None for name in ("token_ids", "prompt_token_ids") if name in holder}
        return body

    def _piece(self, choice: dict[str, Any], ids: list[int], *, streamed: bool) -> Piece:
        answer, reason = self._answers[choice["index"]], choice.get("finish_reason")
        if streamed and reason is None:
            return answer.push(ids)
        # Stop strings are ours, so vLLM itself stops at tokens alone.
        piece = answer.finish(ids, at_token=reason == "stop")
        at = choice.get("stop_reason")
        stop = piece.stop or (self._asked.marks.get(at) if isinstance(at, int) else None)
        if stop is not None:
            choice |= {"finish_reason": "stop", "stop_reason": stop}
        return piece


def refusal(error: HallucError) -> bytes:
    """Return the body of an answer with status 400, in the form of vLLM's own."""
    return _dumped(
        {"error": {"message": str(error), "type": "BadRequestError", "param": "vllm_xargs", "code": 400}}
    )


def _dumped(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
