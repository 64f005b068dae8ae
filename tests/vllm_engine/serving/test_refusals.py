"""What the middleware refuses before the server hears of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vllm_engine.serving.conftest import CHAT, COMPLETIONS, LENGTH, B, ask, extra, refused


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
