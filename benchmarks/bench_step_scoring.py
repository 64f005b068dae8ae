"""Rating every step of 16 samples of a problem against sampling them.

A value head on a trunk of the sampler's size, 3M, with random weights: answers are as long as they may be, 64
tokens, with a step about every twelfth. One thread, CPU time, all in one process, in turn.
``pytest benchmarks/bench_step_scoring.py -s`` prints the shares with their 95 % intervals, for the samples of
one problem, in which decoding's steps cost more than what is computed in them, and of eight.

The goal is a tenth. A head on the policy's own trunk, which reads what sampling computes, meets it: what it
takes is what sampling takes more with it, and looking values up. A trunk of its own cannot on a CPU: a pass
over answers computes every position that was sampled, and large batches are sampled there at not much more
than that.
"""

import math
import statistics
import time

import pytest
import torch
from transformers import AutoModelForTokenClassification

from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import decoder_shape
from halluc_plugin.sampling.states import Response, Space, wanted
from halluc_plugin.scorers.prefixes import PrefixScorer
from halluc_plugin.scorers.shared_trunk import SharedTrunk
from halluc_plugin.scorers.value_head import ValueHead
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import vocab_of

REPETITIONS, QUANTILE = 7, 2.447  # Student's t with 6 degrees of freedom
SAMPLES, PROMPT, ANSWER = 16, 32, 64


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A model, a value head on the same trunk, and where it is sampled."""
    torch.set_num_threads(1)
    tokenizer = number_tokenizer(edit_tokens=())
    model = new_model(tokenizer, Size.SMALL, seed=0).eval()
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    head = AutoModelForTokenClassification.from_pretrained(folder, num_labels=1).eval()
    delimiters = frozenset(range(300, len(tokenizer), 8))
    never = frozenset({len(tokenizer) + 1})  # no answer ends early, so that all are sampled alike
    space = Space(vocab_of(tokenizer), never, delimiters, ANSWER)
    return model, head, space


def _prompts(turn, problems):
    generator = torch.Generator().manual_seed(turn)
    return [tuple(row) for row in torch.randint(270, 300, (problems, PROMPT), generator=generator).tolist()]


def _seconds(action):
    start = time.process_time()
    result = action()
    return time.process_time() - start, result


@pytest.mark.parametrize("problems", [1, 8])
def test_scoring_against_sampling(setting, problems):
    """On the policy's trunk at most a tenth; on its own less than sampling once more."""
    model, head, space = setting
    shape, ends = decoder_shape(head.config), space.delimiters
    plain, read = HFSampler(model, space, seed=0), HFSampler(model, space, seed=0)
    shares = {"on its own trunk": [], "on the policy's trunk": []}
    for turn in range(REPETITIONS + 1):  # the first is warm-up
        prompts = [prompt for prompt in _prompts(turn, problems) for _ in range(SAMPLES)]
        requests = [wanted(prompt, Response(), space) for prompt in prompts]
        own, shared = PrefixScorer(ValueHead(head), shape), SharedTrunk(head, shape, ends)  # without memories
        read.read_by(shared)

        def sampled(sampler, asked=requests):
            return _seconds(lambda: sampler.sample(asked))

        def rated(scorer, samples, prompts=prompts):
            steps = [space.steps(sample.ids) for sample in samples]
            taken, scores = _seconds(lambda: scorer.rate(prompts, steps))
            return taken, [spent.scorer_tokens for spent in scores.spent]

        if turn % 2:
            (with_head, those), (sampling, samples) = sampled(read), sampled(plain)
        else:
            (sampling, samples), (with_head, those) = sampled(plain), sampled(read)
        scoring, computed = rated(own, samples)
        looking, more = rated(shared, those)
        assert sum(computed) >= problems * SAMPLES * ANSWER
        assert not any(more)
        shares["on its own trunk"].append(scoring / sampling)
        shares["on the policy's trunk"].append((with_head + looking - sampling) / sampling)
    print(f"\nSamples of {problems} problems: scoring takes, of the time of sampling,")
    for where, found in shares.items():
        kept = found[1:]
        mean, half = statistics.fmean(kept), QUANTILE * statistics.stdev(kept) / math.sqrt(len(kept))
        told = f"{100 * mean:.1f} % [{100 * (mean - half):.1f}, {100 * (mean + half):.1f}]"
        print(f"  {where:22}{told}, median {100 * statistics.median(kept):.1f}")
    assert statistics.median(shares["on its own trunk"][1:]) < 1
    assert statistics.median(shares["on the policy's trunk"][1:]) <= 0.1
