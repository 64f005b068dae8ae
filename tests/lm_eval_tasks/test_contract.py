"""The contract of tasks, its part that needs lm-eval: right answers score 1 in every task, spoiled ones 0."""

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.tasks import load, names

B = "<|BACKTRACK|>"
SPLITS = [(name, split) for name in names() if (task := load(name)).eval for split in task.eval.splits]
PIPELINES = ("strict-match", "flexible-extract", "strict-match-raw", "flexible-extract-raw")


def spoiled(verifier, truth, answer):
    """The answer up to a character near its end, what does not belong in its place, and the rest."""
    for at in reversed(range(len(answer.rstrip()))):
        for other in sorted({*answer, *"0123456789"} - {*" \n"}):
            if not verifier.prefix_ok(truth, answer[:at] + other + answer[at + 1 :]):
                return answer[:at], other, answer[at:]
    raise AssertionError(answer)


@pytest.mark.parametrize("evaluated", SPLITS, ids=[split.name for _, split in SPLITS])
def test_references_score_one_and_spoiled_answers_zero(
    load_task, run_pipelines, bytes_tokenizer, tmp_path, evaluated
):
    """On what the command of the split writes; a mistake that is taken back counts in raw text alone."""
    name, split = evaluated
    few = ("--train", "8", "--test", "3", "--backtracking", "0", "--out", str(tmp_path))
    assert CliRunner().invoke(app, ["data", name, *split.arguments, *few]).exit_code == 0
    task = load_task(split.name, data_dir=tmp_path, pretrained=bytes_tokenizer)
    docs = list(task.test_docs())
    assert len(docs) == 3
    parts = [spoiled(load(name).verifier, doc["ground_truth"], doc["answer"]) for doc in docs]

    def scores(answers):
        rows = run_pipelines(task, docs, answers)
        return [[row["exact_match"] for row in rows[pipeline]] for pipeline in PIPELINES]

    assert scores([doc["answer"] for doc in docs]) == [[1, 1, 1]] * 4
    assert scores([before + other + rest[1:] for before, other, rest in parts])[::2] == [[0, 0, 0]] * 2
    taken_back = scores([before + other + B + rest for before, other, rest in parts])
    assert taken_back[:3] == [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
