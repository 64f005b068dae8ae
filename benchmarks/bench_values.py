"""Values of steps by sampling: on vLLM against its batched baseline, and by binary search against every step.

Run: ``pytest benchmarks/bench_values.py -s``; both ratios are of one run each, in turn.

- First errors: wrong answers of 16 steps to chain problems, by a policy that errs in one line of twenty,
  whose continuations can be judged. The baseline continues each of the 15 inner prefixes 8 times; the first
  that is never right is the error.
- Labelling: such answers, right ones too, one or four to each problem; all their prefixes are continued 8
  times by vLLM. The baseline sends each prefix of each answer as one request with n = 8, all in one call, to
  an engine without a prefix cache. Ours is `MonteCarloScorer` on `VLLMSampler`. The model is random, so that
  continuations are as long as answers may be (96 tokens are right, 100 allowed), and what they say is not
  looked at.
"""

import os
import statistics
import time

import numpy as np
import pytest

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
}

from halluc_plugin.metrics.intervals import Proportion
from halluc_plugin.sampling.driver import run
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import End, Sample, Space
from halluc_plugin.scorers.monte_carlo import MonteCarloScorer
from halluc_plugin.scorers.rollouts import Rollouts, judge_of, step_prefixes
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.chain.problems import ChainProblems, reference_steps
from halluc_plugin.tasks.chain.verifier import ChainVerifier
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.loading import save_tokenizer

STEPS, N, ANSWERS, ERRORS = 16, 8, 4, 0.05
REPETITIONS, ROWS, ROOM = 4, 8, 100
TOKENIZER = number_tokenizer()
EOS, (NEW_LINE,) = TOKENIZER.eos_token_id, TOKENIZER.encode("\n")


class Lines:
    """Writes chains; each line is wrong with a probability, whatever stands before it."""

    def __init__(self, problems, seed):
        self._rng = np.random.default_rng(seed)
        self._right = {
            problem.prompt: [tuple(TOKENIZER.encode(line)) for line in reference_steps(problem.truth)]
            for problem in problems
        }
        self.sampled = 0

    def steps(self, prompt, done=0):
        """Lines behind so many."""
        right = self._right[prompt][done:]
        wrong = tuple(TOKENIZER.encode("0+0=1\n"))
        lines = [wrong if self._rng.random() < ERRORS else line for line in right]
        return [*lines[:-1], (*lines[-1], EOS)]

    def sample(self, requests):
        """As a sampler."""
        self.sampled += len(requests)
        return [self._one(request.prefix) for request in requests]

    def _one(self, prefix):
        end = prefix.index(NEW_LINE) + 1  # of the prompt
        ids = sum(self.steps(prefix[:end], prefix[end:].count(NEW_LINE)), ())
        return Sample(ids, (0.0,) * len(ids), End.EOS)


def _problems(count):
    rng = np.random.default_rng(0)
    drawn = [ChainProblems().draw(STEPS, rng) for _ in range(count)]
    return [PosedProblem(tuple(TOKENIZER.encode(p.prompt)), p.truth, ChainVerifier()) for p in drawn]


def _space(max_tokens):
    return Space(vocab_of(TOKENIZER), frozenset({EOS}), frozenset({NEW_LINE}), max_tokens)


def test_binary_search_against_every_step():
    """At equal accuracy of the first error at most a third of the continuations."""
    problems = _problems(200)
    policy, space = Lines(problems, 1), _space(400)
    taken, right, count = {"each": 0, "binary": 0}, {"each": 0, "binary": 0}, 0
    for problem in problems:
        steps = policy.steps(problem.prompt)
        reference = reference_steps(problem.truth)
        texts = [TOKENIZER.decode(step, skip_special_tokens=True) for step in steps]
        truth = next((i for i, (a, b) in enumerate(zip(texts, reference, strict=True), 1) if a != b), None)
        if truth is None:
            continue
        count += 1
        prefixes = step_prefixes(steps)
        for way in taken:
            rollouts = Rollouts(problem.prompt, space, judge_of(problem, TOKENIZER))
            found = []

            def search(way=way, rollouts=rollouts, found=found, prefixes=prefixes):
                if way == "each":
                    yield from rollouts.completed(prefixes[1:-1], N)
                    found.append(next(i for i, p in enumerate(prefixes[1:], 1) if not rollouts.value(p)))
                else:
                    found.append((yield from rollouts.first_error(prefixes, N)))
                return []

            policy.sampled = 0
            run([search()], [problem.prompt], policy)
            taken[way] += policy.sampled
            right[way] += found == [truth]
    print(f"\n{count} wrong answers of {STEPS} steps, {N} continuations of a prefix")
    for way, tokens in taken.items():
        share = Proportion.of(right[way], count)
        print(
            f"  {way:7}{tokens / count:6.1f} continuations an answer, first error found "
            f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"
        )
    print(f"  each / binary {taken['each'] / taken['binary']:.2f}")
    assert taken["each"] >= 3 * taken["binary"]
    assert right["binary"] >= right["each"]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """An engine without a prefix cache, and one as `halluc data values` starts it."""
    from vllm import LLM

    from halluc_plugin.jobs.samplers import Backend, open_sampler

    path = tmp_path_factory.mktemp("model")
    new_model(TOKENIZER, Size.TINY, seed=0).save_pretrained(path)
    save_tokenizer(TOKENIZER, path)
    ours = open_sampler(str(path), Backend.VLLM, _space(ROOM), 0)
    return LLM(str(path), enable_prefix_caching=False, seed=0), ours


@pytest.mark.parametrize("answers", [1, ANSWERS])
def test_labelling_on_vllm(engines, answers):
    """All prefixes of all answers: with four to a problem the baseline takes at least 1.5 times as long."""
    from vllm import SamplingParams

    stock, sampler = engines
    each = ROWS // answers
    problems = _problems(REPETITIONS * each)
    policy, space = Lines(problems, 2), _space(ROOM)
    params = {"temperature": 1.0, "stop_token_ids": [EOS], "ignore_eos": True, "detokenize": False, "n": N}

    def baseline(rows):
        asked = [
            (prompt + prefix, space.max_tokens - len(prefix))
            for prompt, steps in rows
            for prefix in step_prefixes(steps)[:-1]
        ]
        stock.generate(
            [{"prompt_token_ids": list(ids)} for ids, _ in asked],
            [SamplingParams(max_tokens=room, **params) for _, room in asked],
            use_tqdm=False,
        )
        return len(asked)

    def ours(rows, some):
        scorer = MonteCarloScorer(sampler, space, some, TOKENIZER, continuations=N)
        values = scorer.score([prompt for prompt, _ in rows], [steps for _, steps in rows])
        return int(values.isfinite().sum()) - len(rows)

    ratios, seconds = [], {"baseline": 0.0, "ours": 0.0}
    for repetition in range(REPETITIONS):
        some = problems[repetition * each : (repetition + 1) * each]
        rows = [(p.prompt, policy.steps(p.prompt)) for p in some for _ in range(answers)]
        ways = {"baseline": lambda rows=rows: baseline(rows), "ours": lambda r=rows, s=some: ours(r, s)}
        took = {}
        for way in list(ways)[:: 1 if repetition % 2 else -1]:
            start = time.process_time()
            assert ways[way]() == STEPS * len(rows)
            took[way] = time.process_time() - start
        if repetition:  # the first is for warming up
            ratios.append(took["baseline"] / took["ours"])
            seconds = {way: seconds[way] + took[way] for way in took}
    low, high = min(ratios), max(ratios)
    print(f"\n{answers} answers a problem: CPU seconds {seconds}")
    print(f"  baseline / ours {statistics.geometric_mean(ratios):.2f} [{low:.2f} to {high:.2f}]")
    assert answers == 1 or low >= 1.5
