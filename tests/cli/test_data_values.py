"""`halluc data values | mix | turns`, with a policy whose success is known in place of the model."""

import json
import shlex

import pyarrow.parquet as pq
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from halluc_plugin.cli import data_values
from halluc_plugin.cli.app import app
from halluc_plugin.data.parquet import write_parquet
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.data.value_files import read_values
from halluc_plugin.errors import DataError, HallucError, SettingsError
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.tokens.loading import save_tokenizer
from halluc_plugin.viewer.sources import read_sources


@pytest.fixture(scope="module")
def model(chains, tmp_path_factory):
    """A folder with the tokenizer; the weights are never asked."""
    folder = tmp_path_factory.mktemp("model")
    new_model(chains.tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(chains.tokenizer, folder)
    return folder


@pytest.fixture
def problems(chains, tmp_path):
    """A file of twenty chains of six steps."""
    posed = [chains.problem(6, number) for number in range(20)]
    rows = [
        {
            "data_source": "halluc/chain",
            "prompt": [{"role": "user", "content": chains.tokenizer.decode(problem.prompt)}],
            "reward_model": {"style": "rule", "ground_truth": problem.truth},
        }
        for problem in posed
    ]
    write_parquet(tmp_path / "problems.parquet", rows, {})
    return tmp_path / "problems.parquet"


@pytest.fixture
def asked(model, problems):
    """What every call of `values` is given."""
    return ["values", "--data", problems, "--model", model]


@pytest.fixture
def policy(chains, monkeypatch):
    """Each line is right nine times in ten; it is stopped at the call of this number."""

    class Stopped(type(chains.policy([], 0))):
        stop_at = None

        def sample(self, requests):
            if self.stop_at == len(self.calls):
                raise KeyboardInterrupt
            return super().sample(requests)

    known = chains.policy([chains.problem(6, number) for number in range(20)], 0.9)
    policy = Stopped(known.problems, known.p, known.answer, known.new_line)
    monkeypatch.setattr(data_values, "open_engine", lambda *_: policy)
    return policy


def invoke(*args):
    """Run a command that must succeed."""
    result = CliRunner().invoke(app, ["data", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("method", [("--method", "each"), ("--method", "binary", "--labels", "hard")])
def test_values_are_written_and_gone_on_with(chains, asked, policy, tmp_path, method):
    """The card counts what is in the file; stopped, the command goes on behind the last whole part."""
    args = [*asked, "--continuations", "2", "--seed", "3", *method]
    whole, stopped = tmp_path / "whole.parquet", tmp_path / "stopped.parquet"
    invoke(*args, "--out", whole)
    rows = read_values(whole, chains.tokenizer, step_delimiter="\n", data_sources={"halluc/chain"})
    card = json.loads(whole.with_suffix(".card.json").read_text())
    assert card["count"] == len(rows)
    assert card["answers"] == 80 == card["right"] + card["wrong"] + card["unfinished"]
    assert card["continuations"] == 2 * card["prefixes"]
    assert sum(map(len, policy.calls)) == 80 + card["continuations"]
    needed = len(policy.calls)
    policy.calls.clear()
    policy.stop_at = needed - 1  # in the last of three parts
    result = CliRunner().invoke(app, ["data", *map(str, args), "--out", str(stopped)])
    assert result.exit_code == 130 or isinstance(result.exception, (KeyboardInterrupt, SystemExit))
    assert not stopped.exists()
    policy.calls.clear()
    policy.stop_at = None
    invoke(*args, "--out", stopped)
    assert len(policy.calls) <= needed // 2
    assert stopped.read_bytes() == whole.read_bytes()


@pytest.mark.usefixtures("policy")
def test_second_attempts_are_asked_behind_first_ones(chains, asked, model, problems, tmp_path):
    """Each problem is a row whose prompt holds its first answer, with its end, and the request."""
    own, out = tmp_path / "own.parquet", tmp_path / "questions.parquet"
    invoke(*asked, "--continuations", "1", "--out", own)
    turns = ("turns", "--data", own, "--tokenizer", model, "--out", out)
    said = invoke(*turns, "--request", "?\n", "--problems", problems)
    rows, card = pq.read_table(out).to_pylist(), json.loads((tmp_path / "questions.card.json").read_text())
    assert card["count"] == len(rows) == 20
    assert card["wrong_first"] == sum(not row["extra_info"]["first_correct"] for row in rows)
    assert "--tasks chain_backtrack" in said
    given = read_values(own, chains.tokenizer)
    for row in rows:
        (message,) = row["prompt"]
        ids = chains.tokenizer.encode(message["content"])
        first = next(each for each in given if ids[: len(each.prompt_ids)] == each.prompt_ids)
        attempt = [token for step in first.step_ids for token in step]
        assert ids == [*first.prompt_ids, *attempt, *chains.tokenizer.encode("?\n")]
        assert row["extra_info"]["first_correct"] is first.correct
    with pytest.raises(SettingsError, match="--problems means nothing without --request"):
        invoke(*turns, "--problems", problems)


@pytest.mark.usefixtures("policy")
def test_values_are_balanced_mixed_and_made_turns_of(chains, asked, model, tmp_path):
    """The command that is printed balances; published labels are mixed in; turns have the earlier ones."""
    own, published = tmp_path / "own.parquet", tmp_path / "p.json"
    said = invoke(*asked, "--continuations", "1", "--out", own)
    words, train = (shlex.split(line.partition(": ")[2]) for line in said.splitlines() if ": halluc " in line)
    get_command(app).commands["train"].make_context("train", train[2:]).close()
    assert train[train.index("--data") + 1] == words[words.index("--out") + 1]
    invoke(*words[2:])
    balanced = read_values(tmp_path / "own-balanced.parquet", chains.tokenizer)
    assert 2 * sum(row.correct for row in balanced) == len(balanced)

    row = {"problem": "1+1?", "steps": ["a", "b"], "label": 1}
    published.write_text(json.dumps([row] * 10))
    both = ["mix", "--data", own, "--data", published, "--tokenizer", model, "--out", tmp_path / "m.parquet"]
    invoke(*both, "--mix", "2:1")
    sources = [row.data_source for row in read_values(tmp_path / "m.parquet", chains.tokenizer)]
    assert (sources.count("halluc/chain"), sources.count("processbench")) == (20, 10)

    invoke(
        "turns", "--data", own, "--tokenizer", model, "--trajectories", "9", "--out", tmp_path / "t.parquet"
    )
    turns = read_values(tmp_path / "t.parquet", chains.tokenizer)
    card = json.loads((tmp_path / "t.card.json").read_text())
    assert card["count"] == len(turns) == card["right"] + card["wrong"]
    asked = [chains.tokenizer.decode(row.prompt_ids).count("Is the turn correct? ") for row in turns]
    assert {0, 1, 2, 3} <= set(asked) <= {0, 1, 2, 3, 4}

    out = tmp_path / "attempts.parquet"
    said = invoke("turns", "--data", own, "--tokenizer", model, "--request", "?\n", "--out", out)
    attempts, card = (
        read_traces(out, chains.tokenizer),
        json.loads((tmp_path / "attempts.card.json").read_text()),
    )
    assert card["count"] == len(attempts) == card["wrong_first"] + card["right_first"]
    assert "halluc train" in said
    ask = chains.tokenizer.encode("?\n")
    for trace in attempts:
        ends = [at for at, token in enumerate(trace.response_ids, 1) if token == chains.eos]
        assert len(ends) == 2
        assert trace.response_ids[ends[0] : ends[0] + 2] == ask
        assert trace.erased == [trace.erased[0]] * ends[0] + [True] * 2 + [False] * (ends[1] - ends[0] - 2)
    (source,) = read_sources([out], tokenizer=str(model))
    assert len(source.answers) == len(attempts)
    with pytest.raises(SettingsError, match="--revisions means nothing with --request"):
        invoke(
            "turns", "--data", own, "--tokenizer", model, "--request", "?", "--revisions", "2", "--out", out
        )

    published.write_text(json.dumps([row]))
    only = ["mix", "--data", published, "--tokenizer", model, "--out", tmp_path / "o.parquet", "--balance"]
    with pytest.raises(DataError, match=r"All 1 responses in .*p\.json are wrong"):
        invoke(*only)
    assert not (tmp_path / "o.parquet").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--continuations", "0"), "0 continuations"),
        (("--temperature", "0"), "temperature 0"),
        (("--partials", "0"), "share of partial solutions"),
        (("--searches", "3"), "no meaning for --method each"),
        (("--step-delimiter", "\n\n"), "ends with the step delimiter"),
        (("--max-tokens", "5000"), "does not fit in the model's 1024 positions"),
        (("--reward-function", "nowhere:f"), "nowhere"),
        (("--data", "none.parquet"), "does not exist"),
    ],
)
def test_bad_input_is_one_line_before_a_model_is_loaded(asked, monkeypatch, tmp_path, more, told):
    """Nothing is sampled, nothing is written."""
    monkeypatch.setattr(data_values, "open_engine", None)
    with pytest.raises(HallucError, match=told) as raised:
        invoke(*asked, "--out", tmp_path / "v.parquet", *more)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["problems.parquet"]
