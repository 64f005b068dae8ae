"""``halluc search --method revise --backend vllm`` is Algorithm 1 on a real engine, batched over problems."""

import json
import os
import subprocess
import sys
from itertools import chain, pairwise
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.scorers.saved import Made, Objective, save_step_scorer
from halluc_plugin.scorers.value_head import new_value_head
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens.loading import save_tokenizer

pytest.importorskip("vllm")

PROBLEMS, SAMPLES, REVISIONS = 4, 3, 3


def flat(steps):
    """The ids of steps, one after the other."""
    return [*chain.from_iterable(steps)]


def policy(tokenizer, folder):
    """Save a model that writes a digit, the end of a step or the end of the answer, and little else."""
    model = new_model(tokenizer, Size.TINY, seed=0)
    model.config.tie_word_embeddings = False
    likely = tokenizer.convert_tokens_to_ids(["\n", tokenizer.eos_token, "1", "2", "3"])
    output = torch.full_like(model.lm_head.weight, 0.0)
    output[:, 0] = -1.5
    output[likely, 0] = 1.5
    model.lm_head.weight = torch.nn.Parameter(output)
    with torch.no_grad():
        torch.nn.init.normal_(model.model.embed_tokens.weight)
        model.model.embed_tokens.weight[:, 0] = 3.0  # what the output reads, much alike in each state
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)


def scorer(tokenizer, model, folder):
    """Save a head with random weights, whose values differ from step to step."""
    head = new_value_head(str(model))
    torch.nn.init.normal_(head.score.weight, std=0.2)
    made = Made(Objective.VALUE, fingerprint(tokenizer), "\n", ("halluc/chain",))
    save_step_scorer(head, tokenizer, folder, made)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What revise_on_cpu.py wrote down, with the answers of the command."""
    root = tmp_path_factory.mktemp("revise")
    asked = ["data", "chain", "--train", "8", "--test", str(PROBLEMS), "--backtracking", "0"]
    assert CliRunner().invoke(app, [*asked, "--out", str(root)]).exit_code == 0
    tokenizer = number_tokenizer()
    torch.manual_seed(0)
    policy(tokenizer, root / "model")
    scorer(tokenizer, root / "model", root / "scorer")
    data = (root / "model", root / "scorer", root / "chain" / "test.parquet")
    written = (root / "answers.jsonl", root / "told.json")
    script = Path(__file__).with_name("revise_on_cpu.py")
    done = subprocess.run(
        [sys.executable, str(script), *map(str, (*data, *written))],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answers = [json.loads(line) for line in written[0].read_text().splitlines()]
    return answers, json.loads(written[1].read_text())


@pytest.mark.slow
@pytest.mark.e2e
def test_revisions_on_vllm_are_those_of_algorithm_1(found):
    """The step of least advantage falls, what stands before stays id for id, and the final value never falls.

    At most M revisions are made of a problem; a new answer replaces the old one only if its value is larger.
    """
    answers, told = found
    assert len(answers) == len(told["problems"]) == PROBLEMS
    eos = number_tokenizer().eos_token_id
    replaced = later = 0
    for problem in told["problems"]:
        revisions = problem["revisions"]
        assert len(revisions) == REVISIONS  # no value reaches 1
        for one, following in zip(revisions, [*revisions[1:], None], strict=True):
            before, after, candidates = one["before"], one["after"], one["candidates"]
            values = before["values"]
            assert len(values) == len(before["steps"]) + 1
            assert flat(before["steps"]) == before["response"]["ids"]
            advantages = [now - earlier for earlier, now in pairwise(values)]
            assert advantages[one["step"] - 1] <= min(advantages) + 1e-6
            kept = flat(before["steps"][: one["step"] - 1])
            assert len(candidates) <= SAMPLES
            for candidate in candidates:
                assert candidate["response"]["ids"][: len(kept)] == kept
                assert candidate["response"]["ids"][-1] == eos
            worths = [each["values"][-1] for each in candidates]
            worth = values[-1] if before["finished"] else 0.0
            better = bool(worths) and max(worths) > worth
            assert after == (candidates[worths.index(max(worths))] if better else before)
            assert following is None or following["before"] == after
            replaced += better
            later += one["step"] > 1
    assert replaced > 1
    assert later > 1


@pytest.mark.slow
@pytest.mark.e2e
def test_all_problems_are_sampled_in_one_call(found):
    """First one answer to each, then N suffixes to each behind what was kept: M + 1 calls of the engine."""
    _, told = found
    first, *others = told["calls"]
    assert first == [problem["prompt"] for problem in told["problems"]]
    assert len(others) == REVISIONS
    for number, call in enumerate(others):
        expected = []
        for problem in told["problems"]:
            one = problem["revisions"][number]
            kept = flat(one["before"]["steps"][: one["step"] - 1])
            expected += [problem["prompt"] + kept] * SAMPLES
        assert call == expected
