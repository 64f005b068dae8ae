"""What is sampled behind a stop string is no part of an answer, and is not counted."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from halluc_plugin.edits import collapse
from lm_eval_tasks.stopping import up_to_stop
from lm_eval_tasks.trace import TracedAnswer, TraceReader

B = "<|BACKTRACK|>"
DOC = {"question": "q", "answer": "#### 42"}


@pytest.fixture(scope="module")
def tokenizer(byte_tokenizer):
    """Every byte a token, and the edit token."""
    return byte_tokenizer(AddedToken(B, special=False, normalized=False))


@pytest.fixture(scope="module")
def task(load_task, gsm8k_folder, bytes_tokenizer):
    """GSM8K, whose answers end at "Question:", for that tokenizer."""
    return load_task("gsm8k_backtrack", data_dir=gsm8k_folder, pretrained=bytes_tokenizer)


@pytest.mark.parametrize("sampled", [False, True], ids=["text", "ids"])
@pytest.mark.parametrize(
    "case",  # what was sampled; counts: raw, left, edits that erased
    [
        (f"#### 41{B}2", (9, 7, 1)),
        (f"#### 41{B}2Question: #### 7{B}{B}8 and so on", (18, 16, 1)),
        (f"Question:{B * 9}#### 42", (25, 7, 9)),
        (f"Question:{B * 9}#### 42Question: 1{B}", (34, 16, 9)),
        (f"#### 42Questions{B}:x{B}", (18, 16, 1)),
        ("#### 42Question:" * 3, (16, 16, 0)),
    ],
)
def test_counts_end_with_the_stop_string(run_pipelines, task, tokenizer, case, sampled):
    """Had generation stopped at the stop string that is left, so much would have been sampled."""
    text, counts = case
    answer = text
    if sampled:
        answer = TracedAnswer("", TraceReader(tokenizer).read_ids(tokenizer.encode(text)))
    rows = run_pipelines(task, [DOC], [answer])
    (trace,) = rows["trace"]
    raw, left, edits = counts
    assert (trace["raw_tokens"], trace["token_efficiency"], trace["backtracks"]) == (raw, (left, raw), edits)
    assert rows["strict-match"][0]["exact_match"] == 1


def test_a_model_without_edit_tokens(run_pipelines, load_task, gsm8k_folder, byte_tokenizer, tmp_path):
    """Its tokens are counted up to the stop string too, so that costs compare."""
    byte_tokenizer().save_pretrained(tmp_path)
    task = load_task("gsm8k_backtrack", data_dir=gsm8k_folder, pretrained=tmp_path)
    (trace,) = run_pipelines(task, [DOC], ["#### 42Question: and on it goes"])["trace"]
    assert (trace["raw_tokens"], trace["token_efficiency"]) == (16, (16, 16))


@pytest.mark.parametrize("end", ["</think>", "id"])
def test_no_stop_string_counts_in_the_thinking(run_pipelines, load_task, gsm8k_folder, tokenizer, end):
    """An answer that was thought over begins behind that, whether its end is given as text or as an id."""
    text = "Question: hm</think>#### 42Question:"
    end = tokenizer.convert_tokens_to_ids(">") if end == "id" else end
    given = str(end) if isinstance(end, int) else end
    metadata = {"data_dir": gsm8k_folder, "tokenizer": tokenizer, "think_end_token": given}
    reader = TraceReader(tokenizer, think_end_token=end)
    answer = TracedAnswer("", reader.read_ids(tokenizer.encode(f"{text} what else")))
    rows = run_pipelines(load_task("gsm8k_backtrack", **metadata), [DOC], [answer])
    assert rows["trace"][0]["raw_tokens"] == len(text)
    assert rows["strict-match"][0]["exact_match"] == 1


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.lists(st.sampled_from(["a", "b", "c", B, B]), max_size=14))
def test_the_stop_string_that_stays(tokenizer, text):
    """The first moment from which on what is left begins with a text that holds the stop string."""
    ids = tokenizer.encode("".join(text))
    reader = TraceReader(tokenizer)
    full = reader.read_ids(ids)
    states = [collapse(ids[:end], reader.vocab) for end in range(len(ids) + 1)]

    def stays(end):
        return all(later[: len(states[end])] == states[end] for later in states[end:])

    stops = [e for e in range(len(ids) + 1) if "ab" in reader.decode(states[e]) and stays(e)]
    counted = up_to_stop(reader, full, ["ab", ""])
    if not stops:
        assert counted == full
        return
    assert (counted.raw_tokens, counted.resolved_tokens) == (stops[0], len(states[stops[0]]))
    assert counted.record == reader.read_ids(ids[: stops[0]]).record
    assert (counted.raw, counted.resolved) == (full.raw, full.resolved)
