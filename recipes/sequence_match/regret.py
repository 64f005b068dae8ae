"""Compare likelihood with SequenceMatch on a synthetic chain with unavoidable slips and data without any.

A text has t right letters followed by k wrong ones; any letter after a wrong one is wrong. The data write L
right letters. Both policies are tables, and each of their actions slips to a wrong letter with probability
``SLIP``. Likelihood learns nothing about texts with errors, as the data have none. SequenceMatch sees what
the policy does there, and learns that a backspace leads back to where the data are. Regret: actions that
leave an error in the live text, in an episode of at most ``PATIENCE * L`` actions.
"""

from dataclasses import dataclass
from typing import Any

import torch

from halluc_plugin.losses import Trajectories, imitation_loss, sequence_match_loss

SLIP, PATIENCE, MOST_WRONG, GAMMA = 0.05, 4, 8, 0.95
STEPS, LEARNING_RATE, BATCH, EPISODES = 1000, 0.1, 64, 4000
RIGHT, WRONG, BACK = range(3)


@dataclass(frozen=True)
class Chain:
    """Texts of up to ``length`` right letters; ``length`` without a wrong one ends the episode.

    Attributes:
        length: Number of right letters of a complete text, L.
    """

    length: int

    def step(self, state: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Return the next states; a state is t * (MOST_WRONG + 1) + k."""
        right, wrong = state // (MOST_WRONG + 1), state % (MOST_WRONG + 1)
        back, spoiled = action == BACK, wrong > 0
        more_right = (~spoiled & (action == RIGHT)).long() - (back & ~spoiled).long()
        more_wrong = ((action == WRONG) | (spoiled & (action == RIGHT))).long() - (back & spoiled).long()
        right = (right + more_right).clamp(min=0)
        return right * (MOST_WRONG + 1) + (wrong + more_wrong).clamp(max=MOST_WRONG)

    @property
    def end(self) -> int:
        """The state that ends an episode; the absorbing state follows it."""
        return self.length * (MOST_WRONG + 1)

    def episodes(
        self, q: torch.Tensor, count: int, generator: torch.Generator, *, slip: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states before each action and after the last, Long[count, T + 1], and the actions.

        The actions are Long[count, T].
        """
        policy = (1 - slip) * q.detach().softmax(1)
        policy[:, WRONG] += slip
        states = [torch.zeros(count, dtype=torch.long)]
        actions = []
        for _ in range(PATIENCE * self.length):
            actions.append(torch.multinomial(policy[states[-1]], 1, generator=generator).squeeze(1))
            moved = self.step(states[-1], actions[-1])
            states.append(torch.where(states[-1] == self.end, states[-1], moved))
        return torch.stack(states, 1), torch.stack(actions, 1)

    def trajectories(
        self, q: torch.Tensor, absorbed: torch.Tensor, states: torch.Tensor, actions: torch.Tensor
    ) -> Trajectories:
        """Return episodes with the scores of a table."""
        values = q.logsumexp(1)
        values = torch.where(torch.arange(len(values)) == self.end, absorbed, values)
        valid = states[:, :-1] != self.end
        ended = (states == self.end).any(1)
        chosen = q[states[:, :-1], actions]
        return Trajectories(chosen, values[states], valid, valid, ended, torch.ones(len(states)))


def regret(length: int, *, matched: bool, seed: int) -> float:
    """Train a table, and return its regret.

    Args:
        length: Number of right letters of a complete text, L.
        matched: Whether to train by SequenceMatch instead of likelihood.
        seed: Seed of all samples.

    Returns:
        The number of actions that leave an error in the live text, per episode.
    """
    chain, generator = Chain(length), torch.Generator().manual_seed(seed)
    q = torch.zeros((length + 1) * (MOST_WRONG + 1), 3, requires_grad=True)
    absorbed = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.Adam([q, absorbed], LEARNING_RATE)
    letters = torch.full((BATCH, length), RIGHT)
    texts = torch.arange(length + 1).expand(BATCH, -1) * (MOST_WRONG + 1)
    for _ in range(STEPS):
        data = chain.trajectories(q, absorbed, texts, letters)
        loss: Any = imitation_loss(data)
        if matched:
            own = chain.trajectories(q, absorbed, *chain.episodes(q, BATCH, generator, slip=SLIP))
            loss = sequence_match_loss(data, own, gamma=GAMMA).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    states, _ = chain.episodes(q, EPISODES, generator, slip=SLIP)
    going = states[:, :-1] != chain.end
    spoiled = states[:, 1:] % (MOST_WRONG + 1) > 0
    return float((going & spoiled).sum()) / EPISODES
