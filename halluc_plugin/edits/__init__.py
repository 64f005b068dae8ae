"""Edit semantics: what backtrack, step backtrack and restart tokens do to a response.

Read in this order: :mod:`.vocab` (which ids edit), :mod:`.stack` (the reference, one action at a time),
:mod:`.resolution` (the same for a batch, with all facts), :mod:`.builders` (masks, labels, positions and
attention), :mod:`.decisions` (which actions decide), :mod:`.records` (events and traces), :mod:`.context`
(what the model sees after an edit), :mod:`.rows` (batches from lists), :mod:`.delimiters` (which ids end a
step), :mod:`.texts` (the text of single tokens), :mod:`.plain` (the semantics of one model as plain Python,
for its card).

Importing this package does not import torch; the names that need it are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from halluc_plugin.edits.context import Context
from halluc_plugin.edits.delimiters import find_delimiters
from halluc_plugin.edits.stack import EditState, collapse
from halluc_plugin.edits.vocab import EditKind, EditVocab

if TYPE_CHECKING:
    from halluc_plugin.edits.builders import (
        NO_LIMIT,
        Boundary,
        ErasedTokens,
        budget_mask,
        flex_mask_mod,
        logit_index,
        position_ids,
        response_mask,
        sft_labels,
        tree_attention_mask,
        tree_columns,
    )
    from halluc_plugin.edits.records import (
        EditEvent,
        TraceRecord,
        events,
        read_record,
        row_events,
        trace_record,
    )
    from halluc_plugin.edits.resolution import Backend, Resolution, resolve, resolve_row
    from halluc_plugin.edits.rows import pad_rows, resolve_rows

_BUILDERS = (
    "NO_LIMIT", "Boundary", "ErasedTokens", "budget_mask", "flex_mask_mod", "logit_index", "position_ids",
    "response_mask", "sft_labels", "tree_attention_mask", "tree_columns",
)  # fmt: skip
_HOME = dict.fromkeys(_BUILDERS, "builders")
_HOME |= dict.fromkeys(
    ("EditEvent", "TraceRecord", "events", "read_record", "row_events", "trace_record"), "records"
)
_HOME |= dict.fromkeys(("Backend", "Resolution", "resolve", "resolve_row"), "resolution")

_HOME |= dict.fromkeys(("pad_rows", "resolve_rows"), "rows")

__all__ = [
    "NO_LIMIT",
    "Backend",
    "Boundary",
    "Context",
    "EditEvent",
    "EditKind",
    "EditState",
    "EditVocab",
    "ErasedTokens",
    "Resolution",
    "TraceRecord",
    "budget_mask",
    "collapse",
    "events",
    "find_delimiters",
    "flex_mask_mod",
    "logit_index",
    "pad_rows",
    "position_ids",
    "read_record",
    "resolve",
    "resolve_row",
    "resolve_rows",
    "response_mask",
    "row_events",
    "sft_labels",
    "trace_record",
    "tree_attention_mask",
    "tree_columns",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(import_module(f"halluc_plugin.edits.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
