"""The example of docs/metrics.md."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_example_prints_what_the_page_says():
    """The example of the page, run as one session, prints what stands below it."""
    blocks = re.findall(r"^```pycon\n(.+?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    session = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, PAGE.name, str(PAGE), 0)
    report = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(session, out=report.append)
    assert not result.failed, "".join(report)
    assert result.attempted == 8
