"""Adding things takes the files that CONTRIBUTING.md says, and no other: each is added to a copy and used."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = re.findall(
    r"^\| (an? [\w ]+) \| (\d+) \| (.+?) \| (.*?) \| (\d+) \|$",
    (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Add things\n")[1],
    re.MULTILINE,
)
FILES = {thing: (int(count), re.findall(r"`([^`]+)`", files)) for thing, count, files, *_ in TABLE}
COPIED = ("halluc_plugin", "recipes", "hydra_plugins", "verl_ext", "scripts", "docs", "tests")
AT_MOST = {"a task": 1, "a reward component": 1, "an advantage variant": 4, "a recipe": 2, "an edit token": 3}


@pytest.fixture
def copy(tmp_path):
    """The packages, in another place."""
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", ".cache")
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def add(copy, thing, changes):
    """Write new files and change others; they are those of the table, with NAME for the thing's name."""
    for path, change in changes.items():
        file = copy / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(change, str):
            assert not file.exists(), path
            file.write_text(change, encoding="utf-8")
            continue
        text = file.read_text(encoding="utf-8")
        for before, after in change:
            assert text.count(before) == 1, (path, before)
            text = text.replace(before, after)
        file.write_text(text, encoding="utf-8")
    count, files = FILES[thing]
    named = {path.replace("mirrored", "NAME") for path in changes}
    if count == 1 and files[0].endswith("/"):
        assert all(path.startswith(files[0]) for path in named)
    else:
        assert named == set(files)
        assert len(named) == count


def run(copy, *arguments):
    """Run Python on the copy."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    environment.pop("HALLUC_HOME", None)
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_table_has_every_thing():
    """Five things, none of which takes more files than was meant."""
    assert set(FILES) == set(AT_MOST)
    assert {thing: count for thing, (count, _) in FILES.items() if count > AT_MOST[thing]} == {}


COMPONENT = '''"""The component ``mirrored``."""

from dataclasses import dataclass

from halluc_plugin.rewards.answer import Answer
from halluc_plugin.rewards.registry import component


@dataclass(frozen=True)
class Mirrored:
    """Its settings.

    Args:
        scale: What an action costs.
    """

    scale: float = 0.5


@component("mirrored", settings=Mirrored)
def mirrored(answer: Answer, settings: Mirrored) -> float:
    """Minus so much for each action."""
    return -settings.scale * answer.trace.raw_length
'''
USE_COMPONENT = """
import runpy
from halluc_plugin.edits import EditVocab, resolve_row
from halluc_plugin.rewards import judge_answer, observe, score
from halluc_plugin.settings import load
from halluc_plugin.tasks.chain.verifier import ChainVerifier
block = {"weights": {"outcome": 1.0, "mirrored": 2.0}, "parameters": {"mirrored": {"scale": 0.25}}}
settings = load({"reward": block}).reward
trace = observe(resolve_row([1, 2, 9], EditVocab(backtrack=9)), 0, str)
answer = judge_answer(trace, ChainVerifier(), {"start": 1, "operations": [], "modulus": 7})
reward, parts = score(answer, settings)
assert parts["mirrored"] == -0.75 and reward == parts["outcome"] - 1.5, (reward, parts)
page = runpy.run_path("scripts/settings_page.py")["page"]()
assert "| `mirrored` |  | Minus so much for each action. |" in page
assert "| `halluc.reward.parameters.mirrored.scale` | `0.5` | What an action costs. |" in page
"""


def test_a_reward_component(copy):
    """One module of the folder is paid by its name, has settings, and stands in the page of settings."""
    add(copy, "a reward component", {"halluc_plugin/rewards/components/mirrored.py": COMPONENT})
    run(copy, "-c", USE_COMPONENT)


VARIANT = '''"""Values of states that do not depend on the state."""

from collections.abc import Hashable, Sequence

from halluc_plugin.credit.event_values import EventValue
from halluc_plugin.edits import EditVocab, events, resolve_rows


def mirrored_values(
    traces: Sequence[Sequence[int]], groups: Sequence[Hashable], rewards: Sequence[float], vocab: EditVocab
) -> list[list[EventValue]]:
    """Every event gains what its answer was paid."""
    found: list[list[EventValue]] = [[] for _ in traces]
    for event in events(resolve_rows(traces, vocab)):
        if event.effective:
            found[event.row].append(EventValue(0.0, rewards[event.row]))
    return found
'''
USE_VARIANT = """
import runpy
import torch
from halluc_plugin.edits import EditVocab
from halluc_plugin.rl.answers import Answers, shape
from halluc_plugin.settings import load
from halluc_plugin.theory.credit import CreditChain, Rule
settings = load({"credit": {"alpha": 0.5, "values": "mirrored"}})
assert settings.paid_values == ()
ones = torch.ones(3)
traces, rewards = [[1, 9, 2], [1, 2, 3]], [4.0, 0.0]
answers = Answers(["a", "b"], ["p", "p"], traces, [ones] * 2, [ones] * 2, rewards, [{}] * 2)
rows, metrics = shape(answers, EditVocab(backtrack=9), settings)
assert rows[0].tolist() == [1.0, 3.0, 1.0] and rows[1].tolist() == [1.0] * 3, rows
assert metrics["backtrack/event_gain"] == 4.0
chain = CreditChain(length=2)
assert chain.drift(Rule(credit=settings.credit)).recall > chain.drift(Rule()).recall
assert "`judged`, `mirrored`, `prefix_tree`" in runpy.run_path("scripts/settings_page.py")["page"]()
"""


SOURCES = [
    (
        '    PREFIX_TREE = "prefix_tree"\n',
        '    MIRRORED = "mirrored"\n    """What the answer was paid."""\n    PREFIX_TREE = "prefix_tree"\n',
    ),
    ("prefix_tree_values}", "prefix_tree_values, CreditValues.MIRRORED: mirrored_values}"),
    (
        "from halluc_plugin.credit.prefix_tree",
        "from halluc_plugin.credit.mirrored import mirrored_values\nfrom halluc_plugin.credit.prefix_tree",
    ),
]


def test_an_advantage_variant(copy):
    """A source of values is chosen by its name, in training, in theory and in the page of settings."""
    changes = {
        "halluc_plugin/credit/mirrored.py": VARIANT,
        "halluc_plugin/credit/sources.py": SOURCES,
        "docs/credit.md": [("or `prefix_tree`: mean rewards", "`mirrored`, or `prefix_tree`: mean rewards")],
    }
    add(copy, "an advantage variant", changes)
    run(copy, "-c", USE_VARIANT)


RECIPE = """\
# @package _global_
# A mirror of halluc_grpo, which pays the share of right steps, too.
defaults:
  - halluc_grpo
  - override /halluc/reward: process
  - _self_

trainer:
  experiment_name: mirrored
"""
README = """\
# mirrored

<!-- index: The same once more? | Nobody knows. | as halluc_grpo -->

```bash
python -m verl.trainer.main_ppo +recipe=mirrored
```
"""
USE_RECIPE = """
import runpy
page = runpy.run_path("scripts/recipes_page.py")["page"]()
assert "| [mirrored](mirrored/README.md) | The same once more? | Nobody knows. | as halluc_grpo |" in page
"""


@pytest.mark.slow
@pytest.mark.e2e
def test_a_recipe(copy):
    """A YAML and a README: it composes with verl at every scale, and stands in the list of recipes."""
    add(copy, "a recipe", {"recipes/recipe/mirrored.yaml": RECIPE, "recipes/mirrored/README.md": README})
    run(copy, "-c", USE_RECIPE)
    out = run(
        copy,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/verl_ext/test_recipes.py",
        "-k",
        "mirrored",
    )
    assert "5 passed" in out


TOKEN = '''    EditToken(
        "<|BACKTRACK_CLAUSE|>",
        "mirrored",
        deletes="a clause",
        effect="deletes the last clause",
        symbol="⇇",
        words=("undo", "clause"),
        description="This token takes back the last clause.",
        delimiter=",",
    ),
)  # fmt: skip
"""The edit tokens, the backtrack token first."""
'''
USE_TOKEN = """
import json
import random
from typer.testing import CliRunner
from halluc_plugin.cli.app import app
from halluc_plugin.edits import Backend, EditKind, collapse, resolve_row, resolve
from halluc_plugin.edits.plain import plain_source
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, STEP_TOKEN, Initialisation, add_edit_tokens, edit_vocab
from halluc_plugin.viewer import SYMBOLS
from halluc_plugin.vllm_engine.gate import Gate
from halluc_plugin.vllm_engine.request import EditRequest
import torch
NEW = "<|BACKTRACK_CLAUSE|>"
tokenizer = number_tokenizer()
model = new_model(tokenizer, Size.TINY, seed=0)
add_edit_tokens(model, tokenizer, [BACKTRACK_TOKEN, STEP_TOKEN, NEW], how=Initialisation.SEMANTIC)
vocab = edit_vocab(tokenizer)
assert vocab.kind(vocab.mirrored) is EditKind.MIRRORED
written = tokenizer.encode("1,2,3") + [vocab.mirrored]
assert tokenizer.decode(collapse(written, vocab)) == "1,2,"
assert tokenizer.decode(collapse(written + [vocab.mirrored] + tokenizer.encode("4"), vocab)) == "1,4"
assert EditRequest.from_extra_args(json.loads(json.dumps(EditRequest(vocab).to_extra_args()))).vocab == vocab
names = {}
exec(plain_source(vocab), names)
draw = random.Random(0)
alphabet = tokenizer.encode("1,2") + tokenizer.encode("\\n") + [*vocab.edit_ids]
for _ in range(300):
    ids = draw.choices(alphabet, k=draw.randrange(40))
    left, row = collapse(ids, vocab), torch.tensor([ids], dtype=torch.long)
    assert names["collapse"](ids) == left
    for backend in Backend:
        resolution = resolve(row, torch.ones_like(row, dtype=torch.bool), vocab, backend=backend)
        assert resolution.resolved(0) == left, (ids, backend)
assert SYMBOLS[NEW] == "⇇"
assert "--mirrored" in CliRunner().invoke(app, ["add-token", "--help"], env={"TERM": "dumb"}).output
"""


RESTART = '    """Deletes the whole response."""\n'
KIND = '    MIRRORED = 4\n    """Deletes the last live token, then back to the nearest comma."""\n'
SIZE = "    # Which ids edit does not"
FIELDS = """\
    mirrored: int | None = None
    mirrored_delimiters: frozenset[int] = field(default_factory=frozenset)
"""
LAST = ')  # fmt: skip\n"""The edit tokens, the backtrack token first."""\n'
ROW = "| clause backtrack (`mirrored`, `mirrored_delimiters`) | deletes back to a comma |\n"


@pytest.mark.slow
def test_an_edit_token(copy):
    """One that deletes a clause: in all forms of the semantics, in models, requests, cards and commands."""
    changes = {
        "halluc_plugin/edits/vocab.py": [(RESTART, RESTART + KIND), (SIZE, FIELDS + SIZE)],
        "halluc_plugin/tokens/vocabulary.py": [(LAST, TOKEN)],
        "docs/edits.md": [("| restart (`restart`) |", f"{ROW}| restart (`restart`) |")],
    }
    add(copy, "an edit token", changes)
    run(copy, "-c", USE_TOKEN)
    page = "tests/vllm_engine/test_request.py::test_the_page_says_how"
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", page)


TASK = '''"""Numbers to be written once more."""

from collections.abc import Mapping
from typing import Any

from halluc_plugin.tasks.task import Task
from halluc_plugin.verifiers import Outcome


class MirroredVerifier:
    """Right is what was asked."""

    data_sources = ("halluc/mirrored",)

    def verify(self, problem: Mapping[str, Any], answer: str) -> Outcome:
        return Outcome.CORRECT if answer == problem["number"] else Outcome.WRONG


TASK = Task(name="mirrored", verifier=MirroredVerifier())
'''
USE_TASK = """
from halluc_plugin.tasks import find_verifier
from halluc_plugin.tasks.registry import load, names, summary
assert "mirrored" in names() and summary("mirrored") == "Numbers to be written once more"
assert load("mirrored").sources == ("halluc/mirrored",)
assert str(find_verifier("halluc/mirrored").verify({"number": "3"}, "3")) == "correct"
"""


def test_a_task(copy):
    """One folder, found by its name and by the data source of its rows."""
    add(copy, "a task", {"halluc_plugin/tasks/mirrored/__init__.py": TASK})
    run(copy, "-c", USE_TASK)
