"""Value an answer's states by a scorer of steps, which reads the live text of each state."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halluc_plugin.edits import EditVocab, Resolution
from halluc_plugin.errors import SettingsError
from halluc_plugin.rewards import Marks, States
from halluc_plugin.rl.action_values import action_logits, written_texts
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.sampling.states import Space
from halluc_plugin.scorers.saved import Made, Objective, load_step_scorer, read_made
from halluc_plugin.scorers.steps import Steps, StepScorer
from halluc_plugin.settings import Settings, ValueSource
from halluc_plugin.verifiers import PrefixVerifier

THRESHOLD = 0.5
"""Value of a whole answer below which a scorer holds it for wrong."""


@dataclass(frozen=True)
class ScoredStates:
    """A scorer's values of one answer.

    Attributes:
        values: The value of each state, by its position.
        final: The value of the answer itself.
        actions: The logit of the state after each action, None where nothing is live; None if they are not
            read.
    """

    values: dict[int, float]
    final: float
    actions: tuple[float | None, ...] | None = None

    def info(self, accuracy: float) -> dict[str, Any]:
        """Return figures that show whether the scorer disagrees with the verifier.

        Args:
            accuracy: The answer's accuracy by the judge of answers.

        Returns:
            ``scorer_value``, the value of the answer; ``scorer_disagrees``, 1 if it takes a right answer for
            wrong or a wrong one for right; ``scorer_overrates``, 1 if it takes a wrong answer for right; and
            ``actions``, their logits as JSON, if they are read.
        """
        likes, right = self.final >= THRESHOLD, accuracy >= 1
        return {
            "scorer_value": self.final,
            "scorer_disagrees": float(likes != right),
            "scorer_overrates": float(likes and not right),
            **({} if self.actions is None else {"actions": json.dumps(self.actions)}),
        }


@dataclass(frozen=True)
class AskedAnswer:
    """An answer whose states are to be valued.

    Attributes:
        prompt: Token ids of the prompt.
        states: The states to be valued.
        resolution: A resolution that contains the answer.
        row: Number of the answer's row.
    """

    prompt: Sequence[int]
    states: States
    resolution: Resolution
    row: int


class StateScorer:
    """Values states by a scorer of steps.

    A scorer values prefixes that end a step. A state inside a step, and an answer that was cut off inside
    one, therefore has the value of the last step's end. Text that was erased before a state is not read.

    Args:
        scorer: The scorer of steps.
        vocab: The edit vocabulary of the ids.
        marks: The ids that end steps and answers.
        reads_actions: Whether the state after every action is valued, too, token by token.
    """

    def __init__(
        self, scorer: StepScorer, vocab: EditVocab, marks: Marks, *, reads_actions: bool = False
    ) -> None:
        self._scorer, self._reads_actions = scorer, reads_actions
        self._ends = marks.delimiters | marks.ends
        self._space = Space(vocab, marks.ends, marks.delimiters - marks.ends, max_tokens=1)

    def rate(self, asked: Sequence[AskedAnswer]) -> list[ScoredStates]:
        """Return the values of the states of several answers, by one call of the scorer."""
        prompts: list[Sequence[int]] = []
        steps: list[Steps] = []
        places = []
        for answer in asked:
            positions = answer.states.positions()
            live = [answer.resolution.live_at(answer.row, at) for at in positions]
            for ids in (*live, answer.resolution.resolved(answer.row)):
                prompts.append(answer.prompt)
                steps.append(self._whole_steps(ids))
            places.append(positions)
        texts = [self._texts(answer) for answer in asked]
        for answer, of_answer in zip(asked, texts, strict=True):
            ids = answer.resolution.ids[answer.row].tolist()
            prompts += [answer.prompt] * len(of_answer)
            steps += [[(ids[column],) for column in columns] for columns in of_answer]
        rows = iter(
            row[: len(of_row) + 1]
            for row, of_row in zip(self._scorer.score(prompts, steps).tolist(), steps, strict=True)
        )
        states = [({at: next(rows)[-1] for at in positions}, next(rows)[-1]) for positions in places]
        return [
            ScoredStates(*of_states, self._actions(answer, of_answer, [next(rows)[1:] for _ in of_answer]))
            for of_states, answer, of_answer in zip(states, asked, texts, strict=True)
        ]

    def _texts(self, answer: AskedAnswer) -> list[list[int]]:
        return written_texts(answer.resolution, answer.row) if self._reads_actions else []

    def _actions(
        self, answer: AskedAnswer, texts: Sequence[Sequence[int]], values: Sequence[Sequence[float]]
    ) -> tuple[float | None, ...] | None:
        if not self._reads_actions:
            return None
        return tuple(action_logits(answer.resolution, answer.row, texts, values))

    def _whole_steps(self, ids: Sequence[int]) -> Steps:
        steps = self._space.steps(ids)
        return steps if not steps or steps[-1][-1] in self._ends else steps[:-1]


class BatchedStates:
    """Values answers that arrive one by one in batches: those that arrive during a pass wait for the next.

    Args:
        states: The scorer of states; it runs off the event loop, one pass after the other.
    """

    def __init__(self, states: StateScorer) -> None:
        self._states = states
        self._waiting: list[tuple[AskedAnswer, asyncio.Future[ScoredStates]]] = []
        self._running: asyncio.Task[None] | None = None

    async def rate(self, asked: AskedAnswer) -> ScoredStates:
        """Return the values of the states of an answer."""
        future: asyncio.Future[ScoredStates] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        await asyncio.sleep(0)  # whoever asks in the same turn of the loop shares the pass
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                found = await asyncio.to_thread(self._states.rate, [asked for asked, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever asked is told
                for _, future in batch:
                    future.set_exception(error)
                continue
            for (_, future), scored in zip(batch, found, strict=True):
                if not future.done():
                    future.set_result(scored)


def state_scorer(
    settings: Settings,
    tokenizer: Any,
    vocab: EditVocab,
    marks: Marks,
    *,
    problems: Sequence[PosedProblem] = (),
    trust_remote_code: bool = False,
) -> StateScorer | None:
    """Return the scorer that ``halluc.values`` names, None if another source values states.

    Args:
        settings: The settings of the run.
        tokenizer: The policy's tokenizer.
        vocab: The edit vocabulary of the ids.
        marks: The ids that end steps and answers.
        problems: Problems that the scorer must have been made for; none if they were checked before.
        trust_remote_code: Whether code that comes with the scorer may run.

    Raises:
        TokenizerError: The scorer cannot be loaded, or was made for other steps.
        SettingsError: Its logits are to be the Q of tokens, and it was not trained so.
    """
    if settings.values.source is not ValueSource.PRM:
        return None
    name = settings.values.scorer
    assert name is not None  # the settings refuse the source without one
    made = read_made(name, trust_remote_code=trust_remote_code)
    require_q(name, made, settings)
    known = set(made.data_sources)
    # A problem that does not say its source may be of any that its verifier judges.
    others = {p.data_source for p in problems if p.data_source}
    unsaid = [p.verifier.data_sources for p in problems if not p.data_source]
    others |= {sources[0] for sources in unsaid if known.isdisjoint(sources)}
    scorer = load_step_scorer(
        name,
        tokenizer,
        step_delimiter=settings.tokens.step_delimiter,
        data_sources=others,
        trust_remote_code=trust_remote_code,
    )
    return StateScorer(scorer, vocab, marks, reads_actions=settings.credit.reads_actions)


def require_q(name: str, made: Made, settings: Settings) -> None:
    """Refuse a scorer of another objective where its logits are paid as the Q of tokens.

    Args:
        name: Name of the scorer in the error.
        made: What the scorer was made for.
        settings: The settings of the run.

    Raises:
        SettingsError: The scorer has another objective.
    """
    if settings.credit.reads_actions and made.objective is not Objective.PAIRWISE:
        raise SettingsError(
            f"halluc.credit.form=q reads logits of a Q-function reward model, and {name} was trained by "
            f"--objective {made.objective}.",
            "Train one by `halluc train --objective pairwise`, or choose another halluc/credit.",
        )


def require_values(settings: Settings, problems: Sequence[PosedProblem]) -> None:
    """Refuse settings that need values of states which nothing provides, if no states are sampled from.

    Raises:
        SettingsError: Values are to be sampled, or have a weight and nothing judges them.
    """
    if any(settings.values.sampled_for(problem.verifier) for problem in problems):
        raise SettingsError(
            f"halluc.values.source={settings.values.source}: only verl's rollouts sample from states.",
            "Train with verl, or take values from the verifier, a scorer (prm) or the prefix tree.",
        )
    if settings.values.source is ValueSource.PRM:
        return
    paid = ", ".join(settings.paid_values)
    if paid and not all(isinstance(problem.verifier, PrefixVerifier) for problem in problems):
        raise SettingsError(
            f"{paid} pays for values of states, and the verifier of a problem judges none.",
            "Give problems whose verifiers judge prefixes, take halluc.credit.values=prefix_tree for the "
            "credit, or pay the outcome alone.",
        )
