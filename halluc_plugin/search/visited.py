"""All that a search wrote on the way to its answer, as one trace: the samples in order, with their states.

Unlike the trace of one sample, each action says which action it followed (its parent). The trace so holds all
states that the search was in, also those that it left.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from halluc_plugin.edits import EditEvent, EditState, TraceRecord, collapse
from halluc_plugin.edits.texts import token_texts
from halluc_plugin.sampling.driver import Found
from halluc_plugin.sampling.states import End, Response, Sample, Space
from halluc_plugin.trace_log import rounded

MOST = 2000
"""Largest number of sampled actions that are kept of a problem's search: about 100 kB."""
ROOT = -1
"""The parent of what follows the prompt."""
KNOWN = ("log_probs", "entropies", "edit_probs")


def visited(
    prompt: tuple[int, ...], found: Found, chosen: Response | None, space: Space, tokenizer: Any
) -> dict[str, Any]:
    """Return all that a search wrote, as JSON.

    Samples that do not follow the problem's own prompt, such as reflections, are left out.

    Args:
        prompt: Ids of the problem's prompt.
        found: The responses found and the samples drawn; without samples, the responses take their place.
        chosen: The selected response; None if nothing was selected.
        space: The space that was searched.
        tokenizer: The tokenizer of the ids.

    Returns:
        For T actions: ``trace`` in the layout of :func:`halluc_plugin.edits.trace_record`. The actions of the
        answer are live; an edit erased the last step of its branch, and the end of the search all other
        actions. ``starts`` is the first action of each sample, ``tokens`` the text of each action.
        ``log_probs``, ``entropies`` and ``edit_probs`` have a number for each action, or are None if the
        engine does not give it. ``left_out`` is the number of sampled actions that are not kept.
    """
    restart = space.vocab.restart
    anew = any(restart in request.prefix[len(prompt) :] for request, _ in found.samples)
    account = _Account(space, tokenizer, restart if anew else None)
    left_out = 0
    for request, sample in found.samples:
        given = [] if request.whole else collapse(request.prefix[len(prompt) :], space.vocab)
        state = account.walk(given) if request.prefix[: len(prompt)] == prompt else None
        if state is None or len(state) < len(given) or len(account.ids) + len(sample.ids) > MOST:
            left_out += len(sample.ids)
        else:
            account.write(state, sample, whole=request.whole)
    # Beam search reports no samples; of other searches all responses are there, except what was left out.
    for response in () if found.samples else found.responses:
        account.add(response)
    if chosen is not None:
        account.add(chosen)
    return account.as_json(chosen) | {"left_out": left_out}


@dataclass
class _Account:
    """The actions in the order in which they were sampled.

    ``restart`` is the edit that takes back all of its branch; None where it, too, takes back a step.

    If several actions wrote equal states, the first of them stands for the state.
    """

    space: Space
    tokenizer: Any
    restart: int | None
    ids: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    events: list[EditEvent] = field(default_factory=list)
    known: dict[str, list[float | None]] = field(default_factory=lambda: {name: [] for name in KNOWN})
    _first: dict[tuple[int, int], int] = field(default_factory=dict)

    def walk(self, ids: Sequence[int]) -> list[int]:
        """The actions that wrote a response, as far as it was written."""
        path: list[int] = []
        for token in ids:
            at = self._first.get((path[-1] if path else ROOT, token))
            if at is None:
                break
            path.append(at)
        return path

    def write(self, state: list[int], sample: Sample, *, whole: bool = False) -> None:
        """Put a sample behind a state; of a whole raw trace the edits act as they do."""
        path, same = list(state), list(state)
        live = EditState(self.space.vocab) if whole else None
        self.starts.append(len(self.ids))
        self.tokens += token_texts(self.tokenizer, sample.ids)
        told = (sample.logprobs, sample.entropies, sample.edit_probs)
        for name, values in zip(KNOWN, told, strict=True):
            self.known[name] += values if len(values) == len(sample.ids) else [None] * len(sample.ids)
        for token in sample.ids:
            at = len(self.ids)
            self.ids.append(token)
            self.parent.append(path[-1] if path else ROOT)
            if token not in self.space.vocab.edit_ids:
                path.append(at)
                same.append(self._first.setdefault((same[-1] if same else ROOT, token), at))
            elif live is None:
                self._take_back(path, self._kept(path))
            else:
                kept = live.depth_after(token)
                self._take_back(path, kept)
                del path[kept:], same[kept:]
            if live is not None:
                live.push(token)

    def add(self, response: Response) -> None:
        """Put what was not written of a response behind what was."""
        path = self.walk(response.ids)
        kept = len(path)
        if kept < len(response.ids):
            told = (response.logprobs, response.entropies, response.edit_probs)
            logprobs, entropies, edit_probs = (values[kept:] for values in told)
            self.write(path, Sample(response.ids[kept:], logprobs, End.EOS, entropies, edit_probs))

    def _kept(self, path: list[int]) -> int:
        """What is left where an edit ends a sample and takes back the last step, or all of its branch."""
        if self.ids[-1] == self.restart:
            return 0
        response = Response(tuple(self.ids[at] for at in path))
        return len(response.without_last_step(self.space.delimiters).ids)

    def _take_back(self, path: list[int], kept: int) -> None:
        """Account for an edit, after which so many actions of a path are left."""
        at, gone = len(self.ids) - 1, tuple(path[kept:])
        event = EditEvent(0, len(self.events), at, at + 1, int(bool(gone)), gone, len(path), kept)
        self.events.append(event)

    def as_json(self, answer: Response | None) -> dict[str, Any]:
        """All of it; live is what the answer is made of."""
        path = [] if answer is None else self.walk(answer.ids)
        live, end = set(path), len(self.ids) - 1
        erased_at: list[int | None] = [None if at in live else end for at in range(len(self.ids))]
        for event in reversed(self.events):  # the first that took an action back counts
            erased_at[event.start] = None
            for at in event.erased:
                erased_at[at] = None if at in live else event.start
        record = TraceRecord(
            ids=tuple(self.ids),
            live=tuple(at in live for at in range(len(self.ids))),
            erased_at=tuple(erased_at),
            parent=tuple(self.parent),
            resolved=tuple(self.ids[at] for at in path),
            events=tuple(self.events),
        )
        return {
            "trace": record.as_json(),
            "starts": self.starts,
            "tokens": self.tokens,
            **{name: _known(values) for name, values in self.known.items()},
        }


def _known(values: Sequence[float | None]) -> list[float | None] | None:
    """Numbers as records keep them; None where there is none."""
    if all(value is None for value in values):
        return None
    return rounded([float("nan") if value is None else value for value in values])
