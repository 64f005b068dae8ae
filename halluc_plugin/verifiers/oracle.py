"""From a verifier of texts to an oracle of ids, which the metrics of events ask."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from halluc_plugin.verifiers.base import Outcome, PrefixVerifier


def prefix_oracle(
    verifier: PrefixVerifier,
    problem: Mapping[str, Any],
    decode: Callable[[Sequence[int]], str],
    end_ids: Collection[int],
) -> Callable[[Sequence[int]], bool]:
    """Judge live prefixes given as ids.

    Args:
        verifier: Judges prefixes.
        problem: The problem.
        decode: The text of ids.
        end_ids: Ids that end a response: after one, what stands must be the whole of a right answer.

    Returns:
        A :data:`halluc_plugin.metrics.PrefixOracle`.
    """

    def ok(live_ids: Sequence[int]) -> bool:
        ends = [i for i, token in enumerate(live_ids) if token in end_ids]
        text = decode(live_ids[: ends[0]] if ends else live_ids)
        return verifier.prefix_ok(problem, text) and (
            not ends or verifier.verify(problem, text) is Outcome.CORRECT
        )

    return ok
