"""Synchronise weights into vLLM on a CPU.

vLLM's CPU backend repacks every linear layer for oneDNN and drops the original parameter, so verl's plain
``load_weights`` cannot run a second time. vLLM's own layerwise reload can; what it leaves out is the output
head of a model with tied embeddings, which has no weights of its own in the stream and would stay stale,
without any error.
"""

from typing import Any

import torch
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver
from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension

from halluc_plugin.errors import SettingsError


class CpuRefitExtension(vLLMColocateWorkerExtension):
    """Extends vLLM workers, as verl's own extension does, with a refit that works on a CPU.

    It is selected by ``actor_rollout_ref.rollout.engine_kwargs.vllm.worker_extension_cls``.

    On other devices verl's own refit is used.
    """

    def update_weights_from_ipc(
        self, peft_config: dict[str, Any] | None = None, base_sync_done: bool = False, use_shm: bool = False
    ) -> None:
        """Receive all weights, then reload the model with them.

        Everything is received first: the sender waits for each acknowledgement without a timeout, so an error
        in between would make the trainer hang instead of fail.
        """
        if torch.device(self.device or "cpu").type != "cpu":
            super().update_weights_from_ipc(peft_config, base_sync_done, use_shm)
            return
        received: dict[str, torch.Tensor] = {}

        def keep(weights: list[tuple[str, torch.Tensor]], is_last: bool) -> None:  # noqa: ARG001 - verl's signature
            # Clone: the tensors are views of a buffer that the next bucket overwrites.
            received.update((name, tensor.clone()) for name, tensor in weights)

        BucketedWeightReceiver(
            zmq_handle=self._get_zmq_handle(), device=torch.device("cpu"), use_shm=use_shm
        ).receive_weights(on_bucket_received=keep)
        if peft_config:
            raise SettingsError(
                "LoRA weights cannot be synchronised into vLLM's CPU backend.",
                "Train all weights (actor_rollout_ref.model.lora_rank=0), or train on an accelerator.",
            )
        self.model_runner.reload_weights(weights_iterator=iter(received.items()), is_checkpoint_format=True)
        _repack_tied_heads(self.model_runner.get_model())


def _repack_tied_heads(model: torch.nn.Module) -> None:
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)
