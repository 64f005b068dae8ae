"""Write the opposite prompts of pairs: the same problem with a request for a better or for a worse answer.

T-REG (arXiv 2412.02685) rewards a token by how much likelier the first request makes it than the second.

Deviation: the requests are system messages of the user's words, and the response follows as the answer to the
problem. The paper's prompts ask to revise a given response, in words of its own.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halluc_plugin.data.parquet import read_rows
from halluc_plugin.data.prompts import row_prompts
from halluc_plugin.data.resumable import Row
from halluc_plugin.data.rows import Message, messages
from halluc_plugin.errors import DataError, SettingsError

Opposites = Mapping[tuple[int, ...], tuple[list[int], list[int]]]
"""The prompts with the request for a better and for a worse answer, by the ids of the plain prompt."""


def opposite_prompts(
    path: Path,
    tokenizer: Any,
    better: str,
    worse: str,
    *,
    limit: int | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> Opposites:
    """Return the opposite prompts of a file of problems or of traces, whose rows have messages.

    Args:
        path: The file to read.
        tokenizer: The tokenizer, whose chat template encodes the messages.
        better: The request for a better answer.
        worse: The request for a worse answer.
        limit: Largest number of rows, from the first; None for all.
        template_kwargs: Further arguments of the chat template.

    Raises:
        SettingsError: The requests are equal, or one is empty.
        DataError: The rows have no messages, or ids of a prompt that the chat template does not make of them;
            or the template leaves a request out.
    """
    if better == worse or not better or not worse:
        raise SettingsError(
            f"The opposite requests are {better!r} and {worse!r}.",
            "Give two texts, --better-request and --worse-request.",
        )
    rows = read_rows(path, ("prompt",), optional=("prompt_ids",))[:limit]
    plain = row_prompts(path, rows, tokenizer, template_kwargs)
    found: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}
    asked = []
    for text in (better, worse):
        requests = [{"prompt": _asking(messages(row), text)} for row in rows]
        asked.append(row_prompts(path, requests, tokenizer, template_kwargs))
    for row, usual, good, bad in zip(rows, plain, *asked, strict=True):
        if len({usual, good, bad}) < 3:
            raise DataError(
                f"{path}: the tokenizer's chat template leaves out system messages, or parts of their texts.",
                "Give other texts, or use a model whose template takes system messages.",
            )
        if row.get("prompt_ids") and tuple(row["prompt_ids"]) != usual:
            raise DataError(
                f"{path}: the ids of a prompt are not those of its messages, to which requests are added.",
                "Give the --template-kwargs that the file was written with, or write it again.",
            )
        found[usual] = (list(good), list(bad))
    return found


@dataclass(frozen=True)
class WithOpposites:
    """Makes the rows of a part, and adds the opposite prompts to each pair.

    Attributes:
        make: Makes the pairs.
        prompts: The opposite prompts of every problem.
    """

    make: Callable[[int, Sequence[Any]], tuple[list[Row], Counter[str]]]
    prompts: Opposites

    def __call__(self, number: int, items: Sequence[Any]) -> tuple[list[Row], Counter[str]]:
        """Rows and counts."""
        rows, tally = self.make(number, items)
        for row in rows:
            better, worse = self.prompts[tuple(row["prompt_ids"])]
            row |= {"better_prompt_ids": better, "worse_prompt_ids": worse}
        return rows, tally


def _asking(prompt: Sequence[Message], request: str) -> list[Message]:
    """The messages behind a system message with a request, which goes into one that is there."""
    first, *rest = prompt
    if first["role"] != "system":
        return [{"role": "system", "content": request}, *prompt]
    content = first["content"]
    if isinstance(content, str):
        return [{**first, "content": f"{request}\n\n{content}"}, *rest]
    return [{**first, "content": [{"type": "text", "text": request}, *content]}, *rest]
