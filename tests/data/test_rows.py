"""Rows that people bring: what verl takes is taken by every command, and what nobody can use is named."""

import json
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.json_files import read_text
from halluc_plugin.data.parquet import checked_rows, read_rows_in_groups, storable, write_parquet
from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.rows import extra_info, ground_truth, messages, plain, text_of
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.sampling.problems import read_problems
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks import truth_fault
from halluc_plugin.tasks.gsm8k.verifier import Gsm8kVerifier
from halluc_plugin.tokens import EDIT_TOKENS
from halluc_plugin.tokens.loading import save_tokenizer
from halluc_plugin.verifiers import Outcome

ANSWER = "3+4=7\n7*7=9\n"
ASKED = "3 +4 *7 mod 10\n"
ROW = {
    "data_source": "halluc/chain",
    "prompt": [{"role": "user", "content": ASKED}],
    "reward_model": {
        "ground_truth": {"modulus": 10, "start": 3, "operations": ["+4", "*7"], "form": "steps"}
    },
    "extra_info": {"answer": ANSWER},
}
# Reads an argument, and takes content parts.
THINKING = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{% if enable_thinking is defined and not enable_thinking %}0{% else %}1"
    "{% endif %}{% endif %}"
)


def save_model(folder, template=None):
    """A small random model whose tokenizer has all edit tokens."""
    tokenizer = number_tokenizer(edit_tokens=EDIT_TOKENS)
    if template is not None:
        tokenizer.chat_template = template
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Its template prints content as it is."""
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    """Its template reads ``enable_thinking``, and takes content parts."""
    return save_model(tmp_path_factory.mktemp("thinker"), THINKING)


@pytest.fixture(scope="module")
def tokenizer():
    """The number-level tokenizer."""
    return number_tokenizer(edit_tokens=EDIT_TOKENS)


def lines(path, *rows):
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


COMMANDS = {
    "inject": ("data", "inject", "--tokenizer"),
    "align": ("data", "align", "-k", "1", "--max-tokens", "4", "--model"),
    "correct": ("data", "correct", "-k", "1", "--max-tokens", "4", "--model"),
    "verdicts": ("data", "verdicts", "-k", "1", "--max-tokens", "4", "--model"),
    "search": ("search", "--method", "greedy", "-n", "1", "--max-tokens", "4", "--model"),
}
JUDGING = ("correct", "verdicts", "search")


def run(command, model, data, tmp_path, *options):
    """One command on a file of rows."""
    out = () if command == "search" else ("--out", str(tmp_path / f"{command}-out.parquet"))
    arguments = [*COMMANDS[command], str(model), "--data", str(data), *out, *options]
    return CliRunner().invoke(app, arguments)


def refused(command, model, data, tmp_path, *options):
    """The one error of a command."""
    done = run(command, model, data, tmp_path, *options)
    assert isinstance(done.exception, DataError), (command, done.exception, done.stdout)
    return str(done.exception)


EXTRA_INFOS = {
    "a mapping": {"answer": ANSWER},
    "JSON text": json.dumps({"answer": ANSWER}),
    "other text": "no JSON {",
    "a list": [1, "x"],
    "a number": 3,
    "nothing": None,
    "an int answer": {"answer": 9},
    "no answer": {"index": 1},
    "an empty mapping": {},
}


@pytest.mark.parametrize("kind", EXTRA_INFOS)
@pytest.mark.parametrize("suffix", ["parquet", "json", "jsonl"])
def test_any_extra_info_in_any_file_is_accepted(tokenizer, tmp_path, kind, suffix):
    """Whoever judges answers reads the same problem from it."""
    if (kind, suffix) == ("an empty mapping", "parquet"):
        kind = "nothing"  # parquet has no empty mappings
    path = tmp_path / f"rows.{suffix}"
    if suffix == "parquet":
        if kind == "a list":
            pytest.skip("a parquet column has one type")
        write_parquet(path, [ROW | {"extra_info": EXTRA_INFOS[kind]}], {})
    else:
        lines(path, ROW | {"extra_info": EXTRA_INFOS[kind]})
    (problem,) = read_problems(path, tokenizer)
    assert tokenizer.decode(list(problem.prompt)) == ASKED
    assert problem.verifier.verify(problem.truth, ANSWER) is Outcome.CORRECT
    assert problem.verifier.verify(problem.truth, "3+4=7\n7*7=8\n") is Outcome.WRONG


def test_a_missing_extra_info_is_no_fault(tokenizer, tmp_path):
    """Not in the file at all, or left out of a row."""
    bare = {key: value for key, value in ROW.items() if key != "extra_info"}
    assert len(read_problems(lines(tmp_path / "bare.jsonl", bare), tokenizer)) == 1
    assert len(read_problems(lines(tmp_path / "some.jsonl", ROW, bare), tokenizer)) == 2


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
        assert run("inject", model, data, folder, "--rate", "0.5").exit_code == 0
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
    "truth", [72, 72.0, True, ["72"], {"answer": "72"}, "1,072", " 72", "72 ", "72$", ""]
)
def test_gsm8k_rows_that_no_answer_matches_are_refused(model, tmp_path, truth):
    """By whoever judges: to verl's scorer the number 72 is not the text 72, and no answer would be right."""
    gsm8k = ROW | {"data_source": "openai/gsm8k", "reward_model": {"ground_truth": truth}}
    rows = lines(tmp_path / "rows.jsonl", gsm8k)
    for command in JUDGING:
        message = refused(command, model, rows, tmp_path)
        assert f"row 0: reward_model.ground_truth is {truth!r}" in message
    assert run("inject", model, rows, tmp_path).exit_code == 0  # where nothing is judged
    function = tmp_path / "judge.py"
    function.write_text("def score(**_):\n    return 1.0\n")
    options = ("--reward-function", f"{function}:score")
    assert run("search", model, rows, tmp_path, *options).exit_code == 0


GROUND_TRUTHS = st.one_of(
    st.sampled_from(["72", "1,072", "1072", " 72", "-3.5", "72.", ".", "", "1072."]),
    st.integers(-99, 99), st.floats(allow_nan=True), st.none(), st.booleans(),
    st.integers(0, 99).map(np.int64),
    st.lists(st.text(), max_size=1), st.dictionaries(st.text(), st.text(), max_size=1),
)  # fmt: skip


@given(
    truth=GROUND_TRUTHS,
    said=st.sampled_from(["72", "1,072", "-3.5", ".", "True", "7", "72.0"]),
    mark=st.booleans(),
)
def test_gsm8k_has_one_judge(truth, said, mark):
    """On every ground truth and answer the verdict is verl's."""
    verl = pytest.importorskip("verl.utils.reward_score")
    answer = f"so it is {'#### ' if mark else ''}{said}"
    right = verl.default_compute_score("openai/gsm8k", answer, truth) == 1
    assert (Gsm8kVerifier().verify(truth, answer) is Outcome.CORRECT) == right


@pytest.mark.parametrize(
    ("source", "truth"),
    [
        ("halluc/countdown", "24"),
        ("halluc/countdown", json.dumps({"numbers": [1, 2], "target": 3})),
        ("halluc/countdown", {"numbers": [1, 2]}),
        ("halluc/countdown", {"numbers": None, "target": 3}),
        ("halluc/chain", {"modulus": 0, "start": 1, "operations": ["+1"], "form": "steps"}),
        ("halluc/addition", {"base": 10, "operation": "+", "a": [1], "b": [2, 3], "form": "steps"}),
        ("halluc/dag", {"modulus": 23, "definitions": ["a=b+b", "b=a+a"], "query": "a"}),
        ("halluc/dag", None),
        ("lighteval/MATH", 12),
        ("aime2025", 12),
    ],
)
def test_truths_that_a_judge_cannot_read_are_refused(tmp_path, source, truth):
    """Before a worker meets the first of them."""
    path = lines(
        tmp_path / "rows.jsonl", ROW, ROW | {"data_source": source, "reward_model": {"ground_truth": truth}}
    )
    with pytest.raises(DataError, match=r"rows.jsonl, row 1: reward_model"):
        checked_rows(path, truth_fault=truth_fault)
    if truth is not None:
        assert len(checked_rows(path, truth_fault=None)) == 2


@pytest.mark.parametrize(
    "truth",
    [
        {"numbers": np.array([3, 5, 7]), "target": np.int64(22)},
        {"numbers": (3, 5, 7), "target": 22.0},
        {"numbers": [np.int32(3), 5, 7], "target": 22, "modulus": None},
    ],
)
def test_numpy_in_a_row_changes_nothing(truth):
    """A row out of pandas, or of verl's workers, is the row that JSON would hold."""
    prompt = np.array(
        [{"role": "user", "content": np.array([{"type": "text", "text": "3 5"}])}], dtype=object
    )
    row = {"prompt": prompt, "reward_model": {"ground_truth": truth}, "extra_info": np.array([1, 2])}
    assert messages(row) == [{"role": "user", "content": [{"type": "text", "text": "3 5"}]}]
    assert ground_truth(row)["numbers"] == [3, 5, 7]
    assert ground_truth(row)["target"] == 22
    assert extra_info(row) == {}
    json.dumps([messages(row), ground_truth(row)])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_extra_info_of_any_json(value):
    """As a value and as its text it is the same mapping, and it is never an error."""
    found = extra_info({"extra_info": value})
    assert found == (value if isinstance(value, dict) else extra_info({"extra_info": value}))
    assert isinstance(found, dict)
    if isinstance(value, dict):
        assert extra_info({"extra_info": json.dumps(value)}) == value
    assert plain(value) == value


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


class TestParts:
    """Content as a list of parts."""

    ROW = ROW | {
        "prompt": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "3 +4 "}, {"type": "text", "text": "*7 mod 10\n"}],
            }
        ]
    }

    def test_a_template_that_takes_them_writes_their_text(self, thinker, tmp_path):
        """The prompt is that of the text in one piece."""
        from halluc_plugin.tokens.loading import load_tokenizer

        known = load_tokenizer(str(thinker))
        write_parquet(tmp_path / "rows.parquet", [self.ROW], {})
        (problem,) = read_problems(tmp_path / "rows.parquet", known)
        assert known.decode(list(problem.prompt)) == ASKED + "1"
        assert text_of(self.ROW["prompt"][0]["content"]) == ASKED

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_template_that_prints_the_list_is_refused(self, model, tmp_path, command):
        """The model would be asked about Python's brackets."""
        rows = lines(tmp_path / "rows.jsonl", ROW, self.ROW | {"extra_info": {"answer": ANSWER}})
        message = refused(command, model, rows, tmp_path)
        assert "row 1: The chat template prints the content parts of a message as data" in message

    @pytest.mark.parametrize(
        ("template", "said"),
        [
            ("{{ messages[0].content | tojson }}", "as data"),
            ("{{ messages[0].content[0] }}", "as data"),
            ("{{ messages[0].content[0].text }}", "leaves out text"),
            ("{{ '<user>' + messages[0].content }}", "cannot write the prompt"),
        ],
    )
    def test_other_templates_that_do_not_take_them(self, tokenizer, template, said):
        """Each is named for what it does."""
        known = number_tokenizer()
        known.chat_template = template
        with pytest.raises(DataError, match=said):
            prompt_ids(known, self.ROW["prompt"])

    def test_a_tokenizer_without_a_template(self):
        """Verl would drop every row as too long."""
        known = number_tokenizer()
        known.chat_template = None
        with pytest.raises(DataError, match="cannot write the prompt"):
            prompt_ids(known, ROW["prompt"])

    def test_content_that_is_neither_text_nor_parts(self, tmp_path):
        """It is shown with its row."""
        row = ROW | {"prompt": [{"role": "user", "content": {"text": "x"}}]}
        with pytest.raises(DataError, match=r"row 0: prompt holds content \{'text': 'x'\}"):
            checked_rows(lines(tmp_path / "rows.jsonl", row), truth_fault=truth_fault)


class TestTemplateArguments:
    """``--template-kwargs``, or by the whole name of verl's ``data.apply_chat_template_kwargs``."""

    @pytest.mark.parametrize(("given", "end"), [(None, "1"), ('{"enable_thinking": false}', "0")])
    @pytest.mark.parametrize("command", ["inject", "align"])
    def test_they_reach_the_prompts_of_traces(self, thinker, tmp_path, command, given, end):
        """What the template makes of them is at the end of every prompt."""
        options = () if given is None else ("--template-kwargs", given)
        done = run(command, thinker, lines(tmp_path / "rows.jsonl", ROW), tmp_path, *options)
        assert done.exit_code == 0, done.exception
        known = number_tokenizer(edit_tokens=EDIT_TOKENS)
        rows = list(read_rows_in_groups(tmp_path / f"{command}-out.parquet"))
        assert {known.decode(row["prompt_ids"]) for row in rows} == {ASKED + end}

    @pytest.mark.parametrize("command", ["countdown", "chain"])
    def test_they_reach_generated_traces(self, thinker, tmp_path, command):
        """And the data card says so."""
        fixed = [
            "data",
            command,
            "--tokenizer",
            str(thinker),
            "--out",
            str(tmp_path),
            "--train",
            "3",
            "--test",
            "2",
        ]
        done = CliRunner().invoke(app, [*fixed, "--apply-chat-template-kwargs", '{"enable_thinking": false}'])
        assert done.exit_code == 0, done.exception
        known = number_tokenizer(edit_tokens=EDIT_TOKENS)
        rows = list(read_rows_in_groups(tmp_path / command / "traces.parquet"))
        assert all(known.decode(row["prompt_ids"]).endswith("\n0") for row in rows)
        card = json.loads((tmp_path / command / "card.json").read_text())
        assert card["traces"]["apply_chat_template_kwargs"] == {"enable_thinking": False}

    def test_they_reach_the_judging_commands(self, thinker, tmp_path, monkeypatch):
        """The prompts that a sampler is asked for are those with the arguments."""
        from halluc_plugin.sampling.hf import HFSampler

        asked, sample = [], HFSampler.sample

        def remembering(self, requests):
            asked.extend(request.prefix for request in requests)
            return sample(self, requests)

        monkeypatch.setattr(HFSampler, "sample", remembering)
        known = number_tokenizer(edit_tokens=EDIT_TOKENS)
        rows = lines(tmp_path / "rows.jsonl", ROW)
        for command in JUDGING:
            asked.clear()
            done = run(
                command, thinker, rows, tmp_path, "--apply-chat-template-kwargs", '{"enable_thinking": false}'
            )
            assert asked, done.exception
            assert known.decode(list(asked[0])) == ASKED + "0", command

    @pytest.mark.parametrize("given", ["{", "[]", "3", '"x"', '{"tokenize": false}', '{"tools": []}'])
    @pytest.mark.parametrize("command", COMMANDS)
    def test_what_is_no_arguments_is_refused(self, model, tmp_path, command, given):
        """Before anything is read."""
        done = run(command, model, tmp_path / "absent", tmp_path, "--apply-chat-template-kwargs", given)
        assert isinstance(done.exception, SettingsError)
        assert "apply_chat_template_kwargs" in str(done.exception)


class TestStorage:
    """Rows of any JSON go into trace files."""

    def test_columns_without_a_type_become_text(self, model, tmp_path):
        """Every row comes back as it was, read as rows are."""
        rows = [ROW | {"extra_info": {"answer": ANSWER, "more": more}} for more in (1, "x", {}, [None])]
        done = run("inject", model, lines(tmp_path / "rows.jsonl", *rows), tmp_path, "--rate", "0.5")
        assert done.exit_code == 0, done.exception
        kept = list(read_rows_in_groups(tmp_path / "inject-out.parquet"))
        assert [extra_info(row)["more"] for row in kept[::2]] == [1, "x", {}, [None]]
        assert storable([]) == []

    def test_what_is_empty_at_first_may_have_a_type_later(self, tmp_path):
        """Parts of a file, some without a value in a column, are one file."""

        def make(number, items):
            return [
                {"item": item, "hint": {"text": None if number == 0 else "x", "n": None}} for item in items
            ], {}

        path = tmp_path / "rows.parquet"
        PartedFile(path, make, {}, {}, items_per_part=2).write(range(4))
        assert [row["hint"]["text"] for row in read_rows_in_groups(path)] == [None, None, "x", "x"]
