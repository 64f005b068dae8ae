"""Stand-ins for ``vllm serve``: tokenizers, a server, and its client."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from halluc_plugin.vllm_engine.served import Served
from halluc_plugin.vllm_engine.serving import CollapsedText


def finished(backend, *added):
    """The tokenizer with EOS, one more special token, and the edit tokens."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|end|>", additional_special_tokens=["<|im_end|>"]
    )
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in added])
    return tokenizer


@pytest.fixture(scope="session")
def byte_level():
    """Builds a tokenizer of one token a byte, as GPT-2's are made, with the given edit tokens."""
    return of_bytes


@pytest.fixture(scope="session")
def sentencepiece():
    """Builds a tokenizer of words with their blank and bytes for what is none, as Llama 2's is made."""
    return of_words


@pytest.fixture(scope="session")
def client():
    """Builds a client of a server that answers with given ids, see :class:`Client`."""
    return Client


def of_bytes(*added):
    """One token a byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return finished(backend, *added)


def of_words(*added):
    """Words with their blank, and bytes for what is none."""
    words = [f"<0x{byte:02X}>" for byte in range(256)] + ["▁", "▁12", "▁plus", "5", "plus", ",", "a", "\n"]
    backend = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, merges=[], byte_fallback=True))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return finished(backend, *added)


class FakeServer:
    """An ASGI application that answers as vLLM does, with the ids it was given.

    Args:
        answers: For each choice, its ids in the parts in which they are streamed, and why it ended: a pair of
            ``finish_reason`` and ``stop_reason``.
        text: Of ids, as vLLM would write it beside them.
        sizes: Into how many bytes a response is cut, in turn.

    Attributes:
        asked: The bodies that reached it.
        headers: And their headers.
    """

    def __init__(self, answers, text=str, sizes=(10_000,), status=200):
        self.answers, self.text, self.sizes, self.status = answers, text, sizes, status
        self.asked, self.headers = [], []

    async def __call__(self, scope, receive, send):
        """Answer one request."""
        self.headers.append(dict(scope["headers"]))
        data = b""
        while (message := await receive())["type"] == "http.request":
            data += message["body"]
            if not message.get("more_body"):
                break
        self.asked.append(data)
        body = json.loads(data)
        if self.status != 200:
            await self._send(send, b"application/json", [b'{"error": {"message": "no", "choices": [1]}}'])
        elif body.get("stream"):
            events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in self.chunks(scope, body)]
            await self._send(send, b"text/event-stream; charset=utf-8", [*events, b"data: [DONE]\n\n"])
        else:
            await self._send(send, b"application/json", [json.dumps(self.whole(scope, body)).encode()])

    def whole(self, scope, body):
        """The answer that is not streamed."""
        choices = []
        for index, (parts, (reason, at)) in enumerate(self.answers):
            ids = [i for part in parts for i in part]
            choice = {"index": index, "finish_reason": reason, "stop_reason": at, "logprobs": None}
            choice |= self._said(scope, self.text(ids), "message")
            choice |= dict.fromkeys(("token_ids", "prompt_token_ids"))
            if body.get("return_token_ids"):
                choice |= {"token_ids": ids, "prompt_token_ids": [1, 2]}
            choices.append(choice)
        return {"id": "cmpl-1", "choices": choices, "usage": {"completion_tokens": 7}}

    def chunks(self, scope, body):
        """The events of a stream; choices take turns."""
        shows = bool(body.get("return_token_ids"))
        if "chat" in scope["path"]:
            opening = {"delta": {"role": "assistant", "content": ""}, "finish_reason": None}
            for index in range(len(self.answers)):
                yield {
                    "choices": [{"index": index, **opening}],
                    "prompt_token_ids": [1, 2] if shows else None,
                }
        for turn in range(max(len(parts) for parts, _ in self.answers)):
            for index, (parts, (reason, at)) in enumerate(self.answers):
                if turn < len(parts):
                    last = turn == len(parts) - 1
                    choice = {"index": index, **self._said(scope, self.text(parts[turn]), "delta")}
                    choice |= {"finish_reason": reason if last else None, "stop_reason": at if last else None}
                    choice["token_ids"] = parts[turn] if shows else None
                    yield {"id": "cmpl-1", "choices": [choice]}
        yield {"choices": [], "usage": {"completion_tokens": 7}}

    def _said(self, scope, text, name):
        return {name: {"content": text}} if "chat" in scope["path"] else {"text": text}

    async def _send(self, send, kind, pieces):
        data, at, turn = b"".join(pieces), 0, 0
        headers = [(b"content-type", kind)]
        if b"json" in kind:
            headers.append((b"content-length", str(len(data)).encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        while at < len(data):
            size = self.sizes[turn % len(self.sizes)]
            at, turn = at + size, turn + 1
            body = {"body": data[at - size : at], "more_body": at < len(data)}
            await send({"type": "http.response.body", **body})


class Client:
    """A client of a :class:`FakeServer` behind the middleware.

    Args:
        answers: The server's; None for the server ``app``.
        tokenizer: The server's.
        app: Another server.
        sizes: Into how many bytes a response is cut.
        status: Of every response.
        **facts: What else is known of the server.
    """

    def __init__(self, answers, tokenizer, *, app=None, sizes=(10_000,), status=200, **facts):
        decode = str if tokenizer is None else tokenizer.decode
        self.server = app or FakeServer(answers, decode, sizes, status)

        async def look_up(_state):
            return Served(tokenizer, **{"parses_chats": False, "limits_edits": True, **facts})

        self._middleware = CollapsedText(self.server, look_up)

    @property
    def asked(self):
        """What the server was asked last."""
        return json.loads(self.server.asked[-1])

    def post(self, path, body, *headers, kind=b"application/json"):
        """Status, headers and body of the response to a JSON, or to bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        waiting = [
            {"type": "http.request", "body": data[: len(data) // 2], "more_body": True},
            {"type": "http.request", "body": data[len(data) // 2 :], "more_body": False},
        ]
        sent = []

        async def receive():
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "app": SimpleNamespace(state=None)}
        scope["headers"] = [(b"content-type", kind), (b"content-length", b"%d" % len(data)), *headers]
        asyncio.run(self._middleware(scope, receive, send))
        start, *rest = sent
        return start["status"], dict(start["headers"]), b"".join(message["body"] for message in rest)

    def choices(self, path, body):
        """The choices of an answer, or of all chunks of a streamed one, each with its text as ``text``."""
        return [said for event in self.events(path, body) for said in map(_with_text, event["choices"])]

    def events(self, path, body):
        """The JSON of an answer, or of each event of a stream, which must end properly."""
        status, _, answer = self.post(path, body)
        assert status == 200, answer
        if not body.get("stream"):
            return [json.loads(answer)]
        *data, last, end = answer.split(b"\n\n")
        assert (last, end) == (b"data: [DONE]", b"")
        return [json.loads(event.removeprefix(b"data: ")) for event in data]

    def texts(self, path, body):
        """The text of each choice, as a client has it in the end who heeds ``halluc_keep``."""
        texts = {}
        for choice in self.choices(path, body):
            before = texts.get(choice["index"], "")
            texts[choice["index"]] = before[: choice.get("halluc_keep", len(before))] + choice["text"]
        return texts


def _with_text(choice):
    holder = choice.get("delta") or choice.get("message")
    return choice | {"text": holder["content"]} if holder else choice


B = "<|BACKTRACK|>"
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
LENGTH = ("length", None)


@pytest.fixture(scope="module")
def tokenizer(byte_level):
    """A tokenizer of bytes that backtracks."""
    return byte_level(B)


@pytest.fixture
def user(client, tokenizer):
    """A client of a server that answers ``12``, takes back the 2 and writes 3."""
    return client([([tokenizer.encode(f"12{B}3")], LENGTH)], tokenizer)


def ask(**more):
    """A request for collapsed text."""
    return {"model": "m", "prompt": "?", **more, "vllm_xargs": {"halluc_text": "collapsed"}}


def extra(**more):
    """A request with extra arguments."""
    return {"model": "m", "prompt": "?", "vllm_xargs": more}


def refused(user, body, path=COMPLETIONS):
    """The message of a 400; nothing has reached the server."""
    status, headers, answer = user.post(path, body)
    assert (status, int(headers[b"content-length"])) == (400, len(answer))
    assert user.server.asked == []
    assert len(answer) < 1000
    error = json.loads(answer)["error"]
    assert (error["type"], error["code"]) == ("BadRequestError", 400)
    return error["message"]
