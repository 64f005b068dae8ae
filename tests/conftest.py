"""Settings shared by all tests, a file of references and a policy that several folders use."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings

from halluc_plugin.data.parquet import write_parquet

# A slow example on a busy machine is no failure.
settings.register_profile("halluc", deadline=None)
settings.load_profile("halluc")


def pytest_collection_modifyitems(items):
    """Start with the longest file, so that the other worker has the rest to do beside it."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture
def references(tmp_path):
    """A file of two chains with their answers."""
    rows = [
        {
            "data_source": "halluc/chain",
            "prompt": [{"role": "user", "content": prompt}],
            "reward_model": {"style": "rule", "ground_truth": {"modulus": 10, "form": "steps"} | truth},
            "extra_info": {"answer": answer},
        }
        for prompt, truth, answer in (
            ("3 +4 *7 mod 10\n", {"start": 3, "operations": ["+4", "*7"]}, "3+4=7\n7*7=9\n"),
            ("1 +1 mod 10\n", {"start": 1, "operations": ["+1"]}, "1+1=2\n"),
        )
    ]
    path = tmp_path / "rows.parquet"
    write_parquet(path, rows, {})
    return path


@dataclass
class Lines:
    """A sampler of chains: each line is right with probability ``p``, whatever stands before it.

    From a prefix of m lines without an error, an answer of S lines is right with probability p^(S - m), from
    one with an error never. ``answer(problem, wrong)`` gives the steps of an answer in ids; those of the
    numbers in ``wrong``, from 1, are wrong.
    """

    problems: list
    p: float
    answer: object
    new_line: int
    calls: list = field(default_factory=list)

    def __post_init__(self):
        self.reseed(0)

    def reseed(self, seed):
        """Begin anew."""
        self.rng = np.random.default_rng(seed)

    def sample(self, requests):
        """The missing lines of each."""
        self.calls.append([request.prefix for request in requests])
        return [self._one(request) for request in requests]

    def _one(self, request):
        from halluc_plugin.sampling.states import End, Sample

        asked = [p for p in self.problems if request.prefix[: len(p.prompt)] == p.prompt]
        problem = max(asked, key=lambda p: len(p.prompt))
        done = request.prefix[len(problem.prompt) :].count(self.new_line)
        count = len(problem.truth["operations"])
        wrong = {number for number in range(1, count + 1) if self.rng.random() >= self.p}
        ids = tuple(token for line in self.answer(problem, wrong)[done:] for token in line)
        return Sample(ids, (-0.5,) * len(ids), End.EOS)


@pytest.fixture(scope="session")
def chains():
    """Chain problems, a policy whose success is known in closed form, and where it is sampled."""
    from halluc_plugin.sampling.problems import PosedProblem
    from halluc_plugin.sampling.states import Space
    from halluc_plugin.scratch.tokenizer import number_tokenizer
    from halluc_plugin.tasks.chain.problems import ChainProblems, reference_steps
    from halluc_plugin.tasks.chain.verifier import ChainVerifier
    from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab

    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    eos, (new_line,) = tokenizer.eos_token_id, tokenizer.encode("\n")
    vocab = edit_vocab(tokenizer, step_delimiter="\n")
    space = Space(vocab, frozenset({eos}), frozenset({new_line}), max_tokens=200, edits_banned=True)

    def problem(steps, seed=0):
        drawn = ChainProblems().draw(steps, np.random.default_rng(seed))
        prompt = tuple(tokenizer.encode(drawn.prompt))
        return PosedProblem(prompt, drawn.truth, ChainVerifier(), "halluc/chain")

    def answer(problem, wrong=()):
        right = reference_steps(problem.truth)
        texts = ["0+0=1\n" if number in wrong else line for number, line in enumerate(right, 1)]
        steps = [tuple(tokenizer.encode(text)) for text in texts]
        return [*steps[:-1], (*steps[-1], eos)]

    def policy(problems, p):
        return Lines(problems, p, answer, new_line)

    return SimpleNamespace(
        problem=problem, answer=answer, policy=policy, space=space, tokenizer=tokenizer, eos=eos,
        new_line=new_line,
    )  # fmt: skip
