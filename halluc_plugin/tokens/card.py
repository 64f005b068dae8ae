"""Write the card of a saved model, which explains its edit tokens to users without this package."""

import re
from pathlib import Path
from typing import Any

from halluc_plugin.edits.plain import plain_source
from halluc_plugin.tokens.vocabulary import BACKTRACK_TOKEN, TOKENS, edit_vocab, find

CARD = "README.md"
BEGIN, END = "<!-- halluc: begin -->", "<!-- halluc: end -->"
TITLE = "# A language model that can take back what it wrote"
EFFECTS = {token.text: token.effect for token in TOKENS}
_HEAD = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def write_card(folder: Path, tokenizer: Any, *, base: str, step_delimiter: str = "\n") -> None:
    """Write the card into a model's folder.

    A card of the base model, or an existing one, is kept: a section on edit tokens is added or replaced, and
    missing front matter is added.

    Args:
        folder: Folder of the model.
        tokenizer: The model's tokenizer.
        base: Folder or hub name of the model that it was made from; empty for one made from scratch.
        step_delimiter: Text that ends a step, for a tokenizer with a step backtrack token.

    Raises:
        EditVocabError: No token ends with the step delimiter.
    """
    origin = Path(base).expanduser() / CARD if base else None
    found = next((path for path in (origin, folder / CARD) if path is not None and path.is_file()), None)
    # Bytes that are not UTF-8 are written back unchanged.
    text = "" if found is None else found.read_bytes().decode("utf-8", "surrogateescape")
    name = _name(base)
    card = _with_section(text, _section(tokenizer, name, step_delimiter))
    card = _with_head(card, name, is_hub_name=name == base, edits=bool(_edits(tokenizer)))
    (folder / CARD).write_bytes(card.encode("utf-8", "surrogateescape"))


def _name(base: str) -> str:
    """A hub name as it is; of a folder its last part, since where it lay means nothing elsewhere."""
    folder = Path(base).expanduser()
    return folder.resolve().name if base and folder.exists() else base


def _edits(tokenizer: Any) -> dict[str, int]:
    """Ids of the edit tokens by their text."""
    return {token: found for token in EFFECTS if (found := find(tokenizer, token)) is not None}


def _with_section(text: str, section: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    if not begin:
        return f"{text.rstrip()}\n\n{section}\n" if text.strip() else f"{TITLE}\n\n{section}\n"
    return before + section + rest.partition(END)[2]


def _section(tokenizer: Any, name: str, step_delimiter: str) -> str:
    made = f"made from `{name}` with halluc" if name else "trained from scratch with halluc"
    edits = _edits(tokenizer)
    if BACKTRACK_TOKEN not in edits:
        return f"{BEGIN}\nThis model was {made}. It has no edit tokens.\n{END}"
    effects = "\n".join(f"- `{token}` (id {number}) {EFFECTS[token]}" for token, number in edits.items())
    return f"""{BEGIN}
## Edit tokens

This model was {made}. Beside text it can write edit tokens, which act on the answer instead of extending it:

{effects}

An edit at the beginning of the answer does nothing, and one inside a prompt means nothing. They are ordinary
tokens: a program that does not know them shows mistakes, edit tokens and corrections one after the other. The
answer is what is left when the edits are applied to the ids that the model wrote (without the prompt, up to
the end of text), before they are decoded:

```python
{plain_source(edit_vocab(tokenizer, step_delimiter=step_delimiter))}```

`tokenizer.decode(collapse(ids), skip_special_tokens=True)` is the text. Do not decode first: an edit deletes
tokens, not letters.
{END}"""


def _with_head(text: str, base: str, *, is_hub_name: bool, edits: bool) -> str:
    """The card with front matter that says what the hub needs to know; a broken one is left alone."""
    import yaml

    head = _HEAD.match(text)
    try:
        known = yaml.safe_load(head.group(1)) if head else {}
    # Beside YAMLError, whatever a value such as 2020-13-45 makes its readers raise.
    except Exception:  # noqa: BLE001
        return text
    if not isinstance(known, dict):
        return text
    tags = known.get("tags")
    listed = list(tags) if isinstance(tags, list) else [tags] if tags else []
    ours = ["halluc", *(["backtracking"] if edits else [])]
    told = {"library_name": "transformers", "pipeline_tag": "text-generation", **known}
    told["tags"] = [*listed, *(tag for tag in ours if tag not in listed)]
    # A folder's name says less than what its own card may know.
    if base and (is_hub_name or "base_model" not in known):
        told["base_model"] = base
    body = text[head.end() :] if head else f"\n{text}"
    return f"---\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}---\n{body}"
