"""Checks that need torch and transformers alone, on random models."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from time import monotonic
from typing import Any

import torch

from halluc_plugin.acceptance import policies
from halluc_plugin.acceptance.padded import padded_logits, padded_scores
from halluc_plugin.acceptance.peaks import peak_bytes
from halluc_plugin.acceptance.policies import VOCAB, Batch, Shape
from halluc_plugin.acceptance.record import Check, Finding, judged, skipped
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.decoding.policy import Tabu
from halluc_plugin.edits import Backend, Context, resolve
from halluc_plugin.hard import Statistic, score_actions
from halluc_plugin.vllm_engine.equivalence import replay
from halluc_plugin.vllm_engine.request import EditRequest

NATS, NATS_ON_CPU = 5e-3, 1e-4
"""Largest accepted difference of log-probs in float32. A mask or a position that is wrong is off by 0.1 and
more."""
GRADIENT = 5e-3
"""Largest accepted norm of the difference of two gradients, over the norm of one."""
SHARE = 0.5
"""Largest accepted memory of the packed step over that with full logits, states of the optimizer aside."""
MIB = 2**20


def checks(device: torch.device) -> Mapping[str, Check]:
    """Return the checks by name, in the order in which they are run.

    Args:
        device: An accelerator, or the CPU, on which all is small.
    """
    on_cpu = device.type == "cpu"
    shape = policies.SMALL if on_cpu else policies.LARGE
    trial = _Trial(shape, device, NATS_ON_CPU if on_cpu else NATS)
    return {
        "hard_attention": trial.hard_attention,
        "flex_forward": trial.flex_forward,
        "flex_backward": trial.flex_backward,
        "hard_decode": trial.hard_decode,
        "packed_step": trial.packed_step,
        "packed_memory": partial(packed_memory, device),
    }


class _Trial:
    """A policy of each kind of attention, with the same weights, and a batch of traces."""

    def __init__(self, shape: Shape, device: torch.device, nats: float) -> None:
        self._shape, self._device, self._nats = shape, device, nats
        self._batch: Batch = policies.batch(shape, device)

    def hard_attention(self) -> Finding:
        """One pass over raw traces gives the log-probs of a pass of its own from each action's live text."""
        request = EditRequest(VOCAB, context=Context.HARD)
        plain = self._policy("sdpa")
        pairs = list(zip(self._batch.prompts, self._batch.traces, strict=True))
        rows = [_own(replay(plain, prompt, trace, request), trace) for prompt, trace in pairs]
        want = torch.cat(rows)
        figures: dict[str, Any] = {"actions": len(want)}
        for attention in ("sdpa", "eager"):
            with torch.no_grad():
                found, _ = self._scored(attention)
            figures[f"{attention}_nats"] = _gap(found, want)
        bars = dict.fromkeys(("sdpa_nats", "eager_nats"), self._nats)
        if self._device.type != "cpu":
            with torch.no_grad():
                found, _ = self._scored("sdpa", half=True)
            figures["sdpa_bfloat16_nats"] = _gap(found, want)  # told, not judged: predictions are sharp
        return judged(figures, bars)

    def flex_forward(self) -> Finding:
        """Flex attention, which reads the tree as a rule, gives the log-probs of plain products."""
        want, _ = self._scored("eager")
        with torch.no_grad(), _uncompiled(self._device):
            found, _ = self._scored("flex_attention")
        figures = {"actions": len(want), "nats": _gap(found, want), "compiled": self._device.type != "cpu"}
        return judged(figures, {"nats": self._nats})

    def flex_backward(self) -> Finding:
        """Its gradients are those of plain products, whether it is asked for or stands in for sdpa."""
        if self._device.type == "cpu":
            return skipped("skipped on CPU: torch has no backward pass of flex attention there")
        _, want = self._scored("eager")
        figures = {
            f"{attention}_gradient": _distance(self._scored(attention)[1], want)
            for attention in ("flex_attention", "sdpa")
        }
        bars = dict.fromkeys(figures, GRADIENT)
        half = self._scored("sdpa", half=True)[1]
        return judged(figures | {"sdpa_bfloat16_gradient": _distance(half, want)}, bars)

    def hard_decode(self) -> Finding:
        """Decoding that rewinds its cache gives what re-prompting with the live text gives."""
        model, largest, strays, actions = self._policy("sdpa"), 0.0, 0, 0
        drawn = torch.Generator(self._device).manual_seed(0)
        for temperature, budget, tabu in (
            (1.0, 9, Tabu.OFF),
            (0.0, None, Tabu.LAST),
            (0.0, None, Tabu.FIRST),
        ):
            asked = Decoding(
                VOCAB, min(64, 2 * self._shape.longest), Context.HARD, temperature=temperature,
                budget=budget, tabu=tabu,
            )  # fmt: skip
            request = EditRequest(VOCAB, budget=budget, context=Context.HARD, tabu=tabu)
            prompts = self._batch.prompts[:6]
            traces = decode(model, prompts, asked, generator=drawn)
            for prompt, trace in zip(prompts, traces, strict=True):
                rows = replay(model, prompt, trace.ids, request)
                told = torch.tensor(trace.logprobs, device=rows.device)
                largest = max(largest, _gap(told, _own(rows, trace.ids)))
                if temperature == 0:
                    strays += int((rows.amax(1) - told > self._nats).sum())
                actions += len(trace.ids)
        figures = {"actions": actions, "nats": largest, "strays": strays}
        return judged(figures, {"nats": self._nats, "strays": 0})

    def packed_step(self) -> Finding:
        """Packed rows give the log-probs and gradients of padded rows with dense masks and full logits."""
        figures: dict[str, Any] = {}
        for attention in ("sdpa", "eager"):
            model = self._policy(attention)
            log_probs = padded_scores(model, *(given := self._batch.tensors()))[0]
            want, gradient = log_probs[given[2].valid], _gradient(model, log_probs)
            found, own = self._scored(attention)
            figures[f"{attention}_nats"] = _gap(found, want)
            figures[f"{attention}_gradient"] = _distance(own, gradient)
        bars = {name: self._nats if name.endswith("nats") else GRADIENT for name in figures}
        return judged(figures, bars)

    def _policy(self, attention: str) -> Any:
        return policies.policy(attention, self._shape, self._device)

    def _scored(self, attention: str, *, half: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probs of all actions (Float[N]), and their gradient in one vector, empty without one.

        With ``half`` the forward pass computes in bfloat16, as trainers do.
        """
        model = self._policy(attention)
        given = self._batch.tensors()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            scores = score_actions(model, *given, wanted=(Statistic.LOG_PROB,)).log_probs
        gradient = _gradient(model, scores) if torch.is_grad_enabled() else scores.new_empty(0)
        return scores.detach()[given[2].valid], gradient


def packed_memory(device: torch.device) -> Finding:
    """Compare the memory of a packed step of AdamW with that of one with padded rows and full logits.

    Args:
        device: The device of the step.
    """
    on_cpu = device.type == "cpu"
    shape = Shape(64, 2, rows=2, longest=480) if on_cpu else Shape(256, 2, rows=4, longest=992)
    tokens = 30_000 if on_cpu else 152_064  # as Qwen's
    figures: dict[str, Any] = {"tokens": shape.rows * (shape.longest + 32), "head_rows": tokens}
    for way, read in (("packed", _packed), ("full_logits", _full_logits)):
        step, held = _training(shape, tokens, device, read)
        step()
        start = monotonic()
        figures[f"{way}_mib"] = round(peak_bytes(step, device) / MIB, 1)
        figures[f"{way}_seconds"] = round(monotonic() - start, 4)  # on a CPU with what the profiler costs
        figures["states_mib"] = round(held / MIB, 1)
        del step
    figures["packed_over_full"] = figures["packed_mib"] / figures["full_logits_mib"]
    figures["planned_mib"] = round(_planned(shape, tokens, device) / MIB - figures["states_mib"], 1)
    return judged(figures, {"packed_over_full": SHARE})


Read = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]


def _training(shape: Shape, tokens: int, device: torch.device, read: Read) -> tuple[Callable[[], None], int]:
    """A step of AdamW on two micro-batches, and the bytes of weights, gradients and moments."""
    generator = torch.Generator().manual_seed(0)
    model = policies.policy("sdpa", shape, device, tokens=tokens).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    pairs = []
    for _ in range(2):
        ids = torch.randint(50, tokens, (shape.rows, shape.longest), generator=generator)
        ids[:, 10::25] = VOCAB.backtrack
        prompts = torch.randint(50, tokens, (shape.rows, 32), generator=generator)
        pairs.append((prompts.to(device), ids.to(device)))

    def step() -> None:
        optimizer.zero_grad(set_to_none=False)
        for prompts, ids in pairs:
            (-read(model, prompts, ids).mean()).backward()
        optimizer.step()

    return step, 4 * 4 * sum(weight.numel() for weight in model.parameters())


def _given(prompts: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Any]:
    valid = torch.ones_like(ids, dtype=torch.bool)
    resolution = resolve(ids, valid, VOCAB, backend=Backend.VECTORISED)
    return prompts, torch.ones_like(prompts, dtype=torch.bool), resolution


def _packed(model: Any, prompts: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return score_actions(model, *_given(prompts, ids), wanted=(Statistic.LOG_PROB,)).log_probs


def _full_logits(model: Any, prompts: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    log_p = padded_logits(model, *_given(prompts, ids)).log_softmax(-1)
    return log_p.gather(-1, ids.flatten()[:, None])


def _planned(shape: Shape, tokens: int, device: torch.device) -> float:
    """What ``halluc doctor --plan`` says that the packed step holds, in bytes."""
    from halluc_plugin.planning import ModelShape, PlannedRun
    from halluc_plugin.planning.run import Number
    from halluc_plugin.planning.update import Mask, Reading, cpu_chunk_bytes, update_memory

    run = PlannedRun(
        gpus=1, prompts=shape.rows, samples=2, micro_batch=shape.rows, prompt=32, response=shape.longest,
        checkpointing=False, compute=Number.FP32, sharded=False,
    )  # fmt: skip
    model = ModelShape.of(policies.policy("sdpa", shape, torch.device("meta"), tokens=tokens).config)
    on_cpu = device.type == "cpu"
    chunk = {"chunk_bytes": cpu_chunk_bytes(model, run)} if on_cpu else {}
    mask = Mask.ROWS if on_cpu else Mask.BLOCKS
    return update_memory(model, run, Reading.CHUNKS, mask, **chunk).peak


@contextmanager
def _uncompiled(device: torch.device) -> Iterator[None]:
    """On a CPU flex attention runs as plain torch: compiling it takes a C++ compiler, and minutes."""
    with torch.compiler.set_stance("force_eager") if device.type == "cpu" else nullcontext():
        yield


def _own(rows: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """The log-probs of actions, Float[T], of distributions, Float[T, V]."""
    return rows.gather(1, torch.tensor(ids, device=rows.device)[:, None])[:, 0]


def _gap(found: torch.Tensor, want: torch.Tensor) -> float:
    return float((found.detach().float() - want.detach().float()).abs().max())


def _gradient(model: Any, log_probs: torch.Tensor) -> torch.Tensor:
    """The gradient of a loss in which every action counts otherwise, as one vector."""
    weights = torch.randn(log_probs.shape, generator=torch.Generator().manual_seed(1)).to(log_probs.device)
    model.zero_grad()
    (weights * log_probs).sum().backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def _distance(found: torch.Tensor, want: torch.Tensor) -> float:
    return float((found - want).norm() / want.norm())
