"""The example of docs/credit.md."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "credit.md"


def test_the_drifts_are_those_of_the_page():
    """The example of the page, run as one session, prints what stands below it."""
    blocks = re.findall(r"^```pycon\n(.+?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    session = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    report = []
    result = doctest.DocTestRunner().run(session, out=report.append)
    assert not result.failed, "".join(report)
    assert result.attempted == 11
