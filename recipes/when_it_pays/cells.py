"""The measurements of one seed, each kept in a file of its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from halluc_plugin.errors import SettingsError
from halluc_plugin.metrics import DecoderShape
from halluc_plugin.recipes.lab.keeping import kept_cell
from halluc_plugin.recipes.when_it_pays.answering import measured
from halluc_plugin.recipes.when_it_pays.bench import Bench, trained
from halluc_plugin.recipes.when_it_pays.grids import Part, specs
from halluc_plugin.recipes.when_it_pays.learning import Learned, curve, learned, runs, seconds
from halluc_plugin.recipes.when_it_pays.parallel import (
    RULES,
    TRIES,
    distinct_starts,
    parallel_cells,
)
from halluc_plugin.recipes.when_it_pays.specs import Form, Spec
from halluc_plugin.sampling.networks import decoder_shape, load_network

TUNED = "D 0.5, tuned"
"""The start of D = 0.5, fine-tuned on for the seconds that GRPO takes on it."""


@dataclass(frozen=True)
class Cells:
    """The cells of one seed.

    Attributes:
        bench: The data and models of the seed.
    """

    bench: Bench

    def made(self, part: Part, only: Sequence[str] | None = None) -> Iterator[str]:
        """Make what a part lacks.

        Args:
            part: The part.
            only: Names of models; None for all.

        Yields:
            The name of each model, once all of its cells are there.

        Raises:
            SettingsError: No part has a model of one of these names.
        """
        known = specs(part, self.bench.scale)
        _refuse_unknown(only, self.bench)
        for name, spec in known.items():
            if only is None or name in only:
                self._measure(part, name, spec)
                yield name
        if part is Part.LEARNING:
            yield from self._learn(only)

    def _measure(self, part: Part, name: str, spec: Spec) -> None:
        folder = partial(self.bench.model, name, spec)
        self._cell(part, name, spec, partial(self._answered, folder, spec), folder)
        if part is not Part.GRID:
            return
        if name == Form.CLEAN:
            self._parallel(part, spec, folder)

    def _parallel(self, part: Part, spec: Spec, folder: Callable[[], Path]) -> None:
        asked = self.bench.asked(spec)
        self._cell(part, "distinct starts", spec, lambda: distinct_starts(self._load(folder()), spec, asked))
        counts = [f"{rule}, n={self.bench.scale.samples}" for rule in (*RULES, TRIES)]
        if all(self._path(part, name).exists() for name in counts):
            return
        found = parallel_cells(self._load(folder()), spec, asked, self.bench.scale.samples)
        for name, cell in found.items():
            self._cell(part, name, spec, partial(dict, cell))

    def _learn(self, only: Sequence[str] | None) -> Iterator[str]:
        starts = {**specs(Part.GRID, self.bench.scale), **specs(Part.LEARNING, self.bench.scale)}
        for name, run in runs().items():
            if only is None or name in only:
                self._learned(name, run, starts[run.start])
                yield name
        if only is None or TUNED in only:
            start = starts["D 0.5"]
            first = self.bench.model("D 0.5", start)
            took = seconds(learned(self.bench, "D 0.5, outcome", runs()["D 0.5, outcome"], start, first))
            folder = partial(self.bench.tuned_on, TUNED, start, first, took)
            self._cell(Part.LEARNING, TUNED, start, partial(self._answered, folder, start))
            yield TUNED

    def _answered(self, folder: Callable[[], Path], spec: Spec) -> dict[str, Any]:
        return measured(self._load(folder()), spec, self.bench.asked(spec), self.bench.scale.curve)

    def _learned(self, name: str, run: Learned, spec: Spec) -> None:
        def measure() -> dict[str, Any]:
            folder = learned(self.bench, name, run, spec, self.bench.model(run.start, spec))
            cell = measured(self._load(folder), spec, self.bench.asked(spec))
            return cell | {"curve": curve(folder), "seconds_learning": seconds(folder)}

        self._cell(Part.LEARNING, name, spec, measure)

    def _cell(
        self,
        part: Part,
        name: str,
        spec: Spec,
        measure: Callable[[], dict[str, Any]],
        folder: Callable[[], Path] | None = None,
    ) -> None:
        def told() -> dict[str, Any]:
            cell = {"part": str(part), "name": name, "seed": self.bench.seed, "form": str(spec.form)}
            cell |= measure()
            if folder is not None:
                network = load_network(str(folder()))
                cell["trained"] = trained(folder()) | _flops(trained(folder()), decoder_shape(network.config))
            return cell

        kept_cell(self._path(part, name), told)

    def _path(self, part: Part, name: str) -> Path:
        return self.bench.folder("cells") / f"{part}, {name}.json"

    @staticmethod
    def _load(folder: Path) -> Any:
        return load_network(str(folder))


def _flops(told: dict[str, float], shape: DecoderShape) -> dict[str, float]:
    """The FLOPs of training, attention left out: three times those of the forward passes."""
    return {"flops": 3.0 * shape.flops(round(told["tokens"]), 0)}


def _refuse_unknown(only: Sequence[str] | None, bench: Bench) -> None:
    known = [name for part in Part for name in specs(part, bench.scale)]
    known += [*runs(), TUNED]
    for name in only or ():
        if name not in known:
            raise SettingsError(f"There is no model {name!r}.", f"Give one of: {'; '.join(known)}.")
