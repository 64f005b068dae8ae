"""Samples that are functions of a part of a file and of the seed, wherever a run was interrupted."""

import numpy as np

from halluc_plugin.sampling.driver import Sampler


def seed_part(sampler: Sampler, seed: int, number: int) -> None:
    """Let a part's samples depend on its number alone, where the sampler can be seeded (transformers)."""
    reseed = getattr(sampler, "reseed", None)
    if reseed is not None:
        reseed(int(np.random.SeedSequence([seed, 6, number]).generate_state(1)[0]))
