"""Count what an answer cost up to its stop string.

Engines are not given stop strings that could still be taken back, so they continue to sample after one. Those
tokens are not part of the answer: they are neither scored nor counted.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from lm_eval.api.filter import FilterEnsemble

from halluc_plugin.edits import read_record, trace_record
from lm_eval_tasks.trace import Trace, TraceReader


def stops_of(pipeline: FilterEnsemble) -> list[str]:
    """Return the stop strings at which a pipeline's filters cut."""
    options = [getattr(step, "keywords", {}) for step in pipeline.filters]
    return [stop for given in options for stop in given.get("until", ())]


def up_to_stop(reader: TraceReader, trace: Trace, stops: Sequence[str]) -> Trace:
    """Return a trace as if generation had ended with the first stop string of the collapsed text.

    Args:
        reader: The reader of the trace.
        trace: The trace, with all that was sampled in its counts and its record.
        stops: The stop strings.

    Returns:
        The same texts, with the counts and the record of the actions up to the one that completes the stop
        string. A stop string that is taken back does not count.
    """
    if reader.tokenizer is None:
        return trace
    if trace.record:
        read = read_record(trace.record)
        ids, live = list(read.ids), [at for at, is_live in enumerate(read.live) if is_live]
    else:
        ids = reader.tokenizer.encode(trace.raw, add_special_tokens=False)
        live = list(range(len(ids)))
    wanted = [stop for stop in stops if stop]

    begin = reader.thinking([ids[at] for at in live])

    def stopped(kept: int) -> bool:
        text = reader.decode([ids[at] for at in live[begin:kept]])
        return any(stop in text for stop in wanted)

    kept = bisect_left(range(len(live) + 1), True, key=stopped)  # noqa: FBT003 - what is looked for
    if not 0 < kept <= len(live):
        return trace
    end = live[kept - 1] + 1
    counted = replace(trace, raw_tokens=end, resolved_tokens=kept)
    if trace.record is None or reader.vocab is None:
        return counted
    shorter = trace_record(ids[:end], reader.vocab)
    edits = read_record(shorter).num_effective
    return replace(counted.begun(end), backtracks=edits, record=shorter)
