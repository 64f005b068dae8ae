"""States valued by a scorer of steps: by what is left at each, many answers in a pass, held to the judge."""

import asyncio
import json
import math

import pytest
import torch

from halluc_plugin.data.prompts import prompt_ids
from halluc_plugin.data.trace_files import fingerprint
from halluc_plugin.edits import resolve_rows
from halluc_plugin.errors import SettingsError, TokenizerError
from halluc_plugin.rewards import Marks
from halluc_plugin.rewards.states import states_of
from halluc_plugin.rl.grpo import METRICS, train_policy
from halluc_plugin.rl.scored_states import AskedAnswer, BatchedStates, ScoredStates, StateScorer
from halluc_plugin.rl.settings import GrpoSettings
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.scorers.saved import Made, Objective, save_step_scorer
from halluc_plugin.scorers.value_head import new_value_head
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.settings import load
from halluc_plugin.tasks.countdown.files import problem_row
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Split, generate
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.saving import save_model
from halluc_plugin.verifiers import Outcome

TOKENIZER = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
VOCAB = vocab_of(TOKENIZER)
EOS, BACK = TOKENIZER.eos_token_id, VOCAB.backtrack
(LINE,) = TOKENIZER.encode("\n")
MARKS = Marks(frozenset({LINE}), frozenset({EOS}))
A, B, C = TOKENIZER.encode("1 2 3".replace(" ", "+"))[::2]


class Table:
    """A scorer that knows the value of what was written up to each step's end, and what it was asked."""

    def __init__(self, values):
        self.values, self.calls = values, []

    def score(self, prompts, steps):
        """From the table; NaN behind a response's own steps."""
        self.calls.append(len(prompts))
        width = max(map(len, steps)) + 1
        found = torch.full((len(steps), width), torch.nan)
        for row, of_row in enumerate(steps):
            for count in range(len(of_row) + 1):
                written = tuple(token for step in of_row[:count] for token in step)
                found[row, count] = self.values[written]
        return found


VALUES = {
    (): 0.5,
    (A, LINE): 0.75,
    (B, LINE): 0.25,
    (A, LINE, C, LINE): 0.875,
    (A, LINE, C, LINE, EOS): 1.0,
    (A, LINE, C, EOS): 0.0,
}


def asked(*traces):
    """Answers to one prompt."""
    resolution = resolve_rows(traces, VOCAB)
    return [
        AskedAnswer([C], states_of(resolution, row, MARKS), resolution, row) for row in range(len(traces))
    ]


def test_a_state_is_worth_what_is_left_there():
    """Erased steps are not read; inside a step it has the value of the last step's end, or the prompt's.

    All answers are asked about at once.
    """
    table = Table(VALUES)
    undone = [B, LINE, BACK, BACK, A, LINE, C, LINE, EOS]
    inside = [A, LINE, B, BACK, C, LINE, B]
    first, second = StateScorer(table, VOCAB, MARKS).rate(asked(undone, inside))
    assert first == ScoredStates({2: 0.25, 4: 0.5, 6: 0.75}, 1.0)
    assert second == ScoredStates({2: 0.75, 3: 0.75, 4: 0.75, 6: 0.875}, 0.875)
    assert len(table.calls) == 1


def test_actions_are_valued_in_the_same_pass():
    """Each token in its context, and each edit by what it came back to; the values of states stay."""
    tokens = {(A,): 0.5, (A, B): 0.75, (A, C): 0.25}
    table = Table(VALUES | tokens)
    answers = asked([A, B, BACK, C])
    (told,) = StateScorer(table, VOCAB, MARKS, reads_actions=True).rate(answers)
    (plain,) = StateScorer(table, VOCAB, MARKS).rate(answers)
    assert (told.values, told.final) == (plain.values, plain.final)
    assert told.actions == pytest.approx((0, math.log(3), 0, -math.log(3)))
    assert plain.actions is None
    assert json.loads(told.info(1.0)["actions"]) == list(told.actions)
    assert table.calls == [5, 3]  # before and behind the event and the end, and two texts more


@pytest.mark.parametrize(
    ("final", "accuracy", "disagrees", "overrates"),
    [(0.9, 1.0, 0, 0), (0.9, 0.0, 1, 1), (0.1, 1.0, 1, 0), (0.1, 0.0, 0, 0)],
)
def test_the_guard_says_where_scorer_and_judge_disagree(final, accuracy, disagrees, overrates):
    """And where the scorer alone likes an answer, which a policy would learn to seek."""
    assert ScoredStates({}, final).info(accuracy) == {
        "scorer_value": final,
        "scorer_disagrees": disagrees,
        "scorer_overrates": overrates,
    }


def test_answers_that_come_together_share_a_pass():
    """Each gets its own values, and an error of the scorer reaches whoever asked."""
    table = Table(VALUES)
    batched = BatchedStates(StateScorer(table, VOCAB, MARKS))
    traces = [[A, LINE, C, EOS], [A, LINE, C, LINE, EOS], [B, LINE]]

    async def together():
        return await asyncio.gather(*(batched.rate(answer) for answer in asked(*traces)))

    assert [scored.final for scored in asyncio.run(together())] == [0.0, 1.0, 0.25]
    assert len(table.calls) == 1

    async def unknown():
        return await batched.rate(asked([C, LINE])[0])

    with pytest.raises(KeyError):
        asyncio.run(unknown())


class NeverRight:
    """Judges no prefixes, and likes nothing."""

    data_sources = ("halluc/countdown",)

    def verify(self, problem, answer):
        """Wrong."""
        return Outcome.WRONG


@pytest.fixture
def scorer(tmp_path):
    """Saves a scorer of a task that gives 0.73 to everything."""
    save_model(new_model(TOKENIZER, Size.TINY, seed=0), TOKENIZER, tmp_path / "policy")

    def save(source):
        head = new_value_head(str(tmp_path / "policy"))
        torch.nn.init.ones_(head.score.bias)
        made = Made(Objective.VALUE, fingerprint(TOKENIZER), "\n", (source,))
        save_step_scorer(head, TOKENIZER, tmp_path / "prm", made)
        return str(tmp_path / "prm")

    return save


def trained(out, **block):
    """Two steps of the small trainer."""
    drawn = generate(CountdownSettings(seed=0), Split.TRAIN, 2)
    rows = [problem_row(problem, Split.TRAIN, number) for number, problem in enumerate(drawn)]
    problems = [
        PosedProblem(
            tuple(prompt_ids(TOKENIZER, r["prompt"])), r["reward_model"]["ground_truth"], NeverRight()
        )
        for r in rows
    ]
    run = GrpoSettings(steps=2, prompts=2, group=2, max_actions=8, micro_batch=4)
    model = new_model(TOKENIZER, Size.TINY, seed=0)
    train_policy(
        model, TOKENIZER, problems, load(block), run, out=out, progress=lambda steps, what, total: steps
    )
    return [json.loads(line) for line in (out / METRICS).read_text().splitlines()]


def test_the_small_trainer_pays_by_a_scorer(scorer, tmp_path):
    """Where no verifier judges prefixes, steps are paid by the scorer, and what it alone likes is logged."""
    values = {"source": "prm", "scorer": scorer("halluc/countdown")}
    lines = trained(
        tmp_path / "run", values=values, credit={"alpha": 0.5}, reward={"weights": {"process": 1.0}}
    )
    for line in lines:
        assert line["backtrack/scorer_value"] == pytest.approx(0.7311, abs=1e-4)
        assert line["backtrack/scorer_overrates"] == line["backtrack/scorer_disagrees"] == 1
        assert 0 <= line["backtrack/reward/process"] < 0.7311


def test_the_small_trainer_refuses_another_tasks_scorer(scorer, tmp_path):
    """Before it samples anything."""
    values = {"source": "prm", "scorer": scorer("halluc/chain")}
    with pytest.raises(TokenizerError, match="trained on halluc/chain, not on halluc/countdown"):
        trained(tmp_path / "run", values=values)


@pytest.mark.parametrize("values", [{"source": "prm"}, {"scorer": "prm"}])
def test_source_and_scorer_go_together(values):
    """One without the other would be passed over, or would have nobody to ask."""
    with pytest.raises(SettingsError, match=r"halluc\.values\.scorer=FOLDER"):
        load({"values": values})
