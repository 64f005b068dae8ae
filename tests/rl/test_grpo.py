"""The small trainer: log-probs are those of sampling, runs resume, the gradient is the definition's."""

import json
import math
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, find_delimiters, resolve_rows
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.errors import SettingsError
from halluc_plugin.rl import grpo
from halluc_plugin.rl.grpo import CHECKPOINT, METRICS, order, train_policy
from halluc_plugin.rl.policy import score_policy
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.settings import load
from halluc_plugin.tasks.countdown.files import problem_row
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Split, generate
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.verifiers import Outcome

RUN = GrpoSettings(
    steps=3, prompts=2, group=3, max_actions=8, micro_batch=4, save_steps=2, learning_rate=1e-3
)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers, signs and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


class EvenLength:
    """Judges by length, so that groups of random answers have a contrast."""

    data_sources = ("halluc/countdown",)

    def verify(self, problem, answer):
        """Texts of an even number of characters are right."""
        return Outcome.WRONG if len(answer) % 2 else Outcome.CORRECT

    def prefix_ok(self, problem, prefix):
        """So are prefixes."""
        return len(prefix) % 2 == 0


class OnlyAnswers:
    """Judges no prefixes."""

    data_sources = ("halluc/countdown",)

    def verify(self, problem, answer):
        """Right."""
        return Outcome.CORRECT


class Anything(EvenLength):
    """To which nothing is wrong."""

    def verify(self, problem, answer):
        """Right."""
        return Outcome.CORRECT

    def prefix_ok(self, problem, prefix):
        """Right."""
        return True


@pytest.fixture(scope="module")
def problems(tokenizer):
    """Four Countdown problems, judged by the length of their answers."""
    drawn = generate(CountdownSettings(seed=0), Split.TRAIN, 4)
    rows = [problem_row(problem, Split.TRAIN, number) for number, problem in enumerate(drawn)]
    verifier = EvenLength()
    return [
        PosedProblem(tuple(prompt_ids(tokenizer, r["prompt"])), r["reward_model"]["ground_truth"], verifier)
        for r in rows
    ]


def likes_edits(tokenizer):
    """A small random model to which a backtrack is as likely as all else together."""
    return likes(tokenizer, vocab_of(tokenizer).backtrack)


def likes(tokenizer, token_id):
    """A small random model to which a token is as likely as all else together."""
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    forward = model.forward

    def biased(*args, **kwargs):
        output = forward(*args, **kwargs)
        shift = torch.zeros(output.logits.shape[-1])
        shift[token_id] = math.log(len(tokenizer))
        output.logits = output.logits + shift
        return output

    model.forward = biased
    return model


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


def run_it(model, tokenizer, problems, out, *, run=RUN, **block):
    """A run without a progress bar."""
    settings = load(block)
    return train_policy(
        model, tokenizer, problems, settings, run, out=out, progress=lambda steps, what, total: steps
    )


def weights(folder: Path):
    """All weights of a saved model, as one vector."""
    return torch.cat([p.flatten() for p in load_model(str(folder)).parameters()]).detach()


def logged(folder: Path):
    """The metrics of a run."""
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


@contextmanager
def dying_in_step_3(monkeypatch):
    """A run that is killed there."""
    step = grpo._Trainer.step

    def dies(self, number):
        if number == 3:
            raise KeyboardInterrupt
        return step(self, number)

    with monkeypatch.context() as patched:
        patched.setattr(grpo._Trainer, "step", dies)
        with pytest.raises(KeyboardInterrupt):
            yield


@pytest.mark.parametrize("context", list(Context))
def test_an_interrupted_run_ends_at_the_same_weights(tokenizer, problems, tmp_path, context, monkeypatch):
    """Killed after its checkpoint and started again, it has the same weights and one line a step."""
    block = {
        "context": context.value,
        "erased_tokens": "negative",
        "credit": {"alpha": 0.5},
        "curriculum": [{"steps": 1, "max_backtracks": 1}, {}],
        "reward": {"weights": {"outcome": 1.0, "n_mars": 0.1, "format": 0.5}},
    }
    whole = run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path / "whole", **block)
    killed = tmp_path / "killed"
    with dying_in_step_3(monkeypatch):
        run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, killed, **block)
    assert (killed / CHECKPOINT).exists()
    run_it(new_model(tokenizer, Size.TINY, seed=1), tokenizer, problems, killed, **block)
    assert torch.equal(weights(whole), weights(killed))
    assert min(line["backtrack/degenerate/groups"] for line in logged(whole)) < 1
    assert logged(whole) == logged(killed)
    assert [line["step"] for line in logged(whole)] == [1, 2, 3]
    assert not (killed / CHECKPOINT).exists()


def test_a_run_goes_on_with_its_own_settings_only(tokenizer, problems, tmp_path, monkeypatch):
    """One of other settings is not continued, a finished one not trained anew; it may become longer."""
    with dying_in_step_3(monkeypatch):
        run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path)
    for changed in ({"run": replace(RUN, seed=1)}, {"erased_tokens": "keep"}):
        with pytest.raises(SettingsError, match="interrupted run with other settings"):
            run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path, **changed)
    with pytest.raises(SettingsError, match="or problems"):
        run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems[:3], tmp_path)
    run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path, run=replace(RUN, steps=4))
    assert len(logged(tmp_path)) == 4
    with pytest.raises(SettingsError, match="holds a model already"):
        run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path)


def test_a_run_killed_while_it_saves_its_model_is_not_lost(tokenizer, problems, tmp_path, monkeypatch):
    """Half a model is none: started again, the run writes it anew from its last checkpoint."""
    whole = run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path / "whole")
    killed = tmp_path / "killed"

    def dies(model, tokenizer, out, **_):
        model.save_pretrained(out)
        (killed / "model.safetensors").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(grpo, "save_model", dies)
        with pytest.raises(KeyboardInterrupt):
            run_it(new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, killed)
    run_it(new_model(tokenizer, Size.TINY, seed=1), tokenizer, problems, killed)
    assert torch.equal(weights(whole), weights(killed))
    assert logged(whole) == logged(killed)


def test_the_step_is_policy_gradient_ascent(tokenizer, problems, tmp_path, monkeypatch):
    """What SGD moves is minus the mean over learning actions of advantage times gradient of the log-prob."""
    monkeypatch.setattr(torch.optim, "AdamW", lambda parameters, lr, **_: torch.optim.SGD(parameters, lr))
    run = replace(RUN, steps=1, prompts=4, micro_batch=5, max_grad_norm=1e9, warmup_steps=0)
    found = {}
    shape = grpo.shape

    def seen(answers, vocab, settings):
        rows, paid = shape(answers, vocab, settings)
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
        of_edit = scores.logits.softmax(-1)[:, vocab.backtrack].tolist()
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


def test_what_a_run_is_known_by_stays(problems):
    """Checkpoints of before are gone on from: settings that came later count once they are set."""

    def known_by(**block):
        trainer = grpo._Trainer(None, None, problems, load(block), RUN)
        return json.loads(trainer._identity)[0]

    of_before = """boundary context credit curriculum erased_tokens failures guard max_backtracks metrics
    prepare reward tokens trace_log turns values"""
    assert known_by().keys() == {*of_before.split()}
    prepared = "seed train_problems test_problems warm_start_steps traces"
    assert known_by()["prepare"].keys() == {*prepared.split()}
    assert known_by()["reward"].keys() == {"alpha", "beta", "gamma", "kappa", "weights"}
    assert known_by(shares={"decisions": 0.5})["shares"] == {"decisions": 0.5, "erased": None}


def test_refuses(tokenizer, problems, tmp_path):
    """What it cannot do is said before anything is sampled."""
    with pytest.raises(SettingsError, match="only verl's rollouts sample from states"):
        run_it(None, tokenizer, problems, tmp_path, values={"source": "continuations"})
    with pytest.raises(SettingsError, match="4 problems for 9 a step"):
        run_it(None, tokenizer, problems, tmp_path, run=replace(RUN, prompts=9))
    unjudged = [replace(problem, verifier=OnlyAnswers()) for problem in problems]
    for block, named in (
        ({"reward": {"weights": {"process": 1.0, "outcome": 1.0}}}, "weights.process pays"),
        ({"credit": {"alpha": 0.5}}, "credit.alpha pays"),
    ):
        with pytest.raises(SettingsError, match=f"{named} for values of states, and the verifier"):
            run_it(None, tokenizer, unjudged, tmp_path, **block)


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("group", 1), ("learning_rate", 0.0)])
def test_settings_out_of_range(name, value):
    """The field is named."""
    with pytest.raises(SettingsError, match=f"{name} is {value}"):
        GrpoSettings(**{name: value})
