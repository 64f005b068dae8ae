"""The ProcessBench tasks: a model continues labelled steps, and what it erases of them is judged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import datasets
from lm_eval.api.instance import Instance

from halluc_plugin.errors import DataError, SettingsError, TokenizerError
from halluc_plugin.metrics import (
    JudgedReaction,
    LabelledSteps,
    Reaction,
    StepEnd,
    first_error_f1,
    judge_reaction,
)
from lm_eval_tasks.rows import (
    ANSWER_ROWS,
    EVENT_ROWS,
    TRACE_ROWS,
    Described,
    LoggedTraces,
    event_rows,
    share,
)
from lm_eval_tasks.stopping import up_to_stop
from lm_eval_tasks.task import TRACE_PIPELINE, BacktrackTask
from lm_eval_tasks.trace import Trace

_KEPT_ROWS = ("raw_tokens", "collapse_exact")
REACTION_ROWS: Described = {
    **ANSWER_ROWS,
    "f1": (first_error_f1, True),
    "erased_after_wrong": (share, True),
    "erased_after_right": (share, False),
    **{name: TRACE_ROWS[name] for name in _KEPT_ROWS},
    **EVENT_ROWS,
}
"""Rows of the trace pipeline.

``exact_match`` is the share of right reactions: exactly the wrong step was erased, or nothing of right steps.
``erased_after_wrong`` and ``erased_after_right`` are the shares of documents with and without a wrong step in
which the model erased something of the given steps.
"""


class ProcessBenchTask(BacktrackTask):
    """Gives the model the steps up to the first wrong one, and separately the right steps before it.

    For the engine the steps are part of the prompt. They are erased when the edits that were sampled after
    them are applied to both together, in the ids that the model saw.

    Raises:
        SettingsError: The context is hard or the boundary is masked, so that a model cannot erase steps in
            the prompt.
    """

    needs_traces = True

    def __init__(self, config: dict[str, Any]) -> None:
        metadata = config.get("metadata") or {}
        for key, allowed in (("context", "soft"), ("boundary", "noop")):
            if metadata.get(key, allowed) != allowed:
                raise SettingsError(
                    f"{config.get('task')} hands labelled steps over in the prompt, which a model with "
                    f"{key}={metadata[key]} cannot take back.",
                    f"Pass {key}={allowed}, or leave this task out.",
                )
        super().__init__(config)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Load the split, and make a document of each state that a model is to react to."""
        super().download(dataset_kwargs, **kwargs)
        split, between = self.config.test_split, self.config.metadata["between_steps"]
        documents = [doc for row in self.dataset[split] for doc in _documents(row, between)]
        self.dataset = datasets.DatasetDict({split: datasets.Dataset.from_list(documents)})

    def apply_filters(self) -> None:
        """Judge the answers, each after the ids that its model was given; no text is extracted."""
        for instance in self._instances:
            traces = [self._trace(answer) for answer in instance.resps[: self.config.repeats]]
            samples = [up_to_stop(self._reader, trace, self._stops) for trace in traces]
            instance.filtered_resps = {TRACE_PIPELINE: self._reactions(instance, samples)}

    def trace_rows(self, doc: dict[str, Any], traces: LoggedTraces) -> dict[str, Any]:
        """Return the rows of one document."""
        wrong, costs = doc["label"] >= 0, traces.rows()
        right = sum(trace["correct"] for trace in traces) / len(traces)
        erased = (sum(trace["reaction"] != Reaction.KEPT for trace in traces), len(traces))
        read = [trace for trace in traces if trace["record"] is not None]
        judged = [self._judge(trace) for trace in read]
        places = [self._place(trace, wrong=wrong) for trace in read if trace["record"]["ids"]]
        return {
            **dict.fromkeys(ANSWER_ROWS, right),
            "f1": (wrong, right),
            "erased_after_wrong": erased if wrong else (0, 0),
            "erased_after_right": (0, 0) if wrong else erased,
            **{name: costs[name] for name in _KEPT_ROWS},
            **event_rows([reaction.trace for reaction in judged], places),
        }

    def described_rows(self) -> Described:
        """Return all rows that the task reports."""
        return REACTION_ROWS

    def _reactions(self, instance: Instance, samples: Sequence[Trace]) -> LoggedTraces:
        steps = self._given(instance.args[0], instance.doc)
        logged = LoggedTraces()
        for sample in samples:
            trace = asdict(sample) | {"given": list(steps.ids), "num_good": steps.num_good}
            right, reaction = not steps.wrong, Reaction.KEPT
            if sample.record is not None:
                judged = self._judge(trace)
                right, reaction = judged.right, judged.reaction
            logged.append(trace | {"reaction": str(reaction), "correct": right, "raw_correct": right})
        return logged

    def _judge(self, trace: Mapping[str, Any]) -> JudgedReaction:
        assert self._reader.vocab is not None  # a trace with a record has been read with it
        steps = LabelledSteps(tuple(trace["given"]), trace["num_good"])
        return judge_reaction(steps, trace["record"]["ids"], self._reader.vocab)

    def _place(self, trace: Mapping[str, Any], *, wrong: bool) -> StepEnd:
        """The end of the given steps, and whether the model's first action took something back."""
        assert self._reader.vocab is not None  # as above
        return StepEnd(wrong, float(trace["record"]["ids"][0] in self._reader.vocab.edit_ids))

    def _given(self, context: str, doc: Mapping[str, Any]) -> LabelledSteps:
        """The steps at the end of a context, in the ids of the whole."""
        tokenizer = self._reader.tokenizer
        if tokenizer is None or not tokenizer.is_fast:
            raise TokenizerError(
                "The labelled steps cannot be found in ids without the model's tokenizer, a fast one.",
                """Pass --metadata '{"tokenizer": "<name or folder>"}'.""",
            )
        given = doc["given"].rstrip()  # chat templates drop blanks at the end
        start = context.rfind(given)
        if start < 0:
            raise DataError(
                f"A prompt does not end with its labelled steps: {context[-80:]!r}.",
                "Use a chat template that leaves the text of messages as it is, or none.",
            )
        good_end = min(start + doc["good_chars"], len(context))
        encoded = tokenizer(context, add_special_tokens=False, return_offsets_mapping=True)
        pairs = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        tokens = [(token, end) for token, (_, end) in pairs if end > start]
        return LabelledSteps(tuple(token for token, _ in tokens), sum(end <= good_end for _, end in tokens))


def _documents(row: Mapping[str, Any], between: str) -> Iterator[dict[str, Any]]:
    """The states of one row: up to the first wrong step, and up to the step before it."""
    steps, label = row["steps"], row["label"]
    if not steps or not all(steps) or not -1 <= label < len(steps):
        raise DataError(
            f"A row of ProcessBench has label {label} and {len(steps)} steps: {row['problem'][:60]!r}.",
            "Give steps with text, and the index of the first wrong one, or -1.",
        )
    num_right = len(steps) if label < 0 else label
    good = "".join(step + between for step in steps[:num_right])
    if label >= 0:
        given = good + steps[label] + between
        yield {"problem": row["problem"], "given": given, "good_chars": len(good), "label": label}
    if num_right:
        yield {"problem": row["problem"], "given": good, "good_chars": len(good), "label": -1}
