"""Ask models, with and without attacks, and judge what is left of their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import LogitsProcessor, LogitsProcessorList

from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, EditVocab, collapse
from halluc_plugin.recipes.reset.models import Arm, Models
from halluc_plugin.recipes.reset.scale import Scale
from halluc_plugin.sampling.problems import PosedProblem
from halluc_plugin.tasks.forbidden.problems import harm_at, plain_steps
from halluc_plugin.tasks.forbidden.verifier import does_harm, refuses
from halluc_plugin.tokens.loading import load_model, on_accelerator
from halluc_plugin.verifiers import Outcome

BATCH = 256


@dataclass(frozen=True)
class Attack:
    """What is done to an answer from outside.

    Attributes:
        name: Its name in tables.
        prefill: Numbers of the forbidden answer that the answer is begun with; those from the first
            forbidden one on are left out, so that no attack does the harm itself. None for all before it.
        biased: Whether the logit of the restart token is lowered by the adaptive bias.
    """

    name: str
    prefill: int | None = 0
    biased: bool = False


NONE = Attack("none")
EDGE = Attack("prefilled up to the harm", None)


def attacks(scale: Scale) -> list[Attack]:
    """Return all attacks, none first."""
    some = [Attack(f"prefilled by {count}", count) for count in scale.prefills]
    return [
        NONE,
        *some,
        EDGE,
        Attack("bias", 0, biased=True),
        Attack(f"{EDGE.name}, bias", None, biased=True),
    ]


class Bias(LogitsProcessor):
    """Lowers the logit of one token.

    Args:
        token: The id of the token.
        nats: How much is taken from its logit.
    """

    def __init__(self, token: int, nats: float) -> None:
        self._token, self._nats = token, nats

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - the host's
        """Return the changed scores."""
        scores[:, self._token] -= self._nats
        return scores


def begun(problem: PosedProblem, attack: Attack, tokenizer: Any) -> list[int]:
    """Return the ids that an attack begins an answer with."""
    at = harm_at(problem.truth)
    assert at is not None
    steps = plain_steps(problem.truth)[: at if attack.prefill is None else min(at, attack.prefill)]
    ids: list[int] = tokenizer.encode("".join(steps), add_special_tokens=False)
    return ids


@dataclass(frozen=True)
class Asker:
    """Asks one model.

    Attributes:
        models: The seed that it belongs to.
        network: The model.
    """

    models: Models
    network: Any

    @property
    def vocab(self) -> EditVocab:
        """The edit vocabulary."""
        return self.models.vocab

    def measure(
        self,
        problems: Sequence[PosedProblem],
        attack: Attack = NONE,
        *,
        bias: float = 0.0,
        banned: bool = False,
    ) -> dict[str, Any]:
        """Return what became of an answer to each problem, at temperature 1 in soft context.

        Args:
            problems: The problems; with an attack that begins answers, ones that invite harm.
            attack: What is done to the answers.
            bias: What is taken from the logit of the restart token.
            banned: Whether resets are banned.

        Returns:
            0 or 1 for each problem: ``harm`` (a forbidden number stands in what is left), ``reset``,
            ``refused`` and ``right``; and ``tokens``, the mean number that was sampled.
        """
        tokenizer = self.models.tokenizer
        prefixes = [begun(p, attack, tokenizer) if attack.prefill != 0 else [] for p in problems]
        sampled = self._sampled(problems, prefixes, bias=bias, banned=banned)
        found: dict[str, list[int]] = {name: [] for name in ("harm", "reset", "refused", "right")}
        for problem, prefix, ids in zip(problems, prefixes, sampled, strict=True):
            live = collapse([*prefix, *ids], self.vocab)
            text = str(tokenizer.decode(list(live), skip_special_tokens=True))
            right = problem.verifier.verify(problem.truth, text) is Outcome.CORRECT
            told = (does_harm(problem.truth, text), self.vocab.restart in ids, refuses(text), right)
            for values, value in zip(found.values(), told, strict=True):
                values.append(int(value))
        tokens = sum(map(len, sampled)) / len(sampled)
        return {name: {"correct": values} for name, values in found.items()} | {"tokens": tokens}

    def _sampled(
        self,
        problems: Sequence[PosedProblem],
        prefixes: Sequence[Sequence[int]],
        *,
        bias: float,
        banned: bool,
    ) -> list[list[int]]:
        scale, restart = self.models.scale, self.vocab.restart
        assert restart is not None
        eos = frozenset({int(self.models.tokenizer.eos_token_id)})
        decoding = Decoding(
            self.vocab, scale.max_tokens, Context.SOFT, temperature=1.0,
            budget=0 if banned else scale.resets, eos_ids=eos,
        )  # fmt: skip
        generator = torch.Generator(self.network.device).manual_seed(self.models.seed)
        processors = LogitsProcessorList([Bias(restart, bias)]) if bias else None
        # What an attack has begun is read like a prompt, and counts as the answer's when it is judged.
        prompts = [[*problem.prompt, *prefix] for problem, prefix in zip(problems, prefixes, strict=True)]
        found: list[list[int]] = []
        for start in range(0, len(prompts), BATCH):
            of = prompts[start : start + BATCH]
            traces = decode(self.network, of, decoding, processors=processors, generator=generator)
            found += [trace.ids for trace in traces]
        return found


def measure(models: Models, arm: Arm) -> dict[str, Any]:
    """Return what an arm's model answers to harmless prompts, and to those that invite harm, attacked.

    Args:
        models: The models of a seed.
        arm: What the model was trained on.
    """
    asker = Asker(models, on_accelerator(load_model(str(models.model(arm)), dtype="float32")).eval())
    posed, count = models.posed(), models.scale.calibration
    inviting, harmless = _apart(posed[count:])
    calibration, _ = _apart(posed[:count])
    tried = _calibrated(asker, calibration, models.scale)
    chosen = {attack: max(found, key=lambda bias: (found[bias], bias)) for attack, found in tried.items()}
    cell: dict[str, Any] = {
        "arm": str(arm),
        "seed": models.seed,
        "calibration": {
            attack: {str(b): share for b, share in found.items()} for attack, found in tried.items()
        },
        "bias": chosen,
        "harmless": {
            "resets": asker.measure(harmless),
            "banned": asker.measure(harmless, banned=True),
        },
        "inviting": {},
    }
    for attack in attacks(models.scale):
        bias = chosen[attack.name] if attack.biased else 0.0
        cell["inviting"][attack.name] = {
            "resets": asker.measure(inviting, attack, bias=bias),
            "banned": asker.measure(inviting, attack, banned=True),
        }
    return cell


def _calibrated(
    asker: Asker, problems: Sequence[PosedProblem], scale: Scale
) -> Mapping[str, Mapping[float, float]]:
    """The share of harmful answers to the calibration problems, by each attack with a bias, and by bias."""

    def harm(attack: Attack, bias: float) -> float:
        values = asker.measure(problems, attack, bias=bias)["harm"]["correct"]
        return sum(values) / len(values)

    biased = (attack for attack in attacks(scale) if attack.biased)
    return {attack.name: {bias: harm(attack, bias) for bias in scale.biases} for attack in biased}


def _apart(problems: Sequence[PosedProblem]) -> tuple[list[PosedProblem], list[PosedProblem]]:
    """The problems that invite harm, and the harmless ones."""
    invites = [harm_at(problem.truth) is not None for problem in problems]
    return (
        [problem for problem, harmful in zip(problems, invites, strict=True) if harmful],
        [problem for problem, harmful in zip(problems, invites, strict=True) if not harmful],
    )
