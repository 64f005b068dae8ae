"""The settings of the small trainer."""

from dataclasses import dataclass

from halluc_plugin.errors import SettingsError


@dataclass(frozen=True)
class GrpoSettings:
    """The settings of one run; rewards and masks are in :class:`halluc_plugin.settings.Settings`.

    Args:
        steps: Number of optimizer steps, each on new answers: the gradient is on-policy.
        prompts: Number of problems of a step.
        group: Number of answers to each problem.
        max_actions: Largest number of raw actions of an answer.
        learning_rate: Learning rate of AdamW, constant after the warm-up.
        warmup_steps: Number of steps from zero to the learning rate.
        weight_decay: Weight decay of AdamW.
        max_grad_norm: Norm to which larger gradients are scaled down.
        micro_batch: Number of answers in a forward pass.
        normalize_by_std: Whether to divide by the standard deviation; see
            :func:`halluc_plugin.credit.group_relative`.
        bf16: Whether training's forward passes compute in bfloat16; weights and sampling stay float32.
        seed: Seed of the order of problems and of the samples, which depend on it and the step alone.
        save_steps: Number of steps between checkpoints.

    Raises:
        SettingsError: A value is out of range.
    """

    steps: int = 100
    prompts: int = 64
    group: int = 8
    max_actions: int = 48
    learning_rate: float = 1e-4
    warmup_steps: int = 2
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    micro_batch: int = 256
    normalize_by_std: bool = True
    bf16: bool = False
    seed: int = 0
    save_steps: int = 50

    def __post_init__(self) -> None:
        for name in ("steps", "prompts", "max_actions", "micro_batch", "save_steps"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}.", "Give an integer of at least 1.")
        if self.group < 2:
            raise SettingsError(f"group is {self.group}.", "Give at least 2: one answer has no group.")
        for name in ("warmup_steps", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}.", "Give a number of at least 0.")
        for name in ("learning_rate", "max_grad_norm"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}.", "Give a number above 0.")
