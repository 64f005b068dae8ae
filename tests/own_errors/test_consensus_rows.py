"""Pairs of what copies come to in a debate: the majority's answers against the others."""

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.own_errors.consensus_rows import ConsensusPairs, consensus
from halluc_plugin.sampling.states import End, Sample
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import save_tokenizer


def test_consensus_by_hand():
    """More than any other, and at least two; who abstains has no vote."""
    assert consensus(["a", "b", "a"]) == "a"
    assert consensus(["a", "a", "b", "b"]) is None
    assert consensus(["a", None, "b"]) is None
    assert consensus(["a", None, None, "a"]) == "a"
    assert consensus([None, None]) is None


class Script:
    """Gives the samples in order, and keeps what was asked."""

    def __init__(self, samples):
        self.left, self.asked = list(samples), []

    def sample(self, requests):
        """The next ones."""
        self.asked += requests
        return [self.left.pop(0) for _ in requests]


def made(chains, wrongs, copies=3, most=9):
    """Rows and counts of one problem of two lines, from answers with these lines wrong; None does not end."""
    problem = chains.problem(2)
    samples = []
    for wrong in wrongs:
        ids = tuple(t for step in chains.answer(problem, wrong or set()) for t in step)
        end = End.LENGTH if wrong is None else End.EOS
        samples.append(Sample(ids, (-1.0,) * len(ids), end))
    script = Script(samples)
    rounds = len(wrongs) // copies - 1
    make = ConsensusPairs(script, chains.space, chains.tokenizer, copies, rounds, (7,), most, 0)
    rows, tally = make(0, [problem])
    return problem, samples, rows, tally


def test_the_majority_is_that_of_the_last_round(chains):
    """Answers of the round before are paired, too, behind the bare prompt; nobody asks who is right."""
    first, last = [{2}, set(), set()], [{2}, {2}, None]
    problem, samples, rows, tally = made(chains, first + last)
    assert [(row["prompt_ids"], row["chosen_ids"], row["rejected_ids"]) for row in rows] == [
        (list(problem.prompt), list(samples[0].ids), list(samples[1].ids))
    ]
    sampled = sum(len(sample.ids) for sample in samples)
    assert tally == {"agreed": 1, "pairs": 1, "tokens": sampled}


@pytest.mark.parametrize("last", [[{2}, set()], [None, None]])
def test_without_agreement_there_is_no_pair(chains, last):
    """Two results of two copies, or the first round's that are kept."""
    _, _, rows, tally = made(chains, [{2}, set(), *last], copies=2)
    assert (rows, tally["agreed"], tally["pairs"]) == ([], 0, 0)


def test_pairs_are_limited(chains):
    """Two others against one answer that two gave."""
    wrongs = [{2}, {1, 2}, set(), set(), set(), set()]
    assert len(made(chains, wrongs)[2]) == 2
    assert len(made(chains, wrongs, most=1)[2]) == 1


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A model with random weights, and Countdown problems."""
    root = tmp_path_factory.mktemp("consensus")
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(root / "model")
    save_tokenizer(tokenizer, root / "model")
    data = write_countdown(root / "data", CountdownRequest(train=20, test=5), None, lambda i, w, t: i)
    return root / "model", data.test[0]


def asked(files, out, *options):
    """The command, run."""
    model, data = files
    args = ["data", "pairs", "--kind", "consensus", "--model", str(model), "--data", str(data)]
    return CliRunner().invoke(app, [*args, "--out", str(out), "--max-tokens", "8", *options])


def test_a_model_that_agrees_on_nothing_gives_no_pair(files, tmp_path):
    """The command debates, and says that no pair came of it."""
    done = asked(files, tmp_path / "pairs.parquet", "--rounds", "2", "--request", "? ")
    assert "In no debate did most copies agree and others differ" in str(done.exception)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-k", "1"), "no other answer to read"),
        (("--max-tokens", "300"), "3 answers of up to 300 that are read behind it"),
        (("--request", ""), "--request is empty"),
        (("--reward-function", "judge.py:f"), "copies vote on what answers come to"),
        (("--gap", "0.5"), "--gap"),
    ],
)
def test_debates_that_cannot_be_held_are_refused(files, tmp_path, options, said):
    """Before a model is loaded."""
    assert said in str(asked(files, tmp_path / "pairs.parquet", *options).exception)


def test_only_debates_have_rounds(files, tmp_path):
    """Other kinds refuse them."""
    done = asked(files, tmp_path / "pairs.parquet", "--rounds", "2", "--kind", "answers")
    assert "--rounds" in str(done.exception)
