"""Files that people bring: what can be read is read alike, and what nobody can use is named."""

import json
import subprocess

import pytest

from halluc_plugin.data.json_files import read_text
from halluc_plugin.data.parquet import checked_rows, read_rows_in_groups, write_parquet
from halluc_plugin.errors import DataError
from halluc_plugin.tasks import truth_fault
from tests.data.conftest import ROW, lines, refused, run


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("lines.jsonl", lambda rows: "".join(json.dumps(row) + "\n" for row in rows)),
        ("lines.json", lambda rows: "\n\n".join(json.dumps(row) for row in rows)),
        ("array.json", lambda rows: json.dumps(rows, indent=2)),
        ("array.jsonl", json.dumps),
        ("mark.jsonl", lambda rows: "\ufeff" + "\r\n".join(json.dumps(row) for row in rows)),
    ],
)
def test_json_reads_as_parquet_does(tmp_path, name, write):
    """An array or lines, whatever the name ends in."""
    rows = [ROW, ROW | {"extra_info": {"answer": "x"}}]
    write_parquet(tmp_path / "rows.parquet", rows, {})
    (tmp_path / name).write_text(write(rows), encoding="utf-8")
    assert checked_rows(tmp_path / name, truth_fault=truth_fault) == checked_rows(
        tmp_path / "rows.parquet", truth_fault=truth_fault
    )


def test_every_command_takes_json(model, tmp_path):
    """Traces of a JSON file are those of the parquet file with its rows; other commands take it, too."""
    path = lines(tmp_path / "rows.jsonl", ROW)
    write_parquet(tmp_path / "rows.parquet", [ROW], {})
    found = []
    for number, data in enumerate((path, tmp_path / "rows.parquet")):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert run("inject", model, data, folder, "--error-rate", "0.5").exit_code == 0
        found.append(list(read_rows_in_groups(folder / "inject-out.parquet")))
    assert found[0] == found[1]
    for command in ("search", "align"):
        done = run(command, model, path, tmp_path)
        assert done.exit_code == 0, (command, done.exception)


BAD_FILES = {
    "latin.jsonl": (
        json.dumps(ROW).encode() + b'\n{"prompt": "caf\xe9"}\n',
        "line 2 is not UTF-8 text (byte 0xe9)",
    ),
    "broken.jsonl": (json.dumps(ROW).encode() + b'\n\n{"prompt": \n', "line 3; JSONDecodeError"),
    "broken.json": (b'[\n{"prompt": 1},\n{"prompt" 2}]', "line 3; JSONDecodeError"),
    "number.jsonl": (b"1\n", "row 0 is 1, no JSON object"),
    "half.jsonl": (b'{"prompt": "\\ud800"}\n', "line 1; UnicodeEncodeError"),
    "deep.jsonl": (b'{"prompt": ' + b"[" * 100_000, "line 1; RecursionError"),
    "long.jsonl": (b'{"prompt": ' + b"9" * 5000 + b"}", "line 1; ValueError"),
    "empty.jsonl": (b"", "has no rows"),
    "columns.jsonl": (
        b'{"question": 1}\n',
        "has no column data_source, prompt, reward_model; it has question",
    ),
    "latin.parquet": (b"caf\xe9", "is no parquet file"),
}


@pytest.mark.parametrize("name", ["it's my file.json", "$HOME.json"])
def test_the_remedy_for_latin_1_can_be_pasted(tmp_path, name):
    """Whatever is in the path, the command that the message names writes the text in UTF-8."""
    path = tmp_path / name
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(DataError) as error:
        read_text(path)
    command = error.value.fix.split("`")[1]
    done = subprocess.run(command, shell=True, capture_output=True, check=True)
    assert done.stdout.decode() == "café"


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("command", ["inject", "search"])
def test_a_file_that_cannot_be_read_is_one_message(model, tmp_path, command, name):
    """With the file, and the line where there is one."""
    content, said = BAD_FILES[name]
    (tmp_path / name).write_bytes(content)
    message = refused(command, model, tmp_path / name, tmp_path)
    assert said in message
    assert str(tmp_path / name) in message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (9, "9 (int)"),
        (["9"], "['9'] (list)"),
        (None, "no reference answer"),
        ("", "no reference answer"),
        ({}, "(dict)"),
    ],
)
@pytest.mark.parametrize("command", ["inject", "align"])
def test_answers_that_are_no_text(model, tmp_path, command, answer, said):
    """The row and the type are named, before anything is written."""
    rows = lines(tmp_path / "rows.jsonl", ROW, ROW | {"extra_info": {"answer": answer}})
    message = refused(command, model, rows, tmp_path)
    assert "row 1 has" in message
    assert said in message
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data_source": None}, "data_source is empty"),
        ({"data_source": float("nan")}, "data_source is empty"),
        ({"data_source": ["a"]}, "data_source is ['a'], no name"),
        ({"prompt": "3 +4"}, "not a list of messages"),
        ({"prompt": []}, "not a list of messages"),
        ({"prompt": ["3 +4"]}, "a message without a role"),
        ({"prompt": [{"role": "user", "content": None}]}, "prompt is empty"),
        ({"prompt": [{"role": "user", "content": []}]}, "prompt is empty"),
        ({"prompt": [{"role": "user", "content": ["3"]}]}, "neither text nor a list of parts"),
        ({"prompt": [{"role": "user", "content": [{"type": "text"}]}]}, "a text part without text"),
        ({"reward_model": "9"}, "reward_model has no ground_truth"),
        ({"reward_model": {"ground_truth": None}}, "reward_model has no ground_truth"),
    ],
)
@pytest.mark.parametrize("command", ["inject", "search"])
def test_rows_that_nobody_can_use_are_named(model, tmp_path, command, change, said):
    """With file and row; what is never judged needs no ground truth that says anything."""
    rows = lines(tmp_path / "rows.jsonl", ROW, ROW | change)
    if command == "inject" and change == {"reward_model": {"ground_truth": None}}:
        assert run(command, model, rows, tmp_path).exit_code == 0
    else:
        message = refused(command, model, rows, tmp_path)
        assert f"{rows}, row 1: " in message
        assert said in message
