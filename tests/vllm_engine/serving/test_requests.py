"""What passes the middleware untouched, and what vLLM is asked."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from tokenizers import AddedToken

from halluc_plugin.vllm_engine.serving import CollapsedText
from tests.vllm_engine.serving.conftest import COMPLETIONS, LENGTH, B, ask, extra


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "m",  "prompt": "?"}',
        b'{"prompt": "halluc_text", "stop": ["#"], "vllm_xargs": {"halluc_backtrack": 5}}',
        b'{"vllm_xargs": {"halluc_budget": 2}, "logprobs": 3, "echo": true}',
        b'{"vllm_xargs": null}',
        b'{"vllm_xargs": ["halluc_text"]}',
        b"[1]",
        b"\xff\xfe",
        b"",
        b"[" * 100_000,
        b"1" * 5000,
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_does_not_ask_passes_untouched(client, tokenizer, body, *, stream):
    """Request and response are the server's own, byte by byte, whatever they are."""
    answer = b'data: {"choices": [{"index": 0, "text": "2"}]}\n\n' * 2
    seen = []

    async def app(scope, receive, send):
        seen.append((await receive())["body"] + (await receive())["body"])
        seen.append(dict(scope["headers"]))
        kind = b"text/event-stream" if stream else b"application/json"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": answer})

    gzip = (b"accept-encoding", b"gzip")
    status, headers, got = client(None, tokenizer, app=app).post(COMPLETIONS, body, gzip)
    assert (status, got, seen[0]) == (200, answer, body)
    assert headers.keys() == {b"content-type"}
    length = b"%d" % len(body)
    sent = {b"content-type": b"application/json", b"content-length": length, b"accept-encoding": b"gzip"}
    assert seen[1] == sent


def test_what_is_no_json_request_passes_untouched(user):
    """A form, another method, a lifespan and a websocket are none of the middleware's business."""
    form = b'{"vllm_xargs": {"halluc_text": "nonsense"}}'
    user.post(COMPLETIONS, form, kind=b"text/plain")
    assert user.server.asked == [form]
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    for scope in ({"type": "lifespan"}, {"type": "websocket"}, {"type": "http", "method": "GET"}):
        asyncio.run(CollapsedText(app)(scope, None, None))
        assert seen.pop() == (scope, None, None)


def test_raw_text_can_be_asked_for(user, tokenizer):
    """``raw`` gives vLLM's own text; the switch itself does not reach the engine."""
    (choice,) = user.choices(
        COMPLETIONS, extra(halluc_text="raw", halluc_backtrack=258, mine=1) | {"logprobs": 1}
    )
    assert choice["text"] == f"12{B}3"
    assert user.asked == extra(halluc_backtrack=258, mine=1) | {"logprobs": 1}
    user.choices(COMPLETIONS, extra(halluc_text="raw"))
    assert user.asked == {"model": "m", "prompt": "?"}


def test_the_tokenizer_says_which_ids_edit(user, tokenizer):
    """A request that names no ids gets the model's; they go to the engine where it says more of edits."""
    assert user.texts(COMPLETIONS, ask()) == {0: "13"}
    assert user.asked == {"model": "m", "prompt": "?", "return_token_ids": True}
    assert user.texts(COMPLETIONS, extra(halluc_text="collapsed", halluc_budget=2, mine="x")) == {0: "13"}
    sent = user.asked["vllm_xargs"]
    backtrack = tokenizer.convert_tokens_to_ids(B)
    assert (sent["halluc_backtrack"], sent["halluc_budget"], sent["mine"]) == (backtrack, 2, "x")
    assert "halluc_text" not in sent


def test_a_request_may_name_the_ids(client, byte_level):
    """Ids in the request win over the tokenizer's, and serve where the tokenizer knows none."""
    tokenizer = byte_level()
    (two,) = tokenizer.encode("2")
    user = client([([tokenizer.encode("132")], LENGTH)], tokenizer)
    assert user.texts(COMPLETIONS, extra(halluc_text="collapsed", halluc_backtrack=two)) == {0: "1"}
    assert user.asked["vllm_xargs"] == {"halluc_backtrack": two}


def test_a_server_behind_a_root_path_is_the_same(user):
    """``--root-path`` is no part of the path."""
    seen = user._middleware
    assert user.texts(COMPLETIONS, ask()) == {0: "13"}

    async def prefixed(scope, receive, send):
        await seen({**scope, "root_path": "/api", "path": "/api" + scope["path"]}, receive, send)

    user._middleware = prefixed
    assert user.texts(COMPLETIONS, ask()) == {0: "13"}


@pytest.mark.parametrize(
    "fields",
    [
        {"logprobs": None, "echo": False, "suffix": "", "best_of": 1, "logit_bias": {"5": 1}, "user": "me"},
        {
            "top_logprobs": 0,
            "logprobs": False,
            "tools": [],
            "tool_choice": "none",
            "response_format": {"type": "text"},
        },
        {
            "n": 2,
            "seed": 3,
            "temperature": 0.5,
            "top_p": 1,
            "top_k": -1,
            "stream_options": None,
            "min_tokens": 3,
        },
    ],
)
def test_fields_that_ask_for_nothing_are_no_obstacle(user, fields):
    """Clients that write out defaults are served, and vLLM sees what they wrote."""
    assert user.texts(COMPLETIONS, ask(**fields)) == {0: "13"}
    assert fields.items() <= user.asked.items()


@pytest.mark.parametrize("status", [400, 404, 500])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_the_server_pass_unchanged(client, tokenizer, status, *, stream):
    """Whatever is not 200 is the server's own word."""
    user = client([([[1]], LENGTH)], tokenizer, status=status)
    got, _, answer = user.post(COMPLETIONS, ask(stream=stream))
    assert (got, answer) == (status, b'{"error": {"message": "no", "choices": [1]}}')


def test_an_error_amid_a_stream_passes_unchanged(client, tokenizer):
    """An event without choices, a comment, and an unfinished event at the end are the server's own."""
    sent = b': ping\n\ndata: {"error": {"message": "no"}}\n\ndata: [DONE]\n\ndata: {"choi'

    async def app(scope, receive, send):
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at, byte in enumerate(sent):
            await send({"type": "http.response.body", "body": bytes([byte]), "more_body": at < len(sent) - 1})

    status, _, answer = client(None, tokenizer, app=app).post(COMPLETIONS, ask(stream=True))
    assert status == 200
    assert answer == sent.replace(b'{"error": {"message": "no"}}', b'{"error":{"message":"no"}}')


def test_malformed_stop_strings_are_left_to_the_server(user):
    """VLLM refuses them in its own words."""
    for stop in ([""], [1], 5, {"a": 1}, ["#", ""]):
        user.post(COMPLETIONS, ask(stop=stop))
        assert user.asked["stop"] == stop


def test_compression_is_put_off(user):
    """A response that is to be rewritten is not asked for in compressed form."""
    user.post(COMPLETIONS, ask(), (b"accept-encoding", b"gzip"))
    (headers,) = user.server.headers
    assert b"accept-encoding" not in headers
    assert int(headers[b"content-length"]) == len(user.server.asked[0])


def test_a_client_that_leaves_is_heard(tokenizer, client):
    """The server hears of a disconnection, behind the body or amid it."""
    heard = []

    async def app(scope, receive, send):
        heard.extend([await receive(), await receive()])

    user = client(None, tokenizer, app=app)
    left = [{"type": "http.request", "body": b'{"prompt"', "more_body": True}, {"type": "http.disconnect"}]
    whole = [{"type": "http.request", "body": json.dumps(ask()).encode()}, {"type": "http.disconnect"}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": COMPLETIONS,
        "headers": [(b"content-type", b"application/json")],
    }
    for messages in (left, whole):
        waiting = iter(messages)

        async def receive(waiting=waiting):
            return next(waiting)

        asyncio.run(user._middleware({**scope, "app": SimpleNamespace(state=None)}, receive, None))
    assert [message["type"] for message in heard] == ["http.request", "http.disconnect"] * 2
    assert heard[:2] == left
    assert json.loads(heard[2]["body"])["return_token_ids"] is True


def test_unusual_edit_tokens_are_by_id(client, byte_level):
    """The id may be one that an engine pads the vocabulary with; the text of what is left is unharmed."""
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("<x>", special=False, normalized=False)])
    user = client([([[*tokenizer.encode("1é"), 9999, 9999]], LENGTH)], tokenizer)
    assert user.texts(COMPLETIONS, extra(halluc_text="collapsed", halluc_backtrack=9999)) == {0: "1"}
