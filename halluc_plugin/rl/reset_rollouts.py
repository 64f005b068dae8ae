"""Sample groups of suffixes from a state of a failed answer: RRPO and SRPO, for the small trainer.

:mod:`.resets` says how the state is chosen, and what differs from the paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from halluc_plugin.credit import group_relative, spread
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.decoding.asked import DecodedTrace, Finish
from halluc_plugin.edits import resolve_rows
from halluc_plugin.rewards import judge_answer, observe, score
from halluc_plugin.rl.answers import Answers, reward_info
from halluc_plugin.rl.resets import StepOracle, reset_point
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.rollouts import Rolled
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.settings import ResetAt, Settings
from halluc_plugin.verifiers import Outcome, PrefixVerifier, prefix_oracle


@dataclass(frozen=True)
class ResetRollouts:
    """Samples one answer to each problem, and behind it the rest of the group.

    Where the first answer is right, the group is of whole answers, as in GRPO. Where it failed, all others
    begin with the part of it that is kept, learn from their suffixes alone, and the failed answer itself does
    not learn: that it failed is why it is there.

    Attributes:
        at: The step of a failed answer that is reset to.
    """

    at: ResetAt = ResetAt.RANDOM

    @property
    def described(self) -> Mapping[str, Any]:
        """All that decides the answers, JSON-able."""
        return asdict(self)

    @property
    def held(self) -> bool:
        """Nothing is held to a reference."""
        return False

    def sample(
        self,
        model: Any,
        problems: Sequence[PosedProblem],
        settings: Settings,
        run: GrpoSettings,
        reader: RolloutReader,
        *,
        step: int,
    ) -> Rolled:
        """Sample ``run.group`` answers to each problem at temperature 1, edits banned, and judge them.

        Args:
            model: A transformers causal language model in eval mode, on any device.
            problems: The problems of a step.
            settings: The settings of the step.
            run: The number and length of answers; its seed and the step decide the samples.
            reader: The reader of the sampled ids.
            step: Number of the step, from 1.

        Returns:
            The answers; none is held.
        """
        seed = int(np.random.SeedSequence([run.seed, 44, step]).generate_state(1)[0])
        generator = torch.Generator(model.device).manual_seed(seed)
        decoding = Decoding(reader.vocab, run.max_actions, budget=0, eos_ids=reader.marks.ends)
        firsts = decode(model, [problem.prompt for problem in problems], decoding, generator=generator)
        kept = [self._kept(problem, first, reader) for problem, first in zip(problems, firsts, strict=True)]
        each = range(run.group - 1)
        begun = [(*p.prompt, *(ids or ())) for p, ids in zip(problems, kept, strict=True) for _ in each]
        limits = [run.max_actions - len(ids or ()) for ids in kept for _ in each]
        others = iter(decode(model, begun, decoding, limits=limits, generator=generator))
        rows, masks, finished = list[list[int]](), list[list[float]](), list[bool]()
        for first, prefix in zip(firsts, kept, strict=True):
            rows.append(first.ids)
            masks.append([float(prefix is None)] * len(first.ids))
            finished.append(first.finish is Finish.EOS)
            for _ in each:
                suffix = next(others)
                rows.append([*(prefix or ()), *suffix.ids])
                masks.append([0.0] * len(prefix or ()) + [1.0] * len(suffix.ids))
                finished.append(suffix.finish is Finish.EOS)
        asked = [problem for problem in problems for _ in range(run.group)]
        learns = [torch.tensor(mask) for mask in masks]
        rewards, infos = _judged(asked, rows, finished, settings, reader)
        group = torch.arange(len(asked)) // run.group
        relative = group_relative(
            torch.tensor(rewards, dtype=torch.float64), group, normalize_by_std=run.normalize_by_std
        ).float()
        paid = [spread(value[None], mask[None])[0] for value, mask in zip(relative, learns, strict=True)]
        keys = [f"{prompt}_{row % run.group}" for row, prompt in enumerate(group.tolist())]
        prompts = [str(prompt) for prompt in group.tolist()]
        return Rolled(Answers(keys, prompts, rows, learns, paid, rewards, infos))

    def _kept(
        self, problem: PosedProblem, first: DecodedTrace, reader: RolloutReader
    ) -> tuple[int, ...] | None:
        """What the others of a group begin with, None where the first answer is right."""
        if problem.verifier.verify(problem.truth, reader.decode(first.ids)) is Outcome.CORRECT:
            return None
        ok = prefixes_of(problem, reader)
        return tuple(first.ids[: reset_point(first.ids, first.logprobs, reader.marks, self.at, ok=ok)])


def prefixes_of(problem: PosedProblem, reader: RolloutReader) -> StepOracle | None:
    """Return whether prefixes of ids can still become right; None if the verifier does not judge them.

    Args:
        problem: The problem.
        reader: The reader of the ids.
    """
    if not isinstance(problem.verifier, PrefixVerifier):
        return None
    return prefix_oracle(problem.verifier, problem.truth, reader.decode, reader.marks.ends)


def _judged(
    asked: Sequence[PosedProblem],
    rows: Sequence[list[int]],
    finished: Sequence[bool],
    settings: Settings,
    reader: RolloutReader,
) -> tuple[list[float], list[dict[str, Any]]]:
    """The reward of each answer, and what is logged of it."""
    resolution = resolve_rows(rows, reader.vocab)
    rewards, infos = list[float](), list[dict[str, Any]]()
    for row, problem in enumerate(asked):
        seen = observe(resolution, row, reader.decode, reader.marks)
        answer = judge_answer(seen, problem.verifier, problem.truth)
        reward, parts = score(answer, settings.reward)
        rewards.append(reward)
        infos.append(reward_info(answer, parts, finished=finished[row], without_edits=False))
    return rewards, infos
