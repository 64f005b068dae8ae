"""Run the studies: each sets parameters, evaluates closed forms, simulates, and lays out its figure."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import numpy as np

from halluc_plugin.metrics.intervals import Proportion
from halluc_plugin.theory.estimates import Estimate, Mean
from halluc_plugin.theory.final_errors import erasure_precision, expected_final_errors, usual_bound
from halluc_plugin.theory.mod10 import Mod10, Retry, simulate_solved, simulate_tokens
from halluc_plugin.theory.notes_studies import (
    convergence_study,
    discovery_study,
    normalisation_study,
    stopping_study,
)
from halluc_plugin.theory.recovery import CheckedChain, simulate_chain
from halluc_plugin.theory.regret import (
    EditWalk,
    Undo,
    expected_regret,
    growth_exponent,
    simulate_regret,
    simulated_exponent,
    usual_regret_bound,
)
from halluc_plugin.theory.search_study import search_study
from halluc_plugin.theory.study import Comparison, Kind, Panel, Series, Study


def _grid(low: float, high: float) -> list[float]:
    return [float(x) for x in np.linspace(low, high, 81)]


def _line_and_markers(
    label: str,
    colour: int,
    curve: Callable[[float], float],
    points: Sequence[float],
    estimates: Sequence[Estimate],
) -> list[Series]:
    """A closed form over the range of ``points``, and the simulations at them."""
    fine = _grid(points[0], points[-1])
    line = Series(label, Kind.EXACT, fine, [curve(x) for x in fine], colour)
    return [line, Series.simulated(label, points, estimates, colour)]


def recovery_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of the error-recovery law by recall, and of its cost by the false alarm."""
    recalls, alarms = [0.0, 0.5, 0.8, 0.9, 0.95, 1.0], [0.0, 0.05, 0.1, 0.2, 0.3, 0.4]
    comparisons: list[Comparison] = []
    accuracy: list[Series] = []
    cost: list[Series] = []

    def success(recall: float, error: float) -> float:
        return CheckedChain(50, error, recall).success

    def actions(alarm: float, error: float) -> float:
        return CheckedChain(50, error, 0.9, alarm).actions / 50

    for colour, error in enumerate((0.01, 0.02, 0.05)):
        chains = [CheckedChain(50, error, r) for r in recalls]
        shares = [Proportion.of(simulate_chain(c, samples, rng).solved, samples) for c in chains]
        label = f"e = {error}"
        accuracy += _line_and_markers(label, colour, partial(success, error=error), recalls, shares)
        if error == 0.02:
            names = [f"P(right), e=0.02 r={r:g}" for r in recalls]
            comparisons += map(Comparison, names, [c.success for c in chains], shares)
    for colour, error in enumerate((0.01, 0.05, 0.2)):
        chains = [CheckedChain(50, error, 0.9, f) for f in alarms]
        means = [Mean.of(simulate_chain(c, samples, rng).actions / 50) for c in chains]
        label = f"e = {error}"
        cost += _line_and_markers(label, colour, partial(actions, error=error), alarms, means)
        name = f"actions per step, e={error} r=0.9 f=0.1"
        comparisons.append(Comparison(name, actions(0.1, error), means[alarms.index(0.1)]))
    return Study(
        "recovery",
        "Error-recovery law (L = 50)",
        comparisons,
        [
            Panel(
                "Recall buys accuracy (f = 0)", "recall r", "P(answer right)", accuracy, y_limits=(0, 1.03)
            ),
            Panel("False alarms cost actions (r = 0.9)", "false alarm f", "actions per step", cost),
        ],
    )


def regret_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of regret by the horizon for both edits, and of its growth exponent by the recall."""
    error, horizons = 2e-4, [2**i for i in range(5, 11)]
    walks = {
        "no recovery": EditWalk(error),
        "last token, r = 0.3": EditWalk(error, 0.3),
        "last token, r = 0.5": EditWalk(error, 0.5),
        "last token, r = 0.8": EditWalk(error, 0.8),
        "span, r = 0.3": EditWalk(error, 0.3, Undo.SPAN),
    }
    growth: list[Series] = []
    comparisons: list[Comparison] = []
    markers: dict[Undo, tuple[list[float], list[Estimate]]] = {undo: ([], []) for undo in Undo}
    for colour, (label, walk) in enumerate(walks.items()):
        regret = _regret_at(walk, horizons)
        runs = simulate_regret(walk, horizons, samples, rng)
        means = [Mean.of(column) for column in runs.T]
        exponent = simulated_exponent(horizons, runs)
        growth.append(Series(label, Kind.EXACT, horizons, regret, colour))
        growth.append(Series.simulated(label, horizons, means, colour))
        comparisons.append(Comparison(f"exponent, {label}", growth_exponent(horizons, regret), exponent))
        comparisons.append(Comparison(f"R(1024), {label}", regret[-1], means[-1]))
        markers[walk.undo][0].append(walk.recall)
        markers[walk.undo][1].append(exponent)
    claimed = [float(x) for x in usual_regret_bound(walks["no recovery"], horizons)]
    growth.append(Series("usual bound at r = 0, T e", Kind.CLAIMED, horizons, claimed, 0))
    exponents: list[Series] = []
    recalls = [float(x) for x in np.linspace(0, 1, 51)]
    for undo, label, colour in ((Undo.LAST, "last token", 1), (Undo.SPAN, "span", 4)):
        curve = [growth_exponent(horizons, _regret_at(EditWalk(error, r, undo), horizons)) for r in recalls]
        exponents.append(Series(f"each edit deletes: {label}", Kind.EXACT, recalls, curve, colour))
        exponents.append(Series.simulated(label, *markers[undo], colour))
    return Study(
        "regret",
        "Regret with and without recovery (e = 0.0002)",
        comparisons,
        [
            Panel(
                "Regret grows as T² or as T (e = 0.0002)",
                "horizon T, actions",
                "regret R(T), actions",
                growth,
                x_log=True,
                y_log=True,
            ),
            Panel(
                "Single-token edits need r > 1/2", "recall r", "growth exponent, T = 32 to 1024", exponents
            ),
        ],
    )


def _regret_at(walk: EditWalk, horizons: Sequence[int]) -> list[float]:
    regret = expected_regret(walk, horizons[-1])
    return [float(regret[t - 1]) for t in horizons]


def final_errors_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of the errors left per 100 steps, where the usual bound is too low or far too high."""
    recalls, alarms = [0.0, 0.25, 0.5, 0.75, 0.9], [0.0, 0.05, 0.1, 0.2, 0.3]
    comparisons: list[Comparison] = []

    def checked(points: list[float], make: Callable[[float], CheckedChain]) -> list[Series]:
        means = [Mean.of(simulate_chain(make(x), samples, rng).final_wrong) for x in points]
        for chain, mean in zip(map(make, points), means, strict=True):
            name = f"errors, e={chain.error:g} r={chain.recall:g} f={chain.false_alarm:g}"
            comparisons.append(Comparison(name, expected_final_errors(chain), mean))
        return _line_and_markers(
            "errors left, L e (1 - r)/k", 0, lambda x: expected_final_errors(make(x)), points, means
        )

    def claimed(label: str, colour: int, grid: list[float], bound: Callable[[float], float]) -> Series:
        return Series(label, Kind.CLAIMED, grid, [bound(x) for x in grid], colour)

    def clean(recall: float) -> CheckedChain:
        return CheckedChain(100, 0.3, recall)

    def alarmed(alarm: float) -> CheckedChain:
        return CheckedChain(100, 0.05, 0.8, alarm)

    low = [
        *checked(recalls, clean),
        claimed("Theorem 1, p = 1", 1, _grid(0, 0.9), lambda r: usual_bound(clean(r), 1)),
    ]
    grid = _grid(0, 0.3)
    high = [
        *checked(alarms, alarmed),
        claimed("Theorem 1, p = specificity", 1, grid, lambda f: usual_bound(alarmed(f), 1 - f)),
        claimed(
            "Theorem 1, p = precision",
            2,
            grid,
            lambda f: usual_bound(alarmed(f), erasure_precision(alarmed(f))),
        ),
    ]
    per_steps = "errors per 100 steps"
    return Study(
        "final-errors",
        "Errors left in the final answer (L = 100)",
        comparisons,
        [
            Panel("The bound is too low (e = 0.3, f = 0)", "recall r", per_steps, low),
            Panel(
                "The bound is far too high (e = 0.05, r = 0.8)", "false alarm f", per_steps, high, y_log=True
            ),
        ],
    )


def mod10_study(samples: int, rng: np.random.Generator) -> Study:
    """Return the study of actions by the chance of a first attempt and by the length, with restarts."""
    chances, lengths = [0.05, 0.1, 0.2, 0.5, 0.8], [10 * k for k in range(1, 21)]
    policies: dict[str, tuple[Retry, tuple[float, ...]]] = {
        "memoryless": (Retry.MEMORYLESS, (1.0,) * 9),
        "tabu, 9 wrong digits": (Retry.TABU, (1.0,) * 9),
        "tabu, 1 wrong digit; soft, q = 1": (Retry.TABU, (1.0,)),
    }
    tokens: list[Series] = []
    growth: list[Series] = []
    comparisons: list[Comparison] = []
    for colour, (label, (retry, wrong)) in enumerate(policies.items()):
        expected = partial(_expected_tokens, retry=retry, wrong=wrong)
        means = [Mean.of(simulate_tokens(Mod10(p=p, wrong=wrong), retry, samples, rng)) for p in chances]
        tokens += _line_and_markers(label, colour, expected, chances, means)
        growth.append(Series(label, Kind.EXACT, lengths, [expected(0.05, length=n) for n in lengths], colour))
        comparisons.append(Comparison(f"actions, {label}", expected(0.05), means[0]))
    restarts = [10 ** Mod10(n, n // 10).log10_restart_tokens for n in lengths]
    growth.append(Series("whole answers until one is right", Kind.EXACT, lengths, restarts, 3))
    return Study(
        "mod10",
        "The mod-10 task (L = 1500, K = 150, p = 0.05 unless said)",
        comparisons + _other_mod10_checks(samples, rng),
        [
            Panel(
                "What retries know (L = 1500, K = 150)", "p of a first attempt", "actions per answer", tokens
            ),
            Panel(
                "Retries or restarts (K = L/10, p = 0.05)",
                "length L",
                "actions per answer",
                growth,
                y_log=True,
            ),
        ],
    )


def _expected_tokens(p: float, *, retry: Retry, wrong: tuple[float, ...], length: int = 1500) -> float:
    return Mod10(length, length // 10, p, wrong).expected_tokens(retry)


def _other_mod10_checks(samples: int, rng: np.random.Generator) -> list[Comparison]:
    soft = Mod10(retry_p=0.5)
    mean = Mean.of(simulate_tokens(soft, Retry.SOFT, samples, rng))
    checks = [Comparison("actions, soft, q = 0.5", soft.expected_tokens(Retry.SOFT), mean)]
    for task in (Mod10(60, 6, 0.5), Mod10(100, 10, 0.5)):
        solved = Proportion.of(int(simulate_solved(task, 64, samples, rng).sum()), samples)
        name = f"pass@64, L={task.length} K={task.hard} p={task.p}"
        checks.append(Comparison(name, task.pass_at(64), solved))
    return checks


STUDIES: Mapping[str, Callable[[int, np.random.Generator], Study]] = MappingProxyType(
    {
        "recovery": recovery_study,
        "regret": regret_study,
        "final-errors": final_errors_study,
        "mod10": mod10_study,
        "search": search_study,
        "stopping": stopping_study,
        "normalisation": normalisation_study,
        "convergence": convergence_study,
        "discovery": discovery_study,
    }
)
"""The function of each study by its name on the command line: ``study(samples, rng)``."""
