"""Addition, chains and DAG arithmetic: problems, verifiers, errors; against independent oracles."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halluc_plugin.errors import SettingsError
from halluc_plugin.problem_sets.steps import Form, Sizes, StepSplit, generate
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks import find_verifier
from halluc_plugin.tasks.addition.problems import AdditionError, AdditionProblems
from halluc_plugin.tasks.chain.problems import ChainError, ChainProblems
from halluc_plugin.tasks.dag.problems import DagError, DagProblems
from halluc_plugin.verifiers import FinalVerifier, Outcome, PrefixVerifier, prefix_oracle


def verifier_of(task):
    """The judge that rows of the task name."""
    return find_verifier(task.sources[0])


def by_hand(problem):
    """Independent oracle: what the prompt asks for, worked out from its text by other means."""
    prompt = problem.prompt.strip()
    if ":" in prompt:
        base, sum_ = prompt.split(":")
        numbers = re.sub(r"\d+( \d+)*", lambda m: str(value(m[0], int(base))), sum_)
        return eval(numbers)  # one addition or subtraction of integers
    asked, modulus = prompt.split(" mod ")
    if "?" in asked:
        definitions, query = asked.split("?")
        pairs = dict(definition.split("=") for definition in definitions.split(","))
        while query != (filled := re.sub("[a-z]", lambda m: f"({pairs[m[0]]})", query)):
            query = filled
        return eval(query) % int(modulus)
    start, *operations = asked.split()
    return eval("(" * len(operations) + start + "".join(f"{o})" for o in operations)) % int(modulus)


def value(digits, base):
    """A number written as blank-separated digits."""
    number = 0
    for digit in digits.split():
        assert int(digit) < base
        number = number * base + int(digit)
    return number


def outcome_of(task, problem, answer):
    """What the answer comes to, as a number."""
    final = verifier_of(task).final_answer(answer)
    return value(final, task.base) if isinstance(task, AdditionProblems) else int(final)


class TestProblems:
    """Drawing problems and their reference answers."""

    def test_reference_answers_are_right(self, task, problems):
        """Every reference comes to what the prompt asks for, and its verifier accepts it."""
        verifier = verifier_of(task)
        for problem in problems:
            assert outcome_of(task, problem, problem.answer) == by_hand(problem)
            assert verifier.verify(problem.truth, problem.answer) is Outcome.CORRECT
            assert verifier.verify_final(problem.truth, problem.answer) is Outcome.CORRECT

    def test_every_line_of_shown_steps_holds(self, task, problems):
        """Equations in an answer with its steps are true, carries and moduli considered."""
        for line in (line for p in problems for line in p.answer.splitlines() if "=" in line):
            left, *middle, right = line.split("=")
            if "," in right:
                digit, carry = map(int, right.split(","))
                sign = -1 if "-" in left else 1
                assert eval(left) == digit + sign * carry * task.base
            elif middle or not left.isalpha():
                assert (eval(middle[0] if middle else left) - int(right)) % task.modulus == 0

    def test_sizes_are_as_asked(self, task):
        """Training and test problems have all sizes of the range, long ones all above it."""
        sizes = task.sizes
        for split, low, high in [
            (StepSplit.TEST, sizes.smallest, sizes.largest),
            (StepSplit.TEST_LONG, sizes.largest + 1, sizes.longest),
        ]:
            found = {size_of(problem) for problem in generate(task, split, 80)}
            assert found <= set(range(low, high + 1))
            assert {low, high} <= found or split is StepSplit.TEST

    def test_splits_share_nothing_and_the_seed_decides(self, task):
        """No problem is in two splits; the same seed draws the same problems, more extend fewer."""
        drawn = {split: generate(task, split, 120) for split in task.splits}
        prompts = {split: {problem.prompt for problem in found} for split, found in drawn.items()}
        assert all(len(found) == 120 for found in prompts.values())
        for a, b in itertools.combinations(task.splits, 2):
            assert not prompts[a] & prompts[b]
        assert generate(task, StepSplit.TRAIN, 50) == drawn[StepSplit.TRAIN][:50]
        other = type(task)(seed=1)
        assert generate(other, StepSplit.TRAIN, 50) != generate(type(task)(), StepSplit.TRAIN, 50)

    def test_all_operations_of_a_graph_are_needed(self):
        """A graph of size n takes exactly n operations, and looks up no number it does not need."""
        task = DagProblems()
        for size in (2, 8, 12):
            for seed in range(20):
                problem = task.draw(size, np.random.default_rng(seed))
                assert sum(line.count("=") == 2 for line in problem.steps) == size
                asked = problem.prompt.count("=")
                assert size + 1 < asked == size + 4

    def test_bad_settings_are_refused(self):
        """Values out of range are named, and so are problems that do not exist."""
        for build, message in [
            (lambda: Sizes(3, 2, 4), "Sizes from 3 to 2"),
            (lambda: Sizes(1, 4, 4), "long ones to 4"),
            (lambda: AdditionProblems(base=1), "base is 1"),
            (lambda: AdditionProblems(operations="*"), "Operations '\\*'"),
            (lambda: ChainProblems(modulus=1000), "modulus is 1000"),
            (lambda: ChainProblems(operations=""), "Operations ''"),
            (lambda: ChainProblems(seed=-1), "seed is -1"),
            (lambda: DagProblems(sizes=Sizes(2, 8, 25)), "more variables than there are letters"),
        ]:
            with pytest.raises(SettingsError, match=message):
                build()
        with pytest.raises(SettingsError, match=r"addition: .* distinct train problems of 500 wanted.*`rng`"):
            generate(AdditionProblems(base=2, sizes=Sizes(1, 1, 2)), StepSplit.TRAIN, 500)


def size_of(problem):
    """Digits, or operations."""
    if "a" in problem.truth:
        return len(problem.truth["a"])
    if "operations" in problem.truth:
        return len(problem.truth["operations"])
    return len(problem.truth["definitions"]) - 4


GRAPH = {"definitions": ["c=a+b", "a=5", "e=c*b", "d=2", "b=7"], "query": "e", "modulus": 23}
SUM = {"base": 10, "operation": "+", "a": [5, 0, 7], "b": [2, 4, 6], "form": "steps"}
CHAIN = {"modulus": 10, "start": 3, "operations": ["+4", "*7", "-2"], "form": "steps"}
SUM_ANSWER, CHAIN_ANSWER = "7+6+0=3,1\n0+4+1=5,0\n5+2+0=7,0\n7 5 3\n", "3+4=7\n7*7=9\n9-2=7\n"
GRAPH_ANSWER = "a=5\nb=7\nc=5+7=12\ne=12*7=15\n"


class TestVerifiers:
    """Judging answers and prefixes."""

    @pytest.mark.parametrize(
        ("source", "problem", "answer", "whole", "final"),
        [
            ("addition", SUM, SUM_ANSWER, "correct", "correct"),
            ("addition", SUM, "7 5 3", "wrong", "correct"),  # the steps were asked for
            ("addition", SUM, SUM_ANSWER.replace("=5,0", "=5,1"), "wrong", "correct"),
            ("addition", SUM, SUM_ANSWER.replace("7 5 3", "7 4 3"), "wrong", "wrong"),
            ("addition", SUM, "7+6+0=3,1\n", "no_answer", "no_answer"),
            ("addition", SUM | {"form": "direct"}, "7 5 3", "correct", "correct"),
            ("addition", SUM | {"form": "direct"}, "0 7 5 3", "wrong", "wrong"),
            ("chain", CHAIN, CHAIN_ANSWER, "correct", "correct"),
            ("chain", CHAIN, "3+4=7\n7*7=8\n8-2=7", "wrong", "correct"),
            ("chain", CHAIN, "So it is 7.", "wrong", "correct"),
            ("chain", CHAIN, "", "no_answer", "no_answer"),
            ("chain", CHAIN | {"form": "direct"}, "7 9 7\n", "correct", "correct"),
            ("dag", GRAPH, GRAPH_ANSWER, "correct", "correct"),
            ("dag", GRAPH, "d=2\nb=7\na=5\nc=5+7=12\ne=12*7=15", "correct", "correct"),
            ("dag", GRAPH, "a=5\nc=5+7=12\nb=7\ne=12*7=15\n", "wrong", "correct"),  # b is used before
            ("dag", GRAPH, GRAPH_ANSWER + "d=2\n", "wrong", "wrong"),  # it does not stop
            ("dag", GRAPH, "e=15", "wrong", "correct"),
            ("dag", GRAPH, "fifteen", "no_answer", "no_answer"),
        ],
    )
    def test_verdicts(self, source, problem, answer, whole, final):
        """Every line must hold and the end be reached; the final judge looks at the end alone."""
        verifier = find_verifier(f"halluc/{source}")
        assert verifier is find_verifier(f"halluc/{source}-long")
        assert isinstance(verifier, PrefixVerifier)
        assert isinstance(verifier, FinalVerifier)
        assert (verifier.verify(problem, answer), verifier.verify_final(problem, answer)) == (whole, final)

    @given(st.data())
    def test_prefixes_of_a_graph(self, data):
        """A prefix is right if some right answer begins with it: all orders, enumerated independently."""
        answers = all_answers()
        assert len(answers) == 10  # a, b, c, e in 2 orders, with d nowhere or in 4 places
        text = data.draw(st.sampled_from(answers))
        text = text[: data.draw(st.integers(0, len(text)))]
        if data.draw(st.booleans()):
            text += data.draw(st.text("abcde=5712+*\n", max_size=3))
        verifier = find_verifier("halluc/dag")
        begins = any(answer.startswith(text) or answer.rstrip() == text.rstrip() for answer in answers)
        assert verifier.prefix_ok(GRAPH, text) is begins
        assert (verifier.verify(GRAPH, text) is Outcome.CORRECT) is (f"{text.rstrip()}\n" in answers)

    @pytest.mark.parametrize(
        ("source", "problem", "answer"), [("addition", SUM, SUM_ANSWER), ("chain", CHAIN, CHAIN_ANSWER)]
    )
    def test_prefixes_of_the_only_answer(self, source, problem, answer):
        """Where there is one right answer, its beginnings are right and nothing else is."""
        verifier = find_verifier(f"halluc/{source}")
        for end in range(len(answer)):
            assert verifier.prefix_ok(problem, answer[:end])
            assert not verifier.prefix_ok(problem, answer[:end] + "x")
        assert verifier.prefix_ok(problem, answer)
        assert verifier.prefix_ok(problem, answer + "\n")
        assert not verifier.prefix_ok(problem, answer + "1")

    def test_an_oracle_of_ids_minds_the_end(self):
        """By ids a prefix is judged as text; after an end-of-sequence token it must be the whole answer."""
        tokenizer = number_tokenizer()
        oracle = prefix_oracle(
            find_verifier("halluc/chain"), CHAIN, tokenizer.decode, {tokenizer.eos_token_id}
        )
        ids = [*tokenizer.encode(CHAIN_ANSWER), tokenizer.eos_token_id]
        assert [oracle(ids[:end]) for end in range(len(ids) + 1)] == [True] * (len(ids) + 1)
        assert not oracle([*ids[:6], tokenizer.eos_token_id])  # one step of three
        assert not oracle([*ids[:3], ids[0]])


def all_answers():
    """Every right answer to GRAPH, in all orders of its lines, with and without the line nobody needs."""
    lines = {"a": "a=5\n", "b": "b=7\n", "c": "c=5+7=12\n", "d": "d=2\n", "e": "e=12*7=15\n"}
    needs = {"a": "", "b": "", "c": "ab", "d": "", "e": "cb"}
    found = []
    for names in ("abce", "abcde"):
        for order in itertools.permutations(names):
            in_order = all(set(needs[name]) <= set(order[:at]) for at, name in enumerate(order))
            if in_order and order[-1] == "e":
                found.append("".join(lines[name] for name in order))
    return found


class TestErrors:
    """Plausible errors."""

    def drawn(self, task, kind, problem, step):
        """Errors of one kind in place of a step, as a set."""
        seeds = range(200)
        return {task.wrong(kind, problem, step, np.random.default_rng(seed)) for seed in seeds}

    def test_of_addition(self):
        """By hand for 507 + 246: digits, the carry and the neighbour's digits; the result has digits only."""
        task = AdditionProblems()
        problem = of(task, SUM)
        digits = {f"0+4+1={digit},0\n" for digit in "012346789"}
        assert self.drawn(task, AdditionError.DIGIT, problem, 1) == digits
        assert self.drawn(task, AdditionError.CARRY, problem, 1) == {"0+4+1=5,1\n"}
        neighbours = {"7+4+1=2,1\n", "5+4+1=0,1\n", "0+6+1=7,0\n", "0+2+1=3,0\n"}
        assert self.drawn(task, AdditionError.OPERAND, problem, 1) == neighbours
        wrong = self.drawn(task, AdditionError.DIGIT, problem, 3)
        assert all(sum(a != b for a, b in zip(text, "7 5 3\n", strict=True)) == 1 for text in wrong)
        assert self.drawn(task, AdditionError.CARRY, problem, 3) == {None}

    def test_of_direct_addition(self):
        """A forgotten carry is one less, an invented one one more; a leading carry has no operands."""
        task = AdditionProblems(form=Form.DIRECT)
        problem = of(task, SUM | {"form": "direct"})
        assert self.drawn(task, AdditionError.CARRY, problem, 1) == {"4 "}
        assert self.drawn(task, AdditionError.CARRY, problem, 2) == {"4\n"}
        assert self.drawn(task, AdditionError.OPERAND, problem, 2) == {"6\n", "1\n"}  # 0+6 and 7+4
        carried = of(task, {**SUM, "form": "direct", "a": [7], "b": [6]})
        assert self.drawn(task, AdditionError.OPERAND, carried, 0) == {None}
        assert self.drawn(task, AdditionError.DIGIT, carried, 0) == {f"{d} " for d in "023456789"}

    def test_of_chains(self):
        """Another result, or the operation of the step before or after."""
        task = ChainProblems()
        problem = of(task, CHAIN)
        assert self.drawn(task, ChainError.RESULT, problem, 1) == {f"7*7={r}\n" for r in "012345678"}
        assert self.drawn(task, ChainError.OPERATION, problem, 1) == {"7+4=1\n", "7-2=5\n"}
        assert self.drawn(task, ChainError.OPERATION, of(task, CHAIN | {"operations": ["+4"]}), 0) == {None}

    def test_of_graphs(self):
        """A variable that is not ready, another result, the value of another variable."""
        task = DagProblems()
        problem = of(task, GRAPH)
        assert self.drawn(task, DagError.UNREADY, problem, 1) == {"c", "e"}
        assert self.drawn(task, DagError.UNREADY, problem, 3) == {None}
        results = {f"c=5+7={r}\n" for r in range(23) if r != 12}
        assert self.drawn(task, DagError.RESULT, problem, 2) == results
        assert self.drawn(task, DagError.OPERAND, problem, 2) == {None, "c=7+7=14\n", "c=5+5=10\n"}
        assert self.drawn(task, DagError.OPERAND, problem, 0) == {None}


def of(task, truth):
    """A problem with a ground truth by hand."""
    from halluc_plugin.problem_sets.steps import Problem
    from halluc_plugin.tasks.addition import problems as addition
    from halluc_plugin.tasks.chain import problems as chain
    from halluc_plugin.tasks.dag.graph import Graph

    if isinstance(task, DagProblems):
        return Problem("", truth, Graph(truth).reference_steps())
    module = addition if isinstance(task, AdditionProblems) else chain
    return Problem("", truth, module.reference_steps(truth))
