"""Build raw traces: a reference answer, with errors written and taken back on the way.

Every trace built here collapses to its reference. Read in this order: :mod:`.writing` (a trace as it is
written), :mod:`.injection` (synthetic errors), :mod:`.alignment` with :mod:`.myers` (errors taken from a
sample of the model), :mod:`.marker` and :mod:`.turns` (a trace's twin that corrects itself in words, or in a
second attempt). :mod:`.contrast` makes the worse twin of a trace: with its edit at a wrong place, or without;
:mod:`.resets` the traces and pairs by which harmful answers are taken back.
"""

from halluc_plugin.traces.alignment import align_steps, align_tokens
from halluc_plugin.traces.injection import Propose, inject, random_spans, restart
from halluc_plugin.traces.marker import MarkerTwin, marker_twin
from halluc_plugin.traces.myers import Block, unmatched_blocks
from halluc_plugin.traces.turns import turn_twin
from halluc_plugin.traces.writing import RawTrace

__all__ = [
    "Block",
    "MarkerTwin",
    "Propose",
    "RawTrace",
    "align_steps",
    "align_tokens",
    "inject",
    "marker_twin",
    "random_spans",
    "restart",
    "turn_twin",
    "unmatched_blocks",
]
