"""What an experiment's README is: short, and nothing in it but what its results say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
EXPERIMENTS = sorted(path.parents[1].name for path in RECIPES.glob("*/results/effects.toml"))
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.])")


@pytest.fixture(params=EXPERIMENTS)
def experiment(request):
    """The name of an experiment with results."""
    return request.param


@pytest.fixture
def readme(experiment):
    """Its README."""
    return (RECIPES / experiment / "README.md").read_text(encoding="utf-8")


def test_it_is_short(readme):
    """At most 600 words, tables and comments included."""
    assert len(readme.split()) <= 600


def test_it_has_its_parts(experiment, readme):
    """Command, five findings, one forest plot, one table of at most twelve rows, deviations."""
    assert f"python -m halluc_plugin.recipes.{experiment}.run" in readme
    assert "![Effects and their 95 % intervals](results/effects.png)" in readme
    findings = readme.split("## Findings\n")[1].split("\n![")[0]
    assert re.findall(r"^(\d)\. ", findings, re.MULTILINE) == list("12345")
    rows = [line for line in readme.splitlines() if line.startswith("|")]
    assert len(re.findall(r"^\| -", readme, re.MULTILINE)) == 1
    assert 1 <= len(rows) - 2 <= 12
    assert "\n## Deviations" in readme


def test_its_numbers_are_those_of_its_results(experiment, readme):
    """Each number with decimals stands in a page of results; two pages of the same recipe may share them."""
    pages = [page.read_text(encoding="utf-8") for page in (RECIPES / experiment / "results").glob("*.md")]
    known = set(NUMBER.findall("\n".join(pages)))
    body = re.sub(r"arXiv \S+|0\.9M|<!--.*?-->", "", readme)
    assert [number for number in NUMBER.findall(body) if number not in known] == []


@pytest.mark.parametrize(
    "page", sorted(RECIPES.glob("*/results/*.md")), ids=lambda p: f"{p.parts[-3]}/{p.name}"
)
def test_a_page_of_results_says_how_it_was_made(page):
    """It has a title and, where it has tables of measurements, the commit that measured them."""
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    if re.search(r"\d ± \d|\d \[\d", text):
        assert re.search(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7}\b", text)
