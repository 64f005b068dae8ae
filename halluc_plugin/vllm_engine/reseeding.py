"""Restart the random numbers of vLLM's workers, so that what is sampled depends on a part's number alone."""

import torch


class Reseeding:
    """What a worker can do in addition; vLLM makes it a base class of its own (``worker_extension_cls``)."""

    def halluc_reseed(self, seed: int) -> None:
        """Restart the random numbers from which samples without a seed of their own are drawn."""
        torch.manual_seed(seed)
