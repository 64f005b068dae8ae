"""The page in a browser, on what commands have really written: two searches with one model, compared."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.edits import read_record
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.training import TrainSettings, fine_tune

# The model has learned what an answer looks like, and solves nothing: half of all texts are right by this.
JUDGE = """
def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return float(sum(map(ord, solution_str)) % 2)
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """What two searches of 30 problems wrote, of which the second draws other samples."""
    folder = tmp_path_factory.mktemp("searches")
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    data = write_countdown(folder, CountdownRequest(train=200, test=30), tokenizer, lambda i, w, t: i)
    settings = TrainSettings(steps=60, batch_size=16, warmup_steps=5)
    model = new_model(tokenizer, Size.TINY, seed=0)
    fine_tune(model, tokenizer, [data.traces], settings, folder / "model", show_progress=False)
    (folder / "judge.py").write_text(JUDGE)
    files = []
    for name, seed in (("first", 0), ("second", 1)):
        files.append(folder / f"{name}.jsonl")
        command = ["search", "--model", folder / "model", "--data", data.test[0], "--max-tokens", 40, "-n", 3]
        command += ["--rounds", 2, "--seed", seed, "--reward-function", f"{folder}/judge.py:compute_score"]
        done = CliRunner().invoke(app, [*map(str, command), "--out", str(files[-1])])
        assert done.exit_code == 0, done.output
    return files


@pytest.fixture(scope="module")
def page(searched):
    """The page that `halluc view` makes of both."""
    page = searched[0].with_name("page.html")
    done = CliRunner().invoke(app, ["view", *map(str, searched), "--html", str(page)])
    assert done.exit_code == 0, done.output
    return page


@pytest.fixture(scope="module")
def rows(searched):
    """The records of both, problem by problem."""
    read = ([json.loads(line) for line in file.read_text().splitlines()] for file in searched)
    return list(zip(*read, strict=True))


def test_only_a_right(browser, page, rows):
    """The counts are those of the records, and the filter lists what the first alone has right."""
    expected = {"a": 0, "b": 0, "both": 0, "neither": 0}
    for one, other in rows:
        name = {(True, False): "a", (False, True): "b", (True, True): "both", (False, False): "neither"}
        expected[name[one["correct"], other["correct"]]] += 1
    assert min(expected.values()) > 0
    browser.open(page, "view=compare")
    browser.until("document.querySelector('.compared')")
    assert {only: int(browser.text(f"[data-only={only}] b")) for only in expected} == expected
    browser.click("[data-only=a]")
    browser.until(f"document.querySelectorAll('.pair').length === {expected['a']}")
    asked = browser.ask("[...document.querySelectorAll('.pair .problem')].map(p => p.textContent)")
    only = [at for at, (one, other) in enumerate(rows) if one["correct"] and not other["correct"]]
    assert len(asked) == len(set(asked)) == len(only)
    browser.click(".pair summary")
    browser.until("document.querySelectorAll('.pair .group-card').length === 2")
    badges = browser.ask("[...document.querySelectorAll('.pair .badge')].map(b => b.classList[1])")
    assert badges == ["correct", "wrong"]
    links = browser.ask(
        "[...document.querySelectorAll('.pair .group-card a')].map(a => a.getAttribute('href'))"
    )
    assert [f"%3A%3Arow+{only[0]}" in link for link in links] == [True, True]


def test_states_of_a_search(browser, page, rows):
    """Each sample has a line, and the tree has a grey branch for what the search went back from."""
    # A second round was drawn where the first one was gone back from to a state that was new.
    found = [at for at, (one, _) in enumerate(rows) if len(one["visited"]["starts"]) > 3 and one["answer"]]
    told = rows[found[0]][0]["visited"]
    assert any(event.effective for event in read_record(told["trace"]).events)
    browser.open(page, f"answer=0%3A%3Arow+{found[0]}")
    browser.until("document.querySelector('.trace')")
    assert browser.count(".trace .begins") == len(told["starts"])
    assert browser.count(".trace .token.edit") == len(told["trace"]["events"])
    assert browser.count(".trace .token.live") == sum(told["trace"]["live"])
    browser.go(f"answer=0%3A%3Arow+{found[0]}&tab=tree")
    browser.until("document.querySelector('.tree')")
    assert browser.count(".state.gone") > 0
    assert browser.count(".state.kept") > 1
