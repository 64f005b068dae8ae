"""The page in a browser: every source opens, and what is listed is what the records say."""

import json
import random

import pytest

from halluc_plugin.data.trace_files import TraceRow, write_traces
from halluc_plugin.edits import EditVocab, trace_record
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tokens import BACKTRACK_TOKEN
from halluc_plugin.trace_log import TraceLog
from halluc_plugin.verifiers import Outcome
from halluc_plugin.viewer.answers import Flip, Kind, Source
from halluc_plugin.viewer.page import write_page
from halluc_plugin.viewer.sources import read_sources

ROWS = "[...document.querySelectorAll('.rows .row')]"


@pytest.fixture(scope="module")
def answers(made):
    """300 answers of random ids over 6 steps; a third has no edit."""
    draw = random.Random(0)
    found = []
    for number in range(300):
        ids = draw.choices([0, 1, 2, 3, 5, 6], k=draw.randrange(3, 12))
        if number % 3:
            ids.insert(draw.randrange(1, len(ids)), 4)
        found.append(
            made(
                f"a{number}",
                ids,
                right=draw.choice([True, False, None]),
                first=draw.random() < 0.4,
                prompt=f"{number % 40} 8\n",
                step=number % 6,
                reward=draw.randrange(-9, 9) / 4,
                data_source=f"set {number % 2}",
            )
        )
    return found


@pytest.fixture(scope="module")
def page(answers, tmp_path_factory):
    """A page of them."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page([Source("made", Kind.RUN, path, answers)], path)
    return path


def total(browser):
    """How many answers are listed, as the page says."""
    return int(browser.text(".total").split()[0].replace(",", ""))


def filtered(browser, address):
    """Go to a filter; how many it lists once it is drawn."""
    browser.go("")
    browser.until(f"!document.querySelector('.clear') && {ROWS}.length")
    browser.go(address)
    browser.until("document.querySelector('.clear')")
    return total(browser)


def write_lm_eval(path, text, tokens=None):
    """A file of lm-eval's samples with one line, with a trace or without."""
    record = trace_record([0, 4, 5], EditVocab(backtrack=4))
    trace = {
        "raw": "3<|BACKTRACK|>5", "resolved": "5", "record": record, "tokens": tokens, "correct": True,
        "raw_correct": False,
    }  # fmt: skip
    line = {
        "doc_id": 0, "doc": {}, "filter": "trace" if tokens else "none", "metrics": ["exact_match"],
        "exact_match": 1.0, "arguments": {"gen_args_0": {"arg_0": "3 8"}}, "resps": [[text]],
        "filtered_resps": [json.dumps(trace)],
    }  # fmt: skip
    path.write_text(json.dumps(line) + "\n")


@pytest.mark.parametrize(
    ("kind", "count", "edits"),
    [("runs/one", 1, 1), ("runs", 2, 1), ("ours", 1, 1), ("stock", 1, 1), ("traces", 2, 1), ("search", 1, 0)],
)
def test_every_source_opens(browser, files, kind, count, edits):
    """Its answers are listed, and the first one is drawn, edits among its tokens."""
    path = files / ("traces.parquet" if kind == "traces" else kind)
    write_page(read_sources([path], tokenizer=str(files / "model")), files / "page.html")
    browser.open(files / "page.html")
    assert total(browser) == count
    browser.click(".rows .row")
    browser.until("document.querySelector('.trace')")
    assert browser.count(".trace .token.edit") == edits


@pytest.fixture
def files(tmp_path, logged):
    """A source of every kind, and the tokenizer of the one that needs it."""
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK_TOKEN,))
    tokenizer.save_pretrained(tmp_path / "model")
    TraceLog(tmp_path / "runs" / "one", 1).write(1, [logged])
    TraceLog(tmp_path / "runs" / "two", 1).write(1, [logged])
    write_lm_eval(tmp_path / "ours", "5", ["3", "<|BACKTRACK|>", "5"])
    write_lm_eval(tmp_path / "stock", "3<|BACKTRACK|>5")
    row = TraceRow(tokenizer.encode("8\n"), tokenizer.encode("3+8<|BACKTRACK|>3"))
    write_traces(tmp_path / "traces.parquet", [row, row], tokenizer)
    found = {
        "row": 0,
        "answer": "3+5",
        "correct": True,
        "found": 2,
        "reachable": True,
        "tokens": 9,
        "flops": 1,
    }
    (tmp_path / "search").write_text(json.dumps(found | {"search": {"data": "gone"}}) + "\n")
    return tmp_path


@pytest.mark.parametrize("flip", [Flip.TO_CORRECT, Flip.TO_INCORRECT, Flip.UNNECESSARY])
def test_flips(browser, page, answers, flip):
    """A click on a flip lists those answers, the button counts them, and the address holds the filter."""
    browser.open(page)
    expected = [shown.answer for shown in answers if shown.flip is flip]
    button = f"[data-facet=flip-{flip}]"
    assert int(browser.text(f"{button} b")) == len(expected) > 0
    browser.click(button)
    browser.until(f"location.hash === '#flip={flip}'")
    browser.until("document.querySelector('.clear')")
    assert total(browser) == len(expected)
    first = browser.ask(f"{ROWS}[0].querySelector('a').getAttribute('href')")
    assert expected[0] in first
    assert browser.count(f".facet[aria-pressed=true]{button}") == 1


def test_counts_follow_the_filter(browser, page, answers):
    """Verdicts are counted among the answers that pass the other filters."""
    browser.open(page, "from=2&to=3&data=1")
    kept = [shown for shown in answers if shown.step in {2, 3} and shown.data_source == "set 1"]
    right = sum(shown.outcome is Outcome.CORRECT for shown in kept)
    wrong = sum(shown.outcome is Outcome.WRONG for shown in kept)
    assert total(browser) == len(kept)
    browser.click("[data-facet=outcome-wrong]")
    browser.until("location.hash.includes('outcome=wrong')")
    browser.until("document.querySelector('[data-facet=outcome-wrong][aria-pressed=true]')")
    assert total(browser) == wrong
    assert int(browser.text("[data-facet=outcome-correct] b")) == right


def test_text_token_and_depth(browser, page, answers):
    """What is found is what the records hold; a token is whole, by its text or its id."""
    browser.open(page)
    assert filtered(browser, "text=3%2B") == sum("3+" in "".join(a.tokens) + "\n" + a.left for a in answers)
    assert filtered(browser, "token=%E2%86%B5") == sum("\n" in a.tokens for a in answers)
    assert filtered(browser, "token=%235") == sum(5 in a.record.ids for a in answers)
    assert filtered(browser, "depth=1") == sum(a.deepest >= 1 for a in answers)
    assert filtered(browser, "text=nothing+like+it") == 0


def test_typing_filters(browser, page, answers):
    """The list follows what is typed, and Clear empties it."""
    browser.open(page)
    browser.keys("/")
    browser.keys("39 8")
    browser.until("location.hash === '#text=39+8' && document.querySelector('.clear')")
    assert total(browser) == sum(a.prompt == "39 8\n" for a in answers)
    browser.click(".clear")
    browser.until("!location.hash.includes('text') && !document.querySelector('.clear')")
    assert total(browser) == len(answers)


def test_sorting(browser, page, answers):
    """By a heading, rising, falling and not at all; what is far down is drawn when it is scrolled to."""
    browser.open(page)
    rewards = f"{ROWS}.map(row => row.querySelector('.reward').textContent)"
    for direction, reverse in (("ascending", False), ("descending", True)):
        browser.click(".heads .reward button")
        browser.until(f"document.querySelector('.heads .reward[aria-sort={direction}]')")
        ordered = sorted((a.reward for a in answers), reverse=reverse)
        shown = browser.ask(rewards)
        assert [float(text) for text in shown] == pytest.approx(ordered[: len(shown)], rel=1e-2)
    assert len(shown) < 100
    browser.ask("document.querySelector('.scroller').scrollTop = 1e6")
    browser.until(f"{ROWS}.at(-1).getAttribute('aria-rowindex') === '301'")
