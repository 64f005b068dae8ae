"""What passes the middleware untouched, what vLLM is asked, and what is refused."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from halluc_plugin.vllm_engine.serving import CollapsedText

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


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (extra(halluc_text="folded"), "halluc_text is 'folded'. Fix: Give one of: raw, collapsed, live."),
        (extra(halluc_text="x" * 100_000), "xxx...xxx"),
        (extra(halluc_txt="collapsed"), "Did you mean halluc_text?"),
        (extra(**{"Halluc-Text": "collapsed"}), "Did you mean halluc_text?"),
        (extra(halluc_tex="collapsed", halluc_backtrack=258), "Did you mean halluc_text?"),
        (ask(stop=["#"] * 65), "65 stop strings"),
        (ask(**{"y" * 100_000: 1}), "yyy is asked for"),
        (extra(halluc_text=1), "halluc_text is 1."),
        (extra(halluc_text=["collapsed"]), "Give one of"),
        (extra(halluc_text={}), "Give one of"),
        (extra(halluc_text=None), "Give one of"),
        ({"prompt": "?", "halluc_text": "collapsed"}, "Put it into vllm_xargs"),
        (extra(halluc_text="collapsed", halluc_bugdet=1), "Did you mean halluc_budget"),
        (extra(halluc_text="collapsed", halluc_budget=-1), "halluc_budget is -1"),
        (extra(halluc_text="collapsed", halluc_backtrack="5"), "halluc_backtrack is '5', not an integer"),
        (extra(halluc_text="collapsed", halluc_backtrack=-5), "-5"),
        (extra(halluc_text="collapsed", halluc_step=3), "without halluc_backtrack"),
        (ask(logprobs=0), "logprobs is asked for with halluc_text"),
        (ask(echo=True), "echo"),
        (ask(use_beam_search=True), "use_beam_search"),
        (ask(suffix="s"), "suffix"),
        (ask(best_of=2), "best_of"),
        (ask(response_format={"type": "json_object"}), "response_format"),
        (ask(structured_outputs={"choice": ["a"]}), "structured_outputs"),
        (ask(include_stop_str_in_output=True), "include_stop_str_in_output"),
        (ask(repetition_detection={"max_pattern_size": 2}), "repetition_detection"),
        (ask(a_field_to_come=3), "a_field_to_come"),
        (ask(skip_special_tokens="no"), "skip_special_tokens is 'no'"),
        (ask(stop=["#"], min_tokens=4), "min_tokens and stop"),
        (ask(stop_token_ids=[3, 258]), "An edit token is among stop_token_ids"),
    ],
)
def test_what_cannot_be_had_is_refused(user, body, says):
    """One message that names the field and what to do, before vLLM hears of the request."""
    assert says in refused(user, body)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("tools", {"tools": [{"type": "function"}], "tool_choice": "auto"}),
        ("tool_choice", {"tool_choice": "required"}),
        ("functions", {"functions": [{"name": "f"}]}),
        ("logprobs", {"logprobs": True, "top_logprobs": 2}),
        ("response_format", {"response_format": {"type": "json_schema", "json_schema": {}}}),
        ("thinking_token_budget", {"thinking_token_budget": 8}),
        ("\ud800", {"\ud800": 1}),
    ],
)
def test_chats_that_cannot_be_collapsed_are_refused(user, name, fields):
    """Calls of tools, structured output, log-probs and budgets of thought are made of raw text."""
    assert f"{name} is asked for with halluc_text" in refused(user, ask(**fields), CHAT)


def test_parsed_chats_are_refused(client, tokenizer):
    """A server that sorts chat answers into reasoning and calls sorts raw text; its completions collapse."""
    user = client([([tokenizer.encode(f"12{B}3")], LENGTH)], tokenizer, parses_chats=True)
    assert "Ask /v1/completions, start the server without parsers" in refused(user, ask(), CHAT)
    assert user.texts(COMPLETIONS, ask()) == {0: "13"}


@pytest.mark.parametrize(
    "path",
    ["/v1/responses", "/v1/messages", "/invocations", "/v1/chat/completions/batch", "/v1/completions/render"],
)
def test_other_paths_are_refused(user, path):
    """Where nothing collapses, the switch is no word passed over."""
    assert path in refused(user, ask(), path)


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


def test_a_model_that_cannot_backtrack_is_named(client, byte_level):
    """Without the token, with it as a special one, without a tokenizer: 400, and raw text all the same."""
    special = byte_level()
    special.add_special_tokens({"additional_special_tokens": [B]})
    cases = [(byte_level(), "has no token"), (special, "special token"), (None, "skip-tokenizer-init")]
    for tokenizer, says in cases:
        user = client([([[49]], LENGTH)], tokenizer)
        assert says in refused(user, ask())
        assert user.post(COMPLETIONS, extra(halluc_text="raw"))[0] == 200


def test_an_engine_that_does_not_limit_edits_is_named(client, tokenizer):
    """A budget that nobody would apply is refused; the ids alone, which need no engine, are not."""
    user = client([([tokenizer.encode(f"12{B}3")], LENGTH)], tokenizer, limits_edits=False)
    assert "an engine that does not know it" in refused(user, extra(halluc_text="collapsed", halluc_budget=2))
    assert user.texts(COMPLETIONS, extra(halluc_text="collapsed", halluc_backtrack=258)) == {0: "13"}


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["stop", "stop_token_ids", "skip_special_tokens", "min_tokens", "n", "stream", "tools", "echo"]
)
KEYS = st.sampled_from(
    ["halluc_text", "halluc_backtrack", "halluc_step", "halluc_step_delimiters", "halluc_budget"]
)


@given(
    fields=st.dictionaries(FIELDS, JSON, max_size=3),
    keys=st.dictionaries(KEYS, JSON | st.integers(0, 300) | st.just([3]), max_size=4),
    form=st.sampled_from(["collapsed", "live", "raw", None]),
)
def test_nothing_that_a_client_sends_raises(client, tokenizer, fields, keys, form):
    """Any JSON in a request is answered: with 200 here, where the server accepts everything, or with 400."""
    user = client([([tokenizer.encode(f"12{B}3")], LENGTH)], tokenizer)
    given = keys | ({} if form is None else {"halluc_text": form})
    status, _, answer = user.post(COMPLETIONS, {"prompt": "?", **fields, "vllm_xargs": given})
    assert status in {200, 400}
    assert answer


def test_unusual_edit_tokens_are_by_id(client, byte_level):
    """The id may be one that an engine pads the vocabulary with; the text of what is left is unharmed."""
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("<x>", special=False, normalized=False)])
    user = client([([[*tokenizer.encode("1é"), 9999, 9999]], LENGTH)], tokenizer)
    assert user.texts(COMPLETIONS, extra(halluc_text="collapsed", halluc_backtrack=9999)) == {0: "1"}
