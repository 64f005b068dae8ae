"""Run the studies of what the notes left open: when to stop, learning rates, and curricula."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from halluc_plugin.theory.convergence import (
    Objective,
    follow,
    learning_time,
    regularised_floor,
    simulate_learning,
    slope,
)
from halluc_plugin.theory.discovery import (
    Decisions,
    simulate_first_token,
    simulate_tries,
    tries_until_sampled,
)
from halluc_plugin.theory.estimates import Mean
from halluc_plugin.theory.group_gradient import advantage_variance, gradient_weight, simulate_groups
from halluc_plugin.theory.stopping import Stopping, simulate_stopping
from halluc_plugin.theory.study import Comparison, Kind, Panel, Series, Study

if TYPE_CHECKING:
    from collections.abc import Callable

LEARNERS = 200
"""Largest number of runs that learn by sampled gradients: each takes thousands of steps."""


def stopping_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of the threshold by the cost, and of what other thresholds are worth."""
    costs = [float(c) for c in np.geomspace(0.005, 0.69, 40)]
    thresholds = list[Series]()
    for colour, distance in enumerate((1.0, 2.0, 4.0)):
        found = [Stopping(0.3, cost, distance).threshold for cost in costs]
        thresholds.append(Series(f"b*, d = {distance:g}", Kind.EXACT, costs, found, colour))
    steps = [Stopping(0.3, cost, 2.0) for cost in costs]
    recalls = [step.rates(step.threshold)[0] for step in steps]
    thresholds.append(Series("best recall, d = 2", Kind.EXACT, costs, recalls, 3))
    thresholds.append(
        Series("recall as the notes list it", Kind.CLAIMED, [costs[0], costs[-1]], [1.0, 1.0], 3)
    )
    step, beliefs = Stopping(0.3, 0.1, 2.0), [0.1, 0.3, 0.5, 0.7, 0.9]
    means = [Mean.of(simulate_stopping(step, b, samples, rng)) for b in beliefs]
    fine = [float(b) for b in np.linspace(0.02, 0.96, 60)]
    worth = [
        Series("net reward", Kind.EXACT, fine, [step.worth(b) for b in fine], 0),
        Series.simulated("net reward", beliefs, means, 0),
    ]
    comparisons = [
        Comparison(f"net reward, going back below b = {b:g}", step.worth(b), mean)
        for b, mean in zip(beliefs, means, strict=True)
    ]
    best = Mean.of(simulate_stopping(step, step.threshold, samples, rng))
    name = f"net reward at b* = {step.threshold:.3f}, which is b* + c"
    comparisons.append(Comparison(name, step.threshold + step.cost, best))
    return Study(
        "stopping",
        "When going back pays (e = 0.3)",
        comparisons,
        [
            Panel(
                "Threshold and recall fall with the cost",
                "cost c",
                "go back below b*",
                thresholds,
                x_log=True,
            ),
            Panel("Net reward by threshold (c = 0.1, d = 2)", "go back below belief", "net reward", worth),
        ],
    )


def normalisation_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of the weights that division by the deviation gives to prompts."""
    chances, points = [float(p) for p in np.linspace(0.01, 0.99, 99)], [0.05, 0.2, 0.5, 0.8, 0.95]
    weights, variances, comparisons = list[Series](), list[Series](), list[Comparison]()
    for colour, group in enumerate((2, 8, 64)):
        runs = [simulate_groups(p, group, samples, rng) for p in points]
        means, squares = ([Mean.of(run[i]) for run in runs] for i in (0, 1))
        label = f"G = {group}"
        weights.append(
            Series(label, Kind.EXACT, chances, [gradient_weight(p, group) for p in chances], colour)
        )
        weights.append(Series.simulated(label, points, means, colour))
        exact = [advantage_variance(p, group) for p in chances]
        variances.append(Series(label, Kind.EXACT, chances, exact, colour))
        variances.append(Series.simulated(label, points, squares, colour))
        for p, mean, square in zip(points[:3:2], means[:3:2], squares[:3:2], strict=True):
            comparisons.append(Comparison(f"weight, G={group} p={p:g}", gradient_weight(p, group), mean))
            comparisons.append(Comparison(f"Var A, G={group} p={p:g}", advantage_variance(p, group), square))
    plain = Mean.of(simulate_groups(0.2, 8, samples, rng, divide=False)[0])
    comparisons.append(Comparison("weight, G=8 p=0.2, not divided", 1 - 1 / 8, plain))
    weights.append(Series("unbiased, as stated", Kind.CLAIMED, [0.01, 0.99], [1.0, 1.0], 4))
    return Study(
        "normalisation",
        "What dividing by the group's deviation does",
        comparisons,
        [
            Panel(
                "It weighs prompts by how hard they are", "P(right)", "weight of grad P", weights, y_log=True
            ),
            Panel("Advantages have a variance below 1", "P(right)", "Var A", variances),
        ],
    )


def convergence_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of how fast one decision is learnt, with and without a regulariser, and unlearnt."""
    times = np.geomspace(1, 3000, 40)
    slopes: dict[str, Callable[[float], float]] = {
        "expected reward, 1/(2t)": partial(slope, Objective.REWARD),
        "with KL, beta = 0.2": partial(slope, Objective.REGULARISED, beta=0.2),
        "GRPO, large groups, 1/t²": partial(slope, Objective.GRPO),
        "GRPO, G = 8": lambda delta: gradient_weight(1 - delta, 8) * delta * (1 - delta),
    }
    grid = [float(t) for t in times]
    rates = [
        Series(label, Kind.EXACT, grid, follow(of, times).tolist(), colour)
        for colour, (label, of) in enumerate(slopes.items())
    ]
    until = [float(t) for t in np.linspace(1, 14, 30)]
    claimed = [0.5 * float(np.exp(-t)) for t in until]
    rates.append(Series("as stated, exp(-t)", Kind.CLAIMED, until, claimed, 4))
    errors, points = [float(e) for e in np.geomspace(0.002, 0.5, 40)], [0.01, 0.05, 0.2, 0.5]
    scratch = learning_time(0.5, 0.05)
    runs = [Mean.of(simulate_learning(1 - e, 0.05, min(samples, LEARNERS), rng) / scratch) for e in points]
    unlearn = [
        Series(
            "next stage, the other way", Kind.EXACT, errors,
            [learning_time(1 - e, 0.05) / scratch for e in errors], 0,
        ),
        Series.simulated("next stage, the other way", points, runs, 0),
        Series("bound as stated, eps0 = 0.5", Kind.CLAIMED, errors, [1 + e / 0.5 for e in errors], 1),
    ]  # fmt: skip
    comparisons = []
    for delta in (0.3, 0.05):
        found, _ = simulate_groups(1 - delta, 8, samples, rng)
        exact = gradient_weight(1 - delta, 8) * delta * (1 - delta)
        name = f"GRPO's slope, G=8 delta={delta:g}"
        comparisons.append(Comparison(name, exact, Mean.of(found * delta * (1 - delta))))
    return Study(
        "convergence",
        f"How fast a decision is learnt (floor with KL: {regularised_floor(0.2):.4f})",
        comparisons,
        [
            Panel(
                "Exponential is the way to the floor",
                "time",
                "P(worse action)",
                rates,
                x_log=True,
                y_log=True,
            ),
            Panel(
                "What is learnt well is unlearnt slowly",
                "error of the last stage",
                "time over that from scratch",
                unlearn,
                x_log=True,
                y_log=True,
            ),
        ],
    )


def discovery_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of the answers until a first success, of a new token and of a curriculum."""
    chances, points = [float(q) for q in np.geomspace(0.003, 0.5, 40)], [0.02, 0.1, 0.5]
    comparisons, token = list[Comparison](), list[Series]()
    for colour, reached in enumerate((1.0, 0.3)):
        label = f"rho = {reached:g}"
        means = [Mean.of(simulate_first_token(reached, q, samples, rng)) for q in points]
        exact = [tries_until_sampled(reached, q) for q in chances]
        token += [Series(label, Kind.EXACT, chances, exact, colour)]
        token += [Series.simulated(label, points, means, colour)]
        comparisons.append(
            Comparison(f"answers, {label} q=0.02", tries_until_sampled(reached, 0.02), means[0])
        )
    counts, shown = list(range(1, 9)), [1, 2, 3]
    tries = list[Series]()
    for colour, (label, staged, skill) in enumerate(
        (("direct", False, 1.0), ("stages, s = 1", True, 1.0), ("stages, s = 0.7", True, 0.7))
    ):
        answers = [Decisions(k, 0.2, skill) for k in counts]
        exact = [a.staged if staged else a.direct for a in answers]
        means = [Mean.of(simulate_tries(answers[k - 1], samples, rng, staged=staged)) for k in shown]
        tries += [
            Series(label, Kind.EXACT, counts, exact, colour),
            Series.simulated(label, shown, means, colour),
        ]
        comparisons.append(Comparison(f"answers, k=3 q=0.2, {label}", exact[2], means[2]))
    bounds = [Decisions(k, 0.2).usual_bound(1.0) for k in counts]
    tries.append(Series("bound as stated, p_transfer = 1", Kind.CLAIMED, counts, bounds, 3))
    return Study(
        "discovery",
        "Answers until a first success",
        comparisons,
        [
            Panel(
                "A token must be sampled first", "its probability q", "answers until then", token,
                x_log=True, y_log=True,
            ),
            Panel("Stages from the goal backwards (q = 0.2)", "decisions k", "answers", tries, y_log=True),
        ],
    )  # fmt: skip
