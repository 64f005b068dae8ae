"""Sample several answers to a prompt, each by itself."""

from halluc_plugin.decoding.policy import NOTHING, Tabu
from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, Response, Search, Space, wanted


def independent(prompt: tuple[int, ...], space: Space, n: int) -> Search:
    """Return a search for N samples of one problem, for best-of-N or majority voting.

    A sample that the model ends with an edit is dropped. With the space's tabu each sample begins with
    another text token than all before it (distinct starts), which gives a model without edits the same
    advantage that tabu gives one with edits.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which answers are sampled.
        n: Number of samples, N.

    Raises:
        SettingsError: ``n`` is below 1.
    """
    if n < 1:
        raise SettingsError(f"n is {n}.", "Give at least 1.")
    search = samples_that_end if space.tabu is Tabu.OFF else _distinct_starts
    return search(prompt, space, n)


def _distinct_starts(prompt: tuple[int, ...], space: Space, n: int) -> Search:
    found: list[Response] = []
    tried = NOTHING
    for _ in range(n):
        (sample,) = yield [wanted(prompt, Response(), space, banned_first=tried)]
        tried |= {sample.ids[0]} - space.vocab.edit_ids
        found += [Response().extended(sample)] if sample.end is End.EOS else []
    return found


def samples_that_end(prompt: tuple[int, ...], space: Space, n: int) -> Search:
    """Return a search for N samples of one problem that keeps only those that end with EOS."""
    samples = yield [wanted(prompt, Response(), space)] * n
    return [Response().extended(sample) for sample in samples if sample.end is End.EOS]
