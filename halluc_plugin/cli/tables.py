"""Print tables of results that can be read in a terminal of any width."""

from collections.abc import Collection, Iterator
from typing import Any

_WIDE = 10_000


class Table:
    """Rows with headings, shown as a table if it fits, and otherwise with a line for each cell.

    A table of rich would break words or cut them off.

    Args:
        *headings: The heading of each column.
        numbers: The headings of right-aligned columns.
        title: Title above the table.
        caption: Caption below the table.
    """

    def __init__(
        self, *headings: str, numbers: Collection[str] = (), title: str = "", caption: str = ""
    ) -> None:
        self._headings, self._numbers, self._title, self._caption = headings, numbers, title, caption
        self._rows: list[tuple[str, ...]] = []

    def add_row(self, *cells: str) -> None:
        """Add a row; missing cells at its end are empty."""
        self._rows.append(cells)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """What rich prints."""
        from rich.table import Table as RichTable

        table = RichTable(title=self._title or None, caption=self._caption or None)
        for heading in self._headings:
            table.add_column(heading, justify="right" if heading in self._numbers else "left")
        for row in self._rows:
            table.add_row(*row)
        # Measured where nothing is in the way, since a measure is cut to what there is, too.
        needed = console.measure(table, options=options.update(max_width=_WIDE)).minimum
        if needed <= options.max_width:
            yield table
        else:
            yield from self._lines()

    def _lines(self) -> Iterator[Any]:
        from rich.text import Text

        if self._title:
            yield Text(self._title, "italic")
        for first, *others in self._rows:
            yield Text(f"{self._headings[0]} {first}".strip(), "bold")
            for heading, cell in zip(self._headings[1:], others, strict=False):
                if cell:
                    yield Text(f"  {heading}: {cell}")
        if self._caption:
            yield Text(self._caption, "italic")
