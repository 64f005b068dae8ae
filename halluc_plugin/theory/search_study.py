"""Study the search law: what tries, memory and the unit of taking back are worth."""

from collections.abc import Sequence

import numpy as np

from halluc_plugin.metrics.intervals import Proportion
from halluc_plugin.theory.estimates import Mean
from halluc_plugin.theory.parallel import at_tokens, best_of
from halluc_plugin.theory.proposals import Distinct, Memoryless, Mixed, Proposal
from halluc_plugin.theory.search_law import SearchLaw, Unit
from halluc_plugin.theory.search_process import simulate_search
from halluc_plugin.theory.study import Comparison, Kind, Panel, Series, Study

ONE = Memoryless((0.0,), (0.75,))
"""The word problem: four starts, one of them right."""
STEPS, TOKENS, ERROR, TRIES = 6, 4.0, 0.3, 8


def search_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of tries of one choice, and of units of taking back over the number of steps."""
    comparisons: list[Comparison] = []
    tries = _tries(samples, rng, comparisons)
    units = _units(samples, rng, comparisons)
    comparisons += _others(samples, rng)
    return Study(
        "search",
        "The search law",
        comparisons,
        [
            Panel(
                "One choice of four: memory and recall", "tries", "P(answer right)", tries, y_limits=(0, 1.03)
            ),
            Panel(
                f"Several steps (e = {ERROR:g}, r = 0.95, f = 0.02, {TRIES} edits)",
                "steps of an answer",
                "P(answer right)",
                units,
                y_limits=(0, 1.03),
            ),
        ],
    )


def _tries(samples: int, rng: np.random.Generator, comparisons: list[Comparison]) -> list[Series]:
    policies: dict[str, tuple[Proposal, float, float]] = {
        "uniform tries, r = 1, f = 0": (ONE, 1.0, 0.0),
        "uniform tries, r = 0.9, f = 0.1": (ONE, 0.9, 0.1),
        "distinct tries, r = 1, f = 0": (Distinct((0.0,), (3,), (1,)), 1.0, 0.0),
        "distinct tries, r = 0.9, f = 0.1": (Distinct((0.0,), (3,), (1,)), 0.9, 0.1),
        "uniform tries, r = f = 0.5": (ONE, 0.5, 0.5),
    }
    points, found = [1, 2, 4, 8, 12], []
    for colour, (label, (proposal, recall, alarm)) in enumerate(policies.items()):
        laws = {n: SearchLaw(proposal, (recall,), (alarm,), n - 1) for n in range(1, points[-1] + 1)}
        shares = [_share(laws[n], samples, rng) for n in points]
        xs = [float(n) for n in laws]
        found.append(Series(label, Kind.EXACT, xs, [law.success for law in laws.values()], colour))
        found.append(Series.simulated(label, points, shares, colour))
        at = points.index(8)
        comparisons.append(Comparison(f"P(right), 8 {label}", laws[8].success, shares[at]))
    return found


def _share(law: SearchLaw, samples: int, rng: np.random.Generator) -> Proportion:
    return Proportion.of(int(simulate_search(law, samples, rng).right.sum()), samples)


def _chain(steps: int, unit: Unit) -> SearchLaw:
    errors = (ERROR,) * steps
    rates = (0.95,) * steps, (0.02,) * steps
    return SearchLaw(Memoryless((0.0,) * steps, errors), *rates, TRIES, unit, (TOKENS,) * steps)


def _units(samples: int, rng: np.random.Generator, comparisons: list[Comparison]) -> list[Series]:
    lengths, found = list(range(1, 9)), []
    for colour, unit in enumerate((Unit.STEP, Unit.RESTART)):
        laws = [_chain(n, unit) for n in lengths]
        runs = [simulate_search(law, samples, rng) for law in laws]
        shares = [Proportion.of(int(run.right.sum()), samples) for run in runs]
        label = f"{unit}: each edit takes back"
        found.append(Series(label, Kind.EXACT, lengths, [law.success for law in laws], colour))
        found.append(Series.simulated(label, lengths, shares, colour))
        law, run = laws[STEPS - 1], runs[STEPS - 1]
        comparisons += [
            Comparison(f"P(right), {unit}, {STEPS} steps", law.success, shares[STEPS - 1]),
            Comparison(f"tokens, {unit}, {STEPS} steps", law.tokens, Mean.of(run.tokens)),
            Comparison("context, soft", law.context(0, hard=False), Mean.of(run.seen_soft)),
            Comparison("context, hard", law.context(0, hard=True), Mean.of(run.seen_hard)),
        ]
    plain = [(1 - ERROR) ** n for n in lengths]
    found.append(Series("one answer", Kind.EXACT, lengths, plain, 3))
    found.append(Series("best of n, as many tokens as step", Kind.EXACT, lengths, _beside(lengths), 2))
    return found


def _beside(lengths: Sequence[int]) -> list[float]:
    """Best of n with a free check of the goal, at the tokens of step backtracks."""
    values = []
    for n in lengths:
        samples = _chain(n, Unit.STEP).tokens / (n * TOKENS + 1)
        right = (1 - ERROR) ** n
        values.append(at_tokens(lambda count, right=right: best_of(right, count), samples))  # type: ignore[misc]
    return values


def _others(samples: int, rng: np.random.Generator) -> list[Comparison]:
    slips, rates = (0.1,) * 3, ((0.4, 0.6, 0.9), (0.1, 0.05, 0.0))
    laws = {
        "token, distinct, slips": SearchLaw(
            Distinct(slips, (3, 2, 3), (1, 2, 1)), *rates, 6, Unit.TOKEN, (3.0,) * 3
        ),
        "step, states unlike": SearchLaw(Mixed(slips, (0.4, 0.3, 0.2), (1.0,) * 3), *rates, 6),
    }
    found = []
    for label, law in laws.items():
        runs = simulate_search(law, samples, rng)
        share = Proportion.of(int(runs.right.sum()), samples)
        found.append(Comparison(f"P(right), {label}", law.success, share))
        found.append(Comparison(f"tokens, {label}", law.tokens, Mean.of(runs.tokens)))
    return found
