"""Where tasks find their data and the tokenizer, and what they say when they do not."""

import pytest
from tokenizers import AddedToken

from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from lm_eval_tasks.data import local_folder, read_rows
from lm_eval_tasks.trace import TraceReader

FILES = ["train.jsonl", "test.jsonl"]


def test_the_environment_names_a_folder_of_data_sets(monkeypatch, gsm8k_folder, load_task):
    """With HALLUC_DATA_DIR set, the task reads its files there and needs no hub."""
    monkeypatch.setenv("HALLUC_DATA_DIR", str(gsm8k_folder))
    task = load_task("gsm8k_backtrack")
    assert [row["answer"][-5:] for row in task.test_docs()] == ["## 42", "1,200"]


def test_metadata_wins_and_may_name_the_data_set_itself(monkeypatch, gsm8k_folder, tmp_path):
    """data_dir is a folder of data sets or the data set's own folder, whatever the environment says."""
    monkeypatch.setenv("HALLUC_DATA_DIR", str(tmp_path))
    for named in (gsm8k_folder, gsm8k_folder / "gsm8k"):
        assert local_folder("gsm8k", FILES, {"data_dir": str(named)}) == gsm8k_folder / "gsm8k"


def test_a_data_set_that_the_environment_lacks_comes_from_its_default_source(monkeypatch, tmp_path):
    """HALLUC_DATA_DIR without a folder for a data set leaves that data set alone; so does its absence."""
    monkeypatch.setenv("HALLUC_DATA_DIR", str(tmp_path))
    assert local_folder("gsm8k", FILES, {}) is None
    monkeypatch.delenv("HALLUC_DATA_DIR")
    assert local_folder("gsm8k", FILES, {"pretrained": "m", "cache_dir": "c"}) is None


def test_a_missing_folder_or_file_is_named(monkeypatch, tmp_path):
    """The message names the folder, the missing file and where to put it."""
    with pytest.raises(DataError, match=r"data_dir is .*absent, which is not a folder.*has gsm8k/ in it"):
        local_folder("gsm8k", FILES, {"data_dir": str(tmp_path / "absent")})
    with pytest.raises(DataError, match=r"no train.jsonl and no test.jsonl.*Put train.jsonl and"):
        local_folder("gsm8k", FILES, {"data_dir": str(tmp_path)})
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl").touch()
    monkeypatch.setenv("HALLUC_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"gsm8k has no train.jsonl \(HALLUC_DATA_DIR names it\)"):
        local_folder("gsm8k", FILES, {})


def test_a_misspelt_data_dir_is_refused():
    """A metadata key close to data_dir is an error, since lm_eval itself ignores unknown keys."""
    with pytest.raises(SettingsError, match=r"'datadir', which no task knows.*Write 'data_dir'"):
        local_folder("gsm8k", FILES, {"datadir": "x"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"question": "q"}\n', r"test.jsonl, row 1 is not a row with question, answer \(KeyError"),
        ("[1]\n", "row 1 is not a row"),
        ('{"question": "q", "answer": "a"}\nnot json\n', r"row 2 is not a row .*JSONDecodeError"),
        ("", "test.jsonl is empty"),
    ],
)
def test_malformed_files_are_refused(load_task, gsm8k_folder, tmp_path, content, message):
    """A line that is no row, or no line at all, is named with file and line."""
    (tmp_path / "train.jsonl").write_text((gsm8k_folder / "gsm8k" / "train.jsonl").read_text())
    (tmp_path / "test.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        load_task("gsm8k_backtrack", data_dir=tmp_path)


def test_a_line_break_of_unicode_ends_no_row(tmp_path):
    """A problem may hold any character; rows are lines, and blank lines are none."""
    path = tmp_path / "test.jsonl"
    path.write_text('{"question": "a\u2028b", "answer": "1"}\n\n{"question": "c", "answer": "2"}\r\n')
    assert [row["question"] for row in read_rows(path, ["question"])] == ["a\u2028b", "c"]


def test_an_unreachable_hub_is_one_message_with_the_way_out(monkeypatch, load_task):
    """Offline and without local files, the error says which folder to set and what goes into it."""

    def unreachable(*args, **kwargs):
        raise ConnectionError("Couldn't reach 'openai/gsm8k' on the Hub\nmore")

    monkeypatch.delenv("HALLUC_DATA_DIR", raising=False)
    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(DataError, match=r"on the Hub\).*HALLUC_DATA_DIR .*gsm8k/\{train.jsonl,test.jsonl\}"):
        load_task("gsm8k_backtrack")


def test_edit_tokens_without_a_tokenizer_are_an_error():
    """Text cannot be collapsed without a tokenizer; the message says how to name one."""
    reader = TraceReader.from_metadata({"model": "an-api-model"})
    with pytest.raises(TokenizerError, match=r"tokenizer.* is not known.*--metadata"):
        reader.read("4<|BACKTRACK|>")
    assert reader.read("4").exact


def test_the_text_of_an_edit_token_is_text_to_a_model_without_it(byte_tokenizer):
    """For a tokenizer without edit tokens nothing is an edit, and the answer is exact as it is."""
    trace = TraceReader(byte_tokenizer()).read("4<|BACKTRACK|>2")
    assert (trace.resolved, trace.backtracks, trace.exact) == ("4<|BACKTRACK|>2", 0, True)
    assert trace.raw_tokens == len("4<|BACKTRACK|>2")


def test_a_special_backtrack_token_is_refused_before_anything_runs(byte_tokenizer):
    """A special edit token vanishes when the hf model decodes, so its answers would look untouched."""
    with pytest.raises(TokenizerError, match="special"):
        TraceReader(byte_tokenizer(AddedToken("<|BACKTRACK|>", special=True, normalized=False)))


def test_a_tokenizer_that_cannot_be_loaded_only_costs_the_token_counts(tmp_path):
    """Stock models without a tokenizer of their own still run; their answers have no edits."""
    trace = TraceReader.from_metadata({"pretrained": str(tmp_path / "absent")}).read("42")
    assert (trace.resolved, trace.raw_tokens, trace.exact) == ("42", 0, True)


def test_a_step_delimiter_must_be_text():
    """Metadata arrives as JSON, so its types are checked."""
    with pytest.raises(SettingsError, match="step_delimiter is 3"):
        TraceReader.from_metadata({"step_delimiter": 3})
