"""Records of answers that are judged by their prefixes alone."""

from halluc_plugin.jobs.assess.measures import measure
from halluc_plugin.jobs.assess.records import ProblemRecord
from halluc_plugin.jobs.assess.sampling import RECORD, Records
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
