"""Losses to minimise, apart from the plain likelihood.

:mod:`.shares` divides an imitation loss between classes of tokens. :mod:`.sequence_match` has the mathematics
of SequenceMatch, on numbers; :mod:`.trajectories` computes those numbers with a model, in one forward pass
over raw traces in hard context. :mod:`.preference` has the losses of pairs, of which one side is preferred.
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
