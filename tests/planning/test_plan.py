"""A plan's arithmetic by hand, and which settings are refused."""

import json
from pathlib import Path

import pytest
from transformers import Gemma2Config

from halluc_plugin.errors import SettingsError
from halluc_plugin.planning import Kind, ModelShape, PlannedRun, device, plan
from halluc_plugin.planning.run import Number
from halluc_plugin.planning.seconds import Rates

PAGE = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
ANSWERS = PlannedRun(gpus=8, prompts=256, samples=8, response=4096, tokens_per_gpu=18432)


@pytest.fixture(scope="module")
def shape(qwen_7b):
    """A model of 7B parameters."""
    return ModelShape.of(qwen_7b, "7B")


@pytest.fixture(scope="module")
def planned(shape):
    """2048 answers of 4096 tokens by it, on 8 devices, with hard context as it was beside."""
    return plan(shape, ANSWERS, device("h100"), kinds=tuple(Kind))


def test_weights_and_moments_are_sharded(planned):
    """Sixteen bytes of each parameter lie on one device or another."""
    for column in planned.columns.values():
        held = column.update.weights + column.update.gradients + column.update.optimizer
        assert held == 16 * 7_615_616_512 / 8


def test_half_precision_halves_them(shape):
    """model_dtype=bf16 holds weights, gradients and moments in two bytes each."""
    run = PlannedRun(weights=Number.BF16)
    held = plan(shape, run, device("h100")).columns[Kind.HARD].update
    assert held.weights + held.gradients + held.optimizer == 8 * 7_615_616_512 / 8


def test_keys_and_values_of_a_token(planned):
    """28 layers, 4 heads of 128, keys and values, two bytes: 57344."""
    rollout = planned.columns[Kind.HARD].rollout
    assert rollout.of_a_token == 28 * 4 * 128 * 2 * 2
    assert rollout.at_once == rollout.cache // (57344 * 4608)
    engine = rollout.weights + rollout.working + rollout.cache
    assert engine == pytest.approx(0.5 * 80e9)


def test_logits_are_held_in_chunks(planned):
    """The engine of verl holds those of all tokens in half precision; ours a chunk, four times."""
    assert planned.columns[Kind.GRPO].update.logits == 18432 * 152064 * 2
    assert planned.columns[Kind.SOFT].update == planned.columns[Kind.GRPO].update
    assert planned.columns[Kind.HARD].update.logits == pytest.approx(3 * 2**30, rel=0.01)
    assert planned.columns[Kind.HARD_PADDED].update.logits == 6.5 * 18432 * 152064 * 4


def test_masks(planned):
    """144 blocks of 128 tokens instead of pairs of tokens; causal attention needs none."""
    assert planned.columns[Kind.HARD].update.mask == 4 * 4 * 144 * 145
    assert planned.columns[Kind.HARD_PADDED].update.mask == 4 * 4608**2 * 5
    assert planned.columns[Kind.SOFT_LIMITED].update.mask == 0


def test_measured_rates_are_taken(shape):
    """Seconds are tokens over devices and rates; a pass forward costs its share of an update."""
    rates = Rates(rollout=1000, update=2000)
    seconds = plan(shape, ANSWERS, device("h100"), rates=rates).columns[Kind.GRPO].seconds
    assert seconds.rollout == 2048 * 4096 / 8000
    assert seconds.update == pytest.approx(2048 * 4608 / 16000)
    assert seconds.update / seconds.old_log_probs == pytest.approx(4, rel=0.05)
    assert seconds.reference == 0


def test_low_rank_updates_have_few_gradients(shape):
    """Only the factors have gradients and moments; the frozen weights stay."""
    held = plan(shape, PlannedRun(low_rank=32), device("h100")).columns[Kind.HARD].update
    assert held.gradients == shape.low_rank(32) * 4 / 8
    assert held.optimizer == 2 * held.gradients
    assert held.weights == (shape.parameters + shape.low_rank(32)) * 4 / 8


def test_offloading_leaves_room_in_rollout(shape):
    """What is offloaded is not on the device while answers are sampled."""
    offloaded = PlannedRun(offload_weights=True, offload_optimizer=True)
    kept, gone = (
        plan(shape, run, device("h100")).columns[Kind.HARD].rollout.trainer
        for run in (PlannedRun(), offloaded)
    )
    assert kept == 12 * shape.parameters / 8
    assert gone == 0


def test_what_does_not_fit_says_what_helps(shape):
    """On one device 7B parameters do not train in float32, and more devices or half precision help."""
    column = plan(shape, PlannedRun(gpus=1), device("h100")).columns[Kind.GRPO]
    assert not column.fits
    assert "--model-dtype bf16" in column.fix


def test_sliding_windows_have_no_hard_column():
    """A model that hard context refuses is planned for all else, and the reason is said."""
    config = Gemma2Config(
        vocab_size=500, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16,
    )  # fmt: skip
    made = plan(ModelShape.of(config), PlannedRun(), device("h100"))
    assert Kind.HARD not in made.columns
    assert "sliding" in made.refused[Kind.HARD]
    assert made.columns[Kind.SOFT].fits


def test_a_record_is_json(planned):
    """Everything that is printed can be read by a program."""
    record = json.loads(json.dumps(planned.record()))
    assert record["columns"]["hard"]["update"]["peak"] == planned.columns[Kind.HARD].update.peak
    assert record["model"]["parameters"] == 7_615_616_512
    assert record["run"]["weights"] == "fp32"


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"gpus": 8, "tensor_parallel": 3}, "8 devices do not divide into engines of 3"),
        ({"gpus": 8, "fsdp_size": 5}, "groups of 5 shards"),
        ({"gpus": 7, "prompts": 4, "samples": 2}, "do not divide over 7 devices"),
        ({"response": 20_000}, "does not fit into a micro-batch of 16384"),
        ({"memory_utilization": 1.5}, "memory_utilization is 1.5"),
        ({"mean_response": 2000}, "The mean answer has 2000 tokens"),
        ({"low_rank": -1}, "low_rank is -1"),
        ({"prompt": 0}, "prompt is 0"),
    ],
)
def test_impossible_runs(settings, cause):
    """Each is one line with what to change."""
    with pytest.raises(SettingsError, match=cause) as error:
        PlannedRun(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"response": 200_000, "tokens_per_gpu": 300_000}, "200512 positions, and 7B has 131072"),
        ({"gpus": 5, "prompts": 5, "tensor_parallel": 5}, "28 attention heads do not divide over 5"),
        ({"memory_utilization": 0.1}, "no answer of 1536 tokens"),
    ],
)
def test_runs_that_a_model_cannot_do(shape, settings, cause):
    """Positions, heads and an engine's share are held against the model."""
    with pytest.raises(SettingsError, match=cause):
        plan(shape, PlannedRun(**settings), device("h100"))


def test_devices_are_listed():
    """An unknown one is refused with the names that are known; its memory can be given."""
    assert device("a100", 40).memory == 40e9
    with pytest.raises(SettingsError, match="a100, h100, h200"):
        device("v100")


def test_the_page_has_these_numbers(planned):
    """The table of 2048 answers of 4096 tokens is what the plan says, before rows were packed and now."""
    rows = (
        ("weights, gradients, optimizer", lambda u: u.weights + u.gradients + u.optimizer),
        ("activations", lambda u: u.activations),
        ("logits", lambda u: u.logits),
        ("attention mask", lambda u: u.mask),
        ("the largest moment", lambda u: u.peak),
    )
    kinds = (Kind.GRPO, Kind.SOFT_LIMITED, Kind.HARD_PADDED, Kind.HARD)
    for told, read in rows:
        values = [read(planned.columns[kind].update) / 1e9 for kind in kinds]
        cells = [f"{value:.1f}" if value >= 0.05 else f"{value:.1g}" for value in values]
        assert f"| {told} | {' | '.join(cells)} |" in PAGE
