"""An engine that rewinds answers as a model that recomputes every action from the collapsed text."""

import pytest
import torch

from halluc_plugin.decoding.signals import text_signal
from halluc_plugin.decoding.triggers import TextSignal, Watch
from halluc_plugin.doctor.engine import checks_of
from halluc_plugin.edits import Context, EditKind, EditState, collapse
from halluc_plugin.vllm_engine.equivalence import EOS, VOCAB, VOCAB_SIZE, replay
from halluc_plugin.vllm_engine.request import EditRequest, Length

pytest.importorskip("vllm")
pytestmark = [pytest.mark.e2e]
ENTROPY = TextSignal.ENTROPY

SCENARIOS = (
    "greedy", "sampled", "mixed", "ends", "collapsed", "group", "seeded", "adopted", "crowded", "narrow",
    "interrupted", "uncached", "async_mixed", "async_ends", "async_adopted", "async_crowded",
    "async_interrupted",
)  # fmt: skip


def request_of(answer):
    """What it asked of the engine; None when nothing of ours."""
    return EditRequest.from_extra_args(answer["extra_args"])


def stop_ids(answer):
    """Ids that end it."""
    return {EOS, *answer["sampling"].get("stop_token_ids", ())}


def recomputed(model, answer):
    """The reference's distribution of every action."""
    sampling = answer["sampling"]
    return replay(
        model, answer["prompt"], answer["ids"], request_of(answer),
        temperature=sampling.get("temperature", 1.0), min_tokens=sampling.get("min_tokens", 0),
        logit_bias={int(token): bias for token, bias in sampling.get("logit_bias", {}).items()},
        stop_ids=stop_ids(answer),
    )  # fmt: skip


def largest_difference(model, answers):
    """Over all actions, erased tokens and edits included: |engine's log-prob - reference's|."""
    worst = 0.0
    for answer in answers:
        want = recomputed(model, answer).gather(1, torch.tensor(answer["ids"])[:, None])[:, 0]
        worst = max(worst, float((want - torch.tensor(answer["logprobs"])).abs().max()))
    return worst


def edits(answers, kind=None):
    """How many effective edits the answers hold, of one kind or of any."""
    count = 0
    for answer in answers:
        state = EditState(VOCAB)
        for token in answer["ids"]:
            erased = state.push(token)
            count += bool(erased) and kind in (None, VOCAB.kind(token))
    return count


def test_greedy_traces_are_identical(model, results):
    """Every sampled token is the reference's likeliest one, so the raw traces are the same."""
    for answer in results["greedy"]["answers"]:
        assert recomputed(model, answer).argmax(1).tolist() == answer["ids"]
        assert answer["finish"] == "length"
        assert len(answer["ids"]) == 96
    assert edits(results["greedy"]["answers"]) > 100


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_log_probs_are_exact(model, results, scenario):
    """Each action's log-prob is the one of the collapsed context under the request's own bans."""
    answers = results[scenario]["answers"]
    assert largest_difference(model, answers) < 1e-4
    assert edits(answers) > 10


def test_penalties_count_live_tokens(model, results):
    """What was erased is not held against a token: the penalty is that of the text that is left."""
    answers = results["penalised"]["answers"]
    for answer in answers:
        state, want = EditState(VOCAB), []
        for token in answer["ids"]:
            with torch.no_grad():
                logits = model(torch.tensor([[*answer["prompt"], *state.live_ids]])).logits[0, -1]
            logits -= 1.5 * torch.bincount(
                torch.tensor(state.live_ids, dtype=torch.long), minlength=VOCAB_SIZE
            )
            want.append(logits.log_softmax(-1)[token])
            state.push(token)
        torch.testing.assert_close(torch.tensor(answer["logprobs"]), torch.stack(want), atol=1e-4, rtol=0)
    assert edits(answers) > 10


@pytest.mark.parametrize("kind", [EditKind.BACKTRACK, EditKind.STEP, EditKind.RESTART])
def test_every_kind_of_edit_took_effect(results, kind):
    """The exactness above covers backtracks, step backtracks and restarts that erase something."""
    assert edits(results["sampled"]["answers"], kind) >= 5


@pytest.mark.parametrize("scenario", ["greedy", "sampled", "uncached", "async_mixed"])
def test_one_forward_slot_per_action(results, scenario):
    """The prompt is fed once and each action but the last once: nothing is computed again after an edit."""
    answers = results[scenario]["answers"]
    slots = sum(len(answer["prompt"]) + len(answer["ids"]) - 1 for answer in answers)
    assert results[scenario]["counts"]["slots"] == slots
    assert "preemptions" not in results[scenario]["counts"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_answers_end_where_they_should(results, scenario):
    """Stops and the model's length act on the live text; max_tokens counts actions, or live tokens."""
    positions = 64 if scenario == "narrow" else 256
    for answer in results[scenario]["answers"]:
        sampling, request = answer["sampling"], request_of(answer)
        hard = request is not None and request.context is Context.HARD
        collapsed = hard and request.length is Length.COLLAPSED
        state = EditState(VOCAB)
        finish = None
        for index, token in enumerate(answer["ids"]):
            assert finish is None, "an action after the end"
            state.push(token)
            live = state.depth if hard else index + 1
            is_text = not hard or VOCAB.kind(token) is EditKind.TEXT
            full = is_text and len(answer["prompt"]) + live >= positions
            spent = (live if collapsed else index + 1) >= sampling["max_tokens"]
            if is_text and token in stop_ids(answer) and live >= sampling.get("min_tokens", 0):
                finish = "stop"
            elif full or spent or (collapsed and index + 1 >= request.max_actions):
                finish = "length"
        assert finish == answer["finish"]


def test_minimum_is_one_of_live_tokens(results):
    """Some answers fell below min_tokens again after reaching it, and still no end was sampled there."""
    fallen = 0
    for answer in results["ends"]["answers"]:
        minimum, state, reached = answer["sampling"]["min_tokens"], EditState(VOCAB), False
        for token in answer["ids"]:
            if state.depth < minimum:
                fallen += reached
                assert token not in stop_ids(answer)
            reached |= state.depth >= minimum
            state.push(token)
    assert fallen >= 3


def test_traces_may_be_longer_than_the_model(results):
    """A trace ends when the live text fills the model's 64 positions, however many actions that took."""
    answers = results["narrow"]["answers"]
    assert any(len(answer["prompt"]) + len(answer["ids"]) > 64 for answer in answers)
    filled = [answer for answer in answers if len(answer["ids"]) < 80]
    assert {len(answer["prompt"]) for answer in filled} >= {56}
    assert all(len(answer["prompt"]) + len(collapse(answer["ids"], VOCAB)) == 64 for answer in filled)


@pytest.mark.parametrize("scenario", ["interrupted", "async_interrupted"])
def test_an_emptied_cache_costs_no_state(results, scenario):
    """Weights may change under running requests: they go on exactly (see above), and none is kept."""
    assert len(results[scenario]["answers"]) == 8  # one of nine was given up
    assert results[scenario]["counts"]["preemptions"] >= 17
    assert results[scenario]["left"] == 0


def test_collapsed_length_and_its_bound_on_actions_both_occur(results):
    """Answers that edit little end at 20 live tokens, those that edit much after 60 actions."""
    lengths = [len(answer["ids"]) for answer in results["collapsed"]["answers"]]
    assert max(lengths) == 60
    assert min(lengths) < 40


def test_budgets_belong_to_each_answer_of_a_group(results):
    """With n=8 every answer spends its own budget of three, although vLLM gives them the same settings."""
    spent = [edits([answer]) for answer in results["group"]["answers"]]
    assert len(spent) == 8
    assert max(spent) == 3


def test_seed_repeats_the_trace_but_not_the_erased_token(results):
    """A seeded request gives the same trace twice; after a backtrack its retry is a new draw."""
    answers, again = results["seeded"]["answers"], results["seeded"]["again"]
    assert [answer["ids"] for answer in answers] == [answer["ids"] for answer in again]
    retries = repeats = 0
    for answer in answers:
        ids = answer["ids"]
        for erased, edit, retry in zip(ids, ids[1:], ids[2:], strict=False):
            if edit == VOCAB.backtrack and not {erased, retry} & VOCAB.edit_ids:
                retries += 1
                repeats += retry == erased
    assert retries >= 20
    assert repeats < retries / 2


@pytest.mark.parametrize("scenario", ["adopted", "async_adopted"])
def test_blocks_that_others_read_are_not_written(results, scenario):
    """Requests took up blocks into which others then rewound; that they see no change is asserted above."""
    assert results[scenario]["counts"]["preemptions"] >= 1, "no request rewound into a shared block"
    assert len(results[scenario]["answers"]) >= 20


def test_poisoned_prefix_cache_is_caught(model, results):
    """Without the care for the prefix cache the same scenario is far off, so the test above can fail."""
    assert largest_difference(model, results["poisoned"]["answers"]) > 0.1


@pytest.mark.parametrize("scenario", ["crowded", "async_crowded"])
def test_preempted_requests_go_on_where_they_were(results, scenario):
    """A KV cache too small for all requests forces preemptions; exactness there is asserted above."""
    assert results[scenario]["counts"]["preemptions"] >= 5


def test_what_passes_the_front_end_ends_itself_alone(results):
    """Ids that the model lacks, unreadable values, contradictions and a streamed prompt: an error each."""
    answers = sorted(results["unchecked"]["answers"], key=lambda answer: answer["prompt"])
    assert [answer["finish"] for answer in answers] == ["length", *["error"] * 6]
    assert len(answers[0]["ids"]) == 24
    assert results["unchecked"]["left"] == results["unchecked"]["refused"] == 0


def test_engines_that_cannot_rewind_do_not_start(results):
    """Half a set-up and a sliding window are refused with the fix, and the worker refuses before loading."""
    refusals = results["refusals"]
    assert "Add logits_processors=['halluc_plugin.vllm_engine.bans:RewindBans']" in refusals["no processor"]
    assert "Set scheduler_cls='halluc_plugin.vllm_engine.scheduler" in refusals["no scheduler"]
    assert "sliding_attention: only full attention can be rewound" in refusals["sliding window"]
    assert refusals["loaded"] == {"no processor": True, "no scheduler": False, "sliding window": False}


def test_the_processor_keeps_vllm_on_model_runner_v1(results):
    """Where a GPU would choose runner V2, vLLM sees our processor and takes V1 instead."""
    assert "custom logits processors" in results["runner_v2_lacks"]


def test_the_doctor_tells_a_sound_engine_from_a_poisoned_one(results):
    """``halluc doctor --engine`` is green here, and red in the one line that a poisoned cache concerns."""
    assert [check.status for check in checks_of(results["doctor"])] == ["ok"] * 4
    lines = {check.name: check for check in checks_of(results["doctor_poisoned"])}
    assert [name for name, check in lines.items() if check.status == "fail"] == ["prefix cache"]
    assert "Do not use context=hard" in lines["prefix cache"].fix


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["erased", "erased_crowded"])
@torch.no_grad()
def test_a_signal_erases_where_recomputed_logits_say(model, results, scenario):
    """Action by action: the edit where a watch over recomputed signals says, else a sample of text."""
    erasures = 0
    for answer in results[scenario]["answers"]:
        request = request_of(answer)
        if request.trigger is None:
            continue
        want, state, watch = recomputed(model, answer), EditState(VOCAB), Watch(request.trigger, {3, 4})
        bias = {int(token): value for token, value in answer["sampling"]["logit_bias"].items()}
        for t, (action, logprob) in enumerate(zip(answer["ids"], answer["logprobs"], strict=True)):
            live = list(state.live_ids)
            logits = model(torch.tensor([[*answer["prompt"], *live]])).logits[0, -1]
            logits[list(bias)] += torch.tensor(list(bias.values()))
            if len(live) < answer["sampling"]["min_tokens"]:
                logits[EOS] = -torch.inf
            values = [
                float(text_signal(logits, s, VOCAB.edit_ids)) for s in (request.trigger.signal, ENTROPY)
            ]
            now = watch.edit_now(live, *values)
            assert (action == request.trigger.edit_id) == now
            assert logprob == pytest.approx(0.0 if now else float(want[t, action]), abs=1e-4)
            state.push(action)
            erasures += now
    assert erasures > 20
    if scenario == "erased_crowded":
        assert results[scenario]["counts"]["preemptions"] > 0
