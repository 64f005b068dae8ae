"""Records of answers that are judged by their prefixes alone, and what a model is asked."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from halluc_plugin.errors import TokenizerError
from halluc_plugin.jobs.assess.measures import measure
from halluc_plugin.jobs.assess.records import ProblemRecord
from halluc_plugin.jobs.assess.sampling import RECORD, Records, question_ids
from halluc_plugin.jobs.assess.steps import Cutter
from halluc_plugin.sampling.states import End, Sample
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.verifiers import StepKind


def test_an_answer_that_ends_too_early_tells_slips_from_dead_ends_nowhere(chains):
    """Where a verifier judges prefixes and no steps, its early end is a dead end as all failures are."""
    problem = chains.problem(3)
    steps = chains.answer(problem)
    eos = steps[-1][-1]
    written = iter([sum(steps, ()), (*steps[0], eos)])

    class Scripted:
        """A whole answer, then one that ends behind its first step."""

        def sample(self, requests):
            """One sample each; none is gone on from, as no step is dead."""
            return [Sample(ids, (-1.0,) * len(ids), End.EOS) for ids in (next(written) for _ in requests)]

    network = new_model(chains.tokenizer, Size.TINY, seed=0).eval()
    cutter = Cutter(chains.tokenizer, chains.space, "\n")
    rows, _ = Records(Scripted(), network, cutter, 2, 0, edits=False, question=None)(0, [problem])
    record = ProblemRecord.of(rows[0][RECORD])
    whole, early = record.answers
    assert (whole.right, early.right) == (True, False)
    assert [step.kind for step in early.steps] == [StepKind.LIVE, StepKind.DEAD]
    assert early.steps[-1].seen is None
    measured = measure([record])
    assert not measured.told_apart
    assert (measured.steps[1].dead.value, measured.steps[1].slip.value) == (0.5, 0)


@pytest.fixture
def words():
    """A tokenizer of few words; another word is unknown to it."""
    known = {"[UNK]": 0, "0": 1, "1": 2, "right": 3, "?": 4}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def test_a_verdict_prompt_is_written_as_it_is(words):
    """Blanks may differ, as tokenizers set their own."""
    assert question_ids(words, "right?") == [3, 4]


def test_a_verdict_prompt_that_cannot_be_written_is_refused(words):
    """With unknown words in it, another question would be asked."""
    with pytest.raises(TokenizerError, match=r"cannot write the verdict prompt 'still right\?'"):
        question_ids(words, "still right?")
