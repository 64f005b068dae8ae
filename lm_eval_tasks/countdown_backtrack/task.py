"""The Countdown task: equations as answers, and the choice of a published verifier."""

from collections.abc import Iterable, Sequence
from typing import Any

from lm_eval.api.filter import Filter

from halluc_plugin.settings import choose
from halluc_plugin.tasks.countdown.published import PublishedVerifier, verify_as_published
from halluc_plugin.tasks.countdown.verifier import EQUATION
from halluc_plugin.verifiers import Outcome
from lm_eval_tasks.verified import VerifiedTask

VERIFIER = "verifier"


class CountdownTask(VerifiedTask):
    """Judges by the row's verifier, or as a published one does.

    Args:
        config: The YAML; ``verifier`` in its metadata names a
            :class:`halluc_plugin.tasks.countdown.published.PublishedVerifier`.

    Raises:
        SettingsError: There is no such verifier.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        named = (config.get("metadata") or {}).get(VERIFIER)
        self._published = None if named is None else choose(PublishedVerifier, named, VERIFIER)
        super().__init__(config)

    def score(self, doc: dict[str, Any], answer: str, pipeline: str) -> float:
        """Ask the row's verifier, or the published one."""
        if self._published is None:
            return super().score(doc, answer, pipeline)
        verdict = verify_as_published(self._published, doc["ground_truth"], answer)
        return float(verdict is Outcome.CORRECT)


class Equations(Filter):
    """The equations of a text, one a line, whatever stands between them."""

    def apply(
        self,
        resps: Iterable[Sequence[str]],
        docs: Sequence[dict[str, Any]],  # noqa: ARG002 - the host's signature
    ) -> list[list[str]]:
        """The equations of each text, nested like the texts."""
        return [["\n".join(_equations(text)) for text in texts] for texts in resps]


def _equations(text: str) -> list[str]:
    return [found[0].replace(" ", "") for found in EQUATION.finditer(text)]
