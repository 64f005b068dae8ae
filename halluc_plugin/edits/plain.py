"""The edit semantics of one model as plain Python, for those who have its ids and not this package."""

from textwrap import fill

from halluc_plugin.edits.vocab import EditVocab


def plain_source(vocab: EditVocab) -> str:
    """Source of a function ``collapse(ids)`` that equals :func:`halluc_plugin.edits.collapse` with ``vocab``.

    Args:
        vocab: Which ids edit.

    Returns:
        Python without imports, about ten lines; before it the ids that end a step, if one can be taken back.
    """
    branches = [
        f"        if token == {vocab.backtrack}:  # deletes the last token",
        "            del live[-1:]",
    ]
    ends = ""
    if vocab.step is not None:
        ids = ", ".join(map(str, sorted(vocab.step_delimiters)))
        ends = (
            fill(f"STEP_ENDS = {{{ids}}}", 100, subsequent_indent="    ", break_long_words=False) + "\n\n\n"
        )
        branches += [
            f"        elif token == {vocab.step}:  # deletes the last step, back to the end of another one",
            "            del live[-1:]",
            "            while live and live[-1] not in STEP_ENDS:",
            "                live.pop()",
        ]
    if vocab.restart is not None:
        branches += [
            f"        elif token == {vocab.restart}:  # deletes everything",
            "            live.clear()",
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
    return ends + "\n".join(lines) + "\n"
