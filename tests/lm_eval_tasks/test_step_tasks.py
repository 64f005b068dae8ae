"""Tasks on generated problems with steps: the training verifier's verdict, and rows of its prefix oracle."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.problem_sets.steps import StepSplit, generate
from halluc_plugin.tasks.addition.problems import AdditionProblems
from halluc_plugin.tasks.chain.problems import ChainProblems
from halluc_plugin.tasks.dag.problems import DagProblems

B = "<|BACKTRACK|>"
CHAIN = {"modulus": 10, "start": 3, "operations": ["+4", "*7"], "form": "steps"}
ANSWER = "3+4=7\n7*7=9\n"


def write(folder, name, rows, *files):
    """Write rows of (source, prompt, truth, answer) as the files of a data set."""
    (folder / name).mkdir(parents=True)
    table = pa.Table.from_pylist(
        [
            {
                "data_source": source,
                "prompt": [{"role": "user", "content": prompt}],
                "reward_model": {"style": "rule", "ground_truth": truth},
                "extra_info": {"answer": answer},
            }
            for source, prompt, truth, answer in rows
        ]
    )
    for file in files:
        pq.write_table(table, folder / name / f"{file}.parquet")
    return folder


@pytest.fixture(scope="module")
def chain(load_task, bytes_tokenizer, tmp_path_factory):
    """Builds chain_backtrack on one problem, for a model whose every byte is a token."""
    rows = [("halluc/chain", "3 +4 *7 mod 10\n", CHAIN, ANSWER)]
    folder = write(tmp_path_factory.mktemp("data"), "chain", rows, "test", "test_long")
    return lambda **more: load_task("chain_backtrack", data_dir=folder, pretrained=bytes_tokenizer, **more)


def test_a_second_attempt_is_asked_for(load_task, bytes_tokenizer, tmp_path):
    """A row with the first attempt and a request in its prompt is one question, judged by the second."""
    asked = "3 +4 *7 mod 10\n3+4=8\n<|im_end|>?\n"
    folder = write(tmp_path, "chain", [("halluc/chain", asked, CHAIN, ANSWER)], "test", "test_long")
    task = load_task("chain_backtrack", data_dir=folder, pretrained=bytes_tokenizer)
    (doc,) = task.task_docs
    assert doc["prompt"] == asked
    assert task.score(doc, ANSWER, "strict-match") == 1
    assert task.score(doc, "3+4=8\n", "strict-match") == 0


ROW = {
    "data_source": "halluc/chain",
    "prompt": [{"role": "user", "content": "3 +4 *7 mod 10\n"}],
    "reward_model": {"ground_truth": CHAIN},
}


@pytest.mark.parametrize(
    "change",
    [
        {"extra_info": json.dumps({"answer": ANSWER})},
        {"extra_info": {"answer": 9}},
        {"extra_info": [1, 2]},
        {"extra_info": None},
        {},
        {
            "prompt": [
                {"role": "user", "content": [{"type": "text", "text": t} for t in ("3 +4 ", "*7 mod 10\n")]}
            ]
        },
    ],
)
def test_rows_of_any_kind_are_documents(load_task, bytes_tokenizer, run_pipelines, tmp_path, change):
    """JSON files, any extra_info, content in parts: prompt and verdicts are those of the plain row."""
    (tmp_path / "chain").mkdir()
    for file in ("test.json", "test_long.jsonl"):
        (tmp_path / "chain" / file).write_text(json.dumps(ROW | change))
    task = load_task("chain_backtrack", data_dir=tmp_path, pretrained=bytes_tokenizer)
    assert [doc["prompt"] for doc in task.test_docs()] == ["3 +4 *7 mod 10\n"]
    for answer, right in ((ANSWER, 1), ("3+4=8\n", 0)):
        assert run(run_pipelines, task, answer)["strict-match"]["exact_match"] == right


def test_a_truth_that_the_verifier_cannot_read_is_no_document(load_task, bytes_tokenizer, tmp_path):
    """It is refused by its row when the task is loaded."""
    (tmp_path / "chain").mkdir()
    for file in ("test", "test_long"):
        row = ROW | {"reward_model": {"ground_truth": "9"}}
        (tmp_path / "chain" / f"{file}.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match=r"row 0: reward_model\.ground_truth is '9'"):
        load_task("chain_backtrack", data_dir=tmp_path, pretrained=bytes_tokenizer)


def run(run_pipelines, task, *answers):
    """The rows of the one document."""
    rows = run_pipelines(task, list(task.test_docs()), [list(answers)])
    return {pipeline: of_docs[0] for pipeline, of_docs in rows.items()}


@pytest.mark.parametrize(
    ("answer", "expected"),  # strict, flexible, strict raw, flexible raw
    [
        (ANSWER, (1, 1, 1, 1)),
        ("3+4=7\n7*7=9", (1, 1, 1, 1)),  # the newline at the end does not count
        ("9\n", (0, 1, 0, 1)),  # the right number without its steps
        ("3+4=8\n8*7=6\n", (0, 0, 0, 0)),
        (f"3+4=8{B}7\n7*7=9\n", (1, 1, 0, 1)),
        (f"{ANSWER}{B}{B}8\n", (0, 0, 0, 0)),
        ("", (0, 0, 0, 0)),
    ],
)
def test_verdicts_by_hand(run_pipelines, chain, answer, expected):
    """Strict wants the steps, flexible what they come to; both on collapsed and on raw text."""
    rows = run(run_pipelines, chain(), answer)
    pipelines = ("strict-match", "flexible-extract", "strict-match-raw", "flexible-extract-raw")
    assert tuple(rows[name]["exact_match"] for name in pipelines) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),  # (counted, all): precision, recall, exact localisation, bad erased, good erased
    [
        (ANSWER, ((0, 0), (0, 0), (0, 0), (0, 0), (0, 12))),
        # One wrong digit, taken back alone.
        (f"3+4=8{B}7\n7*7=9\n", ((1, 1), (1, 1), (1, 1), (1, 1), (0, 12))),
        # The same, with a good character before it: one token too many.
        (f"3+4=8{B}{B}=7\n7*7=9\n", ((1, 1), (1, 1), (0, 1), (1, 1), (1, 13))),
        # A right digit, taken back and written again.
        (f"3+4=7{B}7\n7*7=9\n", ((0, 1), (0, 0), (0, 0), (0, 0), (1, 13))),
        # An error that is never taken back; what follows it is bad too.
        ("3+4=8\n", ((0, 0), (0, 1), (0, 0), (0, 2), (0, 4))),
    ],
)
def test_rows_of_the_prefix_oracle_by_hand(run_pipelines, chain, answer, expected):
    """Each event is judged by the prefix before and after it, each erased token by the oracle."""
    trace = run(run_pipelines, chain(), answer)["trace"]
    names = (
        "event_precision",
        "event_recall",
        "localisation_exact",
        "bad_tokens_erased",
        "good_tokens_erased",
    )
    assert tuple(trace[name] for name in names) == expected


@pytest.mark.parametrize(
    ("answer", "limits", "expected"),  # edits and places, dead; the same, live
    [
        (ANSWER, {}, (0, 0, 0, 1)),  # nothing was sampled behind the last newline
        (f"3+4=8\n{B}{B}7\n7*7=9\n", {}, (1, 1, 0, 1)),
        ("3+4=8\n8*7=6\n", {}, (0, 1, 0, 0)),
        (f"3+4=7\n{B}{B}8\n8", {}, (0, 1, 1, 1)),
        (f"3+4=8\n{B}{B}8\n8", {"max_backtracks": 2}, (1, 1, 0, 0)),  # then edits were banned
        (f"3+4=8\n{B}{B}8\n8", {"max_backtracks": 3}, (1, 2, 0, 0)),
    ],
)
def test_edits_at_ends_of_steps_by_hand(run_pipelines, chain, answer, limits, expected):
    """Where a step has just been written, dead by the oracle or live, was the next action an edit?"""
    trace = run(run_pipelines, chain(**limits), answer)["trace"]
    assert (trace["p_edit_dead"], trace["p_edit_live"]) == (expected[:2], expected[2:])
    assert {trace[name] for name in ("d", "d_low", "d_high", "edit_auc")} == {expected}


def test_discrimination_is_pooled_over_documents(aggregate, chain):
    """Three of four dead steps are taken back, and one of four live ones; limits hold the difference."""
    counts = [(2, 2, 0, 1), (0, 0, 1, 2), (1, 2, 0, 1)]
    found = {
        name: aggregate(chain(), [{name: each} for each in counts])[name]
        for name in ("d", "d_low", "d_high", "edit_auc")
    }
    assert (found["d"], found["edit_auc"]) == (0.5, 0.75)
    assert -1 < found["d_low"] < 0.5 < found["d_high"] <= 1
    assert math.isnan(aggregate(chain(), [{"d": (1, 1, 0, 0)}])["d"])


def test_shares_are_pooled_over_documents(aggregate, chain):
    """A share is a ratio of sums; without anything to count it is nan, and its interval holds it."""
    rows = [{"event_precision": (1, 1)}, {"event_precision": (0, 3)}, {"event_precision": (2, 2)}]
    assert aggregate(chain(), rows) == {"event_precision": 0.5}
    assert math.isnan(aggregate(chain(), [{"event_recall": (0, 0)}])["event_recall"])
    low, high = (aggregate(chain(), [{name: (1, 2)}] * 9 + [{name: (0, 1)}])[name]
                 for name in ("event_recall_low", "event_recall_high"))  # fmt: skip
    assert low < 9 / 19 < high


def test_several_samples_of_a_document(run_pipelines, chain):
    """Accuracy is the mean over samples; pass@k is unbiased, maj@k counts what the answers come to."""
    task = chain(repeats=4)
    rows = run(run_pipelines, task, ANSWER, "3+4=8\n8*7=6\n", ANSWER, "3+4=8\n8*7=6\n")
    strict, flexible = rows["strict-match"], rows["flexible-extract"]
    assert strict["exact_match"] == 0.5
    assert strict["pass@2"] == pytest.approx(1 - 1 / 6)  # one pair of six holds no right answer
    assert strict["pass@4"] == 1
    assert flexible["maj@2"] == pytest.approx(0.5)  # 1/6 both right, 4/6 a tie broken evenly
    assert flexible["maj@4"] == pytest.approx(0.5)
    assert rows["trace"]["tokens_per_solve"] == (48, 2)
    assert "pass@8" not in strict


def test_costs_by_hand(run_pipelines, aggregate, chain):
    """Tokens are counted as sampled, edits too; a solve costs those of all answers."""
    row = run(run_pipelines, chain(), f"3+4=8{B}7\n7*7=9\n")["trace"]
    totals = aggregate(chain(), [row, run(run_pipelines, chain(), "9\n")["trace"]])
    assert totals["raw_tokens"] == (14 + 2) / 2
    assert totals["tokens_per_solve"] == 16
    assert totals["token_efficiency"] == 14 / 16
    assert totals["flipped_right"] == 0.5


@pytest.mark.parametrize("repeats", [0, True, "four"])
def test_a_number_of_samples_must_be_one(chain, repeats):
    """A wrong ``repeats`` is named before anything runs."""
    with pytest.raises(SettingsError, match="repeats is"):
        chain(repeats=repeats)


def test_several_samples_of_greedy_decoding_are_refused(chain):
    """They would all be the same; the message says how to sample."""
    with pytest.raises(SettingsError, match=r"4 samples of greedy decoding.*do_sample=true"):
        chain(repeats=4).build_all_requests(limit=1, rank=0, world_size=1)


@pytest.mark.parametrize(
    "problems", [AdditionProblems(), ChainProblems(), DagProblems()], ids=lambda task: task.name
)
def test_reference_answers_are_right(run_pipelines, load_task, bytes_tokenizer, tmp_path, problems):
    """What `halluc data` writes as an answer is right in every row of its task, and backtracks nothing."""
    name = problems.name
    drawn = generate(problems, StepSplit.TEST, 5)
    rows = [(problems.sources[0], p.prompt, p.truth, "".join(p.steps)) for p in drawn]
    folder = write(tmp_path, name, rows, "test", "test_long")
    for task_name in (f"{name}_backtrack", f"{name}_backtrack_long"):
        task = load_task(task_name, data_dir=folder, pretrained=bytes_tokenizer)
        docs = list(task.test_docs())
        assert [task.fewshot_context(doc, 0) for doc in docs] == [p.prompt for p in drawn]
        found = run_pipelines(task, docs, [task.doc_to_target(doc) for doc in docs])
        for pipeline in ("strict-match", "flexible-extract", "strict-match-raw", "flexible-extract-raw"):
            assert [row["exact_match"] for row in found[pipeline]] == [1] * 5
        assert {row["backtracks"] for row in found["trace"]} == {0}


@pytest.mark.parametrize("name", ["addition", "chain", "dag", "countdown4"])
def test_without_problems_the_command_that_writes_them_is_named(load_task, monkeypatch, tmp_path, name):
    """The message of each task names its own command."""
    monkeypatch.setenv("HALLUC_DATA_DIR", str(tmp_path))
    command = {"countdown4": "halluc data countdown --numbers 4"}.get(name, f"halluc data {name}")
    with pytest.raises(DataError, match=f"There are no .*`{command} --out FOLDER`.*HALLUC_DATA_DIR=FOLDER"):
        load_task(f"{name}_backtrack")
