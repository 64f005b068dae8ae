"""Pairs of traces and of sampled answers and steps: what is paired, worked out by hand or by the verifier."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import GenerationConfig
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.pair_files import PairRow, fault, read_pairs
from halluc_plugin.data.trace_files import TraceRow
from halluc_plugin.edits import collapse
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.own_errors.contrast_rows import Contrasts, Kind, read_traced_problems
from halluc_plugin.own_errors.pair_rows import AnswerPairs, Negatives, SiblingPairs, distance
from halluc_plugin.sampling.states import End, Sample
from halluc_plugin.scorers.step_oracle import StepOracle
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import save_tokenizer
from halluc_plugin.verifiers import Outcome

B = BACKTRACK_TOKEN


def right(chains, problem, ids):
    """Whether a response is a right answer, edits applied."""
    text = chains.tokenizer.decode(collapse(ids, chains.space.vocab), skip_special_tokens=True)
    return problem.verifier.verify(problem.truth, text) is Outcome.CORRECT


def contrasts(chains, kind, *, most=4, seed=0):
    """What makes contrastive pairs of chains."""
    ends = frozenset({chains.eos})
    return Contrasts(kind, chains.space.vocab, ends, chains.tokenizer, most, seed)


@pytest.fixture
def traced(chains):
    """A chain, and its answer with a wrong line that is taken back."""
    problem = chains.problem(3)
    first, *rest = chains.answer(problem)
    wrong = chains.answer(problem, {2})[1]
    back = chains.tokenizer.encode(B) * len(wrong)
    ids = [*first, *wrong, *back, *(token for step in rest for token in step)]
    return problem, TraceRow(list(problem.prompt), ids)


class TestContrasts:
    """Traces with edits against their twins."""

    def test_moved_edits_are_wrong_from_their_place_on(self, chains, traced):
        """Chosen sides are the trace, right; rejected ones are wrong, distinct, and share all before."""
        problem, trace = traced
        rows, tally = contrasts(chains, Kind.MOVED)(0, [(trace, problem)])
        pairs = [PairRow(**row) for row in rows]
        assert tally == {"traces": 1, "judged": 1, "wrong": 0, "pairs": 4}
        assert len({tuple(pair.rejected_ids) for pair in pairs}) == 4
        for pair in pairs:
            assert pair.chosen_ids == trace.response_ids
            assert right(chains, problem, pair.chosen_ids)
            assert not right(chains, problem, pair.rejected_ids)
            assert sorted(pair.rejected_ids) == sorted(pair.chosen_ids)
            assert fault(pair) is None

    def test_kept_errors_end_the_answer(self, chains, traced):
        """The rejected side is what was written when the trace took back, and an end."""
        problem, trace = traced
        ((row,), _) = contrasts(chains, Kind.KEPT)(0, [(trace, problem)])
        at = trace.response_ids.index(chains.space.vocab.backtrack)
        assert row["rejected_ids"] == [*trace.response_ids[:at], chains.eos]

    def test_every_end_of_the_model_ends_a_trace(self, chains, traced):
        """A trace may end with any of them; where it was cut off, the tokenizer's own ends its twin."""
        problem, trace = traced
        other = chains.tokenizer.pad_token_id
        assert other < chains.eos
        ends = frozenset({other, chains.eos})
        kept = Contrasts(Kind.KEPT, chains.space.vocab, ends, chains.tokenizer, 4, 0)
        ended = TraceRow(trace.prompt_ids, [*trace.response_ids[:-1], other])
        ((row,), tally) = kept(0, [(ended, problem)])
        assert (row["rejected_ids"][-1], tally["wrong"]) == (other, 0)
        ((row,), _) = kept(0, [(TraceRow(trace.prompt_ids, trace.response_ids[:-1]), None)])
        assert row["rejected_ids"][-1] == chains.eos

    def test_wrong_traces_and_plain_ones_make_no_pair(self, chains, traced):
        """A trace that ends wrong is no example, and one without edits has nothing to move."""
        problem, trace = traced
        wrong = TraceRow(trace.prompt_ids, [*trace.response_ids[:-3], chains.eos])
        plain = TraceRow(trace.prompt_ids, [t for step in chains.answer(problem) for t in step])
        rows, tally = contrasts(chains, Kind.MOVED)(0, [(wrong, problem), (plain, problem)])
        assert rows == []
        assert (tally["wrong"], tally["judged"]) == (1, 2)

    def test_the_seed_and_the_part_decide(self, chains, traced):
        """The same seed draws the same places, another one others."""
        _, trace = traced
        drawn = [contrasts(chains, Kind.MOVED, most=2, seed=s)(n, [(trace, None)])[0] for s, n in
                 ((0, 0), (0, 0), (1, 0), (0, 1))]  # fmt: skip
        assert drawn[0] == drawn[1]
        assert drawn[0] not in drawn[2:]

    def test_words_that_take_back_are_refused(self, chains):
        """Where no edit is there is none to move."""
        with pytest.raises(DataError, match="takes back in words"):
            contrasts(chains, Kind.MOVED)(0, [(TraceRow([1], [2], [True]), None)])


def answers(chains, problem, *wrong, liked):
    """A sampler that gives answers with these lines wrong, each with a mean log-prob."""

    class Script:
        def __init__(self):
            self.left = list(zip(wrong, liked, strict=True))

        def sample(self, requests):
            samples = []
            for _ in requests:
                lines, mean = self.left.pop(0)
                ids = tuple(token for step in chains.answer(problem, lines) for token in step)
                samples.append(Sample(ids, (mean,) * len(ids), End.EOS))
            return samples

    return Script()


@pytest.mark.parametrize(
    ("negatives", "chosen"), [(Negatives.CLOSEST, [{3}, {1, 2, 3}]), (Negatives.LIKELIEST, [{1, 2, 3}, {3}])]
)
def test_negatives_are_the_closest_or_the_likeliest(chains, negatives, chosen):
    """Wrong answers come in the order of their distance from a right one, or as the model likes them."""
    problem = chains.problem(3)
    script = answers(chains, problem, {1, 2, 3}, set(), {3}, {3}, liked=(-0.1, -0.5, -0.9, -0.9))
    make = AnswerPairs(script, chains.space, chains.tokenizer, 4, negatives, most=4, seed=0)
    rows, tally = make(0, [problem])
    flat = [[token for step in chains.answer(problem, lines) for token in step] for lines in chosen]
    assert [row["rejected_ids"] for row in rows] == flat
    assert all(right(chains, problem, row["chosen_ids"]) for row in rows)
    assert tally == {"answers": 3, "right": 1, "pairs": 2}


def test_distances_by_hand():
    """Each token that is replaced counts twice, each that is inserted or left out once."""
    assert [distance(*map(list, two)) for two in (("abc", "abc"), ("abc", "axc"), ("abc", "ab"))] == [0, 2, 1]


def siblings(chains, problems, p, *, room=None, **how):
    """Pairs of steps of a policy whose lines are right with probability p, in ``room`` tokens if given."""
    space = chains.space if room is None else replace(chains.space, max_tokens=room)

    class Lines:
        """Gives one line of the policy's answer at a time."""

        def __init__(self):
            self.policy = chains.policy(problems, p)

        def reseed(self, seed):
            self.policy.reseed(seed)

        def sample(self, requests):
            return [self._first_line(sample) for sample in self.policy.sample(requests)]

        def _first_line(self, sample):
            at = sample.ids.index(chains.new_line) + 1
            at += sample.ids[at : at + 1] == (chains.eos,)
            end = End.EOS if sample.ids[at - 1] == chains.eos else End.STEP
            return Sample(sample.ids[:at], sample.logprobs[:at], end)

    rater = StepOracle(problems, chains.tokenizer, chains.space.eos_ids)
    make = SiblingPairs(Lines(), space, rater, **{"samples": 8, "gap": 0.5, "most": 9, "seed": 0} | how)
    rows, tally = make(0, problems)
    return [PairRow(**row) for row in rows], tally


def test_siblings_share_a_prefix_and_one_can_still_be_right(chains):
    """Each pair is two next steps after one right prefix: the oracle accepts the chosen side alone."""
    problems = [chains.problem(4, seed) for seed in range(3)]
    pairs, tally = siblings(chains, problems, 0.5)
    assert tally["pairs"] == len(pairs) >= 6
    by_prompt = {problem.prompt: problem for problem in problems}
    oracle = StepOracle(problems, chains.tokenizer, chains.space.eos_ids)
    for pair in pairs:
        steps = [chains.space.steps(side.response_ids) for side in pair.sides]
        values = [oracle.rate([pair.prompt_ids], [of]).values[0] for of in steps]
        assert steps[0][:-1] == steps[1][:-1]
        assert (values[0][-1], values[1][-1]) == (1, 0)
        assert tuple(pair.prompt_ids) in by_prompt
    same = [(one, other) for one, other in pairwise(pairs) if one.prompt_ids == other.prompt_ids]
    assert same
    assert all(other.chosen_ids[: len(one.chosen_ids)] == one.chosen_ids for one, other in same)


def test_siblings_that_are_all_right_or_all_wrong_make_no_pair(chains):
    """Without a difference of values nothing is preferred; a dead prefix is left."""
    assert siblings(chains, [chains.problem(3)], 1.0)[0] == []
    assert siblings(chains, [chains.problem(3)], 0.0)[0] == []


def test_a_step_that_fills_the_room_keeps_its_value(chains):
    """It has its delimiter, so it was not cut off: the right one is preferred to a wrong one as elsewhere."""
    problem = chains.problem(3)
    first = chains.answer(problem)[0]
    (pair,) = siblings(chains, [problem], 0.5, room=len(first))[0]
    assert pair.chosen_ids == [*first]
    assert len(pair.rejected_ids) == len(first)
    assert not right_so_far(chains, problem, pair.rejected_ids)


def right_so_far(chains, problem, ids):
    """Whether a right answer begins with these ids."""
    return problem.verifier.prefix_ok(problem.truth, chains.tokenizer.decode(ids))


def test_the_most_pairs_of_a_problem_are_kept(chains):
    """The walk ends when it has enough."""
    assert len(siblings(chains, [chains.problem(6)], 0.5, most=2)[0]) == 2


@pytest.mark.parametrize(("how", "told"), [({"samples": 1}, "nothing to compare"), ({"gap": 0}, "is 0")])
def test_what_compares_nothing_is_refused(chains, how, told):
    """One step has no sibling, and a gap of 0 prefers at random."""
    with pytest.raises(SettingsError, match=told):
        siblings(chains, [chains.problem(2)], 0.5, **how)


def rewrite(folder, to, column, change):
    """The traces of a folder in another one, with a column changed."""
    table = pq.read_table(folder / "chain" / "traces.parquet")
    field = table.schema.field(column)
    values = pa.array(map(change, table[column].to_pylist()), field.type)
    (to / "chain").mkdir()
    changed = table.set_column(table.schema.get_field_index(column), field, values)
    pq.write_table(changed, to / "chain" / "traces.parquet")


class TestCommand:
    """`halluc data pairs`."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory):
        """Chains with traces, and a small model that knows nothing."""
        folder = tmp_path_factory.mktemp("pairs")
        tokenizer = number_tokenizer(edit_tokens=(B,))
        new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder / "model")
        save_tokenizer(tokenizer, folder / "model")
        words = ["chain", "--out", folder, "--train", 12, "--test", 2, "--tokenizer", folder / "model"]
        done = CliRunner().invoke(app, ["data", *map(str, words)])
        assert done.exit_code == 0, done.output
        return folder

    def run(self, folder, out, *words, data="traces"):
        """The command's result."""
        given = ("--model", folder / "model", "--data", folder / "chain" / f"{data}.parquet", "--out", out)
        return CliRunner().invoke(app, ["data", "pairs", *map(str, (*given, *words))])

    @pytest.mark.parametrize("kind", ["moved", "kept"])
    def test_traces_of_a_task_become_pairs(self, folder, tmp_path, kind):
        """Every pair is read back, its chosen side is right and its rejected one is not; the card counts."""
        out = tmp_path / "pairs.parquet"
        done = self.run(folder, out, "--kind", kind, "--most", 2, "--json")
        assert done.exit_code == 0, done.output
        tokenizer = number_tokenizer(edit_tokens=(B,))
        pairs, card = read_pairs(out, tokenizer), json.loads(done.stdout)
        assert card["pairs"] == card["count"] == len(pairs) > 0
        assert card["judged"] == card["traces"] > len(pairs) / 2
        given = read_traced_problems(folder / "chain" / "traces.parquet", tokenizer)
        traces = {tuple(trace.response_ids) for trace, _ in given}
        assert all(tuple(pair.chosen_ids) in traces for pair in pairs)
        again = tmp_path / "again.parquet"
        self.run(folder, again, "--kind", kind, "--most", 2)
        assert again.read_bytes() == out.read_bytes()

    def test_traces_may_end_as_the_generation_config_says(self, folder, tmp_path):
        """Its ends are ends, beside the tokenizer's: no trace counts as cut off, and so as wrong."""
        shutil.copytree(folder / "model", tmp_path / "model")
        tokenizer = number_tokenizer(edit_tokens=(B,))
        both = [tokenizer.eos_token_id, tokenizer.pad_token_id]
        GenerationConfig(eos_token_id=both).save_pretrained(tmp_path / "model")
        rewrite(folder, tmp_path, "response_ids", lambda ids: [*ids[:-1], both[1]])
        done = self.run(tmp_path, tmp_path / "pairs.parquet", "--kind", "kept", "--json")
        assert done.exit_code == 0, done.output
        card = json.loads(done.stdout)
        assert (card["wrong"], card["judged"]) == (0, card["traces"])
        assert all(
            pair.rejected_ids[-1] == both[1] for pair in read_pairs(tmp_path / "pairs.parquet", tokenizer)
        )

    def test_opposite_prompts_are_written_with_pairs(self, folder, tmp_path, monkeypatch):
        """Each pair has its prompt behind either request; requests that say the same are refused."""
        out, tokenizer = tmp_path / "pairs.parquet", number_tokenizer(edit_tokens=(B,))
        done = self.run(folder, out, "--kind", "kept", "--better-request", "9\n", "--worse-request", "1\n")
        assert done.exit_code == 0, done.output
        pairs = read_pairs(out, tokenizer)
        assert all(p.better_prompt_ids == [*tokenizer.encode("9\n"), *p.prompt_ids] for p in pairs)
        assert all(p.worse_prompt_ids == [*tokenizer.encode("1\n"), *p.prompt_ids] for p in pairs)
        monkeypatch.setattr("halluc_plugin.cli.data_pairs.open_engine", None)  # before a model is loaded
        for words in (("--better-request", "9", "--worse-request", "9"), ("--better-request", "9")):
            for kind, data in (("kept", "traces"), ("answers", "train")):
                done = self.run(folder, out, "--kind", kind, *words, data=data)
                assert "opposite requests" in str(done.exception)

    def test_requests_are_added_to_the_prompts_that_were_read(self, folder, tmp_path):
        """Traces whose prompts were encoded otherwise are refused: their opposites would differ in more."""
        shutil.copytree(folder / "model", tmp_path / "model")
        rewrite(folder, tmp_path, "prompt_ids", lambda ids: [*ids, 5])
        words = ("--kind", "kept", "--better-request", "9", "--worse-request", "1")
        done = self.run(tmp_path, tmp_path / "pairs.parquet", *words)
        assert "are not those of its messages" in str(done.exception)

    @pytest.mark.parametrize(
        ("kind", "told"), [("answers", "both right and wrong"), ("siblings", "differ enough")]
    )
    def test_a_model_that_knows_nothing_gives_no_pairs(self, folder, tmp_path, kind, told):
        """One line says so and what to do, and no file is left."""
        words = ("--kind", kind, "--samples", 2, "--max-tokens", 4, "--limit", 2)
        done = self.run(folder, tmp_path / "pairs.parquet", *words, data="train")
        assert told in str(done.exception)
        assert list(tmp_path.iterdir()) == []

    def test_sampled_pairs_are_written(self, folder, tmp_path, monkeypatch, chains):
        """Answers of a sampler that errs in some of its lines become a file of pairs."""

        def engine(model, space, sampling):
            from halluc_plugin.sampling.problems import read_problems

            problems = read_problems(folder / "chain" / "train.parquet", chains.tokenizer)
            return chains.policy(problems, 0.7)

        monkeypatch.setattr("halluc_plugin.cli.data_pairs.open_engine", engine)
        words = ("--kind", "answers", "--negatives", "likeliest", "--samples", 6)
        done = self.run(folder, tmp_path / "pairs.parquet", *words, data="train")
        assert done.exit_code == 0, done.output
        assert len(read_pairs(tmp_path / "pairs.parquet", chains.tokenizer)) >= 6

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("--kind", "moved", "--samples", "4"), "--samples means nothing with --kind moved"),
            (("--kind", "kept", "--temperature", "0.5"), "--temperature means nothing with --kind kept"),
            (("--kind", "kept", "--negatives", "closest"), "--negatives means nothing with --kind kept"),
            (("--kind", "answers", "--gap", "0.1"), "--gap means nothing with --kind answers"),
            (("--kind", "siblings", "--negatives", "closest"), "--negatives means nothing"),
        ],
    )
    def test_options_of_another_kind_are_refused(self, folder, tmp_path, words, told):
        """What would have no effect is one line."""
        done = self.run(folder, tmp_path / "pairs.parquet", *words)
        assert told in str(done.exception)
