"""Search traces: into dead ends and out of them, to a right answer; what is done where, by which edits."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from halluc_plugin.edits import EditKind, EditState, collapse
from halluc_plugin.errors import EditVocabError, SettingsError
from halluc_plugin.problem_sets.search import NO, SearchVerifier
from halluc_plugin.problem_sets.search_trace_settings import (
    Back,
    Memory,
    Notice,
    Proposal,
    SearchEdit,
    SearchTraceSettings,
    TakenBack,
)
from halluc_plugin.problem_sets.search_traces import SearchTraceWriter
from halluc_plugin.problem_sets.steps import StepSplit, generate
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.word.automaton import Answers
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens import BACKTRACK_TOKEN, EDIT_TOKENS, vocab_of
from halluc_plugin.verifiers import Outcome

TOKENIZER = number_tokenizer(edit_tokens=EDIT_TOKENS)
VOCAB = vocab_of(TOKENIZER)
EOS = TOKENIZER.eos_token_id
WORDS = WordProblems(states=8, letters=3, length=4, starts=3, blanks=2, answers=Answers.ANY)
PLAIN_WORDS = WordProblems(length=3)
VERIFIER = SearchVerifier(WORDS.search, WORDS.sources)
RESTARTS = {"back": Back.RESTART, "edit": SearchEdit.RESTART}
SETTINGS = {
    "at once": SearchTraceSettings(notice=Notice.AT_ONCE),
    "contradiction": SearchTraceSettings(),
    "contradiction, one step at a time": SearchTraceSettings(back=Back.STEP),
    "late, by token": SearchTraceSettings(notice=Notice.LATE, edit=SearchEdit.TOKEN),
    "restart": SearchTraceSettings(**RESTARTS),
    "repeats": SearchTraceSettings(rate=0.8, repeats=0.5),
    "hard, by step": SearchTraceSettings(memory=Memory.NONE, notice=Notice.AT_ONCE, rate=0.6),
    "hard, by restart": SearchTraceSettings(memory=Memory.NONE, **RESTARTS, rate=0.6),
}


def traces_of(settings, problems=WORDS, count=60):
    """Problems, and one trace of each with at least one dead end."""
    writer = SearchTraceWriter(TOKENIZER, VOCAB, problems.search, settings)
    rng = np.random.default_rng(0)
    pairs = ((p, writer.backtracking(p, rng)) for p in generate(problems, StepSplit.TRAIN, count))
    return [(problem, trace) for problem, trace in pairs if trace]


def text_of(ids):
    """The text of live ids, without EOS."""
    return TOKENIZER.decode([token for token in ids if token != EOS])


def visits(problem, trace):
    """The live text behind whole lines, each with the kind of what is done there."""
    state = EditState(VOCAB)
    for token in trace.ids:
        live = text_of(state.live_ids)
        if not live or live.endswith("\n"):
            yield live, "end" if token == EOS else VOCAB.kind(token)
        state.push(token)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_traces_come_to_a_right_answer(settings):
    """Whatever the settings: collapsed, a trace is a right answer and EOS, and something was taken back."""
    made = traces_of(settings)
    assert len(made) > 40
    for problem, trace in made:
        live = collapse(trace.ids, VOCAB)
        assert live[-1] == EOS
        assert VERIFIER.verify(problem.truth, text_of(live)) is Outcome.CORRECT
        assert trace.kinds


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_edits_stand_behind_dead_ends_alone(settings):
    """The first edit of each event stands where the goal is out of reach, and after the last it is not."""
    for problem, trace in traces_of(settings):
        state, taking_back = EditState(VOCAB), False
        for token in trace.ids:
            edits = VOCAB.kind(token) is not EditKind.TEXT
            ok = VERIFIER.prefix_ok(problem.truth, text_of(state.live_ids))
            if edits and not taking_back:
                assert not ok
            if taking_back and not edits and settings.back is not Back.STEP:
                assert ok
            taking_back = edits
            state.push(token)


def test_the_kinds_of_edit():
    """By token there is one backtrack a token, by step one step backtrack a line, else one restart."""
    kinds = {}
    for name in ("late, by token", "contradiction", "restart"):
        settings = SETTINGS[name]
        kinds[name] = {VOCAB.kind(t) for _, trace in traces_of(settings) for t in trace.ids} - {EditKind.TEXT}
    assert kinds == {
        "late, by token": {EditKind.BACKTRACK},
        "contradiction": {EditKind.STEP},
        "restart": {EditKind.RESTART},
    }


def dead_lines(problem, text):
    """Lines of a text behind the last state from which a right answer is reached."""
    lines = text.splitlines(keepends=True)
    alive = max(n for n in range(len(lines) + 1) if VERIFIER.prefix_ok(problem.truth, "".join(lines[:n])))
    return len(lines) - alive


@pytest.mark.parametrize(
    ("notice", "noticed"),
    [(Notice.AT_ONCE, {1}), (Notice.LATE, {1, 2}), (Notice.CONTRADICTION, {1, 2, 3})],
)
def test_the_point_of_notice(notice, noticed):
    """At once is behind the first dead line; late is a line later, unless it is the last; or at the end."""
    settings = SearchTraceSettings(notice=notice, back=Back.CHOICE)
    found = Counter()
    for problem, trace in traces_of(settings, count=200):
        state, before = EditState(VOCAB), EditKind.TEXT
        for token in trace.ids:
            if VOCAB.kind(token) is not EditKind.TEXT and before is EditKind.TEXT:
                text = text_of(state.live_ids)
                found[dead_lines(problem, text)] += 1
                assert notice is not Notice.CONTRADICTION or text.count("\n") == 3
                assert notice is not Notice.LATE or dead_lines(problem, text) == 2 or text.count("\n") == 3
            before = VOCAB.kind(token)
            state.push(token)
    assert set(found) == noticed


def test_how_far_back():
    """A step leaves one line less, a choice what was alive, a restart nothing."""
    left = defaultdict(set)
    for name in ("contradiction, one step at a time", "contradiction", "restart"):
        for problem, trace in traces_of(SETTINGS[name]):
            state, before = EditState(VOCAB), ""
            for token in trace.ids:
                text = text_of(state.live_ids)
                if VOCAB.kind(token) is EditKind.TEXT and before:
                    left[name].add((text == "", VERIFIER.prefix_ok(problem.truth, text)))
                before = text if VOCAB.kind(token) is not EditKind.TEXT else ""
                state.push(token)
    assert left["restart"] == {(True, True)}
    assert left["contradiction"] == {(True, True), (False, True)}
    assert (False, False) in left["contradiction, one step at a time"]  # goes on where nothing shows it yet


def test_what_was_tried_is_not_tried_again_unless_it_is_to_be():
    """With a memory no dead end is met twice; with a share of repeats some are, and are counted as such."""
    for name, kinds in (("contradiction", {TakenBack.NEW}), ("repeats", {TakenBack.NEW, TakenBack.REPEATED})):
        made = traces_of(SETTINGS[name], PLAIN_WORDS)
        assert {kind for _, trace in made for kind in trace.kinds} == kinds
        for _, trace in made:
            lines = [line for line in text_of(t for t in trace.ids if t != VOCAB.step).split("\n") if line]
            repeated = len(lines) - len(set(lines))
            assert repeated == Counter(trace.kinds)[TakenBack.REPEATED]


@pytest.mark.parametrize("name", ["hard, by step", "hard, by restart"])
def test_without_memory_a_state_decides_what_is_done_in_it(name):
    """In traces for hard context, whether is taken back, gone on or ended depends on the live text alone."""
    settings = SETTINGS[name]
    writer = SearchTraceWriter(TOKENIZER, VOCAB, WORDS.search, settings)
    rng = np.random.default_rng(1)
    for problem in generate(WORDS, StepSplit.TRAIN, 20):
        done = defaultdict(set)
        for _ in range(30):
            for live, kind in visits(problem, writer.single(problem, rng)):
                done[live].add(kind)
        assert all(len(kinds) == 1 for kinds in done.values())


def test_the_rate_of_dead_ends():
    """As many first choices are wrong as the rate says; uniform ones of four, three of four."""
    by_rate = SearchTraceSettings(rate=0.4)
    for settings, expected in ((SearchTraceSettings(proposal=Proposal.UNIFORM), 0.75), (by_rate, 0.4)):
        writer = SearchTraceWriter(TOKENIZER, VOCAB, PLAIN_WORDS.search, settings)
        rng = np.random.default_rng(2)
        traces = [writer.single(p, rng) for p in generate(PLAIN_WORDS, StepSplit.TRAIN, 1000)]
        assert np.mean([bool(trace.kinds) for trace in traces]) == pytest.approx(expected, abs=0.05)


def test_clean_traces_are_the_reference_answer():
    """A clean trace is the reference answer and EOS."""
    writer = SearchTraceWriter(TOKENIZER, VOCAB, WORDS.search, SearchTraceSettings())
    problem = generate(WORDS, StepSplit.TRAIN, 1)[0]
    ids = writer.clean(problem)
    assert (text_of(ids), ids[-1]) == (problem.answer, EOS)


def test_no_more_is_taken_back_than_is_wanted():
    """With tries=1 every trace takes back once."""
    made = traces_of(SearchTraceSettings(tries=1), PLAIN_WORDS)
    assert {len(trace.kinds) for _, trace in made} == {1}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rate": 1.0}, "rate of steps into dead ends is 1.0"),
        ({"repeats": 1.0}, "share of repeats is 1.0"),
        ({"tries": 0}, "tries is 0"),
        ({"late": 0, "notice": Notice.LATE}, "late is 0"),
        ({"back": Back.RESTART}, "back=restart and edit=restart"),
        ({"edit": SearchEdit.RESTART}, "back=restart and edit=restart"),
        ({"edit": SearchEdit.WORDS, "back": Back.RESTART}, "back=restart and edit=restart"),
        ({"memory": Memory.NONE, "notice": Notice.AT_ONCE, "repeats": 0.1}, "nothing is remembered"),
        ({"memory": Memory.NONE, "notice": Notice.AT_ONCE, "edit": SearchEdit.TOKEN}, "beginnings of lines"),
        ({"memory": Memory.NONE}, "must not depend on the way"),
        ({"missed": 1.0}, "missed is 1.0"),
        ({"false_alarms": -0.1}, "false_alarms is -0.1"),
        ({"memory": Memory.NONE, "notice": Notice.AT_ONCE, "missed": 0.1}, "Give back=step"),
    ],
)
def test_settings_that_do_not_go_together(values, said):
    """What cannot be written, or would teach hard context what it cannot do, is refused."""
    with pytest.raises(SettingsError, match=said):
        SearchTraceSettings(**values)


WORDED = {
    "one line": (PLAIN_WORDS, SearchTraceSettings(edit=SearchEdit.WORDS)),
    "several lines": (WORDS, SearchTraceSettings(edit=SearchEdit.WORDS)),
    "without a memory": (WORDS, SearchTraceSettings(edit=SearchEdit.WORDS, memory=Memory.NONE)),
}


@pytest.mark.parametrize(("problems", "settings"), WORDED.values(), ids=WORDED.keys())
def test_a_search_in_words_keeps_all_that_it_tried(problems, settings):
    """It has no edit, is right by its last try, and marks the ids of all lines that it takes back."""
    verifier = SearchVerifier(problems.search, problems.sources)
    made = traces_of(settings, problems)
    assert len(made) > 40
    for problem, trace in made:
        assert VOCAB.edit_ids.isdisjoint(trace.ids)
        text = text_of(trace.ids)
        assert verifier.verify(problem.truth, text) is Outcome.CORRECT
        lines = text.splitlines()
        assert lines.count(NO) >= len(trace.kinds) >= 1
        kept = text_of([token for token, gone in zip(trace.ids, trace.erased, strict=True) if not gone])
        left = [*verifier.canonical(text).splitlines(), *[NO] * lines.count(NO)]
        assert sorted(kept.splitlines()) == sorted(left)


def test_words_write_what_step_backtracks_write():
    """One seed makes the same walk in words and by steps: a line of words for each step backtrack."""
    for worded, stepped in zip(
        traces_of(SearchTraceSettings(edit=SearchEdit.WORDS)), traces_of(SearchTraceSettings()), strict=True
    ):
        step = TOKENIZER.decode([VOCAB.step])
        assert text_of(worded[1].ids) == text_of(stepped[1].ids).replace(step, f"{NO}\n")


def test_a_tokenizer_without_the_token():
    """Edits that the tokenizer has no token for are refused before anything is written."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    with pytest.raises(EditVocabError, match="No token for STEP"):
        SearchTraceWriter(tokenizer, vocab_of(tokenizer), WORDS.search, SearchTraceSettings())


def judged_lines(missed, false_alarms, count=3000):
    """How often each thing was done behind a line of a word: by whether it is live, and by what was done."""
    settings = SearchTraceSettings(
        memory=Memory.NONE, notice=Notice.AT_ONCE, back=Back.STEP, tries=40,
        missed=missed, false_alarms=false_alarms,
    )  # fmt: skip
    writer = SearchTraceWriter(TOKENIZER, VOCAB, PLAIN_WORDS.search, settings)
    verifier, rng = SearchVerifier(PLAIN_WORDS.search, PLAIN_WORDS.sources), np.random.default_rng(0)
    found = Counter()
    for problem in generate(PLAIN_WORDS, StepSplit.TRAIN, count):
        for live, what in visits(problem, writer.single(problem, rng)):
            if live:
                found[verifier.prefix_ok(problem.truth, live), what] += 1
    return found


def test_a_judge_errs_as_often_as_asked():
    """Of dead lines 0.2 end the answer and of live ones 0.1 are taken back, as the settings say."""
    found = judged_lines(0.2, 0.1)
    dead = found[False, "end"] + found[False, EditKind.STEP]
    live = found[True, "end"] + found[True, EditKind.STEP]
    assert found[False, "end"] / dead == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / dead) ** 0.5)
    assert found[True, EditKind.STEP] / live == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / live) ** 0.5)


def test_what_a_judge_takes_back_by_error_is_named():
    """Each edit behind a live line is of kind ``live``, each behind a dead one of another; both occur."""
    settings = SearchTraceSettings(memory=Memory.NONE, notice=Notice.AT_ONCE, false_alarms=0.3)
    verifier = SearchVerifier(PLAIN_WORDS.search, PLAIN_WORDS.sources)
    kinds = Counter()
    for problem, trace in traces_of(settings, PLAIN_WORDS):
        edits = [live for live, what in visits(problem, trace) if what is EditKind.STEP]
        assert [verifier.prefix_ok(problem.truth, live) for live in edits] == [
            kind is TakenBack.LIVE for kind in trace.kinds
        ]
        kinds.update(trace.kinds)
    assert set(kinds) == {TakenBack.NEW, TakenBack.LIVE}


def test_a_right_line_that_was_taken_back_by_error_is_found_again():
    """With a memory and no repeats, a trace whose right line was tried comes to an end all the same."""
    settings = SearchTraceSettings(notice=Notice.AT_ONCE, false_alarms=0.5, tries=30)
    made = traces_of(settings, PLAIN_WORDS)
    again = [trace for _, trace in made if TakenBack.REPEATED in trace.kinds]
    assert again
    verifier = SearchVerifier(PLAIN_WORDS.search, PLAIN_WORDS.sources)
    for problem, trace in made:
        assert verifier.verify(problem.truth, text_of(collapse(trace.ids, VOCAB))) is Outcome.CORRECT
