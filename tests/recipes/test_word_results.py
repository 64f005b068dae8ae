"""What models on word problems are worth: measured by problem, paired in tables."""

import json
from pathlib import Path

import pytest
import yaml

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.metrics import paired_difference
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.recipes.halluc_grpo.measure import main
from halluc_plugin.recipes.halluc_grpo.table import arms, differences
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens.saving import save_model

RECIPES = Path(__file__).parents[2] / "recipes"


def cell(arm, split, right, banned=None, **told):
    """A cell as it is kept; ``dead`` and ``live`` are edits and places."""
    return {
        "arm": arm, "context": "hard", "seed": 0, "split": split,
        "accuracy": right.count("1") / len(right), "edits": 1.0, "tokens": float(len(right)),
        "right": right, "right_banned": banned, "dead": told.get("dead"), "live": told.get("live"),
        "max_tokens": 160, "problems": len(right), "data": f"digest of {split}",
    }  # fmt: skip


CELLS = [
    cell("start", "seen", "1100", "1000", dead=[6, 8], live=[1, 10]),
    cell("start", "new", "10", "00", dead=[2, 2], live=[0, 10]),
    cell("after", "new", "11", "10", dead=[3, 3], live=[2, 9]),
    cell("after", "seen", "1110", "0000", dead=[6, 7], live=[0, 1]),
    cell("twin", "seen", "1000"),
    cell("twin", "new", "00"),
]


def rows(table):
    """The cells of a Markdown table."""
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


def test_an_arm_is_both_kinds_of_problem():
    """Right answers, edits at ends of steps, and means over answers are pooled: 3 of 6, 8 of 10, 1 of 20."""
    start, after, twin = rows(arms(CELLS))
    assert start[:2] == ["0", "start, hard"]
    assert start[2].startswith("50.0 [")
    assert start[3].startswith("16.7 [")
    assert start[4:] == ["0.800", "0.050", "0.750", "1.00", "3.33"]
    assert after[4:7] == ["0.900", "0.200", "0.700"]
    assert twin[3:7] == ["", "", "", ""]


def test_arms_are_paired_problem_by_problem():
    """In the order of the problems, whatever the order of the cells: each to those before it."""
    found = {(row[1], row[2]): row[3] for row in rows(differences(CELLS))}
    after, start = [1, 1, 1, 1, 1, 0], [1, 0, 1, 1, 0, 0]
    expected = paired_difference(after, start)
    assert found["after, hard", "start"] == (
        f"{100 * expected.value:+.1f} [{100 * expected.low:+.1f}, {100 * expected.high:+.1f}]"
    )
    assert found["after, hard", "its edits banned"].startswith("+66.7 [")
    assert found["twin, hard", "after"].startswith("-66.7 [")
    assert found["twin, hard", "start"].startswith("-33.3 [")
    assert set(found) == {
        ("start, hard", "its edits banned"), ("after, hard", "its edits banned"), ("after, hard", "start"),
        ("twin, hard", "start"), ("twin, hard", "after"),
    }  # fmt: skip


def test_arms_that_answered_other_problems_are_not_paired():
    """A kind of problem that one has not answered is an error with the arm and the seed."""
    with pytest.raises(DataError, match="twin and start of seed 0 answered other problems"):
        differences(CELLS[:-1])


def test_models_are_measured_once(tmp_path):
    """Each model answers both kinds with edits and without, and what is in the file is not measured again."""
    tokenizer = editing_tokenizer("step")
    save_model(new_model(tokenizer, Size.TINY, seed=0), tokenizer, tmp_path / "model")
    asked = SearchData(WordProblems(length=2), SearchRequest(train=2, test=3))
    data = asked.write(tmp_path / "data", None, lambda items, what, total: items).problems("test").parent
    out, how = tmp_path / "cells.json", {"seed": 1, "max_tokens": 20, "problems": 3}
    main([f"start={tmp_path / 'model'}"], data, out, **how)
    cells = json.loads(out.read_text())
    assert [(c["arm"], c["seed"], c["split"], len(c["right"]), len(c["right_banned"])) for c in cells] == [
        ("start", 1, "seen", 3, 3), ("start", 1, "new", 3, 3),
    ]  # fmt: skip
    before = out.stat().st_mtime_ns
    main([f"start={tmp_path / 'model'}"], data, out, **how)
    assert out.stat().st_mtime_ns == before
    with pytest.raises(SettingsError, match="holds start, seed 1, seen of another max_tokens"):
        main([f"start={tmp_path / 'model'}"], data, out, **how | {"max_tokens": 30})
    save_model(new_model(tokenizer, Size.TINY, seed=1), tokenizer, tmp_path / "other")
    with pytest.raises(SettingsError, match="of another weights"):
        main([f"start={tmp_path / 'other'}"], data, out, **how)


@pytest.mark.parametrize("key", ["max_tokens", "data"])
def test_arms_that_were_asked_otherwise_are_not_paired(key):
    """A pair says something only of the same problems and the same room for answers."""
    cells = [dict(one) for one in CELLS]
    cells[-1][key] = "another"
    with pytest.raises(DataError, match="twin and start of seed 0"):
        differences(cells)


def test_what_is_no_model_is_named(tmp_path):
    """An argument without a folder of a model is refused before anything is measured."""
    with pytest.raises(SettingsError, match=r"'start=nowhere' names no folder with model\.safetensors"):
        main(["start=nowhere"], tmp_path, tmp_path / "cells.json")


def kept():
    """The cells that the README's figures are of."""
    return json.loads((RECIPES / "halluc_grpo" / "results" / "word.json").read_text(encoding="utf-8"))


def test_the_page_of_results_has_the_tables_of_its_cells():
    """What is printed from word.json stands on word.md, so that neither is changed alone."""
    page = (RECIPES / "halluc_grpo" / "results" / "word.md").read_text(encoding="utf-8")
    assert arms(kept()) in page
    assert differences(kept()) in page


def test_the_shipped_twin_is_the_one_that_was_measured():
    """A run's report shows the clean twin of all seeds together, for the words that the recipe draws."""
    twin = [one for one in kept() if one["arm"] == "twin"]
    answers = sum(one["problems"] for one in twin)
    (entry,) = json.loads((RECIPES / "halluc" / "task" / "word_twin.json").read_text(encoding="utf-8"))
    phase = entry["phase"]
    assert (phase["n"], len({one["seed"] for one in twin})) == (answers, 3)
    right = sum(one["right"].count("1") for one in twin)
    assert phase["accuracy"] == pytest.approx(right / answers, abs=1e-4)
    tokens = sum(one["tokens"] * one["problems"] for one in twin) / answers
    assert phase["tokens"] == pytest.approx(tokens, abs=0.01)
    drawn = yaml.safe_load((RECIPES / "halluc" / "task" / "word.yaml").read_text(encoding="utf-8"))
    assert entry["options"].items() <= drawn["halluc"]["prepare"]["options"].items()
