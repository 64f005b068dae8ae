"""The examples of docs/edits.md."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "edits.md"


def test_the_examples_print_what_the_page_says():
    """Every example of the page, run in order as one session, prints exactly what stands below it."""
    blocks = re.findall(r"^```pycon\n(.+?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    session = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    report = []
    result = doctest.DocTestRunner().run(session, out=report.append)
    assert not result.failed, "".join(report)
    assert result.attempted > 30
