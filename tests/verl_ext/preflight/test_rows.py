"""Rows in a run: what verl's data set, our checks, loops and rewards make of one that people bring."""

import asyncio
import json

import hydra.utils
import numpy as np
import pytest
import torch
from omegaconf import open_dict
from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap, _agent_loop_registry
from verl.utils.dataset.rl_dataset import get_dataset_class

from halluc_plugin.data.parquet import read_rows_in_groups, write_parquet
from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.data.rows import extra_info
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.tokens.loading import load_tokenizer
from verl_ext import compat
from verl_ext.recipe.base import EXIT_BAD_INPUT
from verl_ext.recipe.callback import RunCallback

THINKING = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{% if enable_thinking is defined and not enable_thinking %}0{% else %}1"
    "{% endif %}{% endif %}"
)
WANTS_A_USER = (
    "{% if messages | selectattr('role', 'equalto', 'user') | list | length == 0 %}"
    "{{ raise_exception('no user') }}{% endif %}"
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% endif %}{% endfor %}"
)
ANSWER = "1+2=3\n"
EXTRA_INFOS = {
    "a mapping": {"answer": ANSWER, "index": 3},
    "JSON text": json.dumps({"answer": ANSWER, "index": 3}),
    "other text": "no JSON {",
    "a list": [1, 2],
    "a number": 3,
    "nothing": None,
    "an int answer": {"answer": 9, "index": 3},
    "an answer that is a list": {"answer": ["9"], "index": 3},
}


@pytest.fixture
def given(config, data, tmp_path):
    """Builds a run's config on rows that one function makes of each of the data set's."""

    def build_config(change, *overrides, suffix="parquet", **more):
        rows = [change(row) for row in read_rows_in_groups(data.train)]
        path = tmp_path / f"rows.{suffix}"
        if suffix == "parquet":
            write_parquet(path, rows, {})
        else:
            array = suffix == "json"
            path.write_text(json.dumps(rows) if array else "\n".join(map(json.dumps, rows)))
        files = [f"data.{part}_files={path}" for part in ("train", "val")]
        return config(*files, *overrides, **more)

    return build_config


def refused(config, capsys):
    """The one message of a run that is refused."""
    with pytest.raises(SystemExit) as exit_:
        RunCallback().on_run_start(config)
    assert exit_.value.code == EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert said.startswith("halluc: ")
    assert said.count("\n") == 1
    return said


def first_row(config):
    """What verl's own loading makes of the first row of a prepared run."""
    with open_dict(config):
        config.data.filter_overlong_prompts = True
        config.data.filter_overlong_prompts_workers = None
    tokenizer = load_tokenizer(config.actor_rollout_ref.model.path)
    return get_dataset_class(config.data)(config.data.train_files, tokenizer, config.data)[0]


@pytest.mark.parametrize("suffix", ["parquet", "json", "jsonl"])
@pytest.mark.parametrize("kind", EXTRA_INFOS)
def test_any_extra_info_starts_and_loads(given, kind, suffix):
    """The checks accept the row, and the data set that they leave verl with reads it: the index, too."""
    started = given(lambda row: {**row, "extra_info": EXTRA_INFOS[kind]}, suffix=suffix)
    RunCallback().on_run_start(started)
    row = first_row(started)
    assert row["extra_info"] == extra_info({"extra_info": EXTRA_INFOS[kind]})
    assert row["index"] == (3 if "index" in row["extra_info"] else 0)
    stock = kind in {"a mapping", "nothing", "an int answer", "an answer that is a list"}
    assert (started.data.custom_cls.path is None) == stock


def test_rows_without_extra_info_start(given):
    """It is for answers and indices, which a run can do without."""
    started = given(lambda row: {key: row[key] for key in ("data_source", "prompt", "reward_model")})
    RunCallback().on_run_start(started)
    assert first_row(started)["extra_info"] == {}


def test_a_data_set_of_the_users_is_kept(given, tmp_path):
    """It may want what it finds."""
    (tmp_path / "mine.py").write_text("from verl.utils.dataset.rl_dataset import RLHFDataset as Mine\n")
    own = (f"data.custom_cls.path={tmp_path / 'mine.py'}", "data.custom_cls.name=Mine")
    started = given(lambda row: {**row, "extra_info": "{}"}, *own)
    RunCallback().on_run_start(started)
    assert started.data.custom_cls.path == str(tmp_path / "mine.py")


def test_files_of_several_kinds(given, config, data, tmp_path):
    """A list may mix them; what verl does not know by its name, or no file at all, is refused."""
    given(lambda row: row, suffix="jsonl")
    RunCallback().on_run_start(config(f"data.train_files=[{data.train},{tmp_path / 'rows.jsonl'}]"))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ("null", "data.train_files names no file"),
        ("[]", "data.train_files names no file"),
        ("[3]", "data.train_files holds 3, no local path"),
        ("hdfs://a/b.parquet", "data.train_files holds 'hdfs://a/b.parquet', no local path"),
        ("{tmp}/rows.pq", "tells them by their names"),
        ("{tmp}/absent.jsonl", "absent.jsonl does not exist"),
        ("{tmp}/latin.jsonl", "latin.jsonl, line 1 is not UTF-8 text (byte 0xe9)"),
        ("{tmp}/broken.json", "broken.json, row 1 is not a row of JSON (line 1; JSONDecodeError"),
    ],
)
def test_files_that_cannot_be_read(config, capsys, tmp_path, files, said):
    """Each is one message before any worker starts."""
    (tmp_path / "rows.pq").touch()
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "caf\xe9"}\n')
    (tmp_path / "broken.json").write_bytes(b"[{]")
    assert said in refused(config(f"data.train_files={files.format(tmp=tmp_path)}"), capsys)


@pytest.mark.parametrize("truth", [72, 72.5, "1,072", " 72"])
@pytest.mark.parametrize("recipe", ["halluc_grpo", "grpo_baseline"])
def test_gsm8k_truths_that_nothing_matches(given, capsys, tmp_path, truth, recipe):
    """A run would be paid nothing, ever; with a function of the user's it is the function's to know."""
    number_tokenizer().save_pretrained(tmp_path / "plain")
    model = [] if recipe == "halluc_grpo" else [f"actor_rollout_ref.model.path={tmp_path / 'plain'}"]

    def change(row):
        return {**row, "data_source": "openai/gsm8k", "reward_model": {"ground_truth": truth}}

    said = refused(given(change, *model, recipe=recipe), capsys)
    assert f"row 0: reward_model.ground_truth is {truth!r}" in said
    (tmp_path / "judge.py").write_text("def compute_score(**_):\n    return 1.0\n")
    judge = f"reward.custom_reward_function.path={tmp_path / 'judge.py'}"
    RunCallback().on_run_start(given(change, *model, judge, recipe=recipe))


def parts(row):
    """The row with its content cut in two parts."""
    ((message,), text) = row["prompt"], row["prompt"][0]["content"]
    content = [{"type": "text", "text": text[:3]}, {"type": "text", "text": text[3:]}]
    return {**row, "prompt": [{**message, "content": content}]}


def thinking_model(folder):
    """A tokenizer whose template takes parts, and reads an argument."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    tokenizer.chat_template = THINKING
    tokenizer.save_pretrained(folder)
    return f"actor_rollout_ref.model.path={folder}"


def test_content_parts(given, capsys, tmp_path):
    """A template that takes them is fine; where the model would be shown a Python list, a run is refused."""
    said = refused(given(parts), capsys)
    assert "row 0: The chat template prints the content parts of a message as data" in said
    RunCallback().on_run_start(given(parts, thinking_model(tmp_path / "thinker")))
    picture = [{"type": "image", "image": "a.png"}]
    asks = {"prompt": [{"role": "user", "content": picture}]}
    assert "asks with more than text" in refused(given(lambda row: row | asks), capsys)


def test_a_template_that_cannot_write_is_told_by_the_first_row(given, capsys, tmp_path):
    """Verl would drop every row as too long, and say that the data set is empty."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    tokenizer.chat_template = "{{ raise_exception('never') }}"
    tokenizer.save_pretrained(tmp_path / "mute")
    said = refused(given(dict, f"actor_rollout_ref.model.path={tmp_path / 'mute'}"), capsys)
    assert "row 0: The tokenizer cannot write the prompt" in said


@pytest.mark.parametrize("given_", ["{tokenize:false}", "{tools:[]}", "3"])
def test_template_arguments_that_are_none(config, capsys, given_):
    """Verl would drop every row, or fail in a worker."""
    assert "apply_chat_template_kwargs" in refused(
        config(f"++data.apply_chat_template_kwargs={given_}"), capsys
    )


PROMPTS = {
    "text": [{"role": "user", "content": "3 5\n"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "3 "}, {"type": "text", "text": "5\n"}]}],
    "a system message alone": [{"role": "system", "content": "3 5\n"}],
}


@pytest.mark.parametrize("kwargs", [{}, {"enable_thinking": False}, {"enable_thinking": True}, {"other": 1}])
@pytest.mark.parametrize("template", [THINKING, WANTS_A_USER])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_data_commands_ask_as_the_agent_loop_does(verl_config, kwargs, template, prompt):
    """The ids of a prompt are the same, whatever the template makes of its arguments, parts and roles."""
    if (template, prompt) == (WANTS_A_USER, "parts"):
        pytest.skip("a template that leaves parts out is refused")
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    tokenizer.chat_template = template
    with open_dict(verl_config):
        verl_config.data.apply_chat_template_kwargs = kwargs

    async def asked():
        loop = hydra.utils.instantiate(
            config=_agent_loop_registry["backtrack"],
            trainer_config=DictConfigWrap(config=verl_config),
            server_manager=None,
            tokenizer=tokenizer,
            processor=None,
            hf_model_type="qwen2",
            dataset_cls=None,
            data_config=DictConfigWrap(verl_config.data),
            tools=ToolListWrap([]),
        )
        return await compat.initial_ids(loop, PROMPTS[prompt])

    assert prompt_ids(tokenizer, PROMPTS[prompt], kwargs) == asyncio.run(asked())


@pytest.mark.parametrize("kind", [*EXTRA_INFOS, "numpy"])
def test_rewards_do_not_depend_on_extra_info(verl_config, tokenizer, kind):
    """With our verifier and with verl's scorer: the verdict is that of the row without it."""
    from tensordict import TensorDict
    from verl import DataProto
    from verl.utils.reward_score import default_compute_score

    from verl_ext.reward_manager import BacktrackRewardManager

    table = tokenizer.get_vocab()
    ids = torch.tensor([[*(table[c] for c in "#### 72"), table["<|im_end|>"]]])
    batch = TensorDict(
        {"prompts": ids, "responses": ids, "attention_mask": torch.ones(1, 16, dtype=torch.long)},
        batch_size=1,
    )
    info = np.array([1, 2]) if kind == "numpy" else EXTRA_INFOS[kind]
    non_tensor = {
        "data_source": np.str_("openai/gsm8k"), "reward_model": {"ground_truth": "72"}, "extra_info": info,
        "tool_extra_fields": {}, "__num_turns__": 2, "global_steps": 1,
    }  # fmt: skip
    columns = {}
    for key, value in non_tensor.items():
        columns[key] = np.empty(1, dtype=object)
        columns[key][0] = value
    data = DataProto(batch=batch, non_tensor_batch=columns)

    async def score():
        manager = BacktrackRewardManager(verl_config, tokenizer, default_compute_score)
        return await manager.run_single(data)

    assert asyncio.run(score())["reward_score"] == 1.0
