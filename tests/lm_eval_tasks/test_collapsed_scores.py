"""Scores on collapsed text are the stock task's on the same text without edits, whatever was taken back.

Property over texts, what is inserted and taken back again, stop strings, and how answers reach a task: as
text, and as ids of either of our models.
"""

import json
from functools import cache, partial
from pathlib import Path

import datasets
import lm_eval.tasks
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.tasks._yaml_loader import load_yaml
from tokenizers import AddedToken
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.edits import collapse
from lm_eval_tasks.answers import traced_answer
from lm_eval_tasks.trace import TraceReader

STOCK = Path(lm_eval.tasks.__file__).parent
GSM8K = {"question": "q", "answer": "40+2=42\n#### 42"}
MATH = {"problem": "p", "solution": r"So it is $\boxed{\frac{1}{2}}$.", "answer": r"\frac{1}{2}"}
TWINS = {
    "gsm8k_backtrack": ("gsm8k/gsm8k.yaml", GSM8K),
    "gsm8k_backtrack_cot": ("gsm8k/gsm8k-cot.yaml", GSM8K),
    "math500_backtrack": ("hendrycks_math/hendrycks_math500.yaml", MATH),
    "hendrycks_math_backtrack_algebra": ("hendrycks_math/hendrycks_math_algebra.yaml", MATH),
}
PIECES = [
    "#### 42", "#### 41", "#### ", "42", "41.", "The answer is 42.", "The answer is ", "$", r"\frac{1}{2}",
    "1/2", " ", "\n", "\n\n", "Question:", "Q:", "Problem:", "stop", "so", "é→",
]  # fmt: skip
TAKEN_BACK = [*PIECES, "<|im_start|>", "<s>", "</think>"]
texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
edits = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(TAKEN_BACK)), max_size=4)
stops = st.sampled_from([None, ["\n\n"], ["stop", "Q:"], "so", ["42"]])
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def tokenizer(byte_tokenizer):
    """One token a byte, and the backtrack token."""
    return byte_tokenizer(AddedToken("<|BACKTRACK|>", special=False, normalized=False), "</think>")


@pytest.fixture(scope="module")
def task_of(load_task, tokenizer, tmp_path_factory):
    """Loads a task of ours on one document, with a user's stop strings."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)

    def load(name, until=None):
        data = tmp_path_factory.mktemp("data")
        for split in ("train", "test"):
            (data / f"{split}.jsonl").write_text(json.dumps(TWINS[name][1]) + "\n")
        task = load_task(name, data_dir=data, pretrained=folder)
        if until is not None:
            task.set_config("generation_kwargs", {"until": until}, update=True)
        return task

    return cache(lambda name, until: load(name, list(until) if isinstance(until, tuple) else until))


@pytest.fixture(scope="module")
def stock_of():
    """Loads its stock twin, with a user's stop strings."""

    def load(name, until=None):
        file, doc = TWINS[name]
        config = load_yaml(STOCK / file)
        config.pop("tag", None)
        data = {split: datasets.Dataset.from_list([doc]) for split in ("train", "test")}
        task = ConfigurableTask(config={**config, "custom_dataset": lambda **_: datasets.DatasetDict(data)})
        if until is not None:
            task.set_config("generation_kwargs", {"until": until}, update=True)
        return task

    return cache(lambda name, until: load(name, list(until) if isinstance(until, tuple) else until))


@pytest.fixture(scope="module")
def tasks(task_of, stock_of):
    """Both."""
    return task_of, stock_of


def with_edits(tokenizer, text, inserted):
    """Ids that collapse to those of a text: pieces written somewhere in it, and taken back token by token."""
    back = tokenizer.convert_tokens_to_ids("<|BACKTRACK|>")
    whole = tokenizer.encode(text)
    ids, at = [], 0
    for place, piece in sorted((place % (len(whole) + 1), piece) for place, piece in inserted):
        wrong = tokenizer.encode(piece)
        ids += [*whole[at:place], *wrong, *[back] * len(wrong)]
        at = place
    return [*ids, *whole[at:]]


def key(until):
    """Stop strings that a cache takes."""
    return tuple(until) if isinstance(until, list) else until


def scores(rows):
    """Of the collapsed pipelines; the stock task's without filters is our strict one."""
    return {("strict-match" if name == "none" else name): [row["exact_match"] for row in of_docs]
            for name, of_docs in rows.items()}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
@SETTINGS
@given(case=st.tuples(texts, edits, stops))
def test_scores_are_the_stock_scores(run_pipelines, tasks, tokenizer, name, case):
    """As text of any engine, and as ids of our models: the stock score of the text without edits."""
    (text, inserted, until), (task_of, stock_of) = case, tasks
    ours, stock, doc = task_of(name, key(until)), stock_of(name, key(until)), TWINS[name][1]
    asked = stock.config.generation_kwargs["until"]
    plain = postprocess_generated_text(text, asked, None)
    expected = scores(run_pipelines(stock, [doc], [plain]))
    ids = with_edits(tokenizer, text, inserted)
    eos = tokenizer.eos_token_id
    readers = [TraceReader(tokenizer), TraceReader(tokenizer, keeps_special=True)]
    assert collapse(ids, readers[0].vocab) == tokenizer.encode(text)
    sent = ours.config.generation_kwargs["until"]
    sent = sent if isinstance(sent, list) else [sent]
    answers = [
        tokenizer.decode(ids),
        traced_answer(readers[0], [*ids, eos], sent),
        traced_answer(readers[1], [*ids, eos], sent, stopped=True),
    ]
    for answer in answers:
        rows = run_pipelines(ours, [doc], [answer])
        assert scores({pipeline: rows[pipeline] for pipeline in expected}) == expected


@SETTINGS
@given(text=texts, inserted=edits, until=stops)
def test_a_stock_task_is_handed_the_text_without_edits(tokenizer, text, inserted, until):
    """What a model of ours gives to any task is what the stock model would have given of the text."""
    reader = TraceReader(tokenizer)
    asked = [*([until] if isinstance(until, str) else until or []), tokenizer.eos_token]
    answer = traced_answer(reader, with_edits(tokenizer, text, inserted), asked)
    assert answer == postprocess_generated_text(text, asked, None)


@SETTINGS
@given(text=texts, inserted=edits, end=st.sampled_from(["</think>", "so", "42", "id"]))
def test_thinking_that_is_taken_back_hides_nothing(tokenizer, text, inserted, end):
    """With ``think_end_token`` the answer is what lm_eval cuts from the text without edits."""
    end = tokenizer.convert_tokens_to_ids("</think>") if end == "id" else end
    text = text.replace("stop", "</think>")
    read = partial(TraceReader, tokenizer, think_end_token=end)
    answer = traced_answer(read(), with_edits(tokenizer, text, inserted), ["\n\n"])
    if isinstance(end, int):
        plain = text.rsplit("</think>", 1)[-1].lstrip().split("\n\n")[0]
    else:
        plain = postprocess_generated_text(text, ["\n\n"], end)
    assert answer == plain


@pytest.mark.parametrize("name", ["countdown", "addition", "chain", "dag"])
@SETTINGS
@given(data=st.data())
def test_tasks_without_a_twin_score_the_text_that_is_left(
    run_pipelines, verified_task, tokenizer, name, data
):
    """Tasks with a verifier of ours: with edits as without, for right answers, parts of them and others."""
    task = verified_task(name)
    doc = next(iter(task.test_docs()))
    right = doc["answer"]
    pieces = [*right.splitlines(keepends=True), " ", "\n", "7", "=", "so "]
    text = data.draw(st.just(right) | st.lists(st.sampled_from(pieces), max_size=8).map("".join))
    edited = with_edits(tokenizer, text, data.draw(edits))
    plain, edited = (
        run_pipelines(task, [doc], [tokenizer.decode(ids)]) for ids in (tokenizer.encode(text), edited)
    )
    for pipeline in ("strict-match", "flexible-extract"):
        assert edited[pipeline] == plain[pipeline]
    if text == right:
        assert plain["strict-match"][0]["exact_match"] == 1


@pytest.fixture(scope="module")
def verified_task(load_task, tokenizer, tmp_path_factory):
    """Loads a task on a few problems that `halluc data` has written."""
    saved, data = tmp_path_factory.mktemp("tokenizer"), tmp_path_factory.mktemp("data")
    tokenizer.save_pretrained(saved)

    def load(name):
        few = ["--train", "20", "--test", "3", "--backtracking", "0"]
        written = CliRunner().invoke(app, ["data", name, *few, "--out", str(data)])
        assert written.exit_code == 0, written.output
        return load_task(f"{name}_backtrack", data_dir=data, pretrained=saved)

    return cache(load)


def test_engines_are_given_no_stop_string_that_can_be_taken_back(task_of):
    """A user's stop string goes to no engine unless it is a special token, and stands for all others."""
    task = task_of("gsm8k_backtrack", ("\n\n", "<|end|>"))
    request = task.construct_requests(TWINS["gsm8k_backtrack"][1], "q", metadata=("gsm8k_backtrack", 0, 1))
    assert request.args[1]["until"] == ["<|end|>"]
    assert task.config.generation_kwargs["until"] == ["\n\n", "<|end|>"]
    plain = task_of("gsm8k_backtrack", None)
    request = plain.construct_requests(TWINS["gsm8k_backtrack"][1], "q", metadata=("gsm8k_backtrack", 0, 1))
    assert request.args[1]["until"] == ["</s>", "<|im_end|>"]
