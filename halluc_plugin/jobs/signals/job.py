"""Probe the signals of one or two policies on one file of problems."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from halluc_plugin.data.resumable import Progress
from halluc_plugin.data.trace_files import read_traces
from halluc_plugin.errors import SettingsError
from halluc_plugin.jobs.assess.steps import Cutter
from halluc_plugin.jobs.samplers import policy_space, require_fit
from halluc_plugin.jobs.signals.asked import CONTINUED, FITTED, Signal, SignalJob
from halluc_plugin.jobs.signals.continued import Continued, continued
from halluc_plugin.jobs.signals.measures import (
    SignalFound,
    Window,
    calibrations,
    flagged,
    lead_time,
    rankings,
)
from halluc_plugin.jobs.signals.places import (
    Notice,
    SignalPlace,
    judges_of,
    notice_of,
    parted,
    places_of,
    sampled,
)
from halluc_plugin.jobs.signals.reading import Value, fitted, in_states, value_at
from halluc_plugin.jobs.signals.unsupervised import mind_head
from halluc_plugin.probes.token_signals import TokenSignals, checked_layer, token_signals
from halluc_plugin.probes.two_layer import Head
from halluc_plugin.progress_bar import pass_on
from halluc_plugin.sampling.hf import HFSampler
from halluc_plugin.sampling.networks import load_network
from halluc_plugin.sampling.problems import PosedProblem, read_problems
from halluc_plugin.sampling.states import End
from halluc_plugin.tokens.loading import load_tokenizer

Answers = list[tuple[tuple[int, ...], End]]
CONTINUATIONS = 10
"""Number of continuations that are compared by default, as in INSIDE."""


@dataclass(frozen=True)
class PolicySignals:
    """The signals of one policy.

    Attributes:
        model: The model's folder or name.
        token: Whether it has an edit token.
        problems: Number of problems; heads are fitted on every fourth, thresholds are chosen on others of
            even number, those of odd number are measured.
        found: The measurements of each signal.
        heads: The fitted heads, by signal.
        layer: Number of the layer that heads read.
        middle: Number of the layer whose states EigenScore and phase shift compare.
        sampled: Number of tokens of the answers that were sampled, continuations left out.
    """

    model: str
    token: bool
    problems: int
    found: list[SignalFound]
    heads: dict[Signal, Head]
    layer: int
    middle: int
    sampled: int


def probe_signals(job: SignalJob, progress: Progress = pass_on) -> list[PolicySignals]:
    """Measure the signals of each policy.

    Args:
        job: The settings of the probe.
        progress: Shows the progress.

    Returns:
        The measurements of the model, and of the one without the token if there is one.

    Raises:
        SettingsError: The layer is not there, or a model has too few positions, or ``edit`` is asked of a
            model without an edit token.
        MetricError: The problems that heads are fitted on, or those that thresholds are chosen on, have
            places of one kind alone.
        DataError: The problems cannot be read, or their verifier judges no steps.
        TokenizerError: A model cannot be loaded.
    """
    return [_Policy(model, job, progress).measured() for model in (job.model, job.without) if model]


class _Policy:
    """One policy that is probed."""

    def __init__(self, model: str, job: SignalJob, progress: Progress) -> None:
        trust = job.trust_remote_code
        self.model, self.job, self.progress = model, job, progress
        self.tokenizer = load_tokenizer(model, trust_remote_code=trust)
        self.space = policy_space(
            model, self.tokenizer, step_delimiter=job.step_delimiter, max_tokens=job.max_tokens,
            temperature=job.temperature,
        )  # fmt: skip
        self.token = self.space.edits_banned
        if not self.token and job.signals == (Signal.EDIT,):
            raise SettingsError(
                f"{model} has no edit token, and so no probability of an edit.",
                "Name another signal, or a model with the token (`halluc add-token`).",
            )
        self.problems: list[PosedProblem] = read_problems(
            job.data, self.tokenizer, job.limit, template_kwargs=job.apply_chat_template_kwargs
        )
        self.tokens = 0
        self.cutter = Cutter(self.tokenizer, self.space, job.step_delimiter)
        self.judges = judges_of(self.problems, self.cutter)
        prompts = [problem.prompt for problem in self.problems]
        require_fit(model, prompts, self.space, trust_remote_code=trust)
        self.network = load_network(model, trust_remote_code=trust)
        layers = self.network.config.get_text_config().num_hidden_layers
        self.layer = checked_layer(self.network, -1 if job.layer is None else job.layer)
        self.middle = checked_layer(self.network, layers // 2 if job.layer is None else job.layer)

    def measured(self) -> PolicySignals:
        job = self.job
        signals = [signal for signal in job.signals if self.token or signal is not Signal.EDIT]
        places = self._places()
        fit, calibrate, test = parted(places)
        read = dict(zip(map(id, places), self._read(places), strict=True))
        heads = fitted(signals, fit, [read[id(place)] for place in fit], job.seed)
        if Signal.MIND in signals:
            heads[Signal.MIND] = self._mind()
        further: dict[int, Continued] = {}
        if not CONTINUED.isdisjoint(signals):
            further = dict(zip(map(id, places), self._continued(places), strict=True))
        notices = self._notices() if self.token else []
        windows = list(zip(notices, self._read(notices), strict=True))

        def valued(signal: Signal, part: Sequence[SignalPlace]) -> list[tuple[SignalPlace, Value]]:
            return [
                (place, value_at(signal, read[id(place)], heads, further.get(id(place)))) for place in part
            ]

        found = [
            self._found(
                signal,
                # On the places that a head was fitted on it flags fewer live steps than on others.
                valued(signal, calibrate if signal in FITTED else [*fit, *calibrate]),
                valued(signal, test),
                windows,
                heads,
            )
            for signal in signals
        ]
        return PolicySignals(
            self.model, self.token, len(self.problems), found, heads, self.layer, self.middle, self.tokens
        )

    def _places(self) -> list[SignalPlace]:
        sampler = HFSampler(self.network, self.space, seed=self.job.seed)
        answers = self.progress(
            self._counted(sampled(sampler, self.problems, self.space, self.job.samples)), "problems answered",
            len(self.problems),
        )  # fmt: skip
        return [
            place
            for number, of_problem in enumerate(answers)
            for place in places_of(
                number,
                [(ids, end is End.EOS) for ids, end in of_problem],
                self.cutter,
                self.judges[number],
                self.job.places,
            )
        ]

    def _counted(self, answers: Iterator[Answers]) -> Iterator[Answers]:
        for of_problem in answers:
            self.tokens += sum(len(ids) for ids, _ in of_problem)
            yield of_problem

    def _notices(self) -> list[Notice]:
        """Dead texts from which the policy takes something back, on problems that nothing is fitted on."""
        free = replace(self.space, edits_banned=False)
        sampler = HFSampler(self.network, free, seed=self.job.seed + 1)
        held_out = list(range(1, len(self.problems), 2))
        problems = [self.problems[number] for number in held_out]
        answers = self.progress(
            self._counted(sampled(sampler, problems, free, self.job.samples)),
            "problems answered with edits", len(problems),
        )  # fmt: skip
        found = {}
        for number, of_problem in zip(held_out, answers, strict=True):
            for ids, end in of_problem:
                if end is End.EDIT and len(ids) > 1:
                    notice = notice_of(number, ids[:-1], self.cutter, self.judges[number])
                    if notice is not None:
                        found[number, notice.text] = notice
        return list(found.values())

    def _read(self, texts: Sequence[SignalPlace | Notice]) -> Iterator[TokenSignals]:
        """Read the tokens from the last step of a place, or from the wrong one of a notice, on."""
        asked = [
            ((*self.problems[each.problem].prompt, *each.text[: each.start]), each.text[each.start :])
            for each in texts
        ]
        return token_signals(self.network, asked, self.space.vocab, layer=self.layer, shift_layer=self.middle)

    def _mind(self) -> Head:
        assert self.job.references is not None
        rows = read_traces(self.job.references, self.tokenizer)[: self.job.limit]
        sampler = HFSampler(self.network, self.space, seed=self.job.seed)
        return mind_head(self.network, sampler, rows, self.cutter, layer=self.layer, seed=self.job.seed)

    def _continued(self, places: Sequence[SignalPlace]) -> list[Continued]:
        found = continued(
            self.network, places, self.problems, self.cutter,
            answers=self.job.continuations or CONTINUATIONS, layer=self.middle, seed=self.job.seed,
        )  # fmt: skip
        return list(self.progress(found, "places continued", len(places)))

    def _found(
        self,
        signal: Signal,
        calibrate: Sequence[tuple[SignalPlace, Value]],
        test: Sequence[tuple[SignalPlace, Value]],
        windows: Sequence[tuple[Notice, TokenSignals]],
        heads: dict[Signal, Head],
    ) -> SignalFound:
        steps, tokens = calibrations(calibrate, self.job.false_alarm)
        by_step, by_token = flagged(test, steps.threshold, None if tokens is None else tokens.threshold)
        lead, why = None, ""
        if not self.token:
            why = "the policy has no token"
        elif tokens is None or by_token is None:
            why = "the signal is read at ends of steps alone"
        elif not windows:
            why = "the policy took nothing back from dead text"
        else:
            values = [
                Window(notice.problem, len(notice.text) - notice.start, in_states(signal, read, heads))
                for notice, read in windows
            ]
            lead = lead_time(values, by_token.live, tokens.threshold)
        return SignalFound(signal, *rankings(test), steps, by_step, tokens, by_token, lead, why)


def as_json(found: Sequence[PolicySignals]) -> list[dict[str, Any]]:
    """Return the measurements as JSON has them, heads as lists of numbers, and null for what is not known."""
    return [
        {
            "model": each.model,
            "token": each.token,
            "problems": each.problems,
            "layer": each.layer,
            "middle": each.middle,
            "sampled": each.sampled,
            "signals": [
                _plain(asdict(signal) | {"warnings": _warnings(signal)}) | _head(each, signal.signal)
                for signal in each.found
            ],
        }
        for each in found
    ]


def _head(policy: PolicySignals, signal: Signal) -> dict[str, Any]:
    if signal not in policy.heads:
        return {}
    return {"head": {name: tensor.tolist() for name, tensor in policy.heads[signal].state().items()}}


def _warnings(found: SignalFound) -> list[str]:
    return [
        calibration.warning
        for calibration in (found.steps, found.tokens)
        if calibration is not None and calibration.warning
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
