"""Write the tables of docs/migration.md from the tables of old names: ``make docs``.

The rest of the page is written by hand; a table stands between ``<!-- NAME -->`` and ``<!-- end -->``.
"""

from collections.abc import Mapping
from pathlib import Path

import verl_ext.old_names
from halluc_plugin import old_names

PAGE = Path(__file__).resolve().parents[1] / "docs" / "migration.md"
MODULES = {**old_names.MODULES, **verl_ext.old_names.MODULES}
NAMES = {**old_names.NAMES, **verl_ext.old_names.NAMES}


def page() -> str:
    """Return the text of the page."""
    text = PAGE.read_text(encoding="utf-8")
    for marker, table in (("modules", MODULES), ("names", NAMES)):
        begin = f"<!-- {marker} -->\n"
        before, found, rest = text.partition(begin)
        _, end, after = rest.partition("<!-- end -->")
        if not found or not end:
            raise SystemExit(f"{PAGE} lacks a table between <!-- {marker} --> and <!-- end -->.")
        text = f"{before}{begin}{_table(table)}{end}{after}"
    return text


def _table(pairs: Mapping[str, str]) -> str:
    rows = "".join(f"| `{old}` | `{new}` |\n" for old, new in sorted(pairs.items()))
    return f"| old | new |\n| --- | --- |\n{rows}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
