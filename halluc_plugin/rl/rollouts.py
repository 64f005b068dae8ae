"""Sample groups of answers from a transformers model, judge them, and compute their advantages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from halluc_plugin.credit import group_relative, spread
from halluc_plugin.decoding import DecodedTrace, Decoding, decode
from halluc_plugin.decoding.asked import Finish
from halluc_plugin.edits import resolve_rows, response_mask
from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards import judge_answer, observe, score
from halluc_plugin.rl.answers import Answers, reward_info
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.scored_states import AskedAnswer, ScoredStates, StateScorer
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.settings import Settings, ValueSource


@dataclass(frozen=True)
class Rolled:
    """The answers of a step, and how they are held.

    Attributes:
        answers: The answers, ``run.group`` of them to each problem, next to each other.
        held: The weight by which each action is held to the reference, Float[T] of each answer: of the loss
            ½ (log π - log π_ref)². None if no action is held.
    """

    answers: Answers
    held: Sequence[torch.Tensor] | None = None


class Rollouts(Protocol):
    """A way to sample the answers of a step in place of :func:`sample_groups`."""

    @property
    def described(self) -> Mapping[str, Any]:
        """All that decides the answers and what they are paid, JSON-able."""
        ...

    @property
    def held(self) -> bool:
        """Whether actions are held, so that a reference is needed."""
        ...

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
        """Return the answers of a step, as :func:`sample_groups` does."""
        ...


def check_rollouts(rollouts: Rollouts | None, settings: Settings, reference: Any | None) -> None:
    """Refuse rollouts that do not go with the rest of a run.

    Those that take the place of :func:`sample_groups` ban edits while they sample, and judge whole answers
    alone.

    Args:
        rollouts: The rollouts; None for groups of whole answers.
        settings: The settings of the run.
        reference: The model to which rollouts hold the policy, None if there is none.

    Raises:
        SettingsError: The policy is to be held and there is no reference, or the other way round; edits are
            not banned, so that log-probs would be those of another policy than the one that samples; or
            values of states are to come from a scorer.
    """
    if (rollouts is not None and rollouts.held) is not (reference is not None):
        raise SettingsError(
            "Rollouts that hold the policy to a reference, and the reference, go together.",
            "Give both: a copy of the model before training. Or neither.",
        )
    if rollouts is None:
        return
    if settings.max_backtracks != 0:
        raise SettingsError(
            f"{type(rollouts).__name__} bans edits, and halluc.max_backtracks is {settings.max_backtracks}.",
            "Set halluc.max_backtracks=0, without a curriculum of budgets.",
        )
    if settings.values.source is ValueSource.PRM:
        raise SettingsError(
            f"{type(rollouts).__name__} asks no scorer of steps, and halluc.values.source is prm.",
            "Leave halluc.values.source at verifier.",
        )


def order(count: int, batch: int, seed: int, step: int) -> list[int]:
    """Return the numbers of the problems of a step, which counts from 1.

    Each epoch takes all problems once, in an order of its own. An incomplete batch at the end of an epoch is
    left out.
    """
    epoch, index = divmod(step - 1, count // batch)
    shuffled = np.random.default_rng([seed, 41, epoch]).permutation(count)
    return [int(i) for i in shuffled[index * batch : (index + 1) * batch]]


def sample_groups(
    model: Any,
    problems: Sequence[PosedProblem],
    settings: Settings,
    run: GrpoSettings,
    reader: RolloutReader,
    *,
    step: int,
    states: StateScorer | None = None,
) -> Answers:
    """Sample ``run.group`` answers to each problem at temperature 1.

    Args:
        model: A transformers causal language model in eval mode, on any device.
        problems: The problems of a step.
        settings: The settings of the step.
        run: The number and length of answers; its seed and the step decide the samples.
        reader: The reader of the sampled ids.
        step: Number of the step, from 1.
        states: The scorer that values states in place of the verifier; None for the verifier.

    Returns:
        The answers, with those to one problem next to each other.
    """
    asked = [problem for problem in problems for _ in range(run.group)]
    decoding = Decoding(
        reader.vocab, run.max_actions, settings.context, budget=settings.max_backtracks,
        boundary=settings.boundary, eos_ids=reader.marks.ends,
    )  # fmt: skip
    seed = int(np.random.SeedSequence([run.seed, 42, step]).generate_state(1)[0])
    generator = torch.Generator(model.device).manual_seed(seed)
    prompts = [problem.prompt for problem in asked]
    traces = decode(model, prompts, decoding, generator=generator)
    return _judged(asked, traces, settings, run, reader, states=states)


def _judged(
    asked: Sequence[PosedProblem],
    traces: Sequence[DecodedTrace],
    settings: Settings,
    run: GrpoSettings,
    reader: RolloutReader,
    *,
    states: StateScorer | None,
) -> Answers:
    responses = [trace.ids for trace in traces]
    resolution = resolve_rows(responses, reader.vocab)
    observed = [observe(resolution, row, reader.decode, reader.marks) for row in range(len(traces))]
    valued: Sequence[ScoredStates | None] = [None] * len(traces)
    if states is not None:
        valued = states.rate(
            [
                AskedAnswer(problem.prompt, trace.states, resolution, row)
                for row, (problem, trace) in enumerate(zip(asked, observed, strict=True))
            ]
        )
    scored = []
    for seen, trace, problem, said in zip(observed, traces, asked, valued, strict=True):
        answer = judge_answer(seen, problem.verifier, problem.truth, None if said is None else said.values)
        reward, parts = score(answer, settings.reward)
        finished = trace.finish is Finish.EOS
        info = reward_info(answer, parts, finished=finished, without_edits=False)
        scored.append((reward, info if said is None else info | said.info(answer.final.accuracy)))
    rewards = [reward for reward, _ in scored]
    group = torch.arange(len(asked)) // run.group
    relative = group_relative(
        torch.tensor(rewards, dtype=torch.float64), group, normalize_by_std=run.normalize_by_std
    ).float()
    mask = response_mask(resolution, settings.erased_tokens)
    lengths = resolution.raw_length.tolist()
    return Answers(
        keys=[f"{prompt}_{row % run.group}" for row, prompt in enumerate(group.tolist())],
        prompts=[str(prompt) for prompt in group.tolist()],
        responses=responses,
        masks=[row[:n].float() for row, n in zip(mask, lengths, strict=True)],
        advantages=[row[:n] for row, n in zip(spread(relative, mask), lengths, strict=True)],
        rewards=rewards,
        infos=[info for _, info in scored],
    )
