"""Make samples depend on the part of a file and the seed alone, wherever a run was interrupted."""

import numpy as np

from halluc_plugin.sampling.driver import Sampler

STREAM, DRAFT_STREAM = 6, 16
"""Streams of random numbers: of the models that answer and correct, and of one that drafts."""


def seed_part(sampler: Sampler, seed: int, number: int, *, stream: int = STREAM) -> None:
    """Seed a sampler so that a part's samples depend on its number alone, if the sampler can be seeded.

    Args:
        sampler: The sampler; those of transformers models can be seeded.
        seed: Seed of the file.
        number: Number of the part.
        stream: The stream of random numbers, by which two samplers of a part differ.
    """
    reseed = getattr(sampler, "reseed", None)
    if reseed is not None:
        reseed(int(np.random.SeedSequence([seed, stream, number]).generate_state(1)[0]))
