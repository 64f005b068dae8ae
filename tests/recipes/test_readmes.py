"""What an experiment's README is: short, and nothing in it but what its results say."""

import re
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[2] / "recipes"
EXPERIMENTS = sorted(path.parent.name for path in RECIPES.glob("*/run.py"))
WITH_EFFECTS = sorted(path.parents[1].name for path in RECIPES.glob("*/results/effects.toml"))
RESULTS = sorted(RECIPES.glob("*/results/*.md"))
NOT_RUN = {"consensus", "revise", "score", "token_start"}
"""Experiments without a result; their READMEs say so."""
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?: ± \d+\.\d+| \[[^\]]+\])?(?![\w.])")
"""A number with decimals, and the interval that stands behind it."""


def readme(name):
    """The README of a recipe."""
    return (RECIPES / name / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_it_is_short_and_shows_its_command_and_its_picture(experiment):
    """At most 600 words, tables and comments included, the command that was run, and a picture."""
    text = readme(experiment)
    assert len(text.split()) <= 600
    assert re.search(rf"^python -m halluc_plugin\.recipes\.{experiment}\.run .*--out ", text, re.MULTILINE)
    pictures = re.findall(r"!\[[^\]]+\]\((results/\w+\.png)\)", text)
    if experiment in NOT_RUN:
        assert not pictures
        assert "None yet" in text
    else:
        assert len(pictures) == 1
        assert (RECIPES / experiment / pictures[0]).stat().st_size < 150_000


@pytest.mark.parametrize("experiment", sorted({*EXPERIMENTS} - NOT_RUN))
def test_its_table_is_short(experiment):
    """There is one, of at most twelve rows; the others are in its results."""
    (table,) = re.findall(r"(?:^\|.*\n)+", readme(experiment), re.MULTILINE)
    assert 1 <= len(table.splitlines()) - 2 <= 12


@pytest.mark.parametrize("experiment", WITH_EFFECTS)
def test_it_has_its_parts(experiment):
    """Five findings, the forest plot, and the deviations, in this order."""
    text = readme(experiment).split("## Findings\n")[1]
    findings, rest = text.split("\n![Effects and their 95 % intervals](results/effects.png)")
    assert re.findall(r"^(\d)\. ", findings, re.MULTILINE) == list("12345")
    assert "\n## Deviations" in rest


@pytest.mark.parametrize("experiment", WITH_EFFECTS)
def test_its_numbers_are_those_of_its_results(experiment):
    """Each number with decimals stands on a page of its results, too, with the same interval."""
    pages = [page.read_text(encoding="utf-8") for page in (RECIPES / experiment / "results").glob("*.md")]
    known = "\n".join(pages)
    body = re.sub(r"arXiv \S+|0\.9M|<!--.*?-->", "", readme(experiment))
    numbers = NUMBER.findall(body)
    assert len(numbers) > 15
    assert [n for n in numbers if not re.search(rf"(?<![\w.]){re.escape(n)}(?![\w.])", known)] == []


@pytest.mark.parametrize("page", RESULTS, ids=lambda page: f"{page.parts[-3]}/{page.name}")
def test_a_page_of_results_says_how_it_was_made(page):
    """It has a title and, where it has tables of measurements, the commit that measured them."""
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    if re.search(r"\d ± \d|\d \[\d", text):
        assert re.search(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7}\b", text)
