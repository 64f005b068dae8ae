"""What our logits processors cost a step of vLLM's sampler, beside its own and beside the former ones.

256 requests of 1000 live tokens, a vocabulary of 32,000, one CPU thread. At each step each request gains a
token of text or, one time in fourteen, takes its last one back. Every tenth step one is replaced by another.
Measured is a step (``update_state`` and ``apply``) of the real classes; nothing is generated, and Python's
collector of garbage, which has mostly the walk's to look at, is off. In turn with ours, on the same actions:

- walk: what this package did before: for each request, at each step, the whole rule, and the index anew.
- min_tokens: vLLM's ``MinTokensLogitsProcessor`` with a minimum that is out of reach, which bans one stop id.

Run: ``pytest benchmarks/bench_vllm_bans.py -s``. The bars: 0.2 ms without tabu, 0.5 ms with it.

The rules of tabu are compared with one another in a run of their own (``-k rules``), in which whole steps of
up to eight tokens are taken back, where they differ: ``last`` hangs its ban on the end of the step, ``first``
on its beginning; ``off`` follows the requests for a budget that is not reached.
"""

import copy
import gc
import random
import statistics
import time
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from vllm import SamplingParams
from vllm.v1.sample.logits_processor import BatchUpdate, MinTokensLogitsProcessor

from halluc_plugin.decoding import Tabu
from halluc_plugin.edits import Context, EditState, EditVocab
from halluc_plugin.edits.builders import Boundary
from halluc_plugin.vllm_engine.bans import RewindBans
from halluc_plugin.vllm_engine.budget import EditBudget
from halluc_plugin.vllm_engine.request import EditRequest

DELIMITER, PER_STEP = 10, 8
VOCAB = EditVocab(31_999)
BY_STEP = EditVocab(31_999, step=31_998, step_delimiters=frozenset({DELIMITER}))
REQUESTS, WARM_UP, STEPS, BLOCK, JOIN_EVERY = 256, 1150, 200, 40, 10
CPU = torch.device("cpu")


class Ours(RewindBans):
    """The rewinding processor without an engine around it."""

    def __init__(self):
        EditBudget.__init__(self, None, CPU, is_pin_memory=False)


class Soft(EditBudget):
    """The processor of soft context."""

    def __init__(self):
        super().__init__(None, CPU, is_pin_memory=False)


class Walk:
    """The former implementation: every request in Python at every step, its live tokens as a key."""

    def __init__(self):
        self.rows = {}
        self.minus_infinity = torch.tensor(-torch.inf)

    def update_state(self, update):
        """As vLLM calls it."""
        for row, params, _, output in update.added if update else ():
            request = EditRequest.from_extra_args(params.extra_args)
            self.rows[row] = [request, EditState(request.vocab), 0, defaultdict(set), output, 0]

    def apply(self, logits):
        """As vLLM calls it."""
        rows, columns = [], []
        for row, gate in self.rows.items():
            banned = self.banned(gate)
            rows.extend([row] * len(banned))
            columns.extend(banned)
        if rows:
            index = torch.tensor([rows, columns], device=CPU)
            logits.index_put_((index[0], index[1]), self.minus_infinity.to(logits.dtype))
        return logits

    def banned(self, gate):
        """Ids that one request must not sample."""
        request, state, _, rejected, output, seen = gate
        if request.context is Context.SOFT:
            for token in output[seen:]:
                self.push(gate, token)
            gate[5] = len(output)
        elif len(output) == state.depth + 1:
            self.push(gate, output[-1])
        elif len(output) < state.depth:
            landing = [edit for edit in VOCAB.edit_ids if state.depth_after(edit) == len(output)]
            self.push(gate, landing[0])
        spent = request.budget is not None and gate[2] >= request.budget
        mask = request.boundary is Boundary.MASK and state.depth == 0
        edits = VOCAB.edit_ids if spent or mask else frozenset()
        tabu = request.tabu is not Tabu.OFF
        return edits | rejected.get(tuple(state.live_ids), frozenset()) if tabu else edits

    def push(self, gate, token):
        """One action of one request."""
        request, state = gate[:2]
        # One token at a time is taken back, where both rules of tabu are the same.
        if request.tabu is not Tabu.OFF and token in VOCAB.edit_ids and state.live_ids:
            *prefix, last = state.live_ids
            gate[3][tuple(prefix)].add(last)
        gate[2] += bool(state.push(token))


class MinTokens(MinTokensLogitsProcessor):
    """vLLM's own, without an engine around it."""

    def __init__(self):
        super().__init__(SimpleNamespace(), CPU, is_pin_memory=False)


class Batch:
    """The requests as vLLM keeps them; every processor is told of the same."""

    def __init__(self, request):
        self.random, self.hard = random.Random(0), request.context is Context.HARD
        self.by_step = request.vocab == BY_STEP
        self.lists = [[] for _ in range(REQUESTS)]
        self.extra_args = request.to_extra_args()
        self.logits = torch.zeros(REQUESTS, 32_000)

    def joined(self, rows, processor):
        """The message of vLLM that requests have joined at these rows."""
        if isinstance(processor, MinTokens):
            params = SamplingParams(max_tokens=10**6, min_tokens=10**6, stop_token_ids=[2])
        else:
            params = SamplingParams(extra_args=self.extra_args, max_tokens=10**6)
        added = [(row, copy.copy(params), [1], self.lists[row]) for row in rows]
        return BatchUpdate(batch_size=REQUESTS, removed=(), added=added, moved=())

    def act(self):
        """One action of every request."""
        for output in self.lists:
            if not output or self.random.random() > 1 / 14:
                ends = self.by_step and len(output) % PER_STEP == PER_STEP - 1
                output.append(DELIMITER if ends else self.random.randrange(20, 30_000))
            elif self.by_step:
                del output[(len(output) - 1) // PER_STEP * PER_STEP :]
            elif self.hard:
                output.pop()
            else:
                output.append(VOCAB.backtrack)


class Course:
    """A processor and a batch of its own; all courses of a seed see the same actions."""

    def __init__(self, processor, request):
        self.processor, self.batch, self.step, self.milliseconds = processor, Batch(request), 0, []

    def run(self, steps):
        """So many steps."""
        for step in range(self.step, self.step + steps):
            rows = range(REQUESTS) if step == 0 else ()
            if step > WARM_UP and step % JOIN_EVERY == 0:
                rows = [self.batch.random.randrange(REQUESTS)]
            for row in rows:
                self.batch.lists[row] = []
            if step:
                self.batch.act()
            update = self.batch.joined(rows, self.processor) if rows else None
            start = time.process_time()
            self.processor.update_state(update)
            self.processor.apply(self.batch.logits)
            self.milliseconds.append(1000 * (time.process_time() - start))
        self.step += steps


def _milliseconds(request):
    """Of each measured step, by processor."""
    ours = Ours() if request.context is Context.HARD else Soft()
    processors = {"ours": ours, "walk": Walk(), "min_tokens": MinTokens()}
    return _in_turn({name: Course(processor, request) for name, processor in processors.items()})


def _in_turn(courses):
    """Milliseconds of each measured step, by course; in turn by blocks, so that a busy machine slows all."""
    for course in courses.values():
        course.run(WARM_UP)
    gc.collect()
    gc.disable()
    for _ in range(STEPS // BLOCK):
        for course in courses.values():
            course.run(BLOCK)
    gc.enable()
    return {name: course.milliseconds[WARM_UP:] for name, course in courses.items()}


@pytest.mark.parametrize(
    ("request_", "bar"),
    [
        pytest.param(EditRequest(VOCAB, 10_000, context=Context.HARD), 0.2, id="hard, budget not reached"),
        pytest.param(
            EditRequest(VOCAB, 75, Boundary.MASK, Context.HARD), 0.2, id="hard, budget being reached"
        ),
        pytest.param(EditRequest(VOCAB, 0, context=Context.HARD), 0.2, id="hard, edits banned"),
        pytest.param(EditRequest(VOCAB, context=Context.HARD, tabu=True), 0.5, id="hard, tabu"),
        pytest.param(EditRequest(VOCAB, context=Context.HARD, tabu=Tabu.FIRST), 0.5, id="hard, tabu first"),
        pytest.param(EditRequest(VOCAB, 75, Boundary.MASK), 0.2, id="soft, budget being reached"),
        pytest.param(EditRequest(VOCAB, 0), 0.2, id="soft, edits banned"),
    ],
)
def test_a_step(request_, bar, request, benchmark):
    """Median and mean of a step, ratios to both baselines; the mean stays under the bar."""
    torch.set_num_threads(1)
    spent = benchmark.pedantic(_milliseconds, args=(request_,), rounds=1)
    mean = {name: statistics.fmean(values) for name, values in spent.items()}
    benchmark.extra_info |= {f"{name}_ms": value for name, value in mean.items()}
    print(f"\n{request.node.callspec.id}: mean (median) ms of a step of 256 requests", end="")
    for name, values in spent.items():
        ratio = f", ours / {name} {mean['ours'] / mean[name]:.2f}" if name != "ours" else ""
        print(f"\n  {name:10} {mean[name]:.3f} ({statistics.median(values):.3f}){ratio}", end="")
    assert mean["ours"] < bar


def test_the_rules_of_tabu(benchmark):
    """On the same actions, steps taken back as a whole, the first token costs what the last one does."""
    torch.set_num_threads(1)
    requests = {
        rule: EditRequest(BY_STEP, 10_000 if rule is Tabu.OFF else None, context=Context.HARD, tabu=rule)
        for rule in Tabu
    }
    courses = {rule: Course(Ours(), request) for rule, request in requests.items()}
    spent = benchmark.pedantic(_in_turn, args=(courses,), rounds=1)
    live = statistics.fmean(map(len, courses[Tabu.OFF].batch.lists))
    print(
        f"\nmean (median) ms of a step of 256 requests of {live:.0f} live tokens, by the rule of tabu", end=""
    )
    off = statistics.fmean(spent[Tabu.OFF])
    for rule, values in spent.items():
        mean = statistics.fmean(values)
        print(f"\n  {rule:5} {mean:.3f} ({statistics.median(values):.3f}), {mean / off:.1f} x off", end="")
        benchmark.extra_info[f"{rule}_ms"] = mean
    assert statistics.median(spent[Tabu.FIRST]) < 2 * statistics.median(spent[Tabu.LAST])
