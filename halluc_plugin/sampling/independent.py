"""Several answers to a prompt, each sampled by itself."""

from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, Response, Search, Space, wanted


def independent(prompt: tuple[int, ...], space: Space, n: int) -> Search:
    """N samples of one problem: best-of-N or majority voting, by the rule of selection.

    A sample that the model ends with an edit is dropped.

    Raises:
        SettingsError: ``n`` is below 1.
    """
    if n < 1:
        raise SettingsError(f"n is {n}.", "Give at least 1.")
    return samples_that_end(prompt, space, n)


def samples_that_end(prompt: tuple[int, ...], space: Space, n: int) -> Search:
    """N samples of one problem, without those that do not end at an EOS."""
    samples = yield [wanted(prompt, Response(), space)] * n
    return [Response().extended(sample) for sample in samples if sample.end is End.EOS]
