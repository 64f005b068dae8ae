"""Traces on real prose: taking back lands where the text was cut, and no kept character changes."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from halluc_plugin.edits import EditKind, collapse, find_delimiters
from halluc_plugin.edits.delimiters import straddling
from halluc_plugin.tokens import EDIT_TOKENS, edit_vocab
from halluc_plugin.traces import align_steps, align_tokens, inject
from halluc_plugin.traces.writing import split_steps

DATA = Path(os.environ.get("HALLUC_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILE = DATA / "gsm8k" / "train.jsonl"
COUNT = 500
MARKS = ("\n", ".", ":")
"""Lines, sentences, and openings such as ``Step 1:`` as what ends a step."""

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not FILE.exists(), reason="the real data files are absent (HALLUC_TEST_DATA)"),
]


@pytest.fixture(scope="module")
def solutions():
    """Reference solutions of GSM8K, every third with numbered steps, a blank line and signs beyond ASCII."""
    with FILE.open(encoding="utf-8") as file:
        texts = [json.loads(line)["answer"] for _, line in zip(range(COUNT), file, strict=False)]
    assert len(texts) == COUNT
    for place in range(0, COUNT, 3):
        lines = texts[place].split("\n")
        texts[place] = "\n\n".join(f"Step {number}: {line} ≈ 漢 é" for number, line in enumerate(lines, 1))
    return texts


@pytest.fixture(scope="module", params=["cut at words", "not cut"])
def tokenizer(request, solutions):
    """A byte-level BPE of 2000 tokens trained on them; not cut at words, tokens straddle line ends."""
    backend = Tokenizer(models.BPE())
    cut = request.param == "cut at words"
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cut)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<eos>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    backend.train_from_iterator(solutions, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<eos>", clean_up_tokenization_spaces=False
    )
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in EDIT_TOKENS])
    return tokenizer


def test_tokens_straddle_what_ends_a_step(tokenizer, solutions, request):
    """A tokenizer that does not cut at words has tokens with a line's end inside, which are counted."""
    inside = straddling(tokenizer, "\n")
    whole = "not cut" in request.node.name
    assert bool(inside) == whole
    used = {token for solution in solutions for token in tokenizer.encode(solution)}
    assert bool(used & inside) == whole
    assert not inside & find_delimiters(tokenizer, "\n")


def text(tokenizer, ids):
    """The characters of ids, none lost."""
    return tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("mark", MARKS)
def test_steps_are_cut_at_what_ends_them(tokenizer, solutions, mark):
    """Steps join to the text; each but the last ends with the mark, as far as tokens end with it."""
    vocab = edit_vocab(tokenizer, step_delimiter=mark)
    cuts = 0
    for solution in solutions:
        ids = tokenizer.encode(solution)
        steps = split_steps(ids, vocab)
        assert "".join(text(tokenizer, step) for step in steps) == solution
        assert all(text(tokenizer, step).endswith(mark) for step in steps[:-1])
        cuts += len(steps) - 1
    assert cuts > 0


@pytest.mark.slow
@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("edit", [EditKind.BACKTRACK, EditKind.STEP])
def test_injected_errors_leave_every_character(tokenizer, solutions, mark, edit):
    """Wrong steps of other solutions are written and taken back: the text that is left is the solution."""
    vocab, eos, rng = (
        edit_vocab(tokenizer, step_delimiter=mark),
        tokenizer.eos_token_id,
        np.random.default_rng(0),
    )
    encoded = [tokenizer.encode(solution) for solution in solutions]
    edits = 0
    for number, ids in enumerate(encoded):
        others = split_steps(encoded[(number + 7) % COUNT], vocab)
        starts = {0, *np.cumsum([len(step) for step in split_steps(ids, vocab)]).tolist()[:-1]}

        def propose(position, starts=starts, others=others):
            return (
                others[int(rng.integers(len(others)))] if position in starts and rng.random() < 0.5 else None
            )

        trace = inject((*ids, eos), propose, vocab, eos_ids={eos}, edit=edit).ids
        edits += sum(token in vocab.edit_ids for token in trace)
        assert text(tokenizer, collapse(trace, vocab)[:-1]) == solutions[number]
    assert edits > COUNT / 4


@pytest.mark.slow
@pytest.mark.parametrize("align", [align_tokens, align_steps])
def test_alignment_leaves_every_character(tokenizer, solutions, align):
    """A sample that departs from the reference in its lines is taken back and put right exactly."""
    vocab, eos = edit_vocab(tokenizer), tokenizer.eos_token_id
    for number, solution in enumerate(solutions):
        other = solutions[(number + 7) % COUNT].split("\n")
        lines = solution.split("\n")
        sample = "\n".join([lines[0], *other[:2], *lines[2:]])
        trace = align((*tokenizer.encode(solution), eos), tokenizer.encode(sample), vocab, eos_ids={eos}).ids
        assert text(tokenizer, collapse(trace, vocab)[:-1]) == solution


def test_a_step_backtrack_lands_where_the_text_was_cut(tokenizer, solutions):
    """Behind a beginning of a solution and a further open line, one step backtrack leaves the beginning."""
    vocab = edit_vocab(tokenizer)
    for solution in solutions:
        steps = split_steps(tokenizer.encode(solution), vocab)
        kept = [token for step in steps[:-1] for token in step]
        left = collapse([*kept, *steps[-1], vocab.step], vocab)
        assert left == kept
        assert solution.startswith(text(tokenizer, left))
