"""The page on paper: Chromium prints it into a PDF, whose text is read."""

import pytest

from halluc_plugin.viewer.answers import Kind, Source
from halluc_plugin.viewer.page import write_page
from tests.viewer.pdf_text import pdf_text

# 3+8=⌫⌫5↵ then 3+ taken back to nothing and begun again as before, to another end.
IDS = [0, 1, 2, 6, 4, 4, 5, 3, 4, 4, 2, 6, 1]


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    """120 answers with edits, every third of them wrong."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    answers = [
        made(f"a{at}", IDS, right=at % 3 > 0, prompt=f"problem {at}.\n", step=7, reward=1.5)
        for at in range(120)
    ]
    write_page([Source("one", Kind.RUN, path, answers)], path)
    return path


def printed(browser):
    """The text on paper without blanks: how far two strings stand apart says nothing of what is between."""
    return "".join(pdf_text(browser.print()).split())


def test_an_answer_on_paper(browser, page):
    """Its problem, every action, erased ones and numbered edits too, what is left, and each event."""
    browser.open(page, "answer=0%3A7%3Aa1")
    browser.until("document.querySelector('.trace')")
    text = printed(browser)
    assert "problem1." in text
    assert "3+8=⌫1⌫5↵⌫2⌫8=+" in text
    assert "WHATISLEFT3+8=+" in text
    assert "2EVENTS" in text
    assert "⌫×28=4→2" in text
    assert "edits4·tokens13" in text


def test_the_list_on_paper(browser, page):
    """Every row, those that were not on the screen too, and how many there are of each verdict."""
    browser.open(page)
    assert browser.count(".rows .row") < 120
    text = printed(browser)
    assert "120answers" in text
    assert "right80" in text
    assert "wrong40" in text
    assert all(f"problem{at}." in text for at in range(120))
    browser.open(page, "outcome=wrong")
    text = printed(browser)
    assert "40of120answers" in text
    assert [at for at in range(120) if f"problem{at}." in text] == list(range(0, 120, 3))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_paper_is_white(browser, page, theme):
    """Whatever the theme on the screen is, dark ink is printed on white."""
    browser.open(page, f"answer=0%3A7%3Aa1&theme={theme}")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        styles = browser.ask("[getComputedStyle(document.body)].map(s => [s.backgroundColor, s.color])[0]")
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert styles == ["rgb(255, 255, 255)", "rgb(28, 28, 26)"]
