"""``halluc search --method erase``: what is kept, what it costs, and what is refused."""

import json

import pytest
from typer.testing import CliRunner

from halluc_plugin.cli.app import app
from halluc_plugin.cli.search_report import erasure_warning
from halluc_plugin.decoding.triggers import Scope, StateSignal, TextSignal
from halluc_plugin.edits import EditVocab
from halluc_plugin.errors import DataError, SettingsError
from halluc_plugin.jobs.samplers import Backend
from halluc_plugin.jobs.search import Method, SearchJob
from halluc_plugin.jobs.search_erasing import Erase, Erasing
from halluc_plugin.jobs.signals.asked import Signal
from halluc_plugin.problem_sets.search_files import SearchData, SearchRequest
from halluc_plugin.sampling.costs import Cost
from halluc_plugin.sampling.hf import erased_sample
from halluc_plugin.sampling.states import End, Request, Space
from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import editing_tokenizer
from halluc_plugin.search.answers import Answered
from halluc_plugin.tasks.word.problems import WordProblems
from halluc_plugin.tokens.saving import save_model

VOCAB = EditVocab(backtrack=2, step=3, step_delimiters=frozenset({1}))


def found(signal, threshold, **more):
    """The part of a file of a probe that is read."""
    steps = {"threshold": threshold, "by_depth": [threshold, threshold + 1]}
    return {"signal": signal, "steps": steps, "tokens": {"threshold": threshold + 2}, **more}


@pytest.fixture
def calibration(tmp_path):
    """A file of a probe of one model."""

    def write(model, threshold=0.0):
        head = {"mean": [0.0], "scale": [1.0], "weight": [1.0], "bias": 0.0}
        signals = [
            found("entropy", threshold),
            found("phase-shift", 0.5),
            found("linear-head", 0.5, head=head),
        ]
        policy = {"model": str(model), "token": True, "layer": 2, "middle": 1, "signals": signals}
        (tmp_path / "signals.json").write_text(json.dumps([policy]))
        return tmp_path / "signals.json"

    return write


def test_what_is_left_of_a_trace():
    """Two erasures: of a step by one edit, of two tokens by two; one slot an action, each at its depth."""
    space = Space(VOCAB, frozenset({0}), frozenset({1}), max_tokens=20)
    request = Request((9, 9), 20, 1.0, space.stop_ids())
    actions = [5, 1, 3, 6, 7, 8, 2, 2, 4, 0]
    sample = erased_sample(actions, [-float(n) for n in range(10)], request, space)
    assert (sample.ids, sample.logprobs) == ((6, 4, 0), (-3.0, -8.0, -9.0))
    assert (sample.end, sample.erasures) == (End.EOS, 2)
    assert sample.depths == (0, 1, 2, 0, 1, 2, 3, 2, 1, 2)
    cost = Cost()
    cost.add_actions(len(request.prefix), sample.depths)
    assert (cost.tokens, cost.slots, cost.context) == (10, 10, sum(sample.depths) + 10 * 3)
    nothing = erased_sample([5, 1, 3], [], request, space)
    assert (nothing.ids, nothing.end) == ((), End.LENGTH)


def test_triggers_of_a_calibration(calibration):
    """Thresholds of steps or of tokens, the layer that was probed, and the settings like papers'."""
    file = calibration("policy")

    def trigger(**given):
        return Erasing(file, **given).trigger("policy", VOCAB)

    step = trigger()
    assert (step.signal, step.threshold, step.edit_id, step.scope) == (
        TextSignal.ENTROPY,
        (0.0,),
        3,
        Scope.STEP,
    )
    tokens = trigger(setting=Erase.TOKENS, tokens=5, rollbacks=2)
    assert (tokens.threshold, tokens.edit_id, tokens.tokens, tokens.budget) == ((2.0,), 2, 5, 2)
    assert trigger(setting=Erase.E3RL).threshold == (0.0, 1.0)
    shift = trigger(setting=Erase.LPSR)
    assert (shift.signal, shift.threshold, shift.gate, shift.layer) == (
        StateSignal.PHASE_SHIFT,
        (2.5,),
        0.0,
        1,
    )
    head = trigger(signal=Signal.LINEAR_HEAD)
    assert head.layer == 2
    torch = pytest.importorskip("torch")
    assert head.head(torch.zeros(3, 1)).tolist() == [0.5] * 3


def test_what_a_file_lacks_is_told(calibration, tmp_path):
    """Another model, another signal, and no such file."""
    file = calibration("policy")
    with pytest.raises(DataError, match="has thresholds of policy, not of other"):
        Erasing(file).trigger("other", VOCAB)
    with pytest.raises(DataError, match="no threshold of margin, only of entropy"):
        Erasing(file, Signal.MARGIN).trigger("policy", VOCAB)
    with pytest.raises(DataError, match="not a file of a probe"):
        Erasing(tmp_path / "none.json").trigger("policy", VOCAB)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rollbacks": 0}, "--rollbacks is 0"),
        ({"signal": Signal.MARGIN, "setting": Erase.E3RL}, "--signal means nothing with --erase e3rl"),
        ({"tokens": 3}, "--erased-tokens means nothing with --erase step"),
        ({"signal": Signal.EIGENSCORE}, "cannot erase by eigenscore"),
    ],
)
def test_settings_that_are_refused(given, message):
    """Before a file is read."""
    with pytest.raises(SettingsError, match=message):
        Erasing("signals.json", **given)


def test_searches_that_are_refused(tmp_path):
    """Without a threshold, with one for another method, and hidden states in vLLM with what can be done."""
    asked = {"model": "m", "data": tmp_path, "method": Method.ERASE}
    with pytest.raises(SettingsError, match="Give --calibration FILE"):
        SearchJob(**asked)
    with pytest.raises(SettingsError, match="--calibration has no meaning for --method sample"):
        SearchJob(**asked | {"method": Method.SAMPLE}, erasing=Erasing(tmp_path))
    with pytest.raises(SettingsError, match="Use --backend hf, or --signal entropy or margin"):
        SearchJob(**asked, erasing=Erasing(tmp_path, setting=Erase.LPSR), backend=Backend.VLLM)
    with pytest.raises(SettingsError, match="written again at temperature 0"):
        SearchJob(**asked, erasing=Erasing(tmp_path), temperature=0.0, n=1)


@pytest.mark.parametrize(
    ("erasures", "told"),
    [([0, 0], "never passed: 0 % of 2 samples"), ([4, 4], "always passed: 100 % of 2"), ([0, 4], None)],
)
def test_a_threshold_that_is_never_or_always_passed(tmp_path, erasures, told):
    """A warning with the share; nothing where some samples were erased."""
    job = SearchJob("m", tmp_path, Method.ERASE, erasing=Erasing(tmp_path))
    warning = erasure_warning(
        job, [Answered(None, correct=False, found=0, reachable=False, tokens=9, flops=9, erasures=erasures)]
    )
    assert warning is None if told is None else told in warning


def test_the_command(calibration, tmp_path):
    """A random model and a threshold that every step passes: it erases, counts it, and says so."""
    tokenizer = editing_tokenizer("step")
    save_model(new_model(tokenizer, Size.TINY, seed=0), tokenizer, tmp_path / "model")
    asked = SearchData(WordProblems(states=12, length=3), SearchRequest(train=2, test=2))
    files = asked.write(tmp_path / "data", tokenizer, lambda items, what, total: items)
    out = tmp_path / "answers.jsonl"
    done = CliRunner().invoke(
        app,
        [
            "search", "--model", str(tmp_path / "model"), "--data", str(files.problems("test")), "--method",
            "erase", "--calibration", str(calibration(tmp_path / "model", -9.0)), "--erase", "tokens",
            "--erased-tokens", "2", "--rollbacks", "3", "-k", "2", "--max-tokens", "30", "--out", str(out),
            "-q",
        ],
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0
    assert "erasures by the signal" in done.output
    assert "always passed: 100 % of 4 samples were erased 3 times" in done.output
    for line in out.read_text().splitlines():
        answer = json.loads(line)
        assert answer["erasures"] == [3, 3]
        assert answer["tokens"] == 60
        assert answer["search"]["erasing"]["setting"] == "tokens"
