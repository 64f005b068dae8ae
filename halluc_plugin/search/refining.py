"""Refine finished answers: a model that writes a restart where an answer would end answers anew.

This is inference by ReVISE (arXiv 2502.14565): after a finished attempt the model either ends, or writes its
refine token and then another attempt, with the first one in its context. The restart token stands for
[refine]. Voting by the rule ``confidence`` is the paper's confidence-aware decoding
(:attr:`halluc_plugin.search.selection.Rule.CONFIDENCE`).
"""

from dataclasses import replace

from halluc_plugin.errors import EditVocabError, SettingsError
from halluc_plugin.sampling.states import End, Response, Sample, Search, Space, wanted


def refining(prompt: tuple[int, ...], space: Space, n: int, rounds: int) -> Search:
    """Search one problem by N samples, each of which may refine its answer.

    A sample that the model ends with a restart goes on behind all that it wrote, in soft context. One that
    is taken back after the last round, by another edit, or without room for another token is dropped.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples; ``max_tokens`` holds for all attempts of a sample
            together, restarts included.
        n: Number of samples, N.
        rounds: Largest number of refinements of a sample.

    Returns:
        The search; it finds the last attempt of every sample that ended by EOS.

    Raises:
        SettingsError: ``n`` or ``rounds`` is out of range.
        EditVocabError: The vocabulary has no restart token.
    """
    if n < 1 or rounds < 0:
        raise SettingsError(f"n is {n} and rounds {rounds}.", "Give n of at least 1, rounds of at least 0.")
    if space.vocab.restart is None:
        raise EditVocabError(
            "The vocabulary has no restart token, by which a finished answer is refined.",
            "Add it: `halluc add-token --restart`.",
        )
    return _search(prompt, space, n, rounds)


def _search(prompt: tuple[int, ...], space: Space, n: int, rounds: int) -> Search:
    written: list[tuple[int, ...]] = [()] * n
    finished: list[Response] = []
    for _ in range(rounds + 1):
        first = wanted(prompt, Response(), space)
        samples = yield [
            replace(first, prefix=prompt + ids, max_tokens=space.max_tokens - len(ids)) for ids in written
        ]
        both = list(zip(written, samples, strict=True))
        finished += [Response().extended(sample) for _, sample in both if sample.end is End.EOS]
        written = [(*ids, *sample.ids) for ids, sample in both if _refined(sample, space)]
        written = [ids for ids in written if len(ids) < space.max_tokens]
        if not written:
            break
    return finished


def _refined(sample: Sample, space: Space) -> bool:
    return sample.end is End.EDIT and sample.ids[-1] == space.vocab.restart
