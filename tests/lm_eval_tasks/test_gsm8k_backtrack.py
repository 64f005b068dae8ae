"""gsm8k_backtrack: its own rows where something is taken back."""

import json

import pytest

B = "<|BACKTRACK|>"


@pytest.fixture(scope="module")
def ours_with_tokenizer(load_task, gsm8k_folder, bytes_tokenizer):
    """Our task for a model whose every byte is a token."""
    return load_task("gsm8k_backtrack", data_dir=gsm8k_folder, pretrained=bytes_tokenizer)


def test_the_rows_of_an_answer_that_takes_back_an_error(run_pipelines, ours_with_tokenizer):
    """Collapsed rows see the corrected answer, raw rows the sampled text; tokens are counted."""
    doc = {"question": "q", "answer": "#### 42"}
    text = f"#### 41{B}2"  # 8 text tokens, 1 edit; one erased
    rows = run_pipelines(ours_with_tokenizer, [doc], [text])
    assert {name: row[0]["exact_match"] for name, row in rows.items() if name != "trace"} == {
        "strict-match": 1, "flexible-extract": 1, "strict-match-raw": 0, "flexible-extract-raw": 0,
    }  # fmt: skip
    assert rows["trace"] == [
        {
            "backtracks": 1, "backtrack_rate": 1, "token_efficiency": (7, 9), "raw_tokens": 9,
            "tokens_per_solve": (9, 1), "flipped_right": 1, "flipped_wrong": 0, "collapse_exact": 0,
        }
    ]  # fmt: skip


def test_aggregates_over_documents(run_pipelines, ours_with_tokenizer, aggregate):
    """Token efficiency is a ratio of sums; backtracks count only edits that erased; flips go both ways."""
    doc = {"question": "q", "answer": "#### 42"}
    texts = [
        "#### 42",  # 7 of 7 tokens left
        f"#### 41{B}2",  # 7 of 9; flipped right
        f"#### 42\n{B}{B}1",  # 7 of 11; 42 becomes 41: flipped wrong
        f"{B}#### 42",  # 7 of 8; an edit on nothing
    ]
    trace = aggregate(ours_with_tokenizer, run_pipelines(ours_with_tokenizer, [doc] * 4, texts)["trace"])
    assert trace == {
        "backtracks": 3 / 4, "backtrack_rate": 2 / 4, "token_efficiency": 28 / 35, "raw_tokens": 35 / 4,
        "tokens_per_solve": 35 / 3, "flipped_right": 1 / 4, "flipped_wrong": 1 / 4, "collapse_exact": 1 / 4,
    }  # fmt: skip


def test_a_stop_string_that_is_taken_back_does_not_end_the_answer(run_pipelines, ours_with_tokenizer):
    """The engine gets no stop string but EOS-like markers; "Question:" cuts what is left after collapsing."""
    assert ours_with_tokenizer.config.generation_kwargs["until"] == ["</s>", "<|im_end|>"]
    doc = {"question": "q", "answer": "#### 42"}
    taken_back = "Question:" + B * 9 + "#### 42"
    kept = f"#### 41{B}2 Question: #### 7"
    after_the_end = f"#### 41</s>{B * 5}2"  # the trace is over at the marker
    rows = run_pipelines(ours_with_tokenizer, [doc] * 3, [taken_back, kept, after_the_end])
    assert [row["exact_match"] for row in rows["strict-match"]] == [1, 1, 0]
    assert [row["backtracks"] for row in rows["trace"]] == [9, 1, 0]


def test_samples_keep_the_answer_and_the_trace(run_pipelines, ours_with_tokenizer):
    """Logged responses stay as sampled, and the trace pipeline logs JSON with ids, edits and both texts."""
    text = f"#### 41{B}2"
    run_pipelines(ours_with_tokenizer, [{"question": "q", "answer": "#### 42"}], [text])
    (instance,) = ours_with_tokenizer._instances
    assert instance.resps == [text]
    logged = json.loads(str(instance.filtered_resps["trace"]))
    assert (logged["raw"], logged["resolved"]) == (text, "#### 42")
    assert (logged["answer"], logged["raw_answer"]) == ("42", "41")
    assert (logged["correct"], logged["raw_correct"]) == (True, False)
    assert logged["record"]["live"] == [1, 1, 1, 1, 1, 1, 0, 0, 1]
    assert logged["record"]["events"][0]["erased"] == [6]


def test_predict_only_still_runs(load_task, gsm8k_folder, run_pipelines):
    """lm_eval's --predict_only replaces all metrics; the task then reports none of its own."""
    task = load_task("gsm8k_backtrack", data_dir=gsm8k_folder)
    task.override_metric("bypass")
    rows = run_pipelines(task, [{"question": "q", "answer": "#### 42"}], ["#### 42"])
    assert all(list(row) == ["bypass"] for pipeline in rows.values() for row in pipeline)
