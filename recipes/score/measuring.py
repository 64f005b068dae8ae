"""Ask a model twice, and say what the second attempt changed."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from halluc_plugin.recipes.score.models import Arm, Models
from halluc_plugin.rl.rollout_reader import RolloutReader
from halluc_plugin.rl.turn_rollouts import attempts
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.settings import load
from halluc_plugin.traces.turns import changed_share
from halluc_plugin.verifiers import Outcome

AT_ONCE = 256
CURVE = ("backtrack/acc_without_edits", "backtrack/acc", "backtrack/turn_change")


def measure(models: Models, arm: Arm) -> dict[str, Any]:
    """Return what an arm's two attempts at each held-out problem come to, at temperature 1.

    Returns:
        ``first`` and ``second``, each with ``correct``, 0 or 1 of each problem; ``changed``, how much of the
        two attempts differs, a mean; ``tokens``, the sampled tokens of a pair, a mean; ``spent``, the tokens
        of training; and ``curve``, what the last stage logged of its steps.
    """
    network = load_network(str(models.model(arm)))
    reader = RolloutReader.of(models.tokenizer, load({}))
    run = replace(models.grpo(1), seed=models.seed + 7)
    told: dict[str, list[int]] = {"first": [], "second": []}
    changed, tokens = 0.0, 0
    asked = models.asked
    for part, at in enumerate(range(0, len(asked), AT_ONCE), start=1):
        some = asked[at : at + AT_ONCE]
        pair = attempts(network, some, models.request, run, reader, step=part)
        for name, traces in zip(told, pair, strict=True):
            told[name] += judged(some, [reader.decode(trace.ids) for trace in traces])
        for first, second in zip(*pair, strict=True):
            changed += changed_share(first.ids, second.ids)
            tokens += len(first.ids) + len(second.ids)
    return {
        **{name: {"correct": values} for name, values in told.items()},
        "changed": changed / len(asked),
        "tokens": tokens / len(asked),
        "spent": models.spent(arm),
        "curve": [{key: line[key] for key in ("step", *CURVE)} for line in models.curve(arm)],
    }


def judged(problems: Sequence[PosedProblem], texts: Sequence[str]) -> list[int]:
    """Return 1 for each text that is a right answer to its problem, else 0."""
    return [
        int(problem.verifier.verify(problem.truth, text) is Outcome.CORRECT)
        for problem, text in zip(problems, texts, strict=True)
    ]
