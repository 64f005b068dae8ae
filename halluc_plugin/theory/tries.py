"""Closed forms of the search law: one step with uniform or distinct tries, several steps with restarts.

In these forms e is P(a step is not live), r the recall, f the false alarm, and M the largest number of times
that something is taken back. They are derived in ``docs/theory.md`` and are special cases of
:class:`halluc_plugin.theory.search_law.SearchLaw`.
"""

from math import prod

from halluc_plugin.errors import SettingsError


def uniform_tries(error: float, recall: float, false_alarm: float, edits: int) -> float:
    """Return P(right) of one step with memoryless tries: a (1 - x^M)/(1 - x) + x^M (1 - e).

    a = (1 - e)(1 - f) is the chance of a try that is right and kept, x = e r + (1 - e) f that of one that is
    taken back; the last of M + 1 tries is kept, whatever it is.
    """
    return _kept((1 - error) * (1 - false_alarm), _taken(error, recall, false_alarm), 1 - error, edits)


def _taken(error: float, recall: float, false_alarm: float) -> float:
    return error * recall + (1 - error) * false_alarm


def _kept(right: float, taken: float, last: float, edits: int) -> float:
    tries = edits if taken == 1 else (1 - taken**edits) / (1 - taken)
    return right * tries + taken**edits * last


def distinct_tries(branches: int, recall: float, false_alarm: float, edits: int) -> float:
    """Return P(right) of one step of d distinct branches, one of them right, M < d.

    The right branch is try number j with probability 1/d each. It is reached if the j - 1 tries before are
    taken back, and kept with probability 1 - f, or always as the last try: [(1 - f) Σ_{j ≤ M} r^(j-1) +
    r^M]/d.

    Raises:
        SettingsError: There are more tries than branches.
    """
    if not 0 <= edits < branches:
        raise SettingsError(f"{edits + 1} tries of {branches} branches.", "Pass fewer edits than branches.")
    return ((1 - false_alarm) * sum(recall**j for j in range(edits)) + recall**edits) / branches


def restarts(
    errors: tuple[float, ...], recall: tuple[float, ...], false_alarm: tuple[float, ...], edits: int
) -> float:
    """Return P(right) of S steps with memoryless restarts: :func:`uniform_tries` for whole attempts.

    An attempt is right and kept with a = Π (1 - e_n)(1 - f_n). It is wrong and kept if its first error is at
    some step n, no false alarm came before, and nothing that follows is noticed.
    """
    steps = range(len(errors))
    alive = [1.0]
    for n in steps:
        alive.append(alive[-1] * (1 - errors[n]) * (1 - false_alarm[n]))
    wrong = sum(alive[n] * errors[n] * prod(1 - recall[m] for m in steps if m >= n) for n in steps)
    return _kept(alive[-1], 1 - alive[-1] - wrong, prod(1 - error for error in errors), edits)
