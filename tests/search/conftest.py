"""A scripted model and a small space to search."""

import pytest

from halluc_plugin.edits import EditVocab
from halluc_plugin.search import Sample, Space

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
