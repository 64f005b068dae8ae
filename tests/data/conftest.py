"""Rows that people bring, models with a chat template, and the commands that read rows."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.errors import DataError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import EDIT_TOKENS
from halluc_plugin.tokens.loading import save_tokenizer

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
