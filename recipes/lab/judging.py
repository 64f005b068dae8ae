"""Measure a set of raw traces for an experiment."""

from collections.abc import Sequence
from typing import Any

from halluc_plugin.edits import EditVocab, collapse
from halluc_plugin.metrics import judge_ids, summarise_events
from halluc_plugin.sampling.problems import PosedProblem, step_oracle
from halluc_plugin.verifiers import Outcome, PrefixVerifier, prefix_oracle


def judged_cell(
    traces: Sequence[Sequence[int]], problems: Sequence[PosedProblem], tokenizer: Any, vocab: EditVocab
) -> dict[str, Any]:
    """Return accuracy and the worth of backtracks, by each problem's exact verifier and prefix oracle.

    Args:
        traces: A raw trace for each problem.
        problems: The problems, whose verifiers judge prefixes.
        tokenizer: The tokenizer of the ids.
        vocab: The edit vocabulary of the ids.

    Returns:
        The measurements, JSON-able; ``correct`` holds 0 or 1 for each problem.
    """

    def text(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True))

    ends = {int(tokenizer.eos_token_id)}
    correct, oracles = [], []
    for ids, problem in zip(traces, problems, strict=True):
        verifier = problem.verifier
        assert isinstance(verifier, PrefixVerifier)
        outcome = verifier.verify(problem.truth, text(collapse(ids, vocab)))
        correct.append(int(outcome is Outcome.CORRECT))
        oracles.append(prefix_oracle(verifier, problem.truth, text, ends))
    judged = judge_ids(traces, vocab, oracles)
    newline = int(tokenizer.encode("\n")[0])
    edited = sum(not vocab.edit_ids.isdisjoint(trace) for trace in traces) / len(traces)
    return {
        "correct": correct,
        "backtracked": edited,
        "raw_length": sum(map(len, traces)) / len(traces),
        **summarise_events(judged, delimiters={newline}, kappa=3).as_metrics(),
    }


def first_bad_step(
    ids: Sequence[int], problem: PosedProblem, tokenizer: Any, delimiters: frozenset[int]
) -> int | None:
    """Return the index after the first step that the prefix verifier refutes, None if it refutes none."""
    ok = step_oracle(problem, tokenizer)
    ends = (index for index, token in enumerate(ids, 1) if token in delimiters)
    return next((end for end in ends if not ok(ids[:end])), None)
