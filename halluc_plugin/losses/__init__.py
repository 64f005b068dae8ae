"""What is minimised, beside the plain likelihood.

:mod:`.shares` says which share of an imitation loss goes to what. :mod:`.sequence_match` has the mathematics
of matching, on numbers; :mod:`.trajectories` reads those numbers off a model, in one forward over raw traces
in hard context.
"""

from halluc_plugin.losses.sequence_match import (
    Divergence,
    MatchLoss,
    Trajectories,
    imitation_loss,
    sequence_match_loss,
)
from halluc_plugin.losses.trajectories import score_trajectories

__all__ = [
    "Divergence",
    "MatchLoss",
    "Trajectories",
    "imitation_loss",
    "score_trajectories",
    "sequence_match_loss",
]
