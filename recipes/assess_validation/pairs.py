"""The pairs of task and start for which predictions are made, and their training."""

from dataclasses import dataclass, field, replace

from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.prepare import WARM_START
from halluc_plugin.problem_sets.search_files import SearchData, SearchProblems, SearchRequest
from halluc_plugin.problem_sets.search_trace_settings import Memory, Notice, Proposal, SearchTraceSettings
from halluc_plugin.tasks.sat.problems import SatProblems
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.training.settings import TrainSettings

BATCH = 32
"""Number of traces in an optimizer step."""
STATES = 10
"""Number of states: with fewer lines to know than the default, a start knows them sooner."""


@dataclass(frozen=True)
class Scale:
    """Sizes of all pairs.

    Attributes:
        train: Number of training problems.
        test: Number of held-out problems, for which both predictions and results are.
        edits: Largest number of step backtracks of an answer.
        edit_steps: Number of optimizer steps on traces through dead ends.
        samples: Number of answers to each problem in the assessment.
        max_tokens: Largest number of tokens of an answer with edits.
    """

    train: int = 8000
    test: int = 300
    edits: int = 8
    edit_steps: int = 800
    samples: int = 8
    max_tokens: int = 192


@dataclass(frozen=True)
class Pair:
    """A task, with a start that was trained on clean answers to it for some steps.

    Attributes:
        name: Name of the pair's folder.
        problems: The kind of problems.
        clean_steps: Number of optimizer steps of the start.
    """

    name: str
    problems: SearchProblems = field(repr=False)
    clean_steps: int

    def data(self, scale: Scale, *, edits: bool) -> SearchData:
        """Return the data set, with clean traces alone or with those through dead ends."""
        traces = SearchTraceSettings(
            memory=Memory.NONE, notice=Notice.AT_ONCE, proposal=Proposal.RATE, tries=3
        )
        amounts = SearchRequest(train=scale.train, test=scale.test, traces=traces)
        return SearchData(self.problems, amounts if edits else replace(amounts, backtracking=0.0))

    def clean(self) -> TrainSettings:
        """Return the settings by which the start is trained."""
        return replace(WARM_START, steps=self.clean_steps, save_steps=self.clean_steps, batch_size=BATCH)

    def edited(self, scale: Scale) -> TrainSettings:
        """Return the settings of training on edits: in hard context, with a loss share for decisions."""
        return replace(
            WARM_START, steps=scale.edit_steps, save_steps=scale.edit_steps, batch_size=BATCH,
            context=Context.HARD, erased_tokens=ErasedTokens.WEIGHT,
            shares=LossShares(decisions=0.5, erased=0.1),
        )  # fmt: skip


def _word(length: int, starts: int, blanks: int, steps: int) -> Pair:
    name = f"word-l{length}-s{starts}-b{blanks}-{steps}"
    return Pair(name, WordProblems(states=STATES, length=length, starts=starts, blanks=blanks), steps)


WORDS = ((4, 4, 0), (2, 4, 0), (4, 2, 0), (4, 8, 0), (3, 4, 1), (6, 4, 0), (4, 2, 2))
"""Length, starts and blanks of the word problems."""
SAT = SatProblems(sizes=replace(SatProblems().sizes, smallest=4, largest=6, longest=7))
PAIRS = (
    *(_word(*sizes, steps) for steps in (600, 300) for sizes in WORDS),
    *(Pair(f"sat-{steps}", SAT, steps) for steps in (600, 300)),
)
"""Two starts of each of eight tasks."""
