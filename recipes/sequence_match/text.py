"""Train on text that ships with Python (the topics of its help), by characters, and continue it freely."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.decoding import Decoding, decode
from halluc_plugin.edits import Context, collapse
from halluc_plugin.probes import span_log_probs
from halluc_plugin.problem_sets.references import Injected, Reference, Writing, text_pool
from halluc_plugin.recipes.lab.keeping import kept_cell
from halluc_plugin.recipes.sequence_match.arms import ARMS, PAPERS, Noise, trained
from halluc_plugin.recipes.sequence_match.scale import Scale
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN, vocab_of
from halluc_plugin.tokens.loading import load_model, on_accelerator

PROMPT, CONTINUATION = 32, 48
RATE, LENGTHS = 0.03, {1: 1.0, 2: 1.0}
N = 4
"""Length of the n-grams of diversity and repetition."""


class Text:
    """One seed of the text arms, without an end of sequence and without noise of a task.

    Args:
        out: Folder of the experiment.
        scale: The scale of the experiment.
        seed: Seed of windows, weights, data order and samples.
    """

    def __init__(self, out: Path, scale: Scale, seed: int) -> None:
        self._out, self._scale, self._seed = out, scale, seed
        self._folder = out / f"seed-{seed}" / "text"
        self._tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
        self._vocab = vocab_of(self._tokenizer)

    def cells(self) -> Iterator[dict[str, Any]]:
        """Train and measure every arm of the paper whose noise the text has."""
        train, test = self._windows()
        for arm in (arm for arm in ARMS if arm.noise is not Noise.TASK and arm.method in PAPERS):
            folder = self._folder / "models" / arm.name.replace(", ", "-").replace(" ", "-")
            files = [self._traces(train, arm.noise)]
            steps = self._scale.text_steps
            model = trained(folder, arm, files, self._tokenizer, self._scale, seed=self._seed, steps=steps)
            path = self._out / "cells" / "text" / f"{folder.name}-{self._seed}.json"
            yield kept_cell(path, partial(self._measure, arm.name, model, test))

    def _windows(self) -> tuple[list[Reference], list[Reference]]:
        """Training windows, and held-out ones from the last tenth of the text."""
        from pydoc_data.topics import topics

        ids = self._tokenizer.encode("\n".join(topics[name] for name in sorted(topics)))
        length, rng = PROMPT + CONTINUATION, np.random.default_rng([self._seed, 31])
        border = len(ids) * 9 // 10

        def windows(low: int, high: int, count: int) -> list[Reference]:
            starts = rng.integers(low, high - length, count).tolist()
            cut = [(ids[at : at + PROMPT], ids[at + PROMPT : at + length]) for at in starts]
            return [Reference({}, tuple(prompt), tuple(rest)) for prompt, rest in cut]

        train = windows(0, border, self._scale.texts)
        return train, windows(border, len(ids), self._scale.test_texts)

    def _traces(self, windows: Sequence[Reference], noise: Noise) -> Path:
        path = self._folder / "data" / f"{noise}.parquet"
        if not path.exists():
            writing = Writing(self._vocab, frozenset({int(self._tokenizer.eos_token_id)}))
            pool = text_pool(self._tokenizer, self._vocab)
            copies = 1 if noise is Noise.RANDOM else 0
            make = Injected(writing, pool, RATE, LENGTHS, copies, self._seed)
            rows, _ = make(0, windows)
            traces = (TraceRow(row["prompt_ids"], row["response_ids"]) for row in rows)
            write_traces(path, traces, self._tokenizer)
        return path

    def _measure(self, arm: str, folder: Path, test: Sequence[Reference]) -> dict[str, Any]:
        model = on_accelerator(load_model(str(folder), dtype="float32")).eval()
        spans = [(window.prompt, window.ids) for window in test]
        likelihood = sum(span_log_probs(model, spans)) / sum(len(window.ids) for window in test)
        decoding = Decoding(self._vocab, 2 * CONTINUATION, Context.HARD)
        generator = torch.Generator(model.device).manual_seed(self._seed)
        traces = decode(model, [window.prompt for window in test], decoding, generator=generator)
        left = [collapse(trace.ids, self._vocab)[:CONTINUATION] for trace in traces]
        edits = sum(token in self._vocab.edit_ids for trace in traces for token in trace.ids)
        return {
            "arm": arm,
            "seed": self._seed,
            "perplexity": float(np.exp(-likelihood)),
            "edits": edits / len(traces),
            "continued": texture(left),
            "reference": texture([window.ids for window in test]),
        }


def texture(texts: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return measures of the diversity and repetition of texts.

    Returns:
        ``distinct``, the share of distinct n-grams among all; ``entropy``, that of the n-grams, in nats; and
        ``repeated``, the share of n-grams that were in the same text before.
    """
    grams = [[tuple(text[at : at + N]) for at in range(len(text) - N + 1)] for text in texts]
    counts = Counter(gram for of_text in grams for gram in of_text)
    total = sum(counts.values())
    shares = np.array(list(counts.values())) / total
    repeated = sum(len(of_text) - len(set(of_text)) for of_text in grams)
    return {
        "distinct": len(counts) / total,
        "entropy": float(-(shares * np.log(shares)).sum()),
        "repeated": repeated / total,
    }
