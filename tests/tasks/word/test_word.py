"""The word problem: what is drawn, and its judge, against answers worked out by hand and by brute force."""

import itertools

import pytest

from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.problem_sets.search import SearchVerifier
from halluc_plugin.problem_sets.steps import StepSplit, generate
from halluc_plugin.tasks.word.automaton import Answers, Check, WordSearch, puzzle_of
from halluc_plugin.tasks.word.problems import Form, WordProblems
from halluc_plugin.verifiers import Outcome

VERIFIER = SearchVerifier(WordSearch(), WordProblems.sources)

# a: A→B→C→A; b: A↔B, C stays.
BY_HAND = {
    "word": "ab", "starts": "AC", "goal": "A", "maps": ["BCA", "BAC"], "check": "written", "answers": "one",
}  # fmt: skip
SMALL = WordProblems(states=6, letters=2, length=5, starts=3, blanks=2, answers=Answers.ANY)
OPTIONS = {
    "blanks": SMALL,
    "maps": WordProblems(
        states=6, letters=2, length=5, starts=3, blanks=2, form_of_maps=Form.MAP, answers=Answers.ANY
    ),
    "unchecked": WordProblems(states=9, letters=2, length=4, starts=3, blanks=1, check=Check.LEFT_OUT),
    "no blanks": WordProblems(states=9, letters=2, length=4, starts=4),
    "all blank": WordProblems(states=6, letters=2, length=3, starts=2, blanks=3, answers=Answers.ANY),
}


def answers_by_hand(truth):
    """Every way to choose a start and the blanks, with the answer it gives and whether that is right."""
    letters = "ab"[: len(truth["maps"])]
    blanks = truth["word"].count("?")
    for start, *chosen in itertools.product(truth["starts"], *[letters] * blanks):
        state, text, filling = start, start, iter(chosen)
        for sign in truth["word"]:
            letter = next(filling) if sign == "?" else sign
            state = truth["maps"]["ab".index(letter)]["ABCDEFGHIJ".index(state)]
            text += (f"\n{letter}" if sign == "?" else "") + state
        yield text + (truth["goal"] if truth["check"] == "written" else "") + "\n", state == truth["goal"]


def test_an_answer_by_hand():
    """The path of the right start, with the goal behind it, is right; that of another is wrong."""
    assert VERIFIER.verify(BY_HAND, "ABAA\n") is Outcome.CORRECT
    assert VERIFIER.verify(BY_HAND, "CABA\n") is Outcome.WRONG
    assert VERIFIER.verify(BY_HAND | {"goal": "B"}, "CABB\n") is Outcome.CORRECT


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_the_judge_agrees_with_brute_force(options):
    """Of all answers that rules allow, those are right that end in the goal; one at least, or exactly one."""
    for problem in generate(options, StepSplit.TRAIN, 20):
        all_answers = list(answers_by_hand(problem.truth))
        for answer, right in all_answers:
            assert (VERIFIER.verify(problem.truth, answer) is Outcome.CORRECT) is right
        right = [answer for answer, is_right in all_answers if is_right]
        assert problem.answer in right
        assert len(right) == puzzle_of(problem.truth).solutions
        assert options.answers is Answers.ANY or len(right) == 1


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_prefixes_are_right_where_a_right_answer_begins_so(options):
    """Cut anywhere, the beginning of an answer is right exactly if a right answer begins with it."""
    for problem in generate(options, StepSplit.TEST, 5):
        all_answers = list(answers_by_hand(problem.truth))
        right = [answer for answer, is_right in all_answers if is_right]
        for answer, _ in all_answers:
            for end in range(len(answer) + 1):
                expected = any(other.startswith(answer[:end]) for other in right)
                assert VERIFIER.prefix_ok(problem.truth, answer[:end]) is expected


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("", Outcome.NO_ANSWER),
        ("A+B", Outcome.NO_ANSWER),
        ("ABA", Outcome.WRONG),  # without the goal behind it
        ("CABC", Outcome.WRONG),  # that is not where the word leads
        ("CABB\nB", Outcome.WRONG),  # goes on behind the end
        ("\nCABB", Outcome.NO_ANSWER),
        ("CABB  \n\n", Outcome.CORRECT),
    ],
)
def test_other_texts(answer, outcome):
    """Foreign signs are no answer; paths that the word does not take are wrong; blanks behind are nothing."""
    assert VERIFIER.verify(BY_HAND | {"goal": "B"}, answer) is outcome


def test_new_words_never_occur_in_training():
    """Words of test_new are in no other split, and no problem is in two."""
    problems = WordProblems(length=5)
    drawn = {split: generate(problems, split, 300) for split in problems.splits}
    words = {split: {problem.truth["word"] for problem in some} for split, some in drawn.items()}
    assert not words[StepSplit.TEST_NEW] & (words[StepSplit.TRAIN] | words[StepSplit.TEST])
    prompts = [problem.prompt for some in drawn.values() for problem in some]
    assert len(set(prompts)) == len(prompts) == 900


def test_letters_do_the_same_in_all_problems_of_a_seed():
    """The maps are drawn once, permutations where they are to be, and another seed draws others."""
    problems = generate(WordProblems(), StepSplit.TRAIN, 20)
    (maps,) = {tuple(problem.truth["maps"]) for problem in problems}
    assert all(len(set(images)) == 30 for images in maps)
    assert WordProblems(seed=1).maps != maps
    assert all(len(set(images)) < 30 for images in WordProblems(form_of_maps=Form.MAP).maps)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"blanks": 11}, "11 blanks in words of 10 letters"),
        ({"starts": 1}, "1 starts of 30 states"),
        ({"states": 3}, "4 starts of 3 states"),
        ({"states": 50}, "3 letters on 50 states"),
        ({"length": 0}, "length of words is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_options_out_of_range(values, said):
    """What cannot be drawn is refused by name."""
    with pytest.raises(SettingsError, match=said):
        WordProblems(**values)


def test_more_problems_than_there_are():
    """Where distinct problems run out, that is said instead of searched for ever."""
    few = WordProblems(states=2, letters=1, length=1, starts=2)
    with pytest.raises(SettingsError, match="distinct train problems of 100 wanted"):
        generate(few, StepSplit.TRAIN, 100)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"maps": ["AAC", "BAC"], "starts": "A", "goal": "C"}, "has no answer"),
        ({"word": "a?"}, "2 answers, and one is promised"),
        ({"maps": ["AAA", "BAC"]}, "leads from all states to one"),
        ({"maps": ["BCA", "BA"]}, "maps of"),
        ({"starts": "AA"}, "a start twice"),
        ({"word": "az"}, "is no word problem on the states ABC"),
        ({"goal": "D"}, "is no word problem on the states ABC"),
    ],
)
def test_truths_that_are_no_problem(values, said):
    """A row without solution, with two where one is promised, or with impossible maps says so."""
    with pytest.raises(DataError, match=said):
        VERIFIER.verify(BY_HAND | {"goal": "B"} | values, "A")
