"""Log-probs of raw traces in hard context: one forward, in which each action sees what was live.

:mod:`.inputs` lays a batch out as a tree (mask and rewound positions, always both), :mod:`.forward` reads
every action's log-prob at its parent. Plain torch and transformers; the verl engine uses the same inputs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halluc_plugin.hard.forward import ActionScores, score_actions
    from halluc_plugin.hard.inputs import Attention, TreeInputs, require_tree_attention, tree_inputs

_HOME = {"ActionScores": "forward", "score_actions": "forward"}
_HOME |= dict.fromkeys(("Attention", "TreeInputs", "require_tree_attention", "tree_inputs"), "inputs")

__all__ = [
    "ActionScores",
    "Attention",
    "TreeInputs",
    "require_tree_attention",
    "score_actions",
    "tree_inputs",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"halluc_plugin.hard.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
