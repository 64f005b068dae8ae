"""The page in a browser: an answer, its tree, its group, its run, and another model's beside it."""

from dataclasses import replace

import pytest

from halluc_plugin.edits import EditEvent, EditVocab, resolve_row
from halluc_plugin.run_charts import Chart, Series
from halluc_plugin.viewer.answers import Kind, Source
from halluc_plugin.viewer.page import write_page

# 3+8=⌫⌫5↵ then 3+ taken back to nothing and begun again as before, to another end.
IDS = [0, 1, 2, 6, 4, 4, 5, 3, 4, 4, 2, 6, 1]
KNOWN = {
    "step": 7, "reward": 1.5, "advantages": [0.25] * 13, "response_mask": [1] * 12 + [0],
    "log_probs": [-0.5] * 12 + [None], "entropies": [0.75] * 13, "edit_probs": [0.125] * 13,
    "event_values": [(0.0, 1.0), (1.0, 0.5)], "verdicts": [True] * 4 + [False] + [True] * 9,
    "group": "g", "scores": {"outcome": 1.0},
}  # fmt: skip


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    """Two models: the first with a group of two and a curve, the second right where the first is wrong."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    full = made("full", IDS, **KNOWN)
    bare = made("bare", [0, 1, 5], right=False, step=7, group="g", reward=0.0)
    late = made("late", [0], step=9, prompt="late\n")
    charts = (
        Chart(
            "accuracy", "Accuracy", y="share", share=True, series=(Series("held out", (1, 9), (0.25, 0.5)),)
        ),
    )
    one = Source("one", Kind.RUN, path, [full, bare, late], charts=charts, skipped=2)
    other = [made("x", [0]), made("y", [0], right=False, prompt="late\n")]
    write_page([one, Source("two", Kind.LM_EVAL, path, other)], path)
    return path


def facts(browser):
    """What is told of the action, by name."""
    return browser.ask(
        "Object.fromEntries([...document.querySelectorAll('.inspector > div')]"
        ".map(div => [div.querySelector('dt').textContent, div.querySelector('dd').textContent]))"
    )


def test_a_link_to_an_action(browser, page):
    """Everything that is known of it, as the record says: text, numbers, event, value, verdict."""
    browser.open(page, "answer=0%3A7%3Afull&at=3")
    told = facts(browser)
    assert told == {
        "action": "4 of 13", "text": "=", "id": "6", "log-prob": "-0.500 · 60.7 %",
        "entropy": "0.750 nats", "P(backtrack)": "12.5 %", "learns": "yes", "advantage": "+0.25",
        "lived": "1 action", "event": "1", "value": "0 → 1", "credit": "+1.00", "verifier, before": "fine",
    }  # fmt: skip
    browser.go("answer=0%3A7%3Afull&at=12")
    browser.until("document.querySelector('#action-12.held')")
    told = facts(browser)
    assert (told["log-prob"], told["learns"], told["event"]) == ("–", "masked", "none")


def test_pointing_and_holding(browser, page):
    """Pointing at an action tells of it, a click or tap holds it in the address, and a second one lets go."""
    browser.open(page, "answer=0%3A7%3Afull")
    browser.until("document.querySelector('.trace')")
    browser.point("#action-3")
    browser.until("document.querySelector('#action-3.looked')")
    assert facts(browser)["action"] == "4 of 13"
    assert "at=" not in browser.ask("location.hash")
    browser.click("#action-12")
    browser.until("location.hash.includes('at=12') && document.querySelector('#action-12.held')")
    browser.point("h2")
    browser.until("document.querySelector('.inspector dd')?.textContent === '13 of 13'")
    browser.click("#action-12")
    browser.until("!location.hash.includes('at=')")


def test_what_is_erased_is_marked(browser, page):
    """Erased tokens are struck through and tinted by how long they lived, edits carry their event."""
    browser.open(page, "answer=0%3A7%3Afull")
    kinds = browser.ask("[...document.querySelectorAll('.trace .token')].map(t => t.classList[1])")
    fate = resolve_row(IDS, EditVocab(backtrack=4))
    erased, edit = fate.erased[0].tolist(), fate.is_edit[0].tolist()
    expected = ["edit" if e else "erased" if gone else "live" for gone, e in zip(erased, edit, strict=True)]
    assert kinds == expected
    lives = "[...document.querySelectorAll('.token.erased')].map(t => +t.style.getPropertyValue('--life'))"
    assert len(set(browser.ask(lives))) > 1
    line = "getComputedStyle(document.querySelector('.token.erased')).textDecorationLine"
    assert browser.ask(line) == "line-through"
    assert browser.ask("[...document.querySelectorAll('.token sub')].map(s => s.textContent)") == ["1", "2"]


def test_blanks(browser, page):
    """What a record has not is a dash, and nothing is drawn of it."""
    browser.open(page, "answer=1%3A%3Ax&at=0")
    told = facts(browser)
    assert {told[name] for name in ("log-prob", "entropy", "P(backtrack)", "learns", "value")} == {"–"}
    assert browser.count(".strip") == 0
    browser.go("answer=9%3A9%3Anobody")
    browser.until("document.querySelector('.answer [role=alert]')")


def test_keys(browser, page):
    """Keys j and k move through the list, n and p through events, ? helps, Escape closes."""
    browser.open(page)
    browser.keys("j")
    browser.until("location.hash === '#answer=0%3A7%3Afull' && document.querySelector('.trace')")
    for key, at in (("n", 4), ("n", 8), ("p", 4)):
        browser.keys(key)
        browser.until(f"document.querySelector('#action-{at}.held')")
    browser.keys("j")
    browser.until("location.hash.includes('bare')")
    browser.keys("k")
    browser.until("location.hash.includes('full')")
    browser.keys("?")
    browser.until("document.getElementById('help').open")
    browser.click("#help button")
    browser.until("!document.getElementById('help').open")
    browser.keys("\ue00c")
    browser.until("!location.hash.includes('answer')")


def test_replay(browser, page):
    """After every number of actions the live text is what the edits leave of them, and one state is here."""
    browser.open(page, "answer=0%3A7%3Afull&tab=tree")
    browser.until("document.querySelector('.tree')")
    fate, words = resolve_row(IDS, EditVocab(backtrack=4)), ["3", "+", "8", "\n", "⌫", "5", "=", "1"]
    for at in range(len(IDS) + 1):
        browser.ask(
            "(r => { r.value = arguments[0]; r.dispatchEvent(new Event('input')); })"
            "(document.getElementById('replay'))", at,
        )  # fmt: skip
        live = "".join(words[i] for i in fate.live_at(0, at))
        shown = browser.ask("document.querySelector('[aria-label=\"Live text\"]').textContent")
        assert shown.replace("↵", "") == live
        assert browser.count(".state.here") == 1


def test_events_in_the_tree(browser, page):
    """Key n replays to the next event, and a link to an action opens the state after it."""
    browser.open(page, "answer=0%3A7%3Afull&tab=tree")
    browser.until("document.querySelector('.tree')")
    assert browser.text(".replay-told").startswith("13 of 13 actions")
    browser.keys("n")
    browser.until("document.getElementById('replay').value === '5'")
    assert browser.text(".replay-told").startswith("5 of 13 actions: ⌫ takes back")
    browser.open(page, "answer=0%3A7%3Afull&tab=tree&at=0")
    browser.until("document.getElementById('replay')?.value === '1'")


def test_equal_states_are_one(browser, made, tmp_path):
    """``3+ ⌫⌫ 3+8``: two states are written twice, and the tree has each once."""
    answer = made("again", [0, 1, 4, 4, 0, 1, 2])
    write_page([Source("one", Kind.RUN, tmp_path, [answer])], tmp_path / "page.html")
    browser.open(tmp_path / "page.html", "answer=0%3A%3Aagain&tab=tree")
    browser.until("document.querySelector('.tree')")
    texts = browser.ask(
        "[...document.querySelectorAll('.state > text:not(.count, .edit-mark)')].map(t => t.textContent)"
    )
    assert sorted("".join(text for text in texts if text != "start")) == sorted("3+8")
    assert "written 2×" in browser.ask(
        "[...document.querySelectorAll('.state .count')].map(t => t.textContent)"
    )


def test_a_search_is_a_tree_of_its_samples(browser, made, axe, tmp_path):
    """``3+8⌫``, then ``5`` behind ``3+``: a line for each sample, the branch that was left is grey."""
    record = replace(
        made("x", [0]).record,
        ids=(0, 1, 2, 4, 5), live=(True, True, False, False, True), erased_at=(None, None, 3, None, None),
        parent=(-1, 0, 1, 2, 1), events=(EditEvent(0, 0, 3, 4, 1, (2,), 3, 2),),
    )  # fmt: skip
    tokens = ["3", "+", "8", "<|BACKTRACK|>", "5"]
    answer = replace(made("search", [0]), record=record, tokens=tokens, starts=[0, 4])
    write_page([Source("one", Kind.SEARCH, tmp_path, [answer])], tmp_path / "page.html")
    browser.open(tmp_path / "page.html", "answer=0%3A%3Asearch&at=4")
    browser.until("document.querySelector('#action-4.held')")
    assert facts(browser)["sample"] == "2 of 2"
    begins = "[...document.querySelectorAll('.trace .begins')]"
    assert browser.ask(f"{begins}.map(t => t.id)") == ["action-0", "action-4"]
    bottom = browser.ask("document.querySelector('#action-3').getBoundingClientRect().bottom")
    assert browser.ask(f"{begins}[1].getBoundingClientRect().top") >= bottom - 1
    assert faults(browser, axe) == []
    browser.go("answer=0%3A%3Asearch&tab=tree")
    browser.until("document.querySelector('.tree')")
    states = "[...document.querySelectorAll('.state')]"
    texts = browser.ask(f"{states}.map(s => s.querySelector('text').textContent)")
    kinds = browser.ask(f"{states}.map(s => s.classList[1])")
    assert dict(zip(texts, kinds, strict=True)) == {"start": "kept", "3+": "kept", "5": "kept", "8": "gone"}
    assert browser.text(".panel .code") == "3+5"
    browser.open(tmp_path / "page.html", "answer=0%3A%3Asearch&tab=tree&at=2")
    browser.until("document.getElementById('replay')?.value === '3'")
    assert browser.text(".panel .code") == "3+8"


def test_group(browser, page):
    """The answers to the prompt in the step, with rewards and the prefixes that they share."""
    browser.open(page, "answer=0%3A7%3Afull&tab=group")
    browser.until("document.querySelector('.group + .block .tree')")
    assert browser.count(".group-card") == 2
    heads = browser.ask("[...document.querySelectorAll('.group-card .facts')].map(p => p.textContent)")
    assert heads == ["reward 1.50 · advantage +0.25", "reward 0 · advantage –"]
    assert "1/2" in browser.ask(
        "[...document.querySelectorAll('.group ~ .block .count')].map(t => t.textContent)"
    )


def test_run(browser, page):
    """Curves are drawn, read with the keys, and lead to the answers of a step."""
    browser.open(page, "view=run&source=0")
    browser.until("document.querySelector('#chart-accuracy .curve')")
    browser.click("#chart-accuracy .plot-box")
    browser.until("location.hash.includes('from=')")
    browser.until("document.querySelector('.total')")
    assert int(browser.text(".total").split()[0]) in {1, 2}
    browser.go("view=run&source=0")
    browser.until("document.querySelector('#chart-accuracy .plot-box')")
    browser.ask("document.querySelector('#chart-accuracy .plot-box').focus()")
    browser.keys("\ue012")
    assert browser.text("#chart-accuracy .chart-told") == "step 1 · held out 25.0 %"


def test_runs_are_overlaid_by_one_curve(browser, made, tmp_path):
    """Of two runs the curve that both have is drawn, under its name; lines behind the sixth are dashed."""
    many = [Series(f"part {number}", (1, 2), (0.1, 0.2)) for number in range(7)]
    both = Series("held out", (1, 2), (0.25, 0.5))
    charts = [Chart("accuracy", "Accuracy", "share", share=True, series=(*many, both)),
              Chart("accuracy", "Accuracy", "share", share=True, series=(both,))]  # fmt: skip
    runs = [
        Source(name, Kind.RUN, tmp_path, [made("a", [0], step=1)], charts=[chart])
        for name, chart in zip("xy", charts, strict=True)
    ]
    write_page(runs, tmp_path / "page.html")
    browser.open(tmp_path / "page.html", "view=run")
    browser.until("document.querySelector('#chart-accuracy .curve')")
    assert browser.text("#chart-accuracy h3") == "Accuracy: held out"
    names = "[...document.querySelectorAll('#chart-accuracy .legend li')].map(li => li.textContent)"
    assert browser.ask(names) == ["x", "y"]
    browser.go("view=run&source=0")
    browser.until("document.querySelectorAll('#chart-accuracy .curve').length === 8")
    assert browser.count("#chart-accuracy .curve.again") == browser.count(".legend .again") == 2


def test_answers_of_a_group_are_told_apart(browser, made, tmp_path):
    """A long name that begins as those of the whole group do is shown by its end."""
    answers = [made(f"{'u' * 36}_{number}_0", [0], group="u" * 36) for number in range(2)]
    write_page([Source("one", Kind.RUN, tmp_path, answers)], tmp_path / "page.html")
    browser.open(tmp_path / "page.html", f"answer=0%3A%3A{'u' * 36}_0_0&tab=group")
    browser.until("document.querySelectorAll('.group-card').length === 2")
    names = "[...document.querySelectorAll('.group-card .name')].map(a => a.textContent)"
    assert browser.ask(names) == ["…_0_0", "…_1_0"]


def test_compare(browser, page):
    """Problems of both; ``only A right`` lists those, and an answer of each stands side by side."""
    browser.open(page, "view=compare")
    browser.until("document.querySelector('.compared')")
    counts = {only: int(browser.text(f"[data-only={only}] b")) for only in ("a", "b", "both", "neither")}
    assert counts == {"a": 1, "b": 0, "both": 1, "neither": 0}
    browser.click("[data-only=a]")
    browser.until("location.hash.includes('only=a') && document.querySelectorAll('.pair').length === 1")
    browser.click(".pair summary")
    browser.until("document.querySelectorAll('.pair .group-card').length === 2")


def test_theme(browser, page):
    """The button turns light into dark, and the address keeps it."""
    browser.open(page, "theme=light")
    light = browser.ask("getComputedStyle(document.body).backgroundColor")
    browser.click("#theme")
    browser.until("location.hash === '#theme=dark'")
    browser.until("document.documentElement.dataset.theme === 'dark'")
    assert browser.ask("getComputedStyle(document.body).backgroundColor") != light


def test_what_was_left_out_is_said(browser, page):
    """Records that were cut off are a note of the page."""
    browser.open(page)
    assert "2 records were cut off and left out." in browser.text(".notes")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["", "answer=0%3A7%3Afull&at=3", "answer=0%3A7%3Afull&tab=tree",
                                  "answer=0%3A7%3Afull&tab=group", "view=run", "view=compare"])  # fmt: skip
def test_nothing_keeps_people_from_using_it(browser, page, axe, view, theme):
    """axe-core finds no fault with names, roles, contrast or the order of headings."""
    browser.open(page, f"{view}&theme={theme}")
    assert faults(browser, axe) == []


def faults(browser, axe):
    """What axe-core finds on the page that is open."""
    browser.driver.execute_script(axe)
    return browser.driver.execute_async_script(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
        ".then(found => arguments[0](found.violations.map(v => [v.id, v.nodes[0].html, v.nodes[0].any])))"
    )


def test_a_record_without_ids(browser, made, tmp_path):
    """It is shown as text, and its tree says why there is none."""
    answer = replace(made("text", [0]), record=None, tokens=["3", "<|BACKTRACK|>", "5"])
    write_page([Source("one", Kind.LM_EVAL, tmp_path, [answer])], tmp_path / "page.html")
    browser.open(tmp_path / "page.html", "answer=0%3A%3Atext&tab=tree")
    browser.until("document.querySelector('.panel .waiting')")
    assert "ids of this answer are not known" in browser.text(".panel")
