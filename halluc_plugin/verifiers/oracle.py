"""Make an oracle of ids, which the metrics of events use, from a verifier of texts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from halluc_plugin.verifiers.base import Outcome, PrefixVerifier


def prefix_oracle(
    verifier: PrefixVerifier,
    problem: Mapping[str, Any],
    decode: Callable[[Sequence[int]], str],
    end_ids: Collection[int],
) -> Callable[[Sequence[int]], bool]:
    """Return an oracle that judges live prefixes given as ids.

    Args:
        verifier: The verifier of prefixes.
        problem: The problem.
        decode: Function from ids to text.
        end_ids: Ids that end a response: after one of them the text must be a whole right answer.

    Returns:
        The oracle, a :data:`halluc_plugin.metrics.PrefixOracle`.
    """

    def ok(live_ids: Sequence[int]) -> bool:
        ends = [i for i, token in enumerate(live_ids) if token in end_ids]
        text = decode(live_ids[: ends[0]] if ends else live_ids)
        return verifier.prefix_ok(problem, text) and (
            not ends or verifier.verify(problem, text) is Outcome.CORRECT
        )

    return ok
