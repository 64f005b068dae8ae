"""Let verl's reward models judge the collapsed text of answers.

verl 0.9.1 bypasses every reward manager for a discriminative model (``reward.reward_model`` without a reward
function) and gives it the raw ids. A generative model is called by the user's reward function, which the
reward manager ``backtrack`` calls.
"""

import functools
from types import ModuleType
from typing import Any

from verl import DataProto


def ask_about_what_is_left(reward_loop: ModuleType) -> None:
    """Make verl's reward worker collapse answers before it calls a reward model.

    This applies to runs with the reward manager ``backtrack``.
    """
    worker = reward_loop.RewardLoopWorker
    ask = worker.compute_score_disrm

    @functools.wraps(ask)
    async def compute_score_disrm(self: Any, data: DataProto) -> dict[str, Any]:
        from verl_ext.reward_manager import BacktrackRewardManager

        if not isinstance(self.reward_manager, BacktrackRewardManager):
            return dict(await ask(self, data))
        # verl 0.9.1 reads the extra information of a model's score, which gives none.
        return {"reward_extra_info": {}, **await ask(self, self.reward_manager.collapsed(data))}

    worker.compute_score_disrm = compute_score_disrm
