"""A graph of definitions modulo m: its values, its order, and the text of a step."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

_OPERATION = re.compile(r"([a-z])([-+*])([a-z])")


class Graph:
    """The graph of one problem.

    Args:
        truth: ``definitions`` (texts such as ``c=a+b`` and ``a=5``, in any order, without cycles), ``query``
            (a name) and ``modulus``.

    Attributes:
        query: The name that is asked for.
        values: The value of each name.
    """

    def __init__(self, truth: Mapping[str, Any]) -> None:
        self._modulus = int(truth["modulus"])
        self._definitions = dict(text.split("=") for text in truth["definitions"])
        self.query: str = truth["query"]
        self.values: dict[str, int] = {}
        for name in self._definitions:
            self._work_out(name)

    def operands(self, name: str) -> tuple[str, ...]:
        """Return the two names from which ``name`` is worked out; none if it is a number."""
        match = _OPERATION.fullmatch(self._definitions[name])
        return (match[1], match[3]) if match else ()

    def is_ready(self, name: str, done: Collection[str]) -> bool:
        """Return whether all names that ``name`` needs are among ``done``."""
        return all(operand in done for operand in self.operands(name))

    def line(self, name: str, operand_values: Sequence[int] = ()) -> str:
        """Return the step that works out ``name``, newline included.

        Args:
            name: The name to work out.
            operand_values: Values to use for its two operands, right or not; by default the right ones.
        """
        operands = self.operands(name)
        if not operands:
            return f"{name}={self._definitions[name]}\n"
        x, y = operand_values or (self.values[operand] for operand in operands)
        sign = self._definitions[name][1]
        return f"{name}={x}{sign}{y}={self._apply(sign, x, y)}\n"

    def reference_steps(self) -> tuple[str, ...]:
        """Return the steps that the query needs, each after those it needs itself, as late as possible."""
        order: dict[str, None] = {}
        self._visit(self.query, order)
        return tuple(self.line(name) for name in order)

    def _visit(self, name: str, order: dict[str, None]) -> None:
        for operand in self.operands(name):
            self._visit(operand, order)
        order.setdefault(name)

    def _work_out(self, name: str) -> int:
        if name not in self.values:
            operands = [self._work_out(operand) for operand in self.operands(name)]
            definition = self._definitions[name]
            self.values[name] = self._apply(definition[1], *operands) if operands else int(definition)
        return self.values[name]

    def _apply(self, sign: str, x: int, y: int) -> int:
        return {"+": x + y, "-": x - y, "*": x * y}[sign] % self._modulus
