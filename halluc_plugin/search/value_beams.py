"""Search by a beam over steps by their value (OpenReview hJ2BCYGvFg, eq. 5), with look-ahead.

Look-ahead is that of arXiv 2408.03314. The papers leave some points open, which are decided here as follows:

1. Every kept prefix proposes N steps, so that a depth takes width times N samples.
2. A finished answer stays in the beam by its value until better ones replace it; the search ends when
   everything in the beam is finished.
3. A look-ahead continues greedily, and ends early if the answer does. Its value is that of its end; a
   look-ahead that is cut off inside a step has the value 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, GuidedSearch, Request, Response, Space, Writer, wanted
from halluc_plugin.search.guided import Part, RatedResponse, draw, rate


def value_beam(
    prompt: tuple[int, ...], space: Space, proposals: int, width: int, *, lookahead: int = 0
) -> GuidedSearch:
    """Search one problem step by step, and keep the prefixes of greatest value.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples. A proposal that ends with an edit or by length is
            dropped.
        proposals: Number of steps sampled from each kept prefix, N.
        width: Number of prefixes kept at each depth.
        lookahead: Number of steps by which each candidate is continued greedily before it is rated; 0 for
            none.

    Returns:
        The search; it finds the answer of greatest value first.

    Raises:
        SettingsError: A number is out of range.
    """
    check_beam(proposals, width, lookahead)
    return _value_beam(prompt, space, proposals, width, lookahead)


def check_beam(proposals: int, width: int, lookahead: int) -> None:
    """Refuse numbers that are out of range for :func:`value_beam`.

    Raises:
        SettingsError: A number is out of range.
    """
    if proposals < 1 or width < 1 or lookahead < 0:
        raise SettingsError(
            f"n is {proposals}, the width {width} and the look-ahead {lookahead}.",
            "Give n and width of at least 1, a look-ahead of at least 0.",
        )


def _value_beam(
    prompt: tuple[int, ...], space: Space, proposals: int, width: int, lookahead: int
) -> GuidedSearch:
    found = yield from finished_from(prompt, Response(), space, proposals, width, lookahead=lookahead)
    return [rated.response for rated in found]


@dataclass(frozen=True)
class _Candidate:
    """A prefix or an answer, and where a look-ahead from it came to: itself, if there is none."""

    response: Response
    end: RatedResponse

    @property
    def finished(self) -> bool:
        return self.end.finished and self.end.response.ids == self.response.ids


def finished_from(
    prompt: tuple[int, ...],
    state: Response,
    space: Space,
    proposals: int,
    width: int,
    *,
    lookahead: int = 0,
    writer: Writer = Writer.POLICY,
    asked: tuple[int, ...] | None = None,
) -> Part[list[RatedResponse]]:
    """Return the finished answers of a beam that begins after a prefix, best first.

    Args:
        prompt: Token ids of the prompt.
        state: The response so far, after which the beam begins.
        space: The space in which the search samples.
        proposals: Number of steps sampled from each kept prefix.
        width: Number of prefixes kept.
        lookahead: Number of steps of look-ahead.
        writer: The model that proposes.
        asked: Token ids of another prompt, after which the model writes; None for the same.
    """
    ask = partial(wanted, prompt if asked is None else asked, writer=writer, steps=True)
    live, kept = [state], list[_Candidate]()
    while live:
        states = [one for one in live for _ in range(proposals)]
        samples = yield from draw([ask(one, space) for one in states])
        children = {
            child.ids: child
            for child, sample in (
                (one.extended(sample), sample) for one, sample in zip(states, samples, strict=True)
            )
            if sample.end is End.EOS or (sample.end is End.STEP and len(child.ids) < space.max_tokens)
        }
        candidates = yield from _rated(prompt, list(children.values()), space, lookahead, ask)
        finished = [one for one in kept if one.finished]
        kept = sorted([*finished, *candidates], key=lambda one: -one.end.final)[:width]
        live = [one.response for one in kept if not one.finished]
    return [one.end for one in kept]


def _rated(
    prompt: tuple[int, ...],
    children: Sequence[Response],
    space: Space,
    lookahead: int,
    ask: Callable[[Response, Space], Request],
) -> Part[list[_Candidate]]:
    ahead, greedy = list(children), replace(space, temperature=0.0)
    for _ in range(lookahead):
        going = [i for i, one in enumerate(ahead) if _goes_on(one, space)]
        samples = yield from draw([ask(ahead[i], greedy) for i in going])
        for i, sample in zip(going, samples, strict=True):
            ahead[i] = ahead[i].extended(sample)
    ends = yield from rate(prompt, ahead, space)
    return [_Candidate(child, end) for child, end in zip(children, ends, strict=True)]


def _goes_on(response: Response, space: Space) -> bool:
    return response.ids[-1] in space.delimiters and len(response.ids) < space.max_tokens
