"""Pairs of a tiny task, and runs of a tiny model on them, for the tests of preferences."""

from dataclasses import replace

import pytest

from halluc_plugin.data.pair_files import PairRow, write_pairs
from halluc_plugin.losses.preference import PreferenceSettings
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.training import TrainSettings
from halluc_plugin.training.prefer_settings import PreferSettings
from halluc_plugin.training.preferring import prefer

B = BACKTRACK_TOKEN
TRAIN = TrainSettings(steps=24, batch_size=8, learning_rate=1e-3, warmup_steps=2, log_steps=4, bf16=False)


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and the backtrack token."""
    return number_tokenizer(edit_tokens=(B,))


def pair(tokenizer, prompt, chosen, rejected):
    """A pair from texts."""
    return PairRow(*map(tokenizer.encode, (prompt, chosen, rejected)))


@pytest.fixture
def pairs(tokenizer):
    """Contrastive traces of sixteen problems: the wrong number is taken back, or the right operand is."""
    return [
        pair(tokenizer, f"{n} 5 -> {n + 5}\n", f"{n}+5={n + 6}{B}{n + 5}\n", f"{n}+5={B}{n + 6}{n + 5}\n")
        for n in range(16)
    ]


@pytest.fixture
def pair_file(tokenizer, pairs, tmp_path):
    """These pairs as a file."""
    write_pairs(tmp_path / "pairs.parquet", pairs, tokenizer)
    return tmp_path / "pairs.parquet"


def settings_of(loss, **train):
    """A run of this loss."""
    return PreferSettings(PreferenceSettings(loss), replace(TRAIN, **train), held_out=0.25)


def trained(tokenizer, file, settings, out, *, reference="start"):
    """The result of a run from the tiny model, whose reference is that model unless another is given."""
    model = new_model(tokenizer, Size.TINY, seed=0)
    if reference == "start":
        reference = model if settings.loss.needs_reference else None
    return prefer(model, tokenizer, [file], settings, out, reference=reference, shown=False)
