"""The edit semantics of one model as plain Python, for those who have its ids and not this package."""

from textwrap import fill

from halluc_plugin.edits.vocab import ROLES, EditVocab


def plain_source(vocab: EditVocab) -> str:
    """Source of a function ``collapse(ids)`` that equals :func:`halluc_plugin.edits.collapse` with ``vocab``.

    Args:
        vocab: Which ids edit.

    Returns:
        Python without imports, about ten lines; before it the ids that end a step, if one can be taken back.
    """
    branches: list[str] = []
    constants: list[str] = []
    for role in (role for role in ROLES if role in vocab.roles):
        token_id = vocab.roles[role]
        stops = vocab.stops[token_id]
        condition = f"        {'elif' if branches else 'if'} token == {token_id}:"
        if stops is None:
            branches += [
                f"{condition}  # deletes the last token",
                "            del live[-1:]",
            ]
        elif not stops:
            branches += [
                f"{condition}  # deletes everything",
                "            live.clear()",
            ]
        else:
            name, ids = f"{role.upper()}_ENDS", ", ".join(map(str, sorted(stops)))
            constants += [fill(f"{name} = {{{ids}}}", 100, subsequent_indent="    ", break_long_words=False)]
            branches += [
                f"{condition}  # deletes the last {role}, back to the end of another one",
                "            del live[-1:]",
                f"            while live and live[-1] not in {name}:",
                "                live.pop()",
            ]
    lines = [
        "def collapse(ids):",
        "    live = []",
        "    for token in ids:",
        *branches,
        "        else:",
        "            live.append(token)",
        "    return live",
    ]
    head = "\n".join(constants) + "\n\n\n" if constants else ""
    return head + "\n".join(lines) + "\n"
