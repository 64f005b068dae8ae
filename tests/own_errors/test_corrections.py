"""Verified wrong-to-right data, and traces made of references: by a scripted model, worked out by hand."""

import pytest

from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.trace_files import TraceRow, read_traces, write_traces
from halluc_plugin.edits import Context, EditVocab, collapse
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.own_errors.aligned import Aligned
from halluc_plugin.own_errors.corrections import CorrectionSettings, Depth, collect
from halluc_plugin.problem_sets.references import Injected, Writing, read_references, text_pool
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.search import Sample, Space
from halluc_plugin.tasks.chain.verifier import ChainVerifier
from halluc_plugin.tasks.gsm8k.verifier import Gsm8kVerifier
from halluc_plugin.tokens import BACKTRACK_TOKEN, EDIT_TOKENS, edit_vocab
from halluc_plugin.verifiers import Outcome

TRUTH = {"modulus": 10, "start": 3, "operations": ["+4", "*7"], "form": "steps"}
ANSWER = "3+4=7\n7*7=9\n"


@pytest.fixture(scope="module")
def tokenizer():
    """Numbers and all edit tokens."""
    return number_tokenizer(edit_tokens=EDIT_TOKENS)


class Script:
    """Gives texts in order, and keeps the prefixes it was asked for."""

    def __init__(self, tokenizer, space, texts):
        self._tokenizer, self._space, self._texts = tokenizer, space, list(texts)
        self.prefixes = []

    def sample(self, requests):
        """The next text for each request; `…` at its end: it never ends."""
        samples = []
        for request in requests:
            self.prefixes.append(request.prefix)
            text = self._texts.pop(0)
            ids = self._tokenizer.encode(text.rstrip("…"))
            ends = [] if text.endswith("…") else [self._tokenizer.eos_token_id]
            ids = (*ids, *ends)
            samples.append(Sample(ids, (-0.5,) * len(ids), self._space.end(ids[-1]) if ends else "length"))
        return samples


@pytest.fixture
def ask(tokenizer):
    """Collects what a scripted model answers to one chain."""

    def asked(texts, problem=None, **settings):
        vocab = edit_vocab(tokenizer)
        eos = frozenset({tokenizer.eos_token_id})
        space = Space(vocab, eos, frozenset(tokenizer.encode("\n")), 30, edits_banned=True)
        script = Script(tokenizer, space, texts)
        problem = problem or PosedProblem(tuple(tokenizer.encode("3 +4 *7 mod 10\n")), TRUTH, ChainVerifier())
        (found,) = collect([problem], script, space, tokenizer, CorrectionSettings(**settings))
        return found, script

    return asked


def text(tokenizer, row):
    """The response of a row, edits as ⌫, EOS as a full stop."""
    written = tokenizer.decode(row.response_ids)
    return written.replace(BACKTRACK_TOKEN, "⌫").replace(tokenizer.eos_token, ".")


class TestCorrections:
    """Wrong answers, taken back and corrected."""

    def test_from_the_first_error(self, tokenizer, ask):
        """Right answers are kept once; a wrong one is taken back to its first bad token, and goes on."""
        found, script = ask(
            [ANSWER, "3+4=7\n7*7=8\n", ANSWER, "9\n"], attempts=3, depth=Depth.ERROR, context=Context.HARD
        )
        assert [text(tokenizer, row) for row in found.right] == [ANSWER + "."]
        assert [text(tokenizer, row) for row in found.corrected] == ["3+4=7\n7*7=8\n⌫⌫9\n."]
        assert (found.answers, found.wrong) == (3, 1)
        assert tokenizer.decode(script.prefixes[-1]) == "3 +4 *7 mod 10\n3+4=7\n7*7="
        (row,) = found.corrected
        assert tokenizer.decode(collapse(row.response_ids[:-1], edit_vocab(tokenizer))) == ANSWER
        assert row.erased is None

    def test_whole_answers_in_soft_context(self, tokenizer, ask):
        """Without a prefix verifier's help all is taken back; the model sees what it wrote, and the edits."""
        found, script = ask(["3+4=8\n", ANSWER], attempts=1)
        (row,) = found.corrected
        assert text(tokenizer, row) == "3+4=8\n⌫⌫⌫⌫⌫⌫" + ANSWER + "."
        assert script.prefixes[-1][-6:] == (edit_vocab(tokenizer).backtrack,) * 6
        assert script.prefixes[-1][:-6] == (*script.prefixes[0], *tokenizer.encode("3+4=8\n"))

    def test_in_words(self, tokenizer, ask):
        """The marker stands where edits would; what it takes back is told by a mask."""
        marker = tuple(tokenizer.encode("?\n"))
        found, _ = ask([ANSWER, "3+4=8\n", ANSWER], attempts=2, marker=marker)
        (right,), (row,) = found.right, found.corrected
        assert text(tokenizer, row) == "3+4=8\n?\n" + ANSWER + "."
        assert row.erased == [True] * 6 + [False] * (len(row.response_ids) - 6)
        assert right.erased == [False] * len(right.response_ids)

    def test_what_is_not_kept(self, ask):
        """A second wrong answer, one that never ends, and one more than is kept of a problem."""
        second = ["3+4=8\n", "3+4=6\n", "3+4=5\n", "3+4=9\n"]
        found, _ = ask([*second, "3+4=8\n", ANSWER + "…", ANSWER, ANSWER], attempts=4, most=1)
        assert len(found.corrected) == 1
        assert found.right == []
        assert found.wrong == 4

    def test_an_answer_that_ends_too_early_is_not_taken_back(self, ask):
        """Nothing in it is wrong: there is nothing to take back from the first error on."""
        found, script = ask(["3+4=7\n"], attempts=1, depth=Depth.ERROR)
        assert (found.wrong, found.corrected, len(script.prefixes)) == (1, [], 1)

    def test_of_gsm8k(self, tokenizer, ask):
        """Whatever has a verifier will do; one that judges no prefixes gives no first error."""
        problem = PosedProblem(tuple(tokenizer.encode("2+2?")), "4", Gsm8kVerifier())
        found, _ = ask(["#### 5", "2+2=4\n#### 4"], problem=problem, attempts=1)
        assert [text(tokenizer, row) for row in found.corrected] == ["#### 5⌫⌫⌫⌫⌫⌫2+2=4\n#### 4."]
        with pytest.raises(DataError, match="no prefixes"):
            ask(["#### 5"], problem=problem, attempts=1, depth=Depth.ERROR)

    @pytest.mark.parametrize(
        "bad", [{"attempts": 0}, {"most": 0}, {"marker": ()}, {"marker": (5,), "depth": Depth.ERROR}]
    )
    def test_bad_settings_are_refused(self, bad):
        """No attempts, nothing kept, an empty marker, words that take back a part."""
        with pytest.raises(SettingsError):
            CorrectionSettings(**bad)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("so\n#### 1,234", Outcome.CORRECT),
        ("#### 7\n#### 1234", Outcome.CORRECT),
        ("#### 1234\n#### 7", Outcome.WRONG),
        ("1234", Outcome.NO_ANSWER),
        ("#### 1234" + "x" * 300, Outcome.NO_ANSWER),
    ],
)
def test_gsm8k_is_judged_as_verl_does(answer, outcome):
    """The last number behind the hashes, within the last 300 characters; as verl's own scorer says."""
    assert Gsm8kVerifier().verify("1234", answer) is outcome
    gsm8k = pytest.importorskip("verl.utils.reward_score.gsm8k")
    assert gsm8k.compute_score(answer, "1234") == float(outcome is Outcome.CORRECT)


class TestReferences:
    """Errors injected into references, and taken from answers."""

    def test_injected(self, tokenizer, references):
        """Clean rows are the references, the others collapse to them; the part's number decides the draws."""
        vocab = edit_vocab(tokenizer)
        writing = Writing(vocab, frozenset({tokenizer.eos_token_id}))
        make = Injected(writing, text_pool(tokenizer, vocab), 0.3, {1: 1.0, 2: 1.0}, 2, seed=0)
        read = list(read_references(references, tokenizer))
        rows, tally = make(0, read)
        assert tally == {"clean": 2, "backtracking": 4, "no_error_drawn": 0}
        for row in rows:
            assert tokenizer.decode(collapse(row["response_ids"], vocab)[:-1]) == row["extra_info"]["answer"]
        assert make(0, read)[0] == rows != make(1, read)[0]

    def test_the_twin_in_words(self, tokenizer, references):
        """With a marker no edit is left, and a mask tells what was taken back."""
        vocab = edit_vocab(tokenizer)
        marker = tuple(tokenizer.encode(" ?"))
        writing = Writing(vocab, frozenset({tokenizer.eos_token_id}), marker=marker, clean=False)
        make = Injected(writing, text_pool(tokenizer, vocab), 0.3, {1: 1.0}, 1, seed=0)
        for row in make(0, list(read_references(references, tokenizer)))[0]:
            assert vocab.edit_ids.isdisjoint(row["response_ids"])
            assert len(row["erased"]) == len(row["response_ids"])
            assert any(row["erased"])

    def test_aligned(self, tokenizer, references):
        """A wrong digit of the model's own is taken back and corrected; a right answer gives no trace."""
        vocab = edit_vocab(tokenizer)
        eos = frozenset({tokenizer.eos_token_id})
        space = Space(vocab, eos, frozenset(tokenizer.encode("\n")), 30, edits_banned=True)
        script = Script(tokenizer, space, [ANSWER, "3+4=8\n7*7=9\n", "1+1=2\n", "1+1=2\n"])
        make = Aligned(Writing(vocab, eos, clean=False), script, space, 2, seed=0)
        rows, tally = make(0, list(read_references(references, tokenizer)))
        written = [tokenizer.decode(row["response_ids"]).replace(BACKTRACK_TOKEN, "⌫") for row in rows]
        assert written == ["3+4=8⌫7\n7*7=9\n" + tokenizer.eos_token]
        assert tally == {"answers": 4, "backtracking": 1, "clean": 0}

    def test_a_row_without_an_answer_is_named(self, tokenizer, tmp_path):
        """The message says which, and where the answer belongs."""
        row = {"data_source": "x", "prompt": [{"role": "user", "content": "?"}]}
        write_parquet(tmp_path / "x.parquet", [row | {"reward_model": {"ground_truth": "1"}}], {})
        with pytest.raises(DataError, match="row 0 has no reference answer"):
            list(read_references(tmp_path / "x.parquet", tokenizer))


def test_a_mask_of_another_length_is_refused(tokenizer, tmp_path):
    """One value for each id."""
    path = tmp_path / "t.parquet"
    write_traces(path, [TraceRow([1], [2, 3], [True])], tokenizer)
    with pytest.raises(DataError, match="1 values for 2"):
        read_traces(path, tokenizer)


def test_vocab_of_a_pool():
    """Special and edit tokens are not drawn from."""
    tokenizer = number_tokenizer(edit_tokens=EDIT_TOKENS)
    vocab: EditVocab = edit_vocab(tokenizer)
    pool = text_pool(tokenizer, vocab)
    assert vocab.edit_ids.isdisjoint(pool)
    assert tokenizer.eos_token_id not in pool
    assert len(pool) == len(tokenizer) - 3 - 2
