"""Edit semantics: what backtrack, step backtrack and restart tokens do to a response.

Read in this order: :mod:`.vocab` (which ids edit), :mod:`.stack` (the reference, one action at a time),
:mod:`.resolution` (the same for a batch), :mod:`.builders` (masks, labels, positions, attention).
"""

from halluc_plugin.edits.stack import EditState, collapse
from halluc_plugin.edits.vocab import EditKind, EditVocab

__all__ = ["EditKind", "EditState", "EditVocab", "collapse"]
