"""Pairs of ReVISE from a model's attempts: which attempts, in which order, and what is refused."""

from dataclasses import replace

import pytest
from transformers import GenerationConfig
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.pair_files import read_pairs
from halluc_plugin.own_errors.refine_rows import RefinementPairs
from halluc_plugin.sampling.states import End, Sample, Space
from halluc_plugin.scratch.model import Shape, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tokens import vocab_of
from halluc_plugin.tokens.loading import save_tokenizer
from halluc_plugin.traces.refinements import Stage

TOKENIZER = editing_tokenizer("restart")
VOCAB = vocab_of(TOKENIZER)
EOS = TOKENIZER.eos_token_id
SPACE = Space(VOCAB, frozenset({EOS}), frozenset(TOKENIZER.encode("\n")), 200)


@pytest.fixture
def problem(chains):
    """A chain of two lines, in the ids of a tokenizer with a restart."""
    found = chains.problem(2)
    return replace(found, prompt=tuple(TOKENIZER.encode(chains.tokenizer.decode(list(found.prompt)))))


def attempt(chains, problem, wrong, mean, end=EOS):
    """An attempt with these lines wrong, its mean log-prob, and the id that ends it."""
    text = chains.tokenizer.decode([t for step in chains.answer(problem, wrong) for t in step][:-1])
    ids = (*TOKENIZER.encode(text), end)
    kind = End.EOS if end == EOS else End.EDIT
    return Sample(ids, (mean,) * len(ids), kind)


class Script:
    """Gives the samples in order."""

    def __init__(self, samples):
        self.left = list(samples)

    def sample(self, requests):
        """The next ones."""
        return [self.left.pop(0) for _ in requests]


def made(problem, samples, stage, most=9):
    """Rows and counts of one problem."""
    make = RefinementPairs(Script(samples), SPACE, TOKENIZER, stage, len(samples), most, 0)
    return make(0, [problem])


def test_attempts_are_paired_by_what_they_are_worth(chains, problem):
    """Right ones stand, wrong ones are restarted, however they ended themselves; the likeliest first."""
    samples = [
        attempt(chains, problem, {1}, -0.9),
        attempt(chains, problem, set(), -0.3, VOCAB.restart),
        attempt(chains, problem, {2}, -0.2, VOCAB.restart),
        attempt(chains, problem, {2}, -0.2),
        Sample((5, VOCAB.backtrack), (-0.1,) * 2, End.EDIT),
        Sample((5, 6), (-0.1,) * 2, End.LENGTH),
    ]
    texts = [list(sample.ids[:-1]) for sample in (samples[2], samples[1], samples[0])]
    rows, tally = made(problem, samples, Stage.VERIFY)
    assert [row["chosen_ids"] for row in rows] == [
        [*texts[0], VOCAB.restart], [*texts[1], EOS], [*texts[2], VOCAB.restart],
    ]  # fmt: skip
    assert [row["rejected_ids"][-1] for row in rows] == [EOS, VOCAB.restart, EOS]
    assert tally == {"attempts": 3, "right": 1, "pairs": 3, "tokens": sum(len(s.ids) for s in samples)}
    corrected, _ = made(problem, samples, Stage.CORRECT)
    assert corrected[0]["chosen_ids"] == [*texts[0], VOCAB.restart, *texts[1], EOS]
    assert corrected[1] == rows[1]
    assert made(problem, samples, Stage.VERIFY, most=2)[0] == rows[:2]


def test_without_a_right_attempt_nothing_is_corrected(chains, problem):
    """There is nothing to correct it by; it is verified all the same."""
    samples = [attempt(chains, problem, {1}, -0.9)]
    assert made(problem, samples, Stage.CORRECT)[0] == []
    assert len(made(problem, samples, Stage.VERIFY)[0]) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Chains, and a model that knows nothing, with a restart token."""
    folder = tmp_path_factory.mktemp("refine")
    new_model(TOKENIZER, Shape(hidden=16, intermediate=32, layers=1, heads=2), seed=0).save_pretrained(
        folder / "model"
    )
    save_tokenizer(TOKENIZER, folder / "model")
    words = ["chain", "--out", folder, "--train", 12, "--test", 2, "--tokenizer", folder / "model"]
    done = CliRunner().invoke(app, ["data", *map(str, words)])
    assert done.exit_code == 0, done.output
    return folder


def command(folder, out, *words):
    """The result of `halluc data pairs`."""
    given = ("--model", folder / "model", "--data", folder / "chain" / "train.parquet", "--out", out)
    return CliRunner().invoke(app, ["data", "pairs", *map(str, (*given, *words))])


def test_the_command_writes_pairs(folder, tmp_path, monkeypatch, chains):
    """Attempts of a sampler that errs in some of its lines are verified, in the model's own ids."""

    class Retold:
        """The chains' sampler, in the ids of the other tokenizer."""

        def __init__(self):
            from halluc_plugin.sampling.problems import read_problems

            self.policy = chains.policy(
                read_problems(folder / "chain" / "train.parquet", chains.tokenizer), 0.7
            )

        def sample(self, requests):
            decode, encode = chains.tokenizer.decode, TOKENIZER.encode
            asked = [
                replace(r, prefix=tuple(chains.tokenizer.encode(TOKENIZER.decode(list(r.prefix)))))
                for r in requests
            ]
            found = self.policy.sample(asked)
            ids = [(*encode(decode(list(s.ids), skip_special_tokens=True)), EOS) for s in found]
            return [Sample(each, (-0.5,) * len(each), End.EOS) for each in ids]

    monkeypatch.setattr("halluc_plugin.cli.data_pairs.open_engine", lambda *_: Retold())
    for kind in Stage:
        out = tmp_path / f"{kind}.parquet"
        done = command(folder, out, "--kind", kind, "--samples", 6)
        assert done.exit_code == 0, done.output
        assert len(read_pairs(out, TOKENIZER)) >= 6


def test_a_model_that_cannot_sample_the_token_is_refused(folder, tmp_path):
    """One line says where its generation config keeps it from doing so, before anything is sampled."""
    config = folder / "model" / "generation_config.json"
    kept = config.read_text()
    GenerationConfig(eos_token_id=EOS, suppress_tokens=[VOCAB.restart]).save_pretrained(folder / "model")
    try:
        done = command(folder, tmp_path / "pairs.parquet", "--kind", "verify")
        assert "in suppress_tokens: it is never sampled" in str(done.exception)
        words = ("--model", folder / "model", "--data", folder / "chain" / "test.parquet")
        searched = CliRunner().invoke(app, ["search", "--method", "refine", *map(str, words)])
        assert "in suppress_tokens: it is never sampled" in str(searched.exception)
    finally:
        config.write_text(kept)


def test_options_of_another_kind_are_refused(folder, tmp_path):
    """Neither negatives nor a scorer have a meaning."""
    for words in (("--negatives", "closest"), ("--gap", 0.2)):
        done = command(folder, tmp_path / "pairs.parquet", "--kind", "correct", *words)
        assert f"{words[0]} means nothing with --kind correct" in str(done.exception)
