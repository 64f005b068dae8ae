"""A SequenceMatch step against a likelihood step of as many tokens; drawing the model's responses is apart.

Forward and backward of a 3M model; CPU time, interleaved, in one process.
``pytest benchmarks/bench_sequence_match.py -s`` prints paired ratios with 95 % intervals, and what a draw
costs.
"""

import math
import statistics
import time

import pytest
import torch

from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.training import TrainSettings
from halluc_plugin.training.dataset import TraceCollator
from halluc_plugin.training.match_settings import MatchSettings
from halluc_plugin.training.matching import MatchTrainer, RowCollator
from halluc_plugin.training.replay import ReplayBuffer

REPETITIONS, QUANTILE = 9, 2.306  # Student's t with 8 degrees of freedom
ROWS, PROMPT, RESPONSE = 64, 16, 64
BAR = 1.6


def _rows(vocab, eos, count, seed):
    """Random text with an error of two tokens in each eight."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in range(count):
        ids = torch.randint(270, 600, (PROMPT + RESPONSE,), generator=generator).tolist()
        response = ids[PROMPT:]
        for at in range(2, RESPONSE - 8, 8):
            response[at : at + 2] = [vocab.backtrack] * 2
        rows.append(TraceRow(ids[:PROMPT], [*response[:-1], eos]))
    return rows


@pytest.fixture(scope="module")
def steps():
    """The two steps, and a draw."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    vocab, eos = vocab_of(tokenizer), int(tokenizer.eos_token_id)
    model = new_model(tokenizer, Size.SMALL, seed=0)
    trainer = MatchTrainer(model=model, data_collator=RowCollator(0), args=None)
    replay = ReplayBuffer(ROWS)
    replay.add(_rows(vocab, eos, ROWS, seed=1), 0)
    matching = MatchSettings(imitate_steps=0, anneal_steps=0)
    trainer.match(matching, replay, vocab, frozenset({eos}), TrainSettings())
    half = RowCollator(0)(_rows(vocab, eos, ROWS // 2, seed=2))
    whole = TraceCollator(vocab, 0, ErasedTokens.MASK)(_rows(vocab, eos, ROWS, seed=2))
    prompts = [row.prompt_ids for row in _rows(vocab, eos, ROWS // 2, seed=2)]
    decoding = Decoding(vocab, RESPONSE, Context.HARD, eos_ids=frozenset({eos}))

    def match():
        trainer.compute_loss(model, dict(half)).backward()

    def imitate():
        model(**whole).loss.backward()

    def draw():
        decode(model, prompts, decoding, generator=torch.Generator().manual_seed(0))

    return match, imitate, draw


def _cpu_seconds(action):
    start = time.process_time()
    action()
    return time.process_time() - start


def test_a_step_of_as_many_tokens(steps):
    """32 responses of the data and 32 of the model against 64 of the data, in soft context."""
    match, imitate, draw = steps
    match(), imitate()
    logs = []
    for repetition in range(REPETITIONS):
        order = (match, imitate) if repetition % 2 else (imitate, match)
        seconds = {run: _cpu_seconds(run) for run in order}
        logs.append(math.log(seconds[match] / seconds[imitate]))
    mean, half = statistics.fmean(logs), QUANTILE * statistics.stdev(logs) / math.sqrt(len(logs))
    low, high = math.exp(mean - half), math.exp(mean + half)
    drawn = _cpu_seconds(draw) / _cpu_seconds(imitate)
    print(f"\nSequenceMatch / likelihood: {math.exp(mean):.2f} [{low:.2f}, {high:.2f}]")
    print(f"drawing {ROWS // 2} responses / a likelihood step: {drawn:.2f}")
    assert high < BAR
