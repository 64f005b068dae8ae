"""ASGI middleware: ``vllm serve --middleware halluc_plugin.vllm_engine.serving.CollapsedText``."""

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from halluc_plugin.errors import HallucError
from halluc_plugin.vllm_engine.served import Served
from halluc_plugin.vllm_engine.serving.answer import TextForm
from halluc_plugin.vllm_engine.serving.asked import Asked, asks, read_request
from halluc_plugin.vllm_engine.serving.reply import Reply, refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


class CollapsedText:
    """ASGI middleware that gives clients the collapsed text of an answer when they ask for it.

    A client asks by ``vllm_xargs: {"halluc_text": "collapsed"}`` on ``/v1/completions`` or
    ``/v1/chat/completions``; see :class:`.answer.TextForm`. Other requests and their answers pass unchanged,
    byte by byte. A request that cannot be honoured is answered with 400.

    Args:
        app: The application of the server behind the middleware.
        look_up: Function that returns the description of the server from its ``scope["app"].state``; None to
            use vLLM's.
    """

    def __init__(self, app: App, look_up: Callable[[Any], Awaitable[Served]] | None = None) -> None:
        self._app = app
        self._look_up = look_up
        self._served: Served | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] != "POST" or not _is_json(scope["headers"]):
            await self._app(scope, receive, send)
            return
        messages = await _request(receive)
        try:
            asked = await self._asked(scope, b"".join(message.get("body", b"") for message in messages))
        except HallucError as error:
            await _answer(send, 400, refusal(error))
            return
        if asked is None:
            await self._app(scope, _replay(messages, receive), send)
            return
        body = json.dumps(asked.body).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        raw = asked.form is TextForm.RAW
        # What is compressed could not be rewritten.
        headers = _replaced(scope["headers"], len(body), drop=() if raw else (b"accept-encoding",))
        sender = send if raw else _Rewriter(Reply(asked), send)
        await self._app({**scope, "headers": headers}, _replay(messages, receive), sender)

    async def _asked(self, scope: Scope, data: bytes) -> Asked | None:
        """Return what a request asks of halluc, None for nothing."""
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):  # the server says what is wrong with it
            return None
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not asks(path, body):
            return None
        return read_request(path, body, await self._known(scope["app"].state))

    async def _known(self, state: Any) -> Served:
        if self._served is None:
            if self._look_up is None:
                from halluc_plugin.vllm_engine.compat import look_up_server

                self._look_up = look_up_server
            self._served = await self._look_up(state)
        return self._served


class _Rewriter:
    """Sends the rewritten reply; errors and bodies that are not JSON pass unchanged."""

    def __init__(self, reply: Reply, send: Send) -> None:
        self._reply, self._send = reply, send
        self._kind = b""
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            content = dict(message["headers"]).get(b"content-type", b"")
            self._kind = content.partition(b";")[0] if message["status"] == 200 else b""
            self._start = message
            if self._kind != b"application/json":  # whose length is not known yet
                await self._send(message)
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif self._kind == b"application/json":
            await self._whole(message)
        elif self._kind == b"text/event-stream":
            more = message.get("more_body", False)
            body = self._reply.part(message.get("body", b"")) + (b"" if more else self._reply.end())
            await self._send({**message, "body": body})
        else:
            await self._send(message)

    async def _whole(self, message: Message) -> None:
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            body = self._reply.whole(self._body)
            await self._send({**self._start, "headers": _replaced(self._start["headers"], len(body))})
            await self._send({**message, "body": body})


async def _request(receive: Receive) -> list[Message]:
    """All messages of a request's body, to a client's disconnection if there is one."""
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    """Hands out ``messages`` first; a disconnection is still heard behind them."""
    waiting = iter(messages)

    async def again() -> Message:
        for message in waiting:
            return message
        return await receive()

    return again


def _is_json(headers: Headers) -> bool:
    kind = dict(headers).get(b"content-type", b"")
    return kind.lower().partition(b";")[0].strip() == b"application/json"


def _replaced(headers: Headers, length: int, drop: tuple[bytes, ...] = ()) -> list[tuple[bytes, bytes]]:
    """Headers for a body of another length."""
    kept = [(name, value) for name, value in headers if name.lower() not in (b"content-length", *drop)]
    return [*kept, (b"content-length", str(length).encode())]


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = _replaced([(b"content-type", b"application/json")], len(body))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
