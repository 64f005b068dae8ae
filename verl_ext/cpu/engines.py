"""Offer verl's FSDP2 engines for the device ``cpu`` (verl 0.9.1 registers them for cuda and npu)."""

from types import ModuleType


def register_for_cpu(transformer_impl: ModuleType) -> None:
    """Add rows to verl's engine registry; FSDP1 is left out, as it cannot run on a CPU.

    Args:
        transformer_impl: verl's module of engines, once imported.
    """
    from verl.workers.engine.base import EngineRegistry

    engines = {
        "language_model": transformer_impl.FSDPEngineWithLMHead,
        "value_model": transformer_impl.FSDPEngineWithValueHead,
    }
    for model_type, engine in engines.items():
        if "cpu" not in EngineRegistry._engines[model_type]["fsdp2"]:  # noqa: SLF001 - it has no query
            EngineRegistry.register(model_type=model_type, backend="fsdp2", device="cpu")(engine)
