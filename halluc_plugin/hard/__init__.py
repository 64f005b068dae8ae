"""Compute log-probs of raw traces, above all in hard context, in one forward pass.

In hard context each action sees only what was live. :mod:`.models` decides which models can do this.
:mod:`.inputs` lays a batch out (mask and rewound positions, always both): packed into one sequence
(:mod:`.packed`), which :mod:`.packed_attention` attends to by rows, or on accelerators by blocks
(:mod:`.blocks`). :mod:`.head` computes logits where an action reads them, in chunks (:mod:`.chunks`),
:mod:`.statistics` reads them, :mod:`.forward` combines these, and :mod:`.check` compares the result with the
model's own logits. The package needs only torch and transformers; the verl engine uses the same parts.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halluc_plugin.hard.check import check_reading
    from halluc_plugin.hard.forward import ActionScores, query_of, score_actions, without_unknown
    from halluc_plugin.hard.head import ACTIONS, ActionOutput, ActionQuery, causal_model, reading_actions
    from halluc_plugin.hard.inputs import ModelInputs, lay_out
    from halluc_plugin.hard.models import (
        Attention,
        attention_of,
        require_full_attention,
        require_tree_attention,
    )
    from halluc_plugin.hard.packed import PackedInputs, packed_inputs
    from halluc_plugin.hard.statistics import Reading, Statistic, read_logits

_HOME = {"check_reading": "check"}
_HOME |= dict.fromkeys(("ActionScores", "query_of", "score_actions", "without_unknown"), "forward")
_HOME |= dict.fromkeys(("ACTIONS", "ActionOutput", "ActionQuery", "causal_model", "reading_actions"), "head")
_HOME |= dict.fromkeys(("ModelInputs", "lay_out"), "inputs")
_HOME |= dict.fromkeys(
    ("Attention", "attention_of", "require_full_attention", "require_tree_attention"), "models"
)
_HOME |= dict.fromkeys(("PackedInputs", "packed_inputs"), "packed")
_HOME |= dict.fromkeys(("Reading", "Statistic", "read_logits"), "statistics")

__all__ = [
    "ACTIONS",
    "ActionOutput",
    "ActionQuery",
    "ActionScores",
    "Attention",
    "ModelInputs",
    "PackedInputs",
    "Reading",
    "Statistic",
    "attention_of",
    "causal_model",
    "check_reading",
    "lay_out",
    "packed_inputs",
    "query_of",
    "read_logits",
    "reading_actions",
    "require_full_attention",
    "require_tree_attention",
    "score_actions",
    "without_unknown",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"halluc_plugin.hard.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
