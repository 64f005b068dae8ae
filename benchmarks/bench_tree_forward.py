"""A step in hard context against a causal step of equal raw length, and against recomputing every segment.

Forward and backward of a 3M model, padded SDPA, mask and resolution included; CPU time, interleaved, in one
process. ``pytest benchmarks/bench_tree_forward.py -s`` prints paired ratios with 95 % intervals.
"""

import math
import statistics
import time

import pytest
import torch

from halluc_plugin.edits import EditState, EditVocab, resolve
from halluc_plugin.hard import score_actions
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab

REPETITIONS, QUANTILE = 9, 2.306  # Student's t with 8 degrees of freedom
PROMPT = 32


def _interval(ratios):
    """Geometric mean and 95 % interval of ratios."""
    logs = [math.log(ratio) for ratio in ratios]
    mean, half = statistics.fmean(logs), QUANTILE * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def _cpu_seconds(action):
    start = time.process_time()
    action()
    return time.process_time() - start


def _paired(ours, baseline):
    """Paired ratios of CPU seconds, ours over the baseline, in alternating order; both are warm."""
    ours(), baseline()
    ratios = []
    for repetition in range(REPETITIONS):
        seconds = {
            run: _cpu_seconds(run) for run in ((ours, baseline) if repetition % 2 else (baseline, ours))
        }
        ratios.append(seconds[ours] / seconds[baseline])
    return _interval(ratios)


def _traces(vocab: EditVocab, rows, width, events):
    """Traces of full width with so many events each, every one of them three edits deep."""
    generator = torch.Generator().manual_seed(0)
    traces = []
    for _ in range(rows):
        starts = set((torch.randperm(width // 8 - 1, generator=generator)[:events] * 8 + 8).tolist())
        trace = []
        while len(trace) < width:
            if len(trace) in starts:
                trace += [vocab.backtrack] * 3
            trace.append(int(torch.randint(270, 600, (), generator=generator)))
        traces.append(trace[:width])
    return torch.tensor(traces)


@pytest.fixture(scope="module")
def setting():
    """A 3M model on one thread, and its edit vocabulary."""
    torch.set_num_threads(1)
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    return new_model(tokenizer, Size.SMALL, seed=0, max_length=2048), edit_vocab(tokenizer)


@pytest.mark.parametrize(("rows", "width", "at_most"), [(16, 256, 1.2), (4, 1024, 1.4)])
def test_against_a_causal_step(setting, rows, width, at_most):
    """The tree costs at most a fifth more at 256 actions, and two fifths more at 1024."""
    model, vocab = setting
    prompts = torch.randint(270, 600, (rows, PROMPT))
    prompt_valid = torch.ones_like(prompts, dtype=torch.bool)
    ids = _traces(vocab, rows, width, events=10)
    valid = torch.ones_like(ids, dtype=torch.bool)

    def tree():
        model.zero_grad()
        score_actions(model, prompts, prompt_valid, resolve(ids, valid, vocab)).log_probs.sum().backward()

    def causal():
        model.zero_grad()
        hidden = model.base_model(torch.cat([prompts, ids], 1), use_cache=False).last_hidden_state
        log_probs = model.lm_head(hidden[:, PROMPT - 1 : -1]).float().log_softmax(-1)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        (log_probs.gather(-1, ids[..., None]).sum() + 0 * entropy.sum()).backward()

    mean, low, high = _paired(tree, causal)
    print(f"\nT={width}: tree / causal, CPU time: {mean:.3f} [{low:.3f}, {high:.3f}] (at most {at_most})")
    assert high <= at_most


def test_against_recomputing_every_segment(setting):
    """With ten events a trace the tree is at least five times as fast as a forward for every segment."""
    model, vocab = setting
    rows, width = 4, 256
    prompts = torch.randint(270, 600, (rows, PROMPT))
    prompt_valid = torch.ones_like(prompts, dtype=torch.bool)
    ids = _traces(vocab, rows, width, events=10)

    def tree():
        model.zero_grad()
        resolution = resolve(ids, torch.ones_like(ids, dtype=torch.bool), vocab)
        score_actions(model, prompts, prompt_valid, resolution).log_probs.sum().backward()

    def segments():
        """From the collapsed prefix before each edit on, causally, one forward for each run without edits."""
        model.zero_grad()
        for prompt, row in zip(prompts, ids, strict=True):
            state, pending = EditState(vocab), []
            for action in [*row.tolist(), None]:
                edit = action is None or action in vocab.edit_ids
                pending.append(action)
                if edit:
                    live = state.live_ids
                    text = [a for a in pending if a is not None and a not in vocab.edit_ids]
                    context = [*prompt.tolist(), *live[: len(live) - len(text)], *text]
                    hidden = model.base_model(torch.tensor([context]), use_cache=False).last_hidden_state
                    asked = [a for a in pending if a is not None]
                    log_probs = (
                        model.lm_head(hidden[0, -len(text) - 1 :][: len(asked)]).float().log_softmax(-1)
                    )
                    if asked:
                        log_probs.gather(-1, torch.tensor(asked)[:, None]).sum().backward()
                    pending = []
                if action is not None:
                    state.push(action)

    mean, low, high = _paired(segments, tree)
    print(f"\nsegments / tree, CPU time: {mean:.1f} [{low:.1f}, {high:.1f}] (at least 5)")
    assert low >= 5
