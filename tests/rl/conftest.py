"""A small random model that edits, problems judged by the length of answers, and runs on them."""

import json
import math
from pathlib import Path

import pytest
import torch

from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.rl.grpo import METRICS, train_policy
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.settings import load
from halluc_plugin.tasks.countdown.files import problem_row
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Split, generate
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.verifiers import Outcome

RUN = GrpoSettings(
    steps=3, prompts=2, group=3, max_actions=8, micro_batch=4, save_steps=2, learning_rate=1e-3
)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers, signs and the backtrack token."""
    return number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))


class EvenLength:
    """Judges by length, so that groups of random answers have a contrast."""

    data_sources = ("halluc/countdown",)

    def verify(self, problem, answer):
        """Texts of an even number of characters are right."""
        return Outcome.WRONG if len(answer) % 2 else Outcome.CORRECT

    def prefix_ok(self, problem, prefix):
        """So are prefixes."""
        return len(prefix) % 2 == 0


class OnlyAnswers:
    """Judges no prefixes."""

    data_sources = ("halluc/countdown",)

    def verify(self, problem, answer):
        """Right."""
        return Outcome.CORRECT


@pytest.fixture(scope="module")
def problems(tokenizer):
    """Four Countdown problems, judged by the length of their answers."""
    drawn = generate(CountdownSettings(seed=0), Split.TRAIN, 4)
    rows = [problem_row(problem, Split.TRAIN, number) for number, problem in enumerate(drawn)]
    verifier = EvenLength()
    return [
        PosedProblem(tuple(prompt_ids(tokenizer, r["prompt"])), r["reward_model"]["ground_truth"], verifier)
        for r in rows
    ]


def likes_edits(tokenizer):
    """A small random model to which a backtrack is as likely as all else together."""
    return likes(tokenizer, vocab_of(tokenizer).backtrack)


def likes(tokenizer, token_id):
    """A small random model to which a token is as likely as all else together."""
    model = new_model(tokenizer, Size.TINY, seed=0).eval()
    forward = model.forward

    def biased(*args, **kwargs):
        output = forward(*args, **kwargs)
        shift = torch.zeros(output.logits.shape[-1])
        shift[token_id] = math.log(len(tokenizer))
        output.logits = output.logits + shift
        return output

    model.forward = biased
    return model


def run_it(model, tokenizer, problems, out, *, run=RUN, **block):
    """A run without a progress bar."""
    settings = load(block)
    return train_policy(
        model, tokenizer, problems, settings, run, out=out, progress=lambda steps, what, total: steps
    )


def weights(folder: Path):
    """All weights of a saved model, as one vector."""
    return torch.cat([p.flatten() for p in load_model(str(folder)).parameters()]).detach()


def logged(folder: Path):
    """The metrics of a run."""
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
