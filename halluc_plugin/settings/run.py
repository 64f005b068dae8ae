"""The whole ``halluc:`` block, and its reader."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from halluc_plugin.credit.sources import BY_GROUP
from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import Boundary, ErasedTokens
from halluc_plugin.errors import SettingsError
from halluc_plugin.losses.shares import LossShares
from halluc_plugin.rewards.registry import components
from halluc_plugin.rewards.settings import RewardSettings, check_weights
from halluc_plugin.settings.blocks import (
    FailureSettings,
    GuardSettings,
    MetricSettings,
    PrepareSettings,
    ReportSettings,
    ResetSettings,
    TokenSettings,
    TraceLogSettings,
    TurnSettings,
)
from halluc_plugin.settings.credit import CreditSettings, ValueSettings, ValueSource
from halluc_plugin.settings.curriculum import Stage, check_stages, stage_number
from halluc_plugin.settings.strict import read


@dataclass(frozen=True)
class Settings:
    """The whole ``halluc:`` block.

    Args:
        context: What the model sees after an edit.
        erased_tokens: Whether erased tokens take part in the loss; ``weight`` is for fine-tuning alone,
            ``negative`` for reinforcement learning alone.
        shares: The shares of an imitation loss; for fine-tuning alone.
        max_backtracks: Budget of effective edits per answer, null for no limit.
        boundary: The effect of an edit on an empty response.
        tokens: How token ids are interpreted.
        turns: The settings of the agent loop ``refine``.
        resets: The settings of the agent loop ``resets``.
        reward: The reward.
        values: The source of the values of states on the way.
        credit: The credit of single actions.
        curriculum: Stages of the run by global step; without any, all settings stay the same.
        metrics: What is measured of each training step.
        guard: When to stop because engine and actor disagree.
        failures: When to stop because answers fail or do not arrive.
        trace_log: Answers that are kept for reading.
        report: The comparison of a run's end with its beginning.
        prepare: The embedded model and data.
    """

    context: Context = Context.SOFT
    erased_tokens: ErasedTokens = ErasedTokens.MASK
    shares: LossShares = field(default_factory=LossShares)
    max_backtracks: int | None = None
    boundary: Boundary = Boundary.NOOP
    tokens: TokenSettings = field(default_factory=TokenSettings)
    turns: TurnSettings = field(default_factory=TurnSettings)
    resets: ResetSettings = field(default_factory=ResetSettings)
    reward: RewardSettings = field(default_factory=RewardSettings)
    values: ValueSettings = field(default_factory=ValueSettings)
    credit: CreditSettings = field(default_factory=CreditSettings)
    curriculum: tuple[Stage, ...] = ()
    metrics: MetricSettings = field(default_factory=MetricSettings)
    guard: GuardSettings = field(default_factory=GuardSettings)
    failures: FailureSettings = field(default_factory=FailureSettings)
    trace_log: TraceLogSettings = field(default_factory=TraceLogSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    prepare: PrepareSettings = field(default_factory=PrepareSettings)

    def __post_init__(self) -> None:
        if self.max_backtracks is not None and self.max_backtracks < 0:
            raise SettingsError(
                f"halluc.max_backtracks is {self.max_backtracks}.",
                "Give an integer of at least 0, or null for no limit.",
            )
        check_stages(self.curriculum)
        for number, stage in enumerate(self.curriculum):
            if stage.weights is not None:
                check_weights(stage.weights, f"halluc.curriculum[{number}].weights")
        if self.credit.replaces and self.erased_tokens is ErasedTokens.NEGATIVE:
            raise SettingsError(
                "halluc.credit.replaces takes the place of the advantages that "
                "halluc.erased_tokens=negative turns around.",
                "Set halluc.erased_tokens=keep: what was erased is then paid for what it did.",
            )
        if self.credit.reads_actions and self.values.source is not ValueSource.PRM:
            raise SettingsError(
                "halluc.credit.form=q reads the logits of a Q-function reward model, and "
                f"halluc.values.source is {self.values.source}.",
                "Give ++halluc.values.source=prm and ++halluc.values.scorer=FOLDER, made by `halluc train "
                "--objective pairwise`.",
            )
        if self.curriculum and self.max_backtracks is not None:
            raise SettingsError(
                f"halluc.max_backtracks is {self.max_backtracks}, but the curriculum has budgets of its own.",
                "Set halluc.max_backtracks=null, or leave the curriculum out.",
            )

    def at(self, step: int) -> "Settings":
        """Return the settings of a global step: those of its stage, without the curriculum.

        Args:
            step: The ``global_steps`` of verl, from 1; before the first step the first stage counts.
        """
        if not self.curriculum:
            return self
        stage = self.curriculum[self.stage(step)]
        weights = self.reward.weights if stage.weights is None else stage.weights
        reward = replace(self.reward, weights=weights)
        return replace(self, max_backtracks=stage.max_backtracks, reward=reward, curriculum=())

    def stage(self, step: int) -> int:
        """Return the number of a global step's stage of the curriculum, from 0; 0 without a curriculum."""
        return stage_number(self.curriculum, step) if self.curriculum else 0

    @property
    def stages(self) -> tuple["Settings", ...]:
        """The settings of every stage, or these settings alone without a curriculum."""
        firsts, step = [], 1
        for stage in self.curriculum:
            firsts.append(self.at(step))
            step += stage.steps or 0
        return tuple(firsts) or (self,)

    @property
    def bans_edits(self) -> bool:
        """Whether edit tokens are ever banned during sampling, so that the actor must ban them too."""
        budgets = any(stage.max_backtracks is not None for stage in self.stages)
        return budgets or self.boundary is Boundary.MASK

    @property
    def samples_continuations(self) -> bool:
        """Whether states of any problem may be judged by answers sampled from them."""
        return self.values.source in {ValueSource.CONTINUATIONS, ValueSource.AUTO}

    @property
    def needs_own_engine(self) -> bool:
        """Whether the actor's log-probs differ from those of a plain causal forward pass."""
        return self.bans_edits or self.context is Context.HARD

    @property
    def steers_rollouts(self) -> bool:
        """Whether the rollout engine is told about edits: continuations ban them, though nothing else may."""
        return self.needs_own_engine or self.samples_continuations

    @property
    def pays_steps(self) -> bool:
        """Whether the values of the states after steps have a weight in any stage, or are credited."""
        steps = [name for name, component in components().items() if component.reads_steps]
        weighted = any(stage.reward.weights.get(name) for stage in self.stages for name in steps)
        return weighted or self.credit.judged_steps

    @property
    def paid_values(self) -> tuple[str, ...]:
        """The settings that give a weight to values of states, which must therefore be judged."""
        by_weight = {
            f"halluc.reward.weights.{name}"
            for stage in self.stages
            for name, weight in stage.reward.weights.items()
            if weight and components()[name].reads_values
        }
        credit = self.credit.alpha and self.credit.values not in BY_GROUP
        return (*sorted(by_weight), *(["halluc.credit.alpha"] if credit else []))


def load(mapping: Mapping[str, Any] | None) -> Settings:
    """Read the ``halluc:`` block.

    Args:
        mapping: The block as plain containers or OmegaConf; None and missing keys mean the defaults.

    Returns:
        The settings.

    Raises:
        SettingsError: A key is unknown (close matches are named), a value has the wrong kind, or two
            settings contradict each other.
    """
    if isinstance(mapping, Mapping) and "tabu" in mapping:
        raise SettingsError(
            f"Unknown setting halluc.tabu ({mapping['tabu']}): tabu is for evaluation alone, since what may "
            "be sampled would depend on what was erased.",
            "Leave it out, and give it to hf-backtrack, vllm-backtrack or halluc search.",
        )
    return read(Settings, {} if mapping is None else mapping, "halluc")
