"""Let copies of a model debate: each answers, reads what the others answered, and answers again.

This is multi-agent debate (Y. Du et al., arXiv 2305.14325) on resolved answers, for a majority vote over the
last answers. Deviations from the paper:

1. Answers are shown as they are, in ids, with one request behind all of them: no turns of a chat, no words
   that introduce each, and no summaries.
2. A copy reads its own last answer first, where the paper's chat has it.
3. Of an answer with edits only what is left is shown.
4. A copy whose answer does not end keeps the last one that did.
"""

from collections.abc import Sequence
from dataclasses import replace

from halluc_plugin.data.shown_answers import shown
from halluc_plugin.edits import EditState
from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, Response, Sample, Search, Space, wanted


def debating(
    prompt: tuple[int, ...], space: Space, copies: int, rounds: int, request: Sequence[int]
) -> Search:
    """Search one problem by copies that read one another's answers.

    In each round, and before the first, every copy samples one whole answer, so that ``copies * (rounds +
    1)`` answers are sampled. Edits do not end them; they act in soft context.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which answers are sampled, ``max_tokens`` each.
        copies: Number of copies, at least 2.
        rounds: Number of rounds in which answers are read, at least 1.
        request: Token ids behind shown answers, which ask for another.

    Returns:
        The search; it finds the last answer of every copy that has one, in the order of copies.

    Raises:
        SettingsError: There are fewer than two copies or no round, or the request is empty.
    """
    if copies < 2:
        raise SettingsError(
            f"A debate has {copies} copies: there is no other answer to read.", "Give at least 2 copies."
        )
    if rounds < 1:
        raise SettingsError(
            f"A debate has {rounds} rounds, in which nothing would be read.",
            "Give at least 1, or sample independently and vote.",
        )
    if not request:
        raise SettingsError(
            "The request of a debate is empty.", "Give the text that asks for another answer."
        )
    return _search(prompt, space, copies, rounds, tuple(request))


def read_by(
    copy: int, answers: Sequence[Response | None], prompt: Sequence[int], request: Sequence[int]
) -> tuple[int, ...]:
    """Return what a copy reads: the prompt, its own answer, those of the others, and the request.

    Args:
        copy: Number of the copy.
        answers: The last answer of each copy; None if it has none, and then none is shown.
        prompt: Token ids of the prompt.
        request: Token ids that ask for another answer.
    """
    order = [answers[copy], *answers[:copy], *answers[copy + 1 :]]
    return shown(prompt, [answer.ids for answer in order if answer is not None], request)


def after(
    answers: Sequence[Response | None], samples: Sequence[Sample], space: Space
) -> list[Response | None]:
    """Return the answers of copies after a round.

    Args:
        answers: The answer of each copy before it, None for none.
        samples: What each copy sampled.
        space: The space in which they were sampled.
    """
    new = [resolved(sample, space) for sample in samples]
    return [before if now is None else now for before, now in zip(answers, new, strict=True)]


def resolved(sample: Sample, space: Space) -> Response | None:
    """Return what is left of a whole raw trace, with what is known of its tokens; None if it has no end.

    Args:
        sample: The sample, in which edits act.
        space: The space in which it was sampled.
    """
    if sample.end is not End.EOS:
        return None
    state = EditState(space.vocab)
    for token in sample.ids:
        state.push(token)

    def left(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(values[at] for at in state.live_indices) if len(values) == len(sample.ids) else ()

    told = (left(values) for values in (sample.logprobs, sample.entropies, sample.edit_probs))
    return Response(tuple(state.live_ids), *told)


def _search(
    prompt: tuple[int, ...], space: Space, copies: int, rounds: int, request: tuple[int, ...]
) -> Search:
    answers: list[Response | None] = [None] * copies
    one = replace(wanted(prompt, Response(), space), stop_ids=space.eos_ids, whole=True)
    for _ in range(rounds + 1):
        samples = yield [
            replace(one, prefix=read_by(copy, answers, prompt, request)) for copy in range(copies)
        ]
        answers = after(answers, samples, space)
    return [answer for answer in answers if answer is not None]
