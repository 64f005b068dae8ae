"""Say what the processor of this host does fast."""

import torch

_TELLS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
"""torch's names, under ``torch.cpu``, for instructions that multiply in bfloat16; it has no public ones."""


def multiplies_bfloat16() -> bool:
    """Return whether the processor has instructions for products in bfloat16 (AVX512-BF16 or AMX).

    Without them torch computes such products by conversion, many times slower than in float32.
    """
    tells = (getattr(torch.cpu, name, None) for name in _TELLS)
    return any(tell is not None and tell() for tell in tells)
