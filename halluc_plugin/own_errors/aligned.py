"""Write traces whose errors are the model's own, found by aligning its samples with references."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from halluc_plugin.data.resumable import Row
from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.raw_traces import Edit
from halluc_plugin.problem_sets.references import Reference, Writing
from halluc_plugin.sampling.driver import Sampler, run
from halluc_plugin.sampling.independent import independent
from halluc_plugin.sampling.seeds import seed_part
from halluc_plugin.sampling.states import Space
from halluc_plugin.traces import align_steps, align_tokens


@dataclass(frozen=True)
class Aligned:
    """Makes the rows of a part; errors are where the model's own answers depart from the references.

    Attributes:
        writing: How traces are written.
        sampler: The model that is sampled.
        space: The space in which it is sampled. Edits are banned there, so that errors are taken back only by
            the written traces.
        samples: Number of answers to each problem.
        seed: Seed of the samples, if the sampler can be seeded.
    """

    writing: Writing
    sampler: Sampler
    space: Space
    samples: int
    seed: int

    def __post_init__(self) -> None:
        if not self.space.edits_banned:
            raise SettingsError("The space lets the model take back by itself.", "Ban edits in it.")

    def __call__(self, number: int, references: Sequence[Reference]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts; an answer that departs nowhere gives no trace, nor does one a second time."""
        seed_part(self.sampler, self.seed, number)
        align = align_steps if self.writing.edit is Edit.STEP else align_tokens
        prompts = [reference.prompt for reference in references]
        found = run(
            [independent(prompt, self.space, self.samples) for prompt in prompts], prompts, self.sampler
        )
        rows, tally = list[Row](), Counter[str]()
        for reference, result in zip(references, found, strict=True):
            answers = dict.fromkeys(response.ids for response in result.responses)
            aligned = [
                align(reference.ids, ids, self.writing.vocab, eos_ids=self.writing.eos_ids).ids
                for ids in answers
            ]
            edits = self.writing.vocab.edit_ids
            traces = [ids for ids in dict.fromkeys(aligned) if not edits.isdisjoint(ids)]
            tally.update(answers=len(result.responses), backtracking=len(traces))
            rows += self.writing.rows(reference, traces)
        tally["clean"] = len(rows) - tally["backtracking"]
        return rows, tally
