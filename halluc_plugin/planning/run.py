"""The settings of a run that decide what it holds and how long it takes, under names that verl has."""

from dataclasses import dataclass
from enum import StrEnum

from halluc_plugin.errors import SettingsError
from halluc_plugin.planning.shapes import ModelShape


class Number(StrEnum):
    """A type of floating-point numbers, by verl's name."""

    FP32 = "fp32"
    BF16 = "bf16"

    @property
    def size(self) -> int:
        """The size of a number in bytes."""
        return 4 if self is Number.FP32 else 2


@dataclass(frozen=True)
class PlannedRun:
    """The settings of a run.

    Args:
        gpus: Number of devices, all nodes together.
        prompts: Prompts of a step (``data.train_batch_size``).
        samples: Answers to a prompt (``rollout.n``).
        prompt: Most tokens of a prompt (``data.max_prompt_length``).
        response: Most tokens of an answer (``data.max_response_length``); edits and erased tokens count.
        mean_response: Mean tokens of an answer, for the time of a step; None for as many as there may be.
        tokens_per_gpu: Tokens of a micro-batch (``actor.ppo_max_token_len_per_gpu``, with
            ``use_dynamic_bsz``).
        micro_batch: Answers of a micro-batch instead (``actor.ppo_micro_batch_size_per_gpu``); None for none.
        checkpointing: Whether layers are computed again in the backward pass
            (``model.enable_gradient_checkpointing``).
        weights: What weights, gradients and the optimizer's moments are held in
            (``fsdp_config.model_dtype``).
        compute: What layers compute in (``fsdp_config.mixed_precision.param_dtype``).
        sharded: Whether FSDP2 trains; False for plain torch on one device.
        fsdp_size: Devices over which weights are sharded (``fsdp_config.fsdp_size``); None for all.
        offload_weights: Whether weights are on the host during rollout (``fsdp_config.param_offload``).
        offload_optimizer: The same of the optimizer (``fsdp_config.optimizer_offload``).
        reference: Whether a reference model scores the answers (``actor.use_kl_loss``); verl keeps it on the
            host.
        low_rank: Rank of low-rank updates (``model.lora_rank``); 0 for none.
        tensor_parallel: Devices of one engine (``rollout.tensor_model_parallel_size``).
        memory_utilization: Share of a device's memory for the engine (``rollout.gpu_memory_utilization``).
        batched_tokens: Tokens of one forward pass of the engine (``rollout.max_num_batched_tokens``).
        most_requests: Answers that the engine runs at once (``rollout.max_num_seqs``).

    Raises:
        SettingsError: A value is out of range, or two do not divide.
    """

    gpus: int = 8
    prompts: int = 1024
    samples: int = 8
    prompt: int = 512
    response: int = 1024
    mean_response: int | None = None
    tokens_per_gpu: int = 16384
    micro_batch: int | None = None
    checkpointing: bool = True
    weights: Number = Number.FP32
    compute: Number = Number.BF16
    sharded: bool = True
    fsdp_size: int | None = None
    offload_weights: bool = False
    offload_optimizer: bool = False
    reference: bool = False
    low_rank: int = 0
    tensor_parallel: int = 1
    memory_utilization: float = 0.5
    batched_tokens: int = 8192
    most_requests: int = 256

    def __post_init__(self) -> None:
        positive = (
            "gpus", "prompts", "samples", "prompt", "response", "mean_response", "tokens_per_gpu",
            "micro_batch", "fsdp_size", "tensor_parallel", "batched_tokens", "most_requests",
        )  # fmt: skip
        for name in positive:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise SettingsError(f"{name} is {value}.", "Give an integer of at least 1.")
        if self.low_rank < 0:
            raise SettingsError(f"low_rank is {self.low_rank}.", "Give 0 for none, or a rank.")
        if not 0 < self.memory_utilization < 1:
            raise SettingsError(
                f"memory_utilization is {self.memory_utilization:g}.", "Give a share between 0 and 1."
            )
        if (self.mean_response or 1) > self.response:
            raise SettingsError(
                f"The mean answer has {self.mean_response} tokens, and the longest {self.response}.",
                "Give a mean that is no longer.",
            )
        self._require_divisions()

    def _require_divisions(self) -> None:
        for divisor, what, fix in (
            (self.tensor_parallel, "engines of {} devices (tp)", "Take a tp that divides gpus"),
            (self.shards, "groups of {} shards (fsdp_size)", "Take an fsdp_size that divides gpus"),
        ):
            if self.gpus % divisor:
                raise SettingsError(
                    f"{self.gpus} devices do not divide into {what.format(divisor)}.", f"{fix}."
                )
        if self.answers % self.gpus:
            raise SettingsError(
                f"{self.prompts} prompts of {self.samples} answers do not divide over {self.gpus} devices, "
                "which verl refuses.",
                "Take a train batch whose answers are a multiple of gpus.",
            )
        if self.micro_batch is None and self.longest > self.tokens_per_gpu:
            raise SettingsError(
                f"A row of {self.longest} tokens (prompt and response) does not fit into a micro-batch of "
                f"{self.tokens_per_gpu}.",
                f"Raise tokens-per-gpu (ppo_max_token_len_per_gpu) to {self.longest} at least.",
            )

    @property
    def answers(self) -> int:
        """The number of answers of a step."""
        return self.prompts * self.samples

    @property
    def longest(self) -> int:
        """The number of tokens of the longest row."""
        return self.prompt + self.response

    @property
    def mean(self) -> int:
        """The mean number of tokens of an answer."""
        return self.mean_response or self.response

    @property
    def shards(self) -> int:
        """The number of devices over which weights are sharded."""
        return self.fsdp_size or self.gpus

    @property
    def rows(self) -> int:
        """The number of the longest rows in a micro-batch."""
        return self.micro_batch or self.tokens_per_gpu // self.longest

    @property
    def tokens(self) -> int:
        """The largest number of tokens in a micro-batch.

        With a token budget (``use_dynamic_bsz``) shorter rows fill what the longest leave.
        """
        return self.micro_batch * self.longest if self.micro_batch else self.tokens_per_gpu

    @property
    def actions(self) -> int:
        """The largest number of actions in a micro-batch: tokens that are not of a prompt of full length."""
        return self.tokens - self.rows * self.prompt

    def require_fits(self, shape: ModelShape) -> None:
        """Refuse settings that do not go with a model.

        Args:
            shape: The model's.

        Raises:
            SettingsError: It has fewer positions than a row has tokens, or its heads do not divide over the
                devices of an engine.
        """
        if self.longest > shape.positions:
            raise SettingsError(
                f"A prompt of {self.prompt} and a response of {self.response} tokens need {self.longest} "
                f"positions, and {shape.name} has {shape.positions}.",
                "Shorten them, or give the model more positions (rope_parameters in its config.json).",
            )
        if shape.heads % self.tensor_parallel:
            raise SettingsError(
                f"{shape.heads} attention heads do not divide over {self.tensor_parallel} devices (tp).",
                f"Take a tp that divides {shape.heads}.",
            )
