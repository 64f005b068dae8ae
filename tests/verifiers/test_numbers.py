"""One way to write a number: any other digit string is a wrong answer to every verifier, never an error."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from halluc_plugin.problem_sets.steps import Form, Sizes
from halluc_plugin.tasks.addition.problems import AdditionProblems
from halluc_plugin.tasks.addition.verifier import AdditionVerifier
from halluc_plugin.tasks.chain.problems import ChainProblems
from halluc_plugin.tasks.chain.verifier import ChainVerifier
from halluc_plugin.tasks.countdown.problems import CountdownSettings, Split, generate
from halluc_plugin.tasks.countdown.published import PublishedVerifier, verify_as_published
from halluc_plugin.tasks.countdown.solver import solutions
from halluc_plugin.tasks.countdown.verifier import CountdownVerifier
from halluc_plugin.tasks.dag.problems import DagProblems
from halluc_plugin.tasks.dag.verifier import DagVerifier
from halluc_plugin.tasks.gsm8k.verifier import Gsm8kVerifier
from halluc_plugin.verifiers import (
    FinalVerifier,
    Outcome,
    PrefixVerifier,
    final_vote,
    prefix_oracle,
    whole_vote,
)
from halluc_plugin.verifiers.numerals import LONGEST, read_number

COUNTDOWN = {"numbers": [3, 5, 7], "target": 22}
CHAIN = {"modulus": 17, "start": 15, "operations": ["-2", "-3"], "form": "steps"}
SUM = {"base": 10, "operation": "+", "a": [5, 0, 7], "b": [2, 4, 6], "form": "steps"}
GRAPH = {"definitions": ["c=a+b", "a=5", "b=7"], "query": "c", "modulus": 23}

RIGHT = {
    "countdown": (CountdownVerifier(), COUNTDOWN, "3*5=15\n15+7=22\n"),
    "chain": (ChainVerifier(), CHAIN, "15-2=13\n13-3=10\n"),
    "chain, direct": (ChainVerifier(), CHAIN | {"form": "direct"}, "13 10\n"),
    "addition": (AdditionVerifier(), SUM, "7+6+0=3,1\n0+4+1=5,0\n5+2+0=7,0\n7 5 3\n"),
    "addition, direct": (AdditionVerifier(), SUM | {"form": "direct"}, "7 5 3\n"),
    "dag": (DagVerifier(), GRAPH, "a=5\nb=7\nc=5+7=12\n"),
    "gsm8k": (Gsm8kVerifier(), "15", "3*5=15\n#### 15"),
}
FOREIGN = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@pytest.mark.parametrize("text", ["0", "7", "10", "22", "9" * LONGEST])
def test_a_canonical_number_is_read(text):
    """Digits without a leading zero, up to a length that Python can read and write."""
    assert read_number(text) == int(text)


@pytest.mark.parametrize(
    "text",
    ["", "00", "03", "+3", "-3", "3.0", "1,234", "1e3", "1_000", " 3", "3\n", "３", "٣", "3²", "³", "Ⅲ", "½",
     "inf", "nan", "0x3", "9" * (LONGEST + 1), "9" * 5000],
)  # fmt: skip
def test_anything_else_is_no_canonical_number(text):
    """Signs, decimals, blanks, other scripts, leading zeros, and numbers beyond the longest one."""
    assert read_number(text) is None


@pytest.mark.parametrize(
    "answer",
    ["03*5=15\n15+7=22\n", "3*05=15\n15+7=22\n", "3*5=015\n15+7=22\n", "3*5=15\n15+7=022\n",
     "3*5=1 5\n15+7=22\n",
     "３*5=15\n15+7=22\n", "3*5=15\n15+7=２２\n", "3*5=15\n15+7=22.0\n", "3*5=15\n15+7=+22\n"],
)  # fmt: skip
def test_countdown_by_hand(answer):
    """Numbers that Python would read as the right ones, written in another way."""
    assert CountdownVerifier().verify(COUNTDOWN, answer) is not Outcome.CORRECT
    assert not CountdownVerifier().prefix_ok(COUNTDOWN, answer)
    for which in PublishedVerifier:  # they judge less: one of them ignores what follows an equation
        if not answer.endswith(".0\n"):
            assert verify_as_published(which, COUNTDOWN, answer) is not Outcome.CORRECT


@pytest.mark.parametrize(
    ("prefix", "ok"),
    [
        ("3 * 5 = 15 ", True),
        ("3*5=1 ", False),
        ("3*5=1", True),
        ("3 ", True),
        ("1 5", False),
        ("3*5=15 \n ", True),
    ],
)
def test_a_blank_ends_a_number(prefix, ok):
    """Behind a blank a number cannot grow any more."""
    assert CountdownVerifier().prefix_ok(COUNTDOWN, prefix) is ok


OTHERWISE = {
    "full width": lambda text: text.translate(FOREIGN),
    "arabic": lambda text: text.translate(ARABIC),
    "raised": lambda text: text.translate(RAISED),
    "leading zero": lambda text: text.replace("5", "05"),
    "huge": lambda text: text.replace("5", "5" * 5000),
    "huge zeros": lambda text: text.replace("5", "0" * 5000 + "5"),
    "decimal": lambda text: text.replace("5", "5.0"),
    "power": lambda text: text.replace("5", "5²"),
    "thousands": lambda text: text.replace("5", "5,005"),
}


# Of "#### 15²" verl's scorer reads 15, and ours for this source is verl's.
@pytest.mark.parametrize(
    ("kind", "way"), [pair for pair in itertools.product(RIGHT, OTHERWISE) if pair != ("gsm8k", "power")]
)
def test_other_ways_to_write_it_are_wrong(kind, way):
    """In the answer, in a vote, in what it comes to, and in the prefix oracle."""
    verifier, problem, right = RIGHT[kind]
    answer = OTHERWISE[way](right if "5" in right else right.replace("10", "5"))
    assert verifier.verify(problem, right) is Outcome.CORRECT
    assert answer != right
    assert verifier.verify(problem, answer) is not Outcome.CORRECT
    assert whole_vote(verifier, problem, answer) != whole_vote(verifier, problem, right)
    if isinstance(verifier, PrefixVerifier):
        assert not verifier.prefix_ok(problem, answer)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [("chain", "it is 010"), ("chain", "it is 10.0"), ("chain", "it is ١٠"), ("chain", "it is 10²"),
     ("chain", "it is 3,010"), ("dag", "c=012"), ("dag", "c=12.5"), ("dag", "c=12²"), ("dag", "c=1２"),
     ("addition", "7 5 03"), ("addition", "7 ５ 3"), ("chain", "1" * 5000), ("dag", "c=" + "1" * 5000)],
)  # fmt: skip
def test_what_an_answer_comes_to_is_the_whole_number(kind, answer):
    """No part of a number that is written in another way is taken for the number."""
    verifier, problem, right = RIGHT[kind]
    assert verifier.verify_final(problem, right) is Outcome.CORRECT
    assert verifier.verify_final(problem, answer) is Outcome.WRONG
    assert final_vote(verifier, problem, answer) != final_vote(verifier, problem, right)


SIGNS = ["*", "**", "+", "-", "/", "=", "a=", "c=", "#### ", ",", ".", "\n", " "]
NUMERALS = ["3", "5", "15", "7", "22", "0", "00", "e", "inf", "nan", "３", "²", "9" * 4301, "1" * 5000]
ODD = st.text(alphabet="0123456789+-*/= \n.,#abc٣３²½", max_size=60) | st.lists(
    st.sampled_from(SIGNS + NUMERALS), max_size=16
).map("".join)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(sorted(RIGHT)), answer=ODD)
def test_no_text_is_an_error(kind, answer):
    """Whatever is asked of any verifier about any text, it answers."""
    verifier, problem, _ = RIGHT[kind]
    assert verifier.verify(problem, answer) in Outcome
    whole_vote(verifier, problem, answer)
    if isinstance(verifier, FinalVerifier):
        final_vote(verifier, problem, answer)
        assert verifier.verify_final(problem, answer) in Outcome
    if isinstance(verifier, PrefixVerifier):
        assert verifier.prefix_ok(problem, answer) in (True, False)
    for which in PublishedVerifier:
        assert verify_as_published(which, COUNTDOWN, answer) in Outcome


def test_numbers_that_grow_by_squares_are_no_error():
    """An answer may square its way to numbers that Python does not write out."""
    numbers = [5**2**k for k in range(13)]
    lines = [f"{a}*{a}={b}" for a, b in itertools.pairwise(numbers)]
    answer = "\n".join(lines)
    assert len(lines[-1].partition("=")[2]) > LONGEST
    for which in PublishedVerifier:
        assert verify_as_published(which, {"numbers": [5, 5], "target": 25}, answer) is Outcome.WRONG
    assert CountdownVerifier().verify({"numbers": [5, 5], "target": 25}, answer) is Outcome.WRONG


def every_problem():
    """Problems of every task with a prefix oracle, each with right answers."""
    for problem in generate(CountdownSettings(numbers=4, seed=5), Split.TRAIN, 12):
        truth = {"numbers": problem.numbers, "target": problem.target}
        for path in itertools.islice(solutions(tuple(sorted(problem.numbers)), problem.target), 3):
            yield CountdownVerifier(), truth, "".join(f"{a}{op}{b}={c}\n" for a, op, b, c in path)
    rng = np.random.default_rng(4)
    for form in Form:
        tasks = [(AdditionVerifier(), AdditionProblems(form=form, base=base)) for base in (2, 10, 60)]
        tasks += [(ChainVerifier(), ChainProblems(form=form, modulus=modulus)) for modulus in (10, 97)]
        for verifier, task in [*tasks, (DagVerifier(), DagProblems(sizes=Sizes(1, 5, 7)))]:
            for size in (1, 3, 5):
                drawn = task.draw(size, rng)
                yield verifier, drawn.truth, "".join(drawn.steps)


def byte_level():
    """Every byte a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


PROBLEMS = tuple(every_problem())
BYTES = byte_level()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_prefix_of_a_right_answer_is_right(data):
    """At every character and every token, with whatever blanks and newlines the verifier lets pass."""
    verifier, truth, right = data.draw(st.sampled_from(PROBLEMS))
    assert verifier.verify(truth, right) is Outcome.CORRECT
    answer = right
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(answer)))
        cut = data.draw(st.integers(0, 1))
        put = data.draw(st.sampled_from(["", " ", "\n", "0", "+", "３"]))
        changed = answer[:at] + put + answer[at + cut :]
        if verifier.verify(truth, changed) is Outcome.CORRECT:
            answer = changed
    for end in range(len(answer) + 1):
        assert verifier.prefix_ok(truth, answer[:end]), answer[:end]
    ids = BYTES.encode(answer)
    ok = prefix_oracle(verifier, truth, BYTES.decode, end_ids=())
    assert all(ok(ids[:end]) for end in range(len(ids) + 1))
