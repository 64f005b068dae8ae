"""Rating every step of 16 samples of a problem against sampling them.

A value head on a trunk of the sampler's size, 3M, with random weights: answers are as long as they may be, 64
tokens, with a step about every twelfth. One thread, CPU time, both in one process.
``pytest benchmarks/bench_step_scoring.py -s`` prints the share with its 95 % interval, for the samples of one
problem, which decoding's steps cost more than what is computed in them, and of eight.

The goal is a tenth. It is not met on a CPU: a pass over whole answers computes as many positions as sampling
them did, and large batches are sampled there at nearly that cost.
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
    space = Space(vocab_of(tokenizer), frozenset({tokenizer.eos_token_id}), delimiters, ANSWER)
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
    """Less than sampling once more, which would be more answers to choose from."""
    model, head, space = setting
    sampler = HFSampler(model, space, seed=0)
    shares = []
    for turn in range(REPETITIONS + 1):  # the first is warm-up
        prompts = [prompt for prompt in _prompts(turn, problems) for _ in range(SAMPLES)]
        requests = [wanted(prompt, Response(), space) for prompt in prompts]
        sampling, samples = _seconds(lambda asked=requests: sampler.sample(asked))
        steps = [space.steps(sample.ids) for sample in samples]
        scorer = PrefixScorer(ValueHead(head), decoder_shape(head.config))  # one that remembers nothing
        scoring, _ = _seconds(lambda by=scorer, of=(prompts, steps): by.rate(*of))
        shares.append(scoring / sampling)
    logs = [math.log(share) for share in shares[1:]]
    mean, half = statistics.fmean(logs), QUANTILE * statistics.stdev(logs) / math.sqrt(len(logs))
    low, share, high = (math.exp(mean + at) for at in (-half, 0.0, half))
    found = f"{100 * share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    print(f"\n{problems} problems: scoring takes {found} of the time of sampling")
    assert high < 1
