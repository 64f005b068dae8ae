"""What edits were paid in a step, as it is counted."""

import json

import pytest
import torch

from halluc_plugin.edits import EditVocab, events, resolve_row
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.rl import answers as answers_module
from halluc_plugin.rl.answers import Answers, shape
from halluc_plugin.settings import CreditSettings, CreditValues, Settings

BACK = 9
VOCAB = EditVocab(backtrack=BACK)


def test_rounding_is_no_gain():
    """Answers that earn the same gain nothing by an event, though means of 0.1 differ in a last digit."""
    responses = [[1, 2, BACK, 3], [1, 2], [1, 3]]
    masks = [torch.ones(len(ids)) for ids in responses]
    answers = Answers(
        keys=["u_0", "u_1", "u_2"],
        prompts=["u"] * 3,
        responses=responses,
        masks=masks,
        advantages=[torch.zeros(len(ids)) for ids in responses],
        rewards=[0.1] * 3,
        infos=[{}] * 3,
    )
    credit = CreditSettings(alpha=0.5, values=CreditValues.PREFIX_TREE)
    _, metrics = shape(answers, EditVocab(backtrack=BACK), Settings(credit=credit))
    assert abs(metrics["backtrack/event_gain"]) > 0
    assert metrics["backtrack/degenerate/credit"] == 1.0


@pytest.mark.parametrize("values", CreditValues)
def test_large_steps_are_shaped_in_parts(values, monkeypatch):
    """Whole groups at a time, wherever their answers lie; lists and tensors come to the same."""
    torch.manual_seed(0)
    lists = [torch.randint(1, 10, (int(length),)).tolist() for length in torch.randint(0, 30, (24,))]
    effective = [events(resolve_row(ids, VOCAB)) for ids in lists]
    moves = [[[0.0, 1.0] for event in row if event.effective] for row in effective]
    credit = CreditSettings(alpha=0.5, values=values)
    settings = Settings(credit=credit, erased_tokens=ErasedTokens.NEGATIVE)

    def shaped(responses, at_once):
        monkeypatch.setattr(answers_module, "AT_ONCE", at_once)
        answers = Answers(
            keys=[f"k{row}" for row in range(24)], prompts=[f"u{row % 5}" for row in range(24)],
            responses=responses,
            masks=[torch.ones(len(ids)) for ids in lists],
            advantages=[torch.full((len(ids),), row / 7) for row, ids in enumerate(lists)],
            rewards=[row % 3 / 2 for row in range(24)], infos=[{"moves": json.dumps(row)} for row in moves],
        )  # fmt: skip
        rows, metrics = shape(answers, VOCAB, settings)
        return [row.tolist() for row in rows], metrics

    whole = shaped(lists, 10**9)
    assert any(any(row) for row in whole[0])
    assert shaped(lists, 40) == whole
    assert shaped([torch.tensor(ids, dtype=torch.long) for ids in lists], 1) == whole
