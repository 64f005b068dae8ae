"""A small tokenizer, verl's real default config and a run on Countdown, for tests of the adapters."""

import copy

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf, open_dict

from halluc_plugin.scratch.model import Size, new_model
from halluc_plugin.scratch.tokenizer import number_tokenizer
from halluc_plugin.tasks.countdown.files import CountdownRequest, write_countdown
from halluc_plugin.tokens.loading import save_tokenizer

BACKTRACK = "<|BACKTRACK|>"
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def make_tokenizer(*, backtrack: bool = True):
    """One token a character, EOS, and if asked the edit token; ids 0.. in the order of the vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = ["<|im_end|>", *"0123456789+-*/=\n abcdefgh#><"]
    inner = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate(alphabet)}, unk_token="<|im_end|>")
    )
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=CHAT_TEMPLATE
    )
    if backtrack:
        tokenizer.add_tokens([AddedToken(BACKTRACK, special=False, normalized=False)])
    return tokenizer


@pytest.fixture(scope="session")
def tokenizer():
    """The tokenizer of a backtracking run."""
    return make_tokenizer()


@pytest.fixture(scope="session")
def plain_tokenizer():
    """The tokenizer of a baseline whose model never saw the edit token."""
    return make_tokenizer(backtrack=False)


@pytest.fixture(scope="session")
def _composed():
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer")


@pytest.fixture
def verl_config(_composed):
    """The default config with our names selected; a fresh copy for each test."""
    config = copy.deepcopy(_composed)
    with open_dict(config):
        config.halluc = {}
        config.actor_rollout_ref.actor.strategy = "fsdp2"
        config.actor_rollout_ref.rollout.name = "vllm"
        config.actor_rollout_ref.rollout.agent.default_agent_loop = "backtrack"
        config.actor_rollout_ref.rollout.response_length = 32
        config.actor_rollout_ref.rollout.prompt_length = 16
        config.reward.reward_manager.name = "backtrack"
        config.trainer.v1.trainer_mode = "backtrack_sync"
        config.algorithm.adv_estimator = "backtrack_grpo"
    return OmegaConf.create(OmegaConf.to_container(config))


@pytest.fixture
def fp32_config(verl_config):
    """A run in single precision on both sides, as on CPU."""
    verl_config.actor_rollout_ref.rollout.dtype = "float32"
    verl_config.actor_rollout_ref.actor.fsdp_config.mixed_precision = {"param_dtype": "fp32"}
    return verl_config


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model folder with the backtrack token."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = number_tokenizer(edit_tokens=(BACKTRACK,))
    new_model(tokenizer, Size.TINY, seed=0).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A small Countdown data set."""
    folder = tmp_path_factory.mktemp("data")
    return write_countdown(folder, CountdownRequest(train=20, test=5), None, lambda items, what, total: items)


@pytest.fixture
def config(model, data, tmp_path):
    """A composed run on that model and data; takes overrides, and a recipe."""

    def build(*overrides, recipe="halluc_grpo"):
        own = [
            f"+recipe={recipe}",
            "halluc/scale=cpu",
            f"actor_rollout_ref.model.path={model}",
            f"data.train_files={data.train}",
            f"data.val_files=[{data.test[0]},{data.test[1]}]",
            f"trainer.default_local_dir={tmp_path / 'run'}",
        ]
        with initialize_config_module("verl.trainer.config", version_base=None):
            return compose("ppo_trainer", [*own, *overrides])

    return build
