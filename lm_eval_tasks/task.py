"""A generation task scored on collapsed text and on raw text, with the cost of backtracking.

A task of this package is an lm-eval YAML with ``class: !function lm_eval_tasks.task.BacktrackTask`` and the
pipelines

- ``strict-match``, ``flexible-extract``: the stock task's, after a ``Collapsed`` filter;
- ``strict-match-raw``, ``flexible-extract-raw``: the same after a ``Raw`` filter;
- ``trace``: the trace itself, from which the rows of :data:`lm_eval_tasks.rows.TRACE_ROWS` come.

Its stop strings are EOS-like markers only; the stock task's others move into ``until`` of the two filters.
Stop strings that a user gives (``--gen_kwargs until=...``) replace both, as in the stock task. An engine is
given only those that are such markers or special tokens, so that none ends an answer inside text that is
taken back; all of them cut the collapsed text. A server that was asked for collapsed text (``vllm_xargs`` in
the generation arguments, docs/engine.md) returns no trace: such answers have only the first two pipelines,
and no rows of traces. ``repeats`` in the metadata draws several samples for each document: accuracies are
then means over them, and pass@k and maj@k are added to the rows.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from lm_eval.api.filter import FilterEnsemble
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.utils import postprocess_generated_text

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.tokens import EDIT_TOKENS
from halluc_plugin.tokens.ends import end_marks
from halluc_plugin.vllm_engine.serving.answer import TextForm
from halluc_plugin.vllm_engine.serving.asked import chosen_form
from lm_eval_tasks.answers import as_list
from lm_eval_tasks.data import ENVIRONMENT, local_folder, read_rows
from lm_eval_tasks.filters import without_stops
from lm_eval_tasks.rows import ANSWER_ROWS, TRACE_ROWS, Described, JudgedAnswers, LoggedTraces, sample_rows
from lm_eval_tasks.stopping import stops_of, up_to_stop
from lm_eval_tasks.trace import Trace, TracedAnswer, TraceReader

TRACE_PIPELINE = "trace"
REPEATS = "repeats"
NO_MATCH = "[invalid]"
"""The answer of lm_eval's regex filter if it finds nothing."""


class BacktrackTask(ConfigurableTask):
    """Reads answers as traces, and lets the YAML's pipelines score their texts.

    Data come from ``dataset_path`` on the hub, or from ``metadata.local_data`` (``folder``, ``columns``, and
    ``splits``, the file of each split) below the folder that :func:`lm_eval_tasks.data.local_folder` finds.

    Args:
        config: The configuration in the YAML, with the model's arguments merged into ``metadata``.

    Attributes:
        verdict: The pipeline that decides whether an answer is right, for flips and costs.
        needs_traces: Whether answers cannot be judged without their traces.

    Raises:
        SettingsError: The value of ``repeats`` in the metadata is not a count.
    """

    verdict = "strict-match"
    needs_traces = False
    _filters: list[FilterEnsemble]

    def __init__(self, config: dict[str, Any]) -> None:
        metadata = config.get("metadata") or {}
        self._reader = TraceReader.from_metadata(metadata)
        self._markers = as_list(config["generation_kwargs"]["until"])
        kept = {key: value for key, value in config.items() if key != "class"}
        if REPEATS in metadata:
            kept[REPEATS] = _count(metadata[REPEATS])
        super().__init__(config=kept)

    def download(self, dataset_kwargs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Load the splits from local files if there are any, else from the hub."""
        local = self.config.metadata["local_data"]
        folder = local_folder(local["folder"], list(local["splits"].values()), self.config.metadata)
        if folder is not None:
            self.dataset = _read_splits(folder, local["splits"], local["columns"])
            return
        try:
            super().download(dataset_kwargs, **kwargs)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise DataError(
                f"{self.DATASET_PATH} could not be loaded from the hub ({reason}).",
                f"Set {ENVIRONMENT} to a folder with {local['folder']}/"
                f"{{{','.join(local['splits'].values())}}}, or go online.",
            ) from error

    def set_config(self, key: str, value: Any, update: bool = False) -> None:
        """Set a part of the configuration; lm_eval passes a user's generation arguments this way."""
        super().set_config(key, value, update)
        if key == "generation_kwargs" and "until" in value:
            self._filters = [without_stops(pipeline) for pipeline in self._filters]

    def construct_requests(self, doc: dict[str, Any], ctx: str, **options: Any) -> Any:
        """Return the request of a document, with the stop strings that an engine may see."""
        request = super().construct_requests(doc, ctx, **options)
        request.arguments[1]["until"] = self._ends
        return request

    def build_all_requests(self, **options: Any) -> None:
        """Make the requests of all documents.

        Raises:
            SettingsError: Several samples are asked for with greedy decoding, which would all be the same; or
                a server is to collapse answers that cannot be judged without their traces.
        """
        if not self._has_traces and self.needs_traces:
            raise SettingsError(
                f"{self.config.task} judges traces, and a server sends none with collapsed text.",
                "Leave halluc_text out of --gen_kwargs, or use --model vllm-backtrack.",
            )
        sampling = self.config.generation_kwargs
        if self.config.repeats > 1 and not (sampling.get("do_sample") and sampling.get("temperature", 1) > 0):
            raise SettingsError(
                f"{self.config.task} asks for {self.config.repeats} samples of greedy decoding.",
                "Pass --gen_kwargs do_sample=true,temperature=0.7, or leave out repeats.",
            )
        super().build_all_requests(**options)

    def apply_filters(self) -> None:
        """Run the pipelines on traces; the answers themselves are not changed, for the samples file."""
        answers = [instance.resps for instance in self._instances]
        # Where processes must have equally many requests, lm_eval adds some; the surplus does not count.
        samples = [[self._trace(answer) for answer in resps[: self.config.repeats]] for resps in answers]
        try:
            filtered = [self._filtered(sample) for sample in zip(*samples, strict=True)]
        finally:
            for instance, kept in zip(self._instances, answers, strict=True):
                instance.resps = kept
        for instance, of_samples in zip(self._instances, zip(*filtered, strict=True), strict=True):
            instance.filtered_resps = self._judged(instance.doc, of_samples)

    def process_results(self, doc: dict[str, Any], results: Sequence[Any]) -> dict[str, Any]:
        """Return the rows of one pipeline for one document."""
        (result,) = results
        if not self._scores:
            return super().process_results(doc, [str(result)])
        return self.trace_rows(doc, result) if isinstance(result, LoggedTraces) else result.rows()

    def score(self, doc: dict[str, Any], answer: str, pipeline: str) -> float:  # noqa: ARG002 - for subclasses
        """Score one answer that a pipeline, or its raw twin, extracted: 1 if it is right, else 0."""
        return float(super().process_results(doc, [answer])["exact_match"])

    def votes(
        self,
        doc: dict[str, Any],  # noqa: ARG002 - for subclasses
        answers: Sequence[str],
        pipeline: str,  # noqa: ARG002 - for subclasses
    ) -> list[Hashable | None]:
        """Return the canonical answers, by which maj@k counts; None abstains."""
        return [self._canonical(answer) for answer in answers]

    def trace_rows(self, doc: dict[str, Any], traces: LoggedTraces) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Return the rows of the trace pipeline for one document."""
        return traces.rows()

    def described_rows(self) -> Described:
        """Return all rows that the task may report: their aggregation, and whether higher is better."""
        return ANSWER_ROWS | sample_rows(self.config.repeats) | TRACE_ROWS

    def aggregation(self) -> dict[str, Any]:
        """Return how each row is aggregated over documents."""
        return super().aggregation() | {name: how for name, (how, _) in self.described_rows().items()}

    def higher_is_better(self) -> dict[str, bool | None]:
        """Return whether a higher value of each row is better, None if neither is."""
        return super().higher_is_better() | {
            name: better for name, (_, better) in self.described_rows().items()
        }

    @property
    def _has_traces(self) -> bool:
        """Whether answers come raw, and not as what a server has left of them."""
        return chosen_form(self.config.generation_kwargs) is TextForm.RAW

    @property
    def _scores(self) -> bool:
        return "exact_match" in self._metric_fn_list  # --predict_only puts its own metric there

    def _filtered(self, sample: Sequence[Trace]) -> list[dict[str, Any]]:
        """What the YAML's pipelines make of one trace a document."""
        for instance, trace in zip(self._instances, sample, strict=True):
            instance.resps, instance.filtered_resps = [trace], {}
        super().apply_filters()
        return [instance.filtered_resps for instance in self._instances]

    def _judged(self, doc: dict[str, Any], of_samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        judged: dict[str, Any] = {}
        known: dict[tuple[str, str], float] = {}
        for pipeline in of_samples[0]:
            if pipeline != TRACE_PIPELINE and (self._has_traces or not pipeline.endswith("-raw")):
                answers = [str(sample[pipeline]) for sample in of_samples]
                judged[pipeline] = self._judged_answers(doc, answers, pipeline, known)
        if not self._has_traces:
            return judged
        (verdict,) = (pipeline for pipeline in self._filters if pipeline.name == self.verdict)
        stops = [*self._stops, *stops_of(verdict)]
        traces = LoggedTraces(
            asdict(up_to_stop(self._reader, sample[TRACE_PIPELINE], stops))
            | {"answer": str(sample[self.verdict]), "raw_answer": str(sample[f"{self.verdict}-raw"])}
            for sample in of_samples
        )
        if self._scores:
            collapsed, raw = judged[self.verdict].scores, judged[f"{self.verdict}-raw"].scores
            for trace, right, raw_right in zip(traces, collapsed, raw, strict=True):
                trace |= {"correct": right > 0, "raw_correct": raw_right > 0}
        return judged | {TRACE_PIPELINE: traces}

    def _judged_answers(
        self, doc: dict[str, Any], answers: list[str], pipeline: str, known: dict[tuple[str, str], float]
    ) -> JudgedAnswers:
        if not self._scores:
            return JudgedAnswers(tuple(answers), ())
        # Collapsed and raw answers have one judge, and are mostly the same.
        judge = pipeline.removesuffix("-raw")
        for answer in answers:
            if (judge, answer) not in known:
                known[judge, answer] = self.score(doc, answer, judge)
        votes = tuple(self.votes(doc, answers, judge)) if len(answers) > 1 else ()
        return JudgedAnswers(tuple(answers), tuple(known[judge, answer] for answer in answers), votes)

    def _canonical(self, answer: str) -> str | None:
        """Return an answer as ``exact_match`` compares it."""
        if answer == NO_MATCH:
            return None
        options = self._metric_fn_kwargs["exact_match"]
        for pattern in options.get("regexes_to_ignore", ()):
            answer = re.sub(pattern, "", answer)
        return (answer.lower() if options.get("ignore_case") else answer).strip()

    @property
    def _stops(self) -> list[str]:
        """Where the text of an answer ends."""
        return as_list(self.config.generation_kwargs.get("until"))

    @property
    def _ends(self) -> list[str]:
        """Those that end it when they are sampled: nothing is taken back behind them."""
        if self._reader.vocab is None:  # nothing is taken back at all
            return self._stops
        markers = {*self._markers, *end_marks(self._reader.tokenizer, self._stops).values()}
        return [stop for stop in self._stops if stop in markers]

    def _trace(self, answer: str) -> Trace:
        eos = getattr(self._reader.tokenizer, "eos_token", None)
        end = [eos] if eos else []  # hf and vllm cut there themselves
        trace = answer.trace if isinstance(answer, TracedAnswer) else self._read(answer, [*self._ends, *end])
        cut = partial(postprocess_generated_text, stop=[*self._stops, *end], think_end_token=None)
        return replace(trace, raw=cut(trace.raw), resolved=cut(trace.resolved))

    def _read(self, text: str, ends: list[str]) -> Trace:
        if not self._has_traces:
            return _left_by_server(postprocess_generated_text(text, self._stops, None))
        return self._reader.read(postprocess_generated_text(text, ends, None))


def _left_by_server(text: str) -> Trace:
    """An answer that its server has collapsed."""
    if any(token in text for token in EDIT_TOKENS):
        raise SettingsError(
            f"Collapsed text was asked for, and an answer has edit tokens: {text[:80]!r}.",
            "Start the server with the middleware of docs/engine.md, or leave out halluc_text.",
        )
    return TraceReader(None).read(text)


def _count(repeats: Any) -> int:
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise SettingsError(
            f"repeats is {repeats!r} in the metadata.", "Give a number of samples, at least 1."
        )
    return repeats


def _read_splits(folder: Path, files: Mapping[str, str], columns: Sequence[str]) -> datasets.DatasetDict:
    return datasets.DatasetDict(
        {
            split: datasets.Dataset.from_list(read_rows(folder / file, columns))
            for split, file in files.items()
        }
    )
