"""Write docs/host-settings.md from the tables that the checks read: ``make docs``."""

from pathlib import Path

from verl_ext.host_settings import SFT_TABLE, TABLE, Row, Table, Where

PAGE = Path(__file__).resolve().parents[1] / "docs" / "host-settings.md"
INTRODUCTION = """\
# Settings of verl

This page lets you look up whether a setting of verl goes with those of halluc, and what to set where it does
not.

Written by `make docs` from `verl_ext/host_settings/`, which the checks before a run and the tests read too.

What is refused is refused before any worker starts, with the reason and what to set instead. *Limits on
edits* are `halluc.max_backtracks`, a curriculum with budgets, and `halluc.boundary=mask`; *sampled
continuations* come with `halluc.values.source`. What is in no table is left as it is in verl. *Not run by us*
is what should work and was not tried.

Apart from what is in these tables a run is refused that nobody could score, whose model cannot follow hard
context (a sliding window, recurrent state), or whose teacher or critic does not know the edit tokens that it
would read.
"""


def page() -> str:
    """Return the text of the page."""
    return "\n".join([INTRODUCTION, *_tables(TABLE, "main_ppo"), *_tables(SFT_TABLE, "sft_trainer")])


def _tables(table: Table, program: str) -> list[str]:
    lines = [f"## `verl.trainer.{program}`", ""]
    for part, rows in table.items():
        lines += [f"### {part}", "", "| setting | refused in | |", "| --- | --- | --- |"]
        lines += [_line(row) for row in rows]
        lines.append("")
    return lines


def _line(row: Row) -> str:
    when = ", and ".join(f"`{values.key}`: {values.text}" for values in row.when)
    where = "" if row.refused is Where.NOWHERE else row.refused.value
    return f"| {when} | {where} | {row.why[0].upper()}{row.why[1:]}. {row.fix}".rstrip() + " |"


if __name__ == "__main__":
    PAGE.write_text(page())
