"""The file of a page: what it carries, and that nothing in it can be taken for something else."""

import base64
import gzip
import hashlib
import json
import math
import re
from dataclasses import replace

import pytest

from halluc_plugin.errors import SettingsError
from halluc_plugin.run_charts import Chart, Series
from halluc_plugin.viewer.answers import Flip, Kind, Source
from halluc_plugin.viewer.pack import PART, index, parts
from halluc_plugin.viewer.page import write_page


def carried(text, name):
    """What a page carries under a name."""
    packed = re.search(rf'<script type="text/plain" id="{name}">(.*?)</script>', text)[1]
    return json.loads(gzip.decompress(base64.b64decode(packed)))


@pytest.fixture
def source(made, tmp_path):
    """Enough answers for two parts, one of which knows everything."""
    full = made(
        "full", [0, 1, 4, 5], step=3, reward=0.123456, advantages=[1, 2, 3, 4], response_mask=[1, 0, 1, 0],
        log_probs=[-0.5, None, math.nan, -math.inf], event_values=[(0.0, 1.0)],
        verdicts=[True, False, True, True, True],
        scores={"outcome": 1.0},
    )  # fmt: skip
    chart = Chart("k", "Title", "y", share=True, series=(Series("s", (1, 2), (0.25, math.nan)),))
    return Source("one", Kind.RUN, tmp_path, [full] + [made("x", [0])] * PART, charts=[chart], skipped=1)


def test_the_index(source):
    """A column for what is listed, values that many have once, and what is said of each source."""
    told = index([source, replace(source, name="two", answers=source.answers[:1])])
    columns = told["columns"]
    assert {len(column) for column in columns.values()} == {PART + 2}
    row = {name: column[0] for name, column in columns.items()}
    assert row == {
        "name": "full", "step": 3, "outcome": 1, "flip": list(Flip).index(Flip.TO_CORRECT), "edits": 1,
        "tokens": 4, "depth": 1, "reward": 0.1235, "advantage": 2, "left": "35", "prompt": 0,
        "group": 0, "data": 0, "source": 0,
    }  # fmt: skip
    assert told["prompts"] == ["3 8\n"]
    assert columns["source"][-1] == 1
    assert (told["sources"][0]["skipped"], told["sources"][0]["charts"][0]["key"]) == (1, "k")
    assert told["sources"][0]["charts"][0]["series"][0]["values"] == [0.25, None]


def test_the_parts(source):
    """All that is known of an answer, what is no number as null, and what is not known not at all."""
    first, second = parts([source])
    assert (len(first), len(second)) == (PART, 1)
    assert first[0]["events"] == [[2, 3, 1, (1,), 2, 1]]
    assert first[0]["parent"] == (-1, 0, 1, 0)
    assert first[0]["logProbs"] == [-0.5, None, None, None]
    assert (first[0]["values"], first[0]["verdicts"]) == ([[0, 1]], [1, 0, 1, 1, 1])
    assert not {"logProbs", "advantages", "mask", "values"} & first[1].keys()


def test_the_file(source, tmp_path):
    """Index and parts are read back as they were; the policy names the very style and script of the page."""
    write_page([source], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert carried(text, "index")["columns"]["name"][0] == "full"
    assert carried(text, "part-1")[0]["name"] == "x"
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)[1].replace("&#39;", "'")
    for tag in ("style", "script"):
        body = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)


def test_no_text_of_a_model_stands_in_the_file(made, tmp_path):
    """Markup, script ends and lone surrogates are inside of what is packed, names escaped."""
    evil = "</script><img src=x onerror=alert(1)>\ud800\u202e"
    answer = replace(made("x", [0]), answer=evil, prompt=evil, tokens=[evil], text=evil)
    write_page([Source(evil, Kind.RUN, tmp_path, [answer])], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img" not in text
    assert "\u202e" not in text
    assert carried(text, "part-0")[0]["tokens"] == [evil]


def test_a_file_that_cannot_be_written(source, tmp_path):
    """A folder in its place is named, and nothing is left behind."""
    with pytest.raises(SettingsError, match="is a folder"):
        write_page([source], tmp_path)
    assert list(tmp_path.iterdir()) == []
