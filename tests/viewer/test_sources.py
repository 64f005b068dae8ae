"""Every kind of source is told by what is in it, and read into the one form; bad ones are one clear line."""

import json
from dataclasses import asdict, replace

import pytest

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.edits import EditVocab, trace_record
from halluc_plugin.errors import DataError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.search import Cost, Found, Request, Response, Sample, Space
from halluc_plugin.search.visited import visited
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.trace_log import TraceLog, logged_steps
from halluc_plugin.verifiers import Outcome
from halluc_plugin.viewer.answers import Flip, Kind
from halluc_plugin.viewer.sources import read_sources
from halluc_plugin.viewer.sources.run import read as read_steps


def write_lines(path, rows):
    """A file with a line of JSON for each row."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def only(path, **options):
    """The one source of a path."""
    (source,) = read_sources([path], **options)
    return source


@pytest.fixture
def tokenizer(tmp_path):
    """Numbers, signs and the backtrack token, and the folder that it is saved in."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    tokenizer.save_pretrained(tmp_path / "model")
    return tokenizer


def sample(filtered, **fields):
    """A line of lm-eval's samples."""
    return {
        "doc_id": 3, "doc": {"data_source": "halluc/countdown"}, "target": "8", "filter": "trace",
        "metrics": [],
        "arguments": {"gen_args_0": {"arg_0": "3 5 -> 8\n", "arg_1": {}}}, "resps": [["3<|BACKTRACK|>5"]],
        "filtered_resps": [filtered], **fields,
    }  # fmt: skip


TRACE = {
    "raw": "3<|BACKTRACK|>5", "resolved": "5", "raw_tokens": 3, "resolved_tokens": 1, "backtracks": 1,
    "exact": True,
    "record": trace_record([0, 4, 1], EditVocab(backtrack=4)), "answer": "5", "raw_answer": "3",
    "correct": True, "raw_correct": False,
}  # fmt: skip


def test_a_run_by_its_folder_its_log_and_its_file(run, logged):
    """All three lead to the same answer."""
    for path in (run, run / "traces", run / "traces" / "step-000007.jsonl"):
        source = only(path)
        assert source.kind is Kind.RUN
        (shown,) = source.answers
        assert (shown.step, shown.prompt, shown.tokens) == (7, logged.prompt, logged.tokens)
        assert shown.advantages == logged.advantages


def test_a_log_that_rotates_while_it_is_read(run, logged):
    """Steps come in order; one that made room after its name was read is left out."""
    log = TraceLog(run, 1)
    for step in (12, 9):
        log.write(step, [replace(logged, step=step)])
    files = logged_steps(run)
    assert [shown.step for shown in read_steps(files.values(), run).answers] == [7, 9, 12]
    files[7].unlink()
    assert [shown.step for shown in read_steps(files.values(), run).answers] == [9, 12]


def test_curves_of_a_run(run):
    """Those of its metrics; where they cannot be read, its answers are shown with a note."""
    assert only(run).charts == ()
    (run / "metrics.jsonl").write_text('{"step": 1, "backtrack/acc": 0.5}\n{"step": 2, "backtrack/acc": 1}\n')
    (chart,) = only(run).charts
    assert (chart.key, chart.series[0].steps, chart.series[0].values) == ("accuracy", (1, 2), (0.5, 1.0))
    (run / "metrics.jsonl").write_text("")
    assert (only(run).charts, len(only(run).answers)) == ((), 1)
    assert "has metrics of no step yet" in only(run).notes[0]


def test_a_folder_of_runs(run, logged):
    """Each run is a source, told apart by its name; runs of one name by their folder, too."""
    TraceLog(run.parent / "other", 1).write(1, [logged])
    TraceLog(run.parent / "deep" / "run", 1).write(1, [logged])
    names = [source.name for source in read_sources([run.parent])]
    assert names == ["deep/run", "other", f"{run.parent.name}/run"]


def test_half_a_record_is_left_out_and_counted(run, logged):
    """The last line of a log that was cut, in the middle of a character too; any other one is an error."""
    path = run / "traces" / "step-000007.jsonl"
    line = json.dumps(asdict(logged) | {"prompt": "数"}, ensure_ascii=False).encode()
    path.write_bytes(line + b"\n" + line[: line.index("数".encode()) + 1])
    assert (len(only(run).answers), only(run).skipped) == (1, 1)
    path.write_bytes(line[:40] + b"\n" + line)
    with pytest.raises(DataError, match=r"step-000007.jsonl, line 1 is no JSON object"):
        only(run)


def test_traces_of_lm_eval(tmp_path):
    """Ours: text as sampled and as left, both verdicts, scores of all filters, tokens where they are kept."""
    rows = [
        sample("5", filter="strict-match", metrics=["exact_match"], exact_match=1.0),
        sample(json.dumps(TRACE)),
    ]
    source = only(write_lines(tmp_path / "samples_countdown_backtrack_2026-01-02T03-04-05.6.jsonl", rows))
    (shown,) = source.answers
    assert (source.name, source.kind) == ("countdown_backtrack", Kind.LM_EVAL)
    assert (shown.prompt, shown.data_source, shown.group) == ("3 5 -> 8\n", "halluc/countdown", "3")
    assert (shown.tokens, shown.left, shown.flip) == (["3", "<|BACKTRACK|>", "5"], "5", Flip.TO_CORRECT)
    assert shown.scores["exact_match, strict-match"] == 1
    assert shown.record is None
    assert "--tokenizer" in source.notes[0]
    told = {"tokens": ["3", "<|BACKTRACK|>", "5"], "log_probs": [-1, -2, None], "edit_probs": [0, 1, 0]}
    several = json.dumps([TRACE | told] * 2)
    kept = only(write_lines(tmp_path / "samples_x.jsonl", [sample(several)]))
    assert [shown.answer for shown in kept.answers] == ["3_0", "3_1"]
    assert kept.answers[0].record.erased_at == (1, None, None)
    assert kept.answers[0].log_probs == [-1, -2, None]
    assert (kept.answers[0].entropies, kept.notes) == (None, ())


@pytest.mark.parametrize(
    ("fine", "correct", "flip"),
    [
        (True, True, Flip.UNNECESSARY),
        (True, False, Flip.TO_INCORRECT),
        (False, True, Flip.TO_CORRECT),
        (None, True, Flip.TO_CORRECT),
    ],
)
def test_flips_of_lm_eval_go_by_the_text_before_the_first_edit(tmp_path, fine, correct, flip):
    """Where the task judged it; the text as sampled, edits spelled out, counts elsewhere alone."""
    known = {} if fine is None else {"verdicts": [True, fine, True, correct]}
    trace = TRACE | known | {"correct": correct, "tokens": ["3", "<|BACKTRACK|>", "5"]}
    (shown,) = only(write_lines(tmp_path / "samples_x.jsonl", [sample(json.dumps(trace))])).answers
    assert (shown.flip, shown.verdicts) == (flip, known.get("verdicts"))
    trace.pop("tokens")  # the verdict stands without them, too
    (shown,) = only(write_lines(tmp_path / "samples_x.jsonl", [sample(json.dumps(trace))])).answers
    assert (shown.flip, shown.verdicts) == (flip, None)


def test_half_a_record_of_lm_eval(tmp_path):
    """A last score that was cut off is left out and counted; its document's trace is shown without it."""
    score = json.dumps(sample("5", filter="strict-match", metrics=["exact_match"], exact_match=1.0))
    path = write_lines(tmp_path / "samples_x.jsonl", [sample(json.dumps(TRACE))])
    path.write_text(path.read_text() + score[: len(score) // 2])
    source = only(path)
    assert (len(source.answers), source.skipped) == (1, 1)
    rows = [sample(json.dumps(TRACE), doc_id=doc) for doc in (3, 4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + score + "\n" + score[:40])
    source = only(path)
    assert source.skipped == 1
    assert ["exact_match, strict-match" in shown.scores for shown in source.answers] == [True, False]


def test_traces_of_lm_eval_with_a_tokenizer(tmp_path, tokenizer):
    """It gives the texts of ids whose texts were not kept."""
    ids = tokenizer.encode("3<|BACKTRACK|>5")
    trace = TRACE | {"record": trace_record(ids, EditVocab(backtrack=ids[1]))}
    path = write_lines(tmp_path / "samples_x.jsonl", [sample(json.dumps(trace))])
    (shown,) = only(path, tokenizer=str(tmp_path / "model")).answers
    assert (shown.tokens, shown.record.erased_at) == (["3", "<|BACKTRACK|>", "5"], (1, None, None))


def test_samples_of_any_task(tmp_path):
    """Stock ones have text and a verdict; of several samples no one's; likelihoods are refused."""
    scored = {"filter": "none", "metrics": ["exact_match"], "exact_match": 0.0}
    (shown,) = only(write_lines(tmp_path / "samples_a.jsonl", [sample("5", resps=[["5"]], **scored)])).answers
    assert (shown.tokens, shown.outcome) == (["5"], Outcome.WRONG)
    both = only(
        write_lines(tmp_path / "samples_b.jsonl", [sample("5", resps=[["5", "6"]], **scored)])
    ).answers
    assert [(shown.tokens, shown.outcome) for shown in both] == [(["5"], None), (["6"], None)]
    path = write_lines(tmp_path / "samples_c.jsonl", [sample("", resps=[[[-1.5, False]]], **scored)])
    with pytest.raises(DataError, match=r"line 1 is no sample of generated text"):
        only(path)


def test_a_parquet_of_traces(tmp_path, tokenizer):
    """Ids become texts by the tokenizer that is named; words that take back erase without an edit."""
    ids = tokenizer.encode("3+8<|BACKTRACK|>3")
    rows = [TraceRow(tokenizer.encode("8\n"), ids), TraceRow(tokenizer.encode("8\n"), ids)]
    write_traces(tmp_path / "traces.parquet", rows, tokenizer)
    source = only(tmp_path / "traces.parquet", tokenizer=str(tmp_path / "model"))
    assert (source.kind, len(source.answers)) == (Kind.TRACES, 2)
    assert source.answers[0].tokens == ["3", "+", "8", "<|BACKTRACK|>", "3"]
    assert source.answers[0].record.erased_at == (None, None, 3, None, None)
    words = [TraceRow([1], tokenizer.encode("3+8"), erased=[False, True, False])]
    write_traces(tmp_path / "words.parquet", words, tokenizer)
    (shown,) = only(tmp_path / "words.parquet", tokenizer=str(tmp_path / "model")).answers
    assert (shown.record.erased_at, shown.edits) == ((None, 2, None), 0)
    with pytest.raises(DataError, match="--tokenizer MODEL"):
        only(tmp_path / "traces.parquet")


def test_answers_of_a_search(tmp_path):
    """The answer, its verdict and its cost; problems where the data is still there."""
    row = {
        "row": 0,
        "answer": "3+5",
        "correct": True,
        "found": 2,
        "reachable": True,
        "tokens": 9,
        "flops": 100,
    }
    path = write_lines(
        tmp_path / "answers.jsonl", [row | {"search": {"data": str(tmp_path / "gone.parquet")}}]
    )
    source = only(path)
    assert source.answers[0].prompt == "problem 0"
    assert "gone.parquet is not there" in source.notes[0]
    asked = write_lines(tmp_path / "data.jsonl", [{"prompt": [{"role": "user", "content": "3 5 -> 8"}]}])
    (shown,) = only(write_lines(path, [row | {"search": {"data": str(asked)}}])).answers
    assert (shown.prompt, shown.outcome) == ("3 5 -> 8", Outcome.CORRECT)
    assert shown.scores == {"found": 2, "reachable": 1, "tokens": 9, "flops": 100}
    known = {"tokens": ["3", "+5"], "log_probs": [-1, None], "entropies": None, "edit_probs": [0, 0.5]}
    (shown,) = only(write_lines(path, [row | {"search": {}, "actions": known}])).answers
    assert (shown.tokens, shown.log_probs, shown.entropies) == (["3", "+5"], [-1, None], None)
    with pytest.raises(DataError, match="line 1 is no answer of a search"):
        only(write_lines(path, [{"row": 0, "reachable": True}]))


def test_the_states_of_a_search(tmp_path):
    """All samples are one trace, of which the answer is live; what was not kept is a figure."""
    space = Space(EditVocab(backtrack=4), frozenset({3}), frozenset({1}), max_tokens=9)
    asked = [((), (0, 1, 2, 4)), ((0, 1), (5, 3))]
    samples = [
        (Request((9, *state), 9, 1.0, frozenset()), Sample(ids, (-1.0,) * len(ids), space.end(ids[-1])))
        for state, ids in asked
    ]
    answer = Response((0, 1, 5, 3))
    told = visited((9,), Found([answer], Cost(1), samples), answer, space, Digits())
    row = {"row": 0, "answer": "015", "correct": True, "found": 1, "reachable": True, "tokens": 8, "flops": 1}
    row |= {"search": {}, "actions": {"tokens": ["0"]}, "visited": told | {"left_out": 2}}
    (shown,) = only(write_lines(tmp_path / "answers.jsonl", [row])).answers
    assert (shown.tokens, shown.starts) == (["0", "1", "2", "4", "5", "3"], [0, 4])
    assert shown.record.parent == (-1, 0, 1, 2, 1, 4)
    assert shown.record.erased_at == (None, None, 3, None, None, None)
    assert (shown.edits, shown.deepest, shown.log_probs) == (1, 1, [-1.0] * 6)
    assert (shown.scores["not kept"], shown.left) == (2, "015")


class Digits:
    """A tokenizer whose texts are the ids."""

    def decode(self, ids):
        """The ids, joined."""
        return "".join(map(str, ids))


def test_bad_input(tmp_path, run, logged):
    """Nothing there, an empty folder, an empty file, an empty log, a newer one, something else."""
    with pytest.raises(DataError, match=r"nothing does not exist"):
        only(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"folder holds no traces of a run and no samples"):
        only(tmp_path / "folder")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match=r"empty.jsonl is empty"):
        only(tmp_path / "empty.jsonl")
    (tmp_path / "other.txt").write_text("text\n")
    with pytest.raises(DataError, match=r"other.txt is no file of answers"):
        only(tmp_path / "other.txt")
    TraceLog(run, 1).write(7, [replace(logged, version=99)])
    with pytest.raises(DataError, match=r"line 1 has version 99"):
        only(run)
    (run / "traces" / "step-000007.jsonl").write_text("")
    with pytest.raises(DataError, match=r"has a log without answers"):
        only(run)
