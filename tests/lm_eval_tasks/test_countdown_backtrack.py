"""countdown_backtrack: the training prompts, judged by the verifier, from verl's parquet rows."""

import json
import os
import subprocess
import sys

import lm_eval
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from halluc_plugin.errors import DataError, SettingsError

B = "<|BACKTRACK|>"


def row(numbers, target, **changes):
    """A verl row."""
    problem = {"numbers": numbers, "target": target}
    return {
        "data_source": "halluc/countdown",
        "prompt": [{"role": "user", "content": f"{' '.join(map(str, numbers))} -> {target}\n"}],
        "reward_model": {"style": "rule", "ground_truth": problem},
        **changes,
    }


def write(folder, **splits):
    """Write the two test files below ``folder``; a split not given has one row."""
    (folder / "countdown").mkdir(parents=True)
    for split in ("test_seen", "test_new"):
        rows = splits.get(split, [row([1, 2, 3], 9)])
        pq.write_table(pa.Table.from_pylist(rows), folder / "countdown" / f"{split}.parquet")
    return folder


@pytest.fixture(scope="module")
def task(load_task, bytes_tokenizer, tmp_path_factory):
    """The task on two rows, for a model whose every byte is a token."""
    folder = write(tmp_path_factory.mktemp("data"), test_seen=[row([3, 5, 7], 22), row([2, 2, 5], 9)])
    return load_task("countdown_backtrack", data_dir=folder, pretrained=bytes_tokenizer)


def test_the_prompt_is_the_training_prompt(task):
    """No template, no few-shot example, no stripped newline."""
    docs = list(task.test_docs())
    assert [task.fewshot_context(doc, 0) for doc in docs] == ["3 5 7 -> 22\n", "2 2 5 -> 9\n"]
    assert [task.doc_to_target(doc) for doc in docs] == ["22", "9"]


@pytest.mark.parametrize(
    ("answer", "expected"),  # strict, flexible, strict raw, flexible raw
    [
        ("3*5=15\n15+7=22\n", (1, 1, 1, 1)),
        ("3*5=15\n15+7=23\n", (0, 0, 0, 0)),
        ("3*5=15\n", (0, 0, 0, 0)),
        ("First 3 * 5 = 15, then 15 + 7 = 22.", (0, 1, 0, 1)),
        (f"3*5=15\n15-7{B}{B}+7=22\n", (1, 1, 0, 0)),
        (f"3*5=15\n15+7=22\n{B}", (1, 1, 0, 1)),
        (f"3*5=15\n15+7=22{B}1\n", (0, 0, 0, 1)),
        ("3*5=15\n15+7=22\n<|im_end|>3", (1, 1, 1, 1)),
        ("03*5=15\n15+7=22\n", (0, 0, 0, 0)),
        ("First 3 * 5 = 1 5, then 15 + 7 = 22.", (0, 0, 0, 0)),
        ("3*5=15\n15+7=" + "2" * 5000, (0, 0, 0, 0)),
        (f"03{B}{B}3*5=15, 15+7=22", (0, 1, 0, 1)),
    ],
)
def test_rows_by_hand(run_pipelines, task, answer, expected):
    """The verifier judges the whole text, or its equations only, collapsed and raw."""
    doc = next(iter(task.test_docs()))
    rows = run_pipelines(task, [doc], [answer])
    pipelines = ("strict-match", "flexible-extract", "strict-match-raw", "flexible-extract-raw")
    assert tuple(rows[name][0]["exact_match"] for name in pipelines) == expected
    flipped = expected[0] - expected[2]
    (trace,) = rows["trace"]
    assert (trace["flipped_right"], trace["flipped_wrong"]) == (int(flipped > 0), int(flipped < 0))


def test_traces_keep_the_verdict_on_every_state(run_pipelines, task):
    """By hand: where 15 loses 7 the goal is out of reach, from the minus on until it is taken back."""
    doc = next(iter(task.test_docs()))
    right, dead = "3*5=15\n", "15-7=8\n"
    run_pipelines(task, [doc], [f"{right}{dead}{B * len(dead)}15+7=22\n"])
    (trace,) = json.loads(f"[{task._instances[0].filtered_resps['trace']}]")
    assert len(trace["verdicts"]) == len(trace["record"]["ids"]) + 1
    # The minus is the 10th character; 14 are written, of which the fifth edit takes it.
    assert [at for at, fine in enumerate(trace["verdicts"]) if not fine] == list(range(10, 19))
    run_pipelines(task, [doc], [f"{right}{dead}"])
    (kept,) = task._instances[0].filtered_resps["trace"]
    assert kept["verdicts"] == [True] * 10 + [False] * 5


# One copy used as both operands; a number used again and again; what is right by each.
DOUBLED, AGAIN = "3+3=6\n6+7=13\n", "3+3=6\n6+3=9\n9+3=12\n"


@pytest.mark.parametrize(
    ("judge", "expected"),  # for both answers
    [(None, (0, 0)), ("self-backtracking", (1, 0)), ("stream-of-search", (1, 1))],
)
def test_published_verifiers_judge_by_name(run_pipelines, load_task, tmp_path, judge, expected):
    """`verifier` in the metadata takes the place of ours in the rows of answers, faults and all."""
    folder = write(tmp_path, test_seen=[row([3, 5, 7], 13), row([3, 5, 7], 12)])
    named = {} if judge is None else {"verifier": judge}
    task = load_task("countdown_backtrack", data_dir=folder, **named)
    found = run_pipelines(task, list(task.test_docs()), [DOUBLED, AGAIN])
    for pipeline in ("strict-match", "flexible-extract"):
        assert tuple(row["exact_match"] for row in found[pipeline]) == expected


def test_a_verifier_that_nobody_published_is_refused(load_task, tmp_path):
    """The message lists those that there are."""
    with pytest.raises(SettingsError, match=r"verifier is 'mine'.*self-backtracking, stream-of-search"):
        load_task("countdown_backtrack", data_dir=write(tmp_path), verifier="mine")


def test_new_targets_are_a_task_of_their_own(load_task, tmp_path):
    """countdown_backtrack_new differs in its split only."""
    folder = write(tmp_path, test_new=[row([9, 9, 9], 27)])
    assert [doc["prompt"] for doc in load_task("countdown_backtrack_new", data_dir=folder).test_docs()] == [
        "9 9 9 -> 27\n"
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [row([1, 2], 3, data_source="elsewhere")],
            r"'elsewhere', for which there is no verifier",
        ),
        ([row([1, 2], 3, prompt=[{"role": "user", "content": ""}])], "prompt is empty"),
        ([row([1, 2], 3, prompt=[{"role": r, "content": "x"} for r in "ab"])], "not one message with text"),
        ([{"question": "x"}], "test_seen.parquet has no column data_source, prompt, reward_model"),
    ],
)
def test_malformed_rows_are_refused(load_task, tmp_path, rows, message):
    """Rows that cannot be asked or judged are named when the task is loaded."""
    with pytest.raises(DataError, match=message):
        load_task("countdown_backtrack", data_dir=write(tmp_path, test_seen=rows))


def test_without_problems_the_command_that_writes_them_is_named(load_task, monkeypatch, tmp_path):
    """No folder named, or one without Countdown: one message with the command and the variable."""
    for named in ("", str(tmp_path)):
        monkeypatch.setenv("HALLUC_DATA_DIR", named)
        with pytest.raises(DataError, match=r"no Countdown problems.*halluc data countdown.*HALLUC_DATA_DIR"):
            load_task("countdown_backtrack")


def test_a_file_that_is_no_parquet_is_named(load_task, tmp_path):
    """The message names the file and the command that writes it."""
    write(tmp_path)
    (tmp_path / "countdown" / "test_new.parquet").write_text("text")
    with pytest.raises(DataError, match=r"test_new.parquet is no parquet file.*halluc data countdown"):
        load_task("countdown_backtrack", data_dir=tmp_path)


@pytest.fixture
def twelve_problems(tmp_path):
    """A folder of data sets with twelve Countdown problems."""
    return write(tmp_path / "data", test_seen=[row([n, 2, 3], n + 5) for n in range(1, 13)])


@pytest.mark.e2e
def test_the_command_line_scores_a_model_offline(tiny_model, tmp_path, twelve_problems):
    """``lm_eval --tasks countdown_backtrack`` without hub or flag yields all rows, and logs the traces."""
    command = [
        sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", f"pretrained={tiny_model}",
        "--tasks", "countdown_backtrack", "--limit", "8", "--batch_size", "8", "--device", "cpu",
        "--gen_kwargs", "max_gen_toks=24", "--log_samples", "--output_path", str(tmp_path / "out"),
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HALLUC_DATA_DIR": str(twelve_problems)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "flipped_right" in done.stdout
    (file,) = (tmp_path / "out").rglob("results_*.json")
    results = json.loads(file.read_text())["results"]["countdown_backtrack"]
    assert results["exact_match,strict-match"] == 0  # a random model
    assert results["sample_len"] == 8
    (file,) = (tmp_path / "out").rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in file.read_text().splitlines()]
    traces = [json.loads(s["filtered_resps"][0]) for s in samples if s["filter"] == "trace"]
    assert len(traces) == 8
    edited = [trace for trace in traces if trace["record"]["events"]]
    assert results["collapse_exact,trace"] == 1 - len(edited) / 8 < 1
    assert results["backtracks,trace"] == sum(trace["backtracks"] for trace in traces) / 8


@pytest.mark.e2e
def test_our_model_by_name_is_exact(tiny_model, twelve_problems, task_manager):
    """``hf-backtrack``, asked for by name, collapses on ids: every row is exact."""
    manager = task_manager(data_dir=twelve_problems, pretrained=tiny_model)
    done = lm_eval.simple_evaluate(
        model="hf-backtrack",
        model_args={"pretrained": str(tiny_model), "max_backtracks": 3},
        tasks=["countdown_backtrack"],
        task_manager=manager,
        gen_kwargs={"max_gen_toks": 24},
        device="cpu",
        bootstrap_iters=0,
    )
    rows = done["results"]["countdown_backtrack"]
    assert rows["collapse_exact,trace"] == 1
    assert 0 < rows["backtracks,trace"] <= 3
    assert rows["token_efficiency,trace"] < 1
