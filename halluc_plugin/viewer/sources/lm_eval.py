"""Read samples that lm-eval saved with ``--log_samples``, of halluc's tasks with traces, and of any other."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from halluc_plugin.edits import read_record
from halluc_plugin.errors import DataError, TraceError
from halluc_plugin.verifiers import Outcome
from halluc_plugin.viewer.answers import (
    Kind,
    ShownAnswer,
    Source,
    before_edits,
    judged,
    pieces,
    require_one_vocabulary,
)
from halluc_plugin.viewer.sources.lines import whole_lines

TRACE = "trace"
"""The filter under which halluc's tasks keep traces."""
KNOWN = ("log_probs", "entropies", "edit_probs", "verdicts")
"""The lists of a trace with an entry for each action."""

Rows = Sequence[tuple[int, Mapping[str, Any]]]


def read(path: Path, tokenizer: str | None = None) -> Source:
    """Read the samples of a task.

    Args:
        path: The file ``samples_TASK_DATE.jsonl``.
        tokenizer: Folder or hub name of the model's tokenizer, for traces whose texts were not kept; None
            shows such answers as text.

    Raises:
        DataError: A line is not a sample of generated text, or ids do not mean the same in all samples.
    """
    rows, skipped = whole_lines(path)
    filters = list(Counter(str(row.get("filter")) for _, row in rows))
    chosen = TRACE if TRACE in filters else filters[0]
    others = {name: _scores(rows, name) for name in filters if name != TRACE}
    texts = _texts_of(tokenizer)
    shown = [
        answer
        for number, row in rows
        if str(row.get("filter")) == chosen
        for answer in _answers(path, number, row, others, texts)
    ]
    require_one_vocabulary(path, shown)
    task = re.sub(r"_\d{4}-\d\d-\d\dT.*", "", path.stem.removeprefix("samples_"))
    known = all(answer.record is not None for answer in shown)
    note = "The tokens of some answers are not known: name their tokenizer with --tokenizer."
    return Source(task, Kind.LM_EVAL, path, shown, skipped=skipped, notes=() if known else (note,))


def _texts_of(tokenizer: str | None) -> Any:
    if tokenizer is None:
        return None
    from functools import partial

    from halluc_plugin.edits.texts import token_texts
    from halluc_plugin.tokens.loading import load_tokenizer

    return partial(token_texts, load_tokenizer(tokenizer))


def _scores(rows: Rows, name: str) -> dict[int, dict[str, float]]:
    """What a filter's answers scored, by document."""
    return {
        row["doc_id"]: {
            f"{metric}, {name}": float(row[metric])
            for metric in row.get("metrics", ())
            if isinstance(row.get(metric), int | float)
        }
        for _, row in rows
        if str(row.get("filter")) == name and "doc_id" in row
    }


def _answers(
    path: Path, number: int, row: Mapping[str, Any], others: Mapping[str, Mapping[int, Any]], texts: Any
) -> list[ShownAnswer]:
    try:
        kept = {
            "prompt": _prompt(row),
            "group": str(row["doc_id"]),
            "data_source": row["doc"].get("data_source") if isinstance(row["doc"], Mapping) else None,
        }
        # The last record may be cut off: then a filter has no score of the last document.
        found = [by_doc.get(row["doc_id"], {}) for by_doc in others.values()]
        scores = {name: score for scored in found for name, score in scored.items()}
        if row.get("filter") == TRACE:
            traces = json.loads(row["filtered_resps"][0])
            traces = traces if isinstance(traces, list) else [traces]
            return [
                _traced(f"{row['doc_id']}_{sample}", trace, kept, scores, texts)
                for sample, trace in enumerate(traces)
            ]
        return _stock(row, kept, scores)
    except TraceError as error:
        raise DataError(f"{path}, line {number}: {error.cause}", error.fix) from error
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}, line {number} is no sample of generated text ({type(error).__name__}: {error}).",
            "Look at samples of a task that generates, not of one that compares likelihoods.",
        ) from error


def _prompt(row: Mapping[str, Any]) -> str:
    """The text that was asked with; lm-eval keeps the messages of a chat as JSON."""
    arguments = row["arguments"]
    first = arguments["gen_args_0"]["arg_0"] if isinstance(arguments, Mapping) else arguments[0][0]
    return first if isinstance(first, str) else json.dumps(first, ensure_ascii=False)


def _traced(
    name: str, trace: Mapping[str, Any], kept: Mapping[str, Any], scores: Mapping[str, float], texts: Any
) -> ShownAnswer:
    record = None if trace["record"] is None else read_record(trace["record"])
    first = None if record is None else before_edits(record, trace.get("verdicts"))
    tokens = trace.get("tokens")
    if record is not None and tokens is None and texts is not None:
        tokens = texts(record.ids)
    # Of each action; without tokens there is none to tell it of.
    known: dict[str, Any] = {name: trace.get(name) for name in KNOWN}
    if tokens is None:
        record, tokens, known = None, pieces(trace["raw"]), {}
    counts = {
        key: float(trace[key]) for key in ("raw_tokens", "resolved_tokens", "backtracks") if key in trace
    }
    return ShownAnswer(
        answer=name,
        tokens=tokens,
        record=record,
        outcome=_verdict(trace.get("correct")),
        # Of the text as sampled last: edits that are spelled out make nearly every text wrong.
        first_outcome=first or _verdict(trace.get("raw_correct")),
        scores={**counts, **scores},
        text=trace["resolved"],
        **known,
        **kept,
    )


def _verdict(right: bool | None) -> Outcome | None:
    return None if right is None else judged(float(right))


def _stock(row: Mapping[str, Any], kept: Mapping[str, Any], scores: Mapping[str, float]) -> list[ShownAnswer]:
    texts = row["resps"][0] if isinstance(row["resps"][0], list) else row["resps"]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("resps holds no text")
    own = [row[name] for name in row.get("metrics", ()) if isinstance(row.get(name), int | float)]
    # Several samples of a document share one score, which is that of none of them.
    outcome = judged(own[0]) if own and len(texts) == 1 else None
    return [
        ShownAnswer(
            answer=f"{row['doc_id']}_{sample}", tokens=pieces(text), outcome=outcome, scores=scores, **kept
        )
        for sample, text in enumerate(texts)
    ]
