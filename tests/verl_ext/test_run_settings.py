"""What a ban on edits demands of the rest of verl's config."""

import pytest
from verl.utils.config import omega_conf_to_dataclass

from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import Settings, load
from verl_ext.engine_config import BacktrackEngineConfig
from verl_ext.run_settings import BUDGET_PROCESSOR, check, complete, from_config


def test_no_block_means_defaults(verl_config):
    """A stock config has no block of ours."""
    del verl_config["halluc"]
    assert from_config(verl_config) == Settings()


def test_without_bans_nothing_changes(verl_config):
    """A run without a budget stays on verl's stock engine."""
    before = verl_config.copy()
    complete(verl_config, from_config(verl_config))
    assert verl_config == before


def test_completes_engine_and_processor(verl_config):
    """One setting becomes four of verl's, and the engine config carries the block to the workers."""
    verl_config.halluc = {"max_backtracks": 2}
    verl_config.actor_rollout_ref.rollout.engine_kwargs = {
        "vllm": {"logits_processors": ["theirs:Processor"]}
    }
    complete(verl_config, from_config(verl_config))
    complete(verl_config, from_config(verl_config))  # a second time changes nothing
    model = verl_config.actor_rollout_ref
    assert model.actor.strategy == model.ref.strategy == "backtrack_fsdp2"
    assert model.rollout.engine_kwargs.vllm.logits_processors == ["theirs:Processor", BUDGET_PROCESSOR]
    for role in (model.actor, model.ref):
        engine = omega_conf_to_dataclass(role.fsdp_config)
        assert isinstance(engine, BacktrackEngineConfig)
        assert load(engine.halluc).max_backtracks == 2


def test_the_actors_config_selects_our_engine(verl_config):
    """The actor config of verl hands our strategy name and block to the engine registry."""
    verl_config.halluc = {"boundary": "mask"}
    complete(verl_config, from_config(verl_config))
    verl_config.actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu = 1
    actor = omega_conf_to_dataclass(verl_config.actor_rollout_ref.actor)
    assert actor.engine.strategy == "backtrack_fsdp2"
    assert load(actor.engine.halluc).bans_edits


def test_the_processor_reaches_vllms_command_line(verl_config):
    """The engine_kwargs are spread into flags that vLLM's own parser understands."""
    from verl.workers.rollout.vllm_rollout.utils import build_cli_args_from_config

    verl_config.halluc = {"max_backtracks": 2}
    complete(verl_config, from_config(verl_config))
    rollout = omega_conf_to_dataclass(verl_config.actor_rollout_ref.rollout)
    flags = build_cli_args_from_config(dict(rollout.engine_kwargs["vllm"]))
    assert flags == ["--logits_processors", BUDGET_PROCESSOR]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (
            "actor_rollout_ref.actor.strategy",
            "fsdp",
            "actor.strategy=fsdp computes log-probs without the ban",
        ),
        ("actor_rollout_ref.rollout.name", "sglang", "only vLLM"),
    ],
)
def test_refuses_hosts_that_cannot_ban(verl_config, path, value, named):
    """What cannot be completed is refused."""
    from omegaconf import OmegaConf

    verl_config.halluc = {"max_backtracks": 2}
    OmegaConf.update(verl_config, path, value)
    with pytest.raises(SettingsError, match=named):
        complete(verl_config, from_config(verl_config))


def test_refuses_an_incomplete_config(verl_config):
    """Each half of the ban is missed when it is missing, or differs."""
    verl_config.halluc = {"max_backtracks": 2}
    settings = from_config(verl_config)
    with pytest.raises(SettingsError, match="without the ban"):
        check(verl_config, settings)
    complete(verl_config, settings)
    check(verl_config, settings)
    with pytest.raises(SettingsError, match="does not carry the same halluc block"):
        check(verl_config, load({"max_backtracks": 3}))
    verl_config.actor_rollout_ref.rollout.engine_kwargs.vllm.logits_processors = []
    with pytest.raises(SettingsError, match="not given the processor"):
        check(verl_config, settings)
