"""The models of one seed of a task: a policy, and what the stages of ReVISE make of it."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

from halluc_plugin.atomic_files import write_whole
from halluc_plugin.data.pair_files import read_pairs
from halluc_plugin.data.resumable import PartedFile
from halluc_plugin.data.trace_files import FINGERPRINT, fingerprint
from halluc_plugin.jobs.samplers import policy_space
from halluc_plugin.losses.preference import PreferenceSettings
from halluc_plugin.own_errors.refine_rows import RefinementPairs
from halluc_plugin.problem_sets.steps import StepSplit
from halluc_plugin.progress_bar import show_progress
from halluc_plugin.recipes.lab.keeping import kept_model
from halluc_plugin.recipes.lab.pair_budget import of_steps, pair_budget
from halluc_plugin.recipes.prm_backtracking.models import PART, TOGETHER
from halluc_plugin.recipes.prm_backtracking.policy_seed import PolicySeed
from halluc_plugin.recipes.prm_backtracking.tasks import DELIMITER
from halluc_plugin.recipes.revise.scale import Scale
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.states import Space
from halluc_plugin.tokens import BACKTRACK_TOKEN, RESTART_TOKEN
from halluc_plugin.tokens.loading import load_model
from halluc_plugin.traces.refinements import Stage
from halluc_plugin.training import TrainSettings
from halluc_plugin.training.prefer_settings import PreferSettings
from halluc_plugin.training.preferring import prefer

TRAINED = "tokens.json"


class Arm(StrEnum):
    """What was trained."""

    POLICY = "policy"
    """Clean answers alone; all other arms begin with it."""
    VERIFY = "verify"
    """The policy after the first stage."""
    REVISE = "verify, then correct"
    """The first stage, then the second one on pairs of what the model sampled after the first."""
    AT_ONCE = "correct at once"
    """The second stage's pairs on the policy, for the steps of both: no curriculum."""


STARTS = {Arm.VERIFY: Arm.POLICY, Arm.REVISE: Arm.VERIFY, Arm.AT_ONCE: Arm.POLICY}
"""The arm that an arm begins with, and whose attempts become its pairs."""


@dataclass(frozen=True)
class Models(PolicySeed):
    """One seed of a task; :class:`PolicySeed` has its attributes."""

    scale: Scale
    edit_tokens: tuple[str, ...] = (BACKTRACK_TOKEN, RESTART_TOKEN)

    @property
    def restart(self) -> int:
        """Id of the restart token."""
        return int(self.tokenizer.convert_tokens_to_ids(RESTART_TOKEN))

    def space(self, *, banned: bool = False) -> Space:
        """Return where models answer, all attempts of a sample together.

        Args:
            banned: Whether restarts are banned.
        """
        longest = (self.scale.rounds + 1) * (self.scale.policy.sizes.longest(self.task) + 1)
        space = policy_space(
            str(self.lessons.policy), self.tokenizer, step_delimiter=DELIMITER,
            max_tokens=longest, temperature=1.0,
        )  # fmt: skip
        return replace(space, edits_banned=banned)

    def sampler(self, arm: Arm, space: Space, salt: int) -> HFSampler:
        """Return a sampler of an arm's model; equal salts give equal samples."""
        network = load_network(str(self.model(arm)))
        return HFSampler(network, space, batch_size=TOGETHER, seed=1000 * self.seed + salt)

    def model(self, arm: Arm) -> Path:
        """Return the folder of an arm's model, trained on first use."""
        if arm is Arm.POLICY:
            return self.lessons.policy
        return kept_model(self.folder / "models" / arm.name.lower(), self._preferring(arm))

    def pairs(self, arm: Arm) -> Path:
        """Return the file of an arm's pairs, sampled on first use from the model that it begins with."""
        path = self.folder / "pairs" / f"{arm.name.lower()}.parquet"
        if not path.exists():
            stage = Stage.VERIFY if arm is Arm.VERIFY else Stage.CORRECT
            space, scale = self.space(), self.scale
            sampler = self.sampler(STARTS[arm], space, 1)
            make = RefinementPairs(
                sampler, space, self.tokenizer, stage, scale.attempts, scale.most, self.seed
            )
            described = {"stage": str(stage), "scale": asdict(scale)}
            metadata = {FINGERPRINT: fingerprint(self.tokenizer)}
            file = PartedFile(path, make, described, metadata, PART)
            posed = self.problems.posed(StepSplit.TRAIN, scale.problems)
            _, counts = file.write(posed, progress=show_progress, what="problems attempted")
            write_whole(path.with_suffix(".json"), json.dumps(dict(counts)))
        return path

    def tokens(self, arm: Arm) -> dict[str, float]:
        """Return the ids that were sampled and that went through models in training, the start's included."""
        if arm is Arm.POLICY:
            return {"sampled": 0.0, "trained": self.lessons.tokens}
        before = self.tokens(STARTS[arm])
        sampled = json.loads(self.pairs(arm).with_suffix(".json").read_text(encoding="utf-8"))["tokens"]
        trained = json.loads((self.model(arm) / TRAINED).read_text(encoding="utf-8"))["trained"]
        return {"sampled": before["sampled"] + sampled, "trained": before["trained"] + trained}

    def _preferring(self, arm: Arm) -> Callable[[Path], None]:
        return partial(self._prefer, arm)

    def _prefer(self, arm: Arm, out: Path) -> None:
        scale, start, pairs = self.scale, self.model(STARTS[arm]), self.pairs(arm)
        stages = 2 if arm is Arm.AT_ONCE else 1
        if scale.tokens is None:
            rows = read_pairs(pairs, self.tokenizer)
            told = of_steps(pairs, rows, scale.batch_size, stages * scale.steps)
        else:
            told = pair_budget(pairs, self.tokenizer, stages * scale.tokens, scale.batch_size, self.seed)
        train = TrainSettings(
            steps=told.steps, batch_size=scale.batch_size, learning_rate=scale.rate, seed=self.seed,
            save_steps=told.steps, warmup_steps=max(1, told.steps // 10), bf16=False,
        )  # fmt: skip
        loss = replace(PreferenceSettings(), beta=scale.beta)
        settings = PreferSettings(loss, train, held_out=0.0, imitation=scale.imitation)
        model = load_model(str(start), dtype="float32")
        prefer(model, self.tokenizer, [told.path], settings, out, reference=model)
        write_whole(out / TRAINED, json.dumps({"trained": told.trained}))
