"""Draft, then verify: a cheaper model proposes a step, and a scorer of steps accepts it or takes it back.

A step whose value is at least a threshold stays; else it is taken back, and after N proposals the model that
answers writes the step. With the likelihood of the step under that model as its value, the rule is that the
step's mean log-probability is at least ln(accept). With a process reward model it is the rule of
Reward-Guided Speculative Decoding (B. Liao et al., arXiv 2501.19324), with a verdict that of SpecReason
(R. Pan et al., arXiv 2504.07891). Answers are not distributed as those of the model alone, which speculative
sampling of tokens keeps (arXiv 2211.17192).

Deviations from the papers:

1. Several proposals may be made of a step, one after the other.
2. A step that the model that answers writes is not rated.
3. A proposal that ends with an edit or by length is rejected unrated; such a step of the model that answers
   ends the search without an answer.
"""

from dataclasses import dataclass

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, GuidedSearch, Response, Sample, Space, Writer, wanted
from halluc_plugin.search.guided import draw, rate


@dataclass(frozen=True)
class Drafting:
    """How drafted steps are verified.

    Args:
        n: Largest number of proposals of a step, N.
        accept: Value from which on a drafted step stays.

    Raises:
        SettingsError: A value is out of range.
    """

    n: int = 1
    accept: float = 0.5

    def __post_init__(self) -> None:
        if self.n < 1:
            raise SettingsError(f"n is {self.n}.", "Give at least 1.")
        if not 0 <= self.accept <= 1:
            raise SettingsError(f"accept is {self.accept}.", "Give a value, in [0, 1].")


def draft_verify(prompt: tuple[int, ...], space: Space, plan: Drafting) -> GuidedSearch:
    """Search one problem by drafted steps.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which both models are sampled.
        plan: How drafted steps are verified.

    Returns:
        The search; it finds one answer or none.
    """
    state, done = Response(), False
    while not done:
        accepted = None
        for _ in range(plan.n):
            (sample,) = yield from draw([wanted(prompt, state, space, steps=True, writer=Writer.DRAFT)])
            if not _whole(state, sample, space):
                continue
            (rated,) = yield from rate(prompt, [state.extended(sample)], space)
            if rated.final >= plan.accept:
                accepted = sample
                break
        if accepted is None:
            (accepted,) = yield from draw([wanted(prompt, state, space, steps=True)])
            if not _whole(state, accepted, space):
                return []
        state, done = state.extended(accepted), accepted.end is End.EOS
    return [state]


def _whole(state: Response, sample: Sample, space: Space) -> bool:
    """Whether a step ends the answer, or ends with room behind it."""
    room = len(state.ids) + len(sample.ids) < space.max_tokens
    return sample.end is End.EOS or (sample.end is End.STEP and room)
