"""Values of states by the group's own answers, against the dictionary of states that it was before.

The bars: a step of 2048 answers of 2048 actions, 8 to a prompt, in under 0.6 s, and at least 10 times the
baseline on 256 of them, with the same values to the last bit. Run: ``pytest benchmarks/bench_credit.py -s``.
"""

import statistics
import time
from itertools import pairwise

import numpy as np
import pytest

from halluc_plugin.credit import EventValue, prefix_tree_values
from halluc_plugin.edits import EditState, EditVocab

VOCAB = EditVocab(7, step=8, step_delimiters=frozenset({0}), restart=9)
WIDTH, GROUP = 2048, 8


def _answers(rows, tokens=32_000, edits=0.1):
    """Answers of a group part after a while; one action in ten edits, a few of them steps and restarts."""
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.integers(10, tokens, (rows // GROUP, WIDTH)), GROUP, 0)
    parts = np.arange(WIDTH) >= rng.integers(0, WIDTH, rows)[:, None]
    ids = np.where(parts, rng.integers(10, tokens, (rows, WIDTH)), shared)
    edit = rng.choice([7, 8, 9], (rows, WIDTH), p=[0.97, 0.025, 0.005])
    traces = np.where(rng.random((rows, WIDTH)) < edits, edit, ids).tolist()
    return traces, [row // GROUP for row in range(rows)], rng.random(rows).tolist()


def _by_dictionary(traces, groups, rewards, vocab):
    """The baseline: one action at a time in Python, a dictionary entry for each state."""
    nodes = {}

    def child(parent, token):
        return nodes.setdefault((parent, token), len(nodes))

    def walk(group, trace):
        state, live = EditState(vocab), [child((group,), -1)]
        yield live[0], False
        for at, token in enumerate(trace):
            state.push(token)
            if token not in vocab.edit_ids:
                live.append(child(live[-1], token))
                yield live[-1], False
                continue
            del live[state.depth + 1 :]
            if at + 1 == len(trace) or trace[at + 1] not in vocab.edit_ids:
                yield live[-1], True

    paths = [list(walk(group, trace)) for trace, group in zip(traces, groups, strict=True)]
    total, count = [0.0] * len(nodes), [0] * len(nodes)
    for path, reward in zip(paths, rewards, strict=True):
        for node in {node for node, _ in path}:
            total[node] += reward
            count[node] += 1
    value = [paid / times if times else 0.0 for paid, times in zip(total, count, strict=True)]
    return [
        [
            EventValue(value[before], value[after])
            for (before, _), (after, edited) in pairwise(path)
            if edited and after != before
        ]
        for path in paths
    ]


def _seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def test_against_a_dictionary():
    """The same moves of 256 answers, at least 10 times as fast."""
    answers = _answers(256)
    assert prefix_tree_values(*answers, VOCAB) == _by_dictionary(*answers, VOCAB)
    pairs = [
        (
            _seconds(lambda: _by_dictionary(*answers, VOCAB)),
            _seconds(lambda: prefix_tree_values(*answers, VOCAB)),
        )
        for _ in range(3)
    ]
    ratio = statistics.median(old / new for old, new in pairs)
    old, new = map(min, zip(*pairs, strict=True))
    print(f"\n256 x {WIDTH}: {old:.2f} s by dictionary, {new:.3f} s now: {ratio:.0f} times")
    assert ratio >= 10


@pytest.mark.parametrize("edits", [0.02, 0.1])
def test_a_large_step(edits, benchmark):
    """2048 answers of 2048 actions in under 0.6 s."""
    answers = _answers(2048, edits=edits)
    prefix_tree_values(*_answers(GROUP), VOCAB)  # compiled and imported
    benchmark.pedantic(lambda: prefix_tree_values(*answers, VOCAB), rounds=5)
    print(f"\n2048 x {WIDTH}, {edits:.0%} edits: {benchmark.stats.stats.min:.2f} s")
    assert benchmark.stats.stats.min < 0.6
