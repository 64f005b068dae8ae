"""Prompts of rows: content in parts, and the arguments of chat templates, as in training."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import checked_rows, read_rows_in_groups, write_parquet
from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.data.rows import text_of
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.sampling.problems import read_problems
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks import truth_fault
from halluc_plugin.tokens import EDIT_TOKENS
from tests.data.conftest import ANSWER, ASKED, COMMANDS, JUDGING, ROW, lines, refused, run


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
