"""Self-Backtracking's search (arXiv 2502.04404, section 3.3): expansion, backtracking, selection.

Deviations from the paper and its released code:

1. Samples are true samples. The released code samples within beam search, whose beams exclude one another.
2. A state that has been expanded is never expanded again, in the whole search.
3. Of the states that a round rolls back to, the best ⌊√N⌋ by mean log-probability are expanded, and N samples
   are spread over them. The released code carries ⌊√b⌋.
4. The mean log-probability is over the response's own tokens; the released code divides by the padded length
   and counts padding.
"""

import math

from halluc_plugin.decoding.policy import NOTHING, Tabu
from halluc_plugin.errors import SettingsError
from halluc_plugin.sampling.states import End, Response, Search, Space, wanted


def self_backtracking(prompt: tuple[int, ...], space: Space, n: int, rounds: int) -> Search:
    """Search one problem by Self-Backtracking.

    N samples are drawn. One that the model ends with an edit is rolled back by its last step, complete or
    not, and the state before is expanded in the next round; with no further round it is dropped. With the
    space's tabu no sample from there begins as what was taken back there did, and a state from which more was
    taken back is expanded again.

    Args:
        prompt: Token ids of the prompt.
        space: The space in which the search samples; edits end a sample.
        n: Number of samples of a round, N.
        rounds: Number of rounds of backtracking after the first expansion, b.

    Returns:
        The search; it finds every response that ended by EOS.

    Raises:
        SettingsError: ``n`` or ``rounds`` is out of range.
    """
    if n < 1 or rounds < 0:
        raise SettingsError(f"n is {n} and rounds {rounds}.", "Give n of at least 1, rounds of at least 0.")
    return _search(prompt, space, n, rounds)


def _search(prompt: tuple[int, ...], space: Space, n: int, rounds: int) -> Search:
    frontier, visited = [Response()], {Response().ids}
    finished: list[Response] = []
    tried: dict[tuple[int, ...], frozenset[int]] = {}
    for _ in range(rounds + 1):
        states = [frontier[i % len(frontier)] for i in range(n)]
        samples = yield [
            wanted(prompt, state, space, banned_first=tried.get(state.ids, NOTHING)) for state in states
        ]
        rolled_back: dict[tuple[int, ...], Response] = {}
        otherwise = set()
        for state, sample in zip(states, samples, strict=True):
            response = state.extended(sample)
            if sample.end is End.EOS:
                finished.append(response)
            elif sample.end is End.EDIT:
                before = response.without_last_step(space.delimiters)
                rolled_back.setdefault(before.ids, before)
                taken = response.ids[len(before.ids) :]
                if space.tabu is Tabu.FIRST and taken:
                    tried[before.ids] = tried.get(before.ids, NOTHING) | {taken[0]}
                    otherwise.add(before.ids)
        fresh = [state for ids, state in rolled_back.items() if ids not in visited or ids in otherwise]
        frontier = sorted(fresh, key=lambda state: -state.mean_logprob)[: math.isqrt(n)]
        visited.update(state.ids for state in frontier)
        if not frontier:
            break
    return finished
