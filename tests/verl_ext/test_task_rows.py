"""The contract of tasks, its part that needs verl: rows that any task draws are rows of verl's data set."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from verl.utils.dataset.rl_dataset import RLHFDataset

from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks import load, names
from halluc_plugin.tasks.contract_sample import small

DRAWN = [name for name in names() if load(name).data is not None]
SETTINGS = {"prompt_key": "prompt", "max_prompt_length": 512, "return_raw_chat": True}


@pytest.mark.parametrize("name", DRAWN)
def test_rows_are_accepted(tmp_path, name):
    """Verl reads the rows of all splits in one data set, drops none, and hands on what judges need."""
    tokenizer = number_tokenizer()
    data = small(load(name).data, seed=3)
    files = data.write(tmp_path, None, lambda items, what, total: items)
    paths = [str(files.problems(split)) for split in data.splits]
    settings = OmegaConf.create({**SETTINGS, "cache_dir": str(tmp_path / "cache")})
    rows = RLHFDataset(paths, tokenizer, settings)
    drawn = [problem for split in data.splits for problem in data.draw(split, 24 if split == "train" else 6)]
    assert len(rows) == len(drawn)
    for row, problem in zip(rows, drawn, strict=True):
        assert row["raw_prompt"] == [{"role": "user", "content": problem.prompt}]
        assert row["data_source"] in load(name).sources
        assert row["reward_model"]["ground_truth"] == dict(problem.truth)
        assert row["extra_info"]["answer"] == problem.answer
        assert prompt_ids(tokenizer, row["raw_prompt"]) == tokenizer.encode(problem.prompt)
    assert Path(paths[0]).parent.name == name
