"""The texts that clients of a server get: whole and streamed, collapsed and live."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halluc_plugin.edits import collapse
from halluc_plugin.tokens import edit_vocab
from halluc_plugin.vllm_engine.serving.answer import AnswerText, Piece, TextForm

B, STEP, RESTART = "<|BACKTRACK|>", "<|BACKTRACK_STEP|>", "<|RESTART|>"
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
LENGTH = ("length", None)


@pytest.fixture(scope="module")
def tokenizers(byte_level, sentencepiece):
    """Two kinds of tokenizer with every edit token."""
    return [byte_level(B, STEP, RESTART), sentencepiece(B, STEP, RESTART)]


@pytest.fixture(scope="module")
def tokenizer(byte_level):
    """A tokenizer of bytes that backtracks."""
    return byte_level(B)


@pytest.fixture
def live(tokenizer):
    """Builds the live text of an answer with stop strings."""
    return lambda *stops: AnswerText(edit_vocab(tokenizer), tokenizer.decode, stops, TextForm.LIVE)


def ask(path, form, **more):
    """A request's JSON."""
    prompt = {"messages": [{"role": "user", "content": "?"}]} if path == CHAT else {"prompt": "?"}
    return {"model": "m", **prompt, **more, "vllm_xargs": {"halluc_text": form}}


def by_hand(tokenizer, answer, stops):
    """What is left, by the reference semantics and Python's own text functions."""
    parts, (reason, _) = answer
    left = collapse([i for part in parts for i in part], edit_vocab(tokenizer))
    text = tokenizer.decode(left[:-1] if reason == "stop" else left, skip_special_tokens=True)
    for stop in stops:
        text = text.split(stop)[0]
    return text


def answers(tokenizer):
    """Answers in parts, each with why it ended."""
    edits = [tokenizer.convert_tokens_to_ids(token) for token in (B, B, B, STEP, RESTART)]
    usual = tokenizer.encode("a5,", add_special_tokens=False)
    ids = st.one_of(st.sampled_from(edits), st.sampled_from(usual), st.integers(0, len(tokenizer) - 1))
    parts = st.lists(st.lists(ids, max_size=6), min_size=1, max_size=8)
    cut_off = st.tuples(parts, st.sampled_from([LENGTH, ("abort", None)]))
    ended = st.builds(
        lambda parts, at: ([*parts, [tokenizer.eos_token_id if at is None else at]], ("stop", at)),
        parts,
        st.sampled_from([None, usual[0]]),
    )
    return st.lists(cut_off | ended, min_size=1, max_size=3)


@settings(max_examples=200)
@given(
    data=st.data(),
    ask_for=st.tuples(st.sampled_from([COMPLETIONS, CHAT]), st.sampled_from(["collapsed", "live"])),
    stops=st.lists(st.sampled_from(["a", "5,", ",a", " plus", "é", "\n"]), max_size=3),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=4),
)
def test_every_stream_comes_to_what_is_left(tokenizers, client, data, *, ask_for, stops, sizes):
    """Any ids, in any parts and network reads: a stream's text is that of the collapsed ids, cut at stops."""
    tokenizer = data.draw(st.sampled_from(tokenizers))
    several, (path, form) = data.draw(answers(tokenizer)), ask_for
    want = {index: by_hand(tokenizer, answer, stops) for index, answer in enumerate(several)}
    user = client(several, tokenizer, sizes=sizes)
    assert user.texts(path, ask(path, form, stop=stops)) == want
    assert user.texts(path, ask(path, form, stop=stops, stream=True)) == want
    if form == "collapsed":  # nothing that a client has seen is taken back
        chunks = user.choices(path, ask(path, form, stop=stops, stream=True))
        assert not any("halluc_keep" in chunk for chunk in chunks)


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_collapsed_text_is_held_back_until_it_is_final(tokenizer, client, path):
    """A plain client of a stream appends what it gets and has the collapsed text; chunks come all along."""
    parts = [tokenizer.encode(text) for text in ("12", "3", B, "4")]
    chunks = client([(parts, LENGTH)], tokenizer).choices(path, ask(path, "collapsed", stream=True))
    opening = [""] if path == CHAT else []
    assert [chunk["text"] for chunk in chunks] == [*opening, "", "", "", "124"]


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
def test_live_text_says_what_is_erased(tokenizer, client, path):
    """Text comes as it is written; ``halluc_keep`` says how much of it stands when some is erased."""
    parts = [tokenizer.encode(text) for text in ("12", "3", B, "4", B + B + B + B, "ü")]
    chunks = client([(parts, LENGTH)], tokenizer).choices(path, ask(path, "live", stream=True))
    want = [(None, "12"), (None, "3"), (2, ""), (None, "4"), (0, ""), (None, "ü")]
    assert [(chunk.get("halluc_keep"), chunk["text"]) for chunk in chunks][path == CHAT :] == want


def test_live_text_is_whole_characters(tokenizer, live):
    """The first byte of a character is not shown as a wrong one; at the end of an answer it is."""
    text, ids = live(), tokenizer.encode("aü")
    assert [text.push([i]).text for i in ids] == ["a", "", "ü"]
    assert text.finish(ids[1:2], at_token=False) == Piece("\N{REPLACEMENT CHARACTER}")


def test_live_text_behind_a_stop_string_waits(tokenizer, live):
    """Text behind a stop string is not shown while that stands, and is when it has been taken back."""
    text = live("#")
    pieces = [text.push(tokenizer.encode(more)) for more in ("1", "#", "2", B + B, "3")]
    assert pieces == [Piece("1"), Piece(), Piece(), Piece(), Piece("3")]


def test_live_text_costs_little_however_long(tokenizer):
    """An answer is decoded at most 64 times over, not once for every token of it."""
    read = []

    def decode(ids):
        read.append(len(ids))
        return "x" * len(ids)

    text = AnswerText(edit_vocab(tokenizer), decode, (), TextForm.LIVE)
    pieces = [text.push([1]).text for _ in range(4000)]
    assert sum(read) < 65 * 4000
    assert pieces[:63] == ["x"] * 63
    assert len("".join(pieces)) > 3900


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("text", "stop", "end"),
    [
        (f"1#{B}2", ["#"], ("12", "length", None)),  # taken back, so it stops nothing
        (f"1#{B}#2", "#", ("1", "stop", "#")),
        (f"12{B}#3", ["x", "2", "#"], ("1", "stop", "#")),
        ("1##2#", ["##", "#"], ("1", "stop", "##")),
        ("12", [], ("12", "length", None)),
        ("12", None, ("12", "length", None)),
        (f"{B}{B}", ["#"], ("", "length", None)),
    ],
)
def test_stop_strings_cut_what_is_left(tokenizer, client, text, stop, end, *, stream):
    """A stop string inside erased text stops nothing; one that is left ends the text, and is the reason."""
    user = client([([tokenizer.encode(text)], LENGTH)], tokenizer)
    choice = user.choices(COMPLETIONS, ask(COMPLETIONS, "collapsed", stop=stop, stream=stream))[-1]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == end
    assert not user.asked.get("stop")


def test_a_stop_string_that_is_a_special_token_stops_the_engine(tokenizer, client):
    """Its id becomes a stop id, since decoding drops it; the client is told the string it asked for."""
    mark = tokenizer.convert_tokens_to_ids("<|im_end|>")
    user = client([([[*tokenizer.encode("12"), mark]], ("stop", mark))], tokenizer)
    body = ask(COMPLETIONS, "collapsed", stop=["<|im_end|>", "#"], stop_token_ids=[3])
    (choice,) = user.choices(COMPLETIONS, body)
    assert user.asked["stop_token_ids"] == [3, mark]
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == ("12", "stop", "<|im_end|>")


def test_a_token_that_ends_answers_is_no_text(tokenizer, client):
    """The token of ``stop_token_ids`` is not in the text, as in vLLM's own; the same one before it is."""
    (stop,) = tokenizer.encode("#")
    user = client([([tokenizer.encode("1#2"), [stop]], ("stop", stop))], tokenizer)
    (choice,) = user.choices(COMPLETIONS, ask(COMPLETIONS, "collapsed", stop_token_ids=[stop]))
    assert (choice["text"], choice["finish_reason"], choice["stop_reason"]) == ("1#2", "stop", stop)


def test_special_tokens_stay_when_they_are_asked_for(tokenizer, client):
    """``skip_special_tokens=false`` shows those that are left; the one that ended the answer is no text."""
    mark, end = (tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|end|>"))
    ids = [*tokenizer.encode("1"), mark, *tokenizer.encode("2" + B), end]
    user = client([([ids], ("stop", None))], tokenizer)
    (choice,) = user.choices(COMPLETIONS, ask(COMPLETIONS, "collapsed", skip_special_tokens=False))
    assert choice["text"] == "1<|im_end|>"


@pytest.mark.parametrize("path", [COMPLETIONS, CHAT])
@pytest.mark.parametrize("stream", [False, True])
def test_ids_are_those_of_the_raw_trace(tokenizer, client, path, *, stream):
    """``return_token_ids`` shows every action sampled; without it the fields are as vLLM leaves them."""
    ids = tokenizer.encode(f"12{B}3")
    user = client([([ids[:2], ids[2:]], LENGTH)], tokenizer)
    for wanted in (False, True):
        bodies = user.events(path, ask(path, "collapsed", stream=stream, return_token_ids=wanted))
        choices = [choice for event in bodies for choice in event["choices"]]
        assert [i for choice in choices for i in choice.get("token_ids") or ()] == (ids if wanted else [])
        prompts = [part["prompt_token_ids"] for part in (*bodies, *choices) if "prompt_token_ids" in part]
        assert all(prompt == ([1, 2] if wanted else None) for prompt in prompts)
        assert [event["usage"] for event in bodies if "usage" in event] == [{"completion_tokens": 7}]
