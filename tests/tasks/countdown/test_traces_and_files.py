"""Raw traces of Countdown answers, and the files they are kept in."""

import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import checked_rows, read_metadata, read_rows, write_parquet
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.edits import collapse, events, resolve_row
from halluc_plugin.errors import DataError, EditVocabError, SettingsError
from halluc_plugin.problem_sets.raw_traces import Edit, Ending
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks import truth_fault
from halluc_plugin.tasks.countdown.errors import ErrorMix
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Split, generate
from halluc_plugin.tasks.countdown.traces import TraceSettings, TraceWriter
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.tokens import BACKTRACK_TOKEN, EDIT_TOKENS, edit_vocab
from halluc_plugin.verifiers import Outcome

PROBLEMS = CountdownSettings()
VERIFIER = CountdownVerifier()


def no_progress(items, what, total):
    """Show nothing."""
    return items


@pytest.fixture(scope="module")
def problems():
    """Some problems."""
    return generate(PROBLEMS, Split.TRAIN, 60)


def traces(tokenizer, problems, **settings):
    """A backtracking trace of each problem."""
    writer = TraceWriter(tokenizer, edit_vocab(tokenizer), PROBLEMS, TraceSettings(**settings))
    rng = np.random.default_rng(0)
    return writer, [writer.backtracking(problem, rng) for problem in problems]


class TestTraces:
    """Errors written and taken back."""

    @pytest.mark.parametrize("edit", list(Edit))
    def test_collapses_to_the_right_answer(self, tokenizer, problems, edit):
        """Every trace has an error, and what is left is the reference, which is right."""
        writer, found = traces(tokenizer, problems, edit=edit)
        vocab = edit_vocab(tokenizer)
        for problem, trace in zip(problems, found, strict=True):
            left = collapse(trace.ids, vocab)
            assert left == list(writer.clean(problem))
            text = tokenizer.decode(left, skip_special_tokens=True)
            truth = {"numbers": problem.numbers, "target": problem.target}
            assert VERIFIER.verify(truth, text) is Outcome.CORRECT
            assert len(trace.kinds) == len(events(resolve_row(trace.ids, vocab))) >= 1

    def test_what_is_erased_was_wrong(self, tokenizer, problems):
        """By the prefix oracle every event leads from a wrong state to a right one."""
        vocab = edit_vocab(tokenizer)
        judged = 0
        for problem, trace in zip(problems, traces(tokenizer, problems)[1], strict=True):
            truth = {"numbers": problem.numbers, "target": problem.target}
            for event in events(resolve_row(trace.ids, vocab)):
                before, after = (
                    tokenizer.decode(collapse(trace.ids[:end], vocab)) for end in (event.start, event.stop)
                )
                # At its last line an answer that is complete but for its newline may still grow.
                assert not VERIFIER.prefix_ok(truth, before + "\n")
                assert VERIFIER.prefix_ok(truth, after)
                judged += 1
        assert judged > len(problems)

    def test_steps_are_deleted_one_edit_a_line(self, problems):
        """With step edits whole lines are erased, each by one token."""
        tokenizer = number_tokenizer(edit_tokens=EDIT_TOKENS)
        vocab = edit_vocab(tokenizer)
        for trace in traces(tokenizer, problems, edit=Edit.STEP)[1]:
            for event in events(resolve_row(trace.ids, vocab)):
                erased = tokenizer.decode([trace.ids[i] for i in event.erased])
                assert erased.count("\n") == event.effective == event.stop - event.start
                assert erased.endswith("\n")

    def test_may_stop_at_the_backtrack(self, tokenizer, problems):
        """The paper's traces end right after the first event, without EOS."""
        vocab = edit_vocab(tokenizer)
        for trace in traces(tokenizer, problems, ending=Ending.BACKTRACK)[1]:
            (event,) = events(resolve_row(trace.ids, vocab))
            assert event.stop == len(trace.ids)
            assert len(trace.kinds) == 1

    def test_no_error_of_the_mix_may_be_possible(self):
        """Where nothing but dead ends is asked for and none exists there is no trace."""
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        settings = TraceSettings(mix=ErrorMix(1, 0, 0), rate=1.0)
        tight = CountdownSettings(smallest_target=1, largest_target=1)
        writer = TraceWriter(tokenizer, edit_vocab(tokenizer), tight, settings)
        problem = next(p for p in generate(tight, Split.TEST_NEW, 30) if set(p.numbers) == {p.numbers[0]})
        assert writer.backtracking(problem, np.random.default_rng(0)) is None

    def test_refuses_what_it_cannot_write(self):
        """Step edits need a step backtrack token; probabilities are probabilities."""
        plain = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        with pytest.raises(EditVocabError, match="No token for STEP"):
            TraceWriter(plain, edit_vocab(plain), PROBLEMS, TraceSettings(edit=Edit.STEP))
        for bad in ({"rate": 0.0}, {"follow": 1.5}):
            with pytest.raises(SettingsError):
                TraceSettings(**bad)


class TestFiles:
    """What is on disk."""

    REQUEST = CountdownRequest(train=40, test=10, backtracking=0.5, variants=1)

    def test_the_data_set(self, tmp_path):
        """Problems are verl rows without agent_name, traces the tokenizer's ids, and the card counts them."""
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        files = write_countdown(tmp_path, self.REQUEST, tokenizer, no_progress)
        rows = checked_rows(files.train, truth_fault=truth_fault)
        assert len(rows) == 40
        assert "agent_name" not in read_rows(files.train, ("prompt",), optional=("agent_name",))[0]
        assert rows[0]["data_source"] == "halluc/countdown"
        truth, answer = rows[0]["reward_model"]["ground_truth"], rows[0]["extra_info"]["answer"]
        assert VERIFIER.verify(truth, answer) is Outcome.CORRECT
        prompt = rows[0]["prompt"][0]["content"]
        assert prompt == f"{' '.join(map(str, truth['numbers']))} -> {truth['target']}\n"
        card, found = json.loads(files.card.read_text()), read_traces(files.traces, tokenizer)
        assert tokenizer.decode(found[0].prompt_ids) == prompt
        counted = card["traces"]
        assert counted["clean"] == 40
        assert counted["count"] == len(found) == 40 + counted["backtracking"]
        edited = [BACKTRACK_TOKEN in tokenizer.decode(row.response_ids) for row in found]
        assert sum(edited) == counted["backtracking"]
        assert 5 < counted["backtracking"] < 35
        assert card["problems"]["test_new"] == {"count": 10, "solvable": 10}

    def test_the_same_request_writes_the_same_bytes(self, tmp_path):
        """Twice the same request gives identical files."""
        tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        first, again = (
            write_countdown(tmp_path / name, self.REQUEST, tokenizer, no_progress) for name in "ab"
        )
        for one, two in [(first.train, again.train), (first.traces, again.traces), (first.card, again.card)]:
            assert one.read_bytes() == two.read_bytes()

    def test_clean_traces_need_no_edit_token(self, tmp_path):
        """The baseline's data have no edits, and the same problems."""
        request = CountdownRequest(train=40, test=10, backtracking=0, variants=1)
        files = write_countdown(tmp_path / "clean", request, number_tokenizer(), no_progress)
        assert len(read_traces(files.traces, number_tokenizer())) == 40
        other = write_countdown(tmp_path / "none", self.REQUEST, None, no_progress)
        assert other.train.read_bytes() == files.train.read_bytes()
        assert not other.traces.exists()

    def test_ids_of_another_tokenizer_are_refused(self, tmp_path):
        """Traces are never read by a tokenizer they were not written for."""
        files = write_countdown(
            tmp_path, self.REQUEST, number_tokenizer(edit_tokens=EDIT_TOKENS), no_progress
        )
        with pytest.raises(DataError, match="are those of tokenizer"):
            read_traces(files.traces, number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,)))

    def test_a_failing_write_leaves_the_old_file(self, tmp_path):
        """A file is replaced when the new one is complete, not before."""
        path = tmp_path / "x.parquet"
        write_parquet(path, [{"a": 1}], {"seed": 1})

        def rows():
            yield {"a": 2}
            raise RuntimeError("power cut")

        with pytest.raises(RuntimeError, match="power cut"):
            write_parquet(path, rows(), {})
        assert read_rows(path, ("a",)) == [{"a": 1}]
        assert read_metadata(path) == {"seed": 1}


class TestChecks:
    """Files that users bring."""

    GOOD = {  # noqa: RUF012 - a constant
        "data_source": "s",
        "prompt": [{"role": "user", "content": "x"}],
        "reward_model": {"ground_truth": "1"},
    }  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"prompt": []}, "row 1: prompt is .*not a list of messages"),
            ({"prompt": [{"role": "user", "content": ""}]}, "row 1: prompt is empty"),
            ({"prompt": [{"role": "", "content": "x"}]}, "row 1: prompt holds a message without a role"),
            ({"data_source": ""}, "row 1: data_source is empty"),
            ({"reward_model": {"ground_truth": None}}, "row 1: reward_model has no ground_truth"),
        ],
    )
    def test_malformed_rows_are_named(self, tmp_path, change, message):
        """The message names file, row and what is wrong with it."""
        write_parquet(tmp_path / "rows.parquet", [self.GOOD, self.GOOD | change], {})
        with pytest.raises(DataError, match=message):
            checked_rows(tmp_path / "rows.parquet", truth_fault=truth_fault)

    def test_malformed_files_are_named(self, tmp_path):
        """Missing, no parquet, no column, no rows: one message each."""
        path = tmp_path / "rows.parquet"
        with pytest.raises(DataError, match="does not exist"):
            checked_rows(path, truth_fault=truth_fault)
        path.write_text("text")
        with pytest.raises(DataError, match="is no parquet file"):
            checked_rows(path, truth_fault=truth_fault)
        write_parquet(path, [{"question": "x"}], {})
        with pytest.raises(
            DataError, match="has no column data_source, prompt, reward_model; it has question"
        ):
            checked_rows(path, truth_fault=truth_fault)
        with pytest.raises(DataError, match="no rows to write"):
            write_parquet(path, [], {})


class TestCommand:
    """`halluc data countdown`."""

    def run(self, *arguments):
        """Run the command."""
        return CliRunner().invoke(app, ["data", "countdown", *map(str, arguments)], catch_exceptions=True)

    def test_writes_a_data_set(self, tmp_path):
        """What was written is told in three lines, and what comes next on standard error."""
        done = self.run("--out", tmp_path, "--train", 20, "--test", 5, "--variants", 1, "--edit", "step")
        assert done.exit_code == 0, done.output
        assert f"export HALLUC_DATA_DIR={tmp_path}\n" in done.stderr
        problems, traces, place = done.stdout.splitlines()
        assert problems == "problems: train 20, test_seen 5, test_new 5."
        assert re.match(r"traces: count 40, clean 20, backtracking 20.*; errors: exploration \d+, ", traces)
        assert place.startswith(f"Written to {tmp_path / 'countdown'}; ")
        tokenizer = number_tokenizer(edit_tokens=EDIT_TOKENS[:2])
        assert len(read_traces(tmp_path / "countdown" / "traces.parquet", tokenizer)) == 40

    def test_quiet(self, tmp_path):
        """`--quiet` writes the same files and prints nothing, on neither stream."""
        small = ("--train", 20, "--test", 5)
        self.run("--out", tmp_path / "loud", *small)
        done = self.run("--out", tmp_path / "quiet", *small, "--quiet")
        assert (done.exit_code, done.output) == (0, "")
        loud, quiet = (tmp_path / name / "countdown" / "traces.parquet" for name in ("loud", "quiet"))
        assert loud.read_bytes() == quiet.read_bytes()

    def test_the_card_itself(self, tmp_path):
        """`--json` prints the data card as it is kept, and nothing else, for programs."""
        done = self.run("--out", tmp_path, "--train", 20, "--test", 5, "--json")
        assert json.loads(done.stdout) == json.loads((tmp_path / "countdown" / "card.json").read_text())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--mix", "1:2"), "--mix is '1:2'"),
            (("--numbers", 9), "Countdown with 9 numbers"),
            (("--tokenizer", "/absent"), "No tokenizer can be loaded"),
        ],
    )
    def test_bad_input(self, tmp_path, arguments, message):
        """One message, and no file."""
        done = self.run("--out", tmp_path / "out", *arguments)
        assert message in str(done.exception)
        assert not (tmp_path / "out").exists()
