"""A scripted model and a small space to search."""

import math

import pytest
import torch

from halluc_plugin.edits import EditVocab
from halluc_plugin.scorers.steps import Spent, StepScores
from halluc_plugin.search import Sample, Space, run

EOS, STEP, BACK = 0, 1, 2
SPACE = Space(EditVocab(backtrack=BACK), frozenset({EOS}), frozenset({STEP}), max_tokens=12)


class Script:
    """Answers requests from a table: prefix to the samples drawn from there, in order."""

    def __init__(self, table):
        self._left = {prefix: list(samples) for prefix, samples in table.items()}
        self.calls = []

    def sample(self, requests):
        """One entry of the table for each request; a sample is (ids, log-prob of each)."""
        self.calls.append([request.prefix for request in requests])
        samples = []
        for request in requests:
            ids, logprob = self._left[request.prefix].pop(0)
            end = SPACE.end(ids[-1]) if ids[-1] in request.stop_ids else "length"
            samples.append(Sample(tuple(ids), (logprob,) * len(ids), end))
        return samples


@pytest.fixture
def space():
    """EOS 0, end of a step 1, backtrack 2, text from 3."""
    return SPACE


@pytest.fixture
def script():
    """Builds the scripted model."""
    return Script


class Values:
    """Rates steps from a table, response prefix to value; () is the bare prompt, what is left out 0.5."""

    def __init__(self, table):
        self._table = table
        self.calls = []

    def rate(self, prompts, steps):
        """Values of all prefixes; a response costs its length in scorer tokens, and ten FLOPs a token."""
        self.calls.append(list(steps))
        rows, spent = [], []
        for prompt, response in zip(prompts, steps, strict=True):
            ids, row = (), [self._table.get((), 0.5)]
            for step in response:
                ids += step
                row.append(self._table.get(ids, 0.5))
            rows.append(torch.tensor(row, dtype=torch.float64))
            length = len(prompt) + len(ids)
            spent.append(Spent(scorer_tokens=length, flops=10 * length))
        padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=math.nan)
        return StepScores(padded, spent)


@pytest.fixture
def values():
    """Builds the rater."""
    return Values


@pytest.fixture
def guided():
    """Runs one guided search on prompt (9,), and gives what it found."""

    def find(search, sampler, rater, **others):
        (result,) = run([search], [(9,)], sampler, rater=rater, **others)
        return result

    return find
