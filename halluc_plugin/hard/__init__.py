"""Log-probs of raw traces in hard context: one forward, in which each action sees what was live.

:mod:`.models` says which models can, :mod:`.inputs` lays a batch out as a tree (mask and rewound positions,
always both), :mod:`.forward` reads every action's log-prob at its parent. Plain torch and transformers; the
verl engine uses the same inputs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halluc_plugin.hard.forward import ActionScores, ban_edits, score_actions, without_unknown
    from halluc_plugin.hard.inputs import TreeInputs, tree_inputs
    from halluc_plugin.hard.models import Attention, require_full_attention, require_tree_attention

_HOME = dict.fromkeys(("ActionScores", "ban_edits", "score_actions", "without_unknown"), "forward")
_HOME |= {"TreeInputs": "inputs", "tree_inputs": "inputs"}
_HOME |= dict.fromkeys(("Attention", "require_full_attention", "require_tree_attention"), "models")

__all__ = [
    "ActionScores",
    "Attention",
    "TreeInputs",
    "ban_edits",
    "require_full_attention",
    "require_tree_attention",
    "score_actions",
    "tree_inputs",
    "without_unknown",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"halluc_plugin.hard.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
