"""What the documents say is so."""

import doctest
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from halluc_plugin.edits import EditVocab, collapse

ROOT = Path(__file__).parents[1]
PAGES = [file for pattern in ("*.md", "docs/*.md", "recipes/**/*.md") for file in ROOT.glob(pattern)]
DOCS = sorted((ROOT / "docs").glob("*.md"))
BANNED = re.compile(
    r"next to never|\bof ours\b|\bbeside\b|(?<![Tt]here )\b(?:is|are) no (?!longer\b|such\b|one\b|more\b)\w+"
)
"""Turns that make a reader stop: "X is no Y" for "X is not a Y", "beside it" for "next to it"."""
QUESTIONS = re.findall(r"^### (.+)$", (ROOT / "docs" / "faq.md").read_text(), re.MULTILINE)
OURS = ("halluc_plugin", "verl_ext", "lm_eval_tasks", "scripts")
VERLS = (
    "experimental/agent_loop/agent_loop.py",
    "experimental/reward_loop/reward_manager/registry.py",
    "trainer/ppo/core_algos.py",
)


@pytest.fixture(scope="module")
def sources():
    """Our code, and the places in verl that raise the errors we explain; implicit concatenation undone."""
    (verl,) = find_spec("verl").submodule_search_locations
    files = [file for folder in OURS for file in (ROOT / folder).rglob("*.py")]
    files += [Path(verl) / name for name in VERLS]
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(file.read_text() for file in files))


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_explained_error_exists(sources, question):
    """Each heading of the FAQ is the text of an error in the code, but for the parts that differ."""
    for part in question.split("…"):
        assert part.strip() in sources


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Every relative link of a page points to a file of the repository, and to a heading that is there."""
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def anchors(page):
    """What headings of a page are called in links."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    ]
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_anchors_are_those_of_a_page(tmp_path):
    """A heading's anchor has no marks, and a comment in a block of code is no heading."""
    page = tmp_path / "page.md"
    page.write_text("# `mod10`: retries, [here](a.md)\n\n```bash\n# no heading\n```\n\n### 2: which errors\n")
    assert anchors(page) == {"mod10-retries-here", "2-which-errors"}


def test_the_picture_is_right():
    """The trace on the first screen collapses to the answer below it."""
    readme = (ROOT / "README.md").read_text()
    sampled, answer = (
        re.search(rf"^{name} +(.+)$", readme, re.MULTILINE)[1].split() for name in ("sampled", "answer")
    )
    words = sorted(set(sampled))
    step, end = words.index("⇤"), frozenset({words.index("↵")})
    # The picture has no token backtracks: their id is one that no word has.
    vocab = EditVocab(backtrack=len(words), step=step, step_delimiters=end)
    left = collapse([words.index(word) for word in sampled], vocab)
    assert [words[token] for token in left] == answer


@pytest.mark.parametrize(("page", "least"), [("edits", 31), ("metrics", 8), ("credit", 11)])
def test_examples_print_what_the_page_says(page, least):
    """Every example of a page, run in order as one session, prints what stands below it."""
    path = ROOT / "docs" / f"{page}.md"
    blocks = re.findall(r"^```pycon\n(.+?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    session = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, path.name, str(path), 0)
    report = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session, out=report.append)
    assert not result.failed, "".join(report)
    assert result.attempted >= least


def prose(page):
    """A page without blocks of code and, of the errors that it explains, without their texts."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^### .*$", "", text, flags=re.MULTILINE) if page.name == "faq.md" else text


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_opens_with_what_it_lets_the_reader_do(page):
    """Its first paragraph speaks to the reader."""
    title, opening, *_ = page.read_text(encoding="utf-8").split("\n\n")
    assert title.startswith("# ")
    assert re.search(r"\byour?\b", opening), opening


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_prose_is_plain(page):
    """None of the turns that were taken out has come back."""
    assert BANNED.findall(prose(page)) == []
