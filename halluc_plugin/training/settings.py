"""The settings of fine-tuning."""

from dataclasses import dataclass, field

from halluc_plugin.edits import Context
from halluc_plugin.edits.builders import ErasedTokens
from halluc_plugin.errors import SettingsError
from halluc_plugin.losses.shares import LossShares


@dataclass(frozen=True)
class TrainSettings:
    """The settings of one fine-tuning run.

    Args:
        steps: Number of optimizer steps; data are repeated, reshuffled by ``seed``, as often as needed.
        batch_size: Number of traces in an optimizer step, over all devices.
        micro_batch_size: Number of traces in a forward pass of one device; null for the whole batch.
        learning_rate: Peak learning rate of AdamW, cosine to zero.
        warmup_steps: Number of steps from zero to the peak.
        weight_decay: Weight decay of AdamW.
        erased_tokens: Whether erased tokens are imitated (``keep``), imitated at their own share of the loss
            (``weight``), or left out of the loss (``mask``).
        shares: The share of the loss of decisions, and with ``erased_tokens=weight`` of erased tokens.
        context: What each action sees in training: all before it (``soft``), or the live text (``hard``).
        bf16: Whether forward passes compute in bfloat16 (weights keep their dtype); null for accelerators,
            and for large models on processors that multiply in it.
        seed: Seed of the order of the data and of dropout.
        save_steps: Number of steps between checkpoints.
        log_steps: Number of steps between logged losses.

    Raises:
        SettingsError: A value is out of range.
    """

    steps: int = 1600
    batch_size: int = 64
    micro_batch_size: int | None = None
    learning_rate: float = 2e-3
    warmup_steps: int = 40
    weight_decay: float = 0.01
    erased_tokens: ErasedTokens = ErasedTokens.MASK
    shares: LossShares = field(default_factory=LossShares)
    context: Context = Context.SOFT
    bf16: bool | None = None
    seed: int = 0
    save_steps: int = 800
    log_steps: int = 50

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "save_steps", "log_steps"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}.", "Give an integer of at least 1.")
        check_imitable(self.erased_tokens, self.shares)
        if not self.learning_rate > 0:
            raise SettingsError(f"learning_rate is {self.learning_rate}.", "Give a number above 0.")
        micro = self.micro_batch_size
        if micro is not None and (micro < 1 or self.batch_size % micro):
            raise SettingsError(
                f"micro_batch_size is {micro} and batch_size is {self.batch_size}.",
                "Give a divisor of batch_size.",
            )


def check_imitable(erased: ErasedTokens, shares: LossShares) -> None:
    """Refuse treatments of erased tokens that a likelihood does not allow.

    Raises:
        SettingsError: Erased tokens are to be discouraged; or they are to have a share of the loss and none
            is given, or the reverse.
    """
    if erased is ErasedTokens.NEGATIVE:
        raise SettingsError(
            "erased_tokens=negative is for policy gradients: a likelihood has no advantage to turn round.",
            "Give mask, keep or weight.",
        )
    if erased is ErasedTokens.WEIGHT and shares.erased is None:
        raise SettingsError(
            "erased_tokens=weight, and the share of the loss that erased tokens get is not given.",
            "Give it, such as 0.1, or choose keep or mask.",
        )
    if erased is not ErasedTokens.WEIGHT and shares.erased is not None:
        raise SettingsError(
            f"Erased tokens are to have a share of {shares.erased} of the loss, and erased_tokens={erased}.",
            "Give erased_tokens=weight, or leave the share out.",
        )
