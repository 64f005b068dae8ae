"""Files of streams: what is in them, and that their rows are those of the same problems with equations."""

import json

import pytest

from halluc_plugin.data.parquet import read_rows
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.errors import SettingsError
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tasks.countdown.streams.files import AnswerFormat, StreamSettings
from halluc_plugin.tasks.countdown.streams.reading import End, read_stream
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.verifiers import Outcome

TOKENIZER = number_tokenizer()


def no_progress(items, what, total):
    """Show nothing."""
    return items


def written(folder, form, longest=512, workers=1):
    """The files of a small data set."""
    streams = StreamSettings(form, longest)
    request = CountdownRequest(train=40, test=5, backtracking=0, variants=1, streams=streams)
    return write_countdown(folder, request, TOKENIZER, no_progress, workers=workers)


def texts(files):
    """Truth and text of each trace."""
    rows = read_rows(files.traces, ("reward_model", "response_ids"))
    ids = [row["response_ids"] for row in rows]
    assert ids == [row.response_ids for row in read_traces(files.traces, TOKENIZER)]
    return [(row["reward_model"]["ground_truth"], TOKENIZER.decode(row["response_ids"])) for row in rows]


def test_streams_of_all_problems_are_kept(tmp_path):
    """Those that fail too, as in the paper; no edit token is needed, and the card counts what there is."""
    files = written(tmp_path, AnswerFormat.STREAM)
    found = texts(files)
    ends = [read_stream(truth, text.removesuffix(TOKENIZER.eos_token)).end for truth, text in found]
    card = json.loads(files.card.read_text())["traces"]
    assert card["count"] == len(found) == 40 == sum(card["strategies"].values())
    assert card["reached"] == ends.count(End.CLAIMED) > 10
    assert card["failed"] == ends.count(End.GAVE_UP) > 5
    assert card["cut"] == ends.count(End.CUT)


def test_a_long_stream_is_cut_behind_a_line(tmp_path):
    """It has no EOS, and no line is cut in two."""
    files = written(tmp_path, AnswerFormat.STREAM, longest=60)
    ids = [row.response_ids for row in read_traces(files.traces, TOKENIZER)]
    assert max(map(len, ids)) <= 60
    cut = [one for one in ids if one[-1] != TOKENIZER.eos_token_id]
    assert len(cut) == json.loads(files.card.read_text())["traces"]["cut"] > 5
    assert all(TOKENIZER.decode(one).endswith("\n") for one in cut)


def test_the_optimal_twin_has_the_same_problems(tmp_path):
    """Its streams are right and have no dead end; problems are those of the streams and of equations."""
    twin, streams, equations = (written(tmp_path / form, form) for form in reversed(AnswerFormat))
    for truth, text in texts(twin):
        stream = text.removesuffix(TOKENIZER.eos_token)
        assert CountdownVerifier().verify(truth, stream) is Outcome.CORRECT
        assert read_stream(truth, stream).explored == 2
    for split in ("train", "test_seen", "test_new"):
        rows = [read_rows(files.problems(split), ("prompt",)) for files in (twin, streams, equations)]
        assert rows[0] == rows[1] == rows[2]


def test_workers_write_the_same_file(tmp_path):
    """Two processes write what one writes."""
    one, two = (written(tmp_path / str(n), AnswerFormat.STREAM, workers=n) for n in (1, 2))
    assert texts(one) == texts(two)


def test_a_length_that_holds_nothing():
    """Streams that could not hold their first lines are refused."""
    with pytest.raises(SettingsError, match="15 tokens"):
        StreamSettings(longest=15)
