"""What a plan says of an update is what real updates hold."""

import pytest
import torch

from halluc_plugin.planning import ModelShape, PlannedRun
from halluc_plugin.planning.run import Number
from halluc_plugin.planning.update import Mask, Reading, cpu_chunk_bytes, update_memory
from tests.planning.measured_step import measured_peak, small_config

WIDE = {"rows": 50_000, "hidden": 64, "layers": 2}
DEEP = {"rows": 500, "hidden": 128, "layers": 6}
HEAVY = {"rows": 2000, "hidden": 512, "layers": 6}
LONG = {"prompt": 32, "response": 480}

RUNS = {
    # what dominates: the model, its rows in a micro-batch, what a policy sees, how it is read, its mask
    "logits in chunks": (WIDE, 2, LONG, "hard", Mask.ROWS),
    "the same, tied": (WIDE | {"tied": True}, 2, LONG, "hard", Mask.ROWS),
    "activations, hard": (DEEP, 4, LONG, "hard", Mask.ROWS),
    "activations, soft": (DEEP, 4, LONG, "soft", Mask.CAUSAL),
    "layers computed again": (DEEP | {"again": True}, 4, LONG, "hard", Mask.ROWS),
    "weights": (HEAVY | {"again": True}, 2, {"prompt": 32, "response": 96}, "hard", Mask.ROWS),
    "all logits": (WIDE | {"rows": 20_000}, 2, LONG, None, Mask.CAUSAL),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Nothing but the step shares the machine's caches; the number of threads is restored."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", RUNS)
def test_a_step_holds_what_is_planned(name):
    """The planned peak is within 15 % of what torch's allocator hands out in a real step of AdamW."""
    sizes, rows, lengths, context, mask = RUNS[name]
    again = sizes.get("again", False)
    config = small_config(**{key: value for key, value in sizes.items() if key != "again"})
    measured = measured_peak(config, **lengths, rows=rows, context=context, checkpointing=again)
    run = PlannedRun(
        gpus=1, prompts=rows, samples=2, micro_batch=rows, checkpointing=again, compute=Number.FP32,
        sharded=False, **lengths,
    )  # fmt: skip
    reading = Reading.LOG_SOFTMAX if context is None else Reading.CHUNKS
    shape = ModelShape.of(config)
    planned = update_memory(shape, run, reading, mask, chunk_bytes=cpu_chunk_bytes(shape, run)).peak
    print(  # noqa: T201 - the record in docs/plan.md
        f"\n{name}: measured {measured / 2**20:.1f} MiB, planned {planned / 2**20:.1f} MiB"
    )
    assert planned == pytest.approx(measured, rel=0.15)
