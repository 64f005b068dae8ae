"""A tabular MDP with a backspace, solved exactly: the oracle of the occupancy-matching losses."""

from dataclasses import dataclass

import pytest
import torch

APPEND, BACKSPACE, EOS = range(3)


@dataclass(frozen=True)
class Backspaces:
    """Texts of 0 to ``depth`` letters, and the absorbing state behind EOS.

    Every text allows all three actions. A letter beyond the depth changes nothing, and neither does a
    backspace on the empty text.
    """

    depth: int

    @property
    def states(self):
        """How many texts there are."""
        return self.depth + 1

    def step(self, state, action):
        """The next text; None behind EOS."""
        if action == EOS:
            return None
        return min(state + 1, self.depth) if action == APPEND else max(state - 1, 0)

    def occupancy(self, policy, gamma):
        """Discounted occupancies of (text, action), Float[S, 3], and of the absorbing state; the sum is 1."""
        moves = torch.zeros(self.states, self.states, dtype=policy.dtype)
        for state in range(self.states):
            for action in (APPEND, BACKSPACE):
                moves[state, self.step(state, action)] += policy[state, action]
        start = torch.zeros(self.states, dtype=policy.dtype)
        start[0] = 1 - gamma
        of_states = torch.linalg.solve(torch.eye(self.states, dtype=policy.dtype) - gamma * moves.T, start)
        return of_states[:, None] * policy, 1 - of_states.sum()

    def rewards(self, q, absorbed, gamma):
        """r(s, a) = Q - γ V(s'), Float[S, 3], and that of the absorbing state."""
        values = torch.cat([q.logsumexp(1), absorbed[None]])
        after = [
            [self.states if self.step(s, a) is None else self.step(s, a) for a in range(3)]
            for s in range(self.states)
        ]
        return q - gamma * values[torch.tensor(after)], (1 - gamma) * absorbed

    def entropy(self, policy, gamma):
        """Discounted causal entropy."""
        occupancy, _ = self.occupancy(policy, gamma)
        return -(occupancy * policy.log()).sum()

    def responses(self, policy, longest):
        """All action sequences of at most so many actions, with their probabilities, ended or cut off."""
        unfinished = [((), 0, 1.0)]
        found = []
        for _ in range(longest):
            longer = []
            for actions, state, chance in unfinished:
                for action in range(3):
                    whole, p = (*actions, action), chance * float(policy[state, action])
                    if action == EOS:
                        found.append((whole, p))
                    else:
                        longer.append((whole, self.step(state, action), p))
            unfinished = longer
        return found + [(actions, chance) for actions, _, chance in unfinished]


@pytest.fixture(params=[1, 2])
def mdp(request):
    """Two or three texts."""
    return Backspaces(request.param)
