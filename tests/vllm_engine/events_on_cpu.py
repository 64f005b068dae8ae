"""Run by test_events_e2e.py in a process of its own: hypothesis drives one real engine by events.

The engine is too small for what it is asked: requests wait, are preempted and computed again in chunks, while
others read the blocks that they rewind, are given up, come in between two steps or go on from earlier
answers. Whatever happens, answers are those of :class:`oracle.Oracle`, and all blocks come back.

Arguments: the folder of the model, the file to write to, seconds (0 for a few examples that are always the
same), and ``sound``, ``asynchronous`` or the name of a fault that is planted.
"""

import json
import sys
import time
from pathlib import Path

from cpu_engine import schedule_asynchronously
from events import Events
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from oracle import Oracle
from small_engine import COUNTS, FAULTS, POSITIONS, count_rewinds, make_engine
from transformers import AutoModelForCausalLM


def main(path, written, seconds, way):
    """Try, until the time is up or something is wrong, which ends this process with the example."""
    if way == "asynchronous":
        schedule_asynchronously()
    count_rewinds()
    Events.make = staticmethod(lambda: make_engine(path, FAULTS.get(way)))
    Events.engine = Events.make()
    Events.oracle = Oracle(AutoModelForCausalLM.from_pretrained(path).eval(), POSITIONS)
    same = settings(
        max_examples=40, stateful_step_count=30, deadline=None, database=None, print_blob=True,
        derandomize=True, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate] if way in FAULTS else [Phase.generate, Phase.shrink],
    )  # fmt: skip
    start, seconds = time.monotonic(), float(seconds)
    run_state_machine_as_test(Events, settings=same)
    new = settings(same, derandomize=False, max_examples=50, stateful_step_count=50)
    while time.monotonic() - start < seconds:
        run_state_machine_as_test(Events, settings=new)
    Path(written).write_text(json.dumps(COUNTS | {"seconds": round(time.monotonic() - start, 1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
