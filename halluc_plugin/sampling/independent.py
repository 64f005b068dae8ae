"""Several answers to a prompt, each sampled by itself."""

from halluc_plugin.decoding.policy import NOTHING, Tabu
from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, Response, Search, Space, wanted


def independent(prompt: tuple[int, ...], space: Space, n: int) -> Search:
    """N samples of one problem: best-of-N or majority voting, by the rule of selection.

    A sample that the model ends with an edit is dropped. With the space's tabu each begins with another token
    of text than all before it (distinct starts): what a model that takes things back is given by tabu.

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
    """N samples of one problem, without those that do not end at an EOS."""
    samples = yield [wanted(prompt, Response(), space)] * n
    return [Response().extended(sample) for sample in samples if sample.end is End.EOS]
