"""On an accelerator everything is what it is on a CPU; skipped where there is none."""

import copy
import json

import numpy as np
import pytest
import torch

from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import (
    Context,
    events,
    pad_rows,
    position_ids,
    resolve,
    resolve_rows,
    tree_attention_mask,
)
from halluc_plugin.errors import TraceError
from halluc_plugin.hard import score_actions
from halluc_plugin.losses import Divergence, score_trajectories, sequence_match_loss
from halluc_plugin.probes import edit_emission, gradient_cosines, negative_learning
from halluc_plugin.rl.grpo import CHECKPOINT, METRICS, train_policy
from halluc_plugin.rl.policy import score_policy
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.problems import read_problems
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.search import Space, run, self_backtracking
from halluc_plugin.search.beams import beam_search
from halluc_plugin.settings import load
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tasks.countdown.problems import CountdownSettings
from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model, on_accelerator
from halluc_plugin.training import TrainSettings, fine_tune, fine_tune_low_rank
from halluc_plugin.training.match_settings import MatchSettings
from halluc_plugin.training.matching import match_sequences

pytestmark = pytest.mark.skipif(not torch.accelerator.is_available(), reason="no accelerator here")
CLOSE = {"atol": 2e-4, "rtol": 1e-3}
"""Float32 on two kinds of hardware."""


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and two edit tokens."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN, STEP_TOKEN))


@pytest.fixture(scope="module")
def vocab(tokenizer):
    """Its edit tokens."""
    return vocab_of(tokenizer)


@pytest.fixture(scope="module")
def models(tokenizer):
    """The same random weights on the CPU and on the accelerator, sharp, and fond of edits."""
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(8)
    return model, on_accelerator(copy.deepcopy(model))


@pytest.fixture(scope="module")
def traces(vocab):
    """Prompts of two lengths and random traces, a third of their actions edits."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(260, 600, n).tolist() for n in rng.integers(2, 9, 32)]
    drawn = [rng.integers(260, 600, n) for n in rng.integers(1, 30, 32)]
    edits = [vocab.backtrack, vocab.step]
    responses = [np.where(rng.random(len(t)) < 1 / 3, rng.choice(edits, len(t)), t).tolist() for t in drawn]
    return prompts, responses


@pytest.fixture(scope="module")
def countdown(tokenizer, tmp_path_factory):
    """Small Countdown problems, and traces that take errors back."""
    root = tmp_path_factory.mktemp("countdown")
    request = CountdownRequest(CountdownSettings(largest_operand=9, seed=0), train=64, test=8, backtracking=1)
    return write_countdown(root, request, tokenizer, lambda rows, *_: rows)


def test_edits_are_resolved_alike(vocab, traces):
    """Tensor operations there find what the compiled loop finds on a CPU: events, masks, positions."""
    ids, valid = pad_rows(traces[1])
    there = ids.to(torch.accelerator.current_accelerator())
    ours, theirs = resolve(ids, valid, vocab), resolve(there, valid.to(there.device), vocab)
    for name in ("live", "erased", "depth", "parent", "is_edit"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name).cpu()), name
    assert events(ours) == events(theirs)
    prompts = pad_rows(traces[0])[1]
    for build in (tree_attention_mask, position_ids):
        assert torch.equal(build(ours, prompts), build(theirs, prompts.to(there.device)).cpu())


@pytest.mark.parametrize("context", list(Context))
def test_greedy_answers_are_the_same(vocab, models, traces, context):
    """Greedy decoding gives the same ids with the same log-probs, rewinding or not."""
    decoding = Decoding(vocab, 24, context, temperature=0.0, tabu=context is Context.HARD)
    here, there = (decode(model, traces[0], decoding) for model in models)
    assert [trace.ids for trace in here] == [trace.ids for trace in there]
    for ours, theirs in zip(here, there, strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)


def test_samples_repeat(vocab, models, traces):
    """The same seed gives the same samples again."""
    decoding, model = Decoding(vocab, 24), models[1]
    one, again = (
        decode(model, traces[0], decoding, generator=torch.Generator(model.device).manual_seed(3))
        for _ in range(2)
    )
    assert [trace.ids for trace in one] == [trace.ids for trace in again]


@pytest.mark.parametrize("context", list(Context))
def test_scores_and_gradients_are_the_same(vocab, models, traces, context):
    """Log-probs of all actions agree, and so do their gradients."""
    prompts, responses = traces
    settings, resolution = load({"context": context.value}), resolve_rows(responses, vocab)
    sums, gradients = [], []
    for model in models:
        model.zero_grad()
        scores = score_policy(model, prompts, resolution, settings)
        scores.log_probs.sum().backward()
        sums.append(scores.log_probs.detach().cpu())
        gradients.append(model.get_input_embeddings().weight.grad.cpu())
    torch.testing.assert_close(*sums, **CLOSE)
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[0].norm()


def test_flex_attention_follows_the_tree(vocab, models, traces):
    """The kernel that reads the tree as a rule gives the scores of the one that reads it as a mask."""
    model = copy.deepcopy(models[1])
    prompts = [padded.to(model.device) for padded in pad_rows(traces[0])]
    resolution = resolve_rows(traces[1], vocab).to(model.device)
    want = score_actions(model, *prompts, resolution).log_probs
    model.set_attn_implementation("flex_attention")
    with torch.no_grad():
        found = score_actions(model, *prompts, resolution).log_probs
    torch.testing.assert_close(found, want.detach(), atol=5e-3, rtol=1e-2)


def test_sequence_match_is_the_same(vocab, models, traces, tokenizer):
    """Its loss agrees, and the gradient's norm."""
    found = []
    for model in models:
        model.zero_grad()
        prompts = [padded.to(model.device) for padded in pad_rows(traces[0])]
        resolution = resolve_rows(traces[1], vocab).to(model.device)
        scored = score_trajectories(model, *prompts, resolution, eos_ids={tokenizer.eos_token_id})
        matched = sequence_match_loss(scored, scored, gamma=0.9, divergence=Divergence.CHI2_MIXTURE)
        matched.loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
        found.append((float(matched.loss.detach()), float(norm)))
    assert found[0] == pytest.approx(found[1], rel=1e-3)


def test_probes_are_the_same(vocab, models, traces, countdown, tokenizer):
    """Emission, negative learning and cosines of gradients agree."""
    prompts, responses = traces
    emitted = [edit_emission(model, prompts, vocab).mean_probability for model in models]
    assert emitted[0] == pytest.approx(emitted[1], rel=1e-3)
    spans = list(zip(prompts, responses, strict=True))
    assert negative_learning(models[1], models[0], spans)[0] == pytest.approx(0, abs=1e-4)
    rows = read_traces(countdown.traces, tokenizer)
    cosines = [vars(gradient_cosines(model, rows, vocab)) for model in models]
    assert cosines[0] == pytest.approx(cosines[1], abs=1e-3)


def test_searches_run_there(vocab, models, countdown, tokenizer):
    """Search with rolling back samples on the model's device, and so do beams."""
    problems = read_problems(countdown.test[0], tokenizer, 4)
    prompts = [problem.prompt for problem in problems]
    ends = frozenset({tokenizer.encode("\n")[0]})
    space = Space(vocab, frozenset({tokenizer.eos_token_id}), ends, 12, 0.7, edits_banned=False)
    found = run(
        [self_backtracking(prompt, space, n=4, rounds=1) for prompt in prompts],
        prompts,
        HFSampler(models[1], space, seed=0),
    )
    assert all(result.cost.tokens > 0 for result in found)
    assert len(beam_search(models[1], prompts, space, 3)) == 4


@pytest.mark.parametrize("context", list(Context))
def test_fine_tuning_learns_there(tokenizer, countdown, tmp_path, context):
    """The loss of a small model falls, in soft and in hard context, and the model can be loaded."""
    settings = TrainSettings(steps=30, learning_rate=2e-3, batch_size=32, context=context, warmup_steps=2)
    model = new_model(tokenizer, Size.TINY, seed=0)
    trained = fine_tune(model, tokenizer, [countdown.traces], settings, tmp_path, show_progress=False)
    assert trained["train_loss"] < 5.5  # it starts at ln 677 = 6.5
    assert load_model(str(tmp_path)).config.vocab_size == len(tokenizer)


@pytest.mark.parametrize("context", list(Context))
def test_low_rank_updates_are_trained_there(tokenizer, countdown, tmp_path, context):
    """The merged model, which stays in half precision, has moved in projections and edit tokens alone."""
    pytest.importorskip("peft")
    model = new_model(tokenizer, Size.TINY, seed=0).to(torch.bfloat16)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    settings = TrainSettings(steps=20, learning_rate=2e-3, batch_size=32, context=context, warmup_steps=2)
    data = [countdown.traces]
    fine_tune_low_rank(model, tokenizer, data, settings, tmp_path, rank=4, show_progress=False)
    after = load_model(str(tmp_path), dtype="auto")
    assert after.dtype is torch.bfloat16
    moved = {name for name, weight in after.named_parameters() if not torch.equal(weight, before[name])}
    assert moved == {name for name in before if "proj" in name or "embed" in name}


def test_matching_trains_there(tokenizer, countdown, tmp_path):
    """SequenceMatch draws its own answers and trains on the accelerator."""
    settings = TrainSettings(steps=6, learning_rate=1e-3, batch_size=8)
    matching = MatchSettings(
        gamma=0.9, imitate_steps=2, anneal_steps=2, refresh_steps=2, fresh=8, capacity=16, max_actions=12
    )
    model = new_model(tokenizer, Size.TINY, seed=0)
    done = match_sequences(
        model, tokenizer, [countdown.traces], settings, tmp_path, matching=matching, show_progress=False
    )
    assert np.isfinite(done["train_loss"])


@pytest.mark.parametrize("block", [{}, {"context": "hard", "credit": {"alpha": 0.5}}])
def test_grpo_trains_there_and_resumes(tokenizer, models, countdown, tmp_path, block):
    """A run on the accelerator that is cut short ends at the weights of one that is not."""
    run_of = GrpoSettings(steps=3, prompts=4, group=4, max_actions=16, micro_batch=8, save_steps=2, bf16=True)
    problems = read_problems(countdown.train, tokenizer)

    def train(out, steps=lambda left, *_: left):
        model = copy.deepcopy(models[1])
        train_policy(model, tokenizer, problems, load(block), run_of, out=out, progress=steps)
        return model

    whole = train(tmp_path / "whole")
    assert whole.device.type != "cpu"
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", stopped_behind_two)
    assert (tmp_path / "cut" / CHECKPOINT).exists()
    resumed = train(tmp_path / "cut")
    lines = [json.loads(line) for line in (tmp_path / "cut" / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-2)


def stopped_behind_two(left, *_):
    """The steps of a run that is interrupted."""
    yield from left[:2]
    raise KeyboardInterrupt


def test_devices_must_not_be_mixed(vocab, traces):
    """Ids on one device and their mask on another are refused."""
    ids, valid = pad_rows(traces[1])
    with pytest.raises(TraceError, match="Move both"):
        resolve(ids.to(torch.accelerator.current_accelerator()), valid, vocab)
