"""Word problems, and a policy that proposes each allowed step equally often, as a sampler."""

import numpy as np
import pytest

from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.sampling.problems import read_problems
from halluc_plugin.sampling.states import End, Sample
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens.saving import save_model


class Uniform:
    """Answers requests by steps that the task allows, each as likely as the others; with slips at a rate."""

    def __init__(self, problems, tokenizer, *, slips=0.0, seed=0):
        self._problems = {problem.prompt: problem for problem in problems}
        self._tokenizer, self._slips, self.only_right = tokenizer, slips, False
        self._rng = np.random.default_rng(seed)

    def sample(self, requests):
        """A sample for each."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        prompt = max((p for p in self._problems if request.prefix[: len(p)] == p), key=len)
        problem = self._problems[prompt]
        search, state = problem.verifier.search, problem.verifier.search.begin(problem.truth)
        for line in self._tokenizer.decode(request.prefix[len(prompt) :]).splitlines():
            state = next(s.after for s in search.steps(state) if s.text == f"{line}\n")
        text = ""
        while steps := search.steps(state):
            if self._rng.random() < self._slips:
                text += "?\n"
                break
            if self.only_right:
                steps = [step for step in steps if not search.dead(step.after)]
            step = steps[int(self._rng.integers(len(steps)))]
            text, state = text + step.text, step.after
        ids = (*self._tokenizer.encode(text), self._tokenizer.eos_token_id)
        return Sample(ids, (-1.0,) * len(ids), End.EOS)


@pytest.fixture(scope="session")
def tokenizer():
    """At number level, with step backtracks."""
    return editing_tokenizer("step")


@pytest.fixture(scope="session")
def model(tokenizer, tmp_path_factory):
    """A folder of a model with random weights."""
    folder = tmp_path_factory.mktemp("model")
    save_model(new_model(tokenizer, Size.TINY, seed=0), tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Words of three letters from four starts, one of them right; the file of those held out."""
    asked = SearchData(
        WordProblems(states=12, letters=3, length=3, starts=4), SearchRequest(train=4, test=40)
    )
    files = asked.write(tmp_path_factory.mktemp("data"), None, lambda items, what, total: items)
    return files.problems("test")


@pytest.fixture
def problems(data, tokenizer):
    """Its problems."""
    return read_problems(data, tokenizer)


@pytest.fixture
def uniform():
    """The policy."""
    return Uniform
