"""Sample two attempts in turns, and reward them as SCoRe's two stages do (A. Kumar et al., arXiv 2409.12917).

What is paid and held is defined in :mod:`halluc_plugin.credit.turn_stages`. The constants (α = 10, β1 = 0.01,
β2 = 0.1) are the paper's for MATH.

Deviations: advantages are relative to the group of a problem, where the paper has REINFORCE with its own
baseline; KL(π ‖ π_0) is held by the loss ½ (log π - log π_0)² of each sampled token, whose gradient is, in
expectation over the policy, that of the divergence at the token's state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from halluc_plugin.credit import TurnStage, group_relative, pay_turns, spread_turns
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.decoding.asked import DecodedTrace, Finish
from halluc_plugin.edits import resolve_rows
from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards import Verdict, judge_answer, observe, score
from halluc_plugin.rewards.turns import second_attempt
from halluc_plugin.rl.answers import Answers, reward_info
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.rollouts import Rolled
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.settings import Settings
from halluc_plugin.traces.turns import changed_share


@dataclass(frozen=True)
class TurnRollouts:
    """Samples two attempts at each problem in one row: first attempt, request, second attempt.

    ``max_actions`` of a run holds for the row; the attempts share what the request leaves.

    Args:
        request: Token ids between the attempts, behind the end of the first one.
        stage: The stage.
        alpha: The factor α of the bonus, in stage II; 0 leaves it out.
        hold: The weight of the divergence from the start: β2 on the first turn in stage I, β1 on both in
            stage II.

    Raises:
        SettingsError: The request is empty, or a number is below 0.
    """

    request: tuple[int, ...]
    stage: TurnStage
    alpha: float = 10.0
    hold: float = 0.1

    def __post_init__(self) -> None:
        if not self.request:
            raise SettingsError(
                "The request between two attempts is empty.", "Give the ids that ask for another."
            )
        if self.alpha < 0 or self.hold < 0:
            raise SettingsError(f"alpha is {self.alpha} and hold {self.hold}.", "Give numbers of at least 0.")

    @property
    def described(self) -> Mapping[str, Any]:
        """All that decides the answers and what they are paid, JSON-able."""
        return asdict(self)

    @property
    def held(self) -> bool:
        """Whether a reference is needed."""
        return self.hold > 0

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
        """Sample ``run.group`` pairs of attempts at each problem at temperature 1, and judge them.

        Args:
            model: A transformers causal language model in eval mode, on any device.
            problems: The problems of a step.
            settings: The settings of the step; its reward is logged, and does not pay.
            run: The number and length of answers; its seed and the step decide the samples.
            reader: The reader of the sampled ids.
            step: Number of the step, from 1.

        Returns:
            The answers, with the weights by which their actions are held.

        Raises:
            SettingsError: The request leaves no room for two attempts.
        """
        asked = [problem for problem in problems for _ in range(run.group)]
        firsts, seconds = attempts(model, asked, self.request, run, reader, step=step)
        judged = [
            _judged(problem, first, second, settings, reader)
            for problem, first, second in zip(asked, firsts, seconds, strict=True)
        ]
        right = torch.tensor([[before, after] for before, after, *_ in judged], dtype=torch.float64)
        group = torch.arange(len(asked)) // run.group
        paid = pay_turns(right, self.stage, self.alpha)
        first, second = (
            group_relative(values, group, normalize_by_std=run.normalize_by_std).tolist() for values in paid.T
        )
        places = [(len(first.ids), len(first.ids) + len(self.request)) for first in firsts]
        lengths = [begins + len(second.ids) for (_, begins), second in zip(places, seconds, strict=True)]
        rows = list(zip(places, lengths, strict=True))
        answers = Answers(
            keys=[f"{prompt}_{row % run.group}" for row, prompt in enumerate(group.tolist())],
            prompts=[str(prompt) for prompt in group.tolist()],
            responses=[
                [*one.ids, *self.request, *two.ids] for one, two in zip(firsts, seconds, strict=True)
            ],
            masks=[spread_turns(*row, 1.0, 1.0) for row in rows],
            advantages=[spread_turns(*of) for of in zip(places, lengths, first, second, strict=True)],
            rewards=paid.sum(1).tolist(),
            infos=[info for *_, info in judged],
        )  # fmt: skip
        held = [spread_turns(*row, *self.stage.holds(self.hold)) for row in rows]
        return Rolled(answers, held if self.held else None)


def attempts(
    model: Any,
    asked: Sequence[PosedProblem],
    request: Sequence[int],
    run: GrpoSettings,
    reader: RolloutReader,
    *,
    step: int,
) -> tuple[list[DecodedTrace], list[DecodedTrace]]:
    """Return a first and a second attempt at each problem, without edits.

    Args:
        model: A transformers causal language model in eval mode.
        asked: The problems, one for each pair.
        request: Token ids between the attempts.
        run: The length of both together with the request, and the seed.
        reader: The reader of the ids.
        step: Number of the step, which with the seed decides the samples.

    Raises:
        SettingsError: The request leaves no room for two attempts.
    """
    room = (run.max_actions - len(request)) // 2
    if room < 1:
        raise SettingsError(
            f"max_actions={run.max_actions} leaves no room for two attempts and {len(request)} tokens of the "
            "request.",
            "Raise it, or shorten the request.",
        )
    seed = int(np.random.SeedSequence([run.seed, 43, step]).generate_state(1)[0])
    generator = torch.Generator(model.device).manual_seed(seed)
    decoding = Decoding(reader.vocab, room, budget=0, eos_ids=reader.marks.ends)
    prompts = [list(problem.prompt) for problem in asked]
    firsts = decode(model, prompts, decoding, generator=generator)
    again = [[*prompt, *first.ids, *request] for prompt, first in zip(prompts, firsts, strict=True)]
    return firsts, decode(model, again, decoding, generator=generator)


def _judged(
    problem: PosedProblem,
    first: DecodedTrace,
    second: DecodedTrace,
    settings: Settings,
    reader: RolloutReader,
) -> tuple[float, float, dict[str, Any]]:
    """Whether each attempt is right, and what is logged of both."""
    before = Verdict.of(problem.verifier.verify(problem.truth, reader.decode(first.ids)))
    resolution = resolve_rows([second.ids], reader.vocab)
    alone = judge_answer(observe(resolution, 0, reader.decode, reader.marks), problem.verifier, problem.truth)
    answer = second_attempt(alone, before, len(first.ids))
    _, parts = score(answer, settings.reward)
    info = reward_info(answer, parts, finished=second.finish is Finish.EOS, without_edits=True)
    return (
        before.accuracy,
        answer.final.accuracy,
        info | {"turn_change": changed_share(first.ids, second.ids)},
    )
