"""Presets of credit in the small trainer, from answers as they are kept of a step."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import DataError, SettingsError, TraceError
from halluc_plugin.rewards import Marks
from halluc_plugin.rl.answers import Answers, shape
from halluc_plugin.scorers.saved import Made, Objective, save_step_scorer
from halluc_plugin.scorers.value_head import new_value_head
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.settings import load
from halluc_plugin.tokens.saving import save_model
from tests.rl.conftest import logged, run_it

FOLDER = Path(__file__).parents[2] / "recipes" / "halluc" / "credit"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
BACK, END, DOT = 9, 8, 7
VOCAB, MARKS = EditVocab(backtrack=BACK), Marks(frozenset({DOT}), frozenset({END}))
TRACES = [[1, DOT, 2, BACK, 3, END], [1, DOT, 2, END]]
INFOS = [
    {"moves": json.dumps([[0.0, 1.0]]), "steps": json.dumps([0.5, 1.0]), "actions": "[1, 2, 0, 2, 3, 4]"},
    {"moves": "[]", "steps": json.dumps([0.5, 0.0]), "actions": "[1, 2, 0, -4]"},
]


def block(name, scorer="Q"):
    """The settings of a preset, with the verifier's values, or those of a reward model."""
    read = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    values = {"values": read["values"] | {"scorer": str(scorer)}} if name == "q_rm" else {}
    return {"credit": read.get("credit", read)} | values


def shaped(settings, infos=INFOS, step=1):
    """The shaped advantages of the two answers, of advantages 1/2 and -1/2, and the metrics."""
    answers = Answers(
        keys=["u_0", "u_1"], prompts=["u", "u"], responses=TRACES,
        masks=[torch.ones(len(trace)) for trace in TRACES],
        advantages=[torch.full((len(trace),), 0.5 - row) for row, trace in enumerate(TRACES)],
        rewards=[1.0, 0.0], infos=infos,
    )  # fmt: skip
    rows, metrics = shape(answers, VOCAB, load(settings), marks=MARKS, step=step)
    return [row.tolist() for row in rows], metrics


def test_steps_and_events_are_paid_what_they_did():
    """VinePPO: the prompt is worth what the other answer is, a step what it reached, an event likewise."""
    rows, metrics = shaped(block("vineppo"))
    assert rows == [[0.5, 0.5, -0.5, 1.0, 0.0, 0.0], [-0.5, -0.5, -0.5, -0.5]]
    assert metrics == {"backtrack/degenerate/credit": 0.0, "backtrack/degenerate/credit_actions": 0.6}


def test_text_and_edits_are_paid_where_the_group_parts():
    """TEMPO: the same text up to 2; what the first answer wrote behind its edit is what tells them apart."""
    rows, metrics = shaped(block("tempo"))
    assert rows == [[0.5, 0.5, 0.5, 0.5, 1.0, 0.5], [-0.5, -0.5, -0.5, -1.0]]
    assert metrics["backtrack/degenerate/credit_actions"] == pytest.approx(0.8)


def test_actions_are_paid_their_q():
    """Q-RM: the logit behind each action, less the last one of the other answer, and nothing else."""
    rows, metrics = shaped(block("q_rm"))
    assert rows == [[5, 6, 4, 6, 7, 8], [-3, -2, -4, -8]]
    assert metrics["backtrack/degenerate/credit_actions"] == 0
    with pytest.raises(DataError, match=r"halluc\.credit\.form=q pays"):
        shaped(block("q_rm"), [INFOS[0], {"moves": "[]"}])


def test_sampled_actions_are_drawn_anew_in_each_step():
    """S-GRPO: what is not drawn has no advantage; name and step decide."""
    settings = {"credit": {"share": 0.5, "first": 1}}
    drawn = [shaped(settings, step=step)[0] for step in range(8)]
    assert all(row[0] != 0 for rows in drawn for row in rows)
    assert any(rows != drawn[0] for rows in drawn)
    assert drawn[3] == shaped(settings, step=3)[0]


def test_values_must_be_there_and_fit():
    """Steps that nobody judged, and steps that were divided otherwise, are refused."""
    with pytest.raises(DataError, match=r"halluc\.credit\.units=steps pays"):
        shaped(block("pure"), [INFOS[0], {"moves": "[]", "steps": "null"}])
    with pytest.raises(TraceError, match="0 events and 3 steps have values, of 0 and 2"):
        shaped(block("pure"), [INFOS[0], {"moves": "[]", "steps": "[1, 1, 1]"}])


def q_model(tokenizer, folder, objective=Objective.PAIRWISE):
    """A saved reward model that says something of every token."""
    save_model(new_model(tokenizer, Size.TINY, seed=1), tokenizer, folder / "policy")
    head = new_value_head(str(folder / "policy"))
    torch.nn.init.normal_(head.score.weight, generator=torch.Generator().manual_seed(0))
    made = Made(objective, fingerprint(tokenizer), "\n", ("halluc/countdown",))
    save_step_scorer(head, tokenizer, folder / "q", made)
    return folder / "q"


def test_logits_of_another_objective_are_no_q(tokenizer, problems, tmp_path):
    """A model that learned values is refused before anything is sampled."""
    scorer = q_model(tokenizer, tmp_path, Objective.VALUE)
    with pytest.raises(SettingsError, match="trained by --objective value"):
        run_it(
            new_model(tokenizer, Size.TINY, seed=0), tokenizer, problems, tmp_path, **block("q_rm", scorer)
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_trains(tokenizer, problems, tmp_path, name):
    """A run ends, and says which share of groups and actions its credit left as they were."""
    scorer = q_model(tokenizer, tmp_path) if name == "q_rm" else None
    model = new_model(tokenizer, Size.TINY, seed=0)
    out = run_it(model, tokenizer, problems, tmp_path / name, **block(name, scorer))
    for line in logged(out):
        assert ("backtrack/degenerate/credit_actions" in line) is (name != "none")
