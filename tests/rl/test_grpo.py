"""The small trainer: log-probs are those of sampling, the gradient is by definition, metrics are verl's."""

from dataclasses import replace

import pytest
import torch

from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, find_delimiters, resolve_rows
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.rl import grpo
from halluc_plugin.rl.grpo import order
from halluc_plugin.rl.policy import score_policy
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.settings import load
from halluc_plugin.tokens import vocab_of
from halluc_plugin.verifiers import Outcome
from tests.rl.conftest import RUN, EvenLength, likes, likes_edits, logged, run_it, weights


class Anything(EvenLength):
    """To which nothing is wrong."""

    def verify(self, problem, answer):
        """Right."""
        return Outcome.CORRECT

    def prefix_ok(self, problem, prefix):
        """Right."""
        return True


@pytest.mark.parametrize("context", list(Context))
def test_scores_what_was_sampled(tokenizer, problems, context):
    """Of every action the log-prob it was sampled with: context, budget, boundary and temperature are one."""
    model, vocab = likes_edits(tokenizer), vocab_of(tokenizer)
    settings = load({"context": context.value, "max_backtracks": 2, "boundary": "mask"})
    decoding = Decoding(vocab, 12, context, temperature=0.8, budget=2, boundary=Boundary.MASK)
    prompts = [problems[0].prompt, problems[1].prompt[:-1]]  # of two lengths
    traces = decode(model, prompts, decoding, generator=torch.Generator().manual_seed(0))
    resolution = resolve_rows([trace.ids for trace in traces], vocab)
    assert resolution.num_effective.tolist() == [2, 2]
    scores = score_policy(model, prompts, resolution, settings, temperature=0.8)
    want = torch.nn.utils.rnn.pad_sequence([torch.tensor(t.logprobs) for t in traces], batch_first=True)
    torch.testing.assert_close(scores.log_probs.detach(), want, atol=1e-4, rtol=0)
    assert (scores.entropy[resolution.valid] > 0).all()


def test_the_step_is_policy_gradient_ascent(tokenizer, problems, tmp_path, monkeypatch):
    """What SGD moves is minus the mean over learning actions of advantage times gradient of the log-prob."""
    monkeypatch.setattr(torch.optim, "AdamW", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr))
    run = replace(RUN, steps=1, prompts=4, micro_batch=5, max_grad_norm=1e9, warmup_steps=0)
    found = {}
    shape = grpo.shape

    def seen(answers, vocab, settings, **where):
        rows, paid = shape(answers, vocab, settings, **where)
        found["answers"], found["rows"] = answers, rows
        return rows, paid

    monkeypatch.setattr(grpo, "shape", seen)
    start = new_model(tokenizer, Size.TINY, seed=0)
    trained = run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path, run=run)
    answers, total = found["answers"], sum(float(mask.sum()) for mask in found["answers"].masks)
    asked = [problems[i] for i in order(4, 4, 0, 1) for _ in range(3)]
    loss = torch.zeros(())
    for problem, ids, mask, paid in zip(asked, answers.responses, answers.masks, found["rows"], strict=True):
        logits = start(torch.tensor([[*problem.prompt, *ids]])).logits[0, len(problem.prompt) - 1 : -1]
        log_probs = logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None])[:, 0]
        loss = loss - (log_probs * paid * mask).sum() / total
    gradients = torch.autograd.grad(loss, list(start.parameters()))
    before = torch.cat([p.flatten() for p in start.parameters()]).detach()
    moved = before - weights(trained)
    expected = run.learning_rate * torch.cat([g.flatten() for g in gradients])
    assert expected.abs().max() > 1e-5
    torch.testing.assert_close(moved, expected, atol=2e-7, rtol=1e-3)


def test_answers_of_a_group_differ(tokenizer, problems, tmp_path):
    """Samples are functions of seed and step: other steps and seeds, other answers; never n copies of one."""
    reader = RolloutReader.of(tokenizer, load({}))
    model = new_model(tokenizer, Size.TINY, seed=0).eval()

    def sampled(seed, step):
        run = replace(RUN, seed=seed)
        answers = grpo.sample_groups(model, problems[:1], load({}), run, reader, step=step)
        return [tuple(ids) for ids in answers.responses]

    first = sampled(0, 1)
    assert len(set(first)) == 3
    assert sampled(0, 1) == first
    assert set(first).isdisjoint(sampled(0, 2))
    assert set(first).isdisjoint(sampled(1, 1))


def test_an_epoch_takes_each_problem_once():
    """Orders differ by epoch and seed, and what does not fill a batch waits."""
    first = [order(7, 2, 0, step) for step in (1, 2, 3)]
    assert len({i for batch in first for i in batch}) == 6
    assert first != [order(7, 2, 0, step) for step in (4, 5, 6)]
    assert first != [order(7, 2, 1, step) for step in (1, 2, 3)]


def test_metrics_are_those_of_a_verl_run(tokenizer, problems, tmp_path):
    """Rates, reward parts, degenerate groups and judged events under the names that verl's trackers get.

    Events are judged by the problem's own verifier: where nothing is wrong, no event is due.
    """
    (line, *_) = logged(
        run_it(likes_edits(tokenizer), tokenizer, problems, tmp_path, run=replace(RUN, steps=1))
    )
    for name in ("rate", "reward/process", "degenerate/groups", "event_precision", "judged", "masked_share"):
        assert f"backtrack/{name}" in line
    assert line["backtrack/judged"] == 6
    assert line["actor/entropy"] > 0
    lenient = [replace(problem, verifier=Anything()) for problem in problems]
    (line,) = logged(
        run_it(likes_edits(tokenizer), tokenizer, lenient, tmp_path / "2", run=replace(RUN, steps=1))
    )
    assert line["backtrack/event_precision"] == 0
    assert line["backtrack/bad_token_share"] == 0


def test_discrimination_is_that_of_the_policy_itself(tokenizer, problems, tmp_path, monkeypatch):
    """Not what was sampled: the mean, over judged places, of the softmax that sampled there."""
    seen = []

    def spy(model, prompts, resolution, settings):
        seen.append(score_policy(model, prompts, resolution, settings))
        return seen[-1]

    monkeypatch.setattr(grpo, "score_policy", spy)
    run = replace(RUN, steps=1, max_actions=40, group=8)
    (line,) = logged(run_it(likes_edits(tokenizer), tokenizer, problems, tmp_path, run=run))
    vocab = vocab_of(tokenizer)
    ends = find_delimiters(tokenizer, "\n", edit_ids=vocab.edit_ids)
    masses = []
    for scores in seen:
        rows, columns = scores.resolution.valid.nonzero(as_tuple=True)
        of_edit = scores.edit_mass[rows, columns].tolist()
        ids = scores.resolution.ids
        masses += [
            mass
            for row, column, mass in zip(rows.tolist(), columns.tolist(), of_edit, strict=True)
            if column and int(ids[row, column - 1]) in ends
        ]
    counts = [line["backtrack/step_ends_dead"], line["backtrack/step_ends_live"]]
    assert sum(counts) == len(masses) > 0
    means = [line.get("backtrack/p_edit_dead", 0.0), line.get("backtrack/p_edit_live", 0.0)]
    total = sum(mean * count for mean, count in zip(means, counts, strict=True))
    assert total == pytest.approx(sum(masses), rel=1e-4)
    assert total != pytest.approx(round(total), abs=1e-6)


def test_a_blind_start_is_told_before_the_first_update(tokenizer, problems, tmp_path, caplog):
    """Of the first step alone; a run that goes on is not told again."""
    newline = min(find_delimiters(tokenizer, "\n"))  # and a backtrack is rare, dead or alive
    run = replace(RUN, steps=2, prompts=4, group=16, max_actions=32, micro_batch=64)
    run_it(likes(tokenizer, newline), tokenizer, problems, tmp_path, run=run)
    told = [record.getMessage() for record in caplog.records if "D = " in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("halluc: before the first update the model hardly tells dead ends")
    assert "halluc.credit.alpha=1" in told[0]
