"""The table of verl's settings holds: what it refuses is refused before workers start, the rest is not."""

import copy

import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict

from halluc_plugin.errors import SettingsError
from verl_ext.host_settings import SFT_TABLE, TABLE, Where, refuse, runs_of
from verl_ext.host_settings.table import hit
from verl_ext.recipe.base import EXIT_BAD_INPUT
from verl_ext.recipe.callback import RunCallback
from verl_ext.recipe.sft_callback import SFTCallback
from verl_ext.run_settings import complete, from_config, require_supported_host

CONTEXTS = {
    # the recipe and overrides that make a run of that kind
    Where.HARD: ("halluc_grpo_hard",),
    Where.LIMITED: ("halluc_grpo", "halluc.max_backtracks=2"),
    Where.STEERED: ("halluc_grpo", "halluc.values.source=continuations"),
    Where.ERASING: ("halluc_grpo",),
    Where.EDITING: ("halluc_grpo", "halluc.max_backtracks=0"),
    Where.EVERYWHERE: ("grpo_baseline",),
}
NARROWER = {
    # where what is refused in the first is not, by the second
    Where.HARD: Where.LIMITED,
    Where.LIMITED: Where.STEERED,
    Where.STEERED: Where.ERASING,
    Where.ERASING: Where.EDITING,
    Where.EDITING: Where.EVERYWHERE,
}
# Without a model, so that nothing is prepared for a row that does not refuse.
OWN = ("halluc/scale=cpu", "actor_rollout_ref.model.path=/absent")
OWN_SFT = ("halluc/sft_scale=cpu", "model.path=/absent", "data.train_files=/absent")
ROWS = [row for rows in TABLE.values() for row in rows]
REFUSED = [row for row in ROWS if row.refused is not Where.NOWHERE]
OPEN = (
    "actor_rollout_ref.rollout.engine_kwargs.vllm.",
    "actor_rollout_ref.model.override_config.",
    "ray_kwargs.ray_init.runtime_env.env_vars.",
    "actor_rollout_ref.rollout.agent.agent_loop_manager_class",
    "async_training",
    "rollout",
    "engine.ulysses_sequence_parallel_size",
)
"""Keys that verl takes and does not list, and those of its other programs."""


def named(row):
    """A row's name in a test's report."""
    return f"{row.refused.name.lower()}-{row.when[0].key}"


def overrides(row):
    """What brings a row about on the command line; a choice of Hydra's is no value."""
    return [
        f"{'' if values.key == 'model_engine' else '++'}{values.key}={values.example}" for values in row.when
    ]


@pytest.fixture(scope="session")
def recipe():
    """A recipe's config, composed once for each set of overrides."""
    composed = {}

    def build(name, *given):
        if (name, *given) not in composed:
            with initialize_config_module("verl.trainer.config", version_base=None):
                composed[name, *given] = compose("ppo_trainer", [f"+recipe={name}", *OWN, *given])
        return copy.deepcopy(composed[name, *given])

    return build


@pytest.mark.parametrize("row", REFUSED, ids=named)
def test_what_is_refused_is_refused_before_workers_start(row, recipe, capsys):
    """One message names the setting of verl and what to do; embedded model and data are not even prepared."""
    name, *given = CONTEXTS[row.refused]
    config = recipe(name, *given, *overrides(row))
    with pytest.raises(SystemExit) as exit_:
        RunCallback().on_run_start(config)
    said = capsys.readouterr().err
    assert exit_.value.code == EXIT_BAD_INPUT
    assert said.count("\n") == 1
    assert f"{row.when[0].key}=" in said
    assert row.why in said
    assert said.endswith(f"Fix: {row.fix}\n")


@pytest.mark.parametrize("row", [row for row in REFUSED if row.refused in NARROWER], ids=named)
def test_and_nowhere_else(row, recipe):
    """In the next kind of run, in which less of ours is asked for, the same setting goes."""
    name, *given = CONTEXTS[NARROWER[row.refused]]
    config = recipe(name, *given, *overrides(row))
    settings = from_config(config)
    loop = config.actor_rollout_ref.rollout.agent.default_agent_loop
    assert row.when[0].hold(config)
    assert hit(config, runs_of(settings, editing=loop == "backtrack"), [row]) is None


@pytest.mark.parametrize("row", [row for row in ROWS if row.refused is Where.NOWHERE], ids=named)
def test_what_is_supported_is_not_refused(row, recipe):
    """In soft context without limits on edits nothing that the table supports meets a refusal of it."""
    device = ["trainer.device=cuda"] if "lora" in row.when[0].key else []
    config = recipe("halluc_grpo", *overrides(row), *device)
    require_supported_host(config, from_config(config))
    assert row.when[0].hold(config)


@pytest.mark.parametrize(
    "name",
    ["halluc_grpo", "halluc_grpo_hard", "grpo_outcome", "score_bonus", "grpo_baseline", "refinement", "rrpo"],
)
def test_every_recipe_as_it_is_goes(recipe, name):
    """None of our own recipes meets a row, before and after it is completed."""
    config = recipe(name)
    with open_dict(config):
        complete(config, from_config(config))
    require_supported_host(config, from_config(config))


def test_hard_context_is_named_beside_what_does_not_go_with_it(recipe):
    """The message says which setting of ours asks for what the other one cannot."""
    config = recipe("halluc_grpo_hard", "++actor_rollout_ref.model.use_fused_kernels=true")
    with pytest.raises(
        SettingsError, match=r"halluc.context=hard rewinds .*, but actor_rollout_ref.model.use_f"
    ):
        require_supported_host(config, from_config(config))


def test_every_key_is_one_of_verls(recipe):
    """A key that verl does not list would be a row that never holds."""
    config = recipe("grpo_baseline")
    unknown = object()
    for row in ROWS:
        for values in row.when:
            if not values.key.startswith(OPEN):
                assert OmegaConf.select(config, values.key, default=unknown) is not unknown or _is_none(
                    config, values.key
                ), values.key


def _is_none(config, key):
    parent, _, last = key.rpartition(".")
    return last in OmegaConf.select(config, parent).keys()  # noqa: SIM118 - "???" is no member


class TestFineTuning:
    """The table of verl's SFT trainer."""

    @pytest.fixture
    def sft(self):
        """A composed fine-tuning recipe."""

        def build(*given):
            with initialize_config_module("verl.trainer.config", version_base=None):
                return compose("sft_trainer_engine", ["+recipe=halluc_sft", *OWN_SFT, *given])

        return build

    @pytest.mark.parametrize(
        "row",
        [row for rows in SFT_TABLE.values() for row in rows if row.refused is not Where.NOWHERE],
        ids=named,
    )
    def test_what_is_refused_is_refused_at_once(self, sft, row, capsys):
        """In hard context, or in any, before anything is prepared."""
        hard = ["halluc.context=hard"] if row.refused is Where.HARD else []
        with pytest.raises(SystemExit) as exit_:
            SFTCallback().on_run_start(sft(*hard, *overrides(row)))
        assert exit_.value.code == EXIT_BAD_INPUT
        assert capsys.readouterr().err.endswith(f"Fix: {row.fix}\n")

    @pytest.mark.parametrize(
        "row", [row for rows in SFT_TABLE.values() for row in rows if row.refused is Where.HARD], ids=named
    )
    def test_soft_context_takes_what_hard_context_does_not(self, sft, row):
        """There verl's engines are as they are."""
        config = sft(*overrides(row))
        settings = from_config(config)
        refuse(config, settings, runs_of(settings, editing=False), SFT_TABLE)
        assert row.when[0].hold(config)


def test_a_user_may_write_numbers_as_text(recipe):
    """A size given in quotes is the number that verl reads in it."""
    config = recipe("halluc_grpo_hard")
    OmegaConf.update(config, "actor_rollout_ref.actor.ulysses_sequence_parallel_size", "2")
    with pytest.raises(SettingsError, match="ulysses_sequence_parallel_size=2 cuts sequences up"):
        require_supported_host(config, from_config(config))


def test_the_examples_are_values(recipe):
    """What a row gives as an example is one of its values, as YAML reads it."""
    for row in ROWS:
        for values in row.when:
            assert values.meets(OmegaConf.create({"value": yaml.safe_load(values.example)}).value), values.key
