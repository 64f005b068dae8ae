"""Write the edit semantics of one model as plain Python, for users who do not have this package."""

from textwrap import fill

from halluc_plugin.edits.vocab import ROLES, EditVocab


def plain_source(vocab: EditVocab) -> str:
    """Return Python source that collapses ids as :func:`halluc_plugin.edits.collapse` does.

    Args:
        vocab: The edit vocabulary of the model; its ids are written into the source.

    Returns:
        The source of a function ``collapse(ids)`` of about ten lines without imports, preceded by the ids
        that end a step if the model has a step backtrack.
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
