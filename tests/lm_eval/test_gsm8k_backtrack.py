"""gsm8k_backtrack: the stock task's numbers where nothing is taken back, its own rows elsewhere."""

import json
from pathlib import Path

import datasets
import lm_eval.tasks
import pytest
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.tasks._yaml_loader import load_yaml

B = "<|BACKTRACK|>"
# Answers to a question whose answer is 42, with what the stock task makes of them: strict, flexible.
STOCK_CASES = [
    ("40+2=42\n#### 42", 1, 1),
    ("#### $42.", 0, 1),  # strict wants a number right after the marker
    ("#### 42.", 1, 1),  # one full stop is ignored
    ("The answer is 42", 0, 1),
    ("#### 41", 0, 0),
    ("#### 41\n#### 42", 0, 1),  # strict takes the first, flexible the last
    ("#### 42\n\nQuestion: What is 1+1?\nAnswer: #### 2", 1, 1),  # the stop string ends the answer
    ("#### 42</s> 43", 1, 1),
    ("#### 42<|im_end|> 43", 1, 1),
    ("Question: #### 42", 0, 0),
    ("no number", 0, 0),
    ("", 0, 0),
]


@pytest.fixture(scope="module")
def stock():
    """lm_eval's own gsm8k, its data replaced."""
    config = load_yaml(Path(lm_eval.tasks.__file__).parent / "gsm8k" / "gsm8k.yaml")
    config.pop("tag")
    row = {"question": "q", "answer": "#### 42"}
    data = datasets.DatasetDict({name: datasets.Dataset.from_list([row]) for name in ("train", "test")})
    return ConfigurableTask(config={**config, "custom_dataset": lambda **_: data})


@pytest.fixture(scope="module")
def ours(load_task, gsm8k_folder):
    """Our task, without a tokenizer."""
    return load_task("gsm8k_backtrack", data_dir=gsm8k_folder)


@pytest.fixture(scope="module")
def ours_with_tokenizer(load_task, gsm8k_folder, bytes_tokenizer):
    """Our task for a model whose every byte is a token."""
    return load_task("gsm8k_backtrack", data_dir=gsm8k_folder, pretrained=bytes_tokenizer)


def generated(task, text):
    """What a stock engine hands over of ``text`` under the task's own stop strings."""
    return postprocess_generated_text(text, task.config.generation_kwargs["until"], None)


def compare(run_pipelines, stock, ours, docs, texts):
    """Assert that stock and ours agree on every document; returns the stock rows."""
    expected = run_pipelines(stock, docs, [generated(stock, text) for text in texts])
    got = run_pipelines(ours, docs, [generated(ours, text) for text in texts])
    for pipeline in ("strict-match", "flexible-extract"):
        assert got[pipeline] == expected[pipeline]
        assert got[f"{pipeline}-raw"] == expected[pipeline]
    return expected


def test_fixed_answers_score_as_in_the_stock_task(run_pipelines, stock, ours):
    """On answers without backtracks both tasks give the numbers known by hand, document by document."""
    docs = [{"question": "q", "answer": "#### 42"}] * len(STOCK_CASES)
    rows = compare(run_pipelines, stock, ours, docs, [text for text, _, _ in STOCK_CASES])
    assert [row["exact_match"] for row in rows["strict-match"]] == [strict for _, strict, _ in STOCK_CASES]
    assert [row["exact_match"] for row in rows["flexible-extract"]] == [loose for _, _, loose in STOCK_CASES]


@pytest.mark.data
def test_real_model_answers_score_as_in_the_stock_task(run_pipelines, stock, ours, aggregate, real_data):
    """On 4 x 1319 answers of real models, as they are and with GSM8K's marker, both tasks agree on each."""
    folder = real_data / "gsm8k"
    docs = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    solutions = [
        json.loads(line) for line in (folder / "example_model_solutions.jsonl").read_text().splitlines()
    ]
    models = [key for key in solutions[0] if key not in {"question", "ground_truth"}]
    assert (len(docs), len(models)) == (1319, 4)
    for model in models:
        texts = [row[model]["solution"] for row in solutions]
        marked = [text.replace("\nA: ", "\n#### ") for text in texts]
        rows = compare(run_pipelines, stock, ours, docs + docs, texts + marked)
        right = [row["exact_match"] for row in rows["strict-match"][len(docs) :]]
        # The files carry their own verdict; strict match on the marked text is nearly the same judge.
        assert abs(sum(right) - sum(row[model]["is_correct"] for row in solutions)) <= 15


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
            "backtracks": 1, "backtrack_rate": 1, "token_efficiency": (7, 9), "flipped_right": 1,
            "flipped_wrong": 0, "collapse_exact": 0,
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
        "backtracks": 3 / 4, "backtrack_rate": 2 / 4, "token_efficiency": 28 / 35, "flipped_right": 1 / 4,
        "flipped_wrong": 1 / 4, "collapse_exact": 1 / 4,
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
    assert logged["record"]["live"] == [1, 1, 1, 1, 1, 1, 0, 0, 1]
    assert logged["record"]["events"][0]["erased"] == [6]


def test_predict_only_still_runs(load_task, gsm8k_folder, run_pipelines):
    """lm_eval's --predict_only replaces all metrics; the task then reports none of its own."""
    task = load_task("gsm8k_backtrack", data_dir=gsm8k_folder)
    task.override_metric("bypass")
    rows = run_pipelines(task, [{"question": "q", "answer": "#### 42"}], ["#### 42"])
    assert all(list(row) == ["bypass"] for pipeline in rows.values() for row in pipeline)


def test_prompts_are_the_stock_prompts(stock, ours):
    """Question, few-shot examples and their format are the stock task's."""
    doc = {"question": "How many?", "answer": "#### 1"}
    assert ours.doc_to_text(doc) == stock.doc_to_text(doc)
    for key in ("doc_to_target", "num_fewshot", "fewshot_split", "target_delimiter", "fewshot_delimiter"):
        assert getattr(ours.config, key) == getattr(stock.config, key)
    assert ours.config.metric_list == stock.config.metric_list
