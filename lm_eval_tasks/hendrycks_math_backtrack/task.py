"""The MATH tasks, with two judges of equal answers."""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Any

from lm_eval.tasks.hendrycks_math.utils import process_results

from halluc_plugin.errors import HostVersionError
from lm_eval_tasks.task import BacktrackTask


class MathTask(BacktrackTask):
    """Judges by lm_eval's ``hendrycks_math`` (``strict-match``) and by math-verify (``math-verify``).

    Raises:
        HostVersionError: math-verify is not installed.
    """

    verdict = "math-verify"

    def __init__(self, config: dict[str, Any]) -> None:
        try:
            import math_verify  # noqa: F401 - before anything is generated, not after
        except ImportError as error:
            raise HostVersionError(
                f"The MATH tasks need math-verify ({error}).", "Run `pip install math-verify`."
            ) from error
        super().__init__(config)

    def score(self, doc: dict[str, Any], answer: str, pipeline: str) -> float:
        """Return 1 if an answer equals the reference solution, else 0."""
        if pipeline.startswith("strict"):
            return float(process_results(doc, [answer])["exact_match"])
        return float(_equal(doc["solution"], answer))

    def votes(
        self,
        doc: dict[str, Any],  # noqa: ARG002 - what is right does not matter
        answers: Sequence[str],
        pipeline: str,  # noqa: ARG002 - the same in all
    ) -> list[Hashable | None]:
        """Return for each answer the first of the samples that equals it, None for an unreadable answer."""
        found: list[Hashable | None] = []
        for answer in answers:
            equal = (text for text in found if isinstance(text, str) and _equal(text, answer))
            found.append(next(equal, answer) if _parsed(answer) else None)
        return found


@lru_cache(maxsize=4096)
def _parsed(text: str) -> tuple[Any, ...]:
    """What math-verify reads in a text."""
    from math_verify import parse

    return tuple(parse(text))


@lru_cache(maxsize=4096)
def _equal(gold: str, answer: str) -> bool:
    from math_verify import verify

    return bool(verify(gold=list(_parsed(gold)), target=list(_parsed(answer))))
