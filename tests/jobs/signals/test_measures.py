"""Places, thresholds, semantic entropy and lead time, by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from halluc_plugin.errors import MetricError, SettingsError
from halluc_plugin.jobs.assess.steps import Judged
from halluc_plugin.jobs.signals.asked import Signal, SignalJob
from halluc_plugin.jobs.signals.calibration import Judgement, calibrate
from halluc_plugin.jobs.signals.continued import semantic_entropy
from halluc_plugin.jobs.signals.measures import Window, flagged, lead_time, rankings
from halluc_plugin.jobs.signals.places import SignalPlace, notice_of, parted, places_of
from halluc_plugin.jobs.signals.reading import Value, in_states
from halluc_plugin.metrics import Proportion
from halluc_plugin.probes.token_signals import TokenSignals
from halluc_plugin.verifiers import StepKind

END = 1


class Lines:
    """Cuts at END; a step that begins with 9 kills the text."""

    def spans(self, ids, *, ended):
        """Whole steps, and with ``ended`` the rest."""
        ends = [n + 1 for n, token in enumerate(ids) if token == END]
        if ended and (ends or [0])[-1] < len(ids):
            ends.append(len(ids))
        return list(zip([0, *ends], ends, strict=False))

    @staticmethod
    def judge(ids, spans):
        """Dead from the first 9 on."""
        alive, found = True, []
        for start, _ in spans:
            alive = alive and ids[start] != 9
            found.append(Judged(StepKind.LIVE if alive else StepKind.DEAD, None, None))
        return found


def test_places_of_answers():
    """Distinct texts, dead ones first; a step in dead text is neither right nor wrong."""
    texts = [((5, END, 9, END, 5, END), True), ((5, END, 6), True), ((5, END, 6), False)]
    found = places_of(3, texts, Lines(), Lines.judge, most=2)
    told = [(place.text, place.start, place.depth, place.dead, place.fell) for place in found]
    assert told == [
        ((5, END, 9, END), 2, 2, True, True),
        ((5, END, 9, END, 5, END), 4, 3, True, None),
        ((5, END), 0, 1, False, False),
        ((5, END, 6), 2, 2, False, False),
    ]


def test_what_was_noticed():
    """The text from the wrong step on; live text that was taken back is not dead."""
    notice = notice_of(0, (5, END, 9, END, 4), Lines(), Lines.judge)
    assert (notice.start, notice.text) == (2, (5, END, 9, END, 4))
    assert notice_of(0, (5, END, 9), Lines(), Lines.judge) is None


def test_a_threshold_by_hand():
    """At most a tenth of ten live steps is flagged: the second largest value, which is not above itself."""
    live = [Judgement(float(value), dead=False, depth=1) for value in range(10)]
    dead = [Judgement(8.5, dead=True, depth=1), Judgement(2.0, dead=True, depth=2)]
    found = calibrate(live + dead, 0.1)
    assert (found.threshold, found.live, found.dead, found.n) == (8.0, 0.1, 0.5, 12)
    assert found.by_depth == (8.0, 8.0)
    assert found.warning is None


def test_a_threshold_that_is_never_passed_is_told():
    """All steps have one value: the share stands in the warning."""
    found = calibrate([Judgement(1.0, dead=kind, depth=1) for kind in (True, False)], 0.05)
    assert found.warning == ("The threshold 1 is never passed: 0 % of dead and 0 % of live steps among 2.")


def test_a_calibration_set_of_one_kind_is_refused():
    """It says how many of each there are."""
    with pytest.raises(MetricError, match="2 live and 0 dead steps"):
        calibrate([Judgement(1.0, dead=False, depth=1)] * 2, 0.05)


def test_semantic_entropy_by_hand():
    """Shares of 1/2, 1/4 and 1/4; one meaning has none, and one answer cannot be compared."""
    assert semantic_entropy(["7", "7", "8", None]) == pytest.approx(1.5 * math.log(2))
    assert semantic_entropy(["7", "7"]) == 0
    with pytest.raises(MetricError, match="there are 1"):
        semantic_entropy(["7"])


def place(problem, depth, *, dead, fell=None):
    """A place of no text."""
    return SignalPlace(problem, (5, END), 0, depth, dead, fell)


def test_lead_time_by_hand():
    """Told at the first of four tokens, at the last, and not at all; what is so by chance is handed on."""
    windows = [Window(0, 4, [5.0, 0.0, 0.0, 9.0]), Window(1, 2, [0.0, 5.0]), Window(2, 1, [0.0])]
    found = lead_time(windows, Proportion.of(1, 2), threshold=4.0)
    assert found.leads == (3, 0, None)
    assert (found.events, found.median, found.before.value) == (3, 1.5, pytest.approx(1 / 3))
    assert (found.by_chance.value, found.tokens) == (0.5, pytest.approx(7 / 3))


@pytest.mark.parametrize("state", range(4))
def test_signals_of_one_state_have_one_lead(state):
    """Each is loud in one state, behind so many of three tokens: all tell it 3 - state tokens ahead."""
    before, behind = torch.zeros(4), torch.zeros(4)
    before[state] = behind[state] = 1.0  # by states, from that in front of the first token
    read = TokenSignals(
        before[:3], before[:3], behind[1:], behind[1:, None], behind[1:], *[float(before[3])] * 2
    )
    heads = {Signal.LINEAR_HEAD: SimpleNamespace(dead=lambda hidden: hidden[:, 0].tolist())}
    told = {}
    for signal in (Signal.ENTROPY, Signal.MARGIN, Signal.EDIT, Signal.PHASE_SHIFT, Signal.LINEAR_HEAD):
        window = Window(0, 3, in_states(signal, read, heads))
        told[signal] = lead_time([window], Proportion.of(0, 1), threshold=0.5).leads
    assert {told.pop(Signal.ENTROPY), told.pop(Signal.MARGIN)} == {(3 - state,)}
    # In front of the first token what is read behind tokens tells of the step before.
    assert set(told.values()) == {(3 - state if state else None,)}


def test_what_passes_on_other_problems():
    """One of two live steps passes by its value and by a token; one dead step passes by a token alone."""
    valued = [
        (place(0, 1, dead=False), Value(5.0, 6.0)),
        (place(1, 1, dead=False), Value(0.0, 0.0)),
        (place(1, 1, dead=True), Value(1.0, 6.0)),
    ]
    steps, tokens = flagged(valued, 4.0, 5.0)
    assert (steps.live.value, steps.live.n, steps.dead.value) == (0.5, 2, 0.0)
    assert (tokens.live.value, tokens.dead.value) == (0.5, 1.0)
    assert flagged(valued, 4.0, None)[1] is None


def test_heads_and_thresholds_share_no_problem():
    """Eight problems: two for heads, two for thresholds, four to measure."""
    parts = parted([place(number, 1, dead=False) for number in range(8)])
    assert [[each.problem for each in part] for part in parts] == [[0, 4], [2, 6], [1, 3, 5, 7]]


def test_rankings_by_depth():
    """Wrong last steps are ranked against right ones; those in dead text count for the dead prefix alone."""
    valued = [
        (place(0, 1, dead=True, fell=True), Value(3.0, None)),
        (place(0, 1, dead=False, fell=False), Value(1.0, None)),
        (place(1, 2, dead=True, fell=None), Value(0.0, None)),
        (place(1, 2, dead=False, fell=False), Value(2.0, None)),
    ]
    dead, fell, by_depth, fell_by_depth = rankings(valued)
    assert (dead.auc.value, fell.auc.value) == (0.5, 1.0)
    assert [by_depth[depth].auc.value for depth in (1, 2)] == [1.0, 0.0]
    assert (fell_by_depth[1].n, fell_by_depth[2].n) == (2, 1)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"signals": ()}, SettingsError, "No signal is named"),
        ({"signals": (Signal.EIGENSCORE,), "continuations": 1}, MetricError, "nothing to be compared with"),
        ({"continuations": 3}, SettingsError, "--continuations means nothing for entropy"),
        ({"layer": 3}, SettingsError, "--layer means nothing for entropy"),
        ({"signals": (Signal.MIND,)}, SettingsError, "--references"),
        ({"false_alarm": 1.0}, SettingsError, "--false-alarm is 1.0"),
        ({"temperature": 0.0}, SettingsError, "temperature 0"),
    ],
)
def test_settings_that_are_refused(given, error, message):
    """Before a model is loaded, with the fix."""
    with pytest.raises(error, match=message):
        SignalJob("model", "data", **{"signals": (Signal.ENTROPY,), **given})
