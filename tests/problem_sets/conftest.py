"""Tokenizers that raw traces are written with, and kinds of problem with steps."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from halluc_plugin.problem_sets.steps import Form, Sizes, StepSplit, generate
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.addition.problems import AdditionProblems
from halluc_plugin.tasks.chain.problems import ChainProblems
from halluc_plugin.tasks.dag.problems import DagProblems
from halluc_plugin.tokens import EDIT_TOKENS


def bpe_tokenizer():
    """A byte-level BPE tokenizer that cuts numbers into pieces, with all edit tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    text = ["".join(f"{a}*{b}={a * b}\n{a}+{b}={a + b}\n" for a in range(3, 25)) for b in range(1, 25, 7)]
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    backend.train_from_iterator(text, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.add_tokens(list(EDIT_TOKENS))
    return tokenizer


TOKENIZERS = {"numbers": lambda: number_tokenizer(edit_tokens=EDIT_TOKENS), "bpe": bpe_tokenizer}


@pytest.fixture(scope="session", params=TOKENIZERS)
def tokenizer(request):
    """One token a number, or trained pieces."""
    return TOKENIZERS[request.param]()


TASKS = {
    "addition": AdditionProblems(),
    "addition, base 16, direct": AdditionProblems(base=16, form=Form.DIRECT),
    "addition, base 2": AdditionProblems(base=2, operations="-", sizes=Sizes(3, 9, 11)),
    "chain": ChainProblems(),
    "chain, mod 23, direct": ChainProblems(modulus=23, form=Form.DIRECT),
    "dag": DagProblems(),
}


@pytest.fixture(scope="module", params=TASKS)
def task(request):
    """One kind of problem."""
    return TASKS[request.param]


@pytest.fixture(scope="module")
def problems(task):
    """Some training problems of it."""
    return generate(task, StepSplit.TRAIN, 80)
