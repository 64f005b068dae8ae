"""Samples of a group differ, and are the same again, where verl is asked for full determinism."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_ext.loops.seeds import seeded

PROMPT = (5, 6, 7)


def seed(*, seed=42, step=1, index=3, session=0, prompt=PROMPT, part=0):
    """The seed of one sample."""
    row = {"global_steps": step, "index": index, "session_id": session}
    rollout = SimpleNamespace(full_determinism=True, seed=seed, name="vllm")
    return seeded({"temperature": 1.0}, rollout, row, prompt, part=part)["seed"]


@pytest.mark.parametrize(
    "other",
    [{"seed": 43}, {"step": 2}, {"index": 4}, {"session": 1}, {"prompt": (5, 6, 8)}, {"part": 1}],
    ids=lambda other: next(iter(other)),
)
def test_a_seed_is_a_function_of_all_that_names_a_sample(other):
    """Each part of a sample's name changes it, and nothing else does."""
    assert seed() == seed()
    assert seed(**other) != seed()


@given(st.integers(0, 2**31), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_group_is_never_copies(first, step, index):
    """The 64 answers of a group have 64 seeds that vLLM takes."""
    found = {seed(seed=first, step=step, index=index, session=i) for i in range(64)}
    assert len(found) == 64
    assert all(0 <= s < 2**32 for s in found)


@pytest.mark.parametrize("index", ["test/algebra/1.json", -1, None, 7.5])
def test_an_index_may_be_anything(index):
    """Rows name themselves as they like; what other managers do not say is left out."""
    assert seed(index=index) != seed()
    rollout = SimpleNamespace(full_determinism=True, seed=42, name="vllm")
    assert seeded({}, rollout, {"index": index}, PROMPT)["seed"] >= 0


@pytest.mark.parametrize(("asked", "engine"), [(False, "vllm"), (True, "sglang")])
def test_without_full_determinism_or_in_another_engine_there_is_none(asked, engine):
    """The engine's own stream decides; verl's parameters are copied and stay as they are."""
    given_params = {"temperature": 0.5}
    rollout = SimpleNamespace(full_determinism=asked, seed=42, name=engine)
    params = seeded(given_params, rollout, {}, PROMPT)
    assert params == given_params
    assert params is not given_params
