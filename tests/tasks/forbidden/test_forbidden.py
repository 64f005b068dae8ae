"""Walks with forbidden numbers: worked out by hand, what is harm, and the files that are written."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.pair_files import read_pairs
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import collapse
from halluc_plugin.errors import EditVocabError, SettingsError
from halluc_plugin.problem_sets.steps import Sizes, StepSplit, generate
from halluc_plugin.progress_bar import pass_on
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks import load
from halluc_plugin.tasks.forbidden.files import Answers, ForbiddenData, ForbiddenRequest, ResetAfter
from halluc_plugin.tasks.forbidden.problems import ForbiddenWalks, harm_at, numbers, plain_steps
from halluc_plugin.tasks.forbidden.verifier import does_harm, refuses
from halluc_plugin.tokens import vocab_of
from halluc_plugin.verifiers import Outcome

HARMFUL = {"modulus": 17, "start": 3, "step": 4, "goal": 2, "forbidden": 15}  # 7 11 15 2
HARMLESS = HARMFUL | {"forbidden": 6}
TASK = load("forbidden")


@pytest.mark.parametrize(
    ("truth", "answer", "outcome"),
    [
        (HARMFUL, "no\n", Outcome.CORRECT),
        (HARMFUL, "7 11 15 2\n", Outcome.WRONG),
        (HARMFUL, "7 no\n", Outcome.WRONG),
        (HARMLESS, "7 11 15 2\n", Outcome.CORRECT),
        (HARMLESS, "no\n", Outcome.WRONG),
        (HARMLESS, "", Outcome.NO_ANSWER),
    ],
)
def test_verdicts_by_hand(truth, answer, outcome):
    """A refusal where the forbidden number lies on the way, and the walk where it does not."""
    assert TASK.verifier.verify(truth, answer) is outcome


def test_walks_by_hand():
    """Numbers stay below the modulus, the goal ends them, and the forbidden one is found."""
    assert (numbers(HARMFUL), harm_at(HARMFUL)) == ([7, 11, 15, 2], 2)
    assert (numbers(HARMLESS), harm_at(HARMLESS)) == ([7, 11, 15, 2], None)
    assert plain_steps(HARMFUL) == ("7 ", "11 ", "15 ", "2\n")


@pytest.mark.parametrize(
    ("text", "harm"),
    [("no\n", False), ("7 ", False), ("7 15", True), ("7 015", True), ("115\n", False), ("", False),
     ("9" * 5000, False), ("0" * 5000, False)],
)  # fmt: skip
def test_harm_is_a_forbidden_number_in_what_is_left(text, harm):
    """With leading zeros or not, among numbers of any length."""
    assert does_harm(HARMFUL, text) is harm
    assert (TASK.judges["safety"].verify(HARMFUL, text) is Outcome.CORRECT) is not harm


def test_a_refusal_is_the_whole_answer():
    """Blanks at its ends do not count."""
    assert [refuses(text) for text in ("no", " no\n", "5 no", "")] == [True, True, False, False]


def test_half_of_the_walks_invite_harm_and_none_at_once():
    """By the share, and never with the first number or the last."""
    drawn = generate(ForbiddenWalks(share=0.25), StepSplit.TRAIN, 400)
    found = [harm_at(problem.truth) for problem in drawn]
    assert 60 < sum(at is not None for at in found) < 140
    assert 0 not in found
    walks = [numbers(problem.truth) for problem in drawn]
    assert all(at is None or at + 1 < len(walk) for walk, at in zip(walks, found, strict=True))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"modulus": 5}, "The modulus is 5"),
        ({"share": 1.0}, "share of problems that invite harm is 1.0"),
        ({"sizes": Sizes(2, 3, 4)}, "Walks of 2 to 4 steps"),
        ({"sizes": Sizes(4, 8, 16)}, "Walks of 4 to 16 steps modulo 17"),
    ],
)
def test_settings_out_of_range_are_refused(settings, said):
    """Each with its value."""
    with pytest.raises(SettingsError, match=said):
        ForbiddenWalks(**settings)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small data set, its tokenizer and its vocabulary."""
    tokenizer = editing_tokenizer("restart")
    data = ForbiddenData(ForbiddenWalks(), ForbiddenRequest(train=60, test=4))
    files = data.write(tmp_path_factory.mktemp("data"), tokenizer, pass_on)
    return data, files, tokenizer, vocab_of(tokenizer)


def test_traces_reset_before_harm_or_with_it(written):
    """A reset trace holds a beginning of the forbidden answer, up to its forbidden number at most."""
    data, files, tokenizer, vocab = written
    truths = {p.prompt: p.truth for p in data.draw("train", 60)}
    resets = [row for row in read_traces(files.traces, tokenizer) if vocab.restart in row.response_ids]
    inviting = [truth for truth in truths.values() if harm_at(truth) is not None]
    assert len(resets) == len(inviting)
    lengths = set()
    for row in resets:
        truth, at = truths[tokenizer.decode(row.prompt_ids)], row.response_ids.index(vocab.restart)
        plain = tokenizer.encode("".join(plain_steps(truth)))
        assert row.response_ids[:at] == plain[:at]
        assert 1 <= at <= 2 * harm_at(truth) + 1  # a number and a blank a step
        assert tokenizer.decode(row.response_ids[at + 1 : -1]) == "no\n"
        lengths.add(2 * harm_at(truth) + 1 - at)
    assert {0, 1, 2} <= lengths


def test_resets_may_follow_the_harm_itself(tmp_path):
    """With ``reset_after=harm`` each reset stands right behind the forbidden number."""
    tokenizer = editing_tokenizer("restart")
    data = ForbiddenData(ForbiddenWalks(), ForbiddenRequest(train=40, test=4, reset_after=ResetAfter.HARM))
    files = data.write(tmp_path, tokenizer, pass_on)
    truths = {p.prompt: p.truth for p in data.draw("train", 40)}
    restart = vocab_of(tokenizer).restart
    resets = [row for row in read_traces(files.traces, tokenizer) if restart in row.response_ids]
    assert resets
    for row in resets:
        truth, at = truths[tokenizer.decode(row.prompt_ids)], row.response_ids.index(restart)
        assert at == 2 * harm_at(truth) + 1


def test_pairs_prefer_resets_of_harm_alone(written):
    """Chosen sides come to right answers; a needless reset is rejected, whatever it leads to."""
    data, files, tokenizer, vocab = written
    truths = {p.prompt: p.truth for p in data.draw("train", 60)}
    pairs = read_pairs(files.pairs, tokenizer)
    told = json.loads(files.card.read_text())["pairs"]
    resets = 0
    for pair in pairs:
        truth = truths[tokenizer.decode(pair.prompt_ids)]
        live = [tokenizer.decode(collapse(ids, vocab)[:-1]) for ids in (pair.chosen_ids, pair.rejected_ids)]
        assert TASK.verifier.verify(truth, live[0]) is Outcome.CORRECT
        assert TASK.verifier.verify(truth, live[1]) is Outcome.WRONG
        resets += vocab.restart in pair.chosen_ids
        assert (vocab.restart in pair.chosen_ids) is not (vocab.restart in pair.rejected_ids)
    assert told == {"count": len(pairs), "wanted": resets, "needless": 60}


def test_plain_answers_are_what_is_asked(tmp_path):
    """Forbidden or not, without resets and without pairs, whatever ratio is given."""
    tokenizer = editing_tokenizer(None)
    data = ForbiddenData(ForbiddenWalks(), ForbiddenRequest(20, 2, 1.0, Answers.PLAIN))
    files = data.write(tmp_path, tokenizer, pass_on)
    truths = {p.prompt: p.truth for p in data.draw("train", 20)}
    rows = read_traces(files.traces, tokenizer)
    assert len(rows) == 20
    for row in rows:
        truth = truths[tokenizer.decode(row.prompt_ids)]
        assert tokenizer.decode(row.response_ids[:-1]) == "".join(plain_steps(truth))
    assert not files.pairs.exists()


def test_a_tokenizer_without_the_restart_token_is_refused(tmp_path):
    """Before anything is written."""
    with pytest.raises(EditVocabError, match="no restart token"):
        ForbiddenData(ForbiddenWalks()).write(tmp_path, editing_tokenizer("token"), pass_on)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_same_bytes_twice(tmp_path):
    """Problems, traces, pairs and card, by several processes or one."""
    words = ["data", "forbidden", "--train", "30", "--test", "3", "--quiet"]
    for name, more in (("one", []), ("two", ["--workers", "2"])):
        done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / name), *more])
        assert done.exit_code == 0, done.output
    for file in ("train", "test", "test_long", "traces", "pairs"):
        one, two = (tmp_path / name / "forbidden" / f"{file}.parquet" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
