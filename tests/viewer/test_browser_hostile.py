"""The page in a browser: what a model wrote is text, whatever it looks like."""

from dataclasses import replace

import pytest

from halluc_plugin.viewer.answers import Kind, Source
from halluc_plugin.viewer.page import write_page

SCRIPTS = [
    "<script>owned=1;alert(1)</script>",
    "</script><script>owned=1;alert(1)</script>",
    "<img src=x onerror='owned=1;alert(1)'>",
    '"><svg/onload=owned=1;alert(1)>',
    "'><iframe srcdoc='<script>parent.owned=1</script>'></iframe>",
    '<a href="javascript:owned=1;alert(1)">3</a>',
    "<!--<script>owned=1</script>-->",
    "{{ 7 * 7 }}{% raw %}${owned=1}",
    "<style>*{display:none}</style><link rel=stylesheet href=//a.test/x.css>",
    "<meta http-equiv=refresh content='0;url=//a.test'>",
    "]]>&lt;b&gt;&#x3c;b&#x3e;",
]
UNSEEN = "\u202e\u2066\u200b\ufeff\u00ad\u2028\ud800\udc00x\U000e0041\x1b[31m\x00\x07"


def hostile(made, text):
    """An answer all of whose texts are this one."""
    shown = made("plain", [0, 1, 4, 5], step=1, reward=1.0)
    tokens = [text, text, "<|BACKTRACK|>", text]
    return replace(
        shown, answer=text, prompt=text, tokens=tokens, text=text * 2, data_source=text, scores={text: 1.0}
    )


@pytest.fixture
def page(made, tmp_path):
    """Every hostile text in every place, in two sources whose names are hostile, too."""
    answers = [hostile(made, text) for text in (*SCRIPTS, UNSEEN)]
    sources = [Source(text, Kind.RUN, tmp_path, answers, notes=(text,)) for text in SCRIPTS[:2]]
    write_page(sources, tmp_path / "page.html")
    return tmp_path / "page.html"


def test_nothing_of_it_runs(browser, page):
    """No dialog, no request, no element but the page's own, on any view; the texts are read as they are."""
    browser.open(page)
    own = browser.count("script, style, iframe, img, link, meta, object, embed")
    for row in range(len(SCRIPTS)):
        browser.go("")
        browser.until("document.querySelectorAll('.rows .row').length > 20")
        browser.ask(f"document.querySelector('[data-row=\"{row}\"] a').click()")
        browser.until("document.querySelector('.trace')")
        assert browser.text(".trace .token").replace("↵", "") == SCRIPTS[row]
        assert browser.text(".answer .problem-box .code") == SCRIPTS[row]
        for tab in ("tree", "group"):
            browser.ask(f"location.hash += '&tab={tab}'")
            browser.until("document.querySelector('.panel .tree, .panel .group')")
    for view in ("run", "compare"):
        browser.go(f"view={view}")
        browser.until(f"document.querySelector('.{view}')")
    assert browser.ask("typeof owned") == "undefined"
    assert browser.count("script, style, iframe, img, link, meta, object, embed") == own
    assert browser.ask("document.querySelectorAll('[onload], [onerror], a[href^=javascript]').length") == 0


def test_what_is_not_seen_is_named(browser, page):
    """Bidi controls, zero width, tags, lone surrogates, escapes and controls, each by its number or sign."""
    browser.open(page)
    browser.ask(f"document.querySelector('[data-row=\"{len(SCRIPTS)}\"] a').click()")
    browser.until("document.querySelector('.trace')")
    names = browser.ask(
        "[...document.querySelectorAll('.trace .token:first-child .unseen')].map(u => u.textContent)"
    )
    assert names == [
        "U+202E", "U+2066", "U+200B", "U+FEFF", "U+00AD", "U+2028", "U+E0041", "␛", "␀", "U+0007",
    ]  # fmt: skip
    drawn = browser.ask("document.body.innerText")
    assert not set(drawn) & set("\u202e\u2066\u200b\ufeff\x1b\x07")


def test_the_policy_forbids_what_is_not_the_pages(browser, page):
    """Even a script that got in could neither run nor ask: the policy names this page's own only."""
    browser.open(page)
    policy = browser.ask("document.querySelector('meta[http-equiv=Content-Security-Policy]').content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    browser.ask(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'owned = 1'}))"
    )
    browser.ask("document.body.append(Object.assign(new Image(), {src: 'http://a.test/x.png'}))")
    browser.until("document.querySelector('img').complete")
    assert browser.ask("typeof owned") == "undefined"
    told = browser.complaints()
    assert len(told) == 2
    assert all("Content Security Policy" in line for line in told)
    browser.clear()  # of the picture that was asked for here


@pytest.mark.parametrize(
    ("ids", "text"),
    [([0], "x" * 5_000_000), ([0] * 400_000, "x" * 12), ([0, 4] * 15_000, None)],
    ids=["one token", "many tokens", "many events"],
)
def test_an_answer_of_megabytes(browser, made, tmp_path, ids, text):
    """It opens, a part of it is drawn, and more on demand."""
    shown = made("long", ids, prompt="y" * 5_000_000)
    if text is not None:
        shown = replace(shown, tokens=[text] * len(ids))
    write_page([Source("one", Kind.RUN, tmp_path, [shown])], tmp_path / "page.html")
    browser.open(tmp_path / "page.html", "answer=0%3A%3Along")
    browser.until("document.querySelector('.trace')")
    assert browser.count("*") < 12_000
    before = len(browser.text(".problem-box .code"))
    assert before < 10_000
    browser.click(".problem-box .more")
    assert len(browser.text(".problem-box .code")) > before
