"""Corrections in files: what was sampled is kept, and an interrupted command ends as an unbroken one."""

import errno

import pytest

from halluc_plugin.data.parquet import read_rows_in_groups, write_parquet
from halluc_plugin.own_errors import correction_files
from halluc_plugin.own_errors.correction_files import KINDS, CorrectionRequest, write_corrections
from halluc_plugin.own_errors.corrections import CorrectionSettings
from halluc_plugin.progress_bar import pass_on
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.states import Space
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, edit_vocab

TOKENIZER = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
JUDGE = """
def judge(data_source, solution_str, ground_truth, extra_info=None):
    return float(len(solution_str) % 2)
"""


@pytest.fixture(scope="module")
def model():
    """A random model."""
    return new_model(TOKENIZER, Size.TINY, seed=0).eval()


@pytest.fixture
def write(model, tmp_path):
    """Writes corrections of five problems, two at a time, into a folder; every second answer is right."""
    (tmp_path / "judge.py").write_text(JUDGE)
    rows = [
        {"data_source": "letters", "prompt": [{"role": "user", "content": f"{number} +"}],
         "reward_model": {"ground_truth": "x"}, "extra_info": {"index": 0}}
        for number in range(5)
    ]  # fmt: skip
    write_parquet(tmp_path / "rows.parquet", rows, {})
    vocab = edit_vocab(TOKENIZER)
    # So many ids end an answer that most end.
    space = Space(vocab, frozenset(range(200, 400)), frozenset({1}), max_tokens=12, edits_banned=True)

    def written(folder):
        request = CorrectionRequest(
            "model", tmp_path / "rows.parquet", CorrectionSettings(4), space, seed=1, problems_per_part=2,
            reward_function=f"{tmp_path / 'judge.py'}:judge",
        )  # fmt: skip
        write_corrections(tmp_path / folder, request, HFSampler(model, space), TOKENIZER, pass_on)
        return {kind: list(read_rows_in_groups(tmp_path / folder / f"{kind}.parquet")) for kind in KINDS}

    return written


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")],
    ids=["stopped", "full disk"],
)
def test_an_interrupted_command_ends_as_an_unbroken_one(write, monkeypatch, tmp_path, error):
    """Stopped in its second part, it keeps the first, samples it never again, and writes the same rows."""
    whole = write("whole")
    assert all(len(rows) > 3 for rows in whole.values())
    asked, collect = [], correction_files.collect

    def failing(problems, *args):
        asked.append([problem.prompt for problem in problems])
        if len(asked) == 2:
            raise error
        return collect(problems, *args)

    monkeypatch.setattr(correction_files, "collect", failing)
    with pytest.raises(type(error)):
        write("broken")
    assert [path.name for path in (tmp_path / "broken" / "..collected.parquet.parts").glob("0*")] == [
        "000000.parquet"
    ]
    assert write("broken") == whole
    assert [len(prompts) for prompts in asked] == [2, 2, 2, 1]
    assert asked[1] == asked[2]
