"""What edits were paid in a step, as it is counted."""

import torch

from halluc_plugin.edits import EditVocab
from halluc_plugin.rl.answers import Answers, shape
from halluc_plugin.settings import CreditSettings, CreditValues, Settings

BACK = 9


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
