"""What a ban on edits demands of the rest of verl's config."""

import pytest
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass

from halluc_plugin.errors import SettingsError
from halluc_plugin.settings import Settings, load
from halluc_plugin.vllm_engine.launch import ENGINE_ARGS, SOFT_PROCESSOR
from verl_ext.engine_config import BacktrackEngineConfig
from verl_ext.run_settings import check, complete, from_config


def test_no_block_means_defaults(verl_config):
    """A stock config has no block of ours."""
    del verl_config["halluc"]
    assert from_config(verl_config) == Settings()


@pytest.mark.parametrize(
    "change",
    [
        "halluc.trace_log.edit_probs=false",
        "halluc={trace_log: {per_step: 0}, metrics: {judged_per_step: 0}}",
        "algorithm.rollout_correction.bypass_mode=true",
        "trainer.v1.trainer_mode=sync",
        "actor_rollout_ref.rollout.agent.default_agent_loop=single_turn_agent",
        "actor_rollout_ref.actor.strategy=fsdp",
        "actor_rollout_ref.model.lora_rank=8 and actor_rollout_ref.model.lora.merge=true",
        "actor_rollout_ref.model.use_fused_kernels=true",
        "actor_rollout_ref.model.use_liger=true",
        "trainer.device=cuda",
    ],
)
def test_without_bans_nothing_changes(editing, change):
    """A run whose P(edit) nobody wants, or which our engine was never tried with, stays on verl's engine."""
    config = OmegaConf.merge(editing, OmegaConf.from_dotlist(change.split(" and ")))
    before = config.copy()
    complete(config, from_config(config))
    assert config == before


@pytest.fixture
def editing(verl_config):
    """A run in soft context, without limits, whose answers may hold edits, by our trainer on a CPU."""
    verl_config.trainer.device = "cpu"
    verl_config.trainer.v1.trainer_mode = "backtrack_sync"
    verl_config.actor_rollout_ref.rollout.agent.default_agent_loop = "backtrack"
    return verl_config


def test_our_engine_tells_the_probability_of_edits(editing):
    """In soft context without limits it scores a run, too, and vLLM is left as it is."""
    rollout = editing.actor_rollout_ref.rollout.copy()
    complete(editing, from_config(editing))
    complete(editing, from_config(editing))  # a second time changes nothing
    model = editing.actor_rollout_ref
    assert model.actor.strategy == model.ref.strategy == "backtrack_fsdp2"
    assert load(omega_conf_to_dataclass(model.actor.fsdp_config).halluc) == from_config(editing)
    assert model.rollout == rollout


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
    assert model.rollout.engine_kwargs.vllm.logits_processors == ["theirs:Processor", SOFT_PROCESSOR]
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
    assert flags == ["--logits_processors", SOFT_PROCESSOR]


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (
            "actor_rollout_ref.actor.strategy",
            "fsdp",
            "actor.strategy=fsdp computes log-probs without regard to it",
        ),
        ("actor_rollout_ref.rollout.name", "sglang", "only vLLM"),
    ],
)
def test_refuses_hosts_that_cannot_ban(verl_config, path, value, named):
    """What cannot be completed is refused."""
    verl_config.halluc = {"max_backtracks": 2}
    OmegaConf.update(verl_config, path, value)
    with pytest.raises(SettingsError, match=named):
        complete(verl_config, from_config(verl_config))


def test_refuses_an_incomplete_config(verl_config):
    """Each half of the ban is missed when it is missing, or differs."""
    verl_config.halluc = {"max_backtracks": 2}
    settings = from_config(verl_config)
    with pytest.raises(SettingsError, match="without regard to it"):
        check(verl_config, settings)
    complete(verl_config, settings)
    check(verl_config, settings)
    with pytest.raises(SettingsError, match="does not carry the same halluc block"):
        check(verl_config, load({"max_backtracks": 3}))
    verl_config.actor_rollout_ref.rollout.engine_kwargs.vllm.logits_processors = []
    with pytest.raises(SettingsError, match="vLLM is given logits_processors=\\[\\]"):
        check(verl_config, settings)


class TestHardContext:
    """What ``halluc.context=hard`` demands."""

    @pytest.fixture
    def hard_config(self, verl_config):
        """A run in hard context whose validation samples."""
        verl_config.halluc = {"context": "hard"}
        verl_config.actor_rollout_ref.rollout.val_kwargs.temperature = 1.0
        return verl_config

    def test_completes_both_engines(self, hard_config):
        """VLLM gets the scheduler that rewinds and its processor, the actor our engine and sdpa."""
        complete(hard_config, from_config(hard_config))
        complete(hard_config, from_config(hard_config))  # a second time changes nothing
        model = hard_config.actor_rollout_ref
        assert dict(model.rollout.engine_kwargs.vllm) == ENGINE_ARGS
        assert model.actor.strategy == "backtrack_fsdp2"
        assert model.model.override_config.attn_implementation == "sdpa"

    def test_a_chosen_attention_is_kept(self, hard_config):
        """A user's own implementation stays; the engine refuses one that takes no tree."""
        hard_config.actor_rollout_ref.model.override_config.attn_implementation = "eager"
        complete(hard_config, from_config(hard_config))
        assert hard_config.actor_rollout_ref.model.override_config.attn_implementation == "eager"

    @pytest.mark.parametrize("sampling", ["rollout", "rollout.val_kwargs"])
    def test_greedy_decoding_is_refused(self, hard_config, sampling):
        """A greedy policy would repeat its error for ever, unless a budget ends it."""
        OmegaConf.update(hard_config, f"actor_rollout_ref.{sampling}.temperature", 0)
        with pytest.raises(SettingsError, match=rf"repeats an error .* actor_rollout_ref.{sampling}.temp"):
            complete(hard_config, from_config(hard_config))
        hard_config.halluc.max_backtracks = 2
        complete(hard_config, from_config(hard_config))

    def test_greedy_validation_that_never_happens_is_none(self, hard_config):
        """The default temperature of validation is 0; a run without validation does not care."""
        hard_config.actor_rollout_ref.rollout.val_kwargs.temperature = 0
        hard_config.trainer.test_freq, hard_config.trainer.val_before_train = -1, False
        complete(hard_config, from_config(hard_config))
        hard_config.trainer.val_only = True
        with pytest.raises(SettingsError, match="Validation is greedy"):
            complete(hard_config, from_config(hard_config))

    def test_a_teacher_is_refused(self, hard_config):
        """Distillation compares with log-probs of the raw trace."""
        hard_config.distillation.enabled = True
        with pytest.raises(SettingsError, match="a teacher scores the raw trace"):
            complete(hard_config, from_config(hard_config))

    def test_an_engine_that_does_not_rewind_is_refused(self, hard_config):
        """Without the scheduler the model would go on seeing what it erased."""
        complete(hard_config, from_config(hard_config))
        hard_config.actor_rollout_ref.rollout.engine_kwargs.vllm.scheduler_cls = None
        with pytest.raises(SettingsError, match=r"rewinds the context .* vLLM is given scheduler_cls=None"):
            check(hard_config, from_config(hard_config))

    @pytest.mark.parametrize("block", [{"erased_tokens": "weight"}, {"shares": {"decisions": 0.3}}])
    def test_what_is_imitated_is_no_setting_of_reinforcement(self, verl_config, block):
        """Shares of an imitation loss would change nothing: they are refused before anything starts."""
        verl_config.halluc = block
        with pytest.raises(
            SettingsError, match="say what is imitated, and reinforcement learning imitates not"
        ):
            complete(verl_config, from_config(verl_config))

    def test_training_knows_no_tabu(self, hard_config):
        """Tabu makes the policy depend on more than the live text; it is no setting of training."""
        hard_config.halluc.tabu = "first"
        with pytest.raises(SettingsError, match=r"halluc.tabu \(first\): tabu is for evaluation alone"):
            from_config(hard_config)


def test_another_verl_is_refused_where_our_names_are_used(verl_config, monkeypatch):
    """Agent loop, reward manager and trainer read their settings here, with and without a recipe of ours."""
    from halluc_plugin.errors import HostVersionError
    from verl_ext import compat

    monkeypatch.setattr(compat, "version", lambda name: "0.8.0")
    with pytest.raises(HostVersionError, match=r"verl 0.8.0 is installed"):
        from_config(verl_config)
