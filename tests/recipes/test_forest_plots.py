"""Forest plots of experiments are drawn from the tables of their results, and from nothing else."""

import json
import runpy
import struct
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "forest_plots.py"))
effects, draw, described, tables = (SCRIPT[name] for name in ("effects", "draw", "described", "tables"))
CHOSEN = sorted((ROOT / "recipes").glob("*/results/effects.toml"))
PAGE = """\
# Results

| | T = 1 | seeds | greedy, to its start |
| --- | --- | --- | --- |
| clean | 40.0 [38, 42] | 30.0, 40.0, 50.0 | |
| `tokens, mask` | **42.0** [40, 44] | 31.0, 42.0, 53.0 | −2.5 ± 1.5 |

Between two tables.

| arm | round | to the start |
| --- | --- | --- |
| restart | 1 | +3.2 [+2.3, +4.0] |
| | 2 | −14.9 [−16.2, −13.6] |
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a page of two tables."""
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    return tmp_path


def chosen(folder, **choice):
    """The one effect that is chosen so."""
    lines = [
        f"{key} = {json.dumps(value)}" for key, value in {"page": "page.md", "table": 1, **choice}.items()
    ]
    text = "\n".join(['title = "T"', "[[effect]]", 'label = "named"', *lines])
    (folder / "effects.toml").write_text(text, encoding="utf-8")
    (effect,) = effects(folder)
    assert effect.label == "named"
    return effect.value, effect.low, effect.high


def test_a_cell_with_half_an_interval(folder):
    """`−2.5 ± 1.5` reaches from −4 to −1; marks and the typographic minus are read over."""
    cell = chosen(folder, row=["tokens, mask"], column="greedy, to its start")
    assert cell == pytest.approx((-2.5, -4.0, -1.0))


def test_a_cell_with_both_ends(folder):
    """`−14.9 [−16.2, −13.6]` is taken as it stands, in a row whose first cell is that of the row above."""
    cell = chosen(folder, table=2, row=["restart", "2"], column="to the start")
    assert cell == pytest.approx((-14.9, -16.2, -13.6))


def test_a_difference_over_seeds(folder):
    """Seeds that differ by 1, 2 and 3 differ by 2 on the mean, ± 4.303 / √3 (Student, two degrees)."""
    value, low, high = chosen(folder, row=["tokens, mask"], minus=["clean"], column="T = 1")
    assert value == pytest.approx(2.0)
    assert (value - low, high - value) == pytest.approx((2.4842, 2.4842), abs=1e-3)


@pytest.mark.parametrize(
    "choice",
    [
        {"row": ["mask"], "column": "T = 1"},
        {"row": ["restart"], "column": "to the start", "table": 2},
        {"row": ["clean"], "column": "T = 0"},
        {"row": ["clean"], "column": "greedy, to its start"},
        {"row": ["clean"], "minus": ["tokens, mask"], "column": "seeds"},
    ],
    ids=["no such row", "two such rows", "no such column", "an empty cell", "no seeds behind it"],
)
def test_a_choice_that_leads_nowhere_is_refused(folder, choice):
    """Nothing is drawn of a row, column or cell that is not there or holds no effect."""
    with pytest.raises(SystemExit):
        chosen(folder, **choice)


def text_of(picture):
    """The field `Description` of a PNG."""
    data = picture.read_bytes()
    place = 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 8 : place + 8 + length]
        if body.startswith(b"Description\0"):
            return body.partition(b"\0")[2].decode("latin-1")
        place += length + 12
    raise AssertionError(f"{picture} says nothing of what it shows.")


def test_a_picture_holds_what_it_shows(folder):
    """A PNG is written that has the effects in its text, to the digits of the tables."""
    chosen(folder, row=["tokens, mask"], column="greedy, to its start")
    shown = effects(folder)
    draw("T", shown, folder / "effects.png")
    assert json.loads(text_of(folder / "effects.png")) == [
        {"label": "named", "value": -2.5, "low": -4.0, "high": -1.0}
    ]


@pytest.mark.parametrize("choice", CHOSEN, ids=lambda path: path.parts[-3])
def test_pictures_are_current(choice):
    """Each shows 5 to 12 effects as the tables have them now, and is small."""
    shown = effects(choice.parent)
    picture = choice.with_suffix(".png")
    assert 5 <= len(shown) <= 12
    assert text_of(picture) == described(shown)
    assert picture.stat().st_size < 150_000


def test_tables_are_told_apart():
    """Text between two tables ends the first."""
    found = tables(PAGE)
    assert [len(table.rows) for table in found] == [2, 2]
    assert found[0].rows[1] == ["tokens, mask", "42.0 [40, 44]", "31.0, 42.0, 53.0", "−2.5 ± 1.5"]
